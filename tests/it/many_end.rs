//! How streams end: by the client, by time, by a broken request, by the server's own end.

use std::time::Duration;

use prost::Message as _;
use serde_json::json;
use sightline::proto::{
    AnalysisOptions, AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, AnalyzeManyResponse, ResultOrder,
    S3Object, analyze_many_request::Payload,
};
use tonic::{Code, transport::Endpoint};

use crate::support::{
    bedrock::{Gate, Reply},
    many::{
        Collected, Talk, answer_by_number, config, describing, description_of, features, inline, item, listing,
        number_of, picture, stored, under,
    },
    s3::Fault,
    service::{BUCKET, Client, Service, channel, connect, content, describe},
};

fn items(count: usize) -> Vec<AnalyzeManyRequest> {
    (0..count).map(|number| item(inline(&format!("item-{number}"), &picture(number)))).collect()
}

/// A service whose model answers behind the gate.
async fn gated(flags: &[&str]) -> (Service, Gate) {
    let service = Service::with(flags).await;
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
    (service, gate)
}

/// Returns once the server has begun to drain: the listener is gone.
async fn drains(address: std::net::SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cancelled_stream_drops_all_its_upstream_work() {
    let (service, _gate) = gated(&[]).await;
    let talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 5, ..features(describe()) }));
    service.s3.put(BUCKET, "hangs", picture(0));
    service.s3.fault(BUCKET, "hangs", Fault::HangInBody);
    talk.send(item(stored("hangs", "hangs")));
    talk.send_all(items(20));
    service.bedrock.in_progress().is(4).await;
    service.s3.gets_received(1).await;
    drop(talk);
    service.bedrock.abandoned(4).await;
    service.s3.abandoned(1).await;
    service.bedrock.in_progress().is(0).await;
    assert_eq!(service.bedrock.received_so_far(), 4, "nothing begins after the end");
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_upstream_work_along() {
    let (service, _gate) = gated(&[]).await;
    service.put_numbered((0..40).map(|number| format!("n/{number:02}.png")));
    service.s3.set_page_size(5);
    service.bedrock.answer_with(|_| Reply::hang());
    let address = service.running.address;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let talk = Talk::over(connect(address).await).await;
        talk.send(config(AnalyzeManyConfig { max_in_flight: 4, ..features(describe()) }));
        talk.send(listing(under("n/")));
        talk.wait_for_the_end().await
    });
    service.bedrock.in_progress().is(4).await;
    runtime.shutdown_background();
    service.bedrock.abandoned(4).await;
    assert_eq!(service.bedrock.received_so_far(), 4);
    assert!(service.s3.lists().len() <= 2);
}

#[tokio::test]
async fn the_callers_deadline_ends_the_stream_and_its_work() {
    let service = Service::start().await;
    service.bedrock.answer_with(|request| match number_of(request) {
        0 => answer_by_number(request),
        _ => Reply::hang(),
    });
    let mut talk = Talk::within(service.client(), Duration::from_secs(4)).await;
    talk.send(describing());
    talk.send_all(items(4));
    assert_eq!(description_of(&talk.next().await), "picture 0", "what is done in time is answered");
    service.bedrock.received(4).await;
    let rest = talk.wait_for_the_end().await;
    assert!(rest.results.is_empty());
    let (_, details) = rest.assert_ends(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(details.info.metadata["stage"], "stream");
    service.bedrock.abandoned(3).await;
    // A stream that waits for its client is bounded too, before its first message and after it.
    for first in [None, Some(describing())] {
        let talk = Talk::within(service.client(), Duration::from_millis(300)).await;
        talk.send_all(first);
        let (_, details) = talk.wait_for_the_end().await.assert_ends(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        assert_eq!(details.info.metadata["stage"], "stream");
    }
    // And one that reads a listing.
    service.s3.fault_lists(BUCKET, Fault::Hang);
    let talk = Talk::within(service.client(), Duration::from_millis(1000)).await;
    talk.send_all([describing(), listing(under("n/"))]);
    talk.wait_for_the_end().await.assert_ends(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    service.s3.abandoned(1).await;
}

#[tokio::test]
async fn a_stream_may_wait_for_its_client_longer_than_a_request_may_take() {
    let service = Service::with(&["--request-timeout", "2s"]).await;
    let (silent, settled) = (service.talk().await, service.talk().await);
    settled.send(describing());
    service.bedrock.push(Reply::hang());
    let outcome = service.analyze(content(&picture(0), describe())).await;
    crate::support::service::assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    service.bedrock.answer_with(answer_by_number);
    silent.send(describing());
    for mut talk in [silent, settled] {
        talk.send_all(items(1));
        assert_eq!(description_of(&talk.next().await), "picture 0");
        talk.finish().await;
    }
}

#[tokio::test]
async fn a_half_close_finishes_what_is_in_flight() {
    let (service, gate) = gated(&[]).await;
    let mut talk = service.talk().await;
    talk.send(describing());
    talk.send_all(items(30));
    talk.half_close();
    service.bedrock.in_progress().is(16).await;
    gate.open();
    assert_eq!(talk.finish().await.assert_whole(30).summary().failed_count, 0);
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_stream_after_what_is_in_flight() {
    let (service, gate) = gated(&["--max-message-bytes", "2000"]).await;
    let talk = service.talk().await;
    talk.send(describing());
    talk.send_all(items(3));
    service.bedrock.in_progress().is(3).await;
    talk.send(item(inline("too large", &[0; 4000])));
    talk.send_all(items(1));
    gate.open();
    let collected = talk.wait_for_the_end().await;
    assert_eq!(collected.ids_as_requested(), ["item-0", "item-1", "item-2"]);
    collected.assert_ends(Code::OutOfRange, "MESSAGE_TOO_LARGE");
}

/// A message whose two first fields hold these bytes, as the fields `config` and `item` of a request do. The bytes must be
/// UTF-8.
fn as_text(request: &AnalyzeManyRequest) -> S3Object {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match request.payload.as_ref().unwrap() {
        Payload::Config(config) => S3Object { bucket: text(config.encode_to_vec()), ..S3Object::default() },
        Payload::Item(item) => S3Object { key: text(item.encode_to_vec()), ..S3Object::default() },
        Payload::Listing(_) => panic!("no field for it"),
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream_after_what_is_in_flight() {
    let (service, gate) = gated(&[]).await;
    service.s3.put(BUCKET, "key", picture(0));
    let mut client = tonic::client::Grpc::new(channel(service.running.address).await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<S3Object, AnalyzeManyResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/sightline.v1.ImageAnalysisService/AnalyzeMany");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
    let response = client.streaming(tonic::Request::new(requests), path, codec).await.unwrap();
    sender.send(as_text(&describing())).unwrap();
    sender.send(as_text(&item(stored("good", "key")))).unwrap();
    service.bedrock.in_progress().is(1).await;
    // Text where a message belongs.
    sender.send(S3Object { key: "~~~~".to_owned(), ..S3Object::default() }).unwrap();
    gate.open();
    let collected = Collected::take_all(response.into_inner()).await;
    assert_eq!(collected.ids(), ["good"]);
    assert_eq!(description_of(collected.of("good")), "picture 0");
    collected.assert_ends(Code::InvalidArgument, "REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_drain_answers_what_is_in_flight_and_says_so() {
    let (service, gate) = gated(&[]).await;
    let talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 3, ..features(describe()) }));
    talk.send_all(items(10));
    service.bedrock.in_progress().is(3).await;
    let Service { bedrock, running, s3: _s3, .. } = service;
    let address = running.address;
    let stopping = tokio::spawn(running.stop());
    drains(address).await;
    talk.send(item(inline("too late", &picture(20))));
    gate.open();
    let collected = talk.wait_for_the_end().await;
    assert_eq!(collected.ids_as_requested(), ["item-0", "item-1", "item-2"]);
    assert!(collected.results.iter().all(|result| description_of(result).starts_with("picture ")));
    let (_, details) = collected.assert_ends(Code::Unavailable, "DRAINING");
    assert!(details.get::<tonic_types::pb::RetryInfo>("RetryInfo").is_some());
    stopping.await.unwrap().unwrap();
    assert_eq!(bedrock.received_so_far(), 3, "nothing begins while the server drains");
}

#[tokio::test]
async fn a_drain_lets_a_stream_finish_whose_requests_are_all_in_flight() {
    let (service, gate) = gated(&[]).await;
    let mut talk = service.talk().await;
    talk.send(describing());
    talk.send_all(items(5));
    talk.half_close();
    service.bedrock.in_progress().is(5).await;
    // The half-close has come by the time a later call on the connection is answered.
    let request = sightline::proto::AnalyzeImageRequest { validate_only: true, ..content(&picture(0), describe()) };
    service.analyze(request).await.unwrap();
    let Service { bedrock: _bedrock, running, s3: _s3, .. } = service;
    let address = running.address;
    let stopping = tokio::spawn(running.stop());
    drains(address).await;
    gate.open();
    talk.finish().await.assert_whole(5);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_stream_does_not_hold_up_a_drain() {
    let service = Service::with(&["--drain-timeout", "1h"]).await;
    let (silent, settled) = (service.talk().await, service.talk().await);
    settled.send(describing());
    let mut worked = service.talk().await;
    service.bedrock.answer_with(answer_by_number);
    worked.send(describing());
    worked.send_all(items(1));
    worked.next().await;
    service.running.stop().await.unwrap();
    for talk in [silent, settled, worked] {
        talk.wait_for_the_end().await.assert_ends(Code::Unavailable, "DRAINING");
    }
}

#[tokio::test]
async fn a_drain_stops_a_listing() {
    let (service, gate) = gated(&[]).await;
    let keys: Vec<String> = (0..40).map(|number| format!("n/{number:02}.png")).collect();
    for (number, key) in keys.iter().enumerate() {
        service.s3.put(BUCKET, key, picture(number));
    }
    service.s3.set_page_size(3);
    let talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 4, ..features(describe()) }));
    talk.send(listing(under("n/")));
    service.bedrock.in_progress().is(4).await;
    let Service { bedrock, running, s3, .. } = service;
    let address = running.address;
    let stopping = tokio::spawn(running.stop());
    drains(address).await;
    gate.open();
    let collected = talk.wait_for_the_end().await;
    assert_eq!(collected.ids_as_requested(), keys[..4]);
    assert_eq!(collected.results.last().unwrap().resume_after, keys[3]);
    collected.assert_ends(Code::Unavailable, "DRAINING");
    stopping.await.unwrap().unwrap();
    assert!(s3.lists().len() <= 2 && bedrock.received_so_far() == 4);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let service = Service::with(&["--drain-timeout", "50ms"]).await;
    service.bedrock.answer_with(|request| match number_of(request) {
        0 => Reply::hang(),
        _ => answer_by_number(request),
    });
    let mut talk = service.talk().await;
    talk.send(describing());
    talk.send_all(items(2));
    assert_eq!(talk.next().await.item_id, "item-1");
    let Service { bedrock, running, s3: _s3, .. } = service;
    bedrock.received(2).await;
    running.stop().await.unwrap();
    bedrock.abandoned(1).await;
    let collected = talk.wait_for_the_end().await;
    assert!(collected.results.is_empty());
    collected.assert_ends(Code::Unavailable, "DRAINING");
}

#[tokio::test]
async fn a_drain_ends_only_when_the_last_result_was_sent() {
    let service = Service::with(&["--drain-timeout", "1h"]).await;
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |_| Reply::tool(json!({"description": "long ".repeat(30_000)})).behind(&held));
    let endpoint = Endpoint::from_shared(format!("http://{}", service.running.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut talk = Talk::over(Client::new(endpoint.connect().await.unwrap())).await;
    let options = Some(AnalysisOptions { include_raw_output: true, ..AnalysisOptions::default() });
    let order = ResultOrder::AsRequested.into();
    talk.send(config(AnalyzeManyConfig { options, result_order: order, ..features(describe()) }));
    talk.send_all(items(6));
    talk.half_close();
    service.bedrock.in_progress().is(6).await;
    let Service { bedrock, running, s3: _s3, .. } = service;
    let address = running.address;
    let stopping = tokio::spawn(running.stop());
    drains(address).await;
    gate.open();
    bedrock.in_progress().is(0).await;
    // All work is done; the client has not read.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished(), "results are still on their way");
    let collected = talk.finish().await;
    collected.assert_whole(6);
    assert!(collected.results.iter().all(|result| description_of(result).len() > 140_000));
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_while_others_on_its_connection_end() {
    let (service, gate) = gated(&[]).await;
    let client = service.another_client().await;
    let mut staying = Talk::over(client.clone()).await;
    staying.send(describing());
    staying.send_all(items(2));
    let leaving = Talk::over(client.clone()).await;
    leaving.send(describing());
    leaving.send_all((2..6).map(|number| item(inline(&number.to_string(), &picture(number)))));
    let failing = Talk::over(client).await;
    failing.send(AnalyzeManyRequest { payload: Some(Payload::Item(AnalyzeManyItem::default())) });
    failing.send(AnalyzeManyRequest::default());
    service.bedrock.in_progress().is(6).await;
    drop(leaving);
    service.bedrock.abandoned(4).await;
    assert_eq!(failing.finish().await.assert_whole(2).summary().failed_count, 2);
    gate.open();
    staying.half_close();
    staying.finish().await.assert_whole(2);
}
