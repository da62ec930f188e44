//! Objects that AWS's engines name: S3 Batch Operations, S3 event notifications, EventBridge and SQS.

use serde_json::Value;
use tonic::Code;

use super::{Failure, Handler, Invocation, JobKind, Remedy};

/// Answers the event of an engine.
///
/// # Errors
/// Why the whole event failed.
pub async fn handle(
    _handler: &Handler,
    kind: JobKind,
    _event: Value,
    _invocation: &Invocation,
) -> Result<Value, Failure> {
    let message = format!("The function takes no events of the kind {kind:?}.");
    Err(Failure::new(Code::Unimplemented, "NOT_IMPLEMENTED", message, Remedy::Nothing))
}
