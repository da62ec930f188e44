//! A schema to the subset of JSON Schema that models take.

use serde_json::{Map, Value};

use super::{
    keywords, one_line,
    resolve::resolve,
    shape::{MOST_SPREAD, Others, Shape},
};

/// Most characters of a pattern or a format that is told in words.
const MAX_WORD_CHARS: usize = 120;

/// The part of a checked schema that models take: `type`, `title`, `description`, `enum`, `properties`, `required`,
/// `items`, `anyOf` and `additionalProperties`; no bounds, no references, every object with properties closed. Bounds
/// are told in the descriptions. What has no form here (`not`, conditions, `contains` and the like) is left out: the
/// values are held against the caller's own schema afterwards.
pub fn adapt(schema: &Value) -> Value {
    let draft = keywords::draft(schema).unwrap_or_default();
    adapt_resolved(&resolve(schema, draft).schema)
}

pub(super) fn adapt_resolved(schema: &Value) -> Value {
    let mut spread = MOST_SPREAD;
    shape(schema).into_schema(&mut spread)
}

fn shape(schema: &Value) -> Shape {
    let Value::Object(keywords) = schema else { return Shape::default() };
    let mut shape = Shape {
        types: types(keywords.get("type")),
        title: text(keywords, "title"),
        description: text(keywords, "description"),
        words: words(keywords),
        values: values(keywords),
        required: names(keywords.get("required")),
        others: others(keywords),
        items: items(keywords).map(Box::new),
        ..Shape::default()
    };
    if let Some(Value::Object(properties)) = keywords.get("properties") {
        let possible = properties.iter().filter(|(_, schema)| **schema != Value::Bool(false));
        shape.properties = possible.map(|(name, schema)| (name.clone(), self::shape(schema))).collect();
    }
    for part in list(keywords, "allOf") {
        shape = shape.and(self::shape(part));
    }
    for alternatives in ["anyOf", "oneOf"] {
        let any_of: Vec<_> =
            list(keywords, alternatives).iter().filter(|part| **part != Value::Bool(false)).map(self::shape).collect();
        // One that allows anything says nothing.
        if !any_of.contains(&Shape::default()) {
            shape = shape.and(Shape { any_of, ..Shape::default() });
        }
    }
    leave_out(keywords, &mut shape);
    shape
}

/// Conditions have no form; what they speak of keeps its place.
fn leave_out(keywords: &Map<String, Value>, shape: &mut Shape) {
    for name in ["then", "else"] {
        if let Some(condition) = keywords.get(name) {
            shape.mention(&self::shape(condition));
        }
    }
    for name in ["dependentSchemas", "dependencies"] {
        if let Some(Value::Object(schemas)) = keywords.get(name) {
            schemas.values().for_each(|schema| shape.mention(&self::shape(schema)));
        }
    }
}

fn list<'a>(keywords: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    keywords.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(keywords: &Map<String, Value>, name: &str) -> Option<String> {
    keywords.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn names(value: Option<&Value>) -> Vec<String> {
    let names = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn types(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(name)) => vec![name.clone()],
        several => names(several),
    }
}

fn values(keywords: &Map<String, Value>) -> Vec<Value> {
    match keywords.get("const") {
        Some(only) => vec![only.clone()],
        None => list(keywords, "enum").to_vec(),
    }
}

fn others(keywords: &Map<String, Value>) -> Others {
    if keywords.contains_key("patternProperties") {
        return Others::Open;
    }
    match keywords.get("additionalProperties") {
        Some(Value::Bool(false)) => Others::Closed,
        Some(schema @ Value::Object(_)) => Others::Shaped(Box::new(shape(schema))),
        _ => Others::Open,
    }
}

/// The shape of an array's entries. Those of a list of fixed places become alternatives.
fn items(keywords: &Map<String, Value>) -> Option<Shape> {
    let places = match (keywords.get("prefixItems"), keywords.get("items")) {
        (Some(Value::Array(places)), _) | (None, Some(Value::Array(places))) => places,
        (_, Some(schema @ Value::Object(_))) => return Some(shape(schema)),
        _ => return None,
    };
    let rest = keywords.get("additionalItems").or_else(|| keywords.get("items")).filter(|rest| rest.is_object());
    let mut any_of: Vec<Shape> = Vec::new();
    for place in places.iter().chain(rest).map(shape) {
        if !any_of.contains(&place) {
            any_of.push(place);
        }
    }
    match any_of.len() {
        0 => None,
        1 => any_of.pop(),
        _ if any_of.contains(&Shape::default()) => None,
        _ => Some(Shape { any_of, ..Shape::default() }),
    }
}

/// Bounds in words, since models take none of their keywords.
fn words(keywords: &Map<String, Value>) -> Vec<String> {
    let mut words: Vec<String> =
        keywords.iter().filter_map(|(keyword, value)| word(keyword, value, keywords)).collect();
    if let Some(places) = keywords.get("prefixItems").or(keywords.get("items")).and_then(Value::as_array) {
        let places: Vec<_> = places.iter().map(place).collect();
        words.push(one_line(&format!("entries in this order: {}", places.join("; ")), 2 * MAX_WORD_CHARS));
    }
    words
}

/// One entry of a list of fixed places.
fn place(schema: &Value) -> String {
    let named = ["title", "description"].into_iter().find_map(|name| schema.get(name)?.as_str());
    let types = types(schema.get("type")).join(" or ");
    one_line(named.unwrap_or(if types.is_empty() { "anything" } else { &types }), MAX_WORD_CHARS / 2)
}

fn word(keyword: &str, value: &Value, keywords: &Map<String, Value>) -> Option<String> {
    let is_exclusive = |name| keywords.get(name) == Some(&Value::Bool(true));
    let told = |start: &str, end: &str| Some(format!("{start}{}{end}", one_line(&shown(value), MAX_WORD_CHARS)));
    let number = |start: &str, end: &str| if value.is_number() { told(start, end) } else { None };
    match keyword {
        "minimum" if is_exclusive("exclusiveMinimum") => number("more than ", ""),
        "maximum" if is_exclusive("exclusiveMaximum") => number("less than ", ""),
        "minimum" => number("at least ", ""),
        "maximum" => number("at most ", ""),
        "exclusiveMinimum" => number("more than ", ""),
        "exclusiveMaximum" => number("less than ", ""),
        "multipleOf" => number("a multiple of ", ""),
        "minLength" => number("at least ", " characters"),
        "maxLength" => number("at most ", " characters"),
        "minItems" => number("at least ", " entries"),
        "maxItems" => number("at most ", " entries"),
        "minProperties" => number("at least ", " members"),
        "maxProperties" => number("at most ", " members"),
        "uniqueItems" if *value == Value::Bool(true) => Some("no entry twice".to_owned()),
        "pattern" => told("matches the pattern ", ""),
        "format" => told("format ", ""),
        "contentEncoding" => told("encoded as ", ""),
        "propertyNames" => {
            let pattern = value.get("pattern")?.as_str()?;
            Some(format!("names match the pattern {}", one_line(pattern, MAX_WORD_CHARS)))
        }
        "patternProperties" => {
            let patterns: Vec<_> = value.as_object()?.keys().map(String::as_str).collect();
            Some(format!("names may match {}", one_line(&patterns.join(" or "), MAX_WORD_CHARS)))
        }
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
