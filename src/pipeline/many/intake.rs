//! The reading of a stream's requests: one seat, one request, one place in the process, one after the other.

use std::{
    collections::HashSet,
    future::Future,
    hash::{BuildHasher as _, RandomState},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

use super::{
    Analyzer, Cut, Failure, Gate, ListingTask, MAX_ITEM_IDS, MAX_LEAD, OpenStream, Request, Settings, Source, Task,
    driver::{Listed, Seated},
    gate::Admitted,
    listing::Walk,
    outbox::Watermark,
};
use crate::{domain::ObjectRef, pipeline::error::AnalyzeError};

/// An item on its way to its work.
pub(super) struct Entry<R> {
    pub(super) item: Seated,
    pub(super) work: Work<R>,
}

pub(super) enum Work<R> {
    Begin(Admitted),
    Fail(Failure<R>),
}

/// Reads requests and hands items over.
pub(super) struct Intake<R> {
    analyzer: Arc<Analyzer>,
    stream: OpenStream,
    settings: Settings,
    /// Whether items are still begun.
    stopped: Arc<AtomicBool>,
    gate: Arc<dyn Gate<R>>,
    seats: Arc<Semaphore>,
    seen: Seen,
    next_index: u64,
    /// Whether a request has been read that is not yet handed over whole.
    in_hand: bool,
    entries: mpsc::Sender<Entry<R>>,
}

/// Why the reading ends early.
enum Stop {
    /// Who takes the entries is gone, and so is everyone else.
    Gone,
    TooManyItems,
}

impl<R: Send> Intake<R> {
    pub(super) fn new(
        analyzer: Arc<Analyzer>,
        stream: OpenStream,
        settings: Settings,
        stopped: Arc<AtomicBool>,
        gate: Arc<dyn Gate<R>>,
        entries: mpsc::Sender<Entry<R>>,
    ) -> Self {
        let seats = Arc::new(Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            analyzer,
            stream,
            settings,
            stopped,
            gate,
            seats,
            seen: Seen::default(),
            next_index: 0,
            in_hand: false,
            entries,
        }
    }

    /// Reads to the end of the requests, or until `draining` resolves.
    ///
    /// # Errors
    /// Why they were not read to their end.
    pub(super) async fn run(
        mut self,
        requests: impl Stream<Item = Result<Request<R>, R>> + Send,
        draining: impl Future<Output = ()> + Send,
    ) -> Result<(), Cut<R>> {
        let mut requests = pin!(requests);
        let read = tokio::select! {
            read = self.read(requests.as_mut()) => Some(read),
            () = draining => None,
        };
        match read {
            Some(read) => read,
            None if self.in_hand => Err(Cut::Draining),
            // A stream whose requests have all been handed over is complete, even if their end was not yet read.
            None if matches!(requests.next().now_or_never(), Some(None)) => Ok(()),
            None => Err(Cut::Draining),
        }
    }

    async fn read(&mut self, mut requests: Pin<&mut impl Stream<Item = Result<Request<R>, R>>>) -> Result<(), Cut<R>> {
        loop {
            let Ok(seat) = self.seat().await else { return Ok(()) };
            let request = match requests.next().await {
                None => return Ok(()),
                Some(Err(refusal)) => return Err(Cut::Requests(refusal)),
                Some(Ok(request)) => request,
            };
            self.in_hand = true;
            let taken = match request {
                Request::Item { id, shown_id, task } => self.item(seat, id, shown_id, task).await,
                Request::Listing { shown_id, task } => self.listing(seat, shown_id, task).await,
            };
            self.in_hand = false;
            match taken {
                Ok(()) => {}
                Err(Stop::Gone) => return Ok(()),
                Err(Stop::TooManyItems) => return Err(Cut::TooManyItems),
            }
        }
    }

    async fn seat(&self) -> Result<OwnedSemaphorePermit, Stop> {
        Arc::clone(&self.seats).acquire_owned().await.map_err(|_| Stop::Gone)
    }

    async fn item(
        &mut self,
        seat: OwnedSemaphorePermit,
        id: Option<String>,
        shown_id: String,
        task: Result<Task, R>,
    ) -> Result<(), Stop> {
        let is_new = id.is_none_or(|id| self.seen.is_new(&id));
        if self.seen.count() > MAX_ITEM_IDS {
            return Err(Stop::TooManyItems);
        }
        let item = self.seated(seat, shown_id, None);
        let work = match task {
            Err(refusal) => Work::Fail(Failure::Refused(refusal)),
            Ok(_) if !is_new => Work::Fail(Failure::Failed(AnalyzeError::ItemIdDuplicate)),
            Ok(task) => self.admit(task).await,
        };
        self.hand_over(item, work).await
    }

    fn seated(&mut self, seat: OwnedSemaphorePermit, item_id: String, listed: Option<Listed>) -> Seated {
        let item_index = self.next_index;
        self.next_index += 1;
        Seated { item_id, item_index, received: Instant::now(), listed, _seat: seat }
    }

    /// Waits to be let in, for a place in the process, and for room for bytes that are held already. Whoever waits to be let
    /// in has nothing that others need.
    async fn admit(&self, mut task: Task) -> Work<R> {
        if self.stopped.load(Ordering::Relaxed) {
            return Work::Fail(Failure::Failed(AnalyzeError::Aborted));
        }
        let pass = match self.gate.enter(&task).await {
            Ok(pass) => pass,
            Err(refusal) => return Work::Fail(Failure::Refused(refusal)),
        };
        let admitted = async {
            let mut slot = self.stream.enter().await?;
            if let Source::Content(bytes) = &mut task.source {
                slot.weigh(bytes.len() as u64).await?;
                // The transport's buffer, which these are a part of, may hold other messages too: only what was weighed
                // may be kept.
                *bytes = Bytes::copy_from_slice(bytes);
            }
            Ok(slot)
        };
        match admitted.await {
            Ok(slot) => Work::Begin(Admitted { task: Box::new(task), slot: Box::new(slot), pass }),
            Err(error) => Work::Fail(Failure::Failed(error)),
        }
    }

    async fn hand_over(&self, item: Seated, work: Work<R>) -> Result<(), Stop> {
        self.entries.send(Entry { item, work }).await.map_err(|_| Stop::Gone)
    }

    /// Hands over the objects of a listing one by one: a page is fetched when the one before is used up and a seat is
    /// free.
    async fn listing(
        &mut self,
        seat: OwnedSemaphorePermit,
        shown_id: String,
        task: Result<ListingTask, R>,
    ) -> Result<(), Stop> {
        let ListingTask { listing, features, options } = match task {
            Ok(task) => task,
            Err(refusal) => {
                let item = self.seated(seat, shown_id, None);
                return self.hand_over(item, Work::Fail(Failure::Refused(refusal))).await;
            }
        };
        let (store, item_timeout) = (Arc::clone(&self.analyzer.store), self.settings.item_timeout);
        let watermark = Arc::new(Watermark::new(listing.start_after.clone()));
        let listed = |lead| Some(Listed { watermark: Arc::clone(&watermark), lead });
        let leads = self.settings.max_in_flight.saturating_mul(MAX_LEAD).clamp(1, Semaphore::MAX_PERMITS);
        let leads = Arc::new(Semaphore::new(leads));
        let mut walk = Walk::new(&*store, &listing, item_timeout);
        let mut seat = seat;
        loop {
            match walk.next().await {
                Ok(Some(key)) => {
                    let lead = Arc::clone(&leads).acquire_owned().await.map_err(|_| Stop::Gone)?;
                    let item = self.seated(seat, key.clone(), listed(Some(lead)));
                    let source = Source::Object(ObjectRef::newest(&listing.bucket, key));
                    let task = Task { source, features: features.clone(), options: options.clone() };
                    let work = self.admit(task).await;
                    self.hand_over(item, work).await?;
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    let item = self.seated(seat, shown_id, listed(None));
                    return self.hand_over(item, Work::Fail(Failure::Failed(error))).await;
                }
            }
            seat = self.seat().await?;
        }
    }
}

/// The ids of a stream's items so far, as 128 bits each: a stream may have millions of them. The keys of the two hashes
/// are random, so that nobody can choose ids that collide.
#[derive(Default)]
struct Seen {
    hashes: HashSet<(u64, u64)>,
    keys: (RandomState, RandomState),
}

impl Seen {
    fn count(&self) -> u64 {
        self.hashes.len() as u64
    }

    fn is_new(&mut self, id: &str) -> bool {
        self.hashes.insert((self.keys.0.hash_one(id), self.keys.1.hash_one(id)))
    }
}
