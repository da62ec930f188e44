//! What this command could not even send, as the server would say it.

use prost::Message as _;
use prost_types::Any;
use tonic::Code;
use tonic_types::pb;

use crate::cli::{plain, source::SourceError};

/// A source that cannot be sent.
pub fn of(error: &SourceError) -> pb::Status {
    let (code, reason) = match error {
        SourceError::IncompleteObject(_) | SourceError::WebAddress(_) => (Code::InvalidArgument, "SOURCE_INVALID"),
        SourceError::Missing(_) => (Code::NotFound, "FILE_NOT_FOUND"),
        SourceError::Folder(_) | SourceError::Empty(_) => (Code::InvalidArgument, "FILE_UNREADABLE"),
        SourceError::TooLarge { .. } => (Code::InvalidArgument, "FILE_TOO_LARGE"),
        SourceError::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::PermissionDenied => {
            (Code::PermissionDenied, "FILE_UNREADABLE")
        }
        SourceError::Unreadable { .. } => (Code::FailedPrecondition, "FILE_UNREADABLE"),
    };
    status(code, reason, &error.to_string())
}

/// A source that is none.
pub fn invalid(why: &str) -> pb::Status {
    status(Code::InvalidArgument, "SOURCE_INVALID", why)
}

/// A folder or a glob without a picture.
pub fn no_pictures(why: &str) -> pb::Status {
    status(Code::NotFound, "SOURCE_EMPTY", why)
}

/// A result that is none: a line without an outcome could not be read again.
pub fn without_outcome() -> pb::Status {
    status(Code::Unknown, "UNKNOWN", "the server answered with neither an analysis nor an error")
}

fn status(code: Code, reason: &str, message: &str) -> pb::Status {
    let info =
        pb::ErrorInfo { reason: reason.to_owned(), domain: "sightline".to_owned(), metadata: Default::default() };
    let detail = Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(), value: info.encode_to_vec() };
    pb::Status { code: code.into(), message: plain::line(message), details: vec![detail] }
}

/// The reason of an error, or the name of its code when it has none.
pub fn reason(error: &pb::Status) -> String {
    let info = error.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"));
    let info = info.and_then(|detail| pb::ErrorInfo::decode(detail.value.as_slice()).ok());
    let named = info.map(|info| plain::line(&info.reason)).filter(|reason| !reason.is_empty());
    named.unwrap_or_else(|| crate::cli::status::code_name(Code::from_i32(error.code)))
}
