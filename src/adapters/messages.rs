//! The body of Claude's Messages API, as Bedrock's InvokeModel takes and gives it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::turns::{Turns, Written, stop_reason, turns};
use crate::{
    domain::{StopReason, Strategy, Usage},
    pipeline::{ModelError, Question, Reply, ThinkingParameter},
};

/// The body of one call. The picture stands before the text, as Anthropic advises, and is encoded into its place: one
/// copy, whatever its size.
pub(super) fn request(question: &Question) -> Vec<u8> {
    let head = format!(
        r#"{{"anthropic_version":"bedrock-2023-05-31","max_tokens":{},"messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"{}","data":""#,
        question.max_output_tokens, question.media_type
    );
    let tail = format!(r#""}}}},{}]{}}}"#, words(question), settings(question));
    let encoded = question.image.len().div_ceil(3) * 4;
    let mut body = String::with_capacity(head.len() + encoded + tail.len());
    body.push_str(&head);
    STANDARD.encode_string(&question.image, &mut body);
    body.push_str(&tail);
    body.into_bytes()
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
    let mut fields = Map::new();
    if let Some(system) = &question.prompt.system {
        fields.insert("system".to_owned(), Value::from(system.as_str()));
    }
    for (name, value) in [("temperature", question.temperature), ("top_p", question.top_p)] {
        if let Some(value) = value {
            // By its shortest decimal: 0.2 as an f32 is 0.20000000298 as an f64.
            let shortest = value.to_string().parse::<f64>().unwrap_or_default();
            fields.insert(name.to_owned(), Value::from(shortest));
        }
    }
    if let Some(top_k) = question.top_k {
        fields.insert("top_k".to_owned(), Value::from(top_k));
    }
    let mut output = Map::new();
    match question.thinking {
        ThinkingParameter::Unset => {}
        ThinkingParameter::Disabled => drop(fields.insert("thinking".to_owned(), json!({"type": "disabled"}))),
        ThinkingParameter::LowEffort => drop(output.insert("effort".to_owned(), json!("low"))),
    }
    ask_for_shape(question, &mut fields, &mut output);
    if !output.is_empty() {
        fields.insert("output_config".to_owned(), Value::Object(output));
    }
    fields.into_iter().map(|(name, value)| format!(",{}:{value}", Value::from(name))).collect()
}

/// Asks for an answer of the prompt's schema, in `fields` or in what they say of the output.
fn ask_for_shape(question: &Question, fields: &mut Map<String, Value>, output: &mut Map<String, Value>) {
    let Some(schema) = &question.prompt.schema else { return };
    let choice = match question.strategy {
        Strategy::NativeSchema => {
            output.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema.schema}));
            return;
        }
        // One call holds all of the answer; of several, the first would be read.
        Strategy::ForcedTool => json!({"type": "tool", "name": schema.name, "disable_parallel_tool_use": true}),
        Strategy::AutoTool => json!({"type": "auto", "disable_parallel_tool_use": true}),
        // The prompt's own words show the schema.
        Strategy::PromptedJson => return,
    };
    let tool = json!({"name": schema.name, "description": schema.description, "input_schema": schema.schema});
    fields.insert("tools".to_owned(), Value::Array(vec![tool]));
    fields.insert("tool_choice".to_owned(), choice);
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
pub(super) fn reply(body: &[u8], tool: Option<&str>, upstream_request_id: Option<String>) -> Result<Reply, ModelError> {
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
