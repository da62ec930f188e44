//! What to extract, checked.

use crate::{
    domain::ExtractionRequest,
    grpc::{structs, violations::Violations},
    json_schema, proto,
};

const SCHEMA: &str = "features.extraction.json_schema";
const MAX_INSTRUCTION_CHARS: usize = 4096;

/// What to extract, with every problem of its schema said.
pub(super) fn read(request: proto::ExtractionFeature, violations: &mut Violations) -> Option<ExtractionRequest> {
    violations.check_length("features.extraction.instruction", &request.instruction, MAX_INSTRUCTION_CHARS);
    let Some(schema) = request.json_schema.filter(|schema| !schema.fields.is_empty()) else {
        violations.required(SCHEMA, "is empty; give a JSON Schema with \"type\": \"object\"");
        return None;
    };
    let schema = serde_json::Value::Object(structs::to_json(schema));
    for problem in json_schema::check(&schema).err().unwrap_or_default() {
        let description = match problem.pointer.as_str() {
            "" => problem.description,
            pointer => format!("at {}: {}", shortened(pointer), problem.description),
        };
        violations.add(SCHEMA, "INVALID_SCHEMA", description);
    }
    Some(ExtractionRequest { schema, instruction: request.instruction })
}

/// The pointer is made of the caller's names, and travels in HTTP headers.
fn shortened(pointer: &str) -> String {
    const MOST: usize = 120;
    let harmless = |c: char| if c.is_control() { ' ' } else { c };
    match pointer.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", pointer.get(..end).unwrap_or_default()).chars().map(harmless).collect(),
        None => pointer.chars().map(harmless).collect(),
    }
}
