//! Answers that break in the middle: what is read was written, and what is lost is said.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::properties::{good_answer_of, read_as};
use crate::{
    answer::Reading,
    domain::{BoundingBox, Coordinates, StopReason, WarningCode},
};

/// Words with at most one character that means something in JSON.
const WORDS: &str = "[a-z가-힣 ]{0,6}[,:}\"{\\[\\]']?[a-z ]{0,4}[a-z]";

/// A text as far as it is the same with a character of JSON's more or less.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '"' | '{' | '}' | '[' | ']' | ',' | ':' | '\\' | ' ')).collect()
}

/// Everything that a reading says, each with what it is.
fn said(reading: &Reading) -> HashSet<String> {
    let found = &reading.findings;
    let place = |b: &BoundingBox| format!("{} {} {} {}", b.left(), b.top(), b.right(), b.bottom());
    let mut all: HashSet<String> =
        found.description.iter().map(|text| format!("description {}", plain(text))).collect();
    for label in found.labels.iter().flat_map(|labels| &labels.labels) {
        let name = plain(&label.name);
        all.extend(label.confidence.map(|number| format!("{name} is sure {number}")));
        all.extend(label.instances.iter().map(|one| format!("{name} is at {}", place(&one.bounding_box))));
        // A label that says no confidence has its surest occurrence's.
        all.extend(label.instances.iter().filter_map(|one| Some(format!("{name} is sure {}", one.confidence?))));
        all.insert(format!("label {name}"));
    }
    for line in found.text.iter().flat_map(|text| &text.lines) {
        let text = plain(&line.text);
        all.extend(line.bounding_box.iter().map(|b| format!("{text} stands at {}", place(b))));
        all.insert(format!("line {text}"));
    }
    all
}

/// The places of characters between values, the quotes of strings among them.
fn structure(text: &str) -> Vec<usize> {
    let (mut places, mut inside, mut escaped) = (Vec::new(), false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                inside = !inside;
                places.push(at);
            }
            '{' | '}' | '[' | ']' | ',' if !inside => places.push(at),
            _ => {}
        }
    }
    places
}

fn check(value: &Value, text: &str) -> Result<(), TestCaseError> {
    let read = |text: &str| read_as(text, StopReason::EndTurn, Coordinates::Pixels);
    let all = said(&read(&value.to_string()).unwrap());
    let Ok(reading) = read(text) else { return Ok(()) };
    let broken = said(&reading);
    let invented: Vec<_> = broken.difference(&all).collect();
    prop_assert!(invented.is_empty(), "{invented:?} is not in the original\n{value}\n{text}\n{reading:#?}");
    let codes = [WarningCode::OutputRepaired, WarningCode::OutputTruncated];
    let is_json = serde_json::from_str::<Value>(text).is_ok();
    let is_told = is_json || reading.warnings.iter().any(|warning| codes.contains(&warning.code));
    prop_assert!(
        broken == all || is_told || !reading.findings.missing.is_empty(),
        "lost without a word\n{value}\n{text}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn one_character_less_invents_nothing(value in good_answer_of(WORDS), place: prop::sample::Index) {
        let mut text = value.to_string();
        let places = structure(&text);
        text.remove(places[1 + place.index(places.len() - 2)]);
        check(&value, &text)?;
    }

    #[test]
    fn one_character_more_invents_nothing(
        value in good_answer_of(WORDS), place: prop::sample::Index, more in prop::sample::select(&['"', '{', '}', '[', ']', ','][..]),
    ) {
        let mut text = value.to_string();
        let places: Vec<usize> = text.char_indices().skip(1).map(|(at, _)| at).collect();
        text.insert(places[place.index(places.len())], more);
        check(&value, &text)?;
    }
}
