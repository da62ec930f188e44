//! The glue to Lambda's runtime: events in, answers and errors out, and the error of a start that fails.

use std::{env, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use aws_smithy_http_client::{Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, HttpConnectorSettings},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use futures_util::FutureExt as _;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, value::RawValue};
use tonic::Code;

use super::{Failure, Handler, Invocation, Remedy};

/// Most bytes of a response that Lambda takes.
const MAX_RESPONSE_BYTES: usize = 6 << 20;

/// Where the runtime API listens, by Lambda's own variable.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// Longest time to report a start that failed: Lambda ends it after ten seconds.
const REPORT_TIME: Duration = Duration::from_secs(2);

/// The process was not started by Lambda.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not set: this is the binary of an AWS Lambda function, which Lambda starts as /var/runtime/bootstrap or /var/task/bootstrap. \
     To run the server, start `sightline serve`"
)]
pub struct NotInLambda(&'static str);

/// Looks for what Lambda sets in every function, and what its runtime cannot do without.
///
/// # Errors
/// The first variable that is missing.
pub fn check_environment() -> Result<(), NotInLambda> {
    let names =
        [RUNTIME_API, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"];
    match names.into_iter().find(|name| env::var_os(name).is_none_or(|value| value.is_empty())) {
        Some(name) => Err(NotInLambda(name)),
        None => Ok(()),
    }
}

/// Tells Lambda why the function cannot start, which shows it to whoever invokes it.
///
/// # Errors
/// Why it could not be told.
pub async fn report_failed_start(message: &str) -> Result<(), String> {
    let api = env::var(RUNTIME_API).map_err(|error| error.to_string())?;
    let body = serde_json::json!({"errorType": FAILED_START, "errorMessage": message, "stackTrace": []});
    let mut request = HttpRequest::new(SdkBody::from(body.to_string()));
    let _ = request.set_method("POST");
    request.set_uri(format!("http://{api}/2018-06-01/runtime/init/error")).map_err(|error| error.to_string())?;
    request.headers_mut().insert("content-type", "application/json");
    request.headers_mut().insert("lambda-runtime-function-error-type", FAILED_START);
    let settings = HttpConnectorSettings::builder().connect_timeout(REPORT_TIME).read_timeout(REPORT_TIME).build();
    let connector =
        Connector::builder().connector_settings(settings).proxy_config(ProxyConfig::disabled()).build_http();
    let response = connector.call(request).await.map_err(|error| error.to_string())?;
    if response.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", response.status().as_u16())) }
}

/// The type of the error that ends a start.
const FAILED_START: &str = "CONFIGURATION_INVALID";

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.reason().to_owned(), error_message: failure.message().to_owned() }
    }
}

/// Answers invocations, one after the other, until the environment ends.
///
/// # Errors
/// When Lambda's runtime API cannot be reached.
pub async fn run(handler: Handler) -> Result<(), lambda_runtime::Error> {
    let handler = Arc::new(handler);
    let function = lambda_runtime::service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = Arc::clone(&handler);
        async move {
            let invocation = Invocation::new(event.context.request_id.clone(), event.context.deadline());
            guarded(answer(&handler, &event.payload, &invocation)).await
        }
    });
    lambda_runtime::Runtime::new(function).run().await
}

/// Makes a panic the error of one invocation. Lambda's runtime would do so too, but tell the caller the panic's own words.
async fn guarded<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let outcome = AssertUnwindSafe(answer).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        tracing::error!("panicked");
        Err(Failure::internal())
    })
}

/// The answer to one event, as text.
async fn answer(handler: &Handler, event: &RawValue, invocation: &Invocation) -> Result<Box<RawValue>, Failure> {
    let event: Value = serde_json::from_str(event.get()).map_err(|error| {
        let message = format!("The event cannot be read: {error}.");
        Failure::of_the_event("EVENT_INVALID", message)
    })?;
    let answer = handler.handle(event, invocation).await?.to_string();
    if answer.len() > MAX_RESPONSE_BYTES {
        let message = format!(
            "The answer has {} bytes, and Lambda takes {MAX_RESPONSE_BYTES} at most. Ask for less, or without the raw output.",
            answer.len()
        );
        return Err(Failure::new(Code::OutOfRange, "RESPONSE_TOO_LARGE", message, Remedy::Nothing));
    }
    RawValue::from_string(answer).map_err(|_| Failure::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_error_of_one_invocation_and_keeps_its_words() {
        let failure = guarded::<()>(async { panic!("the prompt") }).await.unwrap_err();
        let diagnostic = Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "INTERNAL");
        assert!(!diagnostic.error_message.contains("prompt"), "{diagnostic:?}");
        assert_eq!(guarded(async { Ok(7) }).await, Ok(7));
    }
}
