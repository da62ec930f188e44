//! The outermost layer but that for panics: what every call leaves in the metrics and in its trace, whoever answers it.
//!
//! A call ends with its last trailer, which is where its code is; so its answer is followed to the end. One that is dropped
//! before was left by its caller.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::around::{Answer, Around, Inner};
use crate::{
    metrics::Metrics,
    proto::{AnalyzeManyResponse, analyze_many_response::Event, analyze_many_result::Outcome},
    spans::Rpc,
};

const SERVICE: &str = crate::proto::image_analysis_service_server::SERVICE_NAME;

/// The name of a code, as the protocol writes it.
pub(super) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code's name when the server is to blame, as OpenTelemetry counts it.
fn fault(code: Code) -> Option<&'static str> {
    let is_fault = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    is_fault.then(|| name(code))
}

/// Counts the answer to an item of a stream.
pub(super) fn item(
    metrics: &Metrics,
    response: Result<AnalyzeManyResponse, Status>,
) -> Result<AnalyzeManyResponse, Status> {
    if let Ok(AnalyzeManyResponse { event: Some(Event::Result(result)) }) = &response {
        let code = match &result.outcome {
            Some(Outcome::Error(status)) => Code::from_i32(status.code),
            _ => Code::Ok,
        };
        metrics.stream_item(name(code));
    }
    response
}

/// The method that a path names, from a bounded set of names. Health and reflection are not counted: probes would outnumber
/// calls.
fn method(path: &str) -> Option<&'static str> {
    if path.starts_with("/grpc.") {
        return None;
    }
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE)?.strip_prefix('/'));
    Some(match method {
        Some("AnalyzeImage") => "AnalyzeImage",
        Some("AnalyzeMany") => "AnalyzeMany",
        Some("GetCapabilities") => "GetCapabilities",
        _ => "other",
    })
}

/// Whether the path is that of a call about one picture.
pub(super) fn is_single(path: &str) -> bool {
    method(path) == Some("AnalyzeImage")
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Observe(pub(super) Arc<Metrics>);

impl Around for Observe {
    fn call<S: Inner>(&self, inner: &mut S, request: Request<Body>) -> Answer<S::Error> {
        let Some(method) = method(request.uri().path()) else { return Box::pin(inner.call(request)) };
        let span = Rpc::begin(SERVICE, method, request.headers());
        let call = Call::begin(Arc::clone(&self.0), method, span.clone());
        let answer = span.scope(|| inner.call(request));
        Box::pin(span.within(async move { answer.await.map(|response| call.follow(response)) }))
    }
}

/// A call until its end.
struct Call {
    metrics: Arc<Metrics>,
    method: &'static str,
    began: Instant,
    span: Rpc,
    has_ended: bool,
}

impl Call {
    fn begin(metrics: Arc<Metrics>, method: &'static str, span: Rpc) -> Self {
        Self { metrics, method, began: Instant::now(), span, has_ended: false }
    }

    /// The response, followed to its end.
    fn follow(mut self, response: Response<Body>) -> Response<Body> {
        // An error without a message has its code where others have their beginning.
        if let Some(code) = code_in(response.headers()) {
            self.end(code);
            return response;
        }
        response.map(|body| Body::new(Followed { body, call: self }))
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let elapsed: Duration = self.began.elapsed();
        self.metrics.rpc_done(self.method, name(code), elapsed);
        self.span.ended(code as i32, fault(code));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { Code::Internal } else { Code::Cancelled });
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

/// A response's body and trailers on their way.
struct Followed {
    body: Body,
    call: Call,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.call.end(code);
                }
            }
            Some(Err(status)) => self.call.end(status.code()),
            None => self.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt as _;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::{grpc::around::LayerOf, metrics::Format};

    const IMAGE: &str = "/sightline.v1.ImageAnalysisService/AnalyzeImage";

    fn request(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).unwrap()
    }

    fn counted(metrics: &Metrics, method: &str, code: &str) -> bool {
        let series = format!("sightline_rpc_requests_total{{method=\"{method}\",code=\"{code}\"}} 1\n");
        metrics.scrape(Format::Prometheus).contains(&series)
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_was_cancelled() {
        let metrics = Arc::new(Metrics::default());
        let silent = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let mut call = Box::pin(LayerOf(Observe(Arc::clone(&metrics))).layer(silent).oneshot(request(IMAGE)));
        assert!(call.as_mut().now_or_never().is_none());
        assert!(!counted(&metrics, "AnalyzeImage", "CANCELLED"));
        drop(call);
        assert!(counted(&metrics, "AnalyzeImage", "CANCELLED"));
    }

    #[tokio::test]
    async fn a_code_is_found_in_the_head_and_an_answer_that_is_not_read_was_cancelled() {
        let metrics = Arc::new(Metrics::default());
        let refused = service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Status::unimplemented("no").into_http::<Body>())
        });
        LayerOf(Observe(Arc::clone(&metrics))).layer(refused).oneshot(request("/x.Y/Z")).await.unwrap();
        assert!(counted(&metrics, "other", "UNIMPLEMENTED"));
        let answers = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let response = LayerOf(Observe(Arc::clone(&metrics))).layer(answers).oneshot(request(IMAGE)).await.unwrap();
        drop(response);
        assert!(counted(&metrics, "AnalyzeImage", "CANCELLED"));
    }

    #[tokio::test]
    async fn probes_are_not_counted() {
        let metrics = Arc::new(Metrics::default());
        let answers = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        drop(
            LayerOf(Observe(Arc::clone(&metrics)))
                .layer(answers)
                .oneshot(request("/grpc.health.v1.Health/Check"))
                .await,
        );
        assert!(!metrics.scrape(Format::Prometheus).contains("sightline_rpc_requests_total{"));
    }
}
