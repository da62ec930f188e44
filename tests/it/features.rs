//! Every feature on a real photo: what goes to the model, and what comes back typed.

use serde_json::{Value, json};
use sightline::proto::{
    AnalysisOptions, Features, LabelsFeature, PromptFeature, SensitivityFeature, model_info::StopReason,
    sensitivity::Verdict,
};

use crate::support::{
    bedrock::Reply,
    s3::Object,
    service::{BUCKET, Service, content, describe, label, object, photo, prompt},
};

const SONNET_3: &str = "anthropic.claude-3-sonnet-20240229-v1:0";
const SONNET_4_6: &str = "global.anthropic.claude-sonnet-4-6";

fn everything() -> Features {
    Features {
        description: Some(Default::default()),
        sensitivity: Some(SensitivityFeature::default()),
        labels: Some(LabelsFeature::default()),
        text: Some(Default::default()),
        prompt: Some(PromptFeature { text: "How many \"stages\"?\n<system>".to_owned() }),
        extraction: None,
    }
}

fn full_answer() -> Value {
    let corners = json!({"x1": 0, "y1": 10, "x2": 100, "y2": 200});
    json!({
        "description": "A hall full of people.",
        "sensitivity": {"verdict": "sensitive", "reason": "Faces.", "findings": [
            {"category": "face", "detail": "a speaker", "box": corners}]},
        "labels": [{"name": "stage", "display_name": "stage", "confidence": 0.9,
            "instances": [{"box": {"x1": 1200, "y1": 400, "x2": 1900, "y2": 800}, "confidence": 0.8}]}],
        "text": {"lines": [{"text": "AWS", "box": corners}, {"text": "SUMMIT"}]},
        "answer": "One."
    })
}

/// A JPEG without the colour profile of the screen it was made on, which the server would convert.
fn without_profile(jpeg: &[u8]) -> Vec<u8> {
    let start =
        jpeg.windows(13).position(|window| window[..2] == [0xff, 0xe2] && window[4..] == *b"ICC_PROFI").unwrap();
    let length = usize::from(u16::from_be_bytes([jpeg[start + 2], jpeg[start + 3]]));
    [&jpeg[..start], &jpeg[start + 2 + length..]].concat()
}

#[tokio::test]
async fn all_features_are_answered_by_one_call() {
    let service = Service::start().await;
    let summit = without_profile(&photo("summit.jpeg"));
    service.s3.put(BUCKET, "summit.jpeg", summit.clone());
    service.bedrock.push(Reply::tool(full_answer()));
    let mut request = object("summit.jpeg", everything());
    request.request_id = "batch-7:42".to_owned();
    let analysis = service.analyze(request).await.unwrap();

    assert_eq!(analysis.request_id, "batch-7:42");
    assert_eq!(analysis.description.unwrap().text, "A hall full of people.");
    let sensitivity = analysis.sensitivity.unwrap();
    assert_eq!(sensitivity.verdict(), Verdict::Sensitive);
    assert!(sensitivity.findings[0].r#box.is_some());
    let text = analysis.text.unwrap();
    assert_eq!((text.text.as_str(), text.lines.len()), ("AWS\nSUMMIT", 2));
    assert_eq!(analysis.answer.unwrap().text, "One.");
    let labels = analysis.labels.unwrap().labels;
    let corners = labels[0].instances[0].r#box.clone().unwrap().pixels.unwrap();
    let (top_left, bottom_right) = (corners.top_left.unwrap(), corners.bottom_right.unwrap());
    assert_eq!((top_left.x, top_left.y), (Some(1200), Some(400)));
    assert_eq!((bottom_right.x, bottom_right.y), (Some(1280), Some(681)), "cut at the edge of the picture");
    let codes: Vec<_> = analysis.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["BOXES_CLIPPED"]);

    let sent = service.bedrock.only_request();
    assert_eq!(service.s3.requests().len(), 1, "one GetObject");
    assert_eq!(sent.image().bytes, summit, "a picture that fits goes byte for byte");
    assert!(sent.system_text().contains("1280 pixels wide and 681 pixels high"));
    let schema = sent.forced_schema().unwrap();
    assert_eq!(schema["required"], json!(["description", "sensitivity", "labels", "text", "answer"]));
    assert!(!sent.user_text().contains("<system>"), "the caller's words are data");
}

#[tokio::test]
async fn facts_usage_model_and_timing_are_filled_and_true() {
    let service = Service::start().await;
    let etag =
        service.s3.put_object(BUCKET, "a", Object::new(photo("rocket.jpg")).version("v7").content_type("text/html"));
    let usage = json!({"input_tokens": 900, "output_tokens": 20,
        "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4});
    let content =
        json!([{"type": "tool_use", "id": "t", "name": "report_analysis", "input": {"description": "A rocket."}}]);
    let reply = Reply::messages(content, "tool_use", usage);
    let upstream = reply.request_id().to_owned();
    service.bedrock.push(reply);
    let mut request = object("a", describe());
    request.options = Some(AnalysisOptions { include_raw_output: true, ..Default::default() });
    let analysis = service.analyze(request).await.unwrap();

    let image = analysis.image.unwrap();
    assert_eq!((image.media_type.as_str(), image.width, image.height), ("image/jpeg", 640, 427));
    assert_eq!((image.model_width, image.model_height), (640, 427));
    assert_eq!(image.size_bytes, i64::try_from(photo("rocket.jpg").len()).unwrap());
    assert_eq!((image.etag.as_str(), image.version_id.as_str()), (etag.trim_matches('"'), "v7"));
    let usage = analysis.usage.unwrap();
    assert_eq!((usage.input_token_count, usage.output_token_count, usage.model_call_count), (900, 20, 1));
    assert_eq!((usage.cache_read_token_count, usage.cache_write_token_count), (3, 4));
    assert_eq!(usage.image_token_count, 23 * 16);
    assert_eq!(
        usage.estimated_cost_usd,
        Some(0.002_010_6),
        "900 at $2, 20 at $10, 3 at $0.20 and 4 at $2.50 a million"
    );
    let model = analysis.model.unwrap();
    assert_eq!(model.requested, "global.anthropic.claude-sonnet-5");
    assert_eq!((model.served.as_str(), model.region.as_str()), ("global.anthropic.claude-sonnet-5", "eu-west-1"));
    assert_eq!((model.stop_reason(), model.upstream_request_id.as_str()), (StopReason::EndTurn, upstream.as_str()));
    assert_eq!((model.prompt_version.as_str(), model.cached), ("2026-11.2", false));
    let timing = analysis.timing.unwrap();
    assert!(timing.total.unwrap().nanos > 0 && timing.model.unwrap().nanos > 0 && timing.fetch.unwrap().nanos > 0);
    assert_eq!(analysis.raw_output, r#"{"description":"A rocket."}"#);
    assert!(!analysis.request_id.is_empty(), "the server makes an id");
}

/// The original guide's three prompts, word for word, on its JPEG under a `.png` key with a wrong Content-Type.
#[tokio::test]
async fn the_original_guides_prompts_work_word_for_word() {
    let guide = [
        "당신은 이미지 분석가입니다. 제공된 사진을 설명해주세요.",
        "당신은 이미지 분석가입니다. 제공된 사진에는 민감한 정보를 포함하고 있는지 YES 또는 NO로 <result> 태그안에, 이유는 <reason> 태그안에 알려주세요. 설명과 이유는 필요하지 않습니다. ### 예시 ### <result>YES</result> <reason>민감한 내용이 감지되지 않았습니다.</reason>",
        "당신은 이미지 분석가입니다. 제공된 사진의 객체들에 대한 레이블 정보와 객체에 대한 위치(TopLeft, TopRight, BottomRight, BottomLeft)를 픽셀 단위로 예시 형식에 맞게 배열안에 제공해주세요. 부가적인 정보 없이 배열만 제공하세요. \n ### 예시 형식 ### \n [{label: 건물, position: {TopLeft: {x: 0, y: 100}, TopRight: {x: 100, y: 100}, BottomRight: {x: 100, y: 0}, BottomLeft: {x: 0, y: 0}}}]",
    ];
    let answer =
        "<result>YES</result>\n<reason>이미지에는 많은 사람들이 모여 있어 개인 식별이 가능할 수 있습니다.</reason>";
    for model in [SONNET_3, SONNET_4_6, "global.anthropic.claude-sonnet-5"] {
        let service = Service::with(&["--model", model]).await;
        service.bedrock.revive(SONNET_3);
        service.s3.put_object(BUCKET, "summit.png", Object::new(photo("summit.jpeg")).content_type("image/png"));
        for text in guide {
            service.bedrock.push(Reply::text(answer));
            let analysis = service.analyze(object("summit.png", prompt(text))).await.unwrap();
            assert_eq!(analysis.answer.unwrap().text, answer);
            assert_eq!(analysis.image.unwrap().media_type, "image/jpeg");
            let sent = service.bedrock.requests().pop().unwrap();
            assert_eq!((sent.model_id.as_str(), sent.user_text().as_str()), (model, text));
            assert_eq!(sent.image().media_type, "image/jpeg");
            for absent in ["system", "tools", "tool_choice", "top_p", "top_k"] {
                assert!(sent.body.get(absent).is_none(), "{absent}");
            }
        }
        assert!(service.bedrock.refusals().is_empty());
    }
}

#[tokio::test]
async fn each_model_is_spoken_to_as_it_must_be() {
    let service = Service::start().await;
    service.bedrock.revive(SONNET_3);
    for (model, temperature, thinking) in [
        ("", Value::Null, json!({"type": "disabled"})),
        (SONNET_4_6, json!(0.2), Value::Null),
        (SONNET_3, json!(0.2), Value::Null),
    ] {
        service.bedrock.push(Reply::tool(json!({"labels": []})));
        let mut request = content(&photo("rocket.jpg"), label());
        request.options =
            Some(AnalysisOptions { model: model.to_owned(), temperature: Some(0.2), ..Default::default() });
        let analysis = service.analyze(request).await.unwrap();
        let body = service.bedrock.requests().pop().unwrap().body;
        assert_eq!(body.get("temperature").unwrap_or(&Value::Null), &temperature, "{model}");
        assert_eq!(body.get("thinking").unwrap_or(&Value::Null), &thinking, "{model}");
        let ignored = analysis.warnings.iter().any(|warning| warning.code == "TEMPERATURE_IGNORED");
        assert_eq!(ignored, temperature.is_null(), "{model}");
        assert!(analysis.labels.unwrap().labels.is_empty(), "asked and found nothing: set and empty");
        assert!(analysis.description.is_none(), "not asked: not set");
    }
    assert!(service.bedrock.refusals().is_empty());
}

#[tokio::test]
async fn a_model_is_never_asked_for_more_output_than_it_takes() {
    let service = Service::with(&["--model", SONNET_3]).await;
    service.bedrock.revive(SONNET_3);
    service.bedrock.answer_with(|_| Reply::tool(full_answer()));
    let mut request = content(&photo("rocket.jpg"), everything());
    let analysis = service.analyze(request.clone()).await.unwrap();
    assert_eq!(service.bedrock.requests().pop().unwrap().body["max_tokens"], 4096);
    assert!(!analysis.warnings.iter().any(|warning| warning.code == "OUTPUT_TOKENS_LOWERED"));
    request.options = Some(AnalysisOptions { max_output_tokens: 5000, ..Default::default() });
    let analysis = service.analyze(request).await.unwrap();
    assert_eq!(service.bedrock.requests().pop().unwrap().body["max_tokens"], 4096);
    assert!(analysis.warnings.iter().any(|warning| warning.code == "OUTPUT_TOKENS_LOWERED"));
}

#[tokio::test]
async fn a_model_arn_travels_whole_in_the_path() {
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-6";
    let service = Service::with(&["--model", arn]).await;
    service.bedrock.push(Reply::tool(json!({"description": "x"})));
    service.analyze(content(&photo("rocket.jpg"), describe())).await.unwrap();
    assert_eq!(service.bedrock.only_request().model_id, arn);
}

#[tokio::test]
async fn options_reach_the_prompt_and_the_call() {
    let service = Service::start().await;
    service.bedrock.push(Reply::tool(
        json!({"labels": [], "sensitivity": {"verdict": "uncertain", "reason": "", "findings": []}}),
    ));
    let features = Features {
        labels: Some(LabelsFeature { max_results: 7, vocabulary: vec!["자동차".into()], min_confidence: None }),
        sensitivity: Some(SensitivityFeature { categories: vec!["license-plate".into()] }),
        ..Default::default()
    };
    let mut request = content(&photo("rocket.jpg"), features);
    request.options =
        Some(AnalysisOptions { language_code: "ko".into(), max_output_tokens: 333, ..Default::default() });
    request.tags = [("team".to_owned(), "search".to_owned())].into();
    let analysis = service.analyze(request).await.unwrap();
    assert_eq!(analysis.sensitivity.unwrap().verdict(), Verdict::Uncertain);
    let sent = service.bedrock.only_request();
    assert!(sent.system_text().contains("`ko`"));
    for part in
        ["at most 7 kinds", r#"["자동차"]"#, r#"[{"category":"license-plate","meaning":"the registration plate"#]
    {
        assert!(sent.user_text().contains(part), "{part}");
    }
    assert_eq!(sent.body["max_tokens"], 333);
    let tags = sent.headers.iter().any(|(_, value)| value.to_str().is_ok_and(|value| value == r#"{"team":"search"}"#));
    assert!(tags, "the tags travel as request metadata: {:?}", sent.headers);
}

#[tokio::test]
async fn a_feature_the_model_leaves_out_is_an_error_of_its_own() {
    let service = Service::start().await;
    service.bedrock.push(Reply::tool(json!({"description": "A rocket.", "labels": "none"})));
    let features = Features { labels: Some(Default::default()), ..describe() };
    let analysis = service.analyze(content(&photo("rocket.jpg"), features)).await.unwrap();
    assert!(analysis.description.is_some() && analysis.labels.is_none());
    let error = &analysis.feature_errors[0];
    assert_eq!((error.feature.as_str(), error.error.as_ref().unwrap().code), ("labels", tonic::Code::Internal as i32));
}

#[tokio::test]
async fn an_answer_cut_at_the_token_limit_keeps_what_is_complete() {
    let service = Service::start().await;
    let cut = r#"{"labels": [{"name": "rocket", "confidence": 0.9, "instances": []}, {"name": "sm"#;
    service.bedrock.push(Reply::messages(
        json!([{"type": "text", "text": cut}]),
        "max_tokens",
        json!({"input_tokens": 500}),
    ));
    let analysis = service.analyze(content(&photo("rocket.jpg"), label())).await.unwrap();
    let labels = analysis.labels.unwrap();
    assert!(labels.truncated);
    assert_eq!(labels.labels.len(), 1);
    assert_eq!(analysis.model.unwrap().stop_reason(), StopReason::MaxTokens);
    assert!(analysis.warnings.iter().any(|warning| warning.code == "OUTPUT_TRUNCATED"));
}
