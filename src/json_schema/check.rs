//! Whether a schema may be used.

use jsonschema::Draft;
use serde_json::Value;

use super::{
    Extent, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, SchemaProblem, adapt::adapt_resolved, keywords, one_line,
    resolve::resolve, validate,
};

/// Most problems that are told.
const MAX_TOLD: usize = 20;
/// Most patterns, wherever references repeat them.
const MAX_PATTERNS: usize = 50;
/// Most characters of one pattern.
const MAX_PATTERN_CHARS: usize = 512;
/// Most bytes of what a model is shown of the schema.
const MAX_SHOWN_BYTES: usize = 64 * 1024;

/// Checks a caller's schema: its top is an object, its size, depth, references and patterns are bounded, and it is a
/// valid schema of the draft that `$schema` names, 2020-12 without it. What passes can be adapted, and held against any
/// value, in bounded time.
///
/// # Errors
/// Everything that is wrong with it, the first 20 things of very many.
pub fn check(schema: &Value) -> Result<(), Vec<SchemaProblem>> {
    let mut problems = problems(schema);
    problems.truncate(MAX_TOLD);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn problems(schema: &Value) -> Vec<SchemaProblem> {
    let too_large = size_problems(schema);
    if !too_large.is_empty() {
        return too_large;
    }
    if !schema.is_object() {
        return vec![SchemaProblem::new("", "must be a JSON object with \"type\": \"object\"")];
    }
    let Some(draft) = keywords::draft(schema) else {
        let description = "names a draft that is not known; take https://json-schema.org/draft/2020-12/schema, 2019-09, \
                           or draft 7, 6 or 4";
        return vec![SchemaProblem::new("/$schema", description)];
    };
    let mut problems = meta_problems(schema, draft);
    let resolved = resolve(schema, draft);
    problems.extend(resolved.problems);
    if resolved.schema.get("type").and_then(Value::as_str) != Some("object") {
        problems.push(SchemaProblem::new("", "must have \"type\": \"object\": the values are one object"));
    }
    problems.extend(pattern_problems(&resolved.patterns));
    if problems.is_empty()
        && let Err(error) = validate::validator(&resolved.schema, draft)
    {
        problems.push(SchemaProblem::new(validate::place(&error), one_line(&error.masked().to_string(), 200)));
    }
    if problems.is_empty() {
        let shown = adapt_resolved(&resolved.schema).to_string().len();
        if shown > MAX_SHOWN_BYTES {
            let description =
                format!("has {shown} bytes once its references are resolved; at most {MAX_SHOWN_BYTES} are taken");
            problems.push(SchemaProblem::new("", description));
        }
    }
    problems
}

fn size_problems(schema: &Value) -> Vec<SchemaProblem> {
    let mut problems = Vec::new();
    let depth = Extent::of(schema).depth;
    if depth > MAX_SCHEMA_DEPTH {
        let description = format!("is nested {depth} levels deep; at most {MAX_SCHEMA_DEPTH} are taken");
        problems.push(SchemaProblem::new("", description));
    }
    let bytes = schema.to_string().len();
    if bytes > MAX_SCHEMA_BYTES {
        let description = format!("has {bytes} bytes; at most {MAX_SCHEMA_BYTES} are taken");
        problems.push(SchemaProblem::new("", description));
    }
    problems
}

fn meta_problems(schema: &Value, draft: Draft) -> Vec<SchemaProblem> {
    let validator = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        _ => jsonschema::draft202012::meta::validator(),
    };
    let errors = validator.iter_errors(schema).take(MAX_TOLD);
    errors
        .map(|error| SchemaProblem::new(validate::place(&error), one_line(&error.masked().to_string(), 200)))
        .collect()
}

fn pattern_problems(patterns: &[(String, String)]) -> Vec<SchemaProblem> {
    if patterns.len() > MAX_PATTERNS {
        let description = format!("has {} patterns; at most {MAX_PATTERNS} are taken", patterns.len());
        return vec![SchemaProblem::new("", description)];
    }
    let mut problems: Vec<SchemaProblem> = Vec::new();
    for (pointer, pattern) in patterns {
        let description = if pattern.chars().count() > MAX_PATTERN_CHARS {
            format!("is longer than {MAX_PATTERN_CHARS} characters")
        } else if validate::pattern_compiles(pattern) {
            continue;
        } else {
            "is no regular expression that is taken: it is invalid, too large, or uses look-around or back-references"
                .to_owned()
        };
        let problem = SchemaProblem::new(pointer.as_str(), description);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}
