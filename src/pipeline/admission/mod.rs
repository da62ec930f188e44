//! Who may work at once: one budget for the whole process, in analyses, in bytes of encoded pictures, in workers and in the
//! memory that these take.
//!
//! A part of the first two is kept for single requests, so that streams, which always have more to do, never take all. A single
//! request that finds no room is refused at once, since its caller can try elsewhere; a stream waits, and while it waits it
//! reads nothing. Those who wait are served in their turn, and of one stream only so many wait: one item for a place, one for
//! room, as many as there are workers for a worker. So streams share what there is, however long they are.

mod lane;
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
use lane::{Lane, Room, acquire};
pub use worker::Worker;
use worker::Workshop;

/// The budget. One for the life of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Lane,
    streams: Lane,
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
    _slots: Vec<OwnedSemaphorePermit>,
}

impl Admission {
    /// The budget that `limits` set. A quarter of the analyses and of the bytes is kept for single requests. `metrics` learn
    /// what is in progress and who waits or is refused.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let slots = limits.max_in_flight.max(1);
        let kept = if slots == 1 { 0 } else { (slots / 4).max(1) };
        let room = Room::of_bytes(limits.max_in_flight_bytes);
        let max_workers = limits.prepare_workers.max(1);
        let all = Lane::new(slots, room.clone(), max_workers);
        let watched = all.clone();
        metrics
            .watch_in_flight(move || InFlight { analyses: watched.taken_slots(), bytes: watched.room.taken_bytes() });
        Self {
            streams: Lane::new(slots - kept, room.three_quarters(), max_workers),
            all,
            metrics,
            open_streams: Arc::new(Semaphore::new(limits.max_streams)),
            max_streams: limits.max_streams,
            max_workers,
            workshop: Arc::new(Workshop::new(max_workers, limits.max_prepare_bytes)),
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
                let (weighing, workers) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(self.max_workers)));
                let turns = Arc::new(Turns { weighing, workers, _permit: permit });
                Ok(OpenStream { admission: self.clone(), turns })
            }
            Err(_) => {
                self.metrics.shed(Shed::Streams);
                Err(AnalyzeError::Overloaded { limit: self.max_streams as u64, unit: "streams" })
            }
        }
    }

    /// A place for a single request.
    ///
    /// # Errors
    /// [`AnalyzeError::Overloaded`] when there is none.
    pub fn try_enter(&self) -> Result<Slot, AnalyzeError> {
        let slot = Arc::clone(&self.all.slots).try_acquire_owned();
        let overloaded = |_| {
            self.metrics.shed(Shed::Requests);
            AnalyzeError::Overloaded { limit: self.all.max_slots as u64, unit: "requests" }
        };
        Ok(self.slot(None, vec![slot.map_err(overloaded)?], Duration::ZERO))
    }

    /// Waits for a worker, beside single requests.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn worker(&self) -> Result<Worker, AnalyzeError> {
        Ok(self.workshop.worker(acquire([&self.all.workers], 1).await?))
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
            AnalyzeError::Overloaded { limit: all.room.max_bytes(), unit: "bytes of pictures" }
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

    /// Time spent waiting for a place, for room, for a worker and for its memory.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.metrics.stage(Stage::Queue, self.waited);
    }
}
