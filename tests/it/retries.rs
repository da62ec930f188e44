//! The one owner of retries: what is asked again and what is not, what bounds it, and what a caller is told when it was in
//! vain.

use std::time::{Duration, Instant};

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::support::{
    bedrock::Reply,
    models::{NOVA, SONNET_5, about, answer, assert_answers, scene, to, usage_of},
    service::{Details, Service, assert_error, describe},
};

/// Models that nobody answers for.
const ALONE: &str = "[models.claude-sonnet-5]\nfallbacks = []\n[models.nova-pro]\nfallbacks = []\n";

#[tokio::test]
async fn what_may_help_is_asked_again_and_counted() {
    for model in [SONNET_5, NOVA] {
        for reply in [
            Reply::throttled(),
            Reply::unavailable(),
            Reply::error(500, "InternalServerException", "busy"),
            Reply::error(429, "ModelNotReadyException", "starting"),
            Reply::model_error(500),
            Reply::model_error(503),
        ] {
            let service = Service::with_models(ALONE, &[]).await;
            service.bedrock.push(reply.clone());
            service.bedrock.push(reply.clone());
            service.bedrock.answer_with(answer);
            let analysis = service.analyze(to(model, about(describe()))).await;
            let analysis = analysis.unwrap_or_else(|status| panic!("{model} {reply:?}: {status:?}"));
            assert_answers(&analysis, &describe(), &scene(), model);
            assert_eq!(usage_of(&analysis).model_call_count, 3);
            let backoff = analysis.timing.expect("times").backoff.expect("a time");
            assert!(backoff.seconds > 0 || backoff.nanos > 0, "a pause lies between");
        }
    }
}

/// What the model has worked on may have been paid for, and what is wrong stays wrong.
#[tokio::test]
async fn what_may_be_paid_already_or_cannot_help_is_not_asked_again() {
    for model in [SONNET_5, NOVA] {
        let service = Service::with_models(ALONE, &[]).await;
        let replies = [
            Reply::error(408, "ModelTimeoutException", "too long"),
            Reply::error(504, "GatewayTimeoutException", "the gateway waited long enough"),
            Reply::cut(),
            Reply::model_error(400),
            Reply::validation("something is wrong"),
            Reply::denied(),
            Reply::error(400, "ServiceQuotaExceededException", "tokens per day"),
            Reply::refusal(),
        ];
        for (calls, reply) in (1..).zip(replies) {
            service.bedrock.push(reply.clone());
            service.analyze(to(model, about(describe()))).await.expect_err("a failure");
            assert_eq!(service.bedrock.requests().len(), calls, "{model}: {reply:?}");
        }
    }
}

fn retry_info(status: &Status) -> Duration {
    let info: pb::RetryInfo = Details::of(status).get("RetryInfo").expect("RetryInfo");
    let delay = info.retry_delay.expect("a delay");
    Duration::new(delay.seconds as u64, delay.nanos as u32)
}

/// Throttled for good: a client's library and a client's code are told the same.
#[tokio::test]
async fn throttled_callers_are_told_when_to_come_back() {
    let service = Service::with_models(ALONE, &["--max-model-attempts", "1"]).await;
    let mut advice = Vec::new();
    for model in [SONNET_5, SONNET_5, SONNET_5, NOVA] {
        service.bedrock.push(Reply::throttled());
        let outcome = service.analyze(to(model, about(describe()))).await;
        let (status, details) = assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
        assert!(details.get::<pb::QuotaFailure>("QuotaFailure").is_some());
        let delay = retry_info(&status);
        let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("the trailer").to_str().expect("text");
        assert_eq!(pushback, delay.as_millis().to_string());
        assert!((Duration::from_secs(1)..=Duration::from_secs(60)).contains(&delay), "{delay:?}");
        advice.push(delay);
    }
    assert!(advice[..3].is_sorted(), "the longer it takes nothing, the longer the advice: {advice:?}");
    assert!(advice[3] <= advice[2], "another model has a pace of its own: {advice:?}");
    // A model that takes many calls has room again soon.
    service.bedrock.answer_with(answer);
    for _ in 0..40 {
        service.analyze(about(describe())).await.expect("an answer");
    }
    service.bedrock.push(Reply::throttled());
    let status = service.analyze(about(describe())).await.expect_err("throttled");
    assert!(retry_info(&status) < Duration::from_secs(20), "{:?}", retry_info(&status));
}

/// When everything fails, retries do not multiply the load: two a call would be 240 calls.
#[tokio::test]
async fn many_failing_calls_share_one_budget_of_retries() {
    let service = Service::with_models(ALONE, &[]).await;
    service.bedrock.answer_with(|_| Reply::throttled());
    let began = Instant::now();
    let requests = 80;
    let ask = || service.analyze(about(describe()));
    for outcome in futures_util::future::join_all((0..requests).map(|_| ask())).await {
        assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
    }
    let retries = service.bedrock.requests().len() - requests;
    let most = 20 + requests / 5 + began.elapsed().as_secs() as usize + 1;
    assert!((1..=most).contains(&retries), "{retries} retries");
}

#[tokio::test]
async fn a_model_that_fails_again_and_again_is_left_alone_and_others_are_not() {
    let service = Service::with_models(ALONE, &["--max-model-attempts", "1"]).await;
    service.bedrock.answer_with(|request| match request.model_id.as_str() {
        SONNET_5 => Reply::unavailable(),
        _ => answer(request),
    });
    for _ in 0..30 {
        let outcome = service.analyze(about(describe())).await;
        let (status, _) = assert_error(outcome, Code::Unavailable, "MODEL_UNAVAILABLE");
        assert!(retry_info(&status) >= Duration::from_secs(1));
    }
    let calls = service.bedrock.requests_to("claude-sonnet-5").len();
    assert!(calls <= 15, "{calls} calls to a model that is out of order");
    let other = service.analyze(to("claude-sonnet-4-6", about(describe()))).await.expect("another model");
    assert_answers(&other, &describe(), &scene(), "claude-sonnet-4-6");
}

/// A model that throttles works, and one that answers now and then does, too.
#[tokio::test]
async fn throttling_and_single_faults_leave_a_model_in_use() {
    let service = Service::with_models(ALONE, &["--max-model-attempts", "1"]).await;
    service.bedrock.answer_with(|_| Reply::throttled());
    for _ in 0..30 {
        service.analyze(about(describe())).await.expect_err("throttled");
    }
    assert_eq!(service.bedrock.requests().len(), 30);
    service.bedrock.answer_with(answer);
    for round in 0..30 {
        if round % 5 > 0 {
            service.bedrock.push(Reply::unavailable());
        }
        let outcome = service.analyze(about(describe())).await;
        assert_eq!(outcome.is_ok(), round % 5 == 0);
    }
    assert_eq!(service.bedrock.requests().len(), 60);
}

/// A model that is gone for good says so, also while it is left alone.
#[tokio::test]
async fn a_model_that_is_gone_keeps_its_reason() {
    let service = Service::with_models(ALONE, &["--max-model-attempts", "1"]).await;
    service.bedrock.answer_with(|_| Reply::ended());
    for _ in 0..20 {
        let outcome = service.analyze(about(describe())).await;
        assert_error(outcome, Code::FailedPrecondition, "MODEL_END_OF_LIFE");
    }
    assert!(service.bedrock.requests().len() <= 15);
}

/// A hundred callers meet a fault of a moment: all are answered.
#[tokio::test]
async fn a_fault_of_a_moment_is_outlasted() {
    let service = Service::with_models(ALONE, &["--max-model-attempts", "10"]).await;
    for _ in 0..15 {
        service.bedrock.push(Reply::unavailable());
    }
    service.bedrock.answer_with(|_| Reply::tool(json!({"description": "x"})));
    let ask = || service.analyze(about(describe()));
    let outcomes = futures_util::future::join_all((0..100).map(|_| ask())).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(service.bedrock.requests().len(), 115);
}
