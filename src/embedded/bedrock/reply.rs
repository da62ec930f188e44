use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::messages::{Asked, CHARACTERS_PER_TOKEN};
use crate::embedded::composer::Sight;

/// The answer in the shape of the Messages API. `usage` is an estimate where text is concerned. An answer longer than
/// the caller's most output tokens is cut and says so.
pub(super) fn message(model: &str, asked: &Asked, sight: &Sight) -> Value {
    let (block, output_tokens, complete) = match &asked.tool {
        Some(tool) => {
            let properties = tool.properties.iter().map(String::as_str);
            let (input, complete) = cut_input(sight.tool_input(properties), asked.max_tokens);
            let tokens = tokens_of(&Value::from(input.clone()).to_string());
            let id = format!("toolu_{}", Uuid::new_v4().simple());
            (json!({ "type": "tool_use", "id": id, "name": tool.name, "input": input }), tokens, complete)
        }
        None => {
            let (text, complete) = cut_text(sight.plain_text(), asked.max_tokens);
            let tokens = tokens_of(&text);
            (json!({ "type": "text", "text": text }), tokens, complete)
        }
    };
    let stop_reason = match (complete, &asked.tool) {
        (false, _) => "max_tokens",
        (true, Some(_)) => "tool_use",
        (true, None) => "end_turn",
    };
    json!({
        "id": format!("msg_{}", Uuid::new_v4().simple()),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": asked.input_tokens,
            "output_tokens": output_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    })
}

fn tokens_of(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARACTERS_PER_TOKEN) as u64
}

fn cut_text(text: String, max_tokens: u64) -> (String, bool) {
    if tokens_of(&text) <= max_tokens {
        return (text, true);
    }
    let most = usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_mul(CHARACTERS_PER_TOKEN);
    (text.chars().take(most).collect(), false)
}

/// Leaves out the last labels, then whole properties, until the rest fits.
fn cut_input(mut input: Map<String, Value>, max_tokens: u64) -> (Map<String, Value>, bool) {
    let mut complete = true;
    while !input.is_empty() && tokens_of(&Value::from(input.clone()).to_string()) > max_tokens {
        complete = false;
        let cut = input.get_mut("labels").and_then(Value::as_array_mut).and_then(Vec::pop);
        if cut.is_none() {
            let last = input.keys().next_back().cloned().unwrap_or_default();
            input.remove(&last);
        }
    }
    (input, complete)
}
