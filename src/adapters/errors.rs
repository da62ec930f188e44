//! What an error of Bedrock Runtime means, whichever operation it ends.
//!
//! The service's words may hold parts of the request: they are looked at here, and stay out of errors and of the ordinary
//! log.

use std::time::Duration;

use aws_sdk_bedrockruntime::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::{converse::ConverseError, invoke_model::InvokeModelError},
};

use super::{clients::is_credentials_failure, refusal, s3::chain};
use crate::pipeline::{ModelError, Question};

/// An error that an operation of Bedrock Runtime ends with.
pub(super) trait OperationError: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static {
    /// The status that the model itself answered, when it is the model that failed.
    fn original_status(&self) -> Option<i32>;
}

impl OperationError for InvokeModelError {
    fn original_status(&self) -> Option<i32> {
        match self {
            Self::ModelErrorException(fault) => fault.original_status_code(),
            _ => None,
        }
    }
}

impl OperationError for ConverseError {
    fn original_status(&self) -> Option<i32> {
        match self {
            Self::ModelErrorException(fault) => fault.original_status_code(),
            _ => None,
        }
    }
}

/// What an error of the SDK means for `question`.
///
/// `took` is the time since it was asked.
pub(super) fn meaning<E: OperationError>(
    error: &SdkError<E, HttpResponse>,
    question: &Question,
    took: Duration,
) -> ModelError {
    let SdkError::ServiceError(service) = error else { return without_answer(error, took) };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let message = service.err().message().unwrap_or_default();
    tracing::debug!(status, code, message, "Bedrock answered an error");
    let detail = format!("{status} {code}");
    let unavailable = |detail, retryable| ModelError::Unavailable { detail, retryable };
    match (code, status) {
        // The SDK cannot read an answer that is there.
        (_, 200..=299) => ModelError::Malformed { detail: format!("{status}, but no answer of the operation") },
        ("ThrottlingException" | "TooManyRequestsException", _) => throttled(message),
        ("ModelNotReadyException", _) => unavailable(detail, true),
        (_, 429) => throttled(message),
        // Converse does not model it: it is known by its name alone.
        ("ServiceQuotaExceededException", _) => ModelError::QuotaExceeded,
        (
            "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException",
            _,
        ) => ModelError::Credentials { detail },
        ("AccessDeniedException", _) | (_, 401 | 403) => ModelError::NotEnabled { detail },
        // Any other 404 is of an endpoint that is no Bedrock Runtime.
        ("ResourceNotFoundException", _) => ModelError::EndOfLife,
        // The model worked on it and may be paid for it.
        ("ModelTimeoutException", _) | (_, 408 | 504) => unavailable(detail, false),
        ("ModelErrorException", _) | (_, 424) => {
            let is_passing_fault = matches!(service.err().original_status(), Some(500..)) || is_passing(message);
            match invalid(message, detail.clone(), question) {
                // A part that the model stumbles over would make it stumble again, whatever its status.
                ModelError::Rejected { .. } if is_passing_fault => unavailable(detail, true),
                ModelError::PartRefused { part, lasting, detail, .. } => {
                    ModelError::PartRefused { part, lasting, may_be_billed: true, detail }
                }
                meaning => meaning,
            }
        }
        ("ValidationException", _) => invalid(message, detail, question),
        (_, 500..=599) => unavailable(detail, true),
        _ => ModelError::Rejected { detail },
    }
}

/// A quota per day does not come back while a caller waits.
fn throttled(message: &str) -> ModelError {
    match message.to_ascii_lowercase().contains("per day") {
        true => ModelError::QuotaExceeded,
        false => ModelError::Throttled,
    }
}

/// Whether the words of a model's fault ask for another try, as Nova's do whatever the status beside them.
fn is_passing(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["unexpected error", "try your request again"].iter().any(|words| message.contains(words))
}

/// What vendors say of a picture that they cannot read.
const UNREADABLE: [&str; 3] =
    ["could not process image", "failed to decode image", "image does not match the specified image format"];

/// The service tells these apart by its words alone.
fn invalid(message: &str, detail: String, question: &Question) -> ModelError {
    if let Some((part, lasting)) = refusal::refused_part(message, question) {
        return ModelError::PartRefused { part, lasting, may_be_billed: false, detail };
    }
    let message = message.to_ascii_lowercase();
    if message.contains("on-demand throughput") {
        ModelError::ProfileRequired
    } else if message.contains("model identifier is invalid") || message == "operation not allowed" {
        ModelError::NotEnabled { detail }
    } else if message.contains("end of life") || message.contains("end of its life") {
        ModelError::EndOfLife
    } else if UNREADABLE.iter().any(|words| message.contains(words)) {
        ModelError::ImageUnreadable
    } else if message.contains("content filter") {
        ModelError::Filtered
    } else {
        ModelError::Rejected { detail }
    }
}

/// No error of the service. A connection that could not be made or broke is tried again; silence is not, for what the
/// model works on is billed.
fn without_answer<E: OperationError>(error: &SdkError<E, HttpResponse>, took: Duration) -> ModelError {
    let detail = chain(error);
    if is_credentials_failure(error) {
        return ModelError::Credentials { detail };
    }
    let retryable = match error {
        // The SDK calls a connection that closed before the answer transient rather than an I/O error.
        SdkError::DispatchFailure(failure) => {
            let is_broken = failure.is_io() || failure.as_other().is_some();
            (is_broken && took < LONG_SILENCE) || (failure.is_timeout() && is_unsent(&detail))
        }
        _ => false,
    };
    ModelError::Unavailable { detail, retryable }
}

/// A connection that breaks after this long was cut for its silence, while the model worked.
const LONG_SILENCE: Duration = Duration::from_secs(10);

/// Whether a timeout came before anything was sent. The SDK tells its timeouts apart in its words alone.
fn is_unsent(detail: &str) -> bool {
    detail.contains("HTTP connect timeout")
}
