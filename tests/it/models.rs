//! Every model of the catalogue against a service as strict as the real one: it is never refused, answers every set of
//! features, and its boxes come out right whatever frame it writes them in.

use sightline::proto::{AnalysisOptions, GetCapabilitiesRequest, ModelCapabilities};

use crate::support::{
    bedrock::{Api, Asks, Facts, MODELS, Thinking},
    images::{Format, Scene},
    models::{
        SONNET_4_6, SONNET_5, about, answer, assert_answers, everything, feature_sets, model_of, scene, to, usage_of,
        warns, with,
    },
    service::{Service, content, describe, label, prompt},
};

/// The models that a server offers, each once.
async fn offered(service: &Service) -> Vec<ModelCapabilities> {
    let found = service.client().get_capabilities(GetCapabilitiesRequest {}).await.expect("capabilities").into_inner();
    let mut models = found.models;
    models.sort_by(|a, b| a.model_id.cmp(&b.model_id));
    models.dedup_by(|a, b| a.model_id == b.model_id);
    models
}

/// A service in the days when all models were there.
async fn service() -> Service {
    let service = Service::start().await;
    service.bedrock.revive("claude-3-sonnet");
    service.bedrock.answer_with(answer);
    service
}

fn facts_of(model: &ModelCapabilities) -> &'static Facts {
    Facts::of(&model.model_id).unwrap_or_else(|| panic!("{} is no model that Bedrock has", model.model_id))
}

#[tokio::test]
async fn the_catalogue_has_every_model_and_sees_with_its_eyes() {
    let service = service().await;
    let models = offered(&service).await;
    for facts in &MODELS {
        assert!(models.iter().any(|model| facts_of(model).name == facts.name), "{} is missing", facts.name);
    }
    for model in &models {
        let sees = (model.max_edge as u32, model.max_visual_tokens as u32);
        match facts_of(model).sees {
            Some(rule) => assert_eq!(sees, rule, "{}", model.model_id),
            None => assert!(sees.0 > 0 && sees.1 == 0, "{} publishes no rule: {sees:?}", model.model_id),
        }
    }
}

#[tokio::test]
async fn every_model_answers_every_set_of_features() {
    let service = service().await;
    for model in offered(&service).await {
        let id = model.model_id.as_str();
        for features in feature_sets() {
            let before = service.bedrock.requests().len();
            let analysis = service.analyze(to(id, about(features.clone()))).await;
            let analysis = analysis.unwrap_or_else(|status| panic!("{id} {features:?}: {status:?}"));
            assert_answers(&analysis, &features, &scene(), id);
            assert_eq!((model_of(&analysis).served.as_str(), usage_of(&analysis).model_call_count), (id, 1), "{id}");
            let sent = service.bedrock.requests().split_off(before);
            assert_eq!((sent.len(), sent[0].model_id.as_str()), (1, id));
        }
    }
    assert_eq!(service.bedrock.refusals(), [""; 0], "the catalogue knows what each model refuses");
}

#[tokio::test]
async fn boxes_are_right_in_every_models_frame() {
    let service = service().await;
    // Longer than any model sees, and longer than some do.
    let scenes = [Scene::new(2600, 400), Scene::new(300, 1900)].map(|scene| (scene, scene.encode(Format::Png)));
    for model in offered(&service).await {
        for (scene, file) in &scenes {
            let request = to(&model.model_id, content(file, label()));
            let analysis = service.analyze(request).await.expect("an answer");
            let what = format!("{} {}x{}", model.model_id, scene.width, scene.height);
            assert_answers(&analysis, &label(), scene, &what);
            let image = analysis.image.as_ref().expect("facts");
            let seen = (image.model_width as u32, image.model_height as u32);
            assert_eq!(facts_of(&model).seen_size(seen), seen, "{what}: the model sees what it is sent");
            let changed = analysis.warnings.iter().filter(|warning| warning.code.starts_with("BOXES")).count();
            assert_eq!(changed, 0, "{what}: {:?}", analysis.warnings);
        }
    }
    assert!(service.bedrock.refusals().is_empty());
}

#[tokio::test]
async fn tokens_are_counted_as_bedrock_counts_them() {
    let service = service().await;
    for model in offered(&service).await {
        let analysis = service.analyze(to(&model.model_id, about(everything()))).await.expect("an answer");
        let sent = service.bedrock.requests().pop().expect("a request");
        let tokens = facts_of(&model).sees.map_or(0, |_| facts_of(&model).image_tokens(sent.image()));
        assert_eq!(usage_of(&analysis).image_token_count as u64, tokens, "{}", model.model_id);
        assert_eq!(usage_of(&analysis).input_token_count as u64, sent.input_tokens(), "{}", model.model_id);
    }
}

#[tokio::test]
async fn no_model_is_asked_for_more_than_it_takes() {
    let service = service().await;
    for model in offered(&service).await {
        let options = AnalysisOptions {
            model: model.model_id.clone(),
            max_output_tokens: 100_000_000,
            temperature: Some(0.3),
            ..AnalysisOptions::default()
        };
        let request = with(about(describe()), options);
        match service.analyze(request).await {
            Ok(analysis) => assert!(warns(&analysis, "OUTPUT_TOKENS_LOWERED"), "{}", model.model_id),
            // A server may also hold callers to a maximum of its own.
            Err(status) => assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}"),
        }
    }
    assert_eq!(service.bedrock.refusals(), [""; 0]);
}

#[tokio::test]
async fn thinking_does_not_eat_the_answers_tokens() {
    let service = service().await;
    for model in offered(&service).await {
        let options =
            AnalysisOptions { model: model.model_id.clone(), max_output_tokens: 500, ..AnalysisOptions::default() };
        service.analyze(with(about(describe()), options)).await.expect("an answer");
        let sent = service.bedrock.requests().pop().expect("a request");
        let (thinking, effort, tokens) = (sent.thinking(), sent.effort(), sent.max_tokens());
        let said = (thinking, effort, tokens);
        match facts_of(&model).thinking {
            Thinking::Unknown | Thinking::Off => assert_eq!(said, (None, None, 500), "{}", model.model_id),
            Thinking::On => assert_eq!(said, (Some("disabled"), None, 500), "{}", model.model_id),
            Thinking::Always => assert_eq!(said, (None, Some("low"), 500 + 4096), "{}", model.model_id),
        }
    }
}

/// Each model is asked in the best way that it takes: a caller's own schema and a free prompt are the exceptions.
#[tokio::test]
async fn every_model_is_asked_in_the_best_way_it_takes() {
    let service = service().await;
    for model in offered(&service).await {
        let facts = facts_of(&model);
        let asked = async |features| {
            service.analyze(to(&model.model_id, about(features))).await.expect("an answer");
            service.bedrock.requests().pop().expect("a request")
        };
        let sent = asked(everything()).await;
        let is_claude = facts.name.starts_with("claude");
        assert_eq!(sent.api, if is_claude { Api::Invoke } else { Api::Converse }, "{}", model.model_id);
        if is_claude {
            let best = match (facts.native_schema, facts.forced_tool) {
                (true, _) => Asks::NativeSchema,
                (false, true) => Asks::ForcedTool,
                (false, false) => Asks::AutoTool,
            };
            assert_eq!(sent.asks(), best, "{}", model.model_id);
        } else {
            assert_ne!(sent.asks(), Asks::InWords, "{}", model.model_id);
        }
        assert_ne!(asked(crate::support::models::extract_colour()).await.asks(), Asks::NativeSchema);
        let free = asked(prompt("Which colour is it?")).await;
        assert_eq!((free.asks(), free.user_text().as_str()), (Asks::InWords, "Which colour is it?"));
    }
}

#[tokio::test]
async fn an_id_behind_another_prefix_or_in_an_arn_is_the_model_it_names() {
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-6";
    for (id, native) in [(arn, true), ("us.anthropic.claude-sonnet-5-20260630-v1:0", false)] {
        let service = Service::with(&["--model", id]).await;
        service.bedrock.answer_with(answer);
        let analysis = service.analyze(about(everything())).await.expect("an answer");
        assert_answers(&analysis, &everything(), &scene(), id);
        assert!(!warns(&analysis, "MODEL_UNFAMILIAR"));
        let sent = service.bedrock.only_request();
        assert_eq!((sent.model_id.as_str(), sent.asks() == Asks::NativeSchema), (id, native));
        assert!(service.bedrock.refusals().is_empty());
    }
}

/// What a careful question to a stranger is: nothing that any model has been known to refuse.
#[tokio::test]
async fn an_unknown_model_is_asked_carefully_and_the_caller_is_told() {
    for (id, api) in [("global.anthropic.claude-mythos-7", Api::Invoke), ("us.acme.seer-9-v1:0", Api::Converse)] {
        let service = Service::with(&["--model", id]).await;
        service.bedrock.answer_with(answer);
        let analysis = service.analyze(about(everything())).await.expect("an answer");
        assert_answers(&analysis, &everything(), &scene(), id);
        assert!(warns(&analysis, "MODEL_UNFAMILIAR"), "{:?}", analysis.warnings);
        assert_eq!(usage_of(&analysis).estimated_cost_usd, None);
        let sent = service.bedrock.only_request();
        assert_eq!((sent.api, sent.asks()), (api, Asks::AutoTool), "{id}");
        // A Claude thinks, whatever it is told, and must not do so inside its answer's tokens.
        let (effort, most) = if api == Api::Invoke { (Some("low"), 16_384) } else { (None, 4096) };
        assert_eq!((sent.temperature(), sent.thinking(), sent.effort()), (None, None, effort), "{id}");
        assert!(sent.max_tokens() <= most, "{id}");
        assert_eq!(sent.max_tokens() > 4096 + 4000, api == Api::Invoke, "{id}: {}", sent.max_tokens());
    }
}

#[tokio::test]
async fn aliases_names_and_ids_mean_the_same_model() {
    let service = service().await;
    for name in ["", "default", "claude-sonnet-5", SONNET_5] {
        let analysis = service.analyze(to(name, about(describe()))).await.expect("an answer");
        assert_eq!(model_of(&analysis).served, SONNET_5, "{name}");
    }
    let file = r#"
        [aliases]
        default = "claude-sonnet-4-6"
        counter = "till"
        [models.till]
        extends = "claude-sonnet-5"
        id = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abcdef012345"
    "#;
    let service = Service::with_models(file, &[]).await;
    service.bedrock.answer_with(answer);
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_eq!(model_of(&analysis).served, SONNET_4_6);
    let analysis = service.analyze(to("counter", about(describe()))).await.expect("an answer");
    assert!(model_of(&analysis).served.ends_with("application-inference-profile/abcdef012345"));
    let sent = service.bedrock.requests().pop().expect("a request");
    assert_eq!((sent.thinking(), sent.asks()), (Some("disabled"), Asks::ForcedTool), "it is spoken to as its base is");
}
