//! InvokeModel: reads the request, waits, and answers as Claude does through a tool.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::upstream::{Body, State, response};

/// The answer's description.
pub const DESCRIPTION: &str =
    "A launch pad in the evening: floodlights, a gantry and a white rocket before a clear sky.";
/// Labels of the answer, with one box each.
pub const LABELS: usize = 2;
/// Input tokens of every call.
pub const INPUT_TOKENS: i64 = 1200;
/// Output tokens of every call.
pub const OUTPUT_TOKENS: i64 = 90;

/// Answers one request.
pub async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    if !request.uri().path().ends_with("/invoke") {
        return response(404, &[("content-type", "application/json")], "{}");
    }
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, |data| data.len());
    }
    let _call = Arc::clone(&state).begin_call();
    // A body that is cut short is a caller that went away; a request without its picture is the server's fault.
    if length < 1000 {
        let message = r#"{"message":"Malformed input request: there is no picture"}"#;
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", "ValidationException")];
        return response(400, &headers, message);
    }
    let latency = state.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-requestid", "7c1d5d7e-3c0f-4c0e-9d3a-0f1f6c1c8b11"),
        ("x-amzn-bedrock-invocation-latency", "1000"),
    ];
    response(200, &headers, message())
}

fn message() -> String {
    json!({
        "id": "msg_bdrk_01", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
        "content": [{"type": "tool_use", "id": "toolu_bdrk_01", "name": "report_analysis", "input": {
            "description": DESCRIPTION,
            "labels": [label("rocket", 120), label("floodlight", 40)],
        }}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    })
    .to_string()
}

/// A label with one box, which lies inside every photo.
fn label(name: &str, left: u32) -> Value {
    let corners = json!({"x1": left, "y1": 20, "x2": left + 100, "y2": 220});
    let instances = json!([{"box": corners, "confidence": 0.9}]);
    json!({"name": name, "display_name": name, "confidence": 0.9, "instances": instances})
}
