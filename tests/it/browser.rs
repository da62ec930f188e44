//! The report of a run as a browser shows it: real photos and hostile text, in a phone's size and a laptop's.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use sightline::{
    cli::report::{Report, Totals},
    proto::{
        AnalyzeManyResult, Answer, BoundingBox, Description, DetectedText, FeatureError, ImageAnalysis, ImageInfo,
        Label, LabelInstance, Labels, ModelInfo, NormalizedBox, SensitiveFinding, Sensitivity, TextLine, Timing, Usage,
        Warning, analyze_many_result::Outcome, sensitivity::Verdict,
    },
};
use tonic_types::{StatusExt as _, pb};

use crate::support::tools;

/// Where Debian puts it; `.ci/run` installs it.
const CHROMIUM: &str = "chromium";
/// What must stay text, whatever a model or a server wrote.
const HOSTILE: &str = "</style></script><script>document.title='owned'</script><img src=x onerror=alert(1)>\
                       \"'><svg onload=alert(1)>{{ 7*7 }}{% raw %}<!--\u{202e}\u{0}&lt;b&gt;";

#[tokio::test]
async fn a_browser_shows_the_whole_report_at_every_size() {
    let (Some(python), Some(chromium)) = (tools::require_tool("python"), tools::require_installed(CHROMIUM)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let expected = folder.path().join("expected.json");
    fs::write(&expected, write_report(&page).to_string()).unwrap();
    let [page, expected, chromium] = [&page, &expected, &chromium].map(|path| path.to_str().unwrap());
    let outcome = tools::run(&python, &["tests/it/python/browser.py", page, expected, chromium]).await;
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.stdout, outcome.stderr);
}

/// Writes a report of everything that can happen; returns what the browser has to find in it.
fn write_report(page: &Path) -> Value {
    let mut report =
        Report::dated(&format!("Run {HOSTILE}"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000));
    let mut cards = vec![];
    let mut add = |name: &str, outcome: Outcome, picture: Option<&[u8]>| {
        let boxes = match &outcome {
            Outcome::Analysis(analysis) if picture.is_some_and(|bytes| bytes.len() > 100) => boxes(analysis),
            _ => vec![],
        };
        cards.push(json!({ "name": name.replace(['\u{202e}', '\u{0}'], "\u{fffd}"), "boxes": boxes }));
        report.add(name, &AnalyzeManyResult { outcome: Some(outcome), ..Default::default() }, picture);
    };
    for (name, width, height) in PHOTOS {
        add(&format!("s3://photos/{name}"), Outcome::Analysis(plain(width, height)), Some(&photo(name)));
    }
    add(HOSTILE, Outcome::Analysis(hostile(512, 512)), Some(&photo("astronaut.png")));
    add(&"very-long-name-".repeat(60), Outcome::Analysis(crowded(451, 300)), Some(&photo("chelsea.png")));
    add("s3://photos/broken.png", Outcome::Analysis(plain(9, 9)), Some(b"no picture"));
    add("s3://photos/missing.png", Outcome::Error(failure()), None);
    add("s3://photos/refused.jpg", Outcome::Error(failure()), Some(&photo("rocket.jpg")));
    let usage = Usage { input_token_count: 12_345, output_token_count: 678, model_call_count: 8, ..Usage::default() };
    let totals = Totals { succeeded: 8, failed: 2, usage, elapsed: Duration::from_secs(75), interrupted: true };
    report.write(page, &totals).unwrap();
    json!({ "cards": cards, "states": { "sensitive": 6, "uncertain": 1, "clear": 1, "failed": 2 } })
}

/// File name, width and height in pixels.
const PHOTOS: [(&str, i32, i32); 5] = [
    ("summit.jpeg", 1280, 681),
    ("astronaut.png", 512, 512),
    ("chelsea.png", 451, 300),
    ("coffee.png", 600, 400),
    ("rocket.jpg", 640, 427),
];

fn photo(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/photos");
    fs::read(folder.join(name)).unwrap()
}

fn bounding_box([left, top, width, height]: [f32; 4]) -> Option<BoundingBox> {
    let normalized = NormalizedBox { left: Some(left), top: Some(top), width: Some(width), height: Some(height) };
    Some(BoundingBox { normalized: Some(normalized), ..BoundingBox::default() })
}

fn label(name: &str, boxes: &[[f32; 4]]) -> Label {
    let instance = |part: &[f32; 4]| LabelInstance { r#box: bounding_box(*part), confidence: Some(0.8) };
    Label {
        name: name.into(),
        display_name: name.into(),
        confidence: Some(0.8),
        instances: boxes.iter().map(instance).collect(),
    }
}

/// An ordinary analysis with a box of every kind, at the edges too.
fn plain(width: i32, height: i32) -> ImageAnalysis {
    let second = Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 });
    ImageAnalysis {
        image: Some(ImageInfo {
            media_type: "image/png".into(),
            width,
            height,
            size_bytes: 40_000,
            ..Default::default()
        }),
        description: Some(Description { text: "A person stands in front of a wall. ".repeat(4) }),
        sensitivity: Some(Sensitivity {
            verdict: Verdict::Sensitive.into(),
            reason: "A face can be recognised.".into(),
            findings: vec![SensitiveFinding {
                category: "face".into(),
                detail: "seen from the front".into(),
                r#box: bounding_box([0.4, 0.1, 0.2, 0.25]),
            }],
        }),
        labels: Some(Labels {
            labels: vec![
                label("person", &[[0.0, 0.0, 1.0, 1.0], [0.35, 0.05, 0.3, 0.9]]),
                label("traffic light", &[[0.875, 0.5, 0.125, 0.25]]),
                label("sunset", &[]),
            ],
            truncated: false,
        }),
        text: Some(DetectedText {
            text: "EXIT".into(),
            lines: vec![TextLine { text: "EXIT".into(), r#box: bounding_box([0.1, 0.8, 0.2, 0.06]) }],
        }),
        model: Some(ModelInfo { served: "global.anthropic.claude-sonnet-5".into(), ..Default::default() }),
        usage: Some(Usage {
            input_token_count: 2012,
            output_token_count: 345,
            model_call_count: 1,
            ..Default::default()
        }),
        timing: Some(Timing { total: second, ..Default::default() }),
        ..ImageAnalysis::default()
    }
}

/// An analysis whose every text is hostile.
fn hostile(width: i32, height: i32) -> ImageAnalysis {
    let mut analysis = plain(width, height);
    let text = HOSTILE.to_owned();
    analysis.description = Some(Description { text: text.clone() });
    analysis.answer = Some(Answer { text: text.clone() });
    analysis.raw_output = text.clone();
    let sensitivity = analysis.sensitivity.as_mut().unwrap();
    sensitivity.set_verdict(Verdict::Uncertain);
    sensitivity.reason = text.clone();
    sensitivity.findings[0].category = text.clone();
    sensitivity.findings[0].detail = text.clone();
    let labels = analysis.labels.as_mut().unwrap();
    labels.labels[0].name = text.clone();
    labels.labels[0].display_name = format!("x{text}");
    labels.labels[0].confidence = Some(f32::NAN);
    analysis.text.as_mut().unwrap().lines[0].text = text.clone();
    analysis.warnings = vec![Warning { code: text.clone(), message: text.clone() }];
    analysis.feature_errors = vec![FeatureError {
        feature: text.clone(),
        error: Some(pb::Status { code: 13, message: text.clone(), details: vec![] }),
    }];
    analysis.model.as_mut().unwrap().served = text.clone();
    analysis.image.as_mut().unwrap().media_type = text;
    analysis
}

/// 500 labels, very long words, nothing sensitive.
fn crowded(width: i32, height: i32) -> ImageAnalysis {
    let mut analysis = plain(width, height);
    let grid = |n: usize| [(n % 20) as f32 / 20.0, (n / 20 % 20) as f32 / 20.0, 0.05, 0.05];
    let labels =
        (0..500).map(|n| label(&format!("label {n}"), if n < 200 { vec![grid(n)] } else { vec![] }.as_slice()));
    analysis.labels = Some(Labels { labels: labels.collect(), truncated: true });
    analysis.sensitivity =
        Some(Sensitivity { verdict: Verdict::NotSensitive.into(), reason: "W".repeat(3000), findings: vec![] });
    analysis.description = Some(Description { text: "Donaudampfschifffahrtsgesellschaft".repeat(40) });
    analysis
}

fn failure() -> pb::Status {
    let metadata = [("bucket".to_owned(), "photos".to_owned()), ("note".to_owned(), HOSTILE.to_owned())];
    let metadata = HashMap::from(metadata);
    let mut details = tonic_types::ErrorDetails::with_error_info("OBJECT_NOT_FOUND", "sightline", metadata);
    details.set_resource_info("S3 object", "s3://photos/missing.png", "", "");
    let status = tonic::Status::with_error_details(tonic::Code::NotFound, HOSTILE, details);
    prost::Message::decode(status.details()).unwrap()
}

/// The boxes of an analysis as fractions, with the class that they have in the page.
fn boxes(analysis: &ImageAnalysis) -> Vec<Value> {
    let place = |kind: &str, bounding_box: &Option<BoundingBox>| {
        let part = bounding_box.clone()?.normalized?;
        Some(
            json!({ "kind": kind, "left": part.left?, "top": part.top?, "width": part.width?, "height": part.height? }),
        )
    };
    let findings = analysis.sensitivity.iter().flat_map(|it| &it.findings).map(|it| place("finding", &it.r#box));
    let lines = analysis.text.iter().flat_map(|it| &it.lines).map(|it| place("text", &it.r#box));
    let labels = analysis.labels.iter().flat_map(|it| &it.labels).flat_map(|it| &it.instances);
    findings.chain(lines).chain(labels.map(|it| place("label", &it.r#box))).flatten().collect()
}
