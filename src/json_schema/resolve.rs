//! A schema with every reference replaced by what it refers to.

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::{
    Extent, SchemaProblem,
    keywords::{self, Holds, below},
    one_line,
};

/// Most values in a schema whose references are resolved.
const MAX_NODES: usize = 5000;
/// Most bytes of texts in it.
const MAX_TEXT_BYTES: usize = 128 * 1024;
/// Most levels of it, counted in schemas: as many as a schema without references can have. A value may have 24, and each
/// schema takes up to two levels of JSON on the way to a model.
const MAX_SCHEMA_LEVELS: usize = 32;
/// Most of its properties.
const MAX_PROPERTIES: usize = 500;
/// Most of its `unevaluated` keywords: the cost of holding a value against them doubles with each that lies in another.
const MAX_UNEVALUATED: usize = 4;

/// What is left of a schema, and what of it needs a look of its own.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The schema without references, definitions and identifiers.
    pub(super) schema: Value,
    /// Every pattern and where it is.
    pub(super) patterns: Vec<(String, String)>,
    /// What was wrong; the places are left open in the schema.
    pub(super) problems: Vec<SchemaProblem>,
}

pub(super) fn resolve(root: &Value, draft: Draft) -> Resolved {
    let mut resolver = Resolver { root, draft, ..Resolver::new(root) };
    let schema = resolver.schema(root, "");
    if resolver.properties > MAX_PROPERTIES {
        let description = format!("has more than {MAX_PROPERTIES} properties; ask for fewer values");
        resolver.problem("", description);
    }
    if resolver.unevaluated > MAX_UNEVALUATED {
        let description = format!("has more than {MAX_UNEVALUATED} unevaluatedProperties or unevaluatedItems");
        resolver.problem("", description);
    }
    Resolved { schema, patterns: resolver.patterns, problems: resolver.problems }
}

struct Resolver<'a> {
    root: &'a Value,
    draft: Draft,
    /// References that are being resolved, outermost first.
    open: Vec<&'a str>,
    level: usize,
    nodes: usize,
    text_bytes: usize,
    properties: usize,
    unevaluated: usize,
    patterns: Vec<(String, String)>,
    problems: Vec<SchemaProblem>,
    is_full: bool,
}

impl<'a> Resolver<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            draft: Draft::Draft202012,
            open: Vec::new(),
            level: 0,
            nodes: 0,
            text_bytes: 0,
            properties: 0,
            unevaluated: 0,
            patterns: Vec::new(),
            problems: Vec::new(),
            is_full: false,
        }
    }

    fn problem(&mut self, pointer: &str, description: impl Into<String>) {
        let problem = SchemaProblem::new(pointer, description);
        // A definition that is used twice is wrong once.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Counts values and texts; says once when there are too many.
    fn takes(&mut self, extent: Extent) -> bool {
        self.nodes += extent.nodes;
        self.text_bytes += extent.text_bytes;
        if !self.is_full && (self.nodes > MAX_NODES || self.text_bytes > MAX_TEXT_BYTES) {
            self.is_full = true;
            let description = format!(
                "has more than {MAX_NODES} values or {MAX_TEXT_BYTES} bytes of text once its references are resolved; \
                 refer to large parts less often"
            );
            self.problem("", description);
        }
        !self.is_full
    }

    fn schema(&mut self, schema: &'a Value, at: &str) -> Value {
        let here = Extent { nodes: 1, ..Extent::default() };
        if !self.takes(here) {
            return Value::Bool(true);
        }
        if self.level >= MAX_SCHEMA_LEVELS {
            self.problem(at, format!("lies more than {MAX_SCHEMA_LEVELS} schemas deep once references are resolved"));
            return Value::Bool(true);
        }
        let Value::Object(keywords) = schema else { return schema.clone() };
        self.level += 1;
        let resolved = match keywords.get("$ref") {
            Some(reference) => self.reference(reference, keywords, at),
            None => Value::Object(self.keywords(keywords, at)),
        };
        self.level -= 1;
        resolved
    }

    fn reference(&mut self, reference: &'a Value, keywords: &'a Map<String, Value>, at: &str) -> Value {
        let target = self.target(reference, &below(at, "$ref"));
        if keywords::reference_stands_alone(self.draft) {
            return target;
        }
        let beside = self.keywords(keywords, at);
        combined(target, beside)
    }

    fn target(&mut self, reference: &'a Value, at: &str) -> Value {
        // What is no text is for the meta-schema to say.
        let Some(reference) = reference.as_str() else { return Value::Bool(true) };
        let shown = one_line(reference, 80);
        let Some(pointer) = local_pointer(reference) else {
            self.problem(at, format!("`{shown}` is no reference inside this schema; write #/$defs/NAME"));
            return Value::Bool(true);
        };
        let Some(target) = self.root.pointer(&pointer) else {
            self.problem(at, format!("`{shown}` refers to nothing in this schema"));
            return Value::Bool(true);
        };
        if self.open.contains(&reference) {
            self.problem(
                at,
                format!("`{shown}` is recursive; models take no recursive schema, so write out the levels"),
            );
            return Value::Bool(true);
        }
        if !target.is_object() && !target.is_boolean() {
            self.problem(at, format!("`{shown}` refers to something that is no schema"));
            return Value::Bool(true);
        }
        self.open.push(reference);
        let resolved = self.schema(target, &pointer);
        self.open.pop();
        resolved
    }

    fn keywords(&mut self, keywords: &'a Map<String, Value>, at: &str) -> Map<String, Value> {
        let mut resolved = Map::new();
        for (keyword, value) in keywords {
            let here = below(at, keyword);
            if self.is_left_out(keyword, value, at) {
                continue;
            }
            let name = Extent { nodes: 0, depth: 0, text_bytes: keyword.len() };
            if !self.takes(name) {
                break;
            }
            let value = match keywords::holds(keyword) {
                Holds::Schemas => self.schemas(value, &here),
                Holds::Named => self.named(keyword, value, &here),
                Holds::Definitions => continue,
                Holds::Data if self.takes(Extent::of(value)) => value.clone(),
                Holds::Data => break,
            };
            self.note(keyword, &value, here);
            resolved.insert(keyword.clone(), value);
        }
        resolved
    }

    /// Says what of a keyword is forbidden; answers whether nothing is left of it.
    fn is_left_out(&mut self, keyword: &str, value: &Value, at: &str) -> bool {
        let here = below(at, keyword);
        match keyword {
            "$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" => {
                self.problem(
                    &here,
                    "is not taken; refer to parts of the schema with $ref and a path, as in #/$defs/NAME",
                );
                true
            }
            _ if keywords::is_of_the_document(keyword, self.draft) => {
                let identifies = !matches!(keyword, "$defs" | "definitions") && value.is_string();
                if identifies && !at.is_empty() {
                    self.problem(&here, "is taken at the top of the schema only");
                }
                true
            }
            "$ref" => true,
            _ => false,
        }
    }

    fn schemas(&mut self, value: &'a Value, at: &str) -> Value {
        match value {
            Value::Array(schemas) => {
                let resolved = schemas.iter().enumerate();
                resolved.map(|(index, schema)| self.schema(schema, &below(at, &index.to_string()))).collect()
            }
            schema => self.schema(schema, at),
        }
    }

    fn named(&mut self, keyword: &str, value: &'a Value, at: &str) -> Value {
        let Value::Object(schemas) = value else { return value.clone() };
        let mut resolved = Map::new();
        for (name, schema) in schemas {
            let here = below(at, name);
            if !self.takes(Extent { nodes: 0, depth: 0, text_bytes: name.len() }) {
                break;
            }
            if keyword == "properties" {
                self.properties += 1;
            }
            if keyword == "patternProperties" {
                self.patterns.push((here.clone(), name.clone()));
            }
            // Of `dependencies`, a list of names is no schema.
            let schema = if schema.is_array() { schema.clone() } else { self.schema(schema, &here) };
            resolved.insert(name.clone(), schema);
        }
        Value::Object(resolved)
    }

    fn note(&mut self, keyword: &str, value: &Value, at: String) {
        match (keyword, value) {
            ("pattern", Value::String(pattern)) => self.patterns.push((at, pattern.clone())),
            ("unevaluatedProperties" | "unevaluatedItems", _) => self.unevaluated += 1,
            _ => {}
        }
    }
}

/// What a reference and the keywords beside it say together.
fn combined(target: Value, beside: Map<String, Value>) -> Value {
    if beside.is_empty() {
        return target;
    }
    match target {
        // The nearer title or description is the better one.
        Value::Object(mut target) if beside.keys().all(|keyword| keywords::is_annotation(keyword)) => {
            target.extend(beside);
            Value::Object(target)
        }
        target => {
            let mut beside = beside;
            let parts = match beside.remove("allOf") {
                Some(Value::Array(mut parts)) => {
                    parts.push(target);
                    parts
                }
                _ => vec![target],
            };
            beside.insert("allOf".to_owned(), json!(parts));
            Value::Object(beside)
        }
    }
}

/// The JSON pointer of a reference of this document; `None` of any other reference.
fn local_pointer(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    if !fragment.is_empty() && !fragment.starts_with('/') {
        return None;
    }
    percent_decoded(fragment)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || (rest.next()? as char).to_digit(16);
            let code = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(code).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
