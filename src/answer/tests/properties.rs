//! What holds of every answer, and of every way to spoil one.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Reading, Unreadable, extract, fuzzing::answer_reader, read, relaxed},
    domain::{Coordinates, Features, Findings, Frame, LabelsRequest, Size, StopReason},
};

fn seen() -> Frame {
    Frame::new(Size::new(4032, 3024), Size::new(1270, 952))
}

pub(super) fn read_as(text: &str, stop_reason: StopReason, coordinates: Coordinates) -> Result<Reading, Unreadable> {
    let labels = Some(LabelsRequest { max_results: 500, ..LabelsRequest::default() });
    let features = Features { description: true, labels, text: true, ..Features::default() };
    let frame = seen();
    read(&Answer { text, stop_reason, features: &features, frame: &frame, filter_vocabulary: false, coordinates })
}

fn findings(text: &str) -> Findings {
    read_as(text, StopReason::EndTurn, Coordinates::Pixels).unwrap().findings
}

/// An answer as a model that does everything right writes it. Names and confidences differ, so that nothing is merged.
fn good_answer() -> impl Strategy<Value = Value> {
    good_answer_of("[a-z'가-힣{}\\[\\]:,\" ]{0,12}[a-z]")
}

/// Such an answer with these words.
pub(super) fn good_answer_of(words: &'static str) -> impl Strategy<Value = Value> {
    let corner = |edge: u32| (0..edge - 20, 10..20u32);
    let place =
        (corner(1270), corner(952)).prop_map(|((x, w), (y, h))| json!({"x1": x, "y1": y, "x2": x + w, "y2": y + h}));
    let label = (words, prop::collection::vec(place.clone(), 0..3));
    let line = (words, prop::option::of(place));
    (words, prop::collection::vec(label, 1..5), prop::collection::vec(line, 1..5)).prop_map(|(description, labels, lines)| {
        let labels: Vec<Value> = labels.into_iter().enumerate().map(|(i, (name, places))| {
            let confidence = 0.9 - i as f64 / 10.0;
            let instances: Vec<Value> = places.into_iter().map(|place| json!({"box": place, "confidence": 0.5})).collect();
            json!({"name": format!("{i}{name}"), "display_name": "", "confidence": confidence, "instances": instances})
        }).collect();
        let lines: Vec<Value> = lines.into_iter().map(|(text, place)| json!({"text": text, "box": place})).collect();
        json!({"description": format!("{description}."), "labels": labels, "text": {"lines": lines}})
    })
}

/// JavaScript rather than JSON: single quotes, bare keys, trailing commas, comments.
fn javascript(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            out.push_str("{ // fields\n");
            for (key, value) in fields {
                write!(out, "{key}: ").unwrap();
                javascript(value, out);
                out.push_str(",\n");
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                javascript(item, out);
                out.push_str(", /* next */ ");
            }
            out.push(']');
        }
        Value::String(text) => write!(out, "'{}'", text.replace('\'', "\\'")).unwrap(),
        other => write!(out, "{other}").unwrap(),
    }
}

/// Numbers as strings, all keys in another case.
fn respelt(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.to_uppercase(), respelt(value))).collect())
        }
        Value::Array(items) => items.iter().map(respelt).collect(),
        Value::Number(number) => Value::from(number.to_string()),
        other => other.clone(),
    }
}

fn spoilt(value: &Value) -> Vec<String> {
    let plain = value.to_string();
    let mut script = String::new();
    javascript(value, &mut script);
    let encoded: Map<String, Value> = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, field)| {
            (key.clone(), if field.is_string() { field.clone() } else { Value::from(field.to_string()) })
        })
        .collect();
    vec![
        serde_json::to_string_pretty(value).unwrap(),
        format!("```json\n{plain}\n```"),
        format!("```json\n{plain}"),
        format!("Sure! Here is [1] what {{I}} see:\n{plain}\nI hope [this] helps."),
        format!("\u{feff}\n{plain}"),
        script,
        json!({"type": "tool_use", "name": "report_analysis", "input": value}).to_string(),
        json!({"result": [value]}).to_string(),
        json!({"arguments": plain}).to_string(),
        Value::from(plain.as_str()).to_string(),
        Value::Object(encoded).to_string(),
        respelt(value).to_string(),
    ]
}

proptest! {
    #[test]
    fn a_good_answer_survives_every_way_to_spoil_it(value in good_answer()) {
        let good = findings(&value.to_string());
        for text in spoilt(&value) {
            let reading = read_as(&text, StopReason::EndTurn, Coordinates::Pixels);
            prop_assert_eq!(&reading.unwrap().findings, &good, "{}", text);
        }
    }

    #[test]
    fn a_cut_answer_keeps_complete_entries_and_invents_none(value in good_answer(), part in 0.0..1.0f64, script: bool) {
        let mut text = value.to_string();
        let good = findings(&text);
        if script {
            text.clear();
            javascript(&value, &mut text);
        }
        let mut end = (part * text.len() as f64) as usize;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let Ok(reading) = read_as(&text[..end], StopReason::MaxTokens, Coordinates::Pixels) else { return Ok(()) };
        prop_assert!(reading.is_cut());
        let cut = reading.findings;
        prop_assert!(cut.description.is_none() || cut.description == good.description);
        if let Some(labels) = cut.labels {
            prop_assert!(labels.truncated);
            let all = good.labels.unwrap().labels;
            prop_assert_eq!(&labels.labels[..], &all[..labels.labels.len()]);
        }
        if let Some(text) = cut.text {
            let all = good.text.unwrap().lines;
            prop_assert_eq!(&text.lines[..], &all[..text.lines.len()]);
        }
    }

    #[test]
    fn boxes_in_thousandths_lie_where_they_lie_in_pixels(x in 0..900u32, y in 0..900u32, w in 20..100u32, h in 20..100u32) {
        let text = |sx: f64, sy: f64| {
            let [x1, x2] = [x, x + w].map(|value| f64::from(value) * sx);
            let [y1, y2] = [y, y + h].map(|value| f64::from(value) * sy);
            json!({"labels": [{"name": "cat", "box": [x1, y1, x2, y2]}]}).to_string()
        };
        let place = |text: &str, coordinates| {
            let labels = read_as(text, StopReason::EndTurn, coordinates).unwrap().findings.labels.unwrap();
            labels.labels[0].instances[0].bounding_box.clone()
        };
        let thousandths = place(&text(1.0, 1.0), Coordinates::PerMille);
        let pixels = place(&text(1.27, 0.952), Coordinates::Pixels);
        prop_assert!(thousandths.overlap(&pixels) > 0.9, "{thousandths:?} {pixels:?}");
    }

    #[test]
    fn every_promise_holds_for_any_text(selector in "[dsltpxmkgw]{0,4}", text: String) {
        answer_reader(format!("{selector}\n{text}").as_bytes());
    }

    #[test]
    fn every_promise_holds_for_what_looks_like_an_answer(
        selector in "[dsltx]{1,3}[mkgw]?",
        text in "([{}\\[\\](),:\"'`“”… \n]|\\\\|//|/\\*|\"labels\":|\"text\":|\"lines\":|name|\"box\":|x1|\"confidence\"|input|\
                 verdict|no|[0-9]{1,4}|-|1e9|[.]5|null|None|NaN|<result>|</result>|\"total\"){0,60}",
    ) {
        answer_reader(format!("{selector}\n{text}").as_bytes());
    }

    #[test]
    fn a_text_is_read_at_most_twice(text in "[\\[\\]{}:,'\"a0\\\\u\n/* (-]{0,200}") {
        prop_assert!(relaxed::parse(&text).1 <= 2 * text.len());
    }
}

#[test]
fn hostile_texts_of_many_bytes_end_in_time() {
    let parts = [
        "[",
        "{",
        "[{",
        "{a:",
        "{\"",
        "['",
        "[/*",
        "[//",
        "{a:\"",
        "[[1,2],",
        "{\"labels\":",
        "[\"\\",
        "{a:b ",
        "[...",
        "((",
        "“",
        "{\"input\":\"",
        "[\" \" ",
        "{'a' 'b",
        "\\\"{",
    ];
    for part in parts {
        let text = part.repeat(60_000 / part.len());
        assert!(extract::values(&text, |_, _| None, |_| true).is_empty());
        let _ = read_as(&text, StopReason::EndTurn, Coordinates::Pixels);
    }
}

#[test]
fn an_answer_of_megabytes_is_read() {
    let labels: Vec<Value> =
        (0..40_000).map(|i| json!({"name": format!("n{i}"), "box": [i % 1200, i % 900, 1260, 950]})).collect();
    let text = format!(
        "```\n{}\n```",
        json!({"labels": labels, "description": "Many.", "text": {"lines": vec!["A"; 40_000]}})
    );
    assert!(text.len() > 1_500_000);
    let found = findings(&text);
    assert_eq!((found.labels.unwrap().labels.len(), found.text.unwrap().lines.len()), (500, 40_000));
}
