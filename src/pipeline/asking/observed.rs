//! One call of a model as operators see it: its span, and what of it is counted.

use std::future::Future;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    domain::{Caller, ModelProfile},
    metrics::{AttemptOutcome, Metrics},
    pipeline::ports::{ModelError, Reply},
    spans::Chat,
};

/// A call that goes on. Dropped without a word, as when the caller leaves, it is not counted, and its span says so.
pub(super) struct Attempt<'a> {
    metrics: &'a Metrics,
    model: &'a ModelProfile,
    started: Instant,
    chat: Chat,
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(metrics: &'a Metrics, model: &'a ModelProfile) -> Self {
        Self { metrics, model, started: Instant::now(), chat: Chat::begin(&model.id) }
    }

    /// The call itself, within its span.
    pub(super) fn watch<F: Future>(&self, call: F) -> impl Future<Output = F::Output> + use<F> {
        call.instrument(self.chat.span())
    }

    /// The call ended.
    pub(super) fn ended(self, outcome: &Result<Reply, ModelError>, caller: &Caller) {
        let elapsed = self.started.elapsed();
        match outcome {
            Ok(reply) => {
                self.metrics.attempt(self.model, AttemptOutcome::Ok, elapsed);
                self.metrics.paid(self.model, caller, &reply.usage);
                self.chat.answered(&self.model.id, &reply.usage, reply.stop_reason);
            }
            Err(error) => {
                let (outcome, kind) = told(error);
                self.metrics.attempt(self.model, outcome, elapsed);
                self.chat.failed(kind);
            }
        }
    }

    /// The time is up, and there is no answer.
    pub(super) fn silent(self) {
        self.metrics.attempt(self.model, AttemptOutcome::Failed, self.started.elapsed());
        self.chat.failed("timeout");
    }
}

/// How an error is counted, and its kind for the span.
fn told(error: &ModelError) -> (AttemptOutcome, &'static str) {
    use AttemptOutcome::{Failed, Throttled, Unavailable};
    match error {
        ModelError::Throttled => (Throttled, "throttled"),
        ModelError::QuotaExceeded => (Throttled, "quota_exceeded"),
        ModelError::Unavailable { .. } => (Unavailable, "unavailable"),
        ModelError::NotEnabled { .. } => (Failed, "not_enabled"),
        ModelError::ProfileRequired => (Failed, "profile_required"),
        ModelError::EndOfLife => (Failed, "end_of_life"),
        ModelError::Refused => (Failed, "refused"),
        ModelError::Filtered => (Failed, "filtered"),
        ModelError::ImageUnreadable => (Failed, "image_unreadable"),
        ModelError::PartRefused { .. } => (Failed, "part_refused"),
        ModelError::PictureUnseen { .. } => (Failed, "picture_unseen"),
        ModelError::CircuitOpen { .. } => (Failed, "circuit_open"),
        ModelError::Rejected { .. } => (Failed, "rejected"),
        ModelError::Malformed { .. } => (Failed, "malformed"),
        ModelError::Credentials { .. } => (Failed, "credentials"),
    }
}
