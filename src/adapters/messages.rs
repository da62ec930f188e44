//! The body of Claude's Messages API, as Bedrock's InvokeModel takes and gives it.

mod request_body;

use std::fmt::{Display, Write as _};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

pub use self::request_body::{Body, HashedBody};
use super::turns::{Turns, Written, stop_reason, turns};
use crate::{
    domain::{StopReason, Strategy, Usage},
    pipeline::{ModelError, Question, Reply, ThinkingParameter},
};

/// The body of one call. The picture stands before the text, as Anthropic advises.
pub fn request(question: &Question) -> Body {
    let head = format!(
        r#"{{"anthropic_version":"bedrock-2023-05-31","max_tokens":{},"messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"{}","data":""#,
        question.max_output_tokens, question.media_type
    );
    let tail = format!(r#""}}}},{}]{}}}"#, words(question), settings(question));
    Body { head: head.into(), image: question.image.clone(), tail: tail.into() }
}

/// What follows the picture up to the end of the messages.
fn words(question: &Question) -> String {
    let text = text_block(&question.prompt.text);
    match turns(question) {
        Turns::One => format!("{text}]}}"),
        Turns::OneWith { complaint } => format!("{text},{}]}}", text_block(complaint)),
        Turns::Three { answer, complaint } => {
            let answer = json!({"role": "assistant", "content": [text_block(answer)]});
            let complaint = json!({"role": "user", "content": [text_block(complaint)]});
            format!("{text}]}},{answer},{complaint}")
        }
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// What follows the messages: `,"system":..` and so on.
fn settings(question: &Question) -> String {
    let mut fields = Fields(String::with_capacity(4096));
    let Shape { format, tool } = shape(question);
    let mut output = Fields::default();
    if question.thinking == ThinkingParameter::LowEffort {
        output.add("effort", json!("low"));
    }
    if let Some(format) = format {
        output.add("format", format);
    }
    if let Some(output) = output.0.get(1..) {
        fields.add("output_config", format_args!("{{{output}}}"));
    }
    if let Some(system) = &question.prompt.system {
        fields.add("system", Value::from(system.as_str()));
    }
    if question.thinking == ThinkingParameter::Disabled {
        fields.add("thinking", json!({"type": "disabled"}));
    }
    if let Some((choice, tool)) = tool {
        fields.add("tool_choice", choice);
        fields.add("tools", format_args!("[{tool}]"));
    }
    if let Some(top_k) = question.top_k {
        fields.add("top_k", top_k);
    }
    for (name, value) in [("temperature", question.temperature), ("top_p", question.top_p)] {
        if let Some(value) = value {
            // By its shortest decimal: 0.2 as an f32 is 0.20000000298 as an f64.
            let shortest = value.to_string().parse::<f64>().unwrap_or_default();
            fields.add(name, Value::from(shortest));
        }
    }
    fields.0
}

/// Fields of a JSON object, each behind a comma.
#[derive(Default)]
struct Fields(String);

impl Fields {
    /// Adds a field by its JSON. The names are ours, and need no escaping.
    fn add(&mut self, name: &str, json: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, ",\"{name}\":{json}");
    }
}

/// How the answer is asked for, as JSON.
#[derive(Default)]
struct Shape {
    /// What the service holds the model to.
    format: Option<String>,
    /// The choice of a tool, and the tool.
    tool: Option<(Value, String)>,
}

fn shape(question: &Question) -> Shape {
    let Some(asked) = &question.prompt.schema else { return Shape::default() };
    let schema = asked.schema.text();
    let choice = match question.strategy {
        Strategy::NativeSchema => {
            let format = format!(r#"{{"type":"json_schema","schema":{schema}}}"#);
            return Shape { format: Some(format), tool: None };
        }
        // One call holds all of the answer; of several, the first would be read.
        Strategy::ForcedTool => json!({"type": "tool", "name": asked.name, "disable_parallel_tool_use": true}),
        Strategy::AutoTool => json!({"type": "auto", "disable_parallel_tool_use": true}),
        // The prompt's own words show the schema.
        Strategy::PromptedJson => return Shape::default(),
    };
    let (name, description) = (Value::from(asked.name), Value::from(asked.description));
    let tool = format!(r#"{{"name":{name},"description":{description},"input_schema":{schema}}}"#);
    Shape { format: None, tool: Some((choice, tool)) }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default, rename = "amazon-bedrock-guardrailAction")]
    guardrail_action: Option<String>,
}

#[derive(Deserialize)]
struct Block<'a> {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

/// Reads the answer of one call: the input of the tool that was offered, byte for byte, when there is one, else the text.
/// Without its body.
///
/// # Errors
/// [`ModelError::Malformed`] when it is no message.
pub fn reply(body: &[u8], tool: Option<&str>, upstream_request_id: Option<String>) -> Result<Reply, ModelError> {
    let message: Message<'_> =
        serde_json::from_slice(body).map_err(|error| ModelError::Malformed { detail: error.to_string() })?;
    let mut written = Written::default();
    for block in message.content {
        match (block.r#type.as_str(), block.text, block.input) {
            ("text", Some(text), _) => written.add_text(&text),
            ("tool_use", _, Some(input)) => {
                written.add_input(input.get().to_owned(), tool.is_some() && tool == block.name.as_deref());
            }
            _ => {}
        }
    }
    let intervened = message.guardrail_action.as_deref() == Some("INTERVENED");
    let stop_reason = message.stop_reason.as_deref().map_or(StopReason::Unknown, stop_reason);
    let tokens = message.usage.unwrap_or_default();
    let usage = Usage {
        input_tokens: tokens.input_tokens.unwrap_or_default(),
        output_tokens: tokens.output_tokens.unwrap_or_default(),
        cache_read_tokens: tokens.cache_read_input_tokens.unwrap_or_default(),
        cache_write_tokens: tokens.cache_creation_input_tokens.unwrap_or_default(),
        ..Usage::default()
    };
    let stop_reason = if intervened { StopReason::Filtered } else { stop_reason };
    Ok(Reply { text: written.answer(), stop_reason, usage, upstream_request_id, body: None })
}

#[cfg(test)]
mod tests;
