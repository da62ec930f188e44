//! A caller's own JSON Schema: checked, made small enough for a model, and held against what the model answers.
//!
//! A schema is hostile until [`check`] has passed it. References are resolved here, once and with bounds, so that neither
//! the validator nor a model ever follows one. Patterns run on a linear engine only. `format` and the content keywords are
//! told to the model and asserted in no draft.

mod adapt;
mod check;
mod keywords;
mod resolve;
mod shape;
mod validate;

use serde_json::Value;

pub use adapt::adapt;
pub use check::check;
pub use validate::violations;

/// Most bytes of a schema, written as JSON without spaces.
pub const MAX_SCHEMA_BYTES: usize = 16 * 1024;
/// Most levels of a schema, counted as JSON: a property of a property is four levels below its object.
pub const MAX_SCHEMA_DEPTH: usize = 32;

/// What is wrong with a schema, and where, as a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Where in the schema; empty for its top.
    pub pointer: String,
    /// What is wrong and what to do.
    pub description: String,
}

impl SchemaProblem {
    fn new(pointer: impl Into<String>, description: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), description: description.into() }
    }
}

/// The size of a JSON value: how many values it holds, itself counted, and how deep they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Extent {
    nodes: usize,
    depth: usize,
    /// Bytes of all texts, names of members among them.
    text_bytes: usize,
}

impl Extent {
    /// Values this deep are not looked into: what is deeper is refused everywhere.
    const DEEPEST: usize = 256;

    fn of(value: &Value) -> Self {
        let mut extent = Self::default();
        extent.add(value, 1);
        extent
    }

    fn add(&mut self, value: &Value, depth: usize) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        if depth >= Self::DEEPEST {
            return;
        }
        match value {
            Value::String(text) => self.text_bytes += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.text_bytes += name.len();
                    self.add(member, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A text of a caller, a model or a library: one harmless line of at most `most` characters.
fn one_line(text: &str, most: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.take(most).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests;
