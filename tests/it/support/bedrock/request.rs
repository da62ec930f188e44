//! A request as it was sent, seen in the same way whichever operation carried it.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The operation that carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// InvokeModel, with the body of Claude's Messages API.
    Invoke,
    /// Converse.
    Converse,
}

/// How a request asks for an answer of a given shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A JSON Schema that the service holds the model to.
    NativeSchema,
    /// A tool that the model must call.
    ForcedTool,
    /// A tool that the model may call.
    AutoTool,
    /// Not at all, or in words alone.
    InWords,
}

/// One request to invoke a model, by InvokeModel or Converse.
#[derive(Clone, Debug)]
pub struct InvokeRequest {
    pub api: Api,
    /// The model id or ARN of the path, percent-decoded.
    pub model_id: String,
    pub headers: HeaderMap,
    pub body: Value,
    /// The images of all messages, in order.
    pub images: Vec<SentImage>,
    /// The messages, in order.
    pub turns: Vec<Turn>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// `user` or `assistant`.
    pub role: String,
    /// Its texts, in order.
    pub texts: Vec<String>,
    /// How many images it holds.
    pub images: usize,
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

/// The operation and the model of a path, whose id is one percent-encoded segment; `None` for every other operation.
pub fn operation(method: &Method, path: &str) -> Option<(Api, String)> {
    let (id, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let api = match operation {
        "invoke" => Api::Invoke,
        "converse" => Api::Converse,
        _ => return None,
    };
    // An ARN that was not encoded has a slash here: the real service does not know that path.
    if *method != Method::POST || id.is_empty() || id.contains('/') {
        return None;
    }
    Some((api, percent_decode_str(id).decode_utf8().ok()?.into_owned()))
}

impl InvokeRequest {
    /// Reads a body; an error is worded as the real service words it.
    pub fn parse(api: Api, model_id: String, headers: HeaderMap, bytes: Bytes) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("Malformed input request: {error}, please reformat your input and try again."))?;
        let (mut images, mut turns) = (Vec::new(), Vec::new());
        for (m, message) in array(&body["messages"]).iter().enumerate() {
            let before = images.len();
            for (c, block) in array(&message["content"]).iter().enumerate() {
                let at = format!("messages.{m}.content.{c}.image.source");
                let image = match api {
                    Api::Invoke if block["type"] == "image" => SentImage::of_messages(&block["source"]),
                    Api::Converse if block.get("image").is_some() => SentImage::of_converse(&block["image"]),
                    _ => continue,
                };
                images.push(image.map_err(|problem| format!("{at}{problem}"))?);
            }
            turns.push(Turn {
                role: message["role"].as_str().unwrap_or_default().to_owned(),
                texts: texts(&message["content"]),
                images: images.len() - before,
            });
        }
        Ok(Self { api, model_id, headers, body, images, turns })
    }

    /// The one image there is; fails the test when there are more or none.
    pub fn image(&self) -> &SentImage {
        assert_eq!(self.images.len(), 1, "images in the request");
        &self.images[0]
    }

    /// All text of the messages, joined by newlines.
    pub fn user_text(&self) -> String {
        self.turns.iter().flat_map(|turn| &turn.texts).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The system prompt; empty when there is none.
    pub fn system_text(&self) -> String {
        texts(&self.body["system"]).join("\n")
    }

    /// How the request asks for an answer of a given shape.
    pub fn asks(&self) -> Asks {
        if self.native_schema().is_some() {
            Asks::NativeSchema
        } else if self.forces_a_tool() {
            Asks::ForcedTool
        } else if !self.tools().is_empty() {
            Asks::AutoTool
        } else {
            Asks::InWords
        }
    }

    /// The schema of the answer, however it was sent; `None` when there is none or it is in the prompt's words.
    pub fn schema(&self) -> Option<Value> {
        self.native_schema().or_else(|| self.tools().into_iter().next().map(|tool| tool.schema))
    }

    /// The schema of the tool that the model is forced to use; `None` when no tool is forced.
    pub fn forced_schema(&self) -> Option<Value> {
        (self.asks() == Asks::ForcedTool).then(|| self.schema()).flatten()
    }

    /// The schema that the service is to hold the model to.
    pub fn native_schema(&self) -> Option<Value> {
        match self.api {
            Api::Invoke => self.body["output_config"]["format"].get("schema").cloned(),
            // In Converse the schema is JSON in a string.
            Api::Converse => {
                let schema = self.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str()?;
                Some(serde_json::from_str(schema).unwrap_or(Value::Null))
            }
        }
    }

    /// The tools on offer.
    pub fn tools(&self) -> Vec<Tool> {
        let (tools, schema) = match self.api {
            Api::Invoke => (array(&self.body["tools"]).iter().collect(), "/input_schema"),
            Api::Converse => {
                let tools: Vec<_> =
                    array(&self.body["toolConfig"]["tools"]).iter().map(|tool| &tool["toolSpec"]).collect();
                (tools, "/inputSchema/json")
            }
        };
        let tool = |tool: &Value| Tool {
            name: tool["name"].as_str().unwrap_or_default().to_owned(),
            schema: tool.pointer(schema).cloned().unwrap_or_default(),
        };
        tools.into_iter().map(tool).collect()
    }

    /// The name of the tool that the model must call: empty when it may be any; `None` when it need not call one.
    pub fn forced_tool(&self) -> Option<&str> {
        match self.api {
            Api::Invoke => match self.body["tool_choice"]["type"].as_str()? {
                "tool" => self.body["tool_choice"]["name"].as_str(),
                "any" => Some(""),
                _ => None,
            },
            Api::Converse => {
                let choice = &self.body["toolConfig"]["toolChoice"];
                choice.get("any").map(|_| "").or_else(|| choice["tool"]["name"].as_str())
            }
        }
    }

    /// Whether the model must call a tool.
    pub fn forces_a_tool(&self) -> bool {
        self.forced_tool().is_some()
    }

    /// A parameter of the Messages API by its name there, such as `max_tokens`, wherever the operation has it.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        let found = match (self.api, name) {
            (Api::Invoke, _) => self.body.get(name),
            (Api::Converse, "max_tokens") => self.body["inferenceConfig"].get("maxTokens"),
            (Api::Converse, "temperature") => self.body["inferenceConfig"].get("temperature"),
            (Api::Converse, "top_p") => self.body["inferenceConfig"].get("topP"),
            (Api::Converse, _) => self.body["additionalModelRequestFields"].get(name),
        };
        found.filter(|value| !value.is_null())
    }

    /// The sampling temperature.
    pub fn temperature(&self) -> Option<f64> {
        self.parameter("temperature")?.as_f64()
    }

    /// Most output tokens.
    pub fn max_tokens(&self) -> u64 {
        self.parameter("max_tokens").and_then(Value::as_u64).unwrap_or_default()
    }

    /// What is said about thinking: `enabled`, `disabled`, `adaptive`.
    pub fn thinking(&self) -> Option<&str> {
        self.parameter("thinking")?["type"].as_str()
    }

    /// How hard the model is to try, such as `low`.
    pub fn effort(&self) -> Option<&str> {
        let own = self.body["outputConfig"]["effort"].as_str().filter(|_| self.api == Api::Converse);
        own.or_else(|| self.parameter("output_config")?["effort"].as_str())
    }

    /// The cost-allocation tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let tags = match self.api {
            Api::Invoke => {
                let header = self.headers.get("x-amzn-bedrock-request-metadata").and_then(|value| value.to_str().ok());
                header.and_then(|tags| serde_json::from_str(tags).ok())
            }
            Api::Converse => serde_json::from_value(self.body["requestMetadata"].clone()).ok(),
        };
        tags.unwrap_or_default()
    }
}

/// A tool on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub schema: Value,
}

impl SentImage {
    fn of_messages(source: &Value) -> Result<Self, String> {
        let data = source["data"].as_str().ok_or(".base64.data: Field required")?;
        let media_type = source["media_type"].as_str().ok_or(".base64.media_type: Field required")?.to_owned();
        Self::decode(data, media_type)
    }

    fn of_converse(image: &Value) -> Result<Self, String> {
        let data = image["source"]["bytes"].as_str().ok_or(".bytes: Field required")?;
        let format = image["format"].as_str().unwrap_or_default();
        Self::decode(data, format!("image/{format}"))
    }

    fn decode(data: &str, media_type: String) -> Result<Self, String> {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|_| ".base64.data: Invalid base64 data".to_owned())?;
        Ok(Self { media_type, bytes: bytes.into(), encoded_length: data.len() })
    }
}

/// The texts of a message or a system prompt, which may also be one string.
fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        blocks => array(blocks).iter().filter_map(|block| block["text"].as_str()).map(str::to_owned).collect(),
    }
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
