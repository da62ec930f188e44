//! The lines that calls leave in the log: ids, sizes, codes and times, never pictures, prompts or answers.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::status::Failure;
use crate::{domain::Analysis, pipeline::AnalyzeError};

/// The line of a call whose caller has left, or that panicked: dropped with the call, unless it was forgotten because the call ended.
pub(super) struct Unfinished<'a> {
    pub(super) request_id: &'a str,
    pub(super) received: Instant,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let (request_id, elapsed) = (self.request_id, self.received.elapsed());
        if std::thread::panicking() {
            tracing::error!(request_id, ?elapsed, "panicked");
        } else {
            tracing::info!(request_id, ?elapsed, "cancelled by the caller");
        }
    }
}

/// The line of an analysis.
pub(super) fn analyzed(request_id: &str, elapsed: Duration, analysis: &Analysis) {
    tracing::info!(
        request_id,
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
pub(super) fn failed(request_id: &str, elapsed: Duration, failure: &Failure, cause: Option<&AnalyzeError>) {
    let (code, reason) = failure.summary();
    let cause = cause.map(tracing::field::display);
    match code {
        Code::Internal | Code::Unavailable | Code::ResourceExhausted => {
            tracing::warn!(request_id, ?elapsed, ?code, reason, cause, "failed");
        }
        _ => tracing::info!(request_id, ?elapsed, ?code, reason, cause, "failed"),
    }
}
