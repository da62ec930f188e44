//! The JSON value inside a model's text.

use std::borrow::Cow;

use serde_json::Value;

use super::relaxed::{self, Parsed, strings::opens_string};

/// A value found in a text.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) value: Value,
    /// It was no valid JSON.
    pub(super) repaired: bool,
    /// It ended before it was complete.
    pub(super) cut: bool,
    /// It cannot be read to its end: anything may be lost.
    pub(super) broken: bool,
}

/// Most bytes that are read in all while looking, for each of the text and beside that: brackets in prose can begin many
/// values that lead nowhere, each of which may reach to the end of the text.
const MOST_READ: (usize, usize) = (4, 512 << 10);

/// Most values that are kept of one text.
const MOST_FOUND: usize = 16;

/// Most times that a text may be a JSON string that holds a text.
const MOST_STRINGS: usize = 3;

/// Finds the answers in `text`, the longest first: the whole text when it is JSON, else the values in it. `accept` makes an
/// answer of a value, or nothing when it is none; it is told whether the value is all of the text. `is_field` knows the
/// names with which an answer may begin.
pub(super) fn values(
    text: &str,
    accept: impl Fn(Value, bool) -> Option<Value>,
    is_field: impl Fn(&str) -> bool,
) -> Vec<Found> {
    let mut text = Cow::Borrowed(text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'));
    let mut quoted = false;
    for _ in 0..MOST_STRINGS {
        match serde_json::from_str(&text) {
            Ok(Value::String(inner)) => text = Cow::Owned(inner),
            Ok(value) => {
                let value =
                    accept(value, true).map(|value| Found { value, repaired: quoted, cut: false, broken: false });
                return value.into_iter().collect();
            }
            Err(_) => break,
        }
        quoted = true;
    }
    let mut found = scan(&text, &accept, &is_field);
    if found.is_empty()
        && let Some(inner) = unescaped(&text)
    {
        found = scan(&inner, &accept, &is_field);
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
fn scan(
    text: &str,
    accept: &impl Fn(Value, bool) -> Option<Value>,
    is_field: &impl Fn(&str) -> bool,
) -> Vec<(usize, Found)> {
    let mut found = Vec::new();
    let (mut end, mut left) = (0, text.len().saturating_mul(MOST_READ.0).saturating_add(MOST_READ.1));
    // Looked for once: a text may hold very many values, and its end be far from all of them.
    let fences: Vec<usize> = text.match_indices("```").map(|(at, _)| at).collect();
    let next_fence = |from: usize| fences.get(fences.partition_point(|at| *at < from)).copied().unwrap_or(text.len());
    for (start, _) in text.match_indices(['{', '[']) {
        // Inside an answer that was already found.
        if start < end {
            continue;
        }
        let rest = text.get(start..).unwrap_or_default();
        let begins = begins_json(rest, is_field);
        let (mut parsed, reached) = relaxed::parse(rest);
        left = left.saturating_sub(reached);
        let mut broken = begins && parsed.is_none();
        if broken {
            let (salvaged, reached) = relaxed::salvage(rest);
            left = left.saturating_sub(reached);
            parsed = salvaged;
        } else if begins && let Some(whole) = parsed.take_if(|parsed| !parsed.cut) {
            let length = whole.length;
            let behind = behind(&whole, rest.get(..next_fence(start + length) - start).unwrap_or(rest));
            broken = behind != Behind::Prose;
            parsed = (behind != Behind::Rest).then_some(whole);
        }
        let (length, cut) = parsed.as_ref().map_or((0, false), |parsed| (parsed.length, parsed.cut));
        let answer = parsed.and_then(|parsed| {
            let (repaired, cut) = (parsed.repaired || broken, parsed.cut || broken);
            Some(Found { value: accept(parsed.value, false)?, repaired, cut, broken })
        });
        broken |= begins && cut && answer.is_none();
        // What stands in an answer that broke is part of it, never an answer itself.
        // Nor does it in JSON that is none, such as a schema that was told again.
        if broken {
            end = next_fence(start + length);
        } else if answer.is_some() || begins && length > 0 {
            end = start + length;
        }
        found.extend(answer.map(|answer| (length, answer)));
        if left == 0 || found.len() == MOST_FOUND {
            break;
        }
    }
    found
}

/// Most bytes that are looked at to tell JSON from prose in brackets.
const BEGINNING: usize = 256;

/// Whether a text begins as JSON does, not as prose in brackets: with a key in quotes, or one that is known.
fn begins_json(text: &str, is_field: impl Fn(&str) -> bool) -> bool {
    let text = text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or_default();
    let inner = text.trim_start_matches(|c: char| c == '[' || c.is_whitespace()).strip_prefix('{');
    inner.is_some_and(|inner| begins_field(inner.trim_start(), is_field))
}

fn begins_field(text: &str, is_field: impl Fn(&str) -> bool) -> bool {
    let text = text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or_default();
    let Some((name, _)) = text.split_once(':') else { return false };
    let name = name.trim_end();
    match name.strip_prefix(opens_string) {
        Some(name) => match name.strip_suffix(|last| opens_string(last) || last == '»') {
            Some(name) => !name.contains(['"', '\\']),
            None => false,
        },
        None => is_field(name),
    }
}

/// What stands behind a value.
#[derive(PartialEq)]
enum Behind {
    Prose,
    /// Fields or entries behind a bracket that is too many.
    More,
    /// The end of a string that was opened inside the value: it ended too early.
    Rest,
}

/// What stands behind a value at the beginning of `text`, which ends at the next fence.
fn behind(parsed: &Parsed, text: &str) -> Behind {
    let all = text.get(parsed.length..).unwrap_or_default();
    let rest = all.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '}' | ']'));
    if let Some(next) = rest.strip_prefix(',').map(str::trim_start) {
        let mended = parsed.brackets_mended || all.trim_start().starts_with(['}', ']']);
        if begins_field(next, |_| false) || mended && begins_json(next, |_| false) {
            return Behind::More;
        }
    }
    let next = rest.match_indices(['{', '[']).map(|(at, _)| at);
    let next = next.into_iter().find(|at| begins_json(rest.get(*at..).unwrap_or_default(), |_| false));
    let rest = rest.get(..next.unwrap_or(rest.len())).unwrap_or_default();
    if ends_json(rest) { Behind::Rest } else { Behind::Prose }
}

/// Whether a text is the end of JSON that began before it: it has an odd number of quotes, of which one ends a string, or
/// has quotes and ends with a key or a bracket.
fn ends_json(text: &str) -> bool {
    let text = text.replace("\\\"", "");
    let parts: Vec<&str> = text.trim_end().split('"').collect();
    let closes = |part: &&str| part.trim_start().starts_with([':', ',', '}', ']']);
    let last = parts.last().map_or("", |part| part.trim());
    parts.len().is_multiple_of(2) && parts.iter().skip(1).any(closes)
        || parts.len() > 1 && (last == ":" || last.ends_with(['}', ']']))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(text: &str) -> Option<Found> {
        values(text, |value, _| value.get("a").is_some().then_some(value), |name| name == "a").into_iter().next()
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
        let found =
            values(r#"{"a": 1} then {"a": [1, 2]} and {"b": 3}"#, |value, _| value.get("a").cloned(), |_| false);
        assert_eq!(found.iter().map(|found| found.value.clone()).collect::<Vec<_>>(), [json!([1, 2]), json!(1)]);
    }

    #[test]
    fn the_answer_is_found_behind_many_brackets() {
        let text = format!("{}{{\"a\": 1}}", "[1, 2, 3, 4] ".repeat(500));
        assert_eq!(find(&text).unwrap().value, json!({"a": 1}));
    }

    /// Of no use to anybody, and read all the same: time grows with the text, not with its square.
    #[test]
    fn a_text_of_very_many_values_is_read_to_its_end() {
        let text = "{\"labels\":[}".repeat(10_000);
        assert_eq!(find(&text), None);
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
