//! Values for a caller's own schema: checked before, adapted to what models take, held against the caller's own words
//! afterwards, and asked for again with what is wrong.

use serde_json::{Value, json};
use sightline::proto::{AnalyzeImageRequest, ExtractionFeature, Features, ImageAnalysis};
use tonic::Code;
use tonic_types::pb;

use crate::support::{
    bedrock::{InvokeRequest, Reply},
    images::Format,
    many::{analysis_of, assert_failed, config, features, inline, item},
    models::{
        NOVA, SONNET_4_6, SONNET_5, about, answer, extract_colour, extraction, from_proto, scene, to, usage_of, warns,
    },
    service::{Service, assert_error, describe},
};

fn asking(schema: Value) -> AnalyzeImageRequest {
    about(Features { extraction: Some(extraction(schema)), ..Features::default() })
}

fn values(analysis: &ImageAnalysis) -> Value {
    let extraction = analysis.extraction.as_ref().expect("an extraction");
    from_proto(extraction.values.as_ref().expect("values"))
}

/// A receipt: lists, bounds, patterns, references and fixed words.
fn receipt() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "Receipt",
        "properties": {
            "shop": {"type": "string", "minLength": 1, "maxLength": 40},
            "currency": {"enum": ["EUR", "USD", "KRW"]},
            "date": {"type": ["string", "null"], "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
            "lines": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/line"}},
        },
        "required": ["shop", "currency", "lines"],
        "$defs": {"line": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "price": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["name", "price"],
        }},
    })
}

fn good() -> Value {
    json!({"shop": "Blue", "currency": "KRW", "date": "2026-11-22", "lines": [{"name": "tea", "price": 4.5}]})
}

fn bad() -> Value {
    json!({"shop": "Blue", "currency": "GBP", "date": "today", "lines": [{"name": "tea", "price": -1}]})
}

fn extracted(values: Value) -> Reply {
    Reply::tool(json!({"extraction": values}))
}

#[tokio::test]
async fn values_that_satisfy_the_schema_come_back_typed() {
    let service = Service::start().await;
    for model in [SONNET_5, SONNET_4_6, NOVA, "claude-opus-5-5"] {
        service.bedrock.push(extracted(good()));
        let analysis = service.analyze(to(model, asking(receipt()))).await.expect("an answer");
        assert_eq!(values(&analysis), good(), "{model}");
        assert_eq!(usage_of(&analysis).model_call_count, 1);
        assert!(analysis.feature_errors.is_empty() && analysis.description.is_none());
    }
    assert!(service.bedrock.refusals().is_empty(), "{:?}", service.bedrock.refusals());
}

/// Every keyword of a schema, wherever it stands; names of properties are none.
fn keywords(schema: &Value, found: &mut Vec<String>) {
    let Some(members) = schema.as_object() else { return };
    for (keyword, value) in members {
        found.push(keyword.clone());
        match keyword.as_str() {
            "properties" => value.as_object().into_iter().flatten().for_each(|(_, child)| keywords(child, found)),
            "items" => keywords(value, found),
            "anyOf" | "allOf" => value.as_array().into_iter().flatten().for_each(|child| keywords(child, found)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_model_is_shown_what_models_take_of_the_schema() {
    let service = Service::start().await;
    service.bedrock.push(extracted(good()));
    let features = Features { extraction: Some(extraction(receipt())), ..describe() };
    service.bedrock.push(extracted(good()));
    service.analyze(about(features)).await.expect("an answer");
    let sent = service.bedrock.requests().swap_remove(0);
    let shown = sent.schema().expect("a schema");
    let own = &shown["properties"]["extraction"];
    let mut found = Vec::new();
    keywords(own, &mut found);
    for keyword in ["$ref", "$defs", "$schema", "minLength", "maxItems", "pattern", "exclusiveMinimum"] {
        assert!(!found.iter().any(|name| name == keyword), "{keyword}: {own}");
    }
    let line = &own["properties"]["lines"]["items"];
    assert_eq!(line["properties"]["price"]["type"], "number", "the reference is resolved: {own}");
    assert_eq!(line["additionalProperties"], false);
    assert_eq!(own["properties"]["currency"]["enum"], json!(["EUR", "USD", "KRW"]));
    assert!(sent.user_text().contains("The rectangle in the picture."), "the instruction is passed on");
}

#[tokio::test]
async fn violations_are_shown_to_the_model_which_mends_them() {
    for model in [SONNET_5, SONNET_4_6, NOVA] {
        let service = Service::start().await;
        service.bedrock.push(extracted(bad()));
        service.bedrock.push(extracted(good()));
        let analysis = service.analyze(to(model, asking(receipt()))).await.expect("an answer");
        assert_eq!(values(&analysis), good(), "{model}");
        assert!(warns(&analysis, "MODEL_ASKED_AGAIN"));
        let [_, second] = <[InvokeRequest; 2]>::try_from(service.bedrock.requests()).expect("two requests");
        assert!(second.turns[1].texts.concat().contains("GBP"), "it sees what it wrote");
        let complaint = second.turns[2].texts.concat();
        for place in ["/currency", "/date", "/lines/0/price"] {
            assert!(complaint.contains(place), "{place}: {complaint}");
        }
    }
}

#[tokio::test]
async fn values_that_stay_wrong_are_not_given_out() {
    let service = Service::start().await;
    service.bedrock.answer_with(|request| {
        let mut answer = json!({"extraction": bad()});
        if request.user_text().contains("`description`") {
            answer["description"] = "A receipt.".into();
        }
        Reply::tool(answer)
    });
    let outcome = service.analyze(asking(receipt())).await;
    let (_, details) = assert_error(outcome, Code::Internal, "MODEL_OUTPUT_INVALID");
    assert_eq!(details.info.metadata["model_call_count"], "2");

    let features = Features { extraction: Some(extraction(receipt())), ..describe() };
    let analysis = service.analyze(about(features)).await.expect("the description");
    assert_eq!(analysis.description.expect("a description").text, "A receipt.");
    assert_eq!((analysis.feature_errors.len(), analysis.feature_errors[0].feature.as_str()), (1, "extraction"));
    assert!(analysis.extraction.is_none());
    assert_eq!(analysis.usage.expect("usage").model_call_count, 2);
}

/// What models write instead of what they should, and what can be read all the same.
#[tokio::test]
async fn values_are_found_in_the_shapes_that_models_give_them() {
    let service = Service::start().await;
    for reply in [
        Reply::tool(json!({"extraction": good().to_string()})),
        Reply::text(&format!("Here it is:\n```json\n{}\n```", json!({"extraction": good()}))),
        Reply::text(&good().to_string()),
        extracted(json!({"shop": "Blue", "currency": "KRW", "date": "2026-11-22",
            "lines": [{"name": "tea", "price": "4.5"}]})),
    ] {
        service.bedrock.push(reply.clone());
        let analysis = service.analyze(asking(receipt())).await;
        let analysis = analysis.unwrap_or_else(|status| panic!("{reply:?}: {status:?}"));
        assert_eq!((values(&analysis), usage_of(&analysis).model_call_count), (good(), 1), "{reply:?}");
    }
}

fn problems(details: &crate::support::service::Details) -> Vec<(String, String)> {
    let violations = details.get::<pb::BadRequest>("BadRequest").expect("BadRequest").field_violations;
    violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

#[tokio::test]
async fn schemas_that_cannot_be_used_are_refused_before_anything_is_paid() {
    let service = Service::start().await;
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let deep = (0..17).fold(json!({"type": "string"}), |inner, _| object(json!({"a": inner})));
    let bomb = json!({
        "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {
            "a": object(json!({"x": {"$ref": "#/$defs/b"}, "y": {"$ref": "#/$defs/b"}, "z": {"$ref": "#/$defs/b"}})),
            "b": object(json!({"x": {"$ref": "#/$defs/c"}, "y": {"$ref": "#/$defs/c"}, "z": {"$ref": "#/$defs/c"}})),
            "c": object(json!({"x": {"$ref": "#/$defs/d"}, "y": {"$ref": "#/$defs/d"}, "z": {"$ref": "#/$defs/d"}})),
            "d": object(json!({"x": {"$ref": "#/$defs/e"}, "y": {"$ref": "#/$defs/e"}, "z": {"$ref": "#/$defs/e"}})),
            "e": object(json!({"x": {"$ref": "#/$defs/f"}, "y": {"$ref": "#/$defs/f"}, "z": {"$ref": "#/$defs/f"}})),
            "f": object(json!({"x": {"$ref": "#/$defs/g"}, "y": {"$ref": "#/$defs/g"}, "z": {"$ref": "#/$defs/g"}})),
            "g": object(json!({"x": {"$ref": "#/$defs/h"}, "y": {"$ref": "#/$defs/h"}, "z": {"$ref": "#/$defs/h"}})),
            "h": object(json!({"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}})),
        },
    });
    for (schema, expected) in [
        (json!({}), ""),
        (json!({"type": "array", "items": {"type": "string"}}), "object"),
        (object(json!({"a": {"type": "texts"}})), "/properties/a"),
        (object(json!({"a": {"$ref": "https://example.com/schema.json"}})), "/properties/a"),
        (object(json!({"a": {"$ref": "#/$defs/missing"}})), "/properties/a"),
        (json!({"type": "object", "properties": {"a": {"$ref": "#"}}}), ""),
        (object(json!({"a": {"type": "string", "pattern": "("}})), "/properties/a"),
        (object(json!({"a": {"type": "string", "pattern": "(?=a)b"}})), "/properties/a"),
        (object(json!({"a": {"type": "string", "description": "x".repeat(20_000)}})), ""),
        (deep, ""),
        (bomb, ""),
    ] {
        let outcome = service.analyze(asking(schema.clone())).await;
        let (_, details) = assert_error(outcome, Code::InvalidArgument, "FIELD_INVALID");
        let problems = problems(&details);
        assert!(problems.iter().all(|(field, _)| field == "features.extraction.json_schema"), "{problems:?}");
        assert!(problems.iter().any(|(_, said)| said.contains(expected)), "{expected}: {problems:?}");
    }
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn every_problem_of_a_schema_is_said_at_once() {
    let service = Service::start().await;
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "texts"}, "b": {"minimum": "low"}, "c": {"$ref": "https://example.com/c"}}});
    let mut request = asking(schema);
    let extraction = request.features.as_mut().and_then(|features| features.extraction.as_mut()).expect("extraction");
    extraction.instruction = "x".repeat(5000);
    let (_, details) = assert_error(service.analyze(request).await, Code::InvalidArgument, "FIELD_INVALID");
    let problems = problems(&details);
    for name in ["/properties/a", "/properties/b", "/properties/c"] {
        assert!(problems.iter().any(|(_, said)| said.contains(name)), "{name}: {problems:?}");
    }
    assert!(problems.iter().any(|(field, _)| field == "features.extraction.instruction"), "{problems:?}");
    let mut empty = about(Features { extraction: Some(ExtractionFeature::default()), ..Features::default() });
    empty.request_id = "with spaces".to_owned();
    let (_, details) = assert_error(service.analyze(empty).await, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(self::problems(&details).len(), 2);
}

#[tokio::test]
async fn streams_extract_too() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer);
    let file = scene().encode(Format::Png);
    let bad = Features { extraction: Some(extraction(json!({"type": "array"}))), ..Features::default() };
    let mut stranger = inline("b", &file);
    stranger.features = Some(bad);
    let requests = vec![config(features(extract_colour())), item(inline("a", &file)), item(stranger)];
    let collected = service.many(requests).await;
    assert_eq!(values(analysis_of(collected.of("a"))), json!({"colour": "blue", "count": 1.0}));
    assert_failed(collected.of("b"), Code::InvalidArgument, "FIELD_INVALID");
}
