//! Time: the caller's deadline and the server's maximum bound everything, and whoever leaves takes the upstream work along.

use serde_json::json;
use sightline::proto::{AnalyzeImageRequest, AnalyzeImageResponse};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    bedrock::Reply,
    many::picture,
    s3::Fault,
    service::{BUCKET, Service, assert_error, channel, connect, content, describe, object, photo},
};

/// Time limit of calls that reach what keeps silent before it has passed, on a slow machine too.
const LIMIT_MS: u64 = 4_000;

#[tokio::test]
async fn the_callers_deadline_ends_a_silent_model_call() {
    let service = Service::start().await;
    service.bedrock.push(Reply::hang());
    let outcome = service.analyze_within(LIMIT_MS, content(&picture(0), describe())).await;
    let (_, details) = assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(details.info.metadata["stage"], "model");
    service.bedrock.abandoned(1).await;
    assert_eq!(service.bedrock.requests().len(), 1, "silence is not paid for twice");
}

#[tokio::test]
async fn the_callers_deadline_ends_a_silent_read() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "key", photo("rocket.jpg"));
    for (count, fault) in [(1, Fault::Hang), (2, Fault::HangInBody)] {
        service.s3.fault(BUCKET, "key", fault);
        let outcome = service.analyze_within(LIMIT_MS, object("key", describe())).await;
        let (_, details) = assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        assert_eq!(details.info.metadata["stage"], "fetch");
        service.s3.abandoned(count).await;
    }
}

#[tokio::test]
async fn the_servers_maximum_holds_without_a_callers_deadline() {
    let service = Service::with(&["--request-timeout", "4s"]).await;
    service.bedrock.push(Reply::hang());
    let outcome = service.analyze(content(&picture(0), describe())).await;
    assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    service.bedrock.abandoned(1).await;
}

#[tokio::test]
async fn a_message_that_never_comes_whole_is_bounded_too() {
    let service = Service::with(&["--request-timeout", "300ms"]).await;
    let mut client = tonic::client::Grpc::new(channel(service.running.address).await);
    client.ready().await.unwrap();
    // The stream of messages never yields one and never ends.
    let codec = tonic_prost::ProstCodec::<AnalyzeImageRequest, AnalyzeImageResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/sightline.v1.ImageAnalysisService/AnalyzeImage");
    let outcome = client.client_streaming(tonic::Request::new(tokio_stream::pending()), path, codec).await;
    let (_, details) = assert_error(outcome.map(|_| ()), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(details.info.metadata["stage"], "receive");
}

#[tokio::test]
async fn too_little_time_is_not_spent_on_a_call() {
    let service = Service::with(&["--min-model-time", "1h"]).await;
    let outcome = service.analyze_within(30_000, content(&photo("rocket.jpg"), describe())).await;
    assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_TOO_SHORT");
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn a_cancelled_call_drops_its_upstream_work() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "key", photo("rocket.jpg"));
    service.bedrock.push(Reply::hang());
    let mut client = service.client();
    let call = tokio::spawn(async move { client.analyze_image(object("key", describe())).await });
    service.bedrock.received(1).await;
    call.abort();
    service.bedrock.abandoned(1).await;

    service.s3.fault(BUCKET, "key", Fault::HangInBody);
    let mut client = service.client();
    let call = tokio::spawn(async move { client.analyze_image(object("key", describe())).await });
    service.s3.received(2).await;
    call.abort();
    service.s3.abandoned(1).await;
}

#[tokio::test]
async fn a_client_that_vanishes_drops_its_upstream_work() {
    let service = Service::start().await;
    service.bedrock.push(Reply::hang());
    let address = service.running.address;
    // A runtime of its own, so that dropping it closes the connection.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let mut client = connect(address).await;
        client.analyze_image(content(&photo("rocket.jpg"), describe())).await
    });
    service.bedrock.received(1).await;
    runtime.shutdown_background();
    service.bedrock.abandoned(1).await;
}

#[tokio::test]
async fn stopping_lets_calls_in_flight_finish() {
    let service = Service::start().await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    service.bedrock.push(Reply::tool(json!({"description": "late"})).delayed(&gate));
    let mut client = service.client();
    let call = tokio::spawn(async move { client.analyze_image(content(&photo("rocket.jpg"), describe())).await });
    service.bedrock.received(1).await;
    let address = service.running.address;
    let stopping = tokio::spawn(service.running.stop());
    // The listener is gone once the server drains.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let analysis = call.await.unwrap().unwrap().into_inner().analysis.unwrap();
    assert_eq!(analysis.description.unwrap().text, "late");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_those_who_watch_health() {
    let service = Service::with(&["--drain-timeout", "1h"]).await;
    let mut client = HealthClient::new(channel(service.running.address).await);
    let mut statuses = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while statuses.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    service.running.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let service = Service::with(&["--drain-timeout", "50ms"]).await;
    service.bedrock.push(Reply::hang());
    let mut client = service.client();
    let call = tokio::spawn(async move { client.analyze_image(content(&photo("rocket.jpg"), describe())).await });
    service.bedrock.received(1).await;
    service.running.stop().await.unwrap();
    service.bedrock.abandoned(1).await;
    assert_error(call.await.unwrap().map(|_| ()), Code::Unavailable, "DRAINING");
}
