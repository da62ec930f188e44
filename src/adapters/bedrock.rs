//! Claude on Amazon Bedrock, through InvokeModel.

use async_trait::async_trait;
use aws_sdk_bedrockruntime::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, invoke_model::InvokeModelError},
    primitives::Blob,
};

use super::{clients::is_credentials_failure, messages, s3::chain};
use crate::{
    domain::ModelProfile,
    pipeline::{ModelError, Question, Reply, VisionModel},
};

/// A [`VisionModel`] over Amazon Bedrock Runtime or a server that speaks its protocol.
#[derive(Debug, Clone)]
pub struct BedrockModel {
    client: Client,
    region: String,
}

impl BedrockModel {
    /// A model endpoint over `client`, whose requests go to `region`.
    pub fn new(client: Client, region: String) -> Self {
        Self { client, region }
    }
}

#[async_trait]
impl VisionModel for BedrockModel {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        // A map of strings always has a JSON form.
        let tags = (!question.tags.is_empty()).then(|| serde_json::to_string(&question.tags).unwrap_or_default());
        let request = self
            .client
            .invoke_model()
            .model_id(&question.model.id)
            .content_type("application/json")
            .accept("application/json")
            .set_request_metadata(tags)
            .body(Blob::new(messages::request(question)));
        let output = request.send().await.map_err(|error| meaning(&error))?;
        messages::reply(output.body().as_ref(), output.request_id().map(str::to_owned))
    }

    fn region<'a>(&'a self, _model: &'a ModelProfile) -> &'a str {
        &self.region
    }
}

type InvokeError = SdkError<InvokeModelError, HttpResponse>;

/// What an error of the SDK means.
fn meaning(error: &InvokeError) -> ModelError {
    let SdkError::ServiceError(service) = error else { return without_answer(error) };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let message = service.err().message().unwrap_or_default();
    // The service's words may hold parts of the request: they stay out of errors and of the ordinary log.
    tracing::debug!(status, code, message, "Bedrock answered an error");
    let detail = format!("{status} {code}");
    let unavailable = |detail, retryable| ModelError::Unavailable { detail, retryable };
    match (code, status) {
        ("ThrottlingException" | "TooManyRequestsException", _) => ModelError::Throttled,
        ("ModelNotReadyException", _) => unavailable(detail, true),
        (_, 429) => ModelError::Throttled,
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
        ("ResourceNotFoundException", _) | (_, 404) => ModelError::EndOfLife,
        // The model worked on it and may be paid for it.
        ("ModelTimeoutException", _) | (_, 408) => unavailable(detail, false),
        ("ModelErrorException", _) | (_, 424) => model_fault(service.err(), detail),
        ("ValidationException", _) => invalid(message, detail),
        (_, 500..=599) => unavailable(detail, true),
        _ => ModelError::Rejected { detail },
    }
}

/// A fault that the model itself reported: the service's when its own status says so, else ours.
fn model_fault(error: &InvokeModelError, detail: String) -> ModelError {
    match error {
        InvokeModelError::ModelErrorException(fault)
            if fault.original_status_code().is_some_and(|code| code >= 500) =>
        {
            ModelError::Unavailable { detail, retryable: true }
        }
        _ => ModelError::Rejected { detail },
    }
}

/// The service tells these apart by its words alone.
fn invalid(message: &str, detail: String) -> ModelError {
    let message = message.to_ascii_lowercase();
    if message.contains("on-demand throughput") {
        ModelError::ProfileRequired
    } else if message.contains("model identifier is invalid") {
        ModelError::NotEnabled { detail }
    } else if message.contains("end of life") || message.contains("end of its life") {
        ModelError::EndOfLife
    } else if message.contains("could not process image") {
        ModelError::ImageUnreadable
    } else if message.contains("content filter") {
        ModelError::Filtered
    } else {
        ModelError::Rejected { detail }
    }
}

/// No answer of the service. A connection that could not be made or broke is tried again; silence is not, for what the
/// model works on is billed.
fn without_answer(error: &InvokeError) -> ModelError {
    let detail = chain(error);
    if is_credentials_failure(error) {
        return ModelError::Credentials { detail };
    }
    let retryable = match error {
        // The SDK calls a connection that closed before the answer transient rather than an I/O error.
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.as_other().is_some(),
        _ => false,
    };
    ModelError::Unavailable { detail, retryable }
}
