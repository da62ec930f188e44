//! The lines of text.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Fault, Field, Reader,
    fields::{decode, field, words},
    notes::Notes,
    quality, shape,
};
use crate::domain::{DetectedText, TextLine};

impl Reader<'_> {
    pub(super) fn text(&self, object: &Value, notes: &mut Notes) -> Field<DetectedText> {
        let value = lines_in_string(field(object, shape::names("text")).ok_or(Fault::Absent)?, notes);
        let lines = match value.as_ref() {
            Value::Object(_) => {
                lines_in_string(field(&value, &["lines", "text", "full_text", "items"]).ok_or(Fault::Absent)?, notes)
            }
            other => Cow::Borrowed(other),
        };
        let lines = match lines.as_ref() {
            Value::Array(items) => {
                let lines: Vec<_> = items.iter().filter_map(|item| self.line(item, notes)).collect();
                self.readable(lines.len(), items.iter().filter(|item| !is_blank(item)).count())?;
                lines
            }
            Value::String(text) => text.lines().map(unplaced).collect(),
            _ => return Err(Fault::WrongForm),
        };
        let mut text = DetectedText { lines };
        quality::text(&mut text, notes);
        Ok(text)
    }

    fn line(&self, item: &Value, notes: &mut Notes) -> Option<TextLine> {
        let said = words(item).or_else(|| words(field(item, &["text", "content", "value", "line"])?));
        let Some(text) = said.filter(|text| !text.is_empty()) else {
            notes.entry_dropped();
            return None;
        };
        Some(TextLine { text: text.into_owned(), bounding_box: self.optional_box(item, notes) })
    }
}

fn is_blank(item: &Value) -> bool {
    item.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Lines that were written as JSON in a string. Any other string in brackets is text of the picture.
fn lines_in_string<'a>(value: &'a Value, notes: &mut Notes) -> Cow<'a, Value> {
    let decoded = value.as_str().and_then(decode).filter(|decoded| match decoded {
        Value::Array(items) => items.iter().all(|item| field(item, &["text", "content", "value", "line"]).is_some()),
        other => field(other, &["lines"]).is_some(),
    });
    match decoded {
        Some(decoded) => {
            notes.field_repaired();
            Cow::Owned(decoded)
        }
        None => Cow::Borrowed(value),
    }
}

fn unplaced(line: &str) -> TextLine {
    TextLine { text: line.to_owned(), bounding_box: None }
}
