//! A request that is repeated under its own id is the same request: it is answered again and not paid for again, and its
//! id is no other's.

use sightline::proto::{AnalyzeImageRequest, CacheMode};
use tonic::Code;

use crate::support::{
    bedrock::Reply,
    models::{about, everything},
    service::{assert_error, describe, label, prompt},
    sharing::{assert_free, gated, keeping, mode},
};

fn named(id: &str, mut request: AnalyzeImageRequest) -> AnalyzeImageRequest {
    request.request_id = id.to_owned();
    request
}

#[tokio::test]
async fn one_id_means_one_request() {
    let (service, gate) = gated().await;
    let first = service.begin(named("order-7", about(describe())));
    service.bedrock.received(1).await;
    // While it is in flight.
    let other = service.analyze(named("order-7", about(label()))).await;
    assert_error(other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let repeated = service.begin(named("order-7", about(describe())));
    service.settled().await;
    gate.open();
    let [first, repeated] = [first.await, repeated.await].map(|call| call.expect("no panic").expect("an answer"));
    assert_eq!((first.request_id.as_str(), repeated.request_id.as_str()), ("order-7", "order-7"));
    assert_eq!(first.description, repeated.description);
    // And while its result is kept.
    let other = service.analyze(named("order-7", about(label()))).await;
    assert_error(other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_free(&service.analyze(named("order-7", about(describe()))).await.expect("an answer"));
    assert_eq!(service.bedrock.requests().len(), 1);
    // Another id is another request, and no id is none.
    service.analyze(named("order-8", about(label()))).await.expect("an answer");
    service.analyze(about(everything())).await.expect("an answer");
    service.analyze(about(prompt("Which colour?"))).await.expect("an answer");
}

/// A refreshed result is kept, and with it the id: who lost it asks for it again.
#[tokio::test]
async fn a_repeated_refresh_is_not_paid_again_once_it_is_kept() {
    let service = keeping().await;
    let request = |id| named(id, mode(about(describe()), CacheMode::Refresh));
    service.analyze(request("order-7")).await.expect("an answer");
    assert_free(&service.analyze(request("order-7")).await.expect("an answer"));
    service.analyze(request("order-8")).await.expect("an answer");
    assert_eq!(service.bedrock.requests().len(), 2, "another id is another request to refresh");
}

/// A retry of a call whose answer was lost is not paid for, even when its caller wants nothing from a cache.
#[tokio::test]
async fn a_repeated_request_shares_its_own_call_without_a_cache() {
    for cache_mode in [CacheMode::Off, CacheMode::Refresh] {
        let (service, gate) = gated().await;
        let request = || named("order-7", mode(about(describe()), cache_mode));
        let first = service.begin(request());
        service.bedrock.received(1).await;
        let second = service.begin(request());
        service.settled().await;
        gate.open();
        for call in [first, second] {
            call.await.expect("no panic").expect("an answer");
        }
        assert_eq!(service.bedrock.requests().len(), 1, "{cache_mode:?}");
    }
}

/// An id whose request failed may be used for another.
#[tokio::test]
async fn an_id_is_free_again_after_a_failure() {
    let service = keeping().await;
    service.bedrock.push(Reply::refusal());
    let failed = service.analyze(named("order-7", about(describe()))).await;
    assert_error(failed, Code::FailedPrecondition, "MODEL_REFUSED");
    service.analyze(named("order-7", about(label()))).await.expect("an answer");
}
