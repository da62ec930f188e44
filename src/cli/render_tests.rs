use super::*;
use crate::{
    cli::boxes::tests::bounding_box,
    proto::{
        Answer, Description, DetectedText, FeatureError, ImageInfo, LabelInstance, Labels, ModelInfo, SensitiveFinding,
        Sensitivity, TextLine, Warning,
    },
};

fn millis(millis: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 })
}

fn label(name: &str, confidence: f32, boxes: &[[i32; 4]]) -> Label {
    let instance = |&[l, t, r, b]: &[i32; 4]| LabelInstance {
        r#box: Some(bounding_box(l, t, r, b)),
        confidence: Some(confidence),
    };
    Label {
        name: name.into(),
        display_name: name.into(),
        confidence: Some(confidence),
        instances: boxes.iter().map(instance).collect(),
    }
}

fn image() -> ImageInfo {
    ImageInfo {
        media_type: "image/jpeg".into(),
        width: 4032,
        height: 3024,
        exif_orientation: 6,
        size_bytes: 2_345_678,
        model_width: 1270,
        model_height: 952,
        etag: "\"abc\"".into(),
        version_id: String::new(),
    }
}

fn everything() -> ImageAnalysis {
    let mut labels = vec![
        label("person", 0.74, &[[0, 10, 700, 2900], [900, 40, 1400, 2000]]),
        label("traffic light", 0.5, &[[3000, 1, 3100, 90]]),
        label("sunset", 0.4, &[]),
    ];
    labels[1].display_name = "신호등".into();
    labels[0].instances[0].r#box.as_mut().unwrap().adjustments =
        vec![Adjustment::Rescaled.into(), Adjustment::Clipped.into()];
    let finding = SensitiveFinding {
        category: "face".into(),
        detail: "a face, seen from the front".into(),
        r#box: Some(bounding_box(100, 20, 300, 240)),
    };
    let long = "A crowd sits in front of a stage on which one person speaks below a large screen. ".repeat(3);
    ImageAnalysis {
        request_id: "r-1".into(),
        image: Some(image()),
        description: Some(Description { text: long }),
        sensitivity: Some(Sensitivity {
            verdict: Verdict::Sensitive.into(),
            reason: "People can be recognised.".into(),
            findings: vec![finding],
        }),
        labels: Some(Labels { labels, truncated: true }),
        text: Some(DetectedText {
            text: String::new(),
            lines: vec![
                TextLine { text: "EXIT".into(), r#box: Some(bounding_box(5, 6, 70, 80)) },
                TextLine { text: "출구".into(), r#box: None },
            ],
        }),
        answer: Some(Answer { text: "이 사진에는 사람이 둘 있습니다.\nAnd a light.".into() }),
        feature_errors: vec![FeatureError {
            feature: "extraction".into(),
            error: Some(tonic_types::pb::Status { code: 13, message: "no object".into(), details: vec![] }),
        }],
        model: Some(ModelInfo {
            requested: "global.anthropic.claude-sonnet-5".into(),
            served: "global.anthropic.claude-sonnet-5".into(),
            region: "us-east-1".into(),
            prompt_version: "2026-11.2".into(),
            stop_reason: StopReason::MaxTokens.into(),
            ..ModelInfo::default()
        }),
        usage: Some(Usage {
            input_token_count: 2012,
            output_token_count: 345,
            image_token_count: 1612,
            model_call_count: 1,
            estimated_cost_usd: Some(0.01234),
            ..Usage::default()
        }),
        timing: Some(Timing {
            total: Some(prost_types::Duration { seconds: 2, nanos: 410_000_000 }),
            fetch: millis(31),
            prepare: millis(68),
            model: Some(prost_types::Duration { seconds: 2, nanos: 300_000_000 }),
            ..Timing::default()
        }),
        warnings: vec![
            Warning { code: "BOXES_CLIPPED".into(), message: "A box reached over the edge.".into() },
            Warning { code: "BOXES_CLIPPED".into(), message: "A box reached over the edge.".into() },
        ],
        ..ImageAnalysis::default()
    }
}

#[test]
fn a_full_analysis() {
    insta::assert_snapshot!(render(&everything(), 100));
}

#[test]
fn a_narrow_terminal() {
    insta::assert_snapshot!(render(&everything(), 60));
}

#[test]
fn nothing_found_is_said() {
    let analysis = ImageAnalysis {
        image: Some(ImageInfo { width: 64, height: 48, model_width: 64, model_height: 48, ..image() }),
        sensitivity: Some(Sensitivity { verdict: Verdict::NotSensitive.into(), ..Sensitivity::default() }),
        labels: Some(Labels::default()),
        text: Some(DetectedText::default()),
        ..ImageAnalysis::default()
    };
    insta::assert_snapshot!(render(&analysis, 100));
}

#[test]
fn what_was_not_asked_for_does_not_show() {
    assert_eq!(render(&ImageAnalysis::default(), 80), "");
}

#[test]
fn escape_sequences_are_neutralised_wherever_a_model_can_write() {
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    let mut analysis = everything();
    analysis.description = Some(Description { text: evil.into() });
    analysis.answer = Some(Answer { text: evil.into() });
    analysis.raw_output = evil.into();
    analysis.sensitivity.as_mut().unwrap().reason = evil.into();
    analysis.sensitivity.as_mut().unwrap().findings[0].detail = evil.into();
    analysis.sensitivity.as_mut().unwrap().findings[0].category = evil.into();
    analysis.labels.as_mut().unwrap().labels[0].name = evil.into();
    analysis.labels.as_mut().unwrap().labels[0].display_name = format!("x{evil}");
    analysis.text.as_mut().unwrap().lines[0].text = evil.into();
    analysis.feature_errors[0].feature = evil.into();
    analysis.feature_errors[0].error.as_mut().unwrap().message = evil.into();
    analysis.warnings[0].message = evil.into();
    analysis.model.as_mut().unwrap().served = evil.into();
    analysis.image.as_mut().unwrap().media_type = evil.into();
    let shown = render(&analysis, 100);
    assert!(shown.chars().all(|c| c == '\n' || !plain::is_unsafe(c)), "{shown:?}");
}

#[test]
fn long_lists_are_cut_with_a_word() {
    let labels = (0..MAX_ROWS + 7).map(|n| label(&format!("l{n}"), 0.5, &[[0, 0, 9, 9]])).collect();
    let analysis = ImageAnalysis { labels: Some(Labels { labels, truncated: false }), ..ImageAnalysis::default() };
    assert!(render(&analysis, 100).ends_with("and 7 more: see --json\n"));
}

#[test]
fn no_width_and_no_text_panics() {
    for width in [0, 1, 2, 10, 40, u16::MAX] {
        render(&everything(), width);
    }
}

#[test]
fn extracted_values_are_shown_as_json() {
    let serde_json::Value::Object(values) = serde_json::json!({
        "gate": "\u{1b}[2J\u{202e}B 12", "bags": 2, "stops": [{"city": "서울"}, {"city": "Frankfurt am Main"}], "seat": null
    }) else {
        panic!("an object")
    };
    let values = Some(proto::structs::from_json(values));
    let model = ModelInfo { served: "m".into(), requested: "m".into(), cached: true, ..ModelInfo::default() };
    let analysis = ImageAnalysis {
        extraction: Some(proto::Extraction { values }),
        model: Some(model),
        usage: Some(Usage { image_token_count: 1612, estimated_cost_usd: Some(0.0), ..Usage::default() }),
        ..ImageAnalysis::default()
    };
    insta::assert_snapshot!(render(&analysis, 60));
}
