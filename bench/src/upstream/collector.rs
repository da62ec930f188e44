//! A collector of traces: takes every batch over OTLP gRPC and keeps nothing.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::{Body, State, response};

/// Serves on a free loopback port until the process ends.
pub(super) async fn serve(state: Arc<State>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            let service = service_fn(move |request| take(Arc::clone(&state), request));
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

/// Reads a batch, and answers the empty message that says that all of it was taken.
async fn take(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut body = request.into_body();
    state.batches.fetch_add(1, Relaxed);
    while let Some(Ok(frame)) = body.frame().await {
        state.batch_bytes.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Relaxed);
    }
    let ok = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Ok(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(ok))];
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Ok(response(200, &[("content-type", "application/grpc")], body))
}
