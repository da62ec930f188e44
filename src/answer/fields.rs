//! Fields of the objects that models write, whatever the case of their names.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::relaxed;

/// An object with more fields than this is looked up by exact names alone, so that a lookup stays cheap.
const MOST_SPELLINGS: usize = 256;

/// The first of `names` (in lower-case snake_case) that the object has with a value other than null, however its key is
/// spelt: `display_name` finds `displayName` and `Display Name` too.
pub(super) fn field<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    value.as_object().and_then(|fields| get(fields, names))
}

/// As [`field`], of an object's fields.
pub(super) fn get<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    let exact = names.iter().find_map(|name| fields.get(*name).filter(|value| !value.is_null()));
    if exact.is_some() || fields.len() > MOST_SPELLINGS {
        return exact;
    }
    let spelt = |name: &&str| {
        let same = |key: &str| same_name(key, name);
        fields.iter().find(|(key, value)| same(key) && !value.is_null()).map(|(_, value)| value)
    };
    names.iter().find_map(spelt)
}

/// The key under which the object has one of `names`, null or not.
pub(super) fn key<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    let exact = names.iter().find_map(|name| fields.get_key_value(*name)).map(|(key, _)| key.as_str());
    if exact.is_some() || fields.len() > MOST_SPELLINGS {
        return exact;
    }
    names.iter().find_map(|name| fields.keys().find(|key| same_name(key, name)).map(String::as_str))
}

/// Whether two names are one but for case, blanks, hyphens and underscores.
fn same_name(key: &str, name: &str) -> bool {
    let letters = |text| str::chars(text).filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase);
    letters(key).eq(letters(name))
}

/// The object or list that is all of a text. Nothing that was cut off, for a field of an answer that goes on is no end.
pub(super) fn decode(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let parsed = relaxed::parse(text).0.filter(|parsed| !parsed.cut)?;
    (parsed.length == text.len()).then_some(parsed.value)
}

/// A text, or a number or a truth value as a text.
pub(super) fn words(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_however_it_is_spelt() {
        for key in ["display_name", "displayName", "DisplayName", "DISPLAY_NAME", "Display Name", "display-name"] {
            let object = json!({"name": "a", key: "b"});
            assert_eq!(field(&object, &["display_name"]), Some(&json!("b")), "{key}");
        }
        assert_eq!(field(&json!({"display": 1}), &["display_name"]), None);
    }

    #[test]
    fn null_is_absent_and_the_exact_name_comes_first() {
        assert_eq!(field(&json!({"box": null, "bbox": 1}), &["box", "bbox"]), Some(&json!(1)));
        assert_eq!(field(&json!({"Box": 2, "box": 1}), &["box"]), Some(&json!(1)));
        assert_eq!(key(json!({"Box": null}).as_object().unwrap(), &["box"]), Some("Box"));
    }

    #[test]
    fn only_whole_json_in_a_string_is_read() {
        assert_eq!(decode(" {\"a\": [1]} "), Some(json!({"a": [1]})));
        assert_eq!(decode("[{a: 1,}]"), Some(json!([{"a": 1}])));
        for text in ["[1] Foreword", "{\"a\": [1", "cat", ""] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
