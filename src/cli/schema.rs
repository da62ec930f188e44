//! A JSON Schema in a file, for `--extract`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use prost_types::Struct;
use serde_json::Value;

use super::plain;
use crate::{json_schema, proto::structs};

/// Most bytes of a schema's file: white space does not count against the schema's own limit.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A schema that the server will take.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema(Struct);

impl Schema {
    /// The schema as the contract has it.
    pub fn message(&self) -> Struct {
        self.0.clone()
    }
}

/// Why a file is no schema to extract by.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The operating system's reason.
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] io::Error),
    /// More bytes than any schema has.
    #[error("the file is larger than {}; a schema has at most {}", plain::bytes(MAX_FILE_BYTES),
            plain::bytes(json_schema::MAX_SCHEMA_BYTES as u64))]
    TooLarge,
    /// Not JSON.
    #[error("the file is no JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// JSON that is no schema, or one that is not taken: every problem on a line of its own.
    #[error("the file is no JSON Schema that can be used:\n{0}")]
    Unusable(String),
}

/// Reads and checks a schema, as the server will.
///
/// # Errors
/// A file that cannot be read, is too large, no JSON, or no schema that the server takes.
pub fn read(path: &str) -> Result<Schema, SchemaError> {
    let mut text = String::new();
    let bounded = File::open(Path::new(path))?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if bounded as u64 > MAX_FILE_BYTES {
        return Err(SchemaError::TooLarge);
    }
    let schema: Value = serde_json::from_str(&text)?;
    let checked = json_schema::check(&schema);
    match (checked, schema) {
        (Ok(()), Value::Object(schema)) => Ok(Schema(structs::from_json(schema))),
        (checked, _) => Err(SchemaError::Unusable(listed(&checked.err().unwrap_or_default()))),
    }
}

fn listed(problems: &[json_schema::SchemaProblem]) -> String {
    let line = |problem: &json_schema::SchemaProblem| {
        let place = if problem.pointer.is_empty() { "the top" } else { &problem.pointer };
        format!("  at {}: {}", plain::line(place), plain::line(&problem.description))
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Schema, SchemaError> {
        let file = std::env::temp_dir().join(format!("sightline-schema-{}.json", uuid::Uuid::new_v4()));
        std::fs::write(&file, text).unwrap();
        let read = read(file.to_str().unwrap());
        std::fs::remove_file(&file).unwrap();
        read
    }

    #[test]
    fn a_schema_is_read_whatever_its_white_space() {
        let schema = read_text(&format!("{}{{\"type\": \"object\"}}\n", " ".repeat(20_000))).unwrap();
        assert_eq!(Value::Object(structs::to_json(schema.message())), serde_json::json!({"type": "object"}));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_place() {
        assert!(read("no/such.json").unwrap_err().to_string().starts_with("cannot read the file"));
        assert!(read_text("{\"type\": ").unwrap_err().to_string().starts_with("the file is no JSON: EOF"));
        assert!(matches!(read_text(&" ".repeat(1 << 21)), Err(SchemaError::TooLarge)));
        let error =
            read_text(r##"{"properties": {"a\u001b[2J": {"$ref": "#/b"}, "c": {"type": "text"}}}"##).unwrap_err();
        let shown = error.to_string();
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.contains("  at /properties/c/type: ") && shown.contains("  at the top: must have"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }
}
