//! Who may work at once: one budget for the whole process, in analyses, in bytes of encoded pictures, in workers and in the
//! memory that these take.
//!
//! A part of the first two is kept for single requests, so that streams, which always have more to do, never take all. A single
//! request that finds no room is refused at once, since its caller can try elsewhere; a stream waits, and while it waits it
//! reads nothing. Those who wait are served in their turn, and of one stream only so many wait: one item for a place, one for
//! room, as many as there are workers for a worker. So streams share what there is, however long they are.
//!
//! How many analyses that is adapts to how they fare, unless it is fixed: see [`limiter`]. A large picture takes one place like
//! a small one, and yet weighs more: it has its place for longer, its bytes are weighed, and its preparing waits for memory.

mod lane;
mod limiter;
mod load;
mod places;
mod pool;
#[cfg(test)]
mod tests;
mod worker;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Limits, error::AnalyzeError};
use crate::metrics::{InFlight, Metrics, Shed, Stage};
use lane::{Lane, Room, acquire, closed};
use limiter::Begun;
pub(super) use limiter::End;
use load::{Load, of_streams};
use places::Place;
pub use worker::Worker;
use worker::Workshop;

/// The least that a limit adapts to, or twice as many as there are workers.
const LEAST_PLACES: usize = 4;
/// The least time after which to open a stream again.
const STREAM_ADVICE: Duration = Duration::from_secs(1);

/// The budget. One for the life of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Lane,
    streams: Lane,
    load: Arc<Load>,
    max_stream_slots: usize,
    open_streams: Arc<Semaphore>,
    max_streams: usize,
    max_workers: usize,
    workshop: Arc<Workshop>,
    metrics: Arc<Metrics>,
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

/// The place of one analysis, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    /// Of an item of a stream.
    turns: Option<Arc<Turns>>,
    waited: Duration,
    weight: Vec<OwnedSemaphorePermit>,
    /// For the limit; `None` when it is fixed.
    begun: Option<Begun>,
    told: Option<(u32, End)>,
    _places: [Option<Place>; 2],
}

impl Admission {
    /// The budget that `limits` set. A quarter of the analyses and of the bytes is kept for single requests. `metrics` learn
    /// what is in progress and who waits or is refused.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let slots = limits.max_in_flight.max(1);
        let room = Room::of_bytes(limits.max_in_flight_bytes);
        let max_workers = limits.prepare_workers.max(1);
        let streams = Lane::new(of_streams(slots), room.three_quarters(), max_workers);
        let all = Lane::new(slots, room, max_workers);
        let watched = all.clone();
        metrics.watch_in_flight(move || InFlight {
            analyses: watched.slots.taken() as u64,
            limit: watched.slots.wanted() as u64,
            bytes: watched.room.taken_bytes(),
        });
        let floor = limits.adapts.then_some(max_workers.saturating_mul(2).max(LEAST_PLACES));
        Self {
            load: Arc::new(Load::new(&all.slots, &streams.slots, floor)),
            max_stream_slots: streams.slots.wanted(),
            streams,
            all,
            metrics,
            open_streams: Arc::new(Semaphore::new(limits.max_streams)),
            max_streams: limits.max_streams,
            max_workers,
            workshop: Arc::new(Workshop::new(max_workers, limits.max_prepare_bytes)),
        }
    }

    /// Most analyses that streams have in progress together, when no load lowers it.
    pub fn stream_slots(&self) -> usize {
        self.max_stream_slots
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when as many are open as the server takes.
    pub fn open_stream(&self) -> Result<OpenStream, AnalyzeError> {
        match Arc::clone(&self.open_streams).try_acquire_owned() {
            Ok(permit) => {
                let (weighing, workers) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(self.max_workers)));
                let turns = Arc::new(Turns { weighing, workers, _permit: permit });
                Ok(OpenStream { admission: self.clone(), turns })
            }
            Err(_) => {
                self.metrics.shed(Shed::Streams);
                // Streams go on for long.
                let retry_after = self.load.refuse(false).max(STREAM_ADVICE);
                Err(AnalyzeError::Overloaded { limit: self.max_streams as u64, unit: "streams", retry_after })
            }
        }
    }

    /// A place for a single request.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when there is none.
    pub fn try_enter(&self) -> Result<Slot, AnalyzeError> {
        let place = self.all.slots.try_take().ok_or_else(|| self.full())?;
        Ok(self.slot(None, [Some(place), None], Duration::ZERO))
    }

    /// Whether a single request would find a place now, for whoever has something to do before that.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when there is none.
    pub fn check(&self) -> Result<(), AnalyzeError> {
        if self.all.slots.are_full() { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> AnalyzeError {
        self.metrics.shed(Shed::Requests);
        let retry_after = self.load.refuse(true);
        AnalyzeError::Overloaded { limit: self.all.slots.wanted() as u64, unit: "requests", retry_after }
    }

    /// Waits for a worker, beside single requests.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn worker(&self) -> Result<Worker, AnalyzeError> {
        Ok(self.workshop.worker(acquire([&self.all.workers], 1).await?))
    }

    fn slot(&self, turns: Option<Arc<Turns>>, places: [Option<Place>; 2], waited: Duration) -> Slot {
        let begun = self.load.begin();
        Slot { admission: self.clone(), turns, waited, weight: Vec::new(), begun, told: None, _places: places }
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
        // The narrower first: nobody holds one of all places while waiting for one of streams.
        let of_streams = streams.slots.take().await.map_err(closed)?;
        let of_all = all.slots.take().await.map_err(closed)?;
        let places = [Some(of_all), Some(of_streams)];
        Ok(self.admission.slot(Some(Arc::clone(&self.turns)), places, started.elapsed()))
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
            let weight = streams.room.weight_of(bytes);
            self.weight = acquire([&streams.room.permits, &all.room.permits], weight).await?;
            self.waited += started.elapsed();
            return Ok(());
        }
        let permit = Arc::clone(&all.room.permits).try_acquire_many_owned(all.room.weight_of(bytes));
        let overloaded = |_| {
            self.admission.metrics.shed(Shed::Bytes);
            let retry_after = self.admission.load.refuse(false);
            AnalyzeError::Overloaded { limit: all.room.max_bytes(), unit: "bytes of pictures", retry_after }
        };
        self.weight.push(permit.map_err(overloaded)?);
        Ok(())
    }

    /// Gives back what a picture of now `bytes` no longer weighs.
    pub fn lighten(&mut self, bytes: u64) {
        let weight = self.admission.all.room.weight_of(bytes) as usize;
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
        let Admission { all, streams, workshop, .. } = &self.admission;
        let worker = match &self.turns {
            Some(turns) => workshop.worker(acquire([&turns.workers, &streams.workers, &all.workers], 1).await?),
            None => self.admission.worker().await?,
        };
        self.waited += started.elapsed();
        Ok(worker)
    }

    /// Waits for a turn of this analysis, and counts the time as waited.
    pub async fn waiting<F: Future>(&mut self, turn: F) -> F::Output {
        let started = Instant::now();
        let come = turn.await;
        self.waited += started.elapsed();
        come
    }

    /// Whether this is the place of an item of a stream, which waits for what it needs.
    pub fn waits(&self) -> bool {
        self.turns.is_some()
    }

    /// Whether a picture was accounted for.
    pub fn is_weighed(&self) -> bool {
        !self.weight.is_empty()
    }

    /// How the analysis fared, for the limit; `throttled` of its attempts were too many for a model.
    pub(super) fn tell(&mut self, throttled: u32, end: End) {
        self.told = Some((throttled, end));
    }

    /// Time spent waiting for a place, for room, for a worker and for its memory.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (throttled, end) = self.told.unwrap_or((0, End::Untold));
        self.admission.load.ended(self.begun, throttled, end);
        self.admission.metrics.stage(Stage::Queue, self.waited);
    }
}
