//! What fuzzing and the replay of its corpus run: any input at all, and what must hold of every reading.

use super::{Answer, read};
use crate::{
    domain::{
        BoundingBox, Coordinates, ExtractionRequest, Features, Findings, Frame, LabelsRequest, SensitivityRequest,
        Size, StopReason,
    },
    json_schema,
};

/// An answer as the corpus holds it.
pub struct Input<'a> {
    /// What the model wrote.
    pub text: &'a str,
    /// What was asked for.
    pub features: Features,
    /// The picture.
    pub frame: Frame,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// How boxes were asked for.
    pub coordinates: Coordinates,
}

impl<'a> Input<'a> {
    /// The first line of an input says in letters what was asked for (`d`escription, `s`ensitivity, `l`abels, `t`ext,
    /// `p`rompt, e`x`traction), that the model stopped at the `m`ost tokens, that boxes were asked for in thousandths (`k`),
    /// and which picture it was: 4032x3024 seen as 1270x952, or the guide's of 1280x681 (`g`) or one of 640x480 (`w`), seen
    /// as they are. The rest is the answer.
    pub fn parse(text: &'a str) -> Self {
        let (selector, text) = text.split_once('\n').unwrap_or(("dslt", text));
        let has = |letter| selector.contains(letter);
        let (original, model) = match () {
            () if has('g') => (Size::new(1280, 681), Size::new(1280, 681)),
            () if has('w') => (Size::new(640, 480), Size::new(640, 480)),
            () => (Size::new(4032, 3024), Size::new(1270, 952)),
        };
        Self {
            text,
            features: features(selector),
            frame: Frame::new(original, model),
            stop_reason: if has('m') { StopReason::MaxTokens } else { StopReason::EndTurn },
            coordinates: if has('k') { Coordinates::PerMille } else { Coordinates::Pixels },
        }
    }

    /// The input as the reader takes it.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            text: self.text,
            stop_reason: self.stop_reason,
            features: &self.features,
            frame: &self.frame,
            filter_vocabulary: false,
            coordinates: self.coordinates,
        }
    }
}

/// Reads one input of any bytes.
///
/// # Panics
/// When a reading breaks a promise.
pub fn answer_reader(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let input = Input::parse(&text);
    let reading = read(&input.answer());
    assert_eq!(reading, read(&input.answer()), "reading is deterministic");
    if let Ok(reading) = reading {
        check(&reading.findings, &input.features, input.frame.original());
        assert_eq!(reading.findings.missing.is_empty(), reading.mistakes.is_empty(), "what is missing has a mistake");
        let joined = reading.clone().joined(reading.clone());
        assert_eq!(joined, reading, "a reading joined with itself is itself");
    }
}

/// Checks, adapts and validates any JSON as a caller's schema, the first line, with any JSON as a value for it.
pub fn json_schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (schema, value) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(schema) = serde_json::from_str(schema) else { return };
    // Nothing that was refused goes further.
    if json_schema::check(&schema).is_err() {
        return;
    }
    let _ = json_schema::adapt(&schema);
    if let Ok(value) = serde_json::from_str(value) {
        let _ = json_schema::violations(&schema, &value);
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
fn check(found: &Findings, asked: &Features, picture: Size) {
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
        label.instances.iter().for_each(|instance| check_box(&instance.bounding_box, picture));
    }
    let lines = found.text.iter().flat_map(|text| &text.lines).filter_map(|line| line.bounding_box.as_ref());
    let findings = found.sensitivity.iter().flat_map(|sensitivity| &sensitivity.findings);
    lines
        .chain(findings.filter_map(|finding| finding.bounding_box.as_ref()))
        .for_each(|place| check_box(place, picture));
}

fn check_box(place: &BoundingBox, picture: Size) {
    assert!(place.left() < place.right() && place.right() <= picture.width, "inside and not empty: {place:?}");
    assert!(place.top() < place.bottom() && place.bottom() <= picture.height, "inside and not empty: {place:?}");
}
