//! Objects by the thousand: S3 Batch Operations, events of S3 and EventBridge, and queues of them. Each object is analyzed
//! on the same pipeline and its result written once, however often and by how many invocations at once it is asked for.

mod batch;
mod claim;
mod document;
mod fault;
mod keys;
mod notification;
mod object;
mod question;
mod queue;
mod store;
mod work;

use serde_json::Value;
use tonic::Code;

use self::keys::ResultsLocation;
pub use self::store::{Condition, Document, Facts, ResultStore, ResultsError, Stored};
use super::{Failure, Handler, Invocation, JobKind, Remedy};
use crate::adapters::S3Results;

/// One event, and what is needed to work on its objects.
struct Jobs<'a> {
    handler: &'a Handler,
    invocation: &'a Invocation,
    store: &'a dyn ResultStore,
    location: ResultsLocation,
}

/// Answers the event of an engine.
///
/// # Errors
/// Why the whole event failed.
pub async fn handle(handler: &Handler, kind: JobKind, event: Value, invocation: &Invocation) -> Result<Value, Failure> {
    let Some(results) = handler.results() else {
        let message = "The function is told of no place for results. Set SIGHTLINE_RESULTS to s3://BUCKET/PREFIX.";
        return Err(Failure::new(Code::FailedPrecondition, "RESULTS_NOT_CONFIGURED", message, Remedy::Operator));
    };
    let store = S3Results::new(handler.s3().clone(), &results.bucket);
    let prefix = results.key.clone().unwrap_or_default();
    let location = ResultsLocation { bucket: results.bucket.clone(), prefix };
    let jobs = Jobs { handler, invocation, store: &store, location };
    match kind {
        JobKind::Batch => jobs.batch(&event).await,
        JobKind::Notification | JobKind::EventBridge => jobs.notification(&event).await,
        JobKind::Queue => jobs.queue(&event).await,
    }
}

/// A field of JSON that may hold anything; null where there is none.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    value.get(name).unwrap_or(&NULL)
}

/// An event that is not as its sender makes it.
fn invalid(what: impl std::fmt::Display) -> Failure {
    let message = format!("The event is not as AWS sends it: {what}.");
    Failure::of_the_event("EVENT_INVALID", message)
}
