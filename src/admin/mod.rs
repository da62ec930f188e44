//! The admin port: plain HTTP for probes, scrapers and operators.
//!
//! It knows no callers, so it tells nothing that is secret, and changes nothing but the filter of the log, which it does for
//! peers on loopback alone.

mod routes;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::ServiceExt as _;

use crate::{grpc::Readiness, metrics::Metrics, telemetry::LogFilter};

/// Connections over this wait in the operating system's queue.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time for a request and its answer. A connection has one of them.
const REQUEST_TIME: Duration = Duration::from_secs(15);
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, such as too many open files, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the admin port tells.
#[derive(Debug)]
pub struct Admin {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the server takes calls.
    pub readiness: Readiness,
    /// The configuration in force, redacted.
    pub config: String,
    /// The filter of the log.
    pub filter: LogFilter,
}

/// The admin port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the admin port on {address}: {error}; choose another address with --admin-listen or SIGHTLINE_ADMIN_LISTEN, \
     or `off`"
)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

/// Binds the admin port.
///
/// # Errors
/// When the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listener = TcpListener::bind(address).await.map_err(|error| BindError { address, error })?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "the admin port is not on loopback: whoever reaches it reads the metrics and the configuration"
        );
    }
    Ok(listener)
}

/// Answers on `listener` until `stop` resolves, and lets requests under way finish.
pub async fn serve(listener: TcpListener, admin: Admin, stop: impl Future<Output = ()>) {
    let routes = routes::of(admin);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => { connections.spawn(answer(stream, peer, routes.clone())); }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn answer(stream: TcpStream, peer: SocketAddr, routes: axum::Router) {
    let service = routes.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(routes::Peer(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A connection's error is the client's doing: it went away, was slow or sent no HTTP. There is nobody to tell.
    let _ended = tokio::time::timeout(REQUEST_TIME, connection).await;
}
