//! `AnalyzeMany`: settings, ids, order, limits, failures and totals.

use std::time::Instant;

use serde_json::json;
use sightline::proto::{
    AnalysisOptions, AnalyzeImageRequest, AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, FailureMode,
    Features, GetCapabilitiesRequest, ImageSource, LabelsFeature, OversizePolicy, ResultOrder, S3Object,
    image_source::Source,
};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::support::{
    bedrock::{Gate, InvokeRequest, Reply},
    images::{Format, Scene},
    many::{
        analysis_of, answer_by_number, assert_failed, config, describing, description_of, features, fields, inline,
        item, item_from, listing, number_of, picture, reason_of, status_of, stored, under,
    },
    service::{BUCKET, Details, Service, content, describe, from, label, object, prompt},
};

fn items(count: usize) -> Vec<AnalyzeManyRequest> {
    (0..count).map(|number| item(inline(&format!("item-{number}"), &picture(number)))).collect()
}

/// A good answer to every question about picture 0, which tells what was asked.
fn answer_with_what_was_asked(request: &InvokeRequest) -> Reply {
    match request.schema() {
        Some(_) => Reply::tool(json!({"description": request.model_id, "labels": []})),
        None => Reply::text(&request.user_text()),
    }
}

fn seconds(time: Option<prost_types::Duration>) -> f64 {
    let time = time.expect("a duration");
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

#[tokio::test]
async fn every_item_is_answered_once_and_the_summary_ends_the_stream() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    let began = Instant::now();
    let collected = service.many([vec![describing()], items(20)].concat()).await;
    let took = began.elapsed().as_secs_f64();

    collected.assert_whole(20);
    let mut longest: f64 = 0.0;
    let mut streams = Vec::new();
    for number in 0..20 {
        let result = collected.of(&format!("item-{number}"));
        assert_eq!(result.item_index, Some(number));
        assert_eq!(description_of(result), format!("picture {number}"));
        assert_eq!(result.resume_after, "", "only listed objects resume");
        let analysis = analysis_of(result);
        longest = longest.max(seconds(analysis.timing.as_ref().unwrap().total));
        let (stream, index) = analysis.request_id.rsplit_once(':').expect("the stream's id and the index");
        assert_eq!(index, number.to_string());
        streams.push(uuid::Uuid::parse_str(stream).expect("a UUID"));
    }
    assert!(streams.windows(2).all(|pair| pair[0] == pair[1]), "one id for the stream");
    let summary = collected.summary();
    let usage = summary.total_usage.as_ref().expect("usage");
    assert_eq!((usage.input_token_count, usage.output_token_count, usage.model_call_count), (2000, 200, 20));
    let image_tokens: i64 =
        collected.results.iter().map(|result| analysis_of(result).usage.as_ref().unwrap().image_token_count).sum();
    assert_eq!(usage.image_token_count, image_tokens);
    assert_eq!(usage.estimated_cost_usd, Some(0.006), "2000 at $2 and 200 at $10 a million");
    let elapsed = seconds(summary.elapsed);
    assert!(longest <= elapsed && elapsed <= took, "{longest} <= {elapsed} <= {took}");
}

#[tokio::test]
async fn a_stream_without_a_message_has_an_empty_summary() {
    let service = Service::start().await;
    let collected = service.many(Vec::new()).await;
    collected.assert_whole(0);
    assert_eq!(collected.summary().total_usage.as_ref().expect("usage").model_call_count, 0);
    assert!(seconds(collected.summary().elapsed) < 10.0);
    service.many(vec![describing()]).await.assert_whole(0);
}

#[tokio::test]
async fn the_config_may_be_left_out() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    let full = AnalyzeManyItem { features: Some(describe()), ..inline("full", &picture(3)) };
    let collected = service.many(vec![item(full), item(inline("bare", &picture(4)))]).await;
    collected.assert_whole(2);
    assert_eq!(description_of(collected.of("full")), "picture 3");
    let (_, details) = assert_failed(collected.of("bare"), Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(fields(&details), ["features"]);
}

#[tokio::test]
async fn an_items_own_features_and_options_replace_the_streams() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_with_what_was_asked);
    let sonnet = "global.anthropic.claude-sonnet-4-6";
    let options = |model: &str| Some(AnalysisOptions { model: model.to_owned(), ..AnalysisOptions::default() });
    let settings = AnalyzeManyConfig { options: options(sonnet), ..features(describe()) };
    let collected = service
        .many(vec![
            config(settings),
            item(inline("the stream's", &picture(0))),
            item(AnalyzeManyItem { features: Some(prompt("What is it?")), ..inline("its features", &picture(0)) }),
            item(AnalyzeManyItem { options: options(""), ..inline("its options", &picture(0)) }),
        ])
        .await;
    collected.assert_whole(3);
    assert_eq!(description_of(collected.of("the stream's")), sonnet);
    let asked = analysis_of(collected.of("its features"));
    assert_eq!(asked.answer.as_ref().unwrap().text, "What is it?");
    assert!(asked.description.is_none(), "features are replaced as a whole");
    assert_eq!(asked.model.as_ref().unwrap().requested, sonnet);
    assert_eq!(description_of(collected.of("its options")), "global.anthropic.claude-sonnet-5");
}

#[tokio::test]
async fn a_bad_config_ends_the_stream_with_every_violation() {
    let service = Service::start().await;
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let bad = AnalyzeManyConfig {
        features: Some(Features {
            labels: Some(LabelsFeature { max_results: -1, ..LabelsFeature::default() }),
            ..prompt(" ")
        }),
        options: Some(AnalysisOptions { language_code: "?".to_owned(), temperature: Some(2.0), ..Default::default() }),
        max_in_flight: -1,
        result_order: 77,
        failure_mode: 78,
        item_timeout: duration(0, 0),
    };
    let collected = service.many([vec![config(bad)], items(2)].concat()).await;
    assert!(collected.results.is_empty());
    let (_, details) = collected.assert_ends(Code::InvalidArgument, "FIELD_INVALID");
    let mut found = fields(&details);
    found.sort();
    let expected = [
        "config.failure_mode",
        "config.features.labels.max_results",
        "config.features.prompt.text",
        "config.item_timeout",
        "config.max_in_flight",
        "config.options.language_code",
        "config.options.temperature",
        "config.result_order",
    ];
    assert_eq!(found, expected);
    for time in [duration(-1, 0), duration(0, -1), duration(-1, 1), duration(i64::MIN, i32::MIN)] {
        let bad = AnalyzeManyConfig { item_timeout: time, ..features(describe()) };
        let (_, details) = service.many(vec![config(bad)]).await.assert_ends(Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(fields(&details), ["config.item_timeout"], "{time:?}");
    }
    let empty = service.many([vec![AnalyzeManyRequest::default()], items(2)].concat()).await;
    empty.assert_ends(Code::InvalidArgument, "FIELD_INVALID");
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn a_config_or_nothing_in_the_middle_is_a_failed_result() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    let first = item(AnalyzeManyItem { features: Some(describe()), ..inline("first", &picture(0)) });
    let last = item(AnalyzeManyItem { features: Some(describe()), ..inline("last", &picture(1)) });
    let collected = service.many(vec![first, describing(), AnalyzeManyRequest::default(), last]).await;
    collected.assert_whole(4);
    for index in [1, 2] {
        assert_failed(collected.at(index), Code::InvalidArgument, "FIELD_INVALID");
    }
    assert_eq!((collected.of("first").item_index, collected.of("last").item_index), (Some(0), Some(3)));
    assert_eq!(description_of(collected.of("last")), "picture 1");
}

#[tokio::test]
async fn violations_of_an_item_name_their_fields() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    let longest = "é".repeat(1024);
    let bad_object = Source::S3Object(S3Object { bucket: "x".to_owned(), ..S3Object::default() });
    let cases: Vec<(AnalyzeManyItem, &[&str])> = vec![
        (inline("", &picture(0)), &["item_id"]),
        (inline(&"x".repeat(1025), &picture(0)), &["item_id"]),
        (AnalyzeManyItem { item_id: "no image".to_owned(), ..Default::default() }, &["image"]),
        (AnalyzeManyItem { image: Some(ImageSource::default()), ..inline("no source", b"") }, &["image"]),
        (item_from("object", bad_object), &["image.s3_object.bucket", "image.s3_object.key"]),
        (
            AnalyzeManyItem {
                item_id: String::new(),
                image: None,
                features: Some(Features::default()),
                options: Some(AnalysisOptions { max_output_tokens: -1, cache_mode: 99, ..Default::default() }),
            },
            &["features", "image", "item_id", "options.cache_mode", "options.max_output_tokens"],
        ),
    ];
    let (broken, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let requests =
        [vec![describing()], broken.into_iter().map(item).collect(), vec![item(inline(&longest, &picture(7)))]];
    let collected = service.many(requests.concat()).await;
    collected.assert_whole(7);
    for (index, expected) in expected.into_iter().enumerate() {
        let result = collected.at(i64::try_from(index).unwrap());
        let (_, details) = assert_failed(result, Code::InvalidArgument, "FIELD_INVALID");
        let mut found = fields(&details);
        found.sort();
        assert_eq!(found, expected, "item {index}");
    }
    assert_eq!(description_of(collected.of(&longest)), "picture 7");
    assert_eq!(service.bedrock.requests().len(), 1, "what is invalid costs nothing");
}

#[tokio::test]
async fn an_id_is_answered_once() {
    let service = Service::start().await;
    service.put_numbered(["a.png"]);
    let twice = |id: &str| vec![item(inline(id, &picture(1))), item(inline(id, &picture(2)))];
    let requests = [vec![describing()], twice("a.png"), twice("b"), vec![listing(under("a"))], twice("b")].concat();
    let collected = service.many(requests).await;
    collected.assert_whole(7);
    for index in [0, 2] {
        assert_eq!(description_of(collected.at(index)), "picture 1", "the first one counts");
    }
    for index in [1, 3, 5, 6] {
        let (status, _) = assert_failed(collected.at(index), Code::AlreadyExists, "ITEM_ID_DUPLICATE");
        assert!(status.message().len() < 600);
    }
    assert_eq!(collected.ids_as_requested(), ["a.png", "a.png", "b", "b", "a.png", "b", "b"]);
    assert_eq!(description_of(collected.at(4)), "picture 0", "a listed key may equal an id");
}

#[tokio::test]
async fn results_come_as_completed_or_as_requested() {
    let service = Service::start().await;
    for order in [ResultOrder::Unspecified, ResultOrder::AsCompleted, ResultOrder::AsRequested] {
        let gate = Gate::default();
        let held = gate.clone();
        service.bedrock.answer_with(move |request| match number_of(request) {
            0 => answer_by_number(request).behind(&held),
            _ => answer_by_number(request),
        });
        let received = service.bedrock.received_so_far();
        let mut talk = service.talk().await;
        talk.send(config(AnalyzeManyConfig { result_order: order.into(), ..features(describe()) }));
        talk.send_all(items(6));
        service.bedrock.received(received + 6).await;
        let before = match order {
            ResultOrder::AsRequested => Vec::new(),
            _ => {
                let mut before = Vec::new();
                for _ in 0..5 {
                    before.push(talk.next().await.item_index.unwrap());
                }
                before
            }
        };
        assert!(!before.contains(&0), "{order:?}");
        gate.open();
        let rest = talk.finish().await;
        let indices: Vec<i64> = rest.results.iter().map(|result| result.item_index.unwrap()).collect();
        let expected: &[i64] = if before.is_empty() { &[0, 1, 2, 3, 4, 5] } else { &[0] };
        assert_eq!(indices, expected, "{order:?}");
        assert_eq!(rest.summary().succeeded_count, 6);
    }
}

#[tokio::test]
async fn after_a_failure_nothing_starts_in_the_mode_stop() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "listed/1.png", picture(50));
    service.s3.put(BUCKET, "listed/2.png", picture(51));
    for order in [ResultOrder::AsCompleted, ResultOrder::AsRequested] {
        let gate = Gate::default();
        let held = gate.clone();
        service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
        let (calls, reads) = (service.bedrock.received_so_far(), service.s3.gets().len());
        let mut talk = service.talk().await;
        talk.send(config(AnalyzeManyConfig {
            failure_mode: FailureMode::Stop.into(),
            max_in_flight: 2,
            result_order: order.into(),
            ..features(describe())
        }));
        talk.send(item(inline("slow", &picture(0))));
        service.bedrock.received(calls + 1).await;
        talk.send(item(stored("missing", "missing")));
        talk.send_all(items(3));
        talk.send(listing(under("listed/")));
        talk.send(item(inline("", b"")));
        let first = match order {
            ResultOrder::AsCompleted => Some(talk.next().await),
            _ => None,
        };
        service.s3.gets_received(reads + 1).await;
        // The failure has been seen by the time these are answered; nothing waits for the slow item.
        for _ in 0..10 {
            let request = AnalyzeImageRequest { validate_only: true, ..content(&picture(0), describe()) };
            service.analyze(request).await.unwrap();
        }
        gate.open();
        let mut collected = talk.finish().await;
        collected.results.extend(first);
        collected.assert_whole(8);
        assert_eq!(collected.summary().succeeded_count, 1, "what is in progress finishes");
        assert_eq!(description_of(collected.of("slow")), "picture 0");
        assert_failed(collected.of("missing"), Code::NotFound, "OBJECT_NOT_FOUND");
        for index in 2..8 {
            assert_failed(collected.at(index), Code::Aborted, "ABORTED_AFTER_FAILURE");
        }
        assert_eq!(collected.at(5).item_id, "listed/1.png");
        assert_eq!((collected.at(5).resume_after.as_str(), collected.at(6).resume_after.as_str()), ("", ""));
        assert_eq!(service.bedrock.received_so_far(), calls + 1, "{order:?}: no model call after the failure");
        assert_eq!(service.s3.gets().len(), reads + 1, "{order:?}: no read after the failure");
    }
}

#[tokio::test]
async fn without_the_mode_stop_a_failure_changes_nothing_for_the_others() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    for mode in [FailureMode::Unspecified, FailureMode::Continue] {
        let settings = AnalyzeManyConfig { failure_mode: mode.into(), max_in_flight: 1, ..features(describe()) };
        let requests = [vec![config(settings), item(inline("bad", b"no picture"))], items(3)].concat();
        let collected = service.many(requests).await;
        assert_eq!(collected.assert_whole(4).summary().failed_count, 1);
    }
}

#[tokio::test]
async fn an_items_time_is_bounded_and_the_streams_is_not() {
    let bounded = async |flags: &[&str], item_timeout: Option<prost_types::Duration>| {
        let service = Service::with(flags).await;
        service.bedrock.answer_with(|request| match number_of(request) {
            0..10 => Reply::hang(),
            _ => answer_by_number(request),
        });
        // One after another: the stream takes longer than any request may.
        let settings = AnalyzeManyConfig { item_timeout, max_in_flight: 1, ..features(describe()) };
        let requests = [vec![config(settings)], items(2), vec![item(inline("good", &picture(10)))]].concat();
        let collected = service.many(requests).await;
        collected.assert_whole(3);
        for index in [0, 1] {
            let (_, details) = assert_failed(collected.at(index), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            assert_eq!(details.info.metadata["stage"], "model");
        }
        assert_eq!(description_of(collected.of("good")), "picture 10");
        let elapsed = seconds(collected.summary().elapsed);
        assert!(elapsed >= 4.0, "{flags:?} {item_timeout:?}: {elapsed}");
        service.bedrock.abandoned(2).await;
    };
    let (short, hour) =
        (prost_types::Duration { seconds: 2, nanos: 0 }, prost_types::Duration { seconds: 3600, nanos: 0 });
    tokio::join!(
        bounded(&["--request-timeout", "2s"], None),
        bounded(&["--request-timeout", "2s"], Some(hour)),
        bounded(&[], Some(short)),
    );
}

#[tokio::test]
async fn a_stream_has_as_many_items_in_progress_as_it_may() {
    for (flags, asked, expected) in [
        (vec![], 3, 3),
        (vec![], 0, 16),
        // A quarter is kept for AnalyzeImage.
        (vec!["--max-in-flight", "8"], 100, 6),
        (vec!["--max-in-flight", "8"], i32::MAX, 6),
    ] {
        let service = Service::with(&flags).await;
        let gate = Gate::default();
        let held = gate.clone();
        service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
        let mut talk = service.talk().await;
        talk.send(config(AnalyzeManyConfig { max_in_flight: asked, ..features(describe()) }));
        talk.send_all(items(40));
        service.bedrock.in_progress().is(expected).await;
        for answered in 1..=10 {
            gate.let_through(1);
            talk.next().await;
            service.bedrock.received(expected + answered).await;
        }
        assert_eq!(service.bedrock.in_progress().peak(), expected, "{asked}");
        gate.open();
        assert_eq!(talk.finish().await.summary().succeeded_count, 40);
        assert_eq!(service.bedrock.in_progress().peak(), expected, "{asked}");
        let capabilities = service.client().get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
        assert_eq!(capabilities.max_in_flight, if flags.is_empty() { 192 } else { 6 }, "what can be had");
    }
}

#[tokio::test]
async fn the_totals_hold_what_failed_items_cost() {
    // An id that is not the catalogue's own has no fallbacks.
    let service = Service::with(&["--model", "us.anthropic.claude-sonnet-5"]).await;
    service.bedrock.answer_with(|request| match number_of(request) {
        1 => Reply::messages(json!([]), "refusal", json!({"input_tokens": 50, "output_tokens": 1})),
        2 => Reply::text("I cannot tell.").usage(70, 7),
        _ => answer_by_number(request),
    });
    let requests = [vec![describing()], items(4), vec![item(stored("missing", "missing"))]].concat();
    let collected = service.many(requests).await;
    collected.assert_whole(5);
    assert_failed(collected.of("item-1"), Code::FailedPrecondition, "MODEL_REFUSED");
    assert_failed(collected.of("item-2"), Code::Internal, "MODEL_OUTPUT_INVALID");
    let usage = collected.summary().total_usage.unwrap();
    assert_eq!((usage.input_token_count, usage.output_token_count), (100 + 50 + 2 * 70 + 100, 10 + 1 + 2 * 7 + 10));
    assert_eq!(usage.model_call_count, 5, "an answer that cannot be read is asked for again");
    // Calls that were throttled count too, of items that succeed and of items that fail.
    for _ in 0..4 {
        service.bedrock.push(Reply::error(429, "ThrottlingException", "Too many tokens"));
    }
    let settings = AnalyzeManyConfig { max_in_flight: 1, ..features(describe()) };
    let collected =
        service.many([vec![config(settings)], items(1), vec![item(inline("b", &picture(3)))]].concat()).await;
    collected.assert_whole(2);
    assert_failed(collected.of("item-0"), Code::ResourceExhausted, "MODEL_THROTTLED");
    assert_eq!(analysis_of(collected.of("b")).usage.as_ref().unwrap().model_call_count, 2);
    assert_eq!(collected.summary().total_usage.as_ref().unwrap().model_call_count, 5);
}

/// What must be the same in both: everything but the id of the request. The metadata of an `ErrorInfo` is a map, whose
/// bytes come in any order.
fn comparable(status: &Status) -> (Code, String, String) {
    let Details { info, all } = Details::of(status);
    let id: pb::RequestInfo = Details::of(status).get("RequestInfo").expect("a RequestInfo");
    assert!(!id.request_id.is_empty());
    let metadata: std::collections::BTreeMap<_, _> = info.metadata.iter().collect();
    // When to come back from throttling follows the pace of the model, which changes with every call.
    let own: &[&str] = match info.reason.as_str() {
        "MODEL_THROTTLED" => &["ErrorInfo", "RequestInfo", "RetryInfo"],
        _ => &["ErrorInfo", "RequestInfo"],
    };
    let is_other = |detail: &&prost_types::Any| !own.iter().any(|name| detail.type_url.ends_with(name));
    let others: Vec<_> = all.iter().filter(is_other).collect();
    (status.code(), status.message().to_owned(), format!("{} {metadata:?} {others:?}", info.reason))
}

/// Requests that fail each in a way of its own, and the reason.
fn failures() -> Vec<(&'static str, AnalyzeImageRequest)> {
    let by_number = |number: usize| content(&picture(number), describe());
    let mut other_bucket = object("key", describe());
    let mut changed = object("good", describe());
    for (request, change) in [(&mut other_bucket, "bucket"), (&mut changed, "etag")] {
        if let Some(ImageSource { source: Some(Source::S3Object(object)) }) = &mut request.image {
            match change {
                "bucket" => object.bucket = "elsewhere".to_owned(),
                _ => object.expected_etag = "another".to_owned(),
            }
        }
    }
    let with = |request: AnalyzeImageRequest, options: AnalysisOptions| AnalyzeImageRequest {
        options: Some(options),
        ..request
    };
    let model = "global.anthropic.claude-sonnet-4-6".to_owned();
    let reject = AnalysisOptions { oversize_policy: OversizePolicy::Reject.into(), model, ..Default::default() };
    let unknown = AnalysisOptions { model: "gpt".to_owned(), ..Default::default() };
    let hot = AnalysisOptions { temperature: Some(9.0), ..Default::default() };
    let many_labels = LabelsFeature { max_results: 501, ..LabelsFeature::default() };
    let features = Features { labels: Some(many_labels), ..prompt("") };
    vec![
        ("OBJECT_NOT_FOUND", object("missing", describe())),
        ("BUCKET_NOT_FOUND", other_bucket),
        ("OBJECT_ACCESS_DENIED", object("denied", describe())),
        ("OBJECT_CHANGED", changed),
        ("STORAGE_UNAVAILABLE", object("broken", describe())),
        ("IMAGE_UNSUPPORTED", content(b"no picture", describe())),
        ("IMAGE_CORRUPT", by_number(10)),
        ("IMAGE_TOO_LARGE", content(&vec![0; 200_001], describe())),
        ("IMAGE_TOO_LARGE", object("large", describe())),
        ("IMAGE_TOO_LARGE", with(content(&Scene::new(2000, 1000).encode(Format::Png), describe()), reject)),
        ("MODEL_UNKNOWN", with(by_number(0), unknown)),
        ("MODEL_THROTTLED", by_number(1)),
        ("MODEL_UNAVAILABLE", by_number(2)),
        ("MODEL_REQUEST_REJECTED", by_number(3)),
        ("MODEL_REFUSED", by_number(4)),
        ("CONTENT_FILTERED", by_number(5)),
        ("MODEL_OUTPUT_INVALID", by_number(6)),
        ("MODEL_UNAVAILABLE", by_number(7)),
        ("MODEL_NOT_ENABLED", by_number(8)),
        ("DEADLINE_EXCEEDED", by_number(9)),
        ("FIELD_INVALID", with(content(b"", features), hot)),
        ("FIELD_INVALID", from(Source::S3Object(S3Object::default()), label())),
        ("FIELD_INVALID", AnalyzeImageRequest { features: None, ..by_number(0) }),
    ]
}

fn fail_by_number(request: &InvokeRequest) -> Reply {
    match number_of(request) {
        1 => Reply::error(429, "ThrottlingException", "Too many requests"),
        2 => Reply::error(503, "ServiceUnavailableException", "busy"),
        3 => Reply::validation("something"),
        4 => Reply::messages(json!([]), "refusal", json!({"input_tokens": 9, "output_tokens": 0})),
        5 => Reply::validation("Output blocked by content filtering policy"),
        6 => Reply::text("I cannot tell."),
        7 => Reply::cut(),
        8 => Reply::error(403, "AccessDeniedException", "no"),
        9 => Reply::hang(),
        10 => Reply::validation("Could not process image"),
        _ => answer_by_number(request),
    }
}

#[tokio::test]
async fn a_failed_item_has_the_status_of_analyze_image() {
    let service = Service::with(&["--max-model-attempts", "1", "--max-image-bytes", "200KB"]).await;
    service.bedrock.answer_with(fail_by_number);
    service.s3.put(BUCKET, "good", picture(0));
    service.s3.put(BUCKET, "large", vec![0; 200_002]);
    for (key, fault) in [
        ("denied", crate::support::s3::Failure::ACCESS_DENIED),
        ("broken", crate::support::s3::Failure::new(501, "NotImplemented", "no")),
    ] {
        service.s3.put(BUCKET, key, picture(0));
        service.s3.fault(BUCKET, key, fault);
    }
    let failures = failures();
    let item_timeout = Some(prost_types::Duration { seconds: 4, nanos: 0 });
    let settings = AnalyzeManyConfig { item_timeout, max_in_flight: 2, ..AnalyzeManyConfig::default() };
    let mut requests = vec![config(settings)];
    requests.extend(failures.iter().enumerate().map(|(index, (_, request))| {
        let AnalyzeImageRequest { image, features, options, .. } = request.clone();
        item(AnalyzeManyItem { item_id: index.to_string(), image, features, options })
    }));
    let collected = service.many(requests).await;
    collected.assert_whole(failures.len());
    for (index, (reason, request)) in failures.into_iter().enumerate() {
        let result = collected.of(&index.to_string());
        assert_eq!(reason_of(result), reason, "{index}");
        let limit = if reason == "DEADLINE_EXCEEDED" { 4000 } else { 60_000 };
        let alone = service.analyze_within(limit, request).await.expect_err(reason);
        assert_eq!(comparable(&status_of(result)), comparable(&alone), "{reason}");
        let id: pb::RequestInfo = Details::of(&status_of(result)).get("RequestInfo").unwrap();
        assert!(id.request_id.ends_with(&format!(":{index}")), "{}", id.request_id);
    }
}
