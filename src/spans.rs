//! Spans of a trace: their names and attributes in one place, and how their context comes in and goes on into tasks.
//!
//! A span has ids, sizes, codes and counts; never a picture, a prompt, an answer, a key of an object or a credential. Without
//! an exporter ([`crate::telemetry`]) a span costs nothing; the trace that a caller names is then carried all the same, for
//! the log.

use std::{collections::HashMap, future::Future};

use http::HeaderMap;
use opentelemetry::{
    Array, Context, Key, StringValue, Value,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{FutureExt as _, Status, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::domain::{StopReason, Usage};

/// The target of all spans. The exporter takes these and nothing else; the log leaves them out.
pub const TARGET: &str = "sightline::trace";

/// The headers of a request, as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The trace that a caller's `traceparent` and `tracestate` name; an empty context without them.
pub fn incoming(headers: &HeaderMap) -> Context {
    if !headers.contains_key("traceparent") {
        return Context::new();
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

/// The id of the trace that the running code is a part of, when that trace is sampled: 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let context = span.span_context();
        (context.is_valid() && context.is_sampled()).then(|| context.trace_id().to_string())
    })
}

/// The headers that carry the trace on to a server behind this one: `traceparent`, and `tracestate` where there is one. None
/// outside a trace.
pub fn outgoing() -> HashMap<String, String> {
    let mut headers = HashMap::new();
    Context::map_current(|context| {
        if context.span().span_context().is_valid() {
            TraceContextPropagator::new().inject_context(context, &mut headers);
        }
    });
    headers.retain(|_, value| !value.is_empty());
    headers
}

/// `future` as a part of the trace that begins it, for a task of its own. It does not prolong the span it was begun in.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    future.with_context(Context::current())
}

/// A call as its server sees it.
#[derive(Debug, Clone)]
pub struct Rpc {
    span: Span,
    parent: Context,
}

impl Rpc {
    /// The span of a call of `service`'s `method`, which continues the trace that `headers` name.
    pub fn begin(service: &'static str, method: &'static str, headers: &HeaderMap) -> Self {
        let parent = incoming(headers);
        let _parent = parent.clone().attach();
        let span = tracing::info_span!(
            target: TARGET,
            "rpc",
            otel.name = format_args!("{service}/{method}"),
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
        );
        Self { span, parent }
    }

    /// What `begin` makes, made within the call.
    pub fn scope<T>(&self, begin: impl FnOnce() -> T) -> T {
        let _parent = self.parent.clone().attach();
        self.span.in_scope(begin)
    }

    /// `future` within the call.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.span.clone()).with_context(self.parent.clone())
    }

    /// The call ended with the status `code`. `fault` is one of the codes for which the server is to blame.
    pub fn ended(&self, code: i32, fault: Option<&'static str>) {
        self.span.set_attribute("rpc.grpc.status_code", i64::from(code));
        if let Some(fault) = fault {
            self.span.set_attribute("error.type", fault);
            self.span.set_status(Status::error(""));
        }
    }
}

/// One item of a stream.
pub fn item() -> Span {
    tracing::info_span!(target: TARGET, "item")
}

/// Reading an object.
pub fn fetch() -> Span {
    tracing::info_span!(target: TARGET, "fetch", otel.kind = "client", rpc.system = "aws-api", rpc.service = "S3")
}

/// Preparing a picture.
pub fn prepare() -> Span {
    tracing::info_span!(target: TARGET, "prepare")
}

/// A number that a span has, such as a size in bytes.
pub fn count(span: &Span, name: &'static str, value: u64) {
    span.set_attribute(name, i64::try_from(value).unwrap_or(i64::MAX));
}

/// Work that failed.
pub fn failed(span: &Span, kind: &'static str) {
    span.set_attribute("error.type", kind);
    span.set_status(Status::error(""));
}

/// One call of a model, by OpenTelemetry's names for generative AI.
#[derive(Debug)]
pub struct Chat {
    span: Span,
    is_over: bool,
}

impl Chat {
    /// The span of a call of the model with this Bedrock id.
    pub fn begin(model: &str) -> Self {
        let span = tracing::info_span!(
            target: TARGET,
            "chat",
            otel.name = format_args!("chat {model}"),
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "aws.bedrock",
            gen_ai.request.model = model,
        );
        Self { span, is_over: false }
    }

    /// The span itself, to work in.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// The model `model` answered.
    pub fn answered(mut self, model: &str, usage: &Usage, stop_reason: StopReason) {
        self.is_over = true;
        if self.span.is_disabled() {
            return;
        }
        let reasons = Value::Array(Array::String(vec![StringValue::from(finish_reason(stop_reason))]));
        self.span.set_attribute("gen_ai.response.model", model.to_owned());
        self.span.set_attribute(Key::new("gen_ai.response.finish_reasons"), reasons);
        count(&self.span, "gen_ai.usage.input_tokens", usage.all_input_tokens());
        count(&self.span, "gen_ai.usage.output_tokens", usage.output_tokens);
    }

    /// There is no answer, for a reason of this kind.
    pub fn failed(mut self, kind: &'static str) {
        self.is_over = true;
        failed(&self.span, kind);
    }
}

impl Drop for Chat {
    /// Nobody waits for the answer any more.
    fn drop(&mut self) {
        if !self.is_over {
            failed(&self.span, "cancelled");
        }
    }
}

fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn => "stop",
        StopReason::MaxTokens => "length",
        StopReason::Refusal => "refusal",
        StopReason::Filtered => "content_filter",
        StopReason::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", parent.parse().unwrap());
        headers.insert("tracestate", "vendor=1".parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_callers_trace_is_carried_into_tasks() {
        let call = Rpc::begin("s", "m", &headers(PARENT));
        let id = call.within(async { tokio::spawn(carried(async { trace_id() })).await.unwrap() }).await;
        assert_eq!(id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(trace_id(), None, "and ends with the call");
    }

    #[test]
    fn what_is_not_sampled_or_no_trace_has_no_id() {
        for parent in [PARENT.replace("-01", "-00").as_str(), "nonsense", "00-0-0-01"] {
            assert_eq!(Rpc::begin("s", "m", &headers(parent)).scope(trace_id), None, "{parent}");
        }
    }

    #[test]
    fn the_state_of_a_trace_comes_in_with_it() {
        let context = incoming(&headers(PARENT));
        assert_eq!(context.span().span_context().trace_state().header(), "vendor=1");
    }
}
