//! Why an object has no result, and what mends it where the model's answers are paid for once.

use prost::Message as _;
use tonic::Code;
use tonic_types::pb;

use super::{
    super::{Failure, Remedy},
    object::Malformed,
    store::ResultsError,
};

/// A failure of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// As it is told.
    pub(super) failure: Failure,
    /// What mends it. `Nothing` is of the object, or of what is asked of it.
    pub(super) remedy: Remedy,
}

impl Fault {
    fn new(code: Code, reason: &str, message: impl Into<String>, remedy: Remedy) -> Self {
        Self { failure: Failure::new(code, reason, message, remedy), remedy }
    }

    /// Another invocation has claimed the object.
    pub(super) fn in_progress() -> Self {
        let message =
            "Another invocation works on this object, or was killed while it did: its claim ends with its time.";
        Self::new(Code::Aborted, "IN_PROGRESS", message, Remedy::Retry)
    }

    /// The invocation's time is over.
    pub(super) fn out_of_time() -> Self {
        let message = "The invocation's time is over. Give the function a longer timeout, or fewer objects at once.";
        Self::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, Remedy::Retry)
    }

    /// Too little time is left to begin.
    pub(super) fn too_late() -> Self {
        let message = "Too little of the invocation's time is left to begin with this object. Give the function a longer \
                       timeout, or fewer objects at once.";
        Self::new(Code::DeadlineExceeded, "DEADLINE_TOO_SHORT", message, Remedy::Retry)
    }

    /// A part of an event that names no object.
    pub(super) fn malformed(Malformed(what): &Malformed) -> Self {
        let message = format!("The event names no object: {what}.");
        Self::new(Code::InvalidArgument, "EVENT_INVALID", message, Remedy::Nothing)
    }

    /// What is to be asked cannot be asked: the fault of whoever set it, who is not the object.
    pub(super) fn question(what: &str, remedy: Remedy) -> Self {
        Self::new(Code::InvalidArgument, "QUESTION_INVALID", what, remedy)
    }

    /// The place for results fails.
    pub(super) fn results(error: &ResultsError, location: &str) -> Self {
        match error {
            ResultsError::Refused { code } => {
                let message = format!(
                    "S3 refuses results under {location} ({code}). The function's role needs s3:PutObject, s3:GetObject and \
                     s3:DeleteObject there, and s3:ListBucket on the bucket."
                );
                Self::new(Code::FailedPrecondition, "RESULTS_NOT_WRITABLE", message, Remedy::Operator)
            }
            ResultsError::Credentials { .. } => {
                let message = "The function's own AWS credentials are missing or refused.";
                Self::new(Code::FailedPrecondition, "CREDENTIALS_INVALID", message, Remedy::Operator)
            }
            _ => {
                let message = format!("S3 could not take or show a result under {location}. Try again.");
                Self::new(Code::Unavailable, "RESULTS_UNAVAILABLE", message, Remedy::Retry)
            }
        }
    }

    /// A failure of the analysis of an object, whose bytes the event named when it is `pinned`.
    pub(super) fn of_analysis(failure: Failure, pinned: bool) -> Self {
        // Those bytes do not come back: what is there now has an event of its own.
        let is_gone = pinned && failure.reason() == "OBJECT_CHANGED";
        let remedy = if is_gone { Remedy::Nothing } else { failure.remedy() };
        Self { failure, remedy }
    }

    /// Whether the model was asked and may have been paid.
    pub(super) fn may_be_paid(&self) -> bool {
        let details = self.failure.status().details.iter();
        let infos = details.filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"));
        let mut infos = infos.filter_map(|detail| pb::ErrorInfo::decode(detail.value.as_slice()).ok());
        let calls = |info: pb::ErrorInfo| info.metadata.get("model_call_count")?.parse::<u64>().ok();
        infos.any(|info| calls(info).is_some_and(|calls| calls > 0))
    }

    /// `REASON: message`.
    pub(super) fn words(&self) -> String {
        format!("{}: {}", self.failure.reason(), self.failure.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &str, calls: Option<&str>) -> Failure {
        let metadata = calls.map(|calls| ("model_call_count".to_owned(), calls.to_owned())).into_iter().collect();
        let info = pb::ErrorInfo { reason: reason.to_owned(), domain: "sightline".to_owned(), metadata };
        let detail = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        let status = pb::Status { code: 9, message: "no".to_owned(), details: vec![detail] };
        tonic::Status::with_details(Code::FailedPrecondition, "no", status.encode_to_vec().into()).into()
    }

    #[test]
    fn what_the_model_was_asked_for_may_be_paid() {
        for (calls, paid) in [(None, false), (Some("0"), false), (Some("1"), true), (Some("x"), false)] {
            assert_eq!(Fault::of_analysis(failure("MODEL_REFUSED", calls), false).may_be_paid(), paid, "{calls:?}");
        }
    }

    #[test]
    fn bytes_that_an_event_named_do_not_come_back() {
        assert_eq!(Fault::of_analysis(failure("OBJECT_CHANGED", None), true).remedy, Remedy::Nothing);
        assert_eq!(Fault::of_analysis(failure("OBJECT_CHANGED", None), false).remedy, Remedy::Retry);
    }
}
