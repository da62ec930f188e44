//! Many pictures of one stream: every item answered exactly once, with an analysis or with an error.
//!
//! A seat of the stream is taken before the next request is read, and given back when the item's answer has been handed
//! over: a reader that stops stops the reading, and with it all work upstream. A place of the process is taken before an
//! item is begun, and given back as soon as its work is done: a reader that stops holds up nobody else.
//!
//! Every item works in a task of its own, so a panic is that item's. Dropping the future of [`run`] ends them all, and what
//! they do upstream.

mod gate;
mod intake;
mod listing;
mod outbox;
#[cfg(test)]
mod tests;

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

use futures_util::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use super::{Analyzer, Deadline, Failed, Job, OpenStream, Source, error::AnalyzeError};
use crate::{
    domain::{Analysis, Caller, Features, Options, Usage},
    spans,
};
use tracing::Instrument as _;

use gate::Admitted;
pub use gate::{Gate, Incoming, Pass};
use intake::{Entry, Intake, Work};
pub use listing::Listing;
use outbox::{Outbox, Watermark};

/// Most items with an id of the caller's on one stream: their ids are kept, 16 bytes each. Listed objects are not counted.
pub const MAX_ITEM_IDS: u64 = 1_000_000;
/// How far a listing may be answered ahead of its watermark, as a multiple of the items in flight: beyond, it waits for the
/// slow item that holds the watermark back.
const MAX_LEAD: usize = 16;

/// How a stream is worked on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The stream's id: that of an item is this, a colon and its index.
    pub stream_id: String,
    /// Who asks.
    pub caller: Caller,
    /// Most items between the reading of their request and the handing over of their answer, at least 1.
    pub max_in_flight: usize,
    /// Order of the answers.
    pub order: Order,
    /// What happens after an item fails.
    pub on_failure: OnFailure,
    /// Time limit of one item, from the beginning of its work, and of one page of a listing.
    pub item_timeout: Duration,
}

/// Order of the answers of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As soon as each item is done.
    AsCompleted,
    /// As the items were asked for.
    AsRequested,
}

/// What happens after an item fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Go on.
    Continue,
    /// Begin no further item; the rest is answered with [`AnalyzeError::Aborted`].
    Stop,
}

/// One request of a stream. `R` is what the transport says of a request that it refuses.
#[derive(Debug)]
pub enum Request<R> {
    /// One picture.
    Item {
        /// The caller's id of the item; `None` when it has none that can be used.
        id: Option<String>,
        /// What is echoed in the answer.
        shown_id: String,
        /// What to do.
        task: Result<Task, R>,
    },
    /// All pictures under a prefix.
    Listing {
        /// What is echoed in the answer when the listing itself fails.
        shown_id: String,
        /// What to do.
        task: Result<ListingTask, R>,
    },
}

/// What to do for one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Where the picture is.
    pub source: Source,
    /// What to find out.
    pub features: Features,
    /// How.
    pub options: Options,
}

/// What to do for every object of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ListingTask {
    /// Which objects.
    pub listing: Listing,
    /// What to find out.
    pub features: Features,
    /// How.
    pub options: Options,
}

/// The answer to one item.
#[derive(Debug)]
pub struct Answer<R> {
    /// The item's id; for a listed object its key.
    pub item_id: String,
    /// Position of the item in the stream, listed objects counted one by one.
    pub item_index: u64,
    /// Id of the item in logs and in the analysis.
    pub request_id: String,
    /// From the reading of the request to the end of the work.
    pub elapsed: Duration,
    /// The outcome.
    pub outcome: Result<Box<Analysis>, Failure<R>>,
    /// For listed objects: this key and every listed key before it has been answered.
    pub resume_after: Option<String>,
}

/// Why an item has no analysis.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure<R> {
    /// The transport refused the request.
    Refused(R),
    /// The work failed.
    Failed(AnalyzeError),
}

/// Totals of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Items answered with an analysis.
    pub succeeded: u64,
    /// Items answered with an error.
    pub failed: u64,
    /// Usage of all items, failed ones included.
    pub usage: Usage,
}

/// Why a stream could not be worked on to its end. But where nobody takes the answers, what was in flight has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<R> {
    /// The requests broke off.
    Requests(R),
    /// There are more items with ids than are kept: see [`MAX_ITEM_IDS`].
    TooManyItems,
    /// The process is to end.
    Draining,
    /// Nobody takes the answers any more.
    Gone,
}

/// Works on requests in an open `stream`, until they end and all are answered, or `draining` resolves and what is in flight
/// is answered. Answers go out as what `message` makes of them; `out` bounds how many wait for the transport.
///
/// # Errors
/// [`Cut`], beside the totals so far, when not all requests could be read.
pub async fn run<R: Send + 'static, T: Send>(
    analyzer: Arc<Analyzer>,
    stream: OpenStream,
    settings: Settings,
    incoming: Incoming<impl Stream<Item = Result<Request<R>, R>> + Send, R>,
    draining: impl Future<Output = ()> + Send,
    out: mpsc::Sender<T>,
    message: impl Fn(Answer<R>) -> T + Send,
) -> (Totals, Result<(), Cut<R>>) {
    let Incoming { requests, gate } = incoming;
    let (entries, received) = mpsc::channel(1);
    let stopped = Arc::new(AtomicBool::new(false));
    let intake = Intake::new(Arc::clone(&analyzer), stream, settings.clone(), Arc::clone(&stopped), gate, entries);
    let intake = intake.run(requests, draining);
    let driver = Driver {
        analyzer,
        outbox: Outbox::new(settings.order),
        settings,
        tasks: JoinSet::new(),
        running: HashMap::new(),
        totals: Totals::default(),
        stopped,
    };
    driver.drive(Box::pin(intake), received, out, message).await
}

/// An item from the reading of its request to the handing over of its answer.
struct Seated {
    item_id: String,
    item_index: u64,
    received: Instant,
    listed: Option<Listed>,
    _seat: OwnedSemaphorePermit,
}

/// What an item has that a listing brought.
struct Listed {
    watermark: Arc<Watermark>,
    /// The right to be answered ahead of the watermark.
    lead: Option<OwnedSemaphorePermit>,
}

/// An item whose answer is ready.
struct Finished<R> {
    item: Seated,
    elapsed: Duration,
    outcome: Result<Box<Analysis>, Failure<R>>,
    usage: Usage,
}

struct Driver<R> {
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
    async fn drive<T>(
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

impl Settings {
    fn request_id(&self, item_index: u64) -> String {
        format!("{}:{item_index}", self.stream_id)
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
