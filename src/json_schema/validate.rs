//! A value against a schema, in bounded time and space.

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::{
    Extent,
    keywords::{below, draft},
    one_line,
    resolve::resolve,
};

/// Most violations that are told.
const MAX_TOLD: usize = 10;
/// Most characters of one.
const MAX_CHARS: usize = 300;
/// Deepest value: a message that holds a deeper one cannot be read by gRPC clients, which refuse 100 nested messages.
const MAX_DEPTH: usize = 24;
/// Most bytes of text in a value. A model's answer has at most 32,000 tokens.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Most pairs of a value in the answer and a value in the schema.
const MAX_WORK: usize = 50_000_000;
/// Most such pairs for which every violation is collected: each may cost some hundred bytes.
const MAX_COLLECTED_WORK: usize = 500_000;
/// Most bytes of text times patterns.
const MAX_PATTERN_WORK: usize = 2 << 20;
/// Most bytes of one compiled pattern.
const PATTERN_BYTES: usize = 64 * 1024;

/// The validator of a schema without references.
pub(super) fn validator(schema: &Value, draft: Draft) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(1 << 20);
    let options = jsonschema::options().with_draft(draft).offline().should_validate_formats(false);
    let options = options.with_pattern_options(patterns);
    let options = options.without_content_media_type_support("application/json");
    options.without_content_encoding_support("base64").build(schema)
}

/// What violates a schema that [`check`](super::check) has passed, in words for the model that wrote the value: at most
/// 10 lines of the form `at /path: what is wrong`, empty when the value is valid. A whole number counts as an integer
/// however it is written.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let draft = draft(schema).unwrap_or_default();
    let resolved = resolve(schema, draft);
    let extent = Extent::of(value);
    if extent.depth > MAX_DEPTH {
        return vec![format!("at the top: is nested deeper than {MAX_DEPTH} levels; write it flatter")];
    }
    let work = extent.nodes.saturating_mul(Extent::of(&resolved.schema).nodes);
    let pattern_work = extent.text_bytes.saturating_mul(resolved.patterns.len());
    if extent.text_bytes > MAX_TEXT_BYTES || work > MAX_WORK || pattern_work > MAX_PATTERN_WORK {
        return vec!["at the top: is too large to be checked; write fewer and shorter values".to_owned()];
    }
    let Ok(validator) = validator(&resolved.schema, draft) else {
        return vec!["at the top: cannot be held against the schema".to_owned()];
    };
    let value = with_whole_numbers(value);
    if validator.is_valid(&value) {
        return Vec::new();
    }
    if work > MAX_COLLECTED_WORK {
        return vec!["at the top: does not match the schema; check every value against it".to_owned()];
    }
    let told: Vec<_> = validator.iter_errors(&value).take(MAX_TOLD).map(|error| words(&error)).collect();
    if told.is_empty() { vec!["at the top: does not match the schema".to_owned()] } else { told }
}

/// A violation without the value itself, which may be long and is before the model's eyes anyway.
fn words(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "the top".to_owned() } else { one_line(&path, 100) };
    format!("at {place}: {}", one_line(&error.masked().to_string(), MAX_CHARS - 120))
}

/// Doubles hold every integer up to this.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The same value in which 3.0 is written 3, as the oldest draft wants integers to be.
fn with_whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= MOST_EXACT => {
                Value::from(float as i64)
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(with_whole_numbers).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), with_whole_numbers(member))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Compiles one pattern alone, to say which of many cannot be used.
pub(super) fn pattern_compiles(pattern: &str) -> bool {
    validator(&serde_json::json!({ "pattern": pattern }), Draft::Draft202012).is_ok()
}

/// Where an error of the meta-schema is, with the member that it is about.
pub(super) fn place(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    if path.is_empty() || path.starts_with('/') { path } else { below("", &path) }
}
