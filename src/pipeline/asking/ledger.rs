//! What is used up for a request, and how long it may go on, seen from outside while it runs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{domain::Usage, pipeline::Deadline};

/// Tokens and calls as they are used up.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    unclaimed: Usage,
    calls: u32,
    model_time: Duration,
    backoff: Duration,
    throttled: u32,
}

/// What one of those who share a request is told that it cost.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pipeline) struct Claim {
    pub(in crate::pipeline) usage: Usage,
    pub(in crate::pipeline) model_time: Duration,
    pub(in crate::pipeline) backoff: Duration,
    /// Calls that were too many for a model.
    pub(in crate::pipeline) throttled: u32,
}

impl Ledger {
    /// A call begins.
    pub(super) fn call(&self) {
        let mut entries = self.lock();
        entries.calls += 1;
        entries.unclaimed.model_calls += 1;
    }

    /// A call was answered, with tokens that are paid for.
    pub(in crate::pipeline) fn paid(&self, usage: Usage) {
        self.lock().unclaimed += usage;
    }

    /// A call may have been billed that nobody told the tokens of.
    pub(super) fn unknown(&self) {
        self.lock().unclaimed.is_unpriced = true;
    }

    /// A call was too many for the model.
    pub(super) fn throttled(&self) {
        self.lock().throttled += 1;
    }

    pub(super) fn spent_in_the_model(&self, time: Duration) {
        self.lock().model_time += time;
    }

    pub(super) fn spent_in_backoff(&self, time: Duration) {
        self.lock().backoff += time;
    }

    /// Calls made so far.
    pub(super) fn calls(&self) -> u32 {
        self.lock().calls
    }

    /// Takes what nobody has claimed: the first who asks pays, the others share for nothing.
    pub(in crate::pipeline) fn claim(&self) -> Claim {
        let mut entries = self.lock();
        Claim {
            usage: std::mem::take(&mut entries.unclaimed),
            model_time: std::mem::take(&mut entries.model_time),
            backoff: std::mem::take(&mut entries.backoff),
            throttled: std::mem::take(&mut entries.throttled),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a request goes on: as long as one of those who share it has time and has not left.
#[derive(Debug)]
pub(in crate::pipeline) struct Patience {
    latest: Mutex<Deadline>,
    ended: Notify,
}

impl Patience {
    pub(in crate::pipeline) fn until(deadline: Deadline) -> Self {
        Self { latest: Mutex::new(deadline), ended: Notify::new() }
    }

    /// One more shares the request.
    pub(in crate::pipeline) fn extend(&self, deadline: Deadline) {
        let mut latest = self.latest();
        *latest = (*latest).max(deadline);
    }

    /// The time of the last who shared the request is up.
    pub(in crate::pipeline) fn end(&self) {
        *self.latest() = Deadline::at(Instant::now());
        self.ended.notify_one();
    }

    pub(super) fn remaining(&self) -> Duration {
        self.latest().remaining()
    }

    /// Resolves when there is no time left.
    pub(super) async fn is_over(&self) {
        while !self.remaining().is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.remaining()) => {}
                () = self.ended.notified() => return,
            }
        }
    }

    fn latest(&self) -> MutexGuard<'_, Deadline> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
