//! What a group of analyses may use together: places, room for encoded pictures, workers.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::places::Places;
use crate::pipeline::error::AnalyzeError;

/// Bytes are counted in KiB, so that they fit the semaphore's `u32`.
pub(super) const UNIT_BYTES: u64 = 1024;

/// The permits of a lane. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) slots: Places,
    pub(super) room: Room,
    pub(super) workers: Arc<Semaphore>,
}

/// A budget of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) permits: Arc<Semaphore>,
    /// In units.
    max: u32,
}

impl Lane {
    pub(super) fn new(slots: usize, room: Room, workers: usize) -> Self {
        Self { slots: Places::new(slots), room, workers: Arc::new(Semaphore::new(workers)) }
    }
}

impl Room {
    /// Room for `bytes`, in whole units and at least one.
    pub(super) fn of_bytes(bytes: u64) -> Self {
        Self::of_units(u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX))
    }

    /// Three quarters of it, with permits of their own.
    pub(super) fn three_quarters(&self) -> Self {
        Self::of_units(self.max - self.max / 4)
    }

    fn of_units(units: u32) -> Self {
        let max = units.clamp(1, u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { permits: Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS))), max }
    }

    /// Bytes that are accounted for now.
    pub(super) fn taken_bytes(&self) -> u64 {
        let free = u64::try_from(self.permits.available_permits()).unwrap_or(u64::MAX);
        u64::from(self.max).saturating_sub(free) * UNIT_BYTES
    }

    pub(super) fn max_bytes(&self) -> u64 {
        u64::from(self.max) * UNIT_BYTES
    }

    /// How many permits `bytes` take. What is heavier than the whole budget takes all of it, and so is there alone.
    pub(super) fn weight_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.max)
    }
}

/// Permits of all, the narrowest first: nobody holds a wider one while waiting for a narrower.
pub(super) async fn acquire<const N: usize>(
    from_narrow_to_wide: [&Arc<Semaphore>; N],
    count: u32,
) -> Result<Vec<OwnedSemaphorePermit>, AnalyzeError> {
    let mut permits = Vec::with_capacity(N);
    for semaphore in from_narrow_to_wide {
        permits.push(Arc::clone(semaphore).acquire_many_owned(count).await.map_err(closed)?);
    }
    Ok(permits)
}

pub(super) fn closed(_: AcquireError) -> AnalyzeError {
    AnalyzeError::Internal { detail: "the admission is closed".to_owned() }
}
