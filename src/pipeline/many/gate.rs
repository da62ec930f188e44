//! Who lets the items of a stream in: its caller may not do everything, nor as much as it likes.

use std::sync::Arc;

use async_trait::async_trait;

use super::Task;
use crate::{
    domain::{Analysis, Usage},
    pipeline::{Analyzer, Failed, Job, Slot},
};

/// Lets items in, or refuses them as the transport would.
#[async_trait]
pub trait Gate<R>: Send + Sync {
    /// Asked once for every item, before it takes a place of the process. While it waits, no further request of the stream
    /// is read.
    ///
    /// # Errors
    /// The refusal of this item.
    async fn enter(&self, task: &Task) -> Result<Box<dyn Pass>, R>;
}

/// The right of one item to be in work, held until its work is done.
pub trait Pass: Send + Sync {
    /// Told once what the item used up, whether it succeeded or failed.
    fn charge(&self, usage: &Usage);
}

/// The requests of a stream, and who lets its items in.
pub struct Incoming<S, R> {
    /// The requests.
    pub requests: S,
    /// Who lets their items in.
    pub gate: Arc<dyn Gate<R>>,
}

/// An item that was let in and has its place.
pub(super) struct Admitted {
    pub(super) task: Box<Task>,
    pub(super) slot: Box<Slot>,
    pub(super) pass: Box<dyn Pass>,
}

/// The work of an item.
pub(super) async fn work(
    analyzer: Arc<Analyzer>,
    slot: Box<Slot>,
    pass: Box<dyn Pass>,
    job: Job,
) -> Result<Analysis, Failed> {
    let outcome = analyzer.analyze_in(*slot, job).await;
    pass.charge(outcome.as_ref().map_or_else(|failed| &failed.usage, |analysis| &analysis.usage));
    outcome
}
