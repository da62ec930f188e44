//! The one task of a stream that answers: begins what the intake hands over, keeps what is done until it may go out, and hands
//! it over.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tracing::Instrument as _;

use super::{
    Answer, Cut, Failure, OnFailure, Settings, Task, Totals,
    gate::{self, Admitted},
    intake::{Entry, Work},
    outbox::{Outbox, Watermark},
};
use crate::{
    domain::{Analysis, Usage},
    pipeline::{Analyzer, Deadline, Failed, Job, error::AnalyzeError},
    spans,
};

/// An item from the reading of its request to the handing over of its answer.
pub(super) struct Seated {
    pub(super) item_id: String,
    pub(super) item_index: u64,
    pub(super) received: Instant,
    pub(super) listed: Option<Listed>,
    pub(super) _seat: OwnedSemaphorePermit,
}

/// What an item has that a listing brought.
pub(super) struct Listed {
    pub(super) watermark: Arc<Watermark>,
    /// The right to be answered ahead of the watermark.
    pub(super) lead: Option<OwnedSemaphorePermit>,
}

/// An item whose answer is ready.
pub(super) struct Finished<R> {
    pub(super) item: Seated,
    elapsed: Duration,
    outcome: Result<Box<Analysis>, Failure<R>>,
    usage: Usage,
}

pub(super) struct Driver<R> {
    analyzer: Arc<Analyzer>,
    settings: Settings,
    outbox: Outbox<R>,
    tasks: JoinSet<Result<Analysis, Failed>>,
    running: HashMap<Id, Seated>,
    totals: Totals,
    /// Whether no further item is begun.
    stopped: Arc<AtomicBool>,
}

type IntakeFuture<'a, R> = Pin<Box<dyn Future<Output = Result<(), Cut<R>>> + Send + 'a>>;

impl<R: Send + 'static> Driver<R> {
    /// One that has begun nothing yet, and begins nothing more once `stopped` is true.
    pub(super) fn new(analyzer: Arc<Analyzer>, settings: Settings, stopped: Arc<AtomicBool>) -> Self {
        Self {
            analyzer,
            outbox: Outbox::new(settings.order),
            settings,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            totals: Totals::default(),
            stopped,
        }
    }

    /// Works until the intake has ended and all it handed over is answered.
    ///
    /// # Errors
    /// That of the intake, or [`Cut::Gone`], beside the totals so far.
    pub(super) async fn drive<T>(
        mut self,
        intake: IntakeFuture<'_, R>,
        mut entries: mpsc::Receiver<Entry<R>>,
        out: mpsc::Sender<T>,
        message: impl Fn(Answer<R>) -> T + Send,
    ) -> (Totals, Result<(), Cut<R>>) {
        let mut intake = Some(intake);
        let mut ended = Ok(());
        let mut more_entries = true;
        while intake.is_some() || more_entries || !self.tasks.is_empty() || self.outbox.has_next() {
            tokio::select! {
                read = poll(&mut intake), if intake.is_some() => {
                    intake = None;
                    ended = read;
                }
                // Also what the intake had handed over before it ended.
                entry = entries.recv(), if more_entries => match entry {
                    Some(entry) => self.begin(entry),
                    None => more_entries = false,
                },
                Some(done) = self.tasks.join_next_with_id() => self.finish(done),
                room = out.reserve(), if self.outbox.has_next() => match room {
                    Ok(room) => {
                        if let Some(finished) = self.outbox.next() {
                            let answer = finished.into_answer(&self.settings, &mut self.totals);
                            room.send(message(answer));
                        }
                    }
                    Err(_) => return (self.totals, Err(Cut::Gone)),
                },
            }
        }
        (self.totals, ended)
    }

    /// Begins the work of an item, or answers it at once.
    fn begin(&mut self, entry: Entry<R>) {
        let Entry { mut item, work } = entry;
        match work {
            _ if self.stopped.load(Ordering::Relaxed) => self.fail(item, Failure::Failed(AnalyzeError::Aborted)),
            Work::Begin(Admitted { task, slot, pass }) => {
                if let Some(Listed { watermark, lead }) = &mut item.listed {
                    watermark.begun(item.item_index, &item.item_id, lead.take());
                }
                let (analyzer, job) = (Arc::clone(&self.analyzer), self.job(&item, *task));
                let work = gate::work(analyzer, slot, pass, job).instrument(spans::item());
                let task = self.tasks.spawn(spans::carried(work));
                self.running.insert(task.id(), item);
            }
            Work::Fail(failure) => self.fail(item, failure),
        }
    }

    fn fail(&mut self, item: Seated, failure: Failure<R>) {
        self.failed();
        let elapsed = item.received.elapsed();
        self.outbox.put(Finished { item, elapsed, outcome: Err(failure), usage: Usage::default() });
    }

    fn failed(&self) {
        if self.settings.on_failure == OnFailure::Stop {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    fn job(&self, item: &Seated, task: Task) -> Job {
        Job {
            request_id: self.settings.request_id(item.item_index),
            caller: self.settings.caller.clone(),
            is_callers_id: false,
            source: task.source,
            features: task.features,
            options: task.options,
            tags: std::collections::BTreeMap::new(),
            validate_only: false,
            received: item.received,
            deadline: Deadline::at(Instant::now() + self.settings.item_timeout),
        }
    }

    /// Keeps the outcome of a task until it can be handed over.
    fn finish(&mut self, done: Result<(Id, Result<Analysis, Failed>), JoinError>) {
        let (id, outcome) = match done {
            Ok((id, outcome)) => (id, outcome),
            // The panic hook has logged where; the payload may hold anything.
            Err(error) => (error.id(), Err(AnalyzeError::Internal { detail: "an item panicked".to_owned() }.into())),
        };
        let Some(item) = self.running.remove(&id) else { return };
        let (usage, outcome) = match outcome {
            Ok(analysis) => (analysis.usage, Ok(Box::new(analysis))),
            Err(Failed { error, usage }) => (usage, Err(Failure::Failed(error))),
        };
        if outcome.is_err() {
            self.failed();
        }
        let elapsed = item.received.elapsed();
        self.outbox.put(Finished { item, elapsed, outcome, usage });
    }
}

impl<R> Finished<R> {
    /// The answer that goes out now. The item's seat is given back.
    fn into_answer(self, settings: &Settings, totals: &mut Totals) -> Answer<R> {
        let Self { item, elapsed, outcome, usage } = self;
        match &outcome {
            Ok(_) => totals.succeeded += 1,
            Err(_) => totals.failed += 1,
        }
        totals.usage += usage;
        Answer {
            request_id: settings.request_id(item.item_index),
            resume_after: item.listed.map(|listed| listed.watermark.answered(item.item_index)),
            item_id: item.item_id,
            item_index: item.item_index,
            elapsed,
            outcome,
        }
    }
}

impl<R> Drop for Driver<R> {
    fn drop(&mut self) {
        if !self.running.is_empty() {
            let stream_id = &self.settings.stream_id;
            tracing::info!(stream_id, items = self.running.len(), "items in progress were dropped with their stream");
        }
    }
}

/// The intake's outcome; for ever pending without one.
async fn poll<R>(intake: &mut Option<IntakeFuture<'_, R>>) -> Result<(), Cut<R>> {
    match intake {
        Some(intake) => intake.await,
        None => std::future::pending().await,
    }
}
