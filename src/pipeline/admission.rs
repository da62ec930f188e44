//! Who may work at once: one budget for the whole process, in analyses and in bytes of encoded pictures.
//!
//! A part of both is kept for single requests, so that streams, which always have more to do, never take all. A single
//! request that finds no room is refused at once, since its caller can try elsewhere; a stream waits, and while it waits it
//! reads nothing. Those who wait are served in their turn, and a stream has one item waiting at a time: streams share what
//! there is, however long they are.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::error::AnalyzeError;

/// Weight is counted in KiB, so that it fits the semaphore's `u32`.
const UNIT_BYTES: u64 = 1024;

/// The budget. One for the life of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Lane,
    streams: Lane,
    open_streams: Arc<Semaphore>,
    max_streams: usize,
}

/// What a group of analyses may use together.
#[derive(Debug, Clone)]
struct Lane {
    slots: Arc<Semaphore>,
    max_slots: usize,
    weight: Arc<Semaphore>,
    max_weight: u32,
}

/// A stream that is open, until it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    _permit: OwnedSemaphorePermit,
}

/// The place of one analysis, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    waits: bool,
    waited: Duration,
    weight: Vec<OwnedSemaphorePermit>,
    _slots: Vec<OwnedSemaphorePermit>,
}

impl Admission {
    /// A budget of `max_in_flight` analyses, at least 1, and `max_bytes` of encoded pictures, for single requests and for
    /// `max_streams` streams. A quarter of both is kept for single requests.
    pub fn new(max_in_flight: usize, max_bytes: u64, max_streams: usize) -> Self {
        let slots = max_in_flight.max(1);
        let weight = u32::try_from(max_bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let kept = if slots == 1 { 0 } else { (slots / 4).max(1) };
        Self {
            all: Lane::new(slots, weight),
            streams: Lane::new(slots - kept, (weight - weight / 4).max(1)),
            open_streams: Arc::new(Semaphore::new(max_streams)),
            max_streams,
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
            Ok(permit) => Ok(OpenStream { _permit: permit }),
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
        Ok(self.slot(false, vec![slot.map_err(overloaded)?], Duration::ZERO))
    }

    /// A place for an item of a stream, once there is one.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn enter(&self) -> Result<Slot, AnalyzeError> {
        let started = Instant::now();
        let slots = acquire(&self.streams.slots, &self.all.slots, [1, 1]).await?;
        Ok(self.slot(true, slots, started.elapsed()))
    }

    fn slot(&self, waits: bool, slots: Vec<OwnedSemaphorePermit>, waited: Duration) -> Slot {
        Slot { admission: self.clone(), waits, waited, weight: Vec::new(), _slots: slots }
    }
}

impl Lane {
    fn new(max_slots: usize, max_weight: u32) -> Self {
        let weight = usize::try_from(max_weight).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(max_slots.min(Semaphore::MAX_PERMITS))),
            max_slots,
            weight: Arc::new(Semaphore::new(weight)),
            max_weight,
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
        if self.waits {
            let started = Instant::now();
            let weights = [streams.weight_of(bytes), all.weight_of(bytes)];
            self.weight = acquire(&streams.weight, &all.weight, weights).await?;
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

    /// Whether a picture was accounted for.
    pub fn is_weighed(&self) -> bool {
        !self.weight.is_empty()
    }

    /// Time spent waiting for a place and for room.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// Permits of both, the narrower first: nobody holds the wider one while waiting for the narrower.
async fn acquire(
    narrow: &Arc<Semaphore>,
    wide: &Arc<Semaphore>,
    [in_narrow, in_wide]: [u32; 2],
) -> Result<Vec<OwnedSemaphorePermit>, AnalyzeError> {
    let closed = |_| AnalyzeError::Internal { detail: "the admission is closed".to_owned() };
    let narrow = Arc::clone(narrow).acquire_many_owned(in_narrow).await.map_err(closed)?;
    let wide = Arc::clone(wide).acquire_many_owned(in_wide).await.map_err(closed)?;
    Ok(vec![narrow, wide])
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn unit(error: AnalyzeError) -> &'static str {
        match error {
            AnalyzeError::Overloaded { unit, .. } => unit,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn streams_leave_a_quarter_to_single_requests() {
        let admission = Admission::new(8, 8 << 20, 1);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(admission.enter().await.unwrap());
        }
        assert!(admission.enter().now_or_never().is_none(), "the seventh waits");
        let single = [admission.try_enter().unwrap(), admission.try_enter().unwrap()];
        assert_eq!(unit(admission.try_enter().unwrap_err()), "requests");
        drop(single);
        held.pop();
        assert!(admission.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn single_requests_may_take_all_that_is_free() {
        let admission = Admission::new(4, 1 << 20, 1);
        let single: Vec<_> = (0..4).map(|_| admission.try_enter().unwrap()).collect();
        assert!(admission.enter().now_or_never().is_none());
        drop(single);
        assert!(admission.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn bytes_are_a_budget_of_their_own_and_are_given_back() {
        let admission = Admission::new(8, 8 << 20, 1);
        let mut first = admission.enter().await.unwrap();
        first.weigh(5 << 20).await.unwrap();
        let mut second = admission.enter().await.unwrap();
        assert!(second.weigh(2 << 20).now_or_never().is_none(), "6 MiB are for streams");
        let mut single = admission.try_enter().unwrap();
        single.weigh(3 << 20).await.unwrap();
        assert_eq!(unit(admission.try_enter().unwrap().weigh(1).await.unwrap_err()), "bytes of pictures");
        first.lighten(1 << 20);
        assert!(second.weigh(2 << 20).now_or_never().is_some());
        drop((first, second, single));
        let mut whole = admission.try_enter().unwrap();
        whole.weigh(8 << 20).await.unwrap();
    }

    #[tokio::test]
    async fn a_picture_heavier_than_the_budget_works_alone() {
        let admission = Admission::new(8, 1 << 20, 1);
        let mut giant = admission.enter().await.unwrap();
        giant.weigh(1 << 40).now_or_never().expect("room for one").unwrap();
        let mut other = admission.enter().await.unwrap();
        assert!(other.weigh(1).now_or_never().is_none());
        drop(giant);
        assert!(other.weigh(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_smallest_budget_still_works() {
        let admission = Admission::new(1, 1, 1);
        assert_eq!(admission.stream_slots(), 1);
        let mut slot = admission.enter().await.unwrap();
        slot.weigh(100).now_or_never().unwrap().unwrap();
        drop(slot);
        admission.try_enter().unwrap().weigh(100).await.unwrap();
        let open = admission.open_stream().unwrap();
        assert_eq!(unit(admission.open_stream().unwrap_err()), "streams");
        drop(open);
        assert!(admission.open_stream().is_ok());
    }
}
