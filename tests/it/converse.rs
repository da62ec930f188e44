//! Converse as the second way to a model: what travels, what comes back, and how it ends.

use serde_json::{Value, json};
use sightline::proto::{AnalysisOptions, Features, model_info::StopReason};
use tonic::Code;

use crate::support::{
    bedrock::{Api, Asks, Reply},
    images::Format,
    models::{
        NOVA, about, answer, assert_answers, everything, feature_sets, model_of, scene, to, usage_of, warns, with,
    },
    service::{Service, assert_error, content, describe, label, prompt},
};

/// Claude over Converse, in every way in which it can be asked.
const CLAUDE_OVER_CONVERSE: &str = r#"
    [models.claude-sonnet-4-6]
    api = "converse"
    [models.claude-sonnet-5]
    api = "converse"
    [models.claude-opus-5-5]
    api = "converse"
    [models.claude-haiku-4-5]
    api = "converse"
    output = ["prompted_json"]
"#;

#[tokio::test]
async fn claude_answers_over_converse_as_it_does_over_its_own_api() {
    let service = Service::with_models(CLAUDE_OVER_CONVERSE, &[]).await;
    service.bedrock.answer_with(answer);
    for (model, way) in [
        ("claude-sonnet-4-6", Asks::NativeSchema),
        ("claude-sonnet-5", Asks::ForcedTool),
        ("claude-opus-5-5", Asks::AutoTool),
        ("claude-haiku-4-5", Asks::InWords),
    ] {
        for features in feature_sets() {
            let analysis = service.analyze(to(model, about(features.clone()))).await.expect("an answer");
            assert_answers(&analysis, &features, &scene(), model);
            let sent = service.bedrock.requests().pop().expect("a request");
            assert_eq!(sent.api, Api::Converse);
            if features == everything() {
                assert_eq!(sent.asks(), way, "{model}");
            }
        }
        let sent = service.bedrock.requests_to(model).pop().expect("a request");
        assert_eq!(sent.thinking().is_some(), model == "claude-sonnet-5");
        assert_eq!(sent.effort(), (model == "claude-opus-5-5").then_some("low"));
    }
    assert_eq!(service.bedrock.refusals(), [""; 0]);
}

#[tokio::test]
async fn the_request_holds_picture_words_settings_and_tags() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer);
    for format in Format::ALL {
        let file = scene().encode(format);
        let options = AnalysisOptions {
            model: NOVA.to_owned(),
            language_code: "ko".to_owned(),
            max_output_tokens: 321,
            temperature: Some(0.2),
            ..AnalysisOptions::default()
        };
        let mut request = with(content(&file, everything()), options);
        request.tags = [("team".to_owned(), "search".to_owned())].into();
        service.analyze(request).await.expect("an answer");
        let sent = service.bedrock.requests().pop().expect("a request");
        assert_eq!(sent.image().media_type, if format == Format::Gif { "image/png" } else { format.media_type() });
        let blocks = &sent.body["messages"][0]["content"];
        assert!(blocks[0].get("image").is_some() && blocks[1].get("text").is_some(), "the picture stands first");
        assert_eq!((sent.max_tokens(), sent.tags()["team"].as_str()), (321, "search"));
        assert!(sent.temperature().is_some_and(|sent| (sent - 0.2).abs() < 1e-6));
        assert!(sent.system_text().contains("`ko`") && sent.system_text().contains("1000"));
    }
    assert!(service.bedrock.refusals().is_empty());
}

#[tokio::test]
async fn usage_counts_tokens_read_from_and_written_to_the_prompt_cache() {
    let service = Service::start().await;
    let usage = json!({"input_tokens": 700, "output_tokens": 20,
        "cache_read_input_tokens": 300, "cache_creation_input_tokens": 40});
    service.bedrock.push(Reply::messages(json!([{"type": "text", "text": "Blue."}]), "end_turn", usage));
    let analysis = service.analyze(to(NOVA, about(prompt("Which colour?")))).await.expect("an answer");
    let usage = usage_of(&analysis);
    assert_eq!((usage.input_token_count, usage.output_token_count), (700, 20));
    assert_eq!((usage.cache_read_token_count, usage.cache_write_token_count), (300, 40));
    assert!(!model_of(&analysis).upstream_request_id.is_empty());
}

#[tokio::test]
async fn refusals_and_filters_end_the_call_without_another() {
    for (stop_reason, reason) in [
        ("refusal", "MODEL_REFUSED"),
        ("guardrail_intervened", "CONTENT_FILTERED"),
        ("content_filtered", "CONTENT_FILTERED"),
    ] {
        let service = Service::start().await;
        let content = json!([{"type": "text", "text": "No."}]);
        service.bedrock.push(Reply::messages(content, stop_reason, Value::Null));
        assert_error(service.analyze(to(NOVA, about(describe()))).await, Code::FailedPrecondition, reason);
        assert_eq!(service.bedrock.requests().len(), 1, "{stop_reason}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_keeps_what_is_complete() {
    let service = Service::start().await;
    let cut = r#"{"labels": [{"name": "rocket", "confidence": 0.9, "instances": []}, {"name": "sm"#;
    service.bedrock.push(Reply::broken_off(cut));
    let analysis = service.analyze(to(NOVA, about(label()))).await.expect("an answer");
    let labels = analysis.labels.as_ref().expect("labels");
    assert!(labels.truncated && labels.labels.len() == 1);
    assert_eq!(model_of(&analysis).stop_reason(), StopReason::MaxTokens);
    assert!(warns(&analysis, "OUTPUT_TRUNCATED"));
}

/// Thoughts are no answer, and neither are words beside the tool's input.
#[tokio::test]
async fn the_answer_is_found_among_other_blocks() {
    let service = Service::start().await;
    let tool = json!({"type": "tool_use", "id": "t", "name": null, "input": {"description": "A blue rectangle."}});
    let thoughts = json!({"type": "thinking", "thinking": "{\"description\": \"A thought.\"}"});
    let words = json!({"type": "text", "text": "Here you are."});
    for model in [NOVA, ""] {
        service.bedrock.push(Reply::messages(json!([thoughts, words, tool]), "tool_use", Value::Null));
        let analysis = service.analyze(to(model, about(describe()))).await.expect("an answer");
        assert_eq!(analysis.description.expect("a description").text, "A blue rectangle.");
        let plain = json!([thoughts, {"type": "text", "text": "It is "}, {"type": "text", "text": "blue."}]);
        service.bedrock.push(Reply::messages(plain, "end_turn", Value::Null));
        let analysis = service.analyze(to(model, about(prompt("Which colour?")))).await.expect("an answer");
        assert_eq!(analysis.answer.expect("an answer").text, "It is blue.");
    }
}

#[tokio::test]
async fn errors_mean_the_same_over_both_apis() {
    let sent = "The request held: {\"secret\"}";
    for model in [NOVA, "claude-haiku-5-5"] {
        let file = "[models.nova-pro]\nfallbacks = []\n[models.claude-haiku-5-5]\nfallbacks = []\n";
        let service = Service::with_models(file, &["--max-model-attempts", "1"]).await;
        for (reply, code, reason) in [
            (Reply::error(429, "ThrottlingException", sent), Code::ResourceExhausted, "MODEL_THROTTLED"),
            (Reply::error(400, "ServiceQuotaExceededException", sent), Code::ResourceExhausted, "MODEL_THROTTLED"),
            (Reply::error(403, "AccessDeniedException", sent), Code::FailedPrecondition, "MODEL_NOT_ENABLED"),
            (Reply::ended(), Code::FailedPrecondition, "MODEL_END_OF_LIFE"),
            (Reply::error(408, "ModelTimeoutException", sent), Code::Unavailable, "MODEL_UNAVAILABLE"),
            (Reply::error(429, "ModelNotReadyException", sent), Code::Unavailable, "MODEL_UNAVAILABLE"),
            (Reply::error(500, "InternalServerException", sent), Code::Unavailable, "MODEL_UNAVAILABLE"),
            (Reply::error(503, "ServiceUnavailableException", sent), Code::Unavailable, "MODEL_UNAVAILABLE"),
            (Reply::model_error(503), Code::Unavailable, "MODEL_UNAVAILABLE"),
            (Reply::model_error(400), Code::Internal, "MODEL_REQUEST_REJECTED"),
            (Reply::validation(sent), Code::Internal, "MODEL_REQUEST_REJECTED"),
            (Reply::validation("Could not process image"), Code::InvalidArgument, "IMAGE_CORRUPT"),
            (Reply::json(200, json!({"unexpected": true})), Code::Internal, "MODEL_OUTPUT_INVALID"),
        ] {
            service.bedrock.push(reply);
            let (status, _) = assert_error(service.analyze(to(model, about(describe()))).await, code, reason);
            assert!(!String::from_utf8_lossy(status.details()).contains("secret"), "{reason}");
        }
        assert_eq!(service.bedrock.requests().len(), 13, "one call each: {model}");
    }
}

/// A model that writes its answer beside the tool, or as JSON without any.
#[tokio::test]
async fn a_model_that_ignores_the_tool_is_understood() {
    let service = Service::start().await;
    for (model, features) in [(NOVA, describe()), ("claude-opus-5-5", describe())] {
        let answer = "Sure:\n```json\n{\"description\": \"A blue rectangle.\"}\n```";
        service.bedrock.push(Reply::text(answer));
        let features: Features = features;
        let analysis = service.analyze(to(model, about(features))).await.expect("an answer");
        assert_eq!(analysis.description.expect("a description").text, "A blue rectangle.", "{model}");
    }
    assert_eq!(service.bedrock.requests().len(), 2);
}
