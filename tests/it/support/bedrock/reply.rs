//! An answer as the real service would send it, in the protocol of the request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::request::{Api, Asks, InvokeRequest, array};
use crate::support::loopback::{Body, Ending, Gate, body};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Answer,
    /// No answer; the connection stays open.
    Hang,
    /// Headers and half the body, then the connection breaks.
    Cut,
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Reply {
    outcome: Outcome,
    status: u16,
    headers: HeaderMap,
    body: Value,
    waits: Option<Wait>,
}

/// What an answer waits for.
#[derive(Clone, Debug)]
pub enum Wait {
    Notice(Arc<Notify>),
    Gate(Gate),
    Time(std::time::Duration),
}

impl Wait {
    pub(super) async fn end(&self) {
        match self {
            Self::Notice(notice) => notice.notified().await,
            Self::Gate(gate) => gate.pass().await,
            Self::Time(time) => tokio::time::sleep(*time).await,
        }
    }
}

impl Reply {
    /// Any JSON body.
    pub fn json(status: u16, body: Value) -> Self {
        let mut reply = Self { outcome: Outcome::Answer, status, headers: HeaderMap::new(), body, waits: None };
        reply.set("content-type", "application/json");
        reply.set("x-amzn-requestid", &uuid::Uuid::new_v4().to_string());
        reply
    }

    /// An answer, written as the Messages API has it and sent in the protocol of the request. `usage` is
    /// `{"input_tokens": .., "output_tokens": ..}`; with `null` it is what the request and the answer would take.
    pub fn messages(content: Value, stop_reason: &str, usage: Value) -> Self {
        let id = format!("msg_bdrk_{}", uuid::Uuid::new_v4().simple());
        let body = json!({
            "id": id, "type": "message", "role": "assistant", "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        });
        Self::json(200, body)
    }

    /// The model answers `input` in the way it was asked: it calls the tool, or writes JSON.
    pub fn tool(input: Value) -> Self {
        let content = json!([{"type": "tool_use", "id": "toolu_bdrk_01", "name": null, "input": input}]);
        Self::messages(content, "tool_use", Value::Null)
    }

    /// The model answers in prose.
    pub fn text(text: &str) -> Self {
        Self::messages(json!([{"type": "text", "text": text}]), "end_turn", Value::Null)
    }

    /// The model stops in the middle of `text`, at the most output tokens.
    pub fn broken_off(text: &str) -> Self {
        Self::messages(json!([{"type": "text", "text": text}]), "max_tokens", Value::Null)
    }

    /// The model refuses.
    pub fn refusal() -> Self {
        Self::messages(json!([]), "refusal", Value::Null)
    }

    /// An error as the service words it: the exception's name in a header, the message in the body.
    pub fn error(status: u16, exception: &str, message: &str) -> Self {
        let mut reply = Self::json(status, json!({"message": message}));
        let error_type = format!("{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        reply.set("x-amzn-errortype", &error_type);
        reply
    }

    /// A 400 of the model or of Bedrock's own checks.
    pub fn validation(message: &str) -> Self {
        Self::error(400, "ValidationException", message)
    }

    /// Too many requests.
    pub fn throttled() -> Self {
        Self::error(429, "ThrottlingException", "Too many requests, please wait before trying again.")
    }

    /// The service is overloaded.
    pub fn unavailable() -> Self {
        Self::error(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
    }

    /// The model's own fault, with the status that the model answered: one of its request below 500, else one that passes.
    pub fn model_error(original_status: u16) -> Self {
        let message = match original_status {
            500.. => "The system encountered an unexpected error during processing. Try your request again.",
            _ => "The model does not take this request.",
        };
        let body = json!({"message": message, "originalStatusCode": original_status, "resourceName": "model"});
        Self::json(424, body).header("x-amzn-errortype", "ModelErrorException")
    }

    /// A model that is no more.
    pub fn ended() -> Self {
        let message = "This model version has reached the end of its life. Please refer to the AWS documentation for more \
                       details.";
        Self::error(404, "ResourceNotFoundException", message)
    }

    /// A model that the account may not use.
    pub fn denied() -> Self {
        let message = "You don't have access to the model with the specified model ID.";
        Self::error(403, "AccessDeniedException", message)
    }

    /// No answer ever; see `Bedrock::abandoned`.
    pub fn hang() -> Self {
        Self { outcome: Outcome::Hang, ..Self::json(200, Value::Null) }
    }

    /// A good answer that breaks in the middle of its body.
    pub fn cut() -> Self {
        Self { outcome: Outcome::Cut, ..Self::text(&"never seen whole ".repeat(64)) }
    }

    /// The same, sent only after `gate.notify_one()`; one notification lets one answer out.
    pub fn delayed(mut self, gate: &Arc<Notify>) -> Self {
        self.waits = Some(Wait::Notice(Arc::clone(gate)));
        self
    }

    /// The same, sent only when the gate lets it through.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.waits = Some(Wait::Gate(gate.clone()));
        self
    }

    /// The same from a slower model.
    pub fn after(mut self, time: std::time::Duration) -> Self {
        self.waits = Some(Wait::Time(time));
        self
    }

    /// The same with another usage.
    pub fn usage(mut self, input_tokens: u32, output_tokens: u32) -> Self {
        self.body["usage"] = json!({"input_tokens": input_tokens, "output_tokens": output_tokens});
        self
    }

    /// The same with another header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    /// Bedrock's request id of this answer.
    pub fn request_id(&self) -> &str {
        self.headers["x-amzn-requestid"].to_str().unwrap()
    }

    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub(super) fn waits(&self) -> Option<Wait> {
        self.waits.clone()
    }

    /// Says what the script leaves to the request: model, tool, usage and protocol.
    pub(super) fn fill_in(&mut self, request: &InvokeRequest) {
        if self.body["type"] != "message" {
            return;
        }
        self.body["model"] = model_name(&request.model_id).into();
        self.answer_as_asked(request);
        if self.body["usage"].is_null() {
            let written = self.body["content"].to_string().len().div_ceil(4);
            self.body["usage"] = json!({"input_tokens": request.input_tokens(), "output_tokens": written});
        }
        match request.api {
            Api::Invoke => {
                self.set("x-amzn-bedrock-invocation-latency", "1234");
                for (header, field) in [("input", "input_tokens"), ("output", "output_tokens")] {
                    let count = self.body["usage"][field].to_string();
                    self.set(&format!("x-amzn-bedrock-{header}-token-count"), &count);
                }
            }
            Api::Converse => self.body = converse(&self.body),
        }
    }

    /// A call of the one tool on offer stays one; without a tool it is written as text.
    fn answer_as_asked(&mut self, request: &InvokeRequest) {
        let tools = request.tools();
        let in_text = matches!(request.asks(), Asks::NativeSchema | Asks::InWords);
        for block in self.body["content"].as_array_mut().into_iter().flatten() {
            if block["type"] != "tool_use" || !block["name"].is_null() {
                continue;
            }
            if in_text {
                *block = json!({"type": "text", "text": block["input"].to_string()});
            } else {
                block["name"] = tools[0].name.as_str().into();
            }
        }
        let calls = array(&self.body["content"]).iter().any(|block| block["type"] == "tool_use");
        if self.body["stop_reason"] == "tool_use" && !calls {
            self.body["stop_reason"] = "end_turn".into();
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let bytes = Bytes::from(self.body.to_string());
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = self.headers;
        response.headers_mut().insert("content-length", bytes.len().into());
        let body = match self.outcome {
            Outcome::Cut => body(bytes.slice(..bytes.len() / 2), Ending::Cut),
            Outcome::Answer | Outcome::Hang => body(bytes, Ending::Complete),
        };
        response.map(|()| body)
    }
}

/// `claude-sonnet-5` of `global.anthropic.claude-sonnet-5`.
fn model_name(model_id: &str) -> &str {
    model_id.split_once("anthropic.").map_or(model_id, |(_, name)| name)
}

/// The same answer as Converse has it.
fn converse(message: &Value) -> Value {
    let content: Vec<_> = array(&message["content"]).iter().map(converse_block).collect();
    let usage = &message["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap_or_default();
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": message["stop_reason"],
        "usage": {
            "inputTokens": tokens("input_tokens"),
            "outputTokens": tokens("output_tokens"),
            "totalTokens": tokens("input_tokens") + tokens("output_tokens"),
            "cacheReadInputTokens": tokens("cache_read_input_tokens"),
            "cacheWriteInputTokens": tokens("cache_creation_input_tokens"),
        },
        "metrics": {"latencyMs": 1234},
    })
}

fn converse_block(block: &Value) -> Value {
    match block["type"].as_str() {
        Some("tool_use") => {
            json!({"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}})
        }
        Some("thinking") => {
            json!({"reasoningContent": {"reasoningText": {"text": block["thinking"], "signature": "s"}}})
        }
        _ => json!({"text": block["text"]}),
    }
}
