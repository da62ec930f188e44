//! Who works on pixels, and with how much memory.
//!
//! The memory that a preparation takes at most is known before it begins, and is what it waits for, first come, first
//! served, once it has its worker. **Nobody waits in a circle**: places, room for files, the turn of equal requests, a worker
//! and memory are taken in this order, and whoever holds memory waits for nothing more but works until it is done, which
//! gives both back. **Streams need leave no part of it**: only who has a worker waits for memory, so that a single request
//! is behind as many others as there are workers less one, however many items of streams there are.
//!
//! A worker that waits for memory idles. That is the price of a short queue, and small: the budget holds a usual picture for
//! each worker many times over.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    lane::{Room, acquire},
    pool::Pool,
};
use crate::pipeline::error::AnalyzeError;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Workshop {
    pool: Pool,
    memory: Room,
}

/// A worker for what takes CPU, until it is dropped, with the memory it was given.
#[derive(Debug)]
pub struct Worker {
    workshop: Arc<Workshop>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Workshop {
    /// For `workers` at once, which take at most `max_memory` bytes together.
    pub(super) fn new(workers: usize, max_memory: u64) -> Self {
        Self { pool: Pool::new(workers), memory: Room::of_bytes(max_memory) }
    }

    /// A worker by its permits. There are never more of them than threads, so that what it is told to do begins at once.
    pub(super) fn worker(self: &Arc<Self>, permits: Vec<OwnedSemaphorePermit>) -> Worker {
        Worker { workshop: Arc::clone(self), permits }
    }
}

impl Worker {
    /// Waits for memory. What takes none does not wait.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub async fn with_memory(mut self, bytes: u64) -> Result<Self, AnalyzeError> {
        if bytes > 0 {
            let memory = &self.workshop.memory;
            let permits = acquire([&memory.permits], memory.weight_of(bytes)).await?;
            self.permits.extend(permits);
        }
        Ok(self)
    }

    /// Works off the async threads. The worker and its memory are taken until the work is done, also when the caller has left:
    /// they bound work, not waiting.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the work panics.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AnalyzeError> {
        let workshop = Arc::clone(&self.workshop);
        let held = move || {
            let _held = self;
            work()
        };
        workshop.pool.run(held).await
    }

    /// As [`Self::run`], with more to do afterwards: gives the worker back beside what the work came to.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn step<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(Self, T), AnalyzeError> {
        let workshop = Arc::clone(&self.workshop);
        workshop.pool.run(move || (self, work())).await
    }
}
