//! InvokeModel: reads the request without keeping it, waits for a place and for the model's time, and answers as Claude
//! does through a tool.

use std::{
    sync::{Arc, LazyLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::json;

use super::{Body, State, response};

/// The answer's description.
pub const DESCRIPTION: &str =
    "A launch pad in the evening: floodlights, a gantry and a white rocket before a clear sky.";

/// More than the largest picture takes: the server does not believe a model that counts fewer.
const INPUT_TOKENS: u32 = 6000;

static MESSAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let message = json!({
        "id": "msg_bdrk_01", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
        "content": [{
            "type": "tool_use", "id": "toolu_bdrk_01", "name": "report_analysis",
            "input": {"description": DESCRIPTION},
        }],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 90},
    });
    Bytes::from(message.to_string())
});

/// Answers one request.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    if !request.uri().path().ends_with("/invoke") {
        return response(404, &[("content-type", "application/json")], Full::from("{}").boxed_unsync());
    }
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    // A request without its picture is the server's fault, and ends the run.
    if length < 1000 {
        let message = Full::from(r#"{"message":"Malformed input request: there is no picture"}"#);
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", "ValidationException")];
        return response(400, &headers, message.boxed_unsync());
    }
    state.calls.fetch_add(1, Relaxed);
    state.last_body_bytes.store(length as u64, Relaxed);
    let _place = match state.capacity() {
        Some(capacity) => capacity.acquire_owned().await.ok(),
        None => None,
    };
    let latency = Duration::from_millis(state.latency_ms.load(Relaxed));
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-requestid", "7c1d5d7e-3c0f-4c0e-9d3a-0f1f6c1c8b11"),
        ("x-amzn-bedrock-invocation-latency", "1000"),
    ];
    response(200, &headers, Full::new(MESSAGE.clone()).boxed_unsync())
}
