//! The body of Claude's Messages API, as Bedrock's InvokeModel takes and gives it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

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
    let text = Value::from(question.prompt.text.as_str());
    let tail = format!(r#""}}}},{{"type":"text","text":{text}}}]}}]{}}}"#, settings(question));
    let encoded = question.image.len().div_ceil(3) * 4;
    let mut body = String::with_capacity(head.len() + encoded + tail.len());
    body.push_str(&head);
    STANDARD.encode_string(&question.image, &mut body);
    body.push_str(&tail);
    body.into_bytes()
}

/// What follows the messages: `,"system":..` and so on.
fn settings(question: &Question) -> String {
    let mut fields = Map::new();
    if let Some(system) = &question.prompt.system {
        fields.insert("system".to_owned(), Value::from(system.as_str()));
    }
    if let Some(temperature) = question.temperature {
        // By its shortest decimal: 0.2 as an f32 is 0.20000000298 as an f64.
        let shortest = temperature.to_string().parse::<f64>().unwrap_or_default();
        fields.insert("temperature".to_owned(), Value::from(shortest));
    }
    if question.thinking == ThinkingParameter::Disabled {
        fields.insert("thinking".to_owned(), json!({"type": "disabled"}));
    }
    if let Some(tool) = &question.prompt.schema {
        let choice = match question.strategy == Strategy::ForcedTool {
            true => json!({"type": "tool", "name": tool.name}),
            false => json!({"type": "auto"}),
        };
        let tool = json!({"name": tool.name, "description": tool.description, "input_schema": tool.schema});
        fields.insert("tools".to_owned(), Value::Array(vec![tool]));
        fields.insert("tool_choice".to_owned(), choice);
    }
    fields.into_iter().map(|(name, value)| format!(",{}:{value}", Value::from(name))).collect()
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Tokens,
    #[serde(default, rename = "amazon-bedrock-guardrailAction")]
    guardrail_action: Option<String>,
}

#[derive(Deserialize)]
struct Block<'a> {
    r#type: String,
    #[serde(default)]
    text: String,
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

/// Reads the answer of one call: the tool's input byte for byte when there is one, else the text.
///
/// # Errors
/// [`ModelError::Malformed`] when it is no message.
pub(super) fn reply(body: &[u8], upstream_request_id: Option<String>) -> Result<Reply, ModelError> {
    let message: Message<'_> =
        serde_json::from_slice(body).map_err(|error| ModelError::Malformed { detail: error.to_string() })?;
    let tool_input = message.content.iter().find(|block| block.r#type == "tool_use").and_then(|block| block.input);
    let text = match tool_input {
        Some(input) => input.get().to_owned(),
        None => {
            message.content.iter().filter(|block| block.r#type == "text").map(|block| block.text.as_str()).collect()
        }
    };
    let intervened = message.guardrail_action.as_deref() == Some("INTERVENED");
    let stop_reason = if intervened { StopReason::Filtered } else { stop_reason(message.stop_reason.as_deref()) };
    let usage = Usage {
        input_tokens: message.usage.input_tokens.unwrap_or_default(),
        output_tokens: message.usage.output_tokens.unwrap_or_default(),
        cache_read_tokens: message.usage.cache_read_input_tokens.unwrap_or_default(),
        cache_write_tokens: message.usage.cache_creation_input_tokens.unwrap_or_default(),
        ..Usage::default()
    };
    Ok(Reply { text, stop_reason, usage, upstream_request_id })
}

fn stop_reason(name: Option<&str>) -> StopReason {
    match name {
        Some("end_turn" | "tool_use" | "stop_sequence") => StopReason::EndTurn,
        Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
        Some("refusal") => StopReason::Refusal,
        Some("guardrail_intervened" | "content_filtered") => StopReason::Filtered,
        _ => StopReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::{
        catalog::Catalog,
        domain::{Features, LabelsRequest, Size, Thinking},
        prompt,
    };

    fn question(model: &str, features: &Features) -> Question {
        let model = Catalog::built_in().unwrap().resolve(model);
        let strategy = model.strategies[0];
        let brief = prompt::Brief {
            features,
            language: "en",
            size: Size::new(640, 427),
            coordinates: model.coordinates,
            strategy,
        };
        let thinking = match model.thinking {
            Thinking::Disable => ThinkingParameter::Disabled,
            _ => ThinkingParameter::Unset,
        };
        Question {
            temperature: model.sampling.takes_temperature().then_some(0.0),
            image: Bytes::from_static(b"\xff\xd8\xff picture"),
            media_type: "image/jpeg",
            prompt: prompt::build(&brief),
            strategy,
            thinking,
            correction: None,
            max_output_tokens: 1024,
            tags: BTreeMap::new(),
            model,
        }
    }

    fn body(model: &str, features: &Features) -> Value {
        serde_json::from_slice(&request(&question(model, features))).unwrap()
    }

    #[test]
    fn the_body_for_the_default_model() {
        let features = Features { labels: Some(LabelsRequest::default()), ..Default::default() };
        let body = body("default", &features);
        assert_eq!(body["thinking"], json!({"type": "disabled"}));
        assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "report_analysis"}));
        for absent in ["temperature", "top_p", "top_k", "model", "stream"] {
            assert!(body.get(absent).is_none(), "{absent}");
        }
        let content = &body["messages"][0]["content"];
        assert_eq!(content[0]["source"]["media_type"], "image/jpeg");
        let data = content[0]["source"]["data"].as_str().unwrap();
        assert_eq!(STANDARD.decode(data).unwrap(), b"\xff\xd8\xff picture");
        assert!(body["system"].as_str().unwrap().contains("640 pixels wide and 427 pixels high"));
    }

    #[test]
    fn the_body_for_a_prompt_alone_is_the_original_guides() {
        let prompt = "당신은 이미지 분석가입니다. \"제공된\" 사진을\n설명해주세요.";
        let features = Features { prompt: Some(prompt.into()), ..Default::default() };
        let body = body("anthropic.claude-3-sonnet-20240229-v1:0", &features);
        let expected = json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 1024,
            "temperature": 0.0,
            "messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/IHBpY3R1cmU="}},
                {"type": "text", "text": prompt}
            ]}]
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_tools_input_is_kept_byte_for_byte() {
        let body = br#"{"content":[{"type":"text","text":"Sure."},{"type":"tool_use","id":"t","name":"n","input":{"a" : 1.0}}],
            "stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4}}"#;
        let reply = reply(body, None).unwrap();
        assert_eq!(reply.text, r#"{"a" : 1.0}"#);
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (3, 4));
        assert_eq!(reply.stop_reason, StopReason::EndTurn);
    }

    #[test]
    fn thinking_is_no_answer_and_texts_are_joined() {
        let body =
            br#"{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}],
            "stop_reason":"end_turn"}"#;
        assert_eq!(reply(body, None).unwrap().text, "ab");
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for body in [&b"{}"[..], b"", b"<html>", b"{\"content\": 3}", b"\xff\xfe"] {
            assert!(matches!(reply(body, None), Err(ModelError::Malformed { .. })));
        }
    }
}
