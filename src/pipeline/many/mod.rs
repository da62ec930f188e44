//! Many pictures of one stream: every item answered exactly once, with an analysis or with an error.
//!
//! A seat of the stream is taken before the next request is read, and given back when the item's answer has been handed
//! over: a reader that stops stops the reading, and with it all work upstream. A place of the process is taken before an
//! item is begun, and given back as soon as its work is done: a reader that stops holds up nobody else.
//!
//! Every item works in a task of its own, so a panic is that item's. Dropping the future of [`run`] ends them all, and what
//! they do upstream.

mod driver;
mod gate;
mod intake;
mod listing;
mod outbox;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::Stream;
use tokio::sync::mpsc;

use super::{Analyzer, OpenStream, Source, error::AnalyzeError};
use crate::domain::{Analysis, Caller, Features, Options, Usage};

use driver::Driver;
pub use gate::{Gate, Incoming, Pass};
use intake::Intake;
pub use listing::Listing;

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
    Driver::new(analyzer, settings, stopped).drive(Box::pin(intake), received, out, message).await
}

impl Settings {
    fn request_id(&self, item_index: u64) -> String {
        format!("{}:{item_index}", self.stream_id)
    }
}
