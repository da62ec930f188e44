//! Callers that nobody knows.

use tonic::Code;

use super::Failure;
use crate::identity::Unidentified;

/// What a call becomes that names no caller whom the server knows.
pub(in crate::grpc) fn unidentified(error: &Unidentified) -> Failure {
    Failure::new(Code::Unauthenticated, "CALLER_UNKNOWN", error.to_string()).with("why", error.why())
}
