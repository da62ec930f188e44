//! When a model cannot answer, the next one of the operator's catalogue does, and the caller is told; never when an answer
//! may be paid for already or another model would be told no as well.

use sightline::proto::{AnalysisOptions, ImageAnalysis, OversizePolicy};
use tonic::{Code, Status};

use crate::support::{
    bedrock::{Asks, InvokeRequest, Reply},
    images::Scene,
    models::{
        NOVA, SONNET_4_6, SONNET_5, about, about_picture, answer, assert_answers, codes, everything, model_of, scene,
        to, usage_of, warns, with,
    },
    service::{Service, assert_error, describe, label},
};

/// One model, one call each, and a fallback of another kind: another API, frame, tier and way of asking.
const TO_NOVA: &str = "[models.claude-sonnet-5]\nfallbacks = [\"nova-pro\"]\n";
const TO_SONNET_4_6: &str = "[models.claude-sonnet-5]\nfallbacks = [\"claude-sonnet-4-6\"]\n";
const ONE_CALL: [&str; 2] = ["--max-model-attempts", "1"];

/// A model that gives `reply` in place of the default model, and answers as the others.
fn instead_of_sonnet_5(reply: Reply) -> impl Fn(&InvokeRequest) -> Reply {
    move |request| if request.model_id == SONNET_5 { reply.clone() } else { answer(request) }
}

fn assert_served(analysis: &ImageAnalysis, requested: &str, served: &str) {
    let model = model_of(analysis);
    assert_eq!((model.requested.as_str(), model.served.as_str()), (requested, served));
    assert_eq!(warns(analysis, "MODEL_FALLBACK"), requested != served, "{:?}", codes(analysis));
}

fn served_models(service: &Service) -> Vec<String> {
    service.bedrock.requests().into_iter().map(|request| request.model_id).collect()
}

#[tokio::test]
async fn another_model_answers_when_the_one_that_was_asked_cannot() {
    for (file, fallback) in [(TO_NOVA, NOVA), (TO_SONNET_4_6, SONNET_4_6)] {
        for reply in [
            Reply::throttled(),
            Reply::error(400, "ServiceQuotaExceededException", "tokens per day"),
            Reply::unavailable(),
            Reply::error(500, "InternalServerException", "busy"),
            Reply::error(429, "ModelNotReadyException", "starting"),
            Reply::model_error(503),
            Reply::ended(),
            Reply::denied(),
            Reply::validation(
                "Invocation of model ID global.anthropic.claude-sonnet-5 with on-demand throughput isn\u{2019}t supported.",
            ),
        ] {
            let service = Service::with_models(file, &ONE_CALL).await;
            service.bedrock.answer_with(instead_of_sonnet_5(reply.clone()));
            let outcome = service.analyze(about(everything())).await;
            let analysis = outcome.unwrap_or_else(|status| panic!("{reply:?}: {status:?}"));
            assert_answers(&analysis, &everything(), &scene(), fallback);
            assert_served(&analysis, SONNET_5, fallback);
            assert_eq!(usage_of(&analysis).model_call_count, 2);
            assert_eq!(served_models(&service), [SONNET_5, fallback]);
            let warning = analysis.warnings.iter().find(|warning| warning.code == "MODEL_FALLBACK").expect("a warning");
            assert!(warning.message.contains(SONNET_5) && warning.message.contains(fallback), "{}", warning.message);
            assert!(service.bedrock.refusals().is_empty());
        }
    }
}

#[tokio::test]
async fn no_other_model_is_asked_after_an_answer_or_what_may_become_one() {
    let replies: [(Reply, Code, &str); 7] = [
        (Reply::refusal(), Code::FailedPrecondition, "MODEL_REFUSED"),
        (Reply::error(408, "ModelTimeoutException", "too long"), Code::Unavailable, "MODEL_UNAVAILABLE"),
        (Reply::cut(), Code::Unavailable, "MODEL_UNAVAILABLE"),
        (Reply::text("I cannot tell."), Code::Internal, "MODEL_OUTPUT_INVALID"),
        (Reply::validation("something is wrong"), Code::Internal, "MODEL_REQUEST_REJECTED"),
        (Reply::validation("Could not process image"), Code::InvalidArgument, "IMAGE_CORRUPT"),
        (Reply::error(403, "ExpiredTokenException", "expired"), Code::FailedPrecondition, "CREDENTIALS_INVALID"),
    ];
    for (reply, code, reason) in replies {
        let service = Service::with_models(TO_SONNET_4_6, &ONE_CALL).await;
        service.bedrock.answer_with(instead_of_sonnet_5(reply));
        assert_error(service.analyze(about(describe())).await, code, reason);
        assert!(served_models(&service).iter().all(|model| model == SONNET_5), "{reason}");
    }
}

/// A profile of a geography is known there only.
#[tokio::test]
async fn a_fallback_by_a_bare_id_is_asked_where_the_model_that_names_it_is() {
    let file = r#"
        [models.sonnet-eu]
        extends = "claude-sonnet-5"
        id = "eu.anthropic.claude-sonnet-5"
        region = "eu-central-1"
        fallbacks = ["eu.anthropic.claude-sonnet-4-6"]
    "#;
    let service = Service::with_models(file, &[&["--model", "sonnet-eu"], &ONE_CALL[..]].concat()).await;
    service.bedrock.answer_with(|request| match request.model_id.as_str() {
        "eu.anthropic.claude-sonnet-5" => Reply::throttled(),
        _ => answer(request),
    });
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_served(&analysis, "eu.anthropic.claude-sonnet-5", "eu.anthropic.claude-sonnet-4-6");
    for request in service.bedrock.requests() {
        let signed = request.headers["authorization"].to_str().expect("text");
        assert!(signed.contains("/eu-central-1/bedrock/"), "{}: {signed}", request.model_id);
    }
}

/// Whatever tier and frame the fallback has, a box is where it is in the original.
#[tokio::test]
async fn boxes_are_right_in_the_frame_of_the_model_that_answered() {
    for (file, fallback) in [(TO_NOVA, NOVA), (TO_SONNET_4_6, SONNET_4_6)] {
        // One that only the first model sees as it is, and one that neither does.
        for scene in [Scene::new(2300, 300), Scene::new(300, 2700)] {
            let service = Service::with_models(file, &ONE_CALL).await;
            service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
            let analysis = service.analyze(about_picture(&scene, label())).await.expect("an answer");
            assert_served(&analysis, SONNET_5, fallback);
            assert_answers(&analysis, &label(), &scene, fallback);
            let sent = service.bedrock.requests().pop().expect("a request");
            let image = analysis.image.as_ref().expect("facts");
            let told = (image.model_width as u32, image.model_height as u32);
            let file = &sent.image().bytes;
            assert_eq!(crate::support::images::stored_size(file), told, "the caller is told what the model saw");
            assert_eq!((image.width, image.height), (scene.width as i32, scene.height as i32));
            assert!(warns(&analysis, "IMAGE_RESIZED"), "{fallback}: {:?}", codes(&analysis));
            assert!(service.bedrock.refusals().is_empty(), "{:?}", service.bedrock.refusals());
        }
    }
}

#[tokio::test]
async fn fallbacks_are_asked_in_order_until_one_answers() {
    let file = r#"
        [models.claude-sonnet-5]
        fallbacks = ["claude-haiku-5-5", "spare", "claude-sonnet-4-6"]
        [models.spare]
        extends = "claude-sonnet-5"
        id = "us.anthropic.claude-sonnet-5"
        fallbacks = ["claude-opus-5"]
    "#;
    let service = Service::with_models(file, &ONE_CALL).await;
    service.bedrock.answer_with(|request| match request.model_id.as_str() {
        SONNET_5 => Reply::throttled(),
        "global.anthropic.claude-haiku-5-5" => Reply::ended(),
        _ => answer(request),
    });
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_served(&analysis, SONNET_5, "us.anthropic.claude-sonnet-5");
    assert_eq!(usage_of(&analysis).model_call_count, 3);

    // The fallbacks of a fallback are not ours.
    service.bedrock.answer_with(|_| Reply::throttled());
    let outcome = service.analyze(about(describe())).await;
    let (_, details) = assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
    assert_eq!(details.info.metadata["model"], SONNET_5, "the model that was asked for is named");
    assert_eq!(details.info.metadata["model_call_count"], "4");
    assert!(service.bedrock.requests_to("claude-opus-5").is_empty());
}

/// A refusal of the fallback's is an answer, and final.
#[tokio::test]
async fn what_a_fallback_says_counts() {
    let file = "[models.claude-sonnet-5]\nfallbacks = [\"claude-sonnet-4-6\", \"nova-pro\"]\n";
    let service = Service::with_models(file, &ONE_CALL).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
    service.bedrock.push(Reply::throttled());
    service.bedrock.push(Reply::refusal());
    assert_error(service.analyze(about(describe())).await, Code::FailedPrecondition, "MODEL_REFUSED");
    assert_eq!(served_models(&service), [SONNET_5, SONNET_4_6]);
}

/// The operator's catalogue decides who steps in, whatever callers may name.
#[tokio::test]
async fn a_fallback_need_not_be_one_that_callers_may_name() {
    let flags = ["--max-model-attempts", "1", "--allowed-models", "claude-sonnet-5"];
    let service = Service::with_models(TO_SONNET_4_6, &flags).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_served(&analysis, SONNET_5, SONNET_4_6);
    assert_error(
        service.analyze(to("claude-sonnet-4-6", about(describe()))).await,
        Code::InvalidArgument,
        "MODEL_UNKNOWN",
    );
}

/// The model that the original guide used has ended: whoever still names it is answered by its heir.
#[tokio::test]
async fn a_model_that_has_ended_has_an_heir() {
    let old = "anthropic.claude-3-sonnet-20240229-v1:0";
    let service = Service::start().await;
    service.bedrock.answer_with(answer);
    let analysis = service.analyze(to(old, about(everything()))).await.expect("an answer");
    assert_served(&analysis, old, SONNET_4_6);
    assert_answers(&analysis, &everything(), &scene(), old);
    service.bedrock.revive(old);
    let analysis = service.analyze(to(old, about(everything()))).await.expect("an answer");
    assert_served(&analysis, old, old);
    assert!(warns(&analysis, "MODEL_ENDED"));
}

/// A caller who allows no reducing is not given a model that would need it.
#[tokio::test]
async fn a_picture_that_must_not_be_reduced_is_given_to_no_smaller_eye() {
    let service = Service::with_models(TO_SONNET_4_6, &ONE_CALL).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
    let options = AnalysisOptions { oversize_policy: OversizePolicy::Reject.into(), ..AnalysisOptions::default() };
    let whole = Scene::new(1900, 1000);
    let outcome = service.analyze(with(about_picture(&whole, describe()), options.clone())).await;
    assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
    assert_eq!(served_models(&service), [SONNET_5]);
    let analysis = service.analyze(with(about(describe()), options)).await.expect("one that fits both");
    assert_served(&analysis, SONNET_5, SONNET_4_6);
}

/// A model that is left alone costs no call before its fallback answers.
#[tokio::test]
async fn a_model_that_is_out_of_order_is_passed_over() {
    let service = Service::with_models(TO_SONNET_4_6, &ONE_CALL).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::unavailable()));
    for _ in 0..30 {
        let analysis = service.analyze(about(describe())).await.expect("an answer");
        assert_served(&analysis, SONNET_5, SONNET_4_6);
    }
    let calls = service.bedrock.requests_to("claude-sonnet-5").len();
    assert!((1..=15).contains(&calls), "{calls} calls to a model that is out of order");
    assert_eq!(service.bedrock.requests_to("claude-sonnet-4-6").len(), 30);
}

/// What another model said is not kept: the one that was asked for is asked again when it is back.
#[tokio::test]
async fn an_answer_of_a_fallback_is_not_kept() {
    let service = Service::with_models(TO_SONNET_4_6, &["--max-model-attempts", "1", "--cache-bytes", "1MiB"]).await;
    service.bedrock.push(Reply::throttled());
    service.bedrock.answer_with(answer);
    let first = service.analyze(about(describe())).await.expect("an answer");
    let second = service.analyze(about(describe())).await.expect("an answer");
    assert_served(&first, SONNET_5, SONNET_4_6);
    assert_served(&second, SONNET_5, SONNET_5);
    assert!(!model_of(&second).cached);
}

/// The fallback is asked in its own best way, and what it refuses is left out as ever.
#[tokio::test]
async fn a_fallback_is_spoken_to_as_it_must_be() {
    let service = Service::with_models(TO_SONNET_4_6, &ONE_CALL).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
    let options = AnalysisOptions { temperature: Some(0.5), ..AnalysisOptions::default() };
    let analysis = service.analyze(with(about(describe()), options)).await.expect("an answer");
    let sent = service.bedrock.requests().pop().expect("a request");
    assert_eq!((sent.asks(), sent.temperature(), sent.thinking()), (Asks::NativeSchema, Some(0.5), None));
    assert!(!warns(&analysis, "TEMPERATURE_IGNORED"), "the model that answered took it");
}

/// Each has its own prompt: the size of the picture and the frame of the boxes are those of the model that is asked.
#[tokio::test]
async fn each_model_is_told_its_own_frame() -> Result<(), Status> {
    let service = Service::with_models(TO_NOVA, &ONE_CALL).await;
    service.bedrock.answer_with(instead_of_sonnet_5(Reply::throttled()));
    service.analyze(about(label())).await?;
    let [first, second] = <[InvokeRequest; 2]>::try_from(service.bedrock.requests()).expect("two requests");
    assert!(first.system_text().contains("640") && !first.system_text().contains("1000"));
    assert!(second.system_text().contains("1000") && !second.system_text().contains("640"));
    Ok(())
}
