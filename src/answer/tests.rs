mod bad_answers;
mod broken;
mod properties;

use serde_json::json;

use super::*;
use crate::domain::{LabelsRequest, SensitivityRequest, Size, Verdict};

fn summit() -> Frame {
    Frame::new(Size::new(1280, 681), Size::new(1280, 681))
}

fn labels_only() -> Features {
    Features { labels: Some(LabelsRequest::default()), ..Default::default() }
}

fn read_text(text: &str, features: &Features, frame: &Frame) -> Result<Reading, Unreadable> {
    read(&Answer {
        text,
        stop_reason: StopReason::EndTurn,
        features,
        frame,
        filter_vocabulary: false,
        coordinates: Coordinates::Pixels,
    })
}

fn codes(reading: &Reading) -> Vec<&'static str> {
    reading.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

fn pixels(place: &crate::domain::BoundingBox) -> [u32; 4] {
    [place.left(), place.top(), place.right(), place.bottom()]
}

/// The original guide's published answer, word for word in its form: JavaScript, not JSON, and boxes outside.
const GUIDE_ANSWER: &str = "[
  { label: 'stage', position: { TopLeft: { x: 1200, y: 400 }, TopRight: { x: 1900, y: 400 },
    BottomRight: { x: 1900, y: 800 }, BottomLeft: { x: 1200, y: 800 } } },
  { label: 'audience', position: { TopLeft: { x: 200, y: 600 }, TopRight: { x: 1900, y: 600 },
    BottomRight: { x: 1900, y: 900 }, BottomLeft: { x: 200, y: 900 } } },
  { label: 'screen', position: { TopLeft: { x: 1300, y: 200 }, TopRight: { x: 1800, y: 200 },
    BottomRight: { x: 1800, y: 500 }, BottomLeft: { x: 1300, y: 500 } } }
]";

#[test]
fn the_original_guides_answer_is_read_and_kept_inside_the_picture() {
    let reading = read_text(GUIDE_ANSWER, &labels_only(), &summit()).unwrap();
    assert_eq!(codes(&reading), ["OUTPUT_REPAIRED", "BOXES_CLIPPED", "BOXES_DROPPED"]);
    let labels = reading.findings.labels.unwrap().labels;
    let found: Vec<_> = labels
        .iter()
        .map(|l| (l.name.as_str(), l.instances.iter().map(|i| pixels(&i.bounding_box)).collect()))
        .collect();
    assert_eq!(
        found,
        [("audience", vec![[200, 600, 1280, 681]]), ("stage", vec![[1200, 400, 1280, 681]]), ("screen", vec![])]
    );
}

#[test]
fn a_complete_answer_is_read_without_a_warning() {
    let features = Features {
        description: true,
        sensitivity: Some(SensitivityRequest::default()),
        labels: Some(LabelsRequest::default()),
        text: true,
        prompt: Some("?".into()),
        extraction: None,
    };
    let text = json!({
        "description": " A hall. ",
        "sensitivity": {"verdict": "sensitive", "reason": "Faces.", "findings":
            [{"category": "Face", "detail": "a man", "box": {"x1": 0, "y1": 0, "x2": 10, "y2": 10}}]},
        "labels": [{"name": "Person", "display_name": "사람", "confidence": 0.5, "instances": [
            {"box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}, "confidence": 0.4},
            {"box": {"x1": 5, "y1": 6, "x2": 7, "y2": 8}, "confidence": 0.5}]}],
        "text": {"lines": [{"text": "AWS", "box": {"x1": 9, "y1": 9, "x2": 12, "y2": 12}}, {"text": "SUMMIT"}]},
        "answer": "Two."
    });
    let reading = read_text(&text.to_string(), &features, &summit()).unwrap();
    assert_eq!((codes(&reading), reading.findings.missing.len()), (vec![], 0));
    assert_eq!(reading.findings.description.as_deref(), Some("A hall."));
    let sensitivity = reading.findings.sensitivity.unwrap();
    assert_eq!((sensitivity.verdict, sensitivity.findings[0].category.as_str()), (Verdict::Sensitive, "face"));
    let label = &reading.findings.labels.unwrap().labels[0];
    assert_eq!((label.name.as_str(), label.display_name.as_str()), ("person", "사람"));
    assert_eq!(pixels(&label.instances[0].bounding_box), [5, 6, 7, 8], "the surer one first");
    let text = reading.findings.text.unwrap();
    assert_eq!(text.full_text(), "AWS\nSUMMIT");
    assert!(text.lines[1].bounding_box.is_none());
    assert_eq!(reading.findings.answer.as_deref(), Some("Two."));
}

#[test]
fn boxes_are_scaled_from_the_size_the_model_saw() {
    let frame = Frame::new(Size::new(4032, 3024), Size::new(1270, 952));
    let text = r#"{"labels": [{"name": "a", "confidence": 1, "instances": [{"box": [635, 476, 1270, 952], "confidence": 1}]}]}"#;
    let reading = read_text(text, &labels_only(), &frame).unwrap();
    assert_eq!(pixels(&reading.findings.labels.unwrap().labels[0].instances[0].bounding_box), [2016, 1512, 4032, 3024]);
}

#[test]
fn an_answer_that_was_cut_keeps_what_is_complete_and_says_so() {
    let text = r#"{"labels": [{"name": "cat", "confidence": 0.9, "instances": []}, {"name": "do"#;
    let features = labels_only();
    let frame = summit();
    let answer = Answer {
        text,
        stop_reason: StopReason::MaxTokens,
        features: &features,
        frame: &frame,
        filter_vocabulary: false,
        coordinates: Coordinates::Pixels,
    };
    let reading = read(&answer).unwrap();
    assert_eq!(codes(&reading), ["OUTPUT_TRUNCATED", "OUTPUT_REPAIRED"]);
    let labels = reading.findings.labels.unwrap();
    assert!(labels.truncated);
    assert_eq!(labels.labels.len(), 1);
}

#[test]
fn a_missing_feature_is_named_and_the_others_are_answered() {
    let features = Features { description: true, text: true, ..Default::default() };
    let reading = read_text(r#"{"description": "A cat."}"#, &features, &summit()).unwrap();
    let missing = MissingFeature { name: "text", cause: MissingCause::Unreadable("the model left it out".to_owned()) };
    assert_eq!(reading.findings.missing, [missing]);
    assert_eq!((reading.findings.description.as_deref(), reading.findings.text), (Some("A cat."), None));
}

#[test]
fn nothing_readable_is_an_error_that_says_why() {
    let features = Features { description: true, ..Default::default() };
    for (text, reason) in [
        ("I cannot help with that.", "it holds no JSON that answers"),
        (r#"{"description": 7}"#, "description: the model gave it in a form that cannot be read"),
        ("{}", "description: the model left it out"),
    ] {
        assert_eq!(read_text(text, &features, &summit()).unwrap_err().reason, reason);
    }
}

#[test]
fn prose_in_brackets_is_no_answer() {
    for text in ["I cannot label this [image not clear].", "I can't, see [1].", "[]. There is nothing."] {
        assert!(read_text(text, &labels_only(), &summit()).is_err(), "{text}");
    }
    let reading = read_text("[see below]\n{\"labels\":[{\"name\":\"cat\"}]}", &labels_only(), &summit()).unwrap();
    assert_eq!(reading.findings.labels.unwrap().labels[0].name, "cat");
    assert!(read_text("[]", &labels_only(), &summit()).unwrap().findings.labels.unwrap().labels.is_empty());
}

#[test]
fn a_verdict_that_contradicts_its_findings_is_uncertain() {
    let features = Features { sensitivity: Some(SensitivityRequest::default()), ..Default::default() };
    for text in [
        r#"{"sensitivity": {"verdict": "not_sensitive", "reason": "", "findings": [{"category": "face", "detail": ""}]}}"#,
        r#"{"sensitivity": {"verdict": "perhaps", "reason": "", "findings": []}}"#,
    ] {
        let reading = read_text(text, &features, &summit()).unwrap();
        assert_eq!(codes(&reading), ["VERDICT_UNCLEAR"]);
        assert_eq!(reading.findings.sensitivity.unwrap().verdict, Verdict::Uncertain);
    }
}

#[test]
fn labels_of_one_name_are_one_and_the_unsure_are_left_out() {
    let features = Features {
        labels: Some(LabelsRequest { min_confidence: Some(0.5), max_results: 2, vocabulary: vec![] }),
        ..Default::default()
    };
    let text = r#"{"labels": [
        {"name": "dog", "confidence": 0.6, "instances": [{"box": [0, 0, 9, 9], "confidence": 0.2}]},
        {"name": "cat", "confidence": 0.6, "instances": [{"box": [0, 0, 9, 9], "confidence": 0.6}]},
        {"name": "Cat", "confidence": 0.8, "instances": [{"box": [9, 9, 20, 20], "confidence": 0.8}]},
        {"name": "sky", "confidence": 0.7, "instances": []},
        {"name": "sea", "confidence": 7, "instances": []},
        {"name": "sun", "confidence": 0.1, "instances": []}]}"#;
    let reading = read_text(text, &features, &summit()).unwrap();
    assert_eq!(codes(&reading), ["CONFIDENCE_INVALID"]);
    let labels = reading.findings.labels.unwrap().labels;
    let found: Vec<_> = labels.iter().map(|label| (label.name.as_str(), label.instances.len())).collect();
    assert_eq!(found, [("cat", 2), ("sky", 0)]);
}

#[test]
fn the_prompt_alone_is_answered_by_the_text_as_it_is() {
    let features = Features { prompt: Some("?".into()), ..Default::default() };
    let text = "<result>YES</result>\n<reason>이미지에는 많은 사람들이 모여 있습니다.</reason>";
    assert_eq!(read_text(text, &features, &summit()).unwrap().findings.answer.as_deref(), Some(text));
    assert_eq!(read_text(" \n", &features, &summit()).unwrap_err().reason, "it is empty");
}

#[test]
fn data_of_the_caller_with_the_names_of_wrappers_is_no_wrapper() {
    let schema = json!({"type": "object", "properties": {"total": {"type": "number"}, "name": {}, "parameters": {}, "data": {}}});
    let extraction = crate::domain::ExtractionRequest { schema, instruction: String::new() };
    let features = Features { extraction: Some(extraction), ..Default::default() };
    for (text, total) in [
        (r#"{"total": 5, "data": {"total": 1}}"#, 5),
        (r#"{"extraction": {"total": 5, "data": {"total": 1}}}"#, 5),
        (r#"{"name": "report_analysis", "parameters": {"extraction": {"total": 5}}}"#, 5),
        (r#"{"name": "report_analysis", "arguments": "{\"extraction\": {\"total\": 5}}"}"#, 5),
    ] {
        let values = read_text(text, &features, &summit()).unwrap().findings.extraction.unwrap();
        assert_eq!(values.get("total"), Some(&json!(total)), "{text}");
    }
}
