//! What the service refuses is left out: the answer still comes, the refused part is not sent to that model again, and
//! every call is counted.

use sightline::proto::{AnalysisOptions, Features, ImageAnalysis};

use crate::support::{
    bedrock::{Asks, Part, Reply},
    models::{
        NOVA, SONNET_4_6, SONNET_5, about, answer, assert_answers, codes, everything, extract_colour, model_of, scene,
        to, usage_of, warns, with,
    },
    service::{Service, assert_error, describe},
};

const OPUS_4_6: &str = "global.anthropic.claude-opus-4-6-v1";
const OPUS_5_5: &str = "global.anthropic.claude-opus-5-5";

async fn service() -> Service {
    let service = Service::start().await;
    service.bedrock.answer_with(answer);
    service
}

/// How each request asked for the answer, oldest first.
fn asks(service: &Service) -> Vec<Asks> {
    service.bedrock.requests().iter().map(|request| request.asks()).collect()
}

async fn ask(service: &Service, model: &str, features: Features) -> ImageAnalysis {
    let analysis = service.analyze(to(model, about(features.clone()))).await.expect("an answer");
    assert_answers(&analysis, &features, &scene(), model);
    assert_eq!(model_of(&analysis).served, model);
    analysis
}

#[tokio::test]
async fn each_way_of_asking_gives_way_to_the_next_and_is_not_tried_again() {
    for (model, part, expected) in [
        (SONNET_4_6, Part::NativeSchema, [Asks::NativeSchema, Asks::ForcedTool]),
        (SONNET_5, Part::ForcedTool, [Asks::ForcedTool, Asks::AutoTool]),
        (SONNET_5, Part::Tools, [Asks::ForcedTool, Asks::InWords]),
        (OPUS_5_5, Part::Tools, [Asks::AutoTool, Asks::InWords]),
        (NOVA, Part::ForcedTool, [Asks::ForcedTool, Asks::AutoTool]),
        (NOVA, Part::Tools, [Asks::ForcedTool, Asks::InWords]),
    ] {
        for message in part.messages() {
            let service = service().await;
            service.bedrock.refuse(model, part, message);
            let first = ask(&service, model, everything()).await;
            assert_eq!(asks(&service), expected, "{model} {message}");
            assert_eq!(usage_of(&first).model_call_count, 2, "a refused call is a call: {message}");
            assert_eq!(codes(&first), [""; 0], "callers need not know: {message}");
            let second = ask(&service, model, everything()).await;
            assert_eq!(asks(&service)[2..], expected[1..], "{model} {message}");
            assert_eq!(usage_of(&second).model_call_count, 1);
        }
    }
}

#[tokio::test]
async fn words_are_left_when_everything_else_is_refused() {
    let service = service().await;
    for part in [Part::NativeSchema, Part::ForcedTool, Part::Tools] {
        service.bedrock.refuse(SONNET_4_6, part, part.messages()[0]);
    }
    let analysis = ask(&service, SONNET_4_6, everything()).await;
    assert_eq!(asks(&service), [Asks::NativeSchema, Asks::ForcedTool, Asks::AutoTool, Asks::InWords]);
    assert_eq!(usage_of(&analysis).model_call_count, 4);
    let last = service.bedrock.requests().pop().expect("a request");
    let words = [last.system_text(), last.user_text()].concat();
    for name in ["\"description\"", "\"sensitivity\"", "\"labels\"", "\"text\"", "\"answer\""] {
        assert!(words.contains(name), "the schema is shown: {name}");
    }
    ask(&service, SONNET_4_6, extract_colour()).await;
    assert_eq!(asks(&service)[4..], [Asks::InWords]);
}

#[tokio::test]
async fn what_one_model_refuses_is_still_sent_to_others() {
    let service = service().await;
    service.bedrock.refuse(SONNET_4_6, Part::NativeSchema, Part::NativeSchema.messages()[0]);
    ask(&service, SONNET_4_6, describe()).await;
    ask(&service, OPUS_4_6, describe()).await;
    assert_eq!(asks(&service), [Asks::NativeSchema, Asks::ForcedTool, Asks::NativeSchema]);
}

/// A schema that is too complex says nothing of the next one.
#[tokio::test]
async fn what_one_schema_is_refused_for_is_not_held_against_the_next() {
    let service = service().await;
    let message = "The model returned the following errors: output_config.format.schema: Schema is too complex. Try \
                   simplifying the schema.";
    service.bedrock.push(Reply::validation(message));
    ask(&service, SONNET_4_6, everything()).await;
    ask(&service, SONNET_4_6, describe()).await;
    assert_eq!(asks(&service), [Asks::NativeSchema, Asks::ForcedTool, Asks::NativeSchema]);
}

#[tokio::test]
async fn a_callers_own_schema_is_never_compiled_by_the_service() {
    let service = service().await;
    ask(&service, SONNET_4_6, extract_colour()).await;
    ask(&service, SONNET_4_6, Features { extraction: extract_colour().extraction, ..everything() }).await;
    assert_eq!(asks(&service), [Asks::ForcedTool, Asks::ForcedTool]);
}

#[tokio::test]
async fn a_refused_temperature_is_left_out_and_said() {
    for message in Part::Temperature.messages() {
        for (asked, code) in [(Some(0.7), "TEMPERATURE_IGNORED"), (None, "PARAMETER_REFUSED")] {
            for model in [SONNET_4_6, NOVA] {
                let service = service().await;
                service.bedrock.refuse(model, Part::Temperature, message);
                for calls in [2, 1] {
                    let options =
                        AnalysisOptions { model: model.to_owned(), temperature: asked, ..AnalysisOptions::default() };
                    let analysis = service.analyze(with(about(describe()), options)).await.expect("an answer");
                    assert_eq!((codes(&analysis), usage_of(&analysis).model_call_count), (vec![code], calls));
                }
                let sent: Vec<_> = service.bedrock.requests().iter().map(|request| request.temperature()).collect();
                let first = f64::from(asked.unwrap_or_default());
                assert!(sent[0].is_some_and(|sent| (sent - first).abs() < 1e-6), "{sent:?}");
                assert_eq!(sent[1..], [None, None], "{model} {message}");
            }
        }
    }
}

/// A model that will not switch off its thinking cannot be forced to use a tool either: one refusal leads to the next.
#[tokio::test]
async fn a_model_that_will_not_stop_thinking_is_asked_without_force() {
    let service = service().await;
    service.bedrock.refuse(SONNET_5, Part::Thinking, Part::Thinking.messages()[1]);
    let analysis = ask(&service, SONNET_5, describe()).await;
    assert_eq!(asks(&service), [Asks::ForcedTool, Asks::ForcedTool, Asks::ForcedTool, Asks::AutoTool]);
    let sent = service.bedrock.requests();
    let said: Vec<_> = sent.iter().map(|request| (request.thinking().is_some(), request.effort().is_some())).collect();
    assert_eq!(said, [(true, false), (false, true), (false, false), (false, false)]);
    assert_eq!((codes(&analysis), usage_of(&analysis).model_call_count), (vec!["PARAMETER_REFUSED"], 4));
    assert!(sent[3].max_tokens() > sent[0].max_tokens(), "what it thinks must not eat the answer's tokens");
    ask(&service, SONNET_5, describe()).await;
    assert_eq!(asks(&service)[4..], [Asks::AutoTool]);
}

/// Where thinking cannot be switched off it is kept short, which needs no warning.
#[tokio::test]
async fn a_model_that_thinks_on_is_asked_to_keep_it_short() {
    let service = service().await;
    service.bedrock.answer_with(|request| match request.thinking() {
        Some(_) => Reply::validation("\"thinking.type.disabled\" is not supported for this model."),
        None => Reply::tool(serde_json::json!({"description": "A rectangle."})),
    });
    let analysis = ask(&service, SONNET_5, describe()).await;
    assert_eq!(codes(&analysis), Vec::<&str>::new());
    let sent = service.bedrock.requests();
    let last = sent.last().unwrap();
    assert_eq!(last.effort(), Some("low"));
    assert!(last.max_tokens() > sent[0].max_tokens(), "what it thinks must not eat the answer's tokens");
}

#[tokio::test]
async fn refused_effort_is_left_out_and_said() {
    let service = service().await;
    service.bedrock.refuse(OPUS_5_5, Part::Thinking, Part::Thinking.messages()[0]);
    let analysis = ask(&service, OPUS_5_5, describe()).await;
    assert_eq!((codes(&analysis), usage_of(&analysis).model_call_count), (vec!["PARAMETER_REFUSED"], 2));
    let efforts: Vec<_> = service.bedrock.requests().iter().map(|request| request.effort().is_some()).collect();
    assert_eq!(efforts, [true, false]);
}

/// A prompt that is all that is asked has no schema, and nothing about one is sent.
#[tokio::test]
async fn a_refused_schema_does_not_concern_a_prompt_alone() {
    let service = service().await;
    for part in [Part::NativeSchema, Part::ForcedTool, Part::Tools] {
        service.bedrock.refuse(SONNET_4_6, part, part.messages()[0]);
    }
    let analysis = ask(&service, SONNET_4_6, crate::support::service::prompt("Which colour?")).await;
    assert_eq!(usage_of(&analysis).model_call_count, 1);
}

/// Words that name a part which the request did not hold are no reason to ask again without end.
#[tokio::test]
async fn a_service_that_refuses_what_was_not_sent_is_not_asked_for_ever() {
    for model in [SONNET_5, SONNET_4_6, OPUS_5_5, NOVA] {
        for part in [Part::NativeSchema, Part::ForcedTool, Part::Tools, Part::Temperature, Part::Thinking] {
            for message in part.messages() {
                let service = Service::start().await;
                service.bedrock.answer_with(|_| Reply::validation(message));
                let outcome = service.analyze(to(model, about(describe()))).await;
                assert_error(outcome, tonic::Code::Internal, "MODEL_REQUEST_REJECTED");
                let calls = service.bedrock.requests().len();
                assert!(calls <= 5, "{model} {message}: {calls} calls");
            }
        }
    }
}

/// A hundred questions at once meet the refusal at once: each drops the part, and the next hundred know.
#[tokio::test]
async fn many_questions_may_meet_a_refusal_together() {
    let service = service().await;
    service.bedrock.refuse(SONNET_4_6, Part::NativeSchema, Part::NativeSchema.messages()[0]);
    let all = || futures_util::future::join_all((0..20).map(|_| ask(&service, SONNET_4_6, describe())));
    for analysis in all().await {
        assert!((1..=2).contains(&usage_of(&analysis).model_call_count));
        assert!(!warns(&analysis, "MODEL_FALLBACK"));
    }
    let before = service.bedrock.requests().len();
    all().await;
    assert_eq!(service.bedrock.requests().len(), before + 20);
}
