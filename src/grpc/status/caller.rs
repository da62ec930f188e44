//! Callers who may not do what they ask, or not now. They are told what of their own request is in the way, never what
//! others may.

use tonic::Code;
use tonic_types::pb;

use super::{Failure, shortened};
use crate::{
    domain::Caller,
    policy::{Denied, Limit, LimitReached, Refused},
};

pub(in crate::grpc) fn refused(caller: &Caller, refused: &Refused) -> Failure {
    match refused {
        Refused::Denied(denied) => self::denied(caller, denied),
        Refused::Limit(reached) => limit_reached(caller, reached),
    }
}

pub(in crate::grpc) fn denied(caller: &Caller, denied: &Denied) -> Failure {
    let name = shown(caller);
    let (message, what) = match denied {
        Denied::NoRule => (format!("{name} may not use this server: no rule of its policy names it."), "service"),
        Denied::ObjectNotAllowed { bucket } => {
            let bucket = shortened(bucket, 200);
            (format!("{name} may not have the server read this object or prefix of the bucket {bucket}."), "object")
        }
        Denied::InlineNotAllowed => (format!("{name} may not send pictures in requests, only name objects."), "inline"),
        Denied::ModelNotAllowed { model } => {
            let model = shortened(model, 200);
            (format!("{name} may not ask the model {model}. GetCapabilities names those it may."), "model")
        }
    };
    let message = format!("{message} The server's operator decides who may do what.");
    let failure = Failure::new(Code::PermissionDenied, "CALLER_NOT_ALLOWED", message)
        .with("caller", caller.name())
        .with("what", what);
    let failure = match denied {
        Denied::ObjectNotAllowed { bucket } => failure.with("bucket", bucket),
        Denied::ModelNotAllowed { model } => failure.with("model", model),
        Denied::NoRule | Denied::InlineNotAllowed => failure,
    };
    failure.denying(denied)
}

fn limit_reached(caller: &Caller, reached: &LimitReached) -> Failure {
    let LimitReached { limit, retry_after } = reached;
    let name = shown(caller);
    let message = match limit {
        Limit::RequestsPerSecond(most) => format!("{name} may send {most} requests per second. Send them more slowly."),
        Limit::InFlight(most) => format!("{name} may have {most} requests in progress. Wait for one to end."),
        Limit::TokensPerDay(most) => {
            format!("{name} has used up its {most} tokens of today. The next day begins at 00:00 UTC.")
        }
    };
    let violation = pb::quota_failure::Violation {
        subject: format!("caller:{}", shortened(caller.name(), 200)),
        description: limit.to_string(),
        ..pb::quota_failure::Violation::default()
    };
    let mut failure = Failure::new(Code::ResourceExhausted, "CALLER_LIMIT_REACHED", message)
        .with("caller", caller.name())
        .with("limit", limit.name())
        .detail("QuotaFailure", &pb::QuotaFailure { violations: vec![violation] })
        .retry_after(*retry_after);
    failure.pushback = true;
    failure.denying(reached)
}

/// At the beginning of a sentence.
fn shown(caller: &Caller) -> String {
    if caller.is_anonymous() {
        return "A caller without identity".to_owned();
    }
    format!("The caller {}", shortened(caller.name(), 100))
}
