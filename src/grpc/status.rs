//! THE one map from error to gRPC status. Every status carries exactly one `ErrorInfo` of the domain `sightline`.
//!
//! A caller's message names what is wrong and what to do. It never repeats what AWS or a model said, which may hold parts
//! of the request: that goes to the log. A status travels in HTTP/2 headers, so everything in it is kept short.

mod caller;
mod identity;
mod image;
mod listing;
mod model;
mod storage;

use std::time::Duration;

use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::pb;

pub(super) use self::identity::unidentified;
use super::{response::duration, violations::Violation};
use crate::{domain::MissingCause, pipeline::AnalyzeError};
pub(super) use caller::{denied, refused};

/// The `domain` of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "sightline";
/// Most bytes of a message: headers are limited, and some clients refuse more than 8 KB of them.
const MAX_MESSAGE_BYTES: usize = 600;
/// Most bytes of all details: with the message and base64 around them under 4 KB.
const MAX_DETAILS_BYTES: usize = 1700;

/// A failure on its way to a status.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    code: Code,
    reason: &'static str,
    message: Box<str>,
    metadata: Vec<(&'static str, String)>,
    details: Vec<Any>,
    retry_after: Option<Duration>,
    /// Also tell gRPC's own retries in the clients when to come back.
    pushback: bool,
    /// For the log: what a policy did not let the caller do.
    denied: Option<Box<str>>,
}

impl Failure {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into().into(),
            metadata: Vec::new(),
            details: Vec::new(),
            retry_after: None,
            pushback: false,
            denied: None,
        }
    }

    /// For the log: code and reason.
    pub(super) fn summary(&self) -> (Code, &'static str) {
        (self.code, self.reason)
    }

    /// For the log: what a policy did not let the caller do.
    pub(super) fn denied(&self) -> Option<&str> {
        self.denied.as_deref()
    }

    fn denying(self, what: impl std::fmt::Display) -> Self {
        Self { denied: Some(what.to_string().into()), ..self }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    fn detail(mut self, name: &str, message: &impl prost::Message) -> Self {
        self.details.push(any(name, message));
        self
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn precondition(self, kind: &str, subject: &str, description: &str) -> Self {
        let violation = pb::precondition_failure::Violation {
            r#type: kind.to_owned(),
            subject: shortened(subject, 500),
            description: description.to_owned(),
        };
        self.detail("PreconditionFailure", &pb::PreconditionFailure { violations: vec![violation] })
    }

    fn help(self, description: &str, url: &str) -> Self {
        let link = pb::help::Link { description: description.to_owned(), url: url.to_owned() };
        self.detail("Help", &pb::Help { links: vec![link] })
    }

    /// The status that the caller gets, with the request's id when there is one.
    pub(super) fn into_status(self, request_id: Option<&str>) -> Status {
        let mut trailers = MetadataMap::new();
        if let (Some(delay), true) = (self.retry_after, self.pushback) {
            let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            trailers.insert("grpc-retry-pushback-ms", millis.into());
        }
        let code = self.code;
        let status = self.into_message(request_id);
        let details = status.encode_to_vec().into();
        Status::with_details_and_metadata(code, status.message, details, trailers)
    }

    /// The failure as a `google.rpc.Status` message, with the request's id when there is one.
    pub(super) fn into_message(mut self, request_id: Option<&str>) -> pb::Status {
        if let Some(id) = request_id {
            let info = pb::RequestInfo { request_id: id.to_owned(), serving_data: String::new() };
            self = self.detail("RequestInfo", &info);
        }
        let metadata = self.metadata.into_iter().map(|(key, value)| (key.to_owned(), shortened(&value, 200))).collect();
        let info = pb::ErrorInfo { reason: self.reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
        let retry = self.retry_after.map(|delay| pb::RetryInfo { retry_delay: Some(duration(delay)) });
        let mut details = vec![any("ErrorInfo", &info)];
        details.extend(retry.map(|retry| any("RetryInfo", &retry)));
        details.extend(self.details);
        let mut size = 0;
        details.retain(|detail| {
            let fits = size + detail.encoded_len() <= MAX_DETAILS_BYTES;
            size += if fits { detail.encoded_len() } else { 0 };
            fits
        });
        pb::Status { code: self.code.into(), message: shortened(&self.message, MAX_MESSAGE_BYTES), details }
    }
}

/// The error of one feature beside the results of others.
pub(super) fn missing_feature(name: &'static str, cause: &MissingCause) -> pb::Status {
    match cause {
        MissingCause::Unsupported => model::unsupported(&[name]),
        MissingCause::Unreadable(why) => {
            let message = format!("The feature {name} has no result: {why}.");
            Failure::new(Code::Internal, "MODEL_OUTPUT_INVALID", message).with("feature", name)
        }
    }
    .into_message(None)
}

/// What the violations of a request become: all of them at once.
pub(super) fn invalid(violations: &[Violation]) -> Failure {
    let mut listed = Vec::new();
    let mut size = 0;
    for violation in violations {
        let entry = pb::bad_request::FieldViolation {
            field: shortened(&violation.field, 120),
            description: violation.description.clone(),
            reason: violation.reason.to_owned(),
            localized_message: None,
        };
        size += entry.encoded_len() + 4;
        if size > MAX_DETAILS_BYTES - 300 {
            break;
        }
        listed.push(entry);
    }
    let unlisted = violations.len() - listed.len();
    let mut fields: Vec<&str> = listed.iter().map(|violation| violation.field.as_str()).collect();
    // A schema may be wrong in many places.
    fields.dedup();
    let message = match (violations, fields.as_slice()) {
        ([only], _) => format!("{} {}.", only.field, only.description),
        (several, _) if unlisted > 0 => {
            format!("{} fields are invalid; the first {} are listed.", several.len(), listed.len())
        }
        (several, [field]) => format!("{field} is invalid in {} ways.", several.len()),
        (_, fields) => format!("{} fields are invalid: {}.", fields.len(), fields.join(", ")),
    };
    Failure::new(Code::InvalidArgument, "FIELD_INVALID", message)
        .detail("BadRequest", &pb::BadRequest { field_violations: listed })
}

/// What an error of the pipeline becomes.
pub(super) fn failure(error: &AnalyzeError) -> Failure {
    match error {
        AnalyzeError::ModelUnknown { model } => model::unknown(model),
        AnalyzeError::ContentTooLarge { actual, limit } => image::too_many_bytes(*actual, *limit),
        AnalyzeError::Store { object, error } => storage::failure(object, error),
        AnalyzeError::Image(error) => image::failure(error),
        AnalyzeError::Model { model, error, calls, retry_after } => model::failure(model, error, *calls, *retry_after),
        AnalyzeError::FeaturesUnsupported { features } => model::unsupported(features),
        AnalyzeError::Answer { model, calls, .. } => model::unreadable(model, *calls),
        AnalyzeError::DeadlineExceeded { stage } => {
            let message = format!("The deadline passed in the stage {}. Allow more time.", stage.as_str());
            Failure::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).with("stage", stage.as_str())
        }
        AnalyzeError::DeadlineTooShort { remaining, needed } => {
            let message = format!(
                "{} ms are left, too few to call the model, which needs at least {} ms. Allow more time.",
                remaining.as_millis(),
                needed.as_millis()
            );
            Failure::new(Code::DeadlineExceeded, "DEADLINE_TOO_SHORT", message).with("stage", "model")
        }
        AnalyzeError::RequestIdReused => {
            let message = "The request_id was used before, for a request with other content. Choose another one.";
            Failure::new(Code::AlreadyExists, "REQUEST_ID_REUSED", message)
        }
        AnalyzeError::Overloaded { limit, unit, retry_after } => {
            let message = format!("The server has {limit} {unit} in progress, as many as it takes. Try again shortly.");
            Failure::new(Code::Unavailable, "OVERLOADED", message).retry_after(*retry_after)
        }
        AnalyzeError::ItemIdDuplicate => {
            let message = "An earlier item of the stream has the same item_id; this one was not analyzed.";
            Failure::new(Code::AlreadyExists, "ITEM_ID_DUPLICATE", message)
        }
        AnalyzeError::Aborted => {
            let message = "Not analyzed: another item failed, and the stream's failure_mode is to stop then.";
            Failure::new(Code::Aborted, "ABORTED_AFTER_FAILURE", message)
        }
        AnalyzeError::Listing { bucket, prefix, error } => listing::failure(bucket, prefix, error),
        AnalyzeError::ListingUnordered { bucket, prefix } => listing::unordered(bucket, prefix),
        AnalyzeError::ListingEmpty { bucket, prefix, listed } => listing::empty(bucket, prefix, *listed),
        AnalyzeError::Internal { .. } => internal(),
    }
}

/// A stream has more items than the server keeps the ids of.
pub(super) fn too_many_items(limit: u64) -> Failure {
    let message =
        format!("The stream has {limit} items with an id, as many as one may have. Open another stream for the rest.");
    Failure::new(Code::ResourceExhausted, "STREAM_TOO_LONG", message).with("limit", limit.to_string())
}

/// The server ends before the call does.
pub(super) fn draining() -> Failure {
    let message = "The server is shutting down and could not finish the call. Try again: another instance may take it.";
    Failure::new(Code::Unavailable, "DRAINING", message).retry_after(Duration::from_secs(1))
}

/// A fault of this server, about which the caller can do nothing.
pub(super) fn internal() -> Failure {
    Failure::new(Code::Internal, "INTERNAL", "The server failed. The operators find the cause in its log.")
}

/// What the transport answers before or instead of a handler.
pub(super) fn of_the_transport(code: Code, message: &str) -> Failure {
    match code {
        Code::OutOfRange => Failure::new(code, "MESSAGE_TOO_LARGE", message),
        // The message's bytes are not those of its type: the caller's fault, not the server's.
        Code::Internal => Failure::new(Code::InvalidArgument, "REQUEST_MALFORMED", message),
        Code::Unimplemented if message.is_empty() => unimplemented("The method"),
        Code::Unimplemented => Failure::new(code, "NOT_IMPLEMENTED", message),
        code => Failure::new(code, "TRANSPORT_ERROR", message),
    }
}

/// Something that a client asks for and this version does not have.
fn unimplemented(what: &str) -> Failure {
    let message = format!("{what} is not implemented in this version.");
    Failure::new(Code::Unimplemented, "NOT_IMPLEMENTED", message).with("what", what)
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

/// `text`, cut at a character so that it has at most `most` bytes.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(most.saturating_sub(3))).unwrap_or_default())
}

/// The server's own AWS credentials are the operator's to mend.
fn credentials() -> Failure {
    let message = "The server has no valid AWS credentials. Its operator must give it a role, a profile or keys.";
    Failure::new(Code::FailedPrecondition, "CREDENTIALS_INVALID", message).help(
        "How the AWS SDK finds credentials",
        "https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html",
    )
}

#[cfg(test)]
mod tests;
