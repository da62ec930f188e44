//! How requests fare, as the limit on requests in progress wants to know it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Job, Slot, admission::End, asking::Claim, error::AnalyzeError, sharing::Landed};
use crate::{domain::ModelProfile, prompt};

/// What kind of request this is: those of one kind take about the same time. They have the model, about the length of the
/// answer, about the size of the file and where it comes from in common.
pub(super) fn kind(job: &Job, model: &ModelProfile, byte_count: u64) -> u64 {
    let tokens = job.options.max_output_tokens.unwrap_or_else(|| prompt::output_budget(&job.features));
    let mut hasher = DefaultHasher::new();
    // In steps: answers by a factor of two, files of four.
    (&model.id, tokens.max(1).ilog2(), byte_count.max(1).ilog2() / 2).hash(&mut hasher);
    std::mem::discriminant(&job.source).hash(&mut hasher);
    hasher.finish()
}

/// Tells how a request fared, if that says something of the load. One for which others paid took a part of their time.
pub(super) fn tell(slot: &mut Slot, kind: u64, landed: &Result<Landed, (AnalyzeError, Claim)>) {
    let (claim, error) = match landed {
        Ok(Landed { outcome, claim }) => (claim, outcome.as_ref().err()),
        Err((error, claim)) => (claim, Some(error)),
    };
    if claim.usage.model_calls == 0 {
        return;
    }
    let paused = claim.backoff;
    let end = match error {
        None => End::Answered { kind, paused },
        Some(AnalyzeError::DeadlineExceeded { .. }) => End::Silent { kind, paused },
        Some(_) => End::Untold,
    };
    slot.tell(claim.throttled, end);
}
