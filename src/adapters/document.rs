//! JSON as the SDK's `Document`, and back. Total both ways: no value, however odd or deep, is an error.

use std::collections::HashMap;

use aws_smithy_types::{Document, Number};
use serde_json::{Map, Value};

/// Most levels of arrays and objects, as many as `serde_json` reads. What lies deeper becomes null: no answer is that
/// deep, and a service that nests without end must not exhaust the stack.
const MAX_DEPTH: usize = 127;

/// JSON as a document.
pub(super) fn from_json(value: &Value) -> Document {
    to_document(value, MAX_DEPTH)
}

/// A document as JSON. What JSON cannot say, a number that is not finite, becomes null. The keys of an object come in
/// the order of the alphabet: a document keeps none.
pub(super) fn to_json(document: &Document) -> Value {
    to_value(document, MAX_DEPTH)
}

fn to_document(value: &Value, levels: usize) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(bool) => Document::Bool(*bool),
        Value::Number(number) => to_number(number).map_or(Document::Null, Document::Number),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(_) | Value::Object(_) if levels == 0 => Document::Null,
        Value::Array(items) => Document::Array(items.iter().map(|item| to_document(item, levels - 1)).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), to_document(value, levels - 1)));
            Document::Object(fields.collect::<HashMap<_, _>>())
        }
    }
}

fn to_number(number: &serde_json::Number) -> Option<Number> {
    let whole = number.as_u64().map(Number::PosInt).or_else(|| number.as_i64().map(Number::NegInt));
    whole.or_else(|| number.as_f64().map(Number::Float))
}

fn to_value(document: &Document, levels: usize) -> Value {
    match document {
        Document::Bool(bool) => Value::Bool(*bool),
        Document::Number(Number::PosInt(whole)) => Value::from(*whole),
        Document::Number(Number::NegInt(whole)) => Value::from(*whole),
        // Null when it is not finite.
        Document::Number(Number::Float(float)) => Value::from(*float),
        Document::String(text) => Value::String(text.clone()),
        Document::Array(items) if levels > 0 => items.iter().map(|item| to_value(item, levels - 1)).collect(),
        Document::Object(fields) if levels > 0 => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let fields = fields.into_iter().map(|(name, value)| (name.clone(), to_value(value, levels - 1)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Document::Null | Document::Array(_) | Document::Object(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Null for those that are not finite.
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(value in any_json()) {
            prop_assert_eq!(to_json(&from_json(&value)), value);
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        for text in ["0", "18446744073709551615", "-9223372036854775808", "1.0", "0.1", "-0.0", "5e-324"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(to_json(&from_json(&value)).to_string(), value.to_string());
        }
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(to_json(&Document::Array(vec![Document::Number(Number::Float(float))])), json!([null]));
        }
    }

    #[test]
    fn depth_is_bounded_both_ways_and_the_result_can_be_read() {
        let (mut document, mut value) = (Document::Bool(true), Value::Bool(true));
        for _ in 0..2000 {
            document = Document::Array(vec![document]);
            value = Value::Array(vec![value]);
        }
        let read = to_json(&document);
        assert_eq!(to_json(&from_json(&value)), read);
        assert_eq!(serde_json::from_str::<Value>(&read.to_string()).unwrap(), read);
        let deepest = format!("{}null{}", "[".repeat(127), "]".repeat(127));
        assert_eq!(read.to_string(), deepest);
    }
}
