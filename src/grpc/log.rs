//! The lines that calls leave in the log: ids, sizes, codes and times, never pictures, prompts or answers.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::status::Failure;
use crate::{
    domain::{Analysis, Caller},
    pipeline::AnalyzeError,
};

/// The call, or the item of a stream, that a line is about.
pub(super) struct Call<'a> {
    /// Empty when it has none.
    pub(super) request_id: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) elapsed: Duration,
}

/// The line of a call whose caller has left, or that panicked: dropped with the call, unless it was forgotten because the call ended.
pub(super) struct Unfinished<'a> {
    pub(super) request_id: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) received: Instant,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Self { request_id, caller, received } = self;
        let elapsed = received.elapsed();
        if std::thread::panicking() {
            tracing::error!(request_id, %caller, ?elapsed, "panicked");
        } else {
            tracing::info!(request_id, %caller, ?elapsed, "cancelled by the caller");
        }
    }
}

/// The line of an analysis.
pub(super) fn analyzed(call: &Call<'_>, analysis: &Analysis) {
    let Call { request_id, caller, elapsed } = call;
    tracing::info!(
        request_id,
        %caller,
        ?elapsed,
        image_bytes = analysis.image.byte_count,
        image_size = %analysis.image.size,
        model = analysis.model.as_ref().map(|model| model.served.as_str()),
        input_tokens = analysis.usage.input_tokens,
        output_tokens = analysis.usage.output_tokens,
        model_calls = analysis.usage.model_calls,
        cached = analysis.model.as_ref().map(|model| model.cached),
        warnings = analysis.warnings.len(),
        "analyzed"
    );
}

/// The line of a failure. What caused it is for the log alone.
pub(super) fn failed(call: &Call<'_>, failure: &Failure, cause: Option<&AnalyzeError>) {
    let Call { request_id, caller, elapsed } = call;
    let ((code, reason), denied) = (failure.summary(), failure.denied());
    let cause = cause.map(tracing::field::display);
    match code {
        // A caller's own limits are no trouble of the server.
        Code::Internal | Code::Unavailable | Code::ResourceExhausted if denied.is_none() => {
            tracing::warn!(request_id, %caller, ?elapsed, ?code, reason, cause, "failed");
        }
        _ => tracing::info!(request_id, %caller, ?elapsed, ?code, reason, denied, cause, "failed"),
    }
}
