//! The JSON value inside a model's text.

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

/// Most characters that are read in all while looking: brackets in prose can begin many values that lead nowhere, each of
/// which may reach to the end of the text.
const MOST_READ: usize = 4 << 20;

/// Finds the answer in `text`: the whole text when it is JSON, else the longest value in it that `is_answer`.
pub(super) fn value(text: &str, is_answer: impl Fn(&Value) -> bool) -> Option<Found> {
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
        return Some(Found { value, repaired: false, cut: false });
    }
    let mut best: Option<relaxed::Parsed> = None;
    let (mut end, mut read) = (0, 0);
    for (start, _) in text.match_indices(['{', '[']) {
        // Inside the answer that was already found.
        if start < end {
            continue;
        }
        let (parsed, reached) = text.get(start..).map(relaxed::parse)?;
        read += reached;
        if let Some(parsed) = parsed.filter(|parsed| is_answer(&parsed.value)) {
            end = start + parsed.length;
            if best.as_ref().is_none_or(|known| parsed.length > known.length) {
                best = Some(parsed);
            }
        }
        if read > MOST_READ {
            break;
        }
    }
    best.map(|parsed| Found { value: parsed.value, repaired: parsed.repaired, cut: parsed.cut })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(text: &str) -> Option<Found> {
        value(text, |value| value.get("a").is_some())
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
            assert!(find(&bracket.repeat(100_000)).is_none_or(|found| found.cut));
        }
    }
}
