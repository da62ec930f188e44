//! Through real proxies, as callers come in a mesh: nothing of what the service promises is lost on the way. Each behaviour
//! is tested through Envoy and through nginx.

use std::time::Duration;

use serde_json::json;
use sightline::proto::{AnalyzeImageRequest, AnalyzeManyConfig, Features, ImageAnalysis};
use tonic::{Code, IntoRequest, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::pb;

use crate::support::{
    bedrock::{Gate, Reply},
    many::{
        Talk, answer_by_number, assert_failed, config, describing, description_of, features, fields, inline, item,
        number_of, picture, stored,
    },
    proxies::{Envoy, Nginx},
    service::{BUCKET, Client, Service, analyze_within, assert_error, content, describe, object, photo},
};

/// A service, and callers who come through a proxy.
struct Front {
    service: Service,
    channel: Channel,
    /// The proxy runs until it is dropped.
    proxy: Proxy,
}

enum Proxy {
    Envoy(Envoy),
    Nginx(Nginx),
}

impl Front {
    async fn envoy(flags: &[&str]) -> Option<Self> {
        let service = Service::with(flags).await;
        let envoy = Envoy::start(&[service.running.address]).await?;
        Some(Self { service, channel: envoy.channel(), proxy: Proxy::Envoy(envoy) })
    }

    async fn nginx(flags: &[&str]) -> Option<Self> {
        let service = Service::with(flags).await;
        let nginx = Nginx::start(service.running.address).await?;
        Some(Self { service, channel: nginx.channel(), proxy: Proxy::Nginx(nginx) })
    }

    fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }

    /// Asks with a time limit, which the server alone keeps.
    async fn analyze_within(&self, millis: u64, message: AnalyzeImageRequest) -> Result<ImageAnalysis, Status> {
        match &self.proxy {
            Proxy::Envoy(envoy) => analyze_within(envoy.connect().await, millis, message).await,
            Proxy::Nginx(nginx) => analyze_within(nginx.connect().await, millis, message).await,
        }
    }

    async fn analyze(&self, request: impl IntoRequest<AnalyzeImageRequest>) -> Result<ImageAnalysis, Status> {
        let response = self.client().analyze_image(request).await?;
        Ok(response.into_inner().analysis.expect("the analysis is always set"))
    }
}

/// A test of each behaviour through each proxy: `proxies::envoy::deadlines_arrive`.
macro_rules! through {
    ($($proxy:ident)+: $($behaviour:ident $flags:expr),+ $(,)?) => { through!(@ [$($proxy)+] $($behaviour $flags,)+); };
    (@ [] $($rest:tt)*) => {};
    (@ [$proxy:ident $($more:ident)*] $($behaviour:ident $flags:expr,)+) => {
        mod $proxy {
            $(#[tokio::test]
            async fn $behaviour() {
                if let Some(front) = super::Front::$proxy($flags).await {
                    super::$behaviour(front).await;
                }
            })+
        }
        through!(@ [$($more)*] $($behaviour $flags,)+);
    };
}

through! {
    envoy nginx:
    pictures_come_inline_and_from_s3 &[],
    results_come_while_items_are_still_sent &[],
    a_half_close_finishes_what_is_in_flight &[],
    long_streams_come_through_whole &[],
    a_stream_that_cannot_go_on_says_why &["--max-message-bytes", "50000"],
    errors_keep_their_details &["--max-model-attempts", "1", "--model", "claude-haiku-4-5"],
    the_largest_error_comes_through &[],
    a_message_over_the_limit_is_told_so &["--max-message-bytes", "50000"],
    deadlines_arrive &[],
    callers_who_leave_take_their_work_along &[],
    a_drain_answers_what_is_in_flight_and_says_so &["--drain-timeout", "1h"],
    health_is_checked_and_watched &["--drain-timeout", "1h"],
}

fn described(text: &str) -> Reply {
    Reply::tool(json!({"description": text}))
}

async fn pictures_come_inline_and_from_s3(front: Front) {
    let large = photo("astronaut.png");
    assert!(large.len() > 500_000, "many frames and several windows");
    front.service.s3.put(BUCKET, "회의/astronaut.png", large.clone());
    let requests = [content(&photo("rocket.jpg"), describe()), content(&large, describe())];
    for (number, request) in requests.into_iter().chain([object("회의/astronaut.png", describe())]).enumerate() {
        front.service.bedrock.push(described(&format!("picture {number}")));
        let analysis = front.analyze(request).await.unwrap();
        assert_eq!(analysis.description.unwrap().text, format!("picture {number}"));
    }
    assert_eq!(front.service.s3.requests().pop().unwrap().key, "회의/astronaut.png");
}

async fn results_come_while_items_are_still_sent(front: Front) {
    front.service.bedrock.answer_with(answer_by_number);
    // The head comes before the first message is sent, and each result before the next item.
    let mut talk = Talk::over(front.client()).await;
    talk.send(describing());
    for number in 0..3 {
        talk.send(item(inline(&format!("item-{number}"), &picture(number))));
        assert_eq!(description_of(&talk.next().await), format!("picture {number}"));
    }
    talk.send(item(stored("missing", "no such key")));
    assert_failed(&talk.next().await, Code::NotFound, "OBJECT_NOT_FOUND");
    talk.send(item(inline("after it", &picture(4))));
    assert_eq!(description_of(&talk.next().await), "picture 4", "a failed item does not end the stream");
    let rest = talk.finish().await;
    assert!(rest.end.is_ok() && rest.results.is_empty(), "{rest:?}");
    assert_eq!((rest.summary().succeeded_count, rest.summary().failed_count), (4, 1));
}

async fn a_half_close_finishes_what_is_in_flight(front: Front) {
    let gate = Gate::default();
    let held = gate.clone();
    front.service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
    let mut talk = Talk::over(front.client()).await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 8, ..features(describe()) }));
    talk.send_all((0..8).map(|number| item(inline(&format!("item-{number}"), &picture(number)))));
    talk.half_close();
    front.service.bedrock.in_progress().is(8).await;
    gate.open();
    assert_eq!(talk.finish().await.assert_whole(8).summary().failed_count, 0);
}

async fn long_streams_come_through_whole(front: Front) {
    front.service.bedrock.answer_with(|_| described("seen"));
    front.service.s3.put(BUCKET, "held", picture(7));
    let talk = Talk::over(front.client()).await;
    talk.send(describing());
    // Some pictures of several windows among many small messages.
    let large = photo("rocket.jpg");
    talk.send_all((0..300).map(|number| match number % 100 {
        50 => item(inline(&format!("item-{number}"), &large)),
        _ => item(stored(&format!("item-{number}"), "held")),
    }));
    assert_eq!(talk.finish().await.assert_whole(300).summary().failed_count, 0);
}

async fn a_stream_that_cannot_go_on_says_why(front: Front) {
    // The request side stays open.
    let talk = Talk::over(front.client()).await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: -1, ..features(describe()) }));
    let (_, details) = talk.wait_for_the_end().await.assert_ends(Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(fields(&details), ["config.max_in_flight"]);
    // And one that has results already.
    front.service.bedrock.answer_with(answer_by_number);
    let mut talk = Talk::over(front.client()).await;
    talk.send_all([describing(), item(inline("first", &picture(1)))]);
    assert_eq!(description_of(&talk.next().await), "picture 1");
    talk.send(item(inline("too large", &photo("astronaut.png"))));
    talk.wait_for_the_end().await.assert_ends(Code::OutOfRange, "MESSAGE_TOO_LARGE");
}

async fn errors_keep_their_details(front: Front) {
    let outcome = front.analyze(object("", Features::default())).await;
    let (_, details) = assert_error(outcome, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(fields(&details), ["image.s3_object.key", "features"]);

    front.service.bedrock.push(Reply::throttled());
    let outcome = front.analyze(content(&picture(0), describe())).await;
    let (status, details) = assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
    assert!(details.get::<pb::QuotaFailure>("QuotaFailure").is_some());
    let delay = details.get::<pb::RetryInfo>("RetryInfo").expect("RetryInfo").retry_delay.expect("a delay");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("the trailer").to_str().expect("text");
    assert_eq!(pushback, (delay.seconds * 1000 + i64::from(delay.nanos) / 1_000_000).to_string());

    let before = front.service.bedrock.received_so_far();
    let outcome = front.analyze(object("no such key", describe())).await;
    assert_error(outcome, Code::NotFound, "OBJECT_NOT_FOUND");
    assert_eq!(front.service.bedrock.received_so_far(), before);
}

/// A status travels in headers, which proxies bound: nginx by 4 KB, unless told otherwise.
async fn the_largest_error_comes_through(front: Front) {
    // Each byte of the first becomes three in the message; those of the others are the longest in HPACK.
    for text in ["회", "\\", "|"] {
        let mut request = object(&text.repeat(1020 / text.len()), describe());
        request.request_id = "Z".repeat(128);
        let (status, _) = assert_error(front.analyze(request).await, Code::NotFound, "OBJECT_NOT_FOUND");
        assert!(status.details().len() > 1_500, "near the server's own limit: {}", status.details().len());
    }
    let mut many = object("", Features::default());
    many.tags = (0..16).map(|number| (format!("{}{number}", "|".repeat(200)), "\\".repeat(300))).collect();
    let (status, details) = assert_error(front.analyze(many).await, Code::InvalidArgument, "FIELD_INVALID");
    assert!(fields(&details).len() > 5, "{:?}", fields(&details));
    assert!(status.details().len() > 1_500, "near the server's own limit: {}", status.details().len());
}

/// The answer comes before the request has been sent whole.
async fn a_message_over_the_limit_is_told_so(front: Front) {
    let outcome = front.analyze(content(&photo("astronaut.png"), describe())).await;
    assert_error(outcome, Code::OutOfRange, "MESSAGE_TOO_LARGE");
    front.service.bedrock.push(described("small"));
    front.analyze(content(&picture(0), describe())).await.expect("the connection goes on");
}

async fn deadlines_arrive(front: Front) {
    front.service.bedrock.push(Reply::hang());
    let outcome = front.analyze_within(4_000, content(&picture(0), describe())).await;
    let (_, details) = assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(details.info.metadata["stage"], "model");
    front.service.bedrock.abandoned(1).await;

    front.service.bedrock.answer_with(|request| match number_of(request) {
        0 => answer_by_number(request),
        _ => Reply::hang(),
    });
    let mut talk = Talk::within(front.client(), Duration::from_secs(4)).await;
    talk.send_all([describing(), item(inline("0", &picture(0))), item(inline("1", &picture(1)))]);
    assert_eq!(description_of(&talk.next().await), "picture 0", "what is done in time is answered");
    talk.wait_for_the_end().await.assert_ends(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    front.service.bedrock.abandoned(2).await;
}

async fn callers_who_leave_take_their_work_along(front: Front) {
    front.service.bedrock.answer_with(|_| Reply::hang());
    let mut client = front.client();
    let call = tokio::spawn(async move { client.analyze_image(content(&picture(0), describe())).await });
    front.service.bedrock.received(1).await;
    call.abort();
    front.service.bedrock.abandoned(1).await;

    let talk = Talk::over(front.client()).await;
    talk.send(describing());
    talk.send_all((0..4).map(|number| item(inline(&format!("{number}"), &picture(number)))));
    front.service.bedrock.in_progress().is(4).await;
    drop(talk);
    front.service.bedrock.abandoned(5).await;
}

async fn a_drain_answers_what_is_in_flight_and_says_so(front: Front) {
    let gate = Gate::default();
    let held = gate.clone();
    front.service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
    let talk = Talk::over(front.client()).await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 3, ..features(describe()) }));
    talk.send_all((0..10).map(|number| item(inline(&format!("item-{number}"), &picture(number)))));
    let mut client = front.client();
    let unary = tokio::spawn(async move { client.analyze_image(content(&picture(20), describe())).await });
    front.service.bedrock.in_progress().is(4).await;
    let Front { service, channel: _channel, proxy: _proxy } = front;
    let address = service.running.address;
    let stopping = tokio::spawn(service.running.stop());
    // The listener is gone once the server drains.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.open();
    unary.await.unwrap().expect("a call in flight is answered");
    let stream = talk.wait_for_the_end().await;
    assert_eq!(stream.ids_as_requested(), ["item-0", "item-1", "item-2"]);
    let (_, details) = stream.assert_ends(Code::Unavailable, "DRAINING");
    assert!(details.get::<pb::RetryInfo>("RetryInfo").is_some());
    stopping.await.unwrap().unwrap();
}

async fn health_is_checked_and_watched(front: Front) {
    let mut client = HealthClient::new(front.channel.clone());
    let service = || HealthCheckRequest { service: "sightline.v1.ImageAnalysisService".to_owned() };
    let mut statuses = client.watch(service()).await.unwrap().into_inner();
    while statuses.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let answer = client.check(service()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let other = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(client.check(other).await.unwrap_err().code(), Code::NotFound);
    let Front { service, proxy: _proxy, .. } = front;
    let stopping = tokio::spawn(service.running.stop());
    assert_eq!(statuses.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    stopping.await.unwrap().unwrap();
}
