//! The model's own words to a typed analysis.
//!
//! A model's answer is untrusted: it may be fenced, wrapped in prose, written as JavaScript rather than JSON, cut off in
//! the middle, or hold boxes that lie outside the picture. What can be read is read and mended, and every mending is
//! said in a warning; what cannot be read is named; nothing is made up.

mod boxes;
mod extract;
mod labels;
mod notes;
mod relaxed;

use serde_json::Value;

use crate::domain::{
    Coordinates, DetectedText, Features, Findings, Frame, Labels, MissingCause, MissingFeature, SensitiveFinding,
    Sensitivity, StopReason, TextLine, Verdict, Warning, WarningCode,
};
use boxes::raw_box;
use notes::Notes;

/// A model's answer and how it is to be understood.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What the model wrote: the tool's input as JSON, or plain text.
    pub text: &'a str,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// What was asked for.
    pub features: &'a Features,
    /// The frame in which the model's pixels are.
    pub frame: &'a Frame,
    /// Leave out labels whose name is not in the caller's vocabulary: for a model that does not read it.
    pub filter_vocabulary: bool,
    /// How the model was asked to write boxes.
    pub coordinates: Coordinates,
}

/// What could be read of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// What the model found.
    pub findings: Findings,
    /// What was mended.
    pub warnings: Vec<Warning>,
    /// Why features are missing, in words for the model that left them out; empty when nothing is missing.
    pub mistakes: Vec<String>,
}

impl Reading {
    /// What this reading and one of a later answer to the same question hold together.
    pub fn joined(self, later: Self) -> Self {
        let _ = self;
        later
    }
}

/// Nothing that was asked for could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model's answer cannot be used: {reason}")]
pub struct Unreadable {
    /// What is wrong, without the model's words.
    pub reason: String,
}

/// Reads a model's answer.
///
/// # Errors
/// [`Unreadable`] when none of the features could be read.
pub fn read(answer: &Answer<'_>) -> Result<Reading, Unreadable> {
    let mut notes = Notes::default();
    if answer.stop_reason == StopReason::MaxTokens {
        notes.output_truncated();
    }
    if answer.features.prompt_alone().is_some() {
        return plain_text(answer.text, notes);
    }
    let found = extract::value(answer.text, |value| is_answer(value, answer.features))
        .ok_or_else(|| Unreadable { reason: "it holds no JSON that answers".to_owned() })?;
    if found.repaired {
        notes.output_repaired();
    }
    let reader = Reader { answer, cut: found.cut || answer.stop_reason == StopReason::MaxTokens };
    let reading = reader.features(&as_object(found.value, answer.features), notes);
    let missing = &reading.findings.missing;
    if missing.len() == answer.features.names().len() {
        return Err(Unreadable { reason: missing.iter().map(describe).collect::<Vec<_>>().join("; ") });
    }
    Ok(reading)
}

fn plain_text(text: &str, notes: Notes) -> Result<Reading, Unreadable> {
    if text.trim().is_empty() {
        return Err(Unreadable { reason: "it is empty".to_owned() });
    }
    let findings = Findings { answer: Some(text.to_owned()), ..Findings::default() };
    Ok(Reading { findings, warnings: notes.into_warnings(), mistakes: Vec::new() })
}

fn describe(missing: &MissingFeature) -> String {
    match &missing.cause {
        MissingCause::Unsupported => format!("{}: the model cannot answer it", missing.name),
        MissingCause::Unreadable(why) => format!("{}: {why}", missing.name),
    }
}

/// Whether a value found in a text can be the answer: an object with a field that was asked for, or, for the one feature
/// that is a list, a list of objects. Anything else in brackets is prose.
fn is_answer(value: &Value, features: &Features) -> bool {
    let names = features.names();
    match value {
        Value::Object(fields) => {
            names.iter().any(|name| fields.contains_key(if *name == "prompt" { "answer" } else { name }))
        }
        Value::Array(items) => {
            matches!(names.as_slice(), ["labels" | "text"]) && !items.is_empty() && items.iter().all(Value::is_object)
        }
        _ => false,
    }
}

/// A bare list is the answer to the one feature that is a list.
fn as_object(value: Value, features: &Features) -> Value {
    match (value, features.names().as_slice()) {
        (list @ Value::Array(_), ["labels"]) => serde_json::json!({ "labels": list }),
        (list @ Value::Array(_), ["text"]) => serde_json::json!({ "text": list }),
        (value, _) => value,
    }
}

struct Reader<'a> {
    answer: &'a Answer<'a>,
    cut: bool,
}

type Field<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn features(&self, object: &Value, mut notes: Notes) -> Reading {
        let asked = self.answer.features;
        let mut findings = Findings::default();
        let mut missing = Vec::new();
        let mut miss =
            |name, why| missing.push(MissingFeature { name, cause: MissingCause::Unreadable(String::from(why)) });
        if asked.description {
            findings.description = prose(object, "description").map_err(|why| miss("description", why)).ok();
        }
        if asked.sensitivity.is_some() {
            findings.sensitivity = self.sensitivity(object, &mut notes).map_err(|why| miss("sensitivity", why)).ok();
        }
        if let Some(request) = &asked.labels {
            let frame = self.answer.frame;
            let labels = labels::read(object, request, self.answer.filter_vocabulary, frame, &mut notes);
            let labels = labels.map(|labels| Labels { labels, truncated: self.cut });
            findings.labels = labels.map_err(|why| miss("labels", why)).ok();
        }
        if asked.text {
            findings.text = self.text(object, &mut notes).map_err(|why| miss("text", why)).ok();
        }
        if asked.prompt.is_some() {
            findings.answer = prose(object, "answer").map_err(|why| miss("prompt", why)).ok();
        }
        findings.missing = missing;
        let mistakes = findings.missing.iter().map(describe).collect();
        Reading { findings, warnings: notes.into_warnings(), mistakes }
    }

    fn sensitivity(&self, object: &Value, notes: &mut Notes) -> Field<Sensitivity> {
        let value = object.get("sensitivity").ok_or(ABSENT)?;
        let Value::Object(fields) = value else { return Err(WRONG_TYPE) };
        let findings: Vec<SensitiveFinding> = match fields.get("findings") {
            Some(Value::Array(items)) => items.iter().filter_map(|item| self.finding(item, notes)).collect(),
            _ => Vec::new(),
        };
        let said = fields.get("verdict").or_else(|| fields.get("result"));
        let mut verdict = said.and_then(verdict).unwrap_or_else(|| notes.verdict_unclear("the model gave none"));
        if verdict == Verdict::NotSensitive && !findings.is_empty() {
            verdict = notes.verdict_unclear("the model found nothing sensitive, yet listed findings");
        }
        let reason = fields.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Sensitivity { verdict, reason, findings })
    }

    fn finding(&self, item: &Value, notes: &mut Notes) -> Option<SensitiveFinding> {
        let Some(category) = item.get("category").and_then(Value::as_str).filter(|name| !name.trim().is_empty()) else {
            notes.entry_dropped();
            return None;
        };
        let detail = item.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(SensitiveFinding { category: kebab_case(category), detail, bounding_box: self.optional_box(item, notes) })
    }

    fn text(&self, object: &Value, notes: &mut Notes) -> Field<DetectedText> {
        let value = object.get("text").ok_or(ABSENT)?;
        let lines = match value {
            Value::Object(fields) => fields.get("lines").ok_or(ABSENT)?,
            other => other,
        };
        match lines {
            Value::Array(items) => {
                Ok(DetectedText { lines: items.iter().filter_map(|item| self.line(item, notes)).collect() })
            }
            Value::String(text) => Ok(DetectedText {
                lines: text.lines().map(|line| TextLine { text: line.to_owned(), bounding_box: None }).collect(),
            }),
            _ => Err(WRONG_TYPE),
        }
    }

    fn line(&self, item: &Value, notes: &mut Notes) -> Option<TextLine> {
        if let Value::String(text) = item {
            return Some(TextLine { text: text.clone(), bounding_box: None });
        }
        let Some(text) = item.get("text").and_then(Value::as_str).filter(|text| !text.is_empty()) else {
            notes.entry_dropped();
            return None;
        };
        Some(TextLine { text: text.to_owned(), bounding_box: self.optional_box(item, notes) })
    }

    /// The box of an entry that may have none.
    fn optional_box(&self, item: &Value, notes: &mut Notes) -> Option<crate::domain::BoundingBox> {
        let value = boxes::of_entry(item).filter(|value| !value.is_null())?;
        notes.place(self.answer.frame, raw_box(value))
    }
}

const ABSENT: &str = "the model left it out";
const WRONG_TYPE: &str = "the model gave it in a form that cannot be read";

fn prose(object: &Value, name: &str) -> Field<String> {
    match object.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Some(Value::String(_)) | Some(Value::Null) | None => Err(ABSENT),
        Some(_) => Err(WRONG_TYPE),
    }
}

fn verdict(value: &Value) -> Option<Verdict> {
    if let Value::Bool(sensitive) = value {
        return Some(if *sensitive { Verdict::Sensitive } else { Verdict::NotSensitive });
    }
    match value.as_str()?.trim().to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
        "sensitive" | "yes" => Some(Verdict::Sensitive),
        "not_sensitive" | "no" => Some(Verdict::NotSensitive),
        "uncertain" => Some(Verdict::Uncertain),
        _ => None,
    }
}

/// `Government ID` and `government_id` to `government-id`.
fn kebab_case(text: &str) -> String {
    text.trim().to_lowercase().split([' ', '_', '-']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl Notes {
    fn verdict_unclear(&mut self, why: &str) -> Verdict {
        self.add(WarningCode::VerdictUnclear, format!("The verdict is UNCERTAIN: {why}."));
        Verdict::Uncertain
    }
}

#[cfg(test)]
mod tests;
