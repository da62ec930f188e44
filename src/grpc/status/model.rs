//! Models that give no answer, or none that can be used.

use std::time::Duration;

use tonic::Code;
use tonic_types::pb;

use super::{Failure, credentials, shortened};
use crate::pipeline::ModelError;

const MODEL_ACCESS: &str = "https://docs.aws.amazon.com/bedrock/latest/userguide/model-access.html";
const PROFILES: &str = "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html";
const LIFECYCLE: &str = "https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html";

pub(super) fn unknown(model: &str) -> Failure {
    let message =
        format!("This server does not list the model {}. GetCapabilities names those it does.", shortened(model, 200));
    Failure::new(Code::InvalidArgument, "MODEL_UNKNOWN", message).with("model", model)
}

pub(super) fn unsupported(features: &[&'static str]) -> Failure {
    let names = features.join(", ");
    let message = format!("The model can never answer {names}. Ask another model, or leave it out.");
    Failure::new(Code::FailedPrecondition, "FEATURE_UNSUPPORTED", message).with("features", names)
}

pub(super) fn unreadable(model: &str, calls: u32) -> Failure {
    let message = "The model's answer could not be read. Try again, ask for fewer features or name another model.";
    Failure::new(Code::Internal, "MODEL_OUTPUT_INVALID", message)
        .with("model", model)
        .with("model_call_count", calls.to_string())
}

pub(super) fn failure(model: &str, error: &ModelError, calls: u32, retry_after: Option<Duration>) -> Failure {
    let shown = shortened(model, 200);
    let failure = match error {
        ModelError::ImageUnreadable => {
            let message = "The model could not read the picture: the file is damaged. Upload it again.";
            Failure::new(Code::InvalidArgument, "IMAGE_CORRUPT", message)
        }
        ModelError::Throttled | ModelError::QuotaExceeded => throttled(&shown, error, retry_after),
        ModelError::NotEnabled { .. } => {
            let message = format!(
                "The server may not invoke {shown}: access to the model is not granted in this Region, or its role lacks \
                 bedrock:InvokeModel on the profile and on the models behind it."
            );
            precondition("MODEL_NOT_ENABLED", message, "MODEL_ACCESS", &shown).help("Access to models", MODEL_ACCESS)
        }
        ModelError::ProfileRequired => {
            let message = format!(
                "{shown} can only be invoked through an inference profile: configure the whole profile id, whose prefix names \
                 where it runs (us., eu., apac., global., ...)."
            );
            precondition("INFERENCE_PROFILE_REQUIRED", message, "INFERENCE_PROFILE", &shown)
                .help("Inference profiles and their Regions", PROFILES)
        }
        ModelError::EndOfLife => {
            let message =
                format!("Bedrock no longer has {shown} in this Region, or never had. Configure a current model.");
            precondition("MODEL_END_OF_LIFE", message, "MODEL_LIFECYCLE", &shown).help("Lifecycle of models", LIFECYCLE)
        }
        ModelError::Refused => {
            let message = "The model refused to answer about this picture. Asking again will not help.";
            precondition("MODEL_REFUSED", message.to_owned(), "MODEL_POLICY", &shown)
        }
        ModelError::Filtered => {
            let message = "A guardrail or content filter stepped in. Asking again will not help.";
            precondition("CONTENT_FILTERED", message.to_owned(), "CONTENT_FILTER", &shown)
        }
        ModelError::Rejected { .. } | ModelError::PartRefused { .. } => {
            let message =
                format!("Bedrock refused the server's request to {shown}. The operators find the cause in the log.");
            Failure::new(Code::Internal, "MODEL_REQUEST_REJECTED", message)
        }
        ModelError::PictureUnseen { input_tokens, image_tokens } => {
            let message = format!(
                "{shown} answered without having seen the picture: it took {input_tokens} input tokens, and the picture alone \
                 is {image_tokens}. Name another model."
            );
            Failure::new(Code::Internal, "IMAGE_NOT_SEEN", message)
        }
        ModelError::CircuitOpen { retry_after } => {
            let message = format!("{shown} has failed again and again and is not asked for a while. Try again later.");
            Failure::new(Code::Unavailable, "MODEL_UNAVAILABLE", message).retry_after(*retry_after)
        }
        ModelError::Malformed { .. } => return unreadable(model, calls),
        ModelError::Credentials { .. } => credentials(),
        ModelError::Unavailable { .. } => {
            let message = format!("{shown} could not answer. Try again.");
            Failure::new(Code::Unavailable, "MODEL_UNAVAILABLE", message).retry_after(Duration::from_secs(1))
        }
    };
    failure.with("model", model).with("model_call_count", calls.to_string())
}

fn throttled(model: &str, error: &ModelError, retry_after: Option<Duration>) -> Failure {
    let quota = *error == ModelError::QuotaExceeded;
    let (what, usual) = match quota {
        true => ("a quota of the account is used up", Duration::from_secs(60)),
        false => ("Bedrock throttles the account", Duration::from_secs(2)),
    };
    let message = format!("{model} takes no more requests now: {what}. Try again later.");
    let violation = pb::quota_failure::Violation {
        subject: format!("model:{model}"),
        description: what.to_owned(),
        ..pb::quota_failure::Violation::default()
    };
    let mut failure = Failure::new(Code::ResourceExhausted, "MODEL_THROTTLED", message)
        .detail("QuotaFailure", &pb::QuotaFailure { violations: vec![violation] })
        .retry_after(retry_after.unwrap_or(usual));
    failure.pushback = true;
    failure
}

fn precondition(reason: &'static str, message: String, kind: &str, model: &str) -> Failure {
    Failure::new(Code::FailedPrecondition, reason, message).precondition(kind, model, "see the message")
}
