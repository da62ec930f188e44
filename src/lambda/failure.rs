//! Why an event has no answer, and the one rule of what a retry may mend.

use std::fmt;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, pb};

/// What may mend a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// To try again, later or with more time.
    Retry,
    /// The operator: a role, a model's access, a setting. No object is to blame, and each would fail alike.
    Operator,
    /// Nothing but another event or another object.
    Nothing,
}

/// Why an event has no answer: the reason is Lambda's `errorType`, the message its `errorMessage`.
#[derive(Clone, PartialEq)]
pub struct Failure {
    reason: String,
    remedy: Remedy,
    status: pb::Status,
}

impl Failure {
    /// A failure that no status of the contract says.
    pub fn new(code: Code, reason: &str, message: impl Into<String>, remedy: Remedy) -> Self {
        let info = ErrorInfo::new(reason, "sightline", []);
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: pb::ErrorInfo { reason: info.reason, domain: info.domain, metadata: info.metadata }.encode_to_vec(),
        };
        let status = pb::Status { code: code.into(), message: message.into(), details: vec![any] };
        Self { reason: reason.to_owned(), remedy, status }
    }

    /// The event's own fault.
    pub(super) fn of_the_event(reason: &str, message: String) -> Self {
        Self::new(Code::InvalidArgument, reason, message, Remedy::Nothing)
    }

    /// A fault of this function.
    pub(super) fn internal() -> Self {
        let message = "The function failed. Its log holds the cause.";
        Self::new(Code::Internal, "INTERNAL", message, Remedy::Retry)
    }

    /// The one reason, such as `OBJECT_NOT_FOUND`.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What is wrong and what to do.
    pub fn message(&self) -> &str {
        &self.status.message
    }

    /// What may mend it.
    pub fn remedy(&self) -> Remedy {
        self.remedy
    }

    /// Whether to try again may help.
    pub fn is_retryable(&self) -> bool {
        self.remedy == Remedy::Retry
    }

    /// The failure as `google.rpc.Status`, with its details.
    pub fn status(&self) -> &pb::Status {
        &self.status
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = pb::Status::decode(status.details()).unwrap_or_default().details;
        let mut infos = details.iter().filter(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"));
        let info = infos.find_map(|any| pb::ErrorInfo::decode(any.value.as_slice()).ok());
        let reason = info.map_or_else(|| "INTERNAL".to_owned(), |info| info.reason);
        let remedy = remedy(status.code(), &reason);
        let status = pb::Status { code: status.code().into(), message: status.message().to_owned(), details };
        Self { reason, remedy, status }
    }
}

/// THE rule of what a retry may mend. By the code first, as gRPC means them; by the reason where one code has both kinds.
fn remedy(code: Code, reason: &str) -> Remedy {
    match reason {
        // The function's own role, models, Region and questions. Access to an object too: it is denied to the role, and S3
        // hides missing keys from one that may not list.
        "CREDENTIALS_INVALID"
        | "MODEL_NOT_ENABLED"
        | "INFERENCE_PROFILE_REQUIRED"
        | "MODEL_END_OF_LIFE"
        | "MODEL_REQUEST_REJECTED"
        | "MODEL_UNKNOWN"
        | "FEATURE_UNSUPPORTED"
        | "IMAGE_NOT_SEEN"
        | "OBJECT_ACCESS_DENIED"
        | "BUCKET_ACCESS_DENIED"
        | "BUCKET_REGION_MISMATCH"
        | "CALLER_NOT_ALLOWED"
        | "CALLER_UNKNOWN" => Remedy::Operator,
        // The object is read anew.
        "OBJECT_CHANGED" => Remedy::Retry,
        // The model was asked twice already, and each further try is paid for again.
        "MODEL_OUTPUT_INVALID" => Remedy::Nothing,
        _ => match code {
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Cancelled
            | Code::Unknown => Remedy::Retry,
            _ => Remedy::Nothing,
        },
    }
}

/// Lambda's runtime logs failures by their debug form: one line that holds no more than the log of the server does.
impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.status.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons of docs/ERRORS.md with the codes that they come with.
    fn documented() -> Vec<(Code, String)> {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ERRORS.md")).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | `"));
        let code = |name: &str| {
            let mut all = (0..=16).map(Code::from_i32);
            let spelled = |code: &Code| format!("{code:?}").to_ascii_lowercase();
            all.find(|code| spelled(code) == name.replace('_', "").to_ascii_lowercase())
        };
        rows.filter_map(|(name, rest)| Some((code(name)?, rest.split_once('`')?.0.to_owned()))).collect()
    }

    #[test]
    fn a_retry_is_for_what_passes_by_itself() {
        let all = documented();
        assert!(all.len() > 35, "the table was found: {all:?}");
        let of = |wanted: Remedy| {
            let mut reasons: Vec<_> = all
                .iter()
                .filter(|(code, reason)| remedy(*code, reason) == wanted)
                .map(|(_, reason)| reason.as_str())
                .collect();
            reasons.sort_unstable();
            reasons.dedup();
            reasons.join("\n")
        };
        insta::assert_snapshot!("retry", of(Remedy::Retry));
        insta::assert_snapshot!("operator", of(Remedy::Operator));
        insta::assert_snapshot!("nothing", of(Remedy::Nothing));
    }

    #[test]
    fn a_status_keeps_its_reason_message_and_details() {
        let made = Failure::new(Code::NotFound, "OBJECT_NOT_FOUND", "There is none.", Remedy::Nothing);
        let status = Status::with_details(Code::NotFound, "There is none.", made.status().encode_to_vec().into());
        assert_eq!(Failure::from(status), made);
        let bare = Failure::from(Status::unavailable("gone"));
        assert_eq!((bare.reason(), bare.message(), bare.is_retryable()), ("INTERNAL", "gone", true));
    }
}
