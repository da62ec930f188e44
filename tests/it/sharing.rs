//! Never pay twice: equal requests share one model call while it is in flight, and its result while it is kept.

use serde_json::json;
use sightline::proto::{AnalysisOptions, AnalyzeImageRequest, CacheMode, Features, LabelsFeature};
use tokio::net::TcpStream;
use tonic::Code;

use crate::support::{
    bedrock::{Gate, InvokeRequest, Reply},
    images::{Format, Scene},
    many::{Collected, analysis_of, config, features, inline, item},
    models::{
        SONNET_4_6, about, about_picture, answer, assert_answers, everything, extract_colour, model_of, scene, to,
        usage_of, with,
    },
    service::{BUCKET, Service, analyze_within, assert_error, content, describe, label, object, prompt},
    sharing::{CACHE, assert_free, assert_paid, gated, keeping, mode},
};

#[tokio::test]
async fn a_hundred_equal_requests_make_one_call() {
    let (service, gate) = gated().await;
    service.s3.put(BUCKET, "picture", scene().encode(Format::Png));
    let request = |number: usize| {
        let mut request = object("picture", everything());
        request.request_id = format!("request-{number}");
        request
    };
    let calls: Vec<_> = (0..100).map(|number| service.begin(request(number))).collect();
    service.bedrock.received(1).await;
    service.s3.received(100).await;
    service.settled().await;
    gate.open();
    let mut paid = 0;
    for (number, call) in calls.into_iter().enumerate() {
        let analysis = call.await.expect("no panic").expect("an answer");
        assert_answers(&analysis, &everything(), &scene(), "shared");
        assert_eq!(analysis.request_id, format!("request-{number}"), "each has its own id");
        assert!(!analysis.image.as_ref().expect("facts").etag.is_empty());
        match usage_of(&analysis).model_call_count {
            0 => assert_free(&analysis),
            calls => {
                assert_paid(&analysis, calls);
                paid += calls;
            }
        }
    }
    assert_eq!((paid, service.bedrock.requests().len()), (1, 1));
    assert_eq!(service.bedrock.abandoned_so_far(), 0);
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_end_the_call_for_the_others() {
    let (service, gate) = gated().await;
    let first = service.begin(about(describe()));
    service.bedrock.received(1).await;
    let second = service.begin(about(describe()));
    service.settled().await;
    first.abort();
    service.settled().await;
    assert_eq!(service.bedrock.abandoned_so_far(), 0);
    gate.open();
    let analysis = second.await.expect("no panic").expect("an answer");
    assert_paid(&analysis, 1);
    assert_eq!(service.bedrock.requests().len(), 1);
}

#[tokio::test]
async fn when_all_have_left_the_call_is_ended() {
    let (service, _gate) = gated().await;
    let first = service.begin(about(describe()));
    service.bedrock.received(1).await;
    let second = service.begin(about(describe()));
    service.settled().await;
    for call in [first, second] {
        assert_eq!(service.bedrock.abandoned_so_far(), 0);
        call.abort();
    }
    service.bedrock.abandoned(1).await;
    // And the next one asks anew.
    let third = service.begin(about(describe()));
    service.bedrock.received(2).await;
    third.abort();
}

/// The deadline of one is not the deadline of another.
#[tokio::test]
async fn a_short_deadline_ends_one_callers_wait_and_not_the_call() {
    let (service, gate) = gated().await;
    let connection = TcpStream::connect(service.running.address).await.unwrap();
    let first = tokio::spawn(analyze_within(connection, 4000, about(describe())));
    service.bedrock.received(1).await;
    let patient = service.begin(about(describe()));
    assert_error(first.await.expect("no panic"), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    gate.open();
    patient.await.expect("no panic").expect("an answer");
    assert_eq!((service.bedrock.requests().len(), service.bedrock.abandoned_so_far()), (1, 0));
}

#[tokio::test]
async fn a_kept_result_costs_nothing_wherever_the_picture_lies() {
    let service = keeping().await;
    let file = scene().encode(Format::Png);
    service.s3.put(BUCKET, "one", file.clone());
    service.s3.put(BUCKET, "two", file.clone());
    let first = service.analyze(object("one", everything())).await.expect("an answer");
    assert_paid(&first, 1);
    for mut request in [object("two", everything()), content(&file, everything()), to("default", about(everything()))] {
        request.tags = [("team".to_owned(), "search".to_owned())].into();
        let again = service.analyze(request).await.expect("an answer");
        assert_free(&again);
        assert_answers(&again, &everything(), &scene(), "kept");
        assert_eq!((&again.labels, &again.description), (&first.labels, &first.description));
        assert_eq!(model_of(&again).upstream_request_id, model_of(&first).upstream_request_id);
        assert_ne!(again.request_id, first.request_id);
        let time = again.timing.expect("times").model.unwrap_or_default();
        assert_eq!((time.seconds, time.nanos), (0, 0), "no time in the model");
    }
    assert_eq!(
        (service.bedrock.requests().len(), service.s3.requests().len()),
        (1, 2),
        "S3 says that it is still there"
    );
}

/// The model's own answer is kept for whoever asks for it.
#[tokio::test]
async fn raw_output_is_given_to_those_who_want_it() {
    let service = keeping().await;
    let raw = || with(about(describe()), AnalysisOptions { include_raw_output: true, ..AnalysisOptions::default() });
    let plain = service.analyze(about(describe())).await.expect("an answer");
    assert_eq!(plain.raw_output, "");
    let kept = service.analyze(raw()).await.expect("an answer");
    assert_free(&kept);
    assert!(kept.raw_output.contains("A blue rectangle."));
}

#[tokio::test]
async fn what_differs_in_any_way_that_counts_is_asked_anew() {
    let service = keeping().await;
    let labels = |labels: LabelsFeature| about(Features { labels: Some(labels), ..Features::default() });
    let option = |options: AnalysisOptions| with(about(label()), options);
    let default = AnalysisOptions::default;
    let requests = [
        about(label()),
        about_picture(&Scene::new(641, 400), label()),
        content(&scene().encode(Format::WebP), label()),
        about(describe()),
        about(everything()),
        about(prompt("Which colour?")),
        about(prompt("Which shape?")),
        about(extract_colour()),
        labels(LabelsFeature { max_results: 7, ..LabelsFeature::default() }),
        labels(LabelsFeature { min_confidence: Some(0.5), ..LabelsFeature::default() }),
        labels(LabelsFeature { vocabulary: vec!["rectangle".to_owned()], ..LabelsFeature::default() }),
        to(SONNET_4_6, about(label())),
        option(AnalysisOptions { language_code: "ko".to_owned(), ..default() }),
        option(AnalysisOptions { max_output_tokens: 999, ..default() }),
        to(SONNET_4_6, option(AnalysisOptions { temperature: Some(0.5), ..default() })),
    ];
    for round in 0..2 {
        for (index, request) in requests.iter().enumerate() {
            let analysis = service.analyze(request.clone()).await.expect("an answer");
            assert_eq!(model_of(&analysis).cached, round == 1, "request {index}");
        }
        assert_eq!(service.bedrock.requests().len(), requests.len());
    }
}

/// A model that says how often it was asked.
fn numbered(service: &Service) {
    let count = std::sync::atomic::AtomicUsize::new(0);
    service.bedrock.answer_with(move |_: &InvokeRequest| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::tool(json!({"description": format!("answer {number}")}))
    });
}

async fn described(service: &Service, request: AnalyzeImageRequest) -> String {
    service.analyze(request).await.expect("an answer").description.expect("a description").text
}

#[tokio::test]
async fn a_caller_decides_how_the_cache_is_used() {
    let service = keeping().await;
    numbered(&service);
    for (cache_mode, expected) in [
        (CacheMode::Off, "answer 0"),
        (CacheMode::Unspecified, "answer 1"),
        (CacheMode::ReadWrite, "answer 1"),
        (CacheMode::Off, "answer 2"),
        (CacheMode::ReadWrite, "answer 1"),
        (CacheMode::Refresh, "answer 3"),
        (CacheMode::ReadWrite, "answer 3"),
    ] {
        let found = described(&service, mode(about(describe()), cache_mode)).await;
        assert_eq!(found, expected, "{cache_mode:?}");
    }
}

#[tokio::test]
async fn a_result_is_kept_for_as_long_as_the_server_is_told() {
    let service = Service::with(&["--cache-bytes", "16MiB", "--cache-ttl", "1ms"]).await;
    numbered(&service);
    let first = described(&service, about(describe())).await;
    // Nothing but time makes a result old.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_ne!(described(&service, about(describe())).await, first);
}

#[tokio::test]
async fn without_a_cache_nothing_is_shared() {
    let (service, gate) = (Service::start().await, Gate::default());
    let held = gate.clone();
    service.bedrock.answer_with(move |request| answer(request).behind(&held));
    let calls = [service.begin(about(describe())), service.begin(about(describe()))];
    service.bedrock.in_progress().is(2).await;
    gate.open();
    for call in calls {
        assert_paid(&call.await.expect("no panic").expect("an answer"), 1);
    }
}

#[tokio::test]
async fn what_failed_or_is_incomplete_is_not_kept() {
    let service = Service::with(&["--cache-bytes", "16MiB", "--max-model-attempts", "1"]).await;
    let both = || about(Features { labels: label().labels, ..describe() });
    for reply in [Reply::validation("wrong"), Reply::refusal(), Reply::error(408, "ModelTimeoutException", "")] {
        service.bedrock.push(reply);
        service.analyze(both()).await.expect_err("a failure");
    }
    for _ in 0..2 {
        service.bedrock.push(Reply::tool(json!({"description": "A blue rectangle."})));
    }
    let partial = service.analyze(both()).await.expect("a part");
    assert_eq!(partial.feature_errors.len(), 1);
    service.bedrock.answer_with(answer);
    let whole = service.analyze(both()).await.expect("an answer");
    assert_paid(&whole, 1);
    assert_eq!(whole.feature_errors, []);
}

/// Those who wait when the call fails: each is told, and nobody asks again for them.
#[tokio::test]
async fn a_failure_is_shared_too() {
    let (service, gate) = (Service::with(&CACHE).await, Gate::default());
    service.bedrock.push(Reply::refusal().behind(&gate));
    let calls: Vec<_> = (0..5).map(|_| service.begin(about(describe()))).collect();
    service.bedrock.received(1).await;
    service.settled().await;
    gate.open();
    for call in calls {
        assert_error(call.await.expect("no panic"), Code::FailedPrecondition, "MODEL_REFUSED");
    }
    assert_eq!(service.bedrock.requests().len(), 1);
}

/// The same picture twice in a stream, and once before it.
#[tokio::test]
async fn items_of_streams_share_with_each_other_and_with_calls() {
    let service = keeping().await;
    let file = scene().encode(Format::Png);
    let stream = || {
        let mut requests = vec![config(features(describe()))];
        requests.extend(["a", "b", "c"].map(|id| item(inline(id, &file))));
        requests
    };
    let collected: Collected = service.many(stream()).await;
    let total = collected.summary().total_usage.as_ref().expect("usage").model_call_count;
    assert_eq!((total, service.bedrock.requests().len()), (1, 1));
    for id in ["a", "b", "c"] {
        assert_answers(analysis_of(collected.of(id)), &describe(), &scene(), id);
    }
    assert_free(&service.analyze(about(describe())).await.expect("an answer"));
    let again = service.many(stream()).await;
    assert_eq!(again.summary().total_usage.as_ref().expect("usage").model_call_count, 0);
}

/// Checking first costs nothing and keeps nothing.
#[tokio::test]
async fn validating_neither_reads_nor_writes_the_cache() {
    let service = keeping().await;
    let validate = || AnalyzeImageRequest { validate_only: true, ..about(describe()) };
    let before = service.analyze(validate()).await.expect("facts");
    assert!(before.description.is_none());
    assert_paid(&service.analyze(about(describe())).await.expect("an answer"), 1);
    let after = service.analyze(validate()).await.expect("facts");
    assert_eq!((after.description, after.model, after.usage), (None, None, before.usage));
}
