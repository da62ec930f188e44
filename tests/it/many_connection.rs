//! One connection of a sidecar for many callers: streams that the server reads no further, since their seats are taken, hold
//! up no other call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sightline::proto::{AnalyzeManyConfig, AnalyzeManyRequest};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use crate::support::{
    bedrock::{Gate, Reply},
    many::{answer_by_number, config, features, inline, item, number_of, picture, stored},
    service::{BUCKET, Service, content, describe, photo},
};

/// Streams that are not read further, all on one connection.
const STREAMS: usize = 40;

/// One seat, so that the server reads one item and no more.
fn one_seat() -> AnalyzeManyRequest {
    config(AnalyzeManyConfig { max_in_flight: 1, ..features(describe()) })
}

/// A service whose model answers the picture 1 alone, and the others behind a gate.
async fn held() -> (Service, Gate) {
    let service = Service::start().await;
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| match number_of(request) {
        1 => answer_by_number(request),
        _ => Reply::tool(serde_json::json!({"description": "late"})).behind(&held),
    });
    (service, gate)
}

/// Opens the streams on the service's one connection. Each sends as long as it may, every message in a frame of its own, and
/// counts.
fn send(service: &Service, messages: Vec<AnalyzeManyRequest>) -> (JoinSet<()>, Vec<Arc<AtomicUsize>>) {
    let mut streams = JoinSet::new();
    let mut counts = Vec::new();
    for _ in 0..STREAMS {
        let count = Arc::new(AtomicUsize::new(0));
        counts.push(Arc::clone(&count));
        let messages = tokio_stream::iter(messages.clone()).then(move |message| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                message
            }
        });
        let mut client = service.client();
        streams.spawn(async move {
            let mut answers = client.analyze_many(messages).await.unwrap().into_inner();
            while answers.message().await.unwrap().is_some() {}
        });
    }
    (streams, counts)
}

/// Waits until no stream sends any more, while unary calls go on.
async fn at_rest(service: &Service, counts: &[Arc<AtomicUsize>]) {
    let sum = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
    let mut before = 0;
    while before == 0 || before != sum() {
        before = sum();
        for _ in 0..10 {
            service.analyze(content(&picture(1), describe())).await.expect("unary calls go on");
        }
    }
}

#[tokio::test]
async fn many_small_messages_that_are_not_read_end_no_connection() {
    let (service, gate) = held().await;
    service.s3.put(BUCKET, "held", picture(2));
    let items = (0..4_000).map(|n| item(stored(&format!("{n}"), "held")));
    let messages: Vec<_> = std::iter::once(one_seat()).chain(items).collect();
    let (mut streams, counts) = send(&service, messages);
    service.bedrock.received(STREAMS).await;
    at_rest(&service, &counts).await;
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) > 1_000), "each stream has filled its window");
    while let Some(ended) = streams.try_join_next() {
        panic!("a stream ended early: {ended:?}");
    }
    drop((streams, gate));
}

#[tokio::test]
async fn large_messages_that_are_not_read_leave_room_for_other_calls() {
    let (service, gate) = held().await;
    let large = photo("astronaut.png");
    let items = (0..4).map(|n| item(inline(&format!("{n}"), &large)));
    let messages: Vec<_> = std::iter::once(one_seat()).chain(items).collect();
    let (streams, counts) = send(&service, messages);
    service.bedrock.received(STREAMS).await;
    at_rest(&service, &counts).await;
    let unary = content(&photo("coffee.png"), describe());
    let whole = sightline::proto::AnalyzeImageRequest { validate_only: true, ..unary };
    assert!(service.analyze(whole).await.is_ok(), "a request of several windows comes through");
    drop((streams, gate));
}
