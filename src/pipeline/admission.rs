//! Who may work at once: one budget for the whole process, in analyses and in bytes of encoded pictures.
//!
//! A part of both is kept for single requests, so that streams, which always have more to do, never take all. A single
//! request that finds no room is refused at once, since its caller can try elsewhere; a stream waits, and while it waits it
//! reads nothing. Those who wait are served in their turn, and of one stream only so many wait: one item for a place, one for
//! room, as many as there are workers for a worker. So streams share what there is, however long they are.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Limits, error::AnalyzeError};

/// Weight is counted in KiB, so that it fits the semaphore's `u32`.
const UNIT_BYTES: u64 = 1024;

/// The budget. One for the life of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Lane,
    streams: Lane,
    open_streams: Arc<Semaphore>,
    max_streams: usize,
    workers: usize,
}

/// What a group of analyses may use together.
#[derive(Debug, Clone)]
struct Lane {
    slots: Arc<Semaphore>,
    max_slots: usize,
    weight: Arc<Semaphore>,
    max_weight: u32,
    workers: Arc<Semaphore>,
}

/// A stream that is open, until this and the places of its items are dropped.
#[derive(Debug)]
pub struct OpenStream {
    admission: Admission,
    turns: Arc<Turns>,
}

/// How many items of one stream wait beside those of others.
#[derive(Debug)]
struct Turns {
    weighing: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

/// A worker for what takes CPU, until it is dropped.
#[derive(Debug)]
pub struct Worker {
    _permits: Vec<OwnedSemaphorePermit>,
}

/// The place of one analysis, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    /// Of an item of a stream.
    turns: Option<Arc<Turns>>,
    waited: Duration,
    weight: Vec<OwnedSemaphorePermit>,
    _slots: Vec<OwnedSemaphorePermit>,
}

impl Admission {
    /// The budget that `limits` set. A quarter of the analyses and of the bytes is kept for single requests.
    pub fn new(limits: &Limits) -> Self {
        let slots = limits.max_in_flight.max(1);
        let weight = u32::try_from(limits.max_in_flight_bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let kept = if slots == 1 { 0 } else { (slots / 4).max(1) };
        let lane = |slots, weight| Lane::new(slots, weight, limits.prepare_workers.max(1));
        Self {
            all: lane(slots, weight),
            streams: lane(slots - kept, (weight - weight / 4).max(1)),
            open_streams: Arc::new(Semaphore::new(limits.max_streams)),
            max_streams: limits.max_streams,
            workers: limits.prepare_workers.max(1),
        }
    }

    /// Most analyses that streams have in progress together.
    pub fn stream_slots(&self) -> usize {
        self.streams.max_slots
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when as many are open as the server takes.
    pub fn open_stream(&self) -> Result<OpenStream, AnalyzeError> {
        match Arc::clone(&self.open_streams).try_acquire_owned() {
            Ok(permit) => {
                let (weighing, workers) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(self.workers)));
                let turns = Arc::new(Turns { weighing, workers, _permit: permit });
                Ok(OpenStream { admission: self.clone(), turns })
            }
            Err(_) => Err(AnalyzeError::Overloaded { limit: self.max_streams as u64, unit: "streams" }),
        }
    }

    /// A place for a single request.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when there is none.
    pub fn try_enter(&self) -> Result<Slot, AnalyzeError> {
        let slot = Arc::clone(&self.all.slots).try_acquire_owned();
        let overloaded = |_| AnalyzeError::Overloaded { limit: self.all.max_slots as u64, unit: "requests" };
        Ok(self.slot(None, vec![slot.map_err(overloaded)?], Duration::ZERO))
    }

    /// Waits for a worker, beside single requests.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn worker(&self) -> Result<Worker, AnalyzeError> {
        Ok(Worker { _permits: acquire([&self.all.workers], 1).await? })
    }

    fn slot(&self, turns: Option<Arc<Turns>>, slots: Vec<OwnedSemaphorePermit>, waited: Duration) -> Slot {
        Slot { admission: self.clone(), turns, waited, weight: Vec::new(), _slots: slots }
    }
}

impl OpenStream {
    /// A place for an item of the stream, once there is one.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn enter(&self) -> Result<Slot, AnalyzeError> {
        let started = Instant::now();
        let Admission { all, streams, .. } = &self.admission;
        let slots = acquire([&streams.slots, &all.slots], 1).await?;
        Ok(self.admission.slot(Some(Arc::clone(&self.turns)), slots, started.elapsed()))
    }
}

impl Worker {
    /// Works off the async threads. The worker is taken until the work is done, also when the caller has left: it bounds work,
    /// not waiting.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the work panics.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AnalyzeError> {
        let done = tokio::task::spawn_blocking(move || {
            let _held = self;
            work()
        });
        done.await.map_err(|error| AnalyzeError::Internal { detail: error.to_string() })
    }
}

impl Lane {
    fn new(max_slots: usize, max_weight: u32, workers: usize) -> Self {
        let weight = usize::try_from(max_weight).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(max_slots.min(Semaphore::MAX_PERMITS))),
            max_slots,
            weight: Arc::new(Semaphore::new(weight)),
            max_weight,
            workers: Arc::new(Semaphore::new(workers)),
        }
    }

    /// What a picture weighs here. One that is heavier than the whole budget weighs all of it, and so works alone.
    fn weight_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.max_weight)
    }
}

impl Slot {
    /// Accounts for an encoded picture of `bytes`, before it is held.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] for a single request, when there is no room.
    pub async fn weigh(&mut self, bytes: u64) -> Result<(), AnalyzeError> {
        let (all, streams) = (&self.admission.all, &self.admission.streams);
        // What is given back first cannot be waited for.
        self.weight.clear();
        if let Some(turns) = &self.turns {
            let started = Instant::now();
            let _turn = acquire([&turns.weighing], 1).await?;
            // The share of single requests stays free also while a giant works or waits.
            let weight = streams.weight_of(bytes);
            self.weight = acquire([&streams.weight, &all.weight], weight).await?;
            self.waited += started.elapsed();
            return Ok(());
        }
        let permit = Arc::clone(&all.weight).try_acquire_many_owned(all.weight_of(bytes));
        let limit = u64::from(all.max_weight) * UNIT_BYTES;
        let overloaded = |_| AnalyzeError::Overloaded { limit, unit: "bytes of pictures" };
        self.weight.push(permit.map_err(overloaded)?);
        Ok(())
    }

    /// Gives back what a picture of now `bytes` no longer weighs.
    pub fn lighten(&mut self, bytes: u64) {
        let weight = self.admission.all.weight_of(bytes) as usize;
        for permit in &mut self.weight {
            drop(permit.split(permit.num_permits().saturating_sub(weight)));
        }
    }

    /// Waits for a worker to prepare the picture. As many items of streams as there are workers wait beside single requests;
    /// the others wait behind them, so that a single request is never behind a whole stream.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn worker(&mut self) -> Result<Worker, AnalyzeError> {
        let started = Instant::now();
        let Admission { all, streams, .. } = &self.admission;
        let worker = match &self.turns {
            Some(turns) => Worker { _permits: acquire([&turns.workers, &streams.workers, &all.workers], 1).await? },
            None => self.admission.worker().await?,
        };
        self.waited += started.elapsed();
        Ok(worker)
    }

    /// Whether this is the place of an item of a stream, which waits for what it needs.
    pub fn waits(&self) -> bool {
        self.turns.is_some()
    }

    /// Whether a picture was accounted for.
    pub fn is_weighed(&self) -> bool {
        !self.weight.is_empty()
    }

    /// Time spent waiting for a place and for room.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// Permits of all, the narrowest first: nobody holds a wider one while waiting for a narrower.
async fn acquire<const N: usize>(
    from_narrow_to_wide: [&Arc<Semaphore>; N],
    count: u32,
) -> Result<Vec<OwnedSemaphorePermit>, AnalyzeError> {
    let mut permits = Vec::with_capacity(N);
    for semaphore in from_narrow_to_wide {
        permits.push(Arc::clone(semaphore).acquire_many_owned(count).await.map_err(closed)?);
    }
    Ok(permits)
}

fn closed(_: AcquireError) -> AnalyzeError {
    AnalyzeError::Internal { detail: "the admission is closed".to_owned() }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::pipeline::tests::limits;

    fn admission(max_in_flight: usize, max_in_flight_bytes: u64) -> Admission {
        Admission::new(&Limits { max_in_flight, max_in_flight_bytes, prepare_workers: 2, ..limits() })
    }

    fn unit(error: AnalyzeError) -> &'static str {
        match error {
            AnalyzeError::Overloaded { unit, .. } => unit,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn streams_leave_a_quarter_to_single_requests() {
        let budget = admission(8, 8 << 20);
        let stream = budget.open_stream().unwrap();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(stream.enter().await.unwrap());
        }
        assert!(stream.enter().now_or_never().is_none(), "the seventh waits");
        let single = [budget.try_enter().unwrap(), budget.try_enter().unwrap()];
        assert_eq!(unit(budget.try_enter().unwrap_err()), "requests");
        drop(single);
        held.pop();
        assert!(stream.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn single_requests_may_take_all_that_is_free() {
        let budget = admission(4, 1 << 20);
        let stream = budget.open_stream().unwrap();
        let single: Vec<_> = (0..4).map(|_| budget.try_enter().unwrap()).collect();
        assert!(stream.enter().now_or_never().is_none());
        drop(single);
        assert!(stream.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn bytes_are_a_budget_of_their_own_and_are_given_back() {
        let budget = admission(8, 8 << 20);
        let stream = budget.open_stream().unwrap();
        let mut first = stream.enter().await.unwrap();
        first.weigh(5 << 20).await.unwrap();
        let mut second = stream.enter().await.unwrap();
        assert!(second.weigh(2 << 20).now_or_never().is_none(), "6 MiB are for streams");
        let mut single = budget.try_enter().unwrap();
        single.weigh(3 << 20).await.unwrap();
        assert_eq!(unit(budget.try_enter().unwrap().weigh(1).await.unwrap_err()), "bytes of pictures");
        first.lighten(1 << 20);
        assert!(second.weigh(2 << 20).now_or_never().is_some());
        drop((first, second, single));
        let mut whole = budget.try_enter().unwrap();
        whole.weigh(8 << 20).await.unwrap();
    }

    #[tokio::test]
    async fn a_picture_heavier_than_the_budget_works_alone() {
        let budget = admission(8, 1 << 20);
        let stream = budget.open_stream().unwrap();
        let mut giant = stream.enter().await.unwrap();
        giant.weigh(1 << 40).now_or_never().expect("room for one").unwrap();
        let mut other = stream.enter().await.unwrap();
        assert!(other.weigh(1).now_or_never().is_none());
        let mut single = budget.try_enter().unwrap();
        single.weigh(100 << 10).await.expect("the share of single requests is free");
        drop(giant);
        assert!(other.weigh(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_smallest_budget_still_works() {
        let budget = admission(1, 1);
        let stream = budget.open_stream().unwrap();
        assert_eq!(budget.stream_slots(), 1);
        let mut slot = stream.enter().await.unwrap();
        slot.weigh(100).now_or_never().unwrap().unwrap();
        drop(slot);
        budget.try_enter().unwrap().weigh(100).await.unwrap();
        assert_eq!(unit(budget.open_stream().unwrap_err()), "streams");
        drop(stream);
        assert!(budget.open_stream().is_ok());
    }

    #[tokio::test]
    async fn a_single_request_is_not_behind_a_whole_stream() {
        let budget = admission(16, 1 << 20);
        let stream = budget.open_stream().unwrap();
        let mut items = Vec::new();
        for _ in 0..8 {
            items.push(stream.enter().await.unwrap());
        }
        let mut items = items.iter_mut();
        let mut working =
            vec![items.next().unwrap().worker().await.unwrap(), items.next().unwrap().worker().await.unwrap()];
        let mut waiting: Vec<_> = items.map(|item| Box::pin(item.worker())).collect();
        assert!(waiting.iter_mut().all(|item| item.now_or_never().is_none()));
        let mut single = budget.try_enter().unwrap();
        let mut single = Box::pin(single.worker());
        assert!(single.as_mut().now_or_never().is_none());
        working.pop();
        assert!(single.now_or_never().is_some(), "six items came before it");
    }

    #[tokio::test]
    async fn a_stream_is_not_behind_all_items_of_another() {
        let budget = Admission { open_streams: Arc::new(Semaphore::new(2)), ..admission(16, 1 << 20) };
        let (large, small) = (budget.open_stream().unwrap(), budget.open_stream().unwrap());
        let mut items = Vec::new();
        for _ in 0..8 {
            items.push(large.enter().await.unwrap());
        }
        let mut items = items.iter_mut();
        let mut working = Vec::new();
        for item in items.by_ref().take(2) {
            working.push(item.worker().await.unwrap());
        }
        let mut waiting: Vec<_> = items.map(|item| Box::pin(item.worker())).collect();
        assert!(waiting.iter_mut().all(|item| item.now_or_never().is_none()));
        let mut item = small.enter().await.unwrap();
        let mut item = Box::pin(item.worker());
        assert!(item.as_mut().now_or_never().is_none());
        working.pop();
        assert!(item.now_or_never().is_some(), "six items of the other stream came before it");
    }
}
