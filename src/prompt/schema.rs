//! The schema of the answer: one property for each feature that was asked for.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value, json};

use crate::{domain::Features, json_schema};

/// A JSON Schema with its text, which goes into every request. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema(Arc<(Value, String)>);

impl Schema {
    /// The schema as its text says it.
    pub fn text(&self) -> &str {
        &self.0.1
    }
}

impl From<Value> for Schema {
    fn from(value: Value) -> Self {
        let text = value.to_string();
        Self(Arc::new((value, text)))
    }
}

impl Deref for Schema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.0
    }
}

/// The schema for a set of features. But for an extraction it depends on nothing else, so that a service that compiles
/// schemas sees few, and so that each is made once.
pub(super) fn for_features(features: &Features) -> Schema {
    /// One for each set of the five features.
    static MADE: [OnceLock<Schema>; 32] = [const { OnceLock::new() }; 32];
    if features.extraction.is_some() {
        return made(features).into();
    }
    let asked = [
        features.description,
        features.sensitivity.is_some(),
        features.labels.is_some(),
        features.text,
        features.prompt.is_some(),
    ];
    let set = asked.into_iter().fold(0, |set, asked| 2 * set + usize::from(asked));
    match MADE.get(set) {
        Some(made_once) => made_once.get_or_init(|| made(features).into()).clone(),
        None => made(features).into(),
    }
}

fn made(features: &Features) -> Value {
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
