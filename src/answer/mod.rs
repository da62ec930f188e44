//! The model's own words to a typed analysis.
//!
//! A model's answer is untrusted: it may be fenced, wrapped in prose or in other objects, written as JavaScript or Python
//! rather than JSON, cut off in the middle, or hold boxes that lie outside the picture or were counted in another frame of
//! it. What can be read is read and mended, and every mending is said in a warning; what cannot be read is named, for the
//! caller and for the model; nothing is made up.
//!
//! [`read`] ends for any text, in time and memory that grow with its length alone, and never panics.

mod boxes;
mod extract;
mod extraction;
mod faults;
mod fields;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod join;
mod labels;
mod notes;
mod quality;
mod relaxed;
mod sensitivity;
mod shape;
mod text;

use std::borrow::Cow;

use serde_json::Value;

use crate::domain::{
    BoundingBox, Coordinates, Features, Findings, Frame, Labels, MissingCause, MissingFeature, StopReason, Warning,
    WarningCode,
};
use boxes::raw_box;
use extract::Found;
use faults::Fault;
use fields::{decode, field, words};
use frames::Unit;
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

/// Nothing that was asked for could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("the model's answer cannot be used: {reason}")]
pub struct Unreadable {
    /// What is wrong, in words for the caller.
    pub reason: String,
    /// What is wrong and what is wanted, in words for the model.
    pub mistakes: Vec<String>,
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
    let found = find(answer)?;
    if found.cut && answer.stop_reason != StopReason::MaxTokens {
        notes.output_cut();
    }
    if found.repaired {
        notes.output_repaired();
    }
    let cut = found.cut || answer.stop_reason == StopReason::MaxTokens;
    let reading = read_object(answer, Whole { cut, broken: found.broken }, &found.value, notes);
    if reading.findings.missing.len() == answer.features.names().len() {
        let reason = reading.findings.missing.iter().map(describe).collect::<Vec<_>>().join("; ");
        return Err(Unreadable { reason, mistakes: reading.mistakes });
    }
    Ok(reading)
}

fn plain_text(text: &str, notes: Notes) -> Result<Reading, Unreadable> {
    if text.trim().is_empty() {
        return Err(Unreadable { reason: EMPTY.to_owned(), mistakes: vec!["The answer is empty.".to_owned()] });
    }
    let findings = Findings { answer: Some(text.to_owned()), ..Findings::default() };
    Ok(Reading { findings, warnings: notes.into_warnings(), mistakes: Vec::new() })
}

const EMPTY: &str = "it is empty";

fn describe(missing: &MissingFeature) -> String {
    match &missing.cause {
        MissingCause::Unsupported => format!("{}: the model cannot answer it", missing.name),
        MissingCause::Unreadable(why) => format!("{}: {why}", missing.name),
    }
}

/// The object that holds the features. Where a text holds several, the longest counts, and the others fill what it lacks.
fn find(answer: &Answer<'_>) -> Result<Found, Unreadable> {
    let asked = answer.features;
    let accept = |value, whole| shape::answer(value, asked, whole);
    let is_field = |name: &str| shape::is_field(name, asked);
    let behind = answer.text.rsplit_once("</thinking>").map(|(_, behind)| extract::values(behind, accept, is_field));
    let found = behind.filter(|found| !found.is_empty());
    let mut found = found.unwrap_or_else(|| extract::values(answer.text, accept, is_field)).into_iter();
    let tags = || asked.sensitivity.is_some().then(|| sensitivity::in_tags(answer.text)).flatten();
    if let Some(mut first) = found.next() {
        for other in found {
            if shape::fill(&mut first.value, other.value, asked) {
                first.repaired |= other.repaired;
                first.cut |= other.cut;
                first.broken |= other.broken;
            }
        }
        if !is_json(answer.text)
            && let Some(value) = tags()
        {
            first.repaired |= shape::fill(&mut first.value, value, asked);
        }
        return Ok(first);
    }
    if let Some(value) = tags() {
        return Ok(Found { value, repaired: true, cut: false, broken: false });
    }
    let reason = if answer.text.trim().is_empty() { EMPTY } else { "it holds no JSON that answers" };
    Err(Unreadable { reason: reason.to_owned(), mistakes: faults::no_answer(&asked.names()) })
}

/// Whether a text is nothing but JSON, in which tags are words of a field.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && text.trim_end().ends_with(['}', ']'])
}

/// Reads the features as they were asked for and, when all of their numbers together show that the model counted
/// otherwise, once more as it did.
fn read_object(answer: &Answer<'_>, whole: Whole, object: &Value, notes: Notes) -> Reading {
    let asked = Unit::asked(answer.coordinates);
    let reader = Reader { answer, whole, frame: asked.frame(answer.frame), percent: false };
    let mut seen = notes.clone();
    let reading = reader.features(object, &mut seen);
    let unit = frames::recognise(answer.frame, asked, seen.boxes());
    let percent = are_percent(seen.confidences());
    if unit == asked && !percent {
        return Reading { warnings: seen.into_warnings(), ..reading };
    }
    let mut notes = notes;
    if unit != asked {
        let (was, is) = (asked.describe(answer.frame), unit.describe(answer.frame));
        let message = format!("All boxes of the answer fit {is}, not {was} as asked for, and were read so.");
        notes.add(WarningCode::BoxesFrameChanged, &message);
    }
    if percent {
        notes.field_repaired();
    }
    let reading = Reader { frame: unit.frame(answer.frame), percent, ..reader }.features(object, &mut notes);
    Reading { warnings: notes.into_warnings(), ..reading }
}

/// Whether confidences were written as percent: all at most 100, none a part of one, and not all on a scale to ten.
fn are_percent(confidences: &[f64]) -> bool {
    confidences.iter().all(|number| (0.0..=100.0).contains(number) && !(*number > 0.0 && *number < 1.0))
        && confidences.iter().any(|number| *number > 10.0)
}

/// Whether there is all of an answer.
#[derive(Clone, Copy)]
struct Whole {
    /// It ended before it was complete.
    cut: bool,
    /// It broke in the middle: what was lost cannot be told.
    broken: bool,
}

/// Reads the features out of the answer's object, with boxes and confidences in one way.
struct Reader<'a> {
    answer: &'a Answer<'a>,
    whole: Whole,
    /// Places boxes.
    frame: Frame,
    /// Confidences are percent.
    percent: bool,
}

type Field<T> = Result<T, Fault>;

impl Reader<'_> {
    fn features(&self, object: &Value, notes: &mut Notes) -> Reading {
        let asked = self.answer.features;
        let mut findings = Findings::default();
        let mut faults = Vec::new();
        let mut miss = |name, fault| faults.push((name, fault));
        if asked.description {
            findings.description = prose(object, "description").map_err(|why| miss("description", why)).ok();
        }
        if asked.sensitivity.is_some() {
            findings.sensitivity = self.sensitivity(object, notes).map_err(|why| miss("sensitivity", why)).ok();
        }
        if let Some(request) = &asked.labels {
            let labels = self.labels(object, request, notes).map(|labels| Labels { labels, truncated: self.whole.cut });
            findings.labels = labels.map_err(|why| miss("labels", why)).ok();
        }
        if asked.text {
            findings.text = self.text(object, notes).map_err(|why| miss("text", why)).ok();
        }
        if asked.prompt.is_some() {
            findings.answer = prose(object, "prompt").map_err(|why| miss("prompt", why)).ok();
        }
        if let Some(request) = &asked.extraction {
            findings.extraction = self.extraction(object, request, notes).map_err(|why| miss("extraction", why)).ok();
        }
        findings.missing = faults.iter().map(|(name, fault)| fault.missing(name)).collect();
        let mistakes = faults.iter().flat_map(|(name, fault)| fault.mistakes(name)).collect();
        Reading { findings, warnings: Vec::new(), mistakes }
    }

    /// A list of `kept` entries of `all` that were written. Where none could be read, nothing is known of what is there.
    fn readable(&self, kept: usize, all: usize) -> Field<()> {
        if kept == 0 && (all > 0 || self.whole.broken) { Err(Fault::WrongForm) } else { Ok(()) }
    }

    /// The box of an entry that may have none.
    fn optional_box(&self, item: &Value, notes: &mut Notes) -> Option<BoundingBox> {
        notes.place(&self.frame, raw_box(boxes::of_entry(item)?))
    }

    /// A field's value; what it holds when it is JSON in a string, which is said.
    fn decoded<'v>(&self, value: &'v Value, notes: &mut Notes) -> Cow<'v, Value> {
        match value.as_str().and_then(decode) {
            Some(decoded) => {
                notes.field_repaired();
                Cow::Owned(decoded)
            }
            None => Cow::Borrowed(value),
        }
    }
}

/// A feature that is prose. The answer to a caller's own question may be a number or a truth value too.
fn prose(object: &Value, feature: &str) -> Field<String> {
    let value = field(object, shape::names(feature)).ok_or(Fault::Absent)?;
    let inner = field(value, &["text", "value", "content", "description", "answer"]).unwrap_or(value);
    if let Some(lines) = inner.as_array().filter(|lines| !lines.is_empty() && lines.iter().all(Value::is_string)) {
        let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
        let text = lines.join("\n").trim().to_owned();
        return if text.is_empty() { Err(Fault::Absent) } else { Ok(text) };
    }
    let said = if feature == "prompt" { words(inner) } else { inner.as_str().map(Cow::Borrowed) };
    match said {
        Some(text) if text.trim().is_empty() => Err(Fault::Absent),
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(Fault::WrongForm),
    }
}

#[cfg(test)]
mod tests;
