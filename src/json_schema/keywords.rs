//! Where a JSON Schema holds schemas, in any draft; everything else in it is data.

use jsonschema::Draft;
use serde_json::Value;

/// What a keyword's value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// One schema, or a list of them.
    Schemas,
    /// Schemas by name.
    Named,
    /// Schemas by name that apply only where they are referred to.
    Definitions,
    /// No schema.
    Data,
}

pub(super) fn holds(keyword: &str) -> Holds {
    match keyword {
        "additionalItems"
        | "additionalProperties"
        | "allOf"
        | "anyOf"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "items"
        | "not"
        | "oneOf"
        | "prefixItems"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Holds::Schemas,
        "dependencies" | "dependentSchemas" | "patternProperties" | "properties" => Holds::Named,
        "$defs" | "definitions" => Holds::Definitions,
        _ => Holds::Data,
    }
}

/// Keywords that say nothing about which values are valid.
pub(super) fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "$comment" | "default" | "deprecated" | "description" | "examples" | "readOnly" | "title" | "writeOnly"
    )
}

/// Keywords that belong to the document, not to the schema: nothing is left of them once references are resolved.
pub(super) fn is_of_the_document(keyword: &str, draft: Draft) -> bool {
    matches!(keyword, "$defs" | "$id" | "$schema" | "$vocabulary" | "definitions")
        || (keyword == "id" && draft == Draft::Draft4)
}

/// The draft that `$schema` names: 2020-12 when it names none, `None` when it names an unknown one.
pub(super) fn draft(schema: &Value) -> Option<Draft> {
    let Some(uri) = schema.get("$schema") else { return Some(Draft::Draft202012) };
    let uri = uri.as_str()?.trim_end_matches('#');
    let path = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    match path.strip_prefix("json-schema.org/")? {
        "draft-04/schema" => Some(Draft::Draft4),
        "draft-06/schema" => Some(Draft::Draft6),
        "draft-07/schema" => Some(Draft::Draft7),
        "draft/2019-09/schema" => Some(Draft::Draft201909),
        "draft/2020-12/schema" => Some(Draft::Draft202012),
        _ => None,
    }
}

/// Whether `$ref` hides the keywords beside it.
pub(super) fn reference_stands_alone(draft: Draft) -> bool {
    matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7)
}

/// `pointer` and one more token.
pub(super) fn below(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}
