//! What is answered where.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, State},
    response::IntoResponse,
    routing::get,
};
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, ORIGIN},
};

use super::Admin;
use crate::{
    grpc::State as Life,
    metrics::Format,
    telemetry::{LogFilter, MAX_FILTER_BYTES},
};

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

pub(super) fn of(admin: Admin) -> Router {
    Router::new()
        // The process lives, and its async runtime works.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/log", get(shown_filter).post(set_filter))
        .layer(DefaultBodyLimit::max(MAX_FILTER_BYTES))
        .with_state(Arc::new(admin))
}

async fn readyz(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let state = admin.readiness.state();
    let code = if state == Life::Serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", state.as_str()))
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    ([(CONTENT_TYPE, format.content_type())], admin.metrics.scrape(format))
}

async fn config(State(admin): State<Arc<Admin>>) -> String {
    admin.config.clone()
}

async fn shown_filter(State(admin): State<Arc<Admin>>) -> String {
    format!("{}\n", admin.filter.current())
}

async fn set_filter(
    State(admin): State<Arc<Admin>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    filter: String,
) -> (StatusCode, String) {
    if !may_set(peer, &headers) {
        let message = "the filter of the log is changed from the server's own machine: in Kubernetes, by `kubectl exec` or \
                       `kubectl port-forward`\n";
        return (StatusCode::FORBIDDEN, message.to_owned());
    }
    changed(&admin.filter, &filter)
}

/// A debug log may hold parts of requests, so whoever switches it on must be on this machine; and no page of a browser there.
fn may_set(peer: SocketAddr, headers: &HeaderMap) -> bool {
    peer.ip().to_canonical().is_loopback() && !headers.contains_key(ORIGIN)
}

fn changed(log: &LogFilter, filter: &str) -> (StatusCode, String) {
    match log.set(filter) {
        Ok(()) => {
            let filter = log.current();
            tracing::info!(filter, "the filter of the log was changed");
            (StatusCode::OK, format!("{filter}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("the filter cannot be read: {error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_no_browser_changes_the_log() {
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        let none = HeaderMap::new();
        assert!(may_set(peer("127.0.0.1:1"), &none) && may_set(peer("[::1]:1"), &none));
        assert!(may_set(peer("[::ffff:127.0.0.1]:1"), &none));
        assert!(!may_set(peer("10.0.0.7:1"), &none) && !may_set(peer("[::ffff:10.0.0.7]:1"), &none));
        let from_a_page = HeaderMap::from_iter([(ORIGIN, "http://evil.example".parse().unwrap())]);
        assert!(!may_set(peer("127.0.0.1:1"), &from_a_page));
    }
}
