//! The object whose fields are the features, out of whatever a model wrapped around it.

use serde_json::{Map, Value};

use super::{
    boxes::BOX_NAMES,
    fields::{decode, field, get, key},
    sensitivity::VERDICT_NAMES,
};
use crate::domain::Features;

/// Wrappers in wrappers beyond this are no answer.
const MOST_WRAPPERS: usize = 6;

/// Most objects of a list that are joined to one answer.
const MOST_PARTS: usize = 16;

/// Names under which the answer stands in what models write around it: the call of a tool, a schema filled in, a result.
const WRAPPERS: [&str; 16] = [
    "report_analysis",
    "input",
    "parameters",
    "arguments",
    "function",
    "tool_calls",
    "tool_use",
    "properties",
    "result",
    "results",
    "response",
    "output",
    "analysis",
    "data",
    "json",
    "content",
];

/// Under which names a feature, by its name, may stand in an answer.
pub(super) fn names(feature: &str) -> &'static [&'static str] {
    match feature {
        "description" => &["description", "caption"],
        "sensitivity" => &["sensitivity"],
        "labels" => &["labels", "objects", "detections"],
        "text" => &["text", "ocr"],
        "prompt" => &["answer", "prompt"],
        _ => &["extraction"],
    }
}

const FEATURES: [&str; 6] = ["description", "sensitivity", "labels", "text", "prompt", "extraction"];

/// Whether an answer may begin with a field of this name: a feature, what a model wraps around them, or a field of the only
/// feature that was asked for.
pub(super) fn is_field(name: &str, features: &Features) -> bool {
    let lone: &[&str] = match features.names().as_slice() {
        ["sensitivity"] => VERDICT_NAMES,
        ["text"] => &["lines", "content"],
        ["labels"] => &["name", "label"],
        ["extraction"] => {
            let schema = features.extraction.as_ref().and_then(|request| request.schema.get("properties"));
            if schema.is_some_and(|properties| properties.get(name).is_some()) {
                return true;
            }
            &[]
        }
        _ => &[],
    };
    let known = FEATURES.into_iter().flat_map(names).chain(&WRAPPERS).chain(lone);
    known.into_iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The object that has the fields asked for, if `value` holds one: itself, or wrapped in an object, a list or a string. A
/// value that is the `whole` text is more than something in brackets: it may hold nothing.
pub(super) fn answer(value: Value, features: &Features, whole: bool) -> Option<Value> {
    let asked = features.names();
    match (&value, asked.as_slice()) {
        (Value::Array(items), [name @ ("labels" | "text")]) if whole && items.is_empty() => Some(wrapped(name, value)),
        (Value::Object(_) | Value::Array(_), _) => {
            unwrap(value, features, &asked, 0).or_else(|| whole.then(|| Value::Object(Map::new())))
        }
        _ => None,
    }
}

/// Fills features that `first` lacks with those of `other`. Whether there were any.
pub(super) fn fill(first: &mut Value, other: Value, features: &Features) -> bool {
    let (Value::Object(known), Value::Object(mut more)) = (first, other) else { return false };
    let mut filled = false;
    for names in features.names().into_iter().map(names) {
        if get(known, names).is_some() {
            continue;
        }
        let found = key(&more, names).map(str::to_owned);
        if let Some((name, value)) = found.and_then(|name| more.remove_entry(&name)) {
            known.insert(name, value);
            filled = true;
        }
    }
    filled
}

fn unwrap(value: Value, features: &Features, asked: &[&str], depth: usize) -> Option<Value> {
    if depth > MOST_WRAPPERS {
        return None;
    }
    match value {
        Value::String(text) => unwrap(decode(&text)?, features, asked, depth + 1),
        Value::Array(items) => list(items, features, asked, depth),
        Value::Object(fields) => object(fields, features, asked, depth),
        _ => None,
    }
}

fn object(mut fields: Map<String, Value>, features: &Features, asked: &[&str], depth: usize) -> Option<Value> {
    let held = count(&fields, asked);
    if held > 0 || asked == ["extraction"] {
        let inner = inside(&fields, features, asked, depth);
        if inner.is_some() || is_definition(&fields, asked) {
            return inner;
        }
        if held > 0 {
            return Some(Value::Object(fields));
        }
    }
    if let [name] = asked
        && is_lone(name, &fields, features)
    {
        let value = Value::Object(fields);
        return Some(if *name == "labels" { wrapped(name, Value::Array(vec![value])) } else { wrapped(name, value) });
    }
    for wrapper in WRAPPERS {
        let inner = key(&fields, &[wrapper]).map(str::to_owned).and_then(|name| fields.remove(&name));
        if let Some(answer) = inner.and_then(|inner| unwrap(inner, features, asked, depth + 1)) {
            return Some(answer);
        }
    }
    if fields.len() == 1 {
        return fields.into_iter().next().and_then(|(_, inner)| unwrap(inner, features, asked, depth + 1));
    }
    None
}

/// How many of the features an object has.
fn count(fields: &Map<String, Value>, asked: &[&str]) -> usize {
    asked.iter().filter(|name| key(fields, names(name)).is_some()).count()
}

/// The answer inside an object that has fields of the same names itself: the definition or the call of a tool, a schema or
/// a block of content around it.
fn inside(fields: &Map<String, Value>, features: &Features, asked: &[&str], depth: usize) -> Option<Value> {
    if get(fields, &["type"]).is_some_and(|kind| kind == "text")
        && let Some(block @ Value::String(_)) = get(fields, &["text"])
        && let Some(answer) = unwrap(block.clone(), features, asked, depth + 1)
    {
        return Some(answer);
    }
    let held = count(fields, asked);
    let better = |inner: &Value| {
        let found = inner.as_object().map_or(0, |inner| count(inner, asked));
        found > held || found == held && found > 0 && is_definition(fields, asked)
    };
    // A caller's own data may have fields with the names of wrappers.
    let names_it = |inner: &&Value| {
        let decoded = inner.as_str().and_then(decode);
        asked != ["extraction"] || field(decoded.as_ref().unwrap_or(*inner), names("extraction")).is_some()
    };
    let wrapped = WRAPPERS.iter().filter_map(|wrapper| get(fields, &[wrapper])).filter(names_it);
    wrapped.filter_map(|inner| unwrap(inner.clone(), features, asked, depth + 1)).find(better)
}

/// Whether an object tells what an answer looks like, or calls a tool with it, rather than being one.
fn is_definition(fields: &Map<String, Value>, asked: &[&str]) -> bool {
    let has = |names: &[&str]| get(fields, names).is_some_and(Value::is_object);
    let is_schema = |value: &Value| {
        let kinds = ["string", "object", "array", "number", "integer", "boolean"];
        field(value, &["type"]).and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
    };
    let held: Vec<&Value> = asked.iter().filter_map(|name| get(fields, names(name))).collect();
    get(fields, &["type"]).is_some_and(|kind| kind == "object") && has(&["properties"])
        || get(fields, &["name"]).is_some_and(Value::is_string)
            && has(&["input_schema", "parameters", "arguments", "input"])
            && asked != ["extraction"]
        || !held.is_empty() && asked != ["extraction"] && held.into_iter().all(is_schema)
}

/// Whether an object is itself the one feature that was asked for.
fn is_lone(name: &str, fields: &Map<String, Value>, features: &Features) -> bool {
    let has = |names: &[&str]| get(fields, names).is_some();
    match name {
        "sensitivity" => get(fields, VERDICT_NAMES).is_some_and(|verdict| verdict.is_string() || verdict.is_boolean()),
        "text" => has(&["lines"]),
        "labels" => has(&["name", "label"]) && (has(&["instances", "confidence"]) || has(BOX_NAMES)),
        "extraction" => {
            let schema = features.extraction.as_ref().and_then(|request| request.schema.get("properties"));
            match schema.and_then(Value::as_object) {
                Some(properties) => fields.keys().any(|name| properties.contains_key(name)),
                // The schema says elsewhere what it wants: whatever wraps nothing may be it.
                None => !fields.is_empty() && !has(&WRAPPERS),
            }
        }
        _ => false,
    }
}

fn list(items: Vec<Value>, features: &Features, asked: &[&str], depth: usize) -> Option<Value> {
    if let [name @ ("labels" | "text")] = asked
        && !items.is_empty()
        && items.iter().all(|item| is_entry(item, name))
    {
        return Some(wrapped(name, Value::Array(items)));
    }
    let mut parts = items.into_iter().take(MOST_PARTS).filter_map(|item| unwrap(item, features, asked, depth + 1));
    let mut first = parts.next()?;
    for part in parts {
        fill(&mut first, part, features);
    }
    Some(first)
}

/// Whether an object can be an entry of a list, and is not something that holds the list.
fn is_entry(item: &Value, feature: &str) -> bool {
    let holds_list = field(item, names(feature)).is_some_and(|value| !value.is_string());
    item.is_object() && !holds_list && field(item, &["input", "arguments", "parameters", "function"]).is_none()
}

fn wrapped(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}
