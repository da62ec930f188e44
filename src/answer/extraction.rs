//! Values for a caller's own schema: found, converted where only their types differ, held against the schema.

use serde_json::{Map, Number, Value};

use super::{
    Fault, Field, Reader,
    fields::{decode, field, key},
    notes::Notes,
    shape,
};
use crate::{domain::ExtractionRequest, json_schema};

/// Deepest schema that is followed while converting.
const MOST_DEPTH: usize = 64;

/// Most steps that are taken while converting: references may make a small schema large.
const MOST_STEPS: usize = 100_000;

impl Reader<'_> {
    pub(super) fn extraction(
        &self,
        object: &Value,
        request: &ExtractionRequest,
        notes: &mut Notes,
    ) -> Field<Map<String, Value>> {
        // Which of its fields were lost cannot be told.
        if self.whole.broken {
            return Err(Fault::WrongForm);
        }
        let named = object.as_object().and_then(|fields| key(fields, shape::names("extraction")));
        let is_alone = self.answer.features.names() == ["extraction"];
        let value = match named {
            Some(_) => field(object, shape::names("extraction")).ok_or(Fault::Absent)?,
            None if is_alone && object.as_object().is_some_and(|fields| !fields.is_empty()) => object,
            None => return Err(Fault::Absent),
        };
        let decoded = value.as_str().and_then(decode);
        let (value, was_string) = decoded.as_ref().map_or((value, false), |decoded| (decoded, true));
        let Value::Object(fields) = value else { return Err(Fault::WrongForm) };
        let violations = json_schema::violations(&request.schema, value);
        if violations.is_empty() {
            if was_string {
                notes.field_repaired();
            }
            return Ok(fields.clone());
        }
        let mut converted = value.clone();
        Converter { root: &request.schema, steps: 0 }.convert(&request.schema, &mut converted, 0);
        match converted {
            Value::Object(fields)
                if json_schema::violations(&request.schema, &Value::Object(fields.clone())).is_empty() =>
            {
                notes.field_repaired();
                Ok(fields)
            }
            _ => Err(Fault::Violations(violations)),
        }
    }
}

/// Converts texts to the numbers and truth values that a schema wants in their place, and leaves out nulls where a schema
/// takes none and needs nothing. What the schema does not say plainly stays as it is.
struct Converter<'a> {
    root: &'a Value,
    steps: usize,
}

impl<'a> Converter<'a> {
    fn convert(&mut self, schema: &'a Value, value: &mut Value, depth: usize) {
        self.steps += 1;
        if depth > MOST_DEPTH || self.steps > MOST_STEPS {
            return;
        }
        let schema = self.resolved(schema);
        match value {
            Value::Object(fields) => {
                let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
                for (name, property) in properties {
                    if fields.get(name).is_some_and(Value::is_null) && !self.takes_null(schema, name, property) {
                        fields.remove(name);
                    }
                    if let Some(value) = fields.get_mut(name) {
                        self.convert(property, value, depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                items.iter_mut().for_each(|item| self.convert(schema, item, depth + 1));
            }
            Value::String(text) => {
                if let Some(converted) = from_text(schema, text.trim()) {
                    *value = converted;
                }
            }
            _ => {}
        }
    }

    fn takes_null(&self, object: &Value, name: &str, property: &'a Value) -> bool {
        let required = object.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
        let schema = self.resolved(property);
        is_required || wants(schema, "null") || schema.get("type").is_none()
    }

    /// What a local reference points at, one step far.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}

fn wants(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        _ => false,
    }
}

fn from_text(schema: &Value, text: &str) -> Option<Value> {
    if wants(schema, "string") {
        return None;
    }
    if wants(schema, "boolean") {
        match text.to_ascii_lowercase().as_str() {
            "true" => return Some(Value::Bool(true)),
            "false" => return Some(Value::Bool(false)),
            _ => {}
        }
    }
    let is_number = wants(schema, "number") || wants(schema, "integer");
    is_number.then(|| serde_json::from_str::<Number>(text).ok()).flatten().map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn converted(schema: &Value, mut value: Value) -> Value {
        Converter { root: schema, steps: 0 }.convert(schema, &mut value, 0);
        value
    }

    #[test]
    fn only_what_the_schema_wants_otherwise_is_converted() {
        let schema = json!({
            "type": "object",
            "required": ["total"],
            "properties": {
                "total": {"type": "number"}, "count": {"type": ["integer", "null"]}, "zip": {"type": "string"},
                "paid": {"type": "boolean"}, "note": {"type": "string"}, "any": {},
                "items": {"type": "array", "items": {"$ref": "#/$defs/item"}}
            },
            "$defs": {"item": {"type": "object", "properties": {"price": {"type": "number"}}}}
        });
        let value = json!({"total": "12.50", "count": "3", "zip": "01234", "paid": "True", "note": null, "any": null,
                           "items": [{"price": "7"}, {"price": "seven"}], "more": "5"});
        let wanted = json!({"total": 12.5, "count": 3, "zip": "01234", "paid": true, "any": null,
                            "items": [{"price": 7}, {"price": "seven"}], "more": "5"});
        assert_eq!(converted(&schema, value), wanted);
        assert_eq!(converted(&schema, json!({"total": null, "count": null})), json!({"total": null, "count": null}));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        assert_eq!(converted(&schema, json!({"a": "1"})), json!({"a": "1"}));
        let endless = json!({"properties": {"a": {"$ref": "#"}}, "type": "number"});
        assert_eq!(converted(&endless, json!({"a": {"a": "1"}})), json!({"a": {"a": 1}}));
    }
}
