//! The JSON value inside a model's text.

use std::borrow::Cow;

use serde_json::Value;

use super::relaxed;

/// A value found in a text.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) value: Value,
    /// It was no valid JSON.
    pub(super) repaired: bool,
    /// It ended before it was complete.
    pub(super) cut: bool,
}

/// Most bytes that are read in all while looking, for each of the text and beside that: brackets in prose can begin many
/// values that lead nowhere, each of which may reach to the end of the text.
const MOST_READ: (usize, usize) = (3, 512 << 10);

/// Most values that are kept of one text.
const MOST_FOUND: usize = 16;

/// Most times that a text may be a JSON string that holds a text.
const MOST_STRINGS: usize = 3;

/// Finds the answers in `text`, the longest first: the whole text when it is JSON, else the values in it. `accept` makes an
/// answer of a value, or nothing when it is none; it is told whether the value is all of the text.
pub(super) fn values(text: &str, accept: impl Fn(Value, bool) -> Option<Value>) -> Vec<Found> {
    let mut text = Cow::Borrowed(text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'));
    let mut quoted = false;
    for _ in 0..MOST_STRINGS {
        match serde_json::from_str(&text) {
            Ok(Value::String(inner)) => text = Cow::Owned(inner),
            Ok(value) => {
                let value = accept(value, true).map(|value| Found { value, repaired: quoted, cut: false });
                return value.into_iter().collect();
            }
            Err(_) => break,
        }
        quoted = true;
    }
    let mut found = scan(&text, &accept);
    if found.is_empty()
        && let Some(inner) = unescaped(&text)
    {
        found = scan(&inner, &accept);
        quoted = true;
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, found)| Found { repaired: found.repaired || quoted, ..found }).collect()
}

/// JSON that was escaped as if it stood in a string, without the string's quotes around it.
fn unescaped(text: &str) -> Option<String> {
    let mut quotes = text.match_indices('"').peekable();
    quotes.peek()?;
    let is_escaped = |(at, _): (usize, &str)| text.get(..at).is_some_and(|before| before.ends_with('\\'));
    if !quotes.all(is_escaped) {
        return None;
    }
    serde_json::from_str(&format!("\"{}\"", text.replace('\n', "\\n"))).ok()
}

/// The answers in a text, each with its length in bytes.
fn scan(text: &str, accept: &impl Fn(Value, bool) -> Option<Value>) -> Vec<(usize, Found)> {
    let mut found = Vec::new();
    let (mut end, mut left) = (0, text.len().saturating_mul(MOST_READ.0).saturating_add(MOST_READ.1));
    for (start, _) in text.match_indices(['{', '[']) {
        // Inside an answer that was already found.
        if start < end {
            continue;
        }
        let (parsed, reached) = relaxed::parse(text.get(start..).unwrap_or_default());
        left = left.saturating_sub(reached);
        if let Some((length, answer)) = parsed.and_then(|parsed| {
            let (repaired, cut) = (parsed.repaired, parsed.cut);
            Some((parsed.length, Found { value: accept(parsed.value, false)?, repaired, cut }))
        }) {
            end = start + length;
            found.push((length, answer));
        }
        if left == 0 || found.len() == MOST_FOUND {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(text: &str) -> Option<Found> {
        values(text, |value, _| value.get("a").is_some().then_some(value)).into_iter().next()
    }

    #[test]
    fn finds_the_answer_in_fences_and_prose() {
        for text in [
            "{\"a\": [1]}",
            "```json\n{\"a\": [1]}\n```",
            "Here is the analysis (see [1]):\n\n{\"a\": [1]}\n\nI hope that helps {really}!",
            "<result>{\"a\": [1]}</result>",
            "[see below\n{\"a\": [1]}",
            "Boxes: [[1, 2], [3, 4]] and {x: 1}, so {\"a\": [1]} it is.",
        ] {
            let found = find(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.value, json!({"a": [1]}), "{text}");
            assert!(!found.repaired && !found.cut, "{text}");
        }
    }

    #[test]
    fn a_text_may_be_a_string_that_holds_the_answer() {
        let plain = r#"{"a": ["x \"y\""]}"#;
        let once = Value::from(plain).to_string();
        for text in [format!("\u{feff}{plain}"), once.clone(), Value::from(once).to_string()] {
            assert_eq!(find(&text).unwrap().value, json!({"a": ["x \"y\""]}), "{text}");
        }
        assert_eq!(find(r#"{\"a\": [1]}"#).unwrap().value, json!({"a": [1]}));
    }

    #[test]
    fn the_longest_answer_comes_first() {
        let found = values(r#"{"a": 1} then {"a": [1, 2]} and {"b": 3}"#, |value, _| value.get("a").cloned());
        assert_eq!(found.iter().map(|found| found.value.clone()).collect::<Vec<_>>(), [json!([1, 2]), json!(1)]);
    }

    #[test]
    fn the_answer_is_found_behind_many_brackets() {
        let text = format!("{}{{\"a\": 1}}", "[1, 2, 3, 4] ".repeat(500));
        assert_eq!(find(&text).unwrap().value, json!({"a": 1}));
    }

    #[test]
    fn prose_holds_no_answer() {
        for text in ["I cannot label this [image not clear].", "I can't, see [1].", "", "\"just a string\"", "{b: 1}"] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn many_brackets_end_in_time() {
        for bracket in ["[", "{a:", "[1,", "{\"", "[{"] {
            assert!(find(&bracket.repeat(10_000)).is_none_or(|found| found.cut));
        }
    }
}
