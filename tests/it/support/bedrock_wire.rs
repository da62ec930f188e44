//! What travels: the request as it was sent, and an answer as the real service would send it.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::loopback::{Body, Ending, Gate, body};

/// One `InvokeModel` request.
#[derive(Clone, Debug)]
pub struct InvokeRequest {
    /// The model id or ARN of the path, percent-decoded.
    pub model_id: String,
    pub headers: HeaderMap,
    pub body: Value,
    /// The images of all messages, in order.
    pub images: Vec<SentImage>,
}

/// An image as the model received it.
#[derive(Clone, Debug)]
pub struct SentImage {
    /// The declared media type.
    pub media_type: String,
    pub bytes: Bytes,
    /// Length of the base64 text.
    pub encoded_length: usize,
}

impl InvokeRequest {
    /// Reads a body; an error is worded as the real service words it.
    pub fn parse(model_id: String, headers: HeaderMap, bytes: Bytes) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("Malformed input request: {error}, please reformat your input and try again."))?;
        let mut images = Vec::new();
        for (m, message) in array(&body["messages"]).iter().enumerate() {
            for (c, block) in array(&message["content"]).iter().enumerate() {
                if block["type"] == "image" {
                    let at = format!("messages.{m}.content.{c}.image.source");
                    images.push(SentImage::parse(&block["source"]).map_err(|problem| format!("{at}{problem}"))?);
                }
            }
        }
        Ok(Self { model_id, headers, body, images })
    }

    /// The one image there is; fails the test when there are more or none.
    pub fn image(&self) -> &SentImage {
        assert_eq!(self.images.len(), 1, "images in the request");
        &self.images[0]
    }

    /// All text of the messages, joined by newlines.
    pub fn user_text(&self) -> String {
        let blocks = array(&self.body["messages"]).iter().flat_map(|message| match &message["content"] {
            Value::String(text) => vec![text.as_str()],
            content => array(content).iter().filter_map(|block| block["text"].as_str()).collect(),
        });
        blocks.collect::<Vec<_>>().join("\n")
    }

    /// The system prompt; empty when there is none.
    pub fn system_text(&self) -> String {
        match &self.body["system"] {
            Value::String(text) => text.clone(),
            blocks => array(blocks).iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n"),
        }
    }

    /// The schema of the tool that the model is forced to use; `None` when no tool is forced.
    pub fn forced_schema(&self) -> Option<&Value> {
        let name = (self.body["tool_choice"]["type"] == "tool").then(|| &self.body["tool_choice"]["name"])?;
        let tool = array(&self.body["tools"]).iter().find(|tool| tool["name"] == *name)?;
        tool.get("input_schema")
    }
}

impl SentImage {
    fn parse(source: &Value) -> Result<Self, String> {
        let data = source["data"].as_str().ok_or(".base64.data: Field required")?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|_| ".base64.data: Invalid base64 data".to_owned())?;
        let media_type = source["media_type"].as_str().ok_or(".base64.media_type: Field required")?.to_owned();
        Ok(Self { media_type, bytes: bytes.into(), encoded_length: data.len() })
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The model of an `InvokeModel` path, whose id is one percent-encoded segment; `None` for every other operation.
pub fn invoked_model(method: &Method, path: &str) -> Option<String> {
    let id = path.strip_prefix("/model/")?.strip_suffix("/invoke")?;
    // An ARN that was not encoded has a slash here: the real service does not know that path.
    if *method != Method::POST || id.is_empty() || id.contains('/') {
        return None;
    }
    percent_decode_str(id).decode_utf8().ok().map(|id| id.into_owned())
}

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

    /// A Messages answer. `usage` is `{"input_tokens": .., "output_tokens": ..}`.
    pub fn messages(content: Value, stop_reason: &str, usage: Value) -> Self {
        let id = format!("msg_bdrk_{}", uuid::Uuid::new_v4().simple());
        let body = json!({
            "id": id, "type": "message", "role": "assistant", "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        });
        let mut reply = Self::json(200, body);
        reply.set("x-amzn-bedrock-invocation-latency", "1234");
        for (header, field) in [("input", "input_tokens"), ("output", "output_tokens")] {
            let count = reply.body["usage"][field].to_string();
            reply.set(&format!("x-amzn-bedrock-{header}-token-count"), &count);
        }
        reply
    }

    /// The model calls the tool it was told to call, with `input`.
    pub fn tool(input: Value) -> Self {
        let content = json!([{"type": "tool_use", "id": "toolu_bdrk_01", "name": null, "input": input}]);
        Self::messages(content, "tool_use", json!({"input_tokens": 1200, "output_tokens": 90}))
    }

    /// The model answers in prose.
    pub fn text(text: &str) -> Self {
        let content = json!([{"type": "text", "text": text}]);
        Self::messages(content, "end_turn", json!({"input_tokens": 1100, "output_tokens": 40}))
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

    /// Names the model and the tool, which the script leaves to the request.
    pub(super) fn fill_in(&mut self, request: &InvokeRequest) {
        if self.body["type"] != "message" {
            return;
        }
        self.body["model"] = model_name(&request.model_id).into();
        for block in self.body["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_use" && block["name"].is_null() {
                block["name"] = request.body["tool_choice"]["name"].clone();
            }
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
