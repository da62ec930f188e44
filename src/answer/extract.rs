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

/// Most places at which a value is looked for: prose holds brackets too, but not many before the answer.
const MOST_STARTS: usize = 32;

/// Finds the answer in `text`: the whole text when it is JSON, else the largest object or list in it.
pub(super) fn value(text: &str) -> Option<Found> {
    if let Ok(value) = serde_json::from_str(text)
        && is_container(&value)
    {
        return Some(Found { value, repaired: false, cut: false });
    }
    let mut best: Option<(usize, relaxed::Parsed)> = None;
    let mut end = 0;
    for (start, _) in text.match_indices(['{', '[']).take(MOST_STARTS) {
        // Inside a value that was already read.
        if start < end {
            continue;
        }
        let Some(parsed) = text.get(start..).and_then(relaxed::parse) else { continue };
        if parsed.length > 2 {
            end = start + parsed.length;
        }
        if best.as_ref().is_none_or(|(_, known)| parsed.length > known.length) {
            best = Some((start, parsed));
        }
    }
    let (_, parsed) = best?;
    Some(Found { value: parsed.value, repaired: parsed.repaired, cut: parsed.cut })
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_json_in_fences_and_prose() {
        for text in [
            "{\"a\": [1]}",
            "```json\n{\"a\": [1]}\n```",
            "Here is the analysis (see [1]):\n\n{\"a\": [1]}\n\nI hope that helps {really}!",
            "<result>{\"a\": [1]}</result>",
        ] {
            let found = value(text).unwrap();
            assert_eq!(found.value, json!({"a": [1]}), "{text}");
            assert!(!found.repaired && !found.cut, "{text}");
        }
    }

    #[test]
    fn prose_without_json_holds_nothing() {
        assert_eq!(value("I cannot see a picture."), None);
        assert_eq!(value(""), None);
        assert_eq!(value("\"just a string\""), None);
    }

    #[test]
    fn many_brackets_end_in_time() {
        let text = "[".repeat(200_000);
        assert!(value(&text).is_none_or(|found| found.cut));
    }
}
