//! A status for people.

use prost::Message as _;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{StatusExt as _, pb};

use super::{
    super::status::{MAX_DETAILS, code_name, detail_lines},
    view,
};

/// An error of the service: harmless and bounded text.
#[derive(Serialize)]
pub(super) struct Failure {
    code: String,
    /// Empty when it says no more than the code.
    reason: String,
    message: String,
    details: Vec<String>,
}

impl Failure {
    pub(super) fn new(status: &pb::Status) -> Self {
        let code = Code::from_i32(status.code);
        let details = Status::with_details(code, status.message.as_str(), status.encode_to_vec().into());
        let details = details.get_error_details();
        let code = code_name(code);
        let reason = details.error_info().map(|info| view::clipped(&info.reason, 80)).unwrap_or_default();
        let mut lines = detail_lines(&details);
        let left_out = lines.len().saturating_sub(MAX_DETAILS);
        lines.truncate(MAX_DETAILS);
        lines.extend((left_out > 0).then(|| format!("and {left_out} more")));
        Self {
            reason: if reason == code { String::new() } else { reason },
            code,
            message: view::prose(&status.message).unwrap_or_else(|| "the server gave no message".to_owned()),
            details: lines.iter().map(|line| view::line(line)).collect(),
        }
    }

    /// For a result that holds neither an analysis nor an error.
    pub(super) fn without_outcome() -> Self {
        Self {
            code: code_name(Code::Unknown),
            reason: String::new(),
            message: "the server answered with neither an analysis nor an error".to_owned(),
            details: vec![],
        }
    }

    /// What failures are counted by.
    pub(super) fn kind(&self) -> &str {
        if self.reason.is_empty() { &self.code } else { &self.reason }
    }
}
