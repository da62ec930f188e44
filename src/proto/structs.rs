//! `google.protobuf.Struct` to JSON and back.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number};

/// The wire form of a JSON object, as deep as the object is. Numbers become doubles, as the type demands.
pub fn from_json(fields: Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, value_from_json(value))).collect() }
}

fn value_from_json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value_from_json).collect() }),
        Json::Object(fields) => Kind::StructValue(from_json(fields)),
    };
    Value { kind: Some(kind) }
}

/// The JSON object of a message. A whole number, which the wire has as a double, becomes an integer again; a number that
/// JSON has no form for becomes null. How deep it may be is bounded by prost, which refuses messages that are nested
/// deeper than 100.
pub fn to_json(message: Struct) -> Map<String, serde_json::Value> {
    message.fields.into_iter().map(|(name, value)| (name, value_to_json(value))).collect()
}

fn value_to_json(value: Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(value),
        Some(Kind::NumberValue(number)) => json_number(number),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_to_json).collect(),
        Some(Kind::StructValue(fields)) => Json::Object(to_json(fields)),
    }
}

/// Doubles hold every integer up to this.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

fn json_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() <= MOST_EXACT {
        return serde_json::Value::from(number as i64);
    }
    Number::from_f64(number).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_come_back_as_they_were() {
        let object = json!({"a": [1, -2.5, "x", null, true, {}], "b": {"c": []}, "most": 9_007_199_254_740_992_i64});
        let serde_json::Value::Object(fields) = object.clone() else { panic!("an object") };
        assert_eq!(serde_json::Value::Object(to_json(from_json(fields))).to_string(), object.to_string());
    }

    #[test]
    fn numbers_without_a_form_in_json_are_null() {
        let fields = [("n".to_owned(), Value { kind: Some(Kind::NumberValue(f64::INFINITY)) })];
        let object = to_json(Struct { fields: fields.into() });
        assert_eq!(serde_json::Value::Object(object), json!({"n": null}));
    }
}
