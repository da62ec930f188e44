//! A Bedrock runtime endpoint: InvokeModel with Claude's Messages body, the error shapes of the service, SigV4 checked
//! in full. Behind it sits the detector.

mod messages;
mod picture;
mod reply;
mod signature;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use uuid::Uuid;

use self::{messages::MessagesRequest, signature::Verifier};
use super::{
    access_key::AccessKey,
    composer::Sight,
    detector::{Detector, DetectorError},
};
use crate::domain::ModelProfile;

/// Largest request body, bytes.
const MAX_BODY_BYTES: usize = 20_000_000;
/// A body over the limit is read on and thrown away up to here, so that its sender gets to read why.
const MAX_DRAINED_BYTES: usize = 64_000_000;
/// Longest wait for the next piece of a body.
const BODY_PAUSE: Duration = Duration::from_secs(30);

/// An error as the service tells it.
#[derive(Debug, PartialEq, Eq)]
struct ServiceError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ServiceError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", message)
    }
}

impl From<DetectorError> for ServiceError {
    fn from(error: DetectorError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException", error.to_string())
    }
}

/// Answers Bedrock runtime requests signed with `key` for `region`.
pub(super) fn service(
    detector: Arc<Detector>,
    key: AccessKey,
    region: &'static str,
) -> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send
{
    let endpoint = Arc::new(Endpoint { detector, verifier: Verifier { key, region } });
    service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { Ok(endpoint.respond(request).await) }
    })
}

struct Endpoint {
    detector: Arc<Detector>,
    verifier: Verifier,
}

impl Endpoint {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let mut response = match answer(self, request).await {
            Ok(answer) => invocation(&answer, begun.elapsed()),
            Err(error) => failure(&error),
        };
        set_header(&mut response, "x-amzn-requestid", &Uuid::new_v4().to_string());
        response
    }

    /// Hashing and reading a body of megabytes takes too long for an async thread.
    fn read(&self, parts: &Parts, body: &[u8]) -> Result<(String, MessagesRequest), ServiceError> {
        self.verifier.verify(parts, body, SystemTime::now())?;
        Ok((invoked_model(&parts.method, &parts.uri)?, MessagesRequest::parse(body)?))
    }
}

async fn answer(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Result<Value, ServiceError> {
    let (parts, body) = request.into_parts();
    let body = read_body(body).await?;
    let detector = Arc::clone(&endpoint.detector);
    let ended = |_| DetectorError::Run("it was stopped".to_owned());
    let read = tokio::task::spawn_blocking(move || endpoint.read(&parts, &body)).await.map_err(ended)?;
    let (model, MessagesRequest { picture, asked }) = read?;
    let detections = match picture {
        Some(picture) => detector.detect(move || picture.decode()).await?,
        None => Vec::new(),
    };
    Ok(reply::message(&model, &asked, &Sight { pictures: asked.pictures, detections }))
}

async fn read_body(mut body: Incoming) -> Result<Bytes, ServiceError> {
    let (mut kept, mut total) = (BytesMut::new(), 0_usize);
    let broken = || ServiceError::validation("The request body ended early.");
    while let Some(frame) = tokio::time::timeout(BODY_PAUSE, body.frame()).await.map_err(|_| broken())? {
        let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total <= MAX_BODY_BYTES {
            kept.extend_from_slice(&data);
        } else if total > MAX_DRAINED_BYTES {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    if total > MAX_BODY_BYTES {
        return Err(ServiceError::validation(format!("The request body exceeds {MAX_BODY_BYTES} bytes.")));
    }
    Ok(kept.freeze())
}

/// The model that is invoked; its id is one percent-encoded segment of the path.
fn invoked_model(method: &Method, uri: &Uri) -> Result<String, ServiceError> {
    let unknown = |message: String| ServiceError::new(StatusCode::NOT_FOUND, "UnknownOperationException", message);
    let segments: Vec<&str> = uri.path().split('/').collect();
    let ["", "model", id, operation] = segments.as_slice() else {
        return Err(unknown("This endpoint has only POST /model/{modelId}/invoke.".to_owned()));
    };
    if (method, *operation) != (&Method::POST, "invoke") {
        return Err(unknown(format!("This endpoint has only InvokeModel, not {method} {operation}.")));
    }
    let id = percent_decode_str(id).decode_utf8_lossy();
    if id != ModelProfile::DETECTOR_ID {
        let known = format!("this endpoint has only {}", ModelProfile::DETECTOR_ID);
        let message = format!("Could not resolve the foundation model from the model identifier {id:?}: {known}.");
        return Err(ServiceError::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message));
    }
    Ok(id.into_owned())
}

fn invocation(answer: &Value, elapsed: Duration) -> Response<Full<Bytes>> {
    let mut response = json_response(StatusCode::OK, answer);
    let tokens = |name: &str| answer.pointer(&format!("/usage/{name}")).map(Value::to_string).unwrap_or_default();
    set_header(&mut response, "x-amzn-bedrock-invocation-latency", &elapsed.as_millis().to_string());
    set_header(&mut response, "x-amzn-bedrock-input-token-count", &tokens("input_tokens"));
    set_header(&mut response, "x-amzn-bedrock-output-token-count", &tokens("output_tokens"));
    response
}

fn failure(error: &ServiceError) -> Response<Full<Bytes>> {
    let mut response = json_response(error.status, &json!({ "message": error.message }));
    set_header(&mut response, "x-amzn-errortype", error.code);
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn set_header(response: &mut Response<Full<Bytes>>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests;
