//! The schema of the answer: one property for each feature that was asked for.

use serde_json::{Map, Value, json};

use crate::{domain::Features, json_schema};

/// The schema for a set of features. But for an extraction it depends on nothing else, so that a service that compiles
/// schemas sees few.
pub(super) fn for_features(features: &Features) -> Value {
    let parts = [
        (features.description, "description", text_value()),
        (features.sensitivity.is_some(), "sensitivity", sensitivity()),
        (features.labels.is_some(), "labels", labels()),
        (features.text, "text", text_lines()),
        (features.prompt.is_some(), "answer", text_value()),
    ];
    let extraction = features.extraction.as_ref().map(|request| ("extraction", json_schema::adapt(&request.schema)));
    let parts = parts.into_iter().filter_map(|(asked, name, value)| asked.then_some((name, value)));
    closed_object(parts.chain(extraction).collect())
}

fn text_value() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "number"})
}

/// An object that requires all of its properties and takes no other.
fn closed_object(properties: Vec<(&str, Value)>) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    with_required(&properties, &required)
}

fn with_required(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let map: Map<String, Value> = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({"type": "object", "properties": map, "required": required, "additionalProperties": false})
}

fn array_of(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn corners() -> Value {
    closed_object(vec![("x1", number()), ("y1", number()), ("x2", number()), ("y2", number())])
}

fn sensitivity() -> Value {
    let finding = [("category", text_value()), ("detail", text_value()), ("box", corners())];
    closed_object(vec![
        ("verdict", json!({"type": "string", "enum": ["sensitive", "not_sensitive", "uncertain"]})),
        ("reason", text_value()),
        ("findings", array_of(with_required(&finding, &["category", "detail"]))),
    ])
}

fn labels() -> Value {
    let instance = closed_object(vec![("box", corners()), ("confidence", number())]);
    array_of(closed_object(vec![
        ("name", text_value()),
        ("display_name", text_value()),
        ("confidence", number()),
        ("instances", array_of(instance)),
    ]))
}

fn text_lines() -> Value {
    let line = [("text", text_value()), ("box", corners())];
    closed_object(vec![("lines", array_of(with_required(&line, &["text"])))])
}
