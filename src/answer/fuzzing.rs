//! What fuzzing and the replay of its corpus run: any input at all, and what must hold of every reading.

use super::{Answer, read};
use crate::domain::{
    BoundingBox, Coordinates, ExtractionRequest, Features, Findings, Frame, LabelsRequest, SensitivityRequest, Size,
    StopReason,
};

/// Reads one input: its first line says which features were asked for (the letters `d`, `s`, `l`, `t`, `p` and `x`), how
/// the model stopped (`m` for the most tokens) and how boxes were asked for (`k` for thousandths); the rest is the answer.
///
/// # Panics
/// When a reading breaks a promise.
pub fn answer_reader(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (selector, text) = text.split_once('\n').unwrap_or(("dslt", &text));
    let frame = Frame::new(Size::new(4032, 3024), Size::new(1270, 952));
    let features = features(selector);
    let answer = Answer {
        text,
        stop_reason: if selector.contains('m') { StopReason::MaxTokens } else { StopReason::EndTurn },
        features: &features,
        frame: &frame,
        filter_vocabulary: false,
        coordinates: if selector.contains('k') { Coordinates::PerMille } else { Coordinates::Pixels },
    };
    let reading = read(&answer);
    assert_eq!(reading, read(&answer), "reading is deterministic");
    if let Ok(reading) = reading {
        check(&reading.findings, &features);
        assert_eq!(reading.findings.missing.is_empty(), reading.mistakes.is_empty(), "what is missing has a mistake");
        let joined = reading.clone().joined(reading.clone());
        assert_eq!(joined, reading, "a reading joined with itself is itself");
    }
}

fn features(selector: &str) -> Features {
    let schema = serde_json::json!({"type": "object", "required": ["total"], "additionalProperties": false,
        "properties": {"total": {"type": "number"}, "name": {"type": "string"}}});
    let features = Features {
        description: selector.contains('d'),
        sensitivity: selector.contains('s').then(SensitivityRequest::default),
        labels: selector.contains('l').then(LabelsRequest::default),
        text: selector.contains('t'),
        prompt: selector.contains('p').then(|| "How many?".to_owned()),
        extraction: selector.contains('x').then(|| ExtractionRequest { schema, instruction: String::new() }),
    };
    if features.names().is_empty() { Features { description: true, ..features } } else { features }
}

/// A feature is found or missing, never both and never unasked; every box and confidence is in range.
fn check(found: &Findings, asked: &Features) {
    let held = [
        ("description", found.description.is_some()),
        ("sensitivity", found.sensitivity.is_some()),
        ("labels", found.labels.is_some()),
        ("text", found.text.is_some()),
        ("prompt", found.answer.is_some()),
        ("extraction", found.extraction.is_some()),
    ];
    for (name, is_held) in held {
        let is_missing = found.missing.iter().any(|missing| missing.name == name);
        assert_eq!(asked.names().contains(&name), is_held || is_missing, "{name} is answered if and only if asked for");
        assert!(!(is_held && is_missing), "{name} is not both found and missing");
    }
    for label in found.labels.iter().flat_map(|labels| &labels.labels) {
        assert!(!label.name.is_empty(), "a label has a name");
        assert!(label.confidence.is_none_or(|number| (0.0..=1.0).contains(&number)), "confidence in range");
        label.instances.iter().for_each(|instance| check_box(&instance.bounding_box));
    }
    let lines = found.text.iter().flat_map(|text| &text.lines).filter_map(|line| line.bounding_box.as_ref());
    let findings = found.sensitivity.iter().flat_map(|sensitivity| &sensitivity.findings);
    lines.chain(findings.filter_map(|finding| finding.bounding_box.as_ref())).for_each(check_box);
}

fn check_box(place: &BoundingBox) {
    assert!(place.left() < place.right() && place.right() <= 4032, "inside and not empty: {place:?}");
    assert!(place.top() < place.bottom() && place.bottom() <= 3024, "inside and not empty: {place:?}");
}
