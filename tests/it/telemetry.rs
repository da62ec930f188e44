//! What a running server tells its operators: metrics, readiness, its log and its traces, over real sockets; and what it
//! never tells.

use std::{collections::HashMap, time::Duration};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use serde_json::{Value, json};
use sightline::{metrics::CATALOGUE, proto::AnalyzeImageRequest};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    bedrock::{Asks, Bedrock, Reply},
    collector::{Collector, attribute},
    images::{Format, Scene},
    many::{describing, inline, item},
    process::Process,
    s3::S3,
    service::{BUCKET, Service, channel, connect, content, describe, label, object, photo, prompt},
    tools::{require_installed, run_with_input},
};

const SONNET_5: &str = "global.anthropic.claude-sonnet-5";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const ANSWER: &str = "A rocket on its pad.";

/// An S3 with one picture, and a model that describes it.
async fn upstreams() -> (S3, Bedrock) {
    let s3 = S3::start().await;
    s3.put(BUCKET, "rocket.jpg", photo("rocket.jpg"));
    let bedrock = Bedrock::answering(|_| Reply::tool(json!({"description": ANSWER})).usage(900, 20)).await;
    (s3, bedrock)
}

/// The value of a series; `None` when it is not there.
fn value(scrape: &str, series: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn traced(message: AnalyzeImageRequest, sampled: bool) -> Request<AnalyzeImageRequest> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request.metadata_mut().insert("tracestate", "vendor=1".parse().unwrap());
    request
}

#[tokio::test]
async fn what_calls_did_is_scraped() {
    let (s3, bedrock) = upstreams().await;
    let server = Process::start(&s3, &bedrock, &["--max-in-flight", "7"]).await;
    let mut client = connect(server.address).await;
    bedrock.push(Reply::throttled());
    client.analyze_image(object("rocket.jpg", describe())).await.unwrap();
    client.analyze_image(object("rocket.jpg", describe())).await.unwrap();
    client.analyze_image(object("nope.jpg", describe())).await.unwrap_err();
    let items = [item(inline("a", &Scene::new(40, 40).encode(Format::Png))), item(inline("b", b"no picture"))];
    let stream = client.analyze_many(tokio_stream::iter([vec![describing()], items.to_vec()].concat())).await.unwrap();
    let mut stream = stream.into_inner();
    while stream.message().await.unwrap().is_some() {}

    let scrape = server.get("/metrics").await;
    assert_eq!(scrape.code, 200);
    assert!(scrape.head.contains("content-type: text/plain; version=0.0.4"), "{}", scrape.head);
    let text = &scrape.body;
    for (series, expected) in [
        (r#"sightline_rpc_requests_total{method="AnalyzeImage",code="OK"}"#, 2.0),
        (r#"sightline_rpc_requests_total{method="AnalyzeImage",code="NOT_FOUND"}"#, 1.0),
        (r#"sightline_rpc_requests_total{method="AnalyzeMany",code="OK"}"#, 1.0),
        (r#"sightline_rpc_duration_seconds_count{method="AnalyzeImage"}"#, 3.0),
        (r#"sightline_stream_items_total{code="OK"}"#, 1.0),
        (r#"sightline_stream_items_total{code="INVALID_ARGUMENT"}"#, 1.0),
        (r#"sightline_stage_duration_seconds_count{stage="fetch"}"#, 2.0),
        (r#"sightline_stage_duration_seconds_count{stage="prepare"}"#, 2.0),
        (r#"sightline_stage_duration_seconds_count{stage="model"}"#, 3.0),
        (r#"sightline_stage_duration_seconds_count{stage="read"}"#, 2.0),
        (r#"sightline_stage_duration_seconds_count{stage="queue"}"#, 5.0),
        (r#"sightline_model_attempts_total{model="claude-sonnet-5",outcome="throttled"}"#, 1.0),
        (r#"sightline_model_attempts_total{model="claude-sonnet-5",outcome="ok"}"#, 2.0),
        (r#"sightline_model_tokens_total{model="claude-sonnet-5",direction="input"}"#, 1800.0),
        (r#"sightline_model_tokens_total{model="claude-sonnet-5",direction="output"}"#, 40.0),
        (r#"sightline_caller_tokens_total{caller="anonymous"}"#, 1840.0),
        (r#"sightline_retries_total{model="claude-sonnet-5"}"#, 1.0),
        (r#"sightline_cache_total{outcome="miss"}"#, 2.0),
        (r#"sightline_cache_total{outcome="hit"}"#, 1.0),
        ("sightline_in_flight", 0.0),
        ("sightline_in_flight_bytes", 0.0),
        ("sightline_serving", 1.0),
    ] {
        assert_eq!(value(text, series), Some(expected), "{series} in\n{text}");
    }
    let cost =
        value(text, r#"sightline_estimated_cost_usd_total{model="claude-sonnet-5",caller="anonymous"}"#).unwrap();
    assert!((cost - 2.0 * (900.0 * 2e-6 + 20.0 * 10e-6)).abs() < 1e-9, "{cost}");
    assert!(value(text, "sightline_prepared_bytes_total").unwrap() > 1000.0);
    assert!(value(text, "process_resident_memory_bytes").unwrap() > 1e6);
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let mut words = line.split(' ').skip(2);
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let entry =
            CATALOGUE.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is in the catalogue"));
        assert_eq!(entry.kind.as_str(), kind, "{name}");
        assert!(text.contains(&format!("# HELP {name} {}.\n", entry.help)), "{name}");
    }
    lint(text).await;
    let open = server.http("GET", "/metrics", "accept: application/openmetrics-text;version=1.0.0\r\n", "").await;
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.contains("# UNIT sightline_estimated_cost_usd usd\n") && open.body.ends_with("# EOF\n"));
}

/// promtool finds nothing wrong with a scrape.
async fn lint(scrape: &str) {
    let Some(promtool) = require_installed("promtool") else { return };
    let outcome = run_with_input(&promtool, &["check", "metrics"], scrape).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{}", outcome.stdout);
}

#[tokio::test]
async fn fallbacks_shed_requests_and_departures_are_counted() {
    let service =
        Service::with_models("[models.claude-sonnet-5]\nfallbacks = [\"nova-pro\"]\n", &["--max-in-flight", "1"]).await;
    let gate = crate::support::bedrock::Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| match request.model_id == SONNET_5 {
        true => Reply::ended(),
        false => Reply::tool(json!({"description": ANSWER})).behind(&held),
    });
    let first = service.begin(content(&photo("rocket.jpg"), describe()));
    service.bedrock.received(2).await;
    service.analyze(content(&photo("summit.jpeg"), describe())).await.unwrap_err();
    let shed = service.scrape();
    assert_eq!(value(&shed, r#"sightline_shed_total{reason="requests"}"#), Some(1.0));
    assert_eq!(value(&shed, "sightline_in_flight"), Some(1.0));
    assert!(value(&shed, "sightline_in_flight_bytes").unwrap() > 0.0);
    gate.open();
    first.await.unwrap().unwrap();
    let scrape = service.scrape();
    assert_eq!(value(&scrape, r#"sightline_fallbacks_total{model="claude-sonnet-5"}"#), Some(1.0));
    assert_eq!(
        value(&scrape, r#"sightline_model_attempts_total{model="claude-sonnet-5",outcome="failed"}"#),
        Some(1.0)
    );
    assert_eq!(value(&scrape, r#"sightline_model_attempts_total{model="nova-pro",outcome="ok"}"#), Some(1.0));
}

#[tokio::test]
async fn readiness_turns_while_the_server_drains() {
    let (s3, bedrock) = upstreams().await;
    let gate = crate::support::bedrock::Gate::default();
    let held = gate.clone();
    bedrock.answer_with(move |_| Reply::tool(json!({"description": ANSWER})).behind(&held));
    let mut server = Process::start(&s3, &bedrock, &[]).await;
    assert_eq!((server.get("/healthz").await.code, server.get("/readyz").await.code), (200, 200));
    let mut client = connect(server.address).await;
    let call = tokio::spawn(async move { client.analyze_image(object("rocket.jpg", describe())).await });
    bedrock.received(1).await;
    server.terminate().await;
    server.said("draining").await;
    let ready = server.get("/readyz").await;
    assert_eq!(ready.code, 503);
    assert!(ready.body.starts_with("draining"), "{}", ready.body);
    assert_eq!(server.get("/healthz").await.code, 200, "the process lives");
    assert_eq!(value(&server.get("/metrics").await.body, "sightline_serving"), Some(0.0));
    gate.open();
    call.await.unwrap().expect("a call in flight is finished");
    assert_eq!(server.ended().await, Some(0));
}

#[tokio::test]
async fn in_the_pause_before_the_drain_calls_are_still_served_and_a_second_signal_ends_it() {
    let (s3, bedrock) = upstreams().await;
    let mut server = Process::start(&s3, &bedrock, &["--drain-pause", "1h"]).await;
    server.terminate().await;
    server.said("draining").await;
    let mut health = HealthClient::new(channel(server.address).await);
    let status = health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status();
    assert_eq!((status, server.get("/readyz").await.code), (ServingStatus::NotServing, 503));
    let answer = connect(server.address).await.analyze_image(object("rocket.jpg", describe())).await;
    answer.expect("a new call on a new connection");
    server.terminate().await;
    assert_eq!(server.ended().await, Some(130));
}

#[tokio::test]
async fn the_log_can_be_changed_while_the_server_runs() {
    let (s3, bedrock) = upstreams().await;
    let server = Process::start(&s3, &bedrock, &["--log", "info"]).await;
    let mut client = connect(server.address).await;
    let shown = server.get("/log").await;
    assert_eq!((shown.code, shown.body.trim()), (200, "info"));
    let set = server.http("POST", "/log", "", "warn").await;
    assert_eq!((set.code, set.body.trim()), (200, "warn"));
    client.analyze_image(object("rocket.jpg", describe())).await.unwrap();
    let set = server.http("POST", "/log", "", "sightline=debug,warn").await;
    assert_eq!(set.code, 200, "{}", set.body);
    server.said("the filter of the log was changed").await;
    assert!(!server.log().contains("\"analyzed\""), "it was silent: {}", server.log());
    client.analyze_image(object("rocket.jpg", describe())).await.unwrap();
    server.said("analyzed").await;
    for (filter, headers, code) in [
        ("sightline=loud", "", 400),
        ("", "", 400),
        (&"x".repeat(10_000), "", 413),
        ("info", "origin: http://x\r\n", 403),
    ] {
        let refused = server.http("POST", "/log", headers, filter).await;
        assert_eq!(refused.code, code, "{filter}: {}", refused.body);
        assert!(!refused.body.is_empty());
    }
    assert!(server.get("/log").await.body.contains("sightline=debug"), "what was refused changed nothing");
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets_and_a_taken_port_names_its_flag() {
    let (s3, bedrock) = upstreams().await;
    let server = Process::start(&s3, &bedrock, &["--otlp-endpoint", "http://user:hunter2@127.0.0.1:9"]).await;
    let config = server.get("/config").await;
    assert_eq!(config.code, 200);
    for line in [
        "drain_pause = 0s",
        "otlp_endpoint = http://(redacted)@127.0.0.1:9",
        "AWS_SECRET_ACCESS_KEY = (set)",
        "region = eu-west-1",
    ] {
        assert!(config.body.contains(line), "{line} in\n{}", config.body);
    }
    assert!(!config.body.contains("hunter2"), "{}", config.body);
    assert_eq!((server.get("/").await.code, server.http("DELETE", "/metrics", "", "").await.code), (404, 405));
    let taken = server.admin.to_string();
    let second = crate::command::command()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", &taken])
        .envs(crate::command::without_aws())
        .output()
        .await
        .unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && error.contains("--admin-listen") && error.contains(&taken), "{error}");
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_call_is_a_part_of_its_callers_trace() {
    let (s3, bedrock) = upstreams().await;
    let collector = Collector::start().await;
    // None but those that their callers sample.
    let flags = ["--otlp-endpoint", &collector.endpoint(), "--trace-ratio", "0"];
    let server = Process::start(&s3, &bedrock, &flags).await;
    let mut client = connect(server.address).await;
    bedrock.push(Reply::throttled());
    client.analyze_image(traced(object("rocket.jpg", describe()), true)).await.unwrap();
    client.analyze_image(traced(object("nope.jpg", label()), true)).await.unwrap_err();
    client.analyze_image(traced(object("rocket.jpg", prompt("Sampled?")), false)).await.unwrap();
    client.analyze_image(object("rocket.jpg", prompt("Begun here?"))).await.unwrap();
    let log = server.stop().await;

    let spans = collector.spans();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "vendor=1"), "{spans:?}");
    let calls = named(&spans, "sightline.v1.ImageAnalysisService/AnalyzeImage");
    assert_eq!(calls.len(), 2, "{spans:?}");
    for call in &calls {
        assert_eq!((hex(&call.parent_span_id).as_str(), call.kind()), (PARENT, SpanKind::Server));
        assert_eq!(attribute(call, "rpc.system"), "grpc");
        assert_eq!(attribute(call, "rpc.service"), "sightline.v1.ImageAnalysisService");
        assert_eq!(attribute(call, "rpc.method"), "AnalyzeImage");
        assert!(call.events.is_empty(), "the log is no part of a trace: {call:?}");
    }
    let codes: HashMap<_, _> = calls.iter().map(|call| (attribute(call, "rpc.grpc.status_code"), call)).collect();
    let call = codes["0"];
    let children: Vec<_> = spans.iter().filter(|span| span.parent_span_id == call.span_id).collect();
    let mut names: Vec<_> = children.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    let chat = format!("chat {SONNET_5}");
    assert_eq!(names, [chat.as_str(), chat.as_str(), "fetch", "prepare"]);
    let chats = named(&spans, &chat);
    assert_eq!(chats.len(), 2, "one for each attempt");
    let of_error = |wanted: &str| *chats.iter().find(|chat| attribute(chat, "error.type") == wanted).unwrap();
    let (failed, answered) = (of_error("throttled"), of_error(""));
    assert_eq!(failed.status.as_ref().unwrap().code(), StatusCode::Error);
    for (name, expected) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "aws.bedrock"),
        ("gen_ai.request.model", SONNET_5),
        ("gen_ai.response.model", SONNET_5),
        ("gen_ai.usage.input_tokens", "900"),
        ("gen_ai.usage.output_tokens", "20"),
        ("gen_ai.response.finish_reasons", "stop"),
    ] {
        assert_eq!(attribute(answered, name), expected, "{name}");
    }
    assert_eq!(answered.kind(), SpanKind::Client);
    let lost = spans.iter().find(|span| span.parent_span_id == codes["5"].span_id).unwrap();
    assert_eq!((lost.name.as_str(), attribute(lost, "error.type").as_str()), ("fetch", "store"));
    assert!(
        collector.resources().iter().flatten().any(|it| *it == ("service.name".to_owned(), "sightline".to_owned()))
    );

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids = |message: &str| {
        let of = lines.iter().filter(|line| line["message"] == message);
        of.map(|line| line["trace_id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids("analyzed"), ids("failed")),
        (vec![TRACE.to_owned(), String::new(), String::new()], vec![TRACE.to_owned()])
    );
    assert_eq!(ids("asking the model again"), [TRACE], "also in the task that asks");
}

/// With an exporter or without: what is behind the server may have one.
#[tokio::test]
async fn a_trace_goes_on_to_s3_and_bedrock() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "rocket.jpg", photo("rocket.jpg"));
    service.bedrock.answer_with(|_| Reply::tool(json!({"description": ANSWER})));
    let mut client = service.client();
    client.analyze_image(traced(object("rocket.jpg", describe()), true)).await.unwrap();
    let (read, asked) = (service.s3.requests().remove(0), service.bedrock.only_request());
    for headers in [&read.headers, &asked.headers] {
        let parent = headers["traceparent"].to_str().unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"), "{parent}");
        assert_eq!(headers["tracestate"], "vendor=1");
    }
    client.analyze_image(object("rocket.jpg", prompt("Outside of a trace?"))).await.unwrap();
    let last = service.bedrock.requests().pop().unwrap();
    assert!(!last.headers.contains_key("traceparent"), "{:?}", last.headers);
}

#[tokio::test]
async fn items_of_a_stream_are_parts_of_its_trace() {
    let (s3, bedrock) = upstreams().await;
    let collector = Collector::start().await;
    // OpenTelemetry's own variables are read too.
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint()), ("OTEL_SERVICE_NAME", "pictures")];
    let server = Process::within(&s3, &bedrock, &[], &environment).await;
    let mut client = connect(server.address).await;
    let pictures = [40, 50].map(|edge| item(inline(&edge.to_string(), &Scene::new(edge, edge).encode(Format::Png))));
    let requests = [vec![describing()], pictures.to_vec()].concat();
    let mut stream = client.analyze_many(tokio_stream::iter(requests)).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    server.stop().await;
    let spans = collector.spans();
    let named_so = ("service.name".to_owned(), "pictures".to_owned());
    assert!(collector.resources().iter().all(|attributes| attributes.contains(&named_so)));
    let calls = named(&spans, "sightline.v1.ImageAnalysisService/AnalyzeMany");
    let [call] = calls.as_slice() else { panic!("{spans:?}") };
    assert!(call.parent_span_id.is_empty() && attribute(call, "rpc.grpc.status_code") == "0", "{call:?}");
    let items = named(&spans, "item");
    assert!(items.len() == 2 && items.iter().all(|item| item.parent_span_id == call.span_id), "{items:?}");
    for item in items {
        let children: Vec<_> = spans.iter().filter(|span| span.parent_span_id == item.span_id).collect();
        assert_eq!(children.len(), 2, "prepare and one attempt: {children:?}");
    }
}

/// A collector that is gone, or that never answers, costs no call anything, and the process ends all the same.
#[tokio::test]
async fn a_collector_that_does_not_answer_holds_nothing_up() {
    let (s3, bedrock) = upstreams().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let server = Process::start(&s3, &bedrock, &["--otlp-endpoint", &endpoint]).await;
    let mut client = connect(server.address).await;
    for number in 0..20 {
        client.analyze_image(object("rocket.jpg", prompt(&format!("{number}?")))).await.unwrap();
    }
    let log = tokio::time::timeout(Duration::from_secs(30), server.stop()).await.expect("it ends");
    assert!(log.contains("traces were not delivered"), "and says what was lost: {log}");
}

#[tokio::test]
async fn no_picture_prompt_answer_or_key_is_in_a_span_a_line_or_a_metric() {
    let (s3, bedrock) = upstreams().await;
    let key = "KEYSTRING-7f3a/rocket.jpg";
    s3.put(BUCKET, key, photo("rocket.jpg"));
    let collector = Collector::start().await;
    bedrock.answer_with(|request| match request.asks() {
        Asks::InWords => Reply::text("ANSWERSTRING-7f3a"),
        _ => Reply::tool(json!({"answer": "ANSWERSTRING-7f3a", "description": "ANSWERSTRING-7f3a"})),
    });
    let server = Process::start(&s3, &bedrock, &["--otlp-endpoint", &collector.endpoint(), "--log", "info"]).await;
    let mut client = connect(server.address).await;
    let mut features = describe();
    features.prompt = prompt("PROMPTSTRING-7f3a").prompt;
    let mut request = object(key, features.clone());
    request.request_id = "order-7".to_owned();
    client.analyze_image(traced(request, true)).await.unwrap();
    bedrock.push(Reply::throttled());
    bedrock.push(Reply::validation("no: PROMPTSTRING-7f3a"));
    client.analyze_image(traced(content(&photo("summit.jpeg"), features.clone()), true)).await.unwrap_err();
    client.analyze_image(traced(object("KEYSTRING-7f3a/nope.jpg", features.clone()), true)).await.unwrap_err();
    let mut unknown = object(key, features);
    unknown.image = None;
    let refused = client.analyze_image(traced(unknown, true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let scrape = server.get("/metrics").await.body;
    let log = server.stop().await;
    let traces = collector.everything();
    assert!(traces.contains("gen_ai.usage.output_tokens") && log.contains("order-7") && scrape.contains("anonymous"));
    let pixels = photo("rocket.jpg");
    let pixels = [hex(&pixels[200..216]), format!("{:?}", &pixels[200..216])];
    for (place, text) in [("trace", &traces), ("log", &log), ("metrics", &scrape)] {
        for secret in ["7f3a", "secret", "AKID", &pixels[0], &pixels[1]] {
            assert!(!text.contains(secret), "{secret} is in a {place}:\n{text}");
        }
    }
}
