//! What the tests of the model layer share: catalogue files, questions, a model that answers everything, and what to look
//! for in an analysis.

use serde_json::{Value, json};
use sightline::proto::{
    AnalysisOptions, AnalyzeImageRequest, BoundingBox, ExtractionFeature, Features, ImageAnalysis, ModelInfo,
    PromptFeature, Usage,
};

use super::{
    bedrock::{Asks, InvokeRequest, Reply},
    images::{Format, Rect, Scene},
    service::{Service, content},
};

pub const SONNET_5: &str = "global.anthropic.claude-sonnet-5";
pub const SONNET_4_6: &str = "global.anthropic.claude-sonnet-4-6";
pub const NOVA: &str = "us.amazon.nova-pro-v1:0";

impl Service {
    /// With a catalogue file of the operator's and flags of `sightline serve`.
    pub async fn with_models(file: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("models.toml");
        std::fs::write(&path, file).expect("a file");
        let path = path.to_str().expect("a path in UTF-8");
        Self::with(&[&["--models", path], flags].concat()).await
    }
}

/// The picture that most tests ask about.
pub fn scene() -> Scene {
    Scene::new(640, 400)
}

/// A question about [`scene`].
pub fn about(features: Features) -> AnalyzeImageRequest {
    about_picture(&scene(), features)
}

/// A question about another picture.
pub fn about_picture(scene: &Scene, features: Features) -> AnalyzeImageRequest {
    content(&scene.encode(Format::Png), features)
}

/// The same question to a model, by alias, name or id.
pub fn to(model: &str, mut request: AnalyzeImageRequest) -> AnalyzeImageRequest {
    request.options.get_or_insert_default().model = model.to_owned();
    request
}

/// The same question with other options.
pub fn with(mut request: AnalyzeImageRequest, options: AnalysisOptions) -> AnalyzeImageRequest {
    request.options = Some(options);
    request
}

/// Every feature but extraction.
pub fn everything() -> Features {
    Features {
        description: Some(Default::default()),
        sensitivity: Some(Default::default()),
        labels: Some(Default::default()),
        text: Some(Default::default()),
        prompt: Some(PromptFeature { text: "Which colour is it?".to_owned() }),
        extraction: None,
    }
}

/// Asks for the values of a schema.
pub fn extraction(schema: Value) -> ExtractionFeature {
    let json_schema = match to_proto(schema).kind {
        Some(prost_types::value::Kind::StructValue(object)) => Some(object),
        _ => None,
    };
    ExtractionFeature { json_schema, instruction: "The rectangle in the picture.".to_owned() }
}

/// Asks for a colour and a count, nothing else.
pub fn extract_colour() -> Features {
    let schema = json!({
        "type": "object",
        "properties": {"colour": {"type": "string"}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    Features { extraction: Some(extraction(schema)), ..Features::default() }
}

/// Each feature alone, then all of them.
pub fn feature_sets() -> Vec<Features> {
    let all = everything();
    let none = Features::default;
    vec![
        Features { description: all.description, ..none() },
        Features { sensitivity: all.sensitivity.clone(), ..none() },
        Features { labels: all.labels.clone(), ..none() },
        Features { text: all.text, ..none() },
        Features { prompt: all.prompt.clone(), ..none() },
        extract_colour(),
        all.clone(),
        Features { extraction: extract_colour().extraction, ..all },
    ]
}

/// A model that sees the rectangle and answers whatever it is asked, in its own frame.
pub fn answer(request: &InvokeRequest) -> Reply {
    if request.asks() == Asks::InWords && request.system_text().is_empty() {
        return Reply::text("It is blue.");
    }
    let found = request.rectangle().expect("the rectangle");
    let place = json!({"x1": found.left, "y1": found.top, "x2": found.right, "y2": found.bottom});
    let mut answer = json!({
        "description": "A blue rectangle.",
        "sensitivity": {"verdict": "sensitive", "reason": "A card.", "findings": [
            {"category": "payment-card", "detail": "a card", "box": place}]},
        "labels": [{"name": "rectangle", "display_name": "rectangle", "confidence": 0.9,
            "instances": [{"box": place, "confidence": 0.8}]}],
        "text": {"lines": [{"text": "BLUE", "box": place}]},
        "answer": "It is blue.",
        "extraction": {"colour": "blue", "count": 1},
    });
    // A model that is shown a schema fills that schema.
    if let Some(properties) = request.schema().and_then(|schema| schema["properties"].as_object().cloned()) {
        answer.as_object_mut().expect("an object").retain(|name, _| properties.contains_key(name));
    }
    Reply::tool(answer)
}

/// Whether an analysis answers all of `features`, and finds the rectangle within a pixel wherever a box belongs.
pub fn assert_answers(analysis: &ImageAnalysis, features: &Features, scene: &Scene, what: &str) {
    assert!(analysis.feature_errors.is_empty(), "{what}: {:?}", analysis.feature_errors);
    assert_eq!(analysis.description.is_some(), features.description.is_some(), "{what}: description");
    assert_eq!(analysis.answer.is_some(), features.prompt.is_some(), "{what}: answer");
    let mut boxes = Vec::new();
    if let (Some(found), true) = (&analysis.sensitivity, asked(&features.sensitivity, &analysis.sensitivity, what)) {
        boxes.push(found.findings[0].r#box.clone());
    }
    if let (Some(found), true) = (&analysis.labels, asked(&features.labels, &analysis.labels, what)) {
        boxes.push(found.labels[0].instances[0].r#box.clone());
    }
    if let (Some(found), true) = (&analysis.text, asked(&features.text, &analysis.text, what)) {
        boxes.push(found.lines[0].r#box.clone());
    }
    for place in boxes {
        assert_finds(&place.expect("a box"), scene.rectangle, what);
    }
    assert_eq!(analysis.extraction.is_some(), features.extraction.is_some(), "{what}: extraction");
    if let Some(extraction) = &analysis.extraction {
        let values = from_proto(extraction.values.as_ref().expect("values"));
        assert_eq!(values, json!({"colour": "blue", "count": 1.0}), "{what}");
    }
}

fn asked<Q, A>(question: &Option<Q>, answer: &Option<A>, what: &str) -> bool {
    assert_eq!(answer.is_some(), question.is_some(), "{what}: {}", std::any::type_name::<A>());
    question.is_some()
}

/// Whether a box is the rectangle's, within a pixel.
pub fn assert_finds(place: &BoundingBox, rectangle: Rect, what: &str) {
    let truth = [rectangle.left, rectangle.top, rectangle.right, rectangle.bottom].map(|edge| edge as i32);
    let found = pixels(place);
    let is_near = found.iter().zip(truth).all(|(found, edge)| (found - edge).abs() <= 1);
    assert!(is_near, "{what}: {found:?} is not {truth:?}");
}

/// Left, top, right, bottom.
pub fn pixels(place: &BoundingBox) -> [i32; 4] {
    let corners = place.pixels.expect("pixels");
    let (top_left, bottom_right) = (corners.top_left.expect("a corner"), corners.bottom_right.expect("a corner"));
    [top_left.x, top_left.y, bottom_right.x, bottom_right.y].map(|edge| edge.expect("a number"))
}

/// The codes of the warnings, in order.
pub fn codes(analysis: &ImageAnalysis) -> Vec<&str> {
    analysis.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

/// Whether there is a warning of this code.
pub fn warns(analysis: &ImageAnalysis, code: &str) -> bool {
    codes(analysis).contains(&code)
}

/// Which model answered.
pub fn model_of(analysis: &ImageAnalysis) -> &ModelInfo {
    analysis.model.as_ref().expect("a model")
}

/// What it took.
pub fn usage_of(analysis: &ImageAnalysis) -> &Usage {
    analysis.usage.as_ref().expect("usage")
}

/// JSON as protobuf has it.
pub fn to_proto(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a number")),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.into_iter().map(to_proto).collect() })
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, to_proto(value))).collect();
            Kind::StructValue(prost_types::Struct { fields })
        }
    };
    prost_types::Value { kind: Some(kind) }
}

/// JSON of a protobuf object; all its numbers are floating.
pub fn from_proto(object: &prost_types::Struct) -> Value {
    let fields = object.fields.iter().map(|(name, value)| (name.clone(), value_from_proto(value)));
    Value::Object(fields.collect())
}

fn value_from_proto(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind.as_ref() {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(value_from_proto).collect(),
        Some(Kind::StructValue(object)) => from_proto(object),
    }
}
