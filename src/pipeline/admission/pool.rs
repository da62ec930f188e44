//! The threads that work on pixels.
//!
//! They are the pipeline's own and not the async runtime's blocking threads, of which there may be hundreds, for files and
//! names and hashes: so the number of threads is the number of pictures in work, whatever else goes on, and an allocator that
//! keeps memory for each thread keeps it for so many.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

use crate::pipeline::error::AnalyzeError;

type Job = Box<dyn FnOnce() + Send>;

/// At most so many threads, each begun when there is work for it. They end with the pool.
#[derive(Debug)]
pub(super) struct Pool {
    max_threads: usize,
    threads: Mutex<usize>,
    jobs: mpsc::Sender<Job>,
    waiting: Arc<Mutex<mpsc::Receiver<Job>>>,
}

impl Pool {
    pub(super) fn new(max_threads: usize) -> Self {
        let (jobs, waiting) = mpsc::channel();
        Self { max_threads, threads: Mutex::new(0), jobs, waiting: Arc::new(Mutex::new(waiting)) }
    }

    /// What `work` comes to on one of the threads. It is done to its end also when the caller has left.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the work panics, or when there is no thread and none can be begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AnalyzeError> {
        #[cfg(test)]
        let _clock = tests::held_clock();
        let (sender, done) = oneshot::channel();
        self.start(Box::new(move || {
            // Whoever wanted it may have left.
            let _ = sender.send(work());
        }))?;
        done.await.map_err(|_| internal("work on a thread of the pool panicked; standard error says where".to_owned()))
    }

    fn start(&self, job: Job) -> Result<(), AnalyzeError> {
        let mut threads = lock(&self.threads);
        if *threads < self.max_threads {
            match self.begin_thread(*threads) {
                Ok(()) => *threads += 1,
                // Those that are there do the work, later.
                Err(error) if *threads > 0 => tracing::warn!(%error, "cannot begin one more thread for pictures"),
                Err(error) => return Err(internal(format!("no thread for pictures: {error}"))),
            }
        }
        drop(threads);
        self.jobs.send(job).map_err(|_| internal("the threads for pictures have ended".to_owned()))
    }

    fn begin_thread(&self, index: usize) -> io::Result<()> {
        let waiting = Arc::clone(&self.waiting);
        thread::Builder::new().name(format!("pixels-{index}")).spawn(move || work_through(&waiting)).map(drop)
    }
}

/// Does one job after the other until there can be no more.
fn work_through(waiting: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One thread waits for a job and the others for the lock, which is free again before the job begins.
        let job = lock(waiting).recv();
        let Ok(job) = job else { return };
        // A panic drops the job's sender, which tells its caller.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

fn internal(detail: String) -> AnalyzeError {
    AnalyzeError::Internal { detail }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::future::join_all;

    use super::*;

    /// Keeps a paused clock from running ahead until it is dropped: the clock waits for the runtime's own blocking threads, and
    /// for no others.
    pub(super) fn held_clock() -> mpsc::Sender<()> {
        let (held, free) = mpsc::channel();
        tokio::task::spawn_blocking(move || free.recv());
        held
    }

    #[tokio::test]
    async fn there_are_never_more_threads_than_allowed() {
        let pool = Pool::new(2);
        let names = join_all((0..50).map(|_| pool.run(|| thread::current().name().map(str::to_owned)))).await;
        let names: HashSet<_> = names.into_iter().map(|name| name.unwrap().unwrap()).collect();
        let allowed = ["pixels-0", "pixels-1"].map(str::to_owned);
        assert!(!names.is_empty() && names.is_subset(&HashSet::from(allowed)), "{names:?}");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own_caller_and_ends_no_thread() {
        let pool = Pool::new(1);
        for _ in 0..3 {
            let outcome = pool.run(|| -> u8 { panic!("on purpose") }).await;
            assert!(matches!(outcome, Err(AnalyzeError::Internal { .. })), "{outcome:?}");
        }
        let thread = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(thread.as_deref(), Some("pixels-0"));
    }

    #[tokio::test]
    async fn work_is_done_to_its_end_also_when_its_caller_has_left() {
        let pool = Pool::new(1);
        let (sender, done) = oneshot::channel();
        let (go, gone) = mpsc::channel::<()>();
        let mut left = Box::pin(pool.run(move || {
            let _ = gone.recv();
            sender.send(()).unwrap();
        }));
        assert!(futures_util::FutureExt::now_or_never(left.as_mut()).is_none());
        drop(left);
        go.send(()).unwrap();
        done.await.unwrap();
    }
}
