//! The frame that the layers share: each is what it does around a call.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// What comes of a call.
pub(super) type Answer<E> = BoxFuture<'static, Result<Response<Body>, E>>;

/// What a layer does around each call.
pub(super) trait Around {
    /// Calls `inner`, which is ready for one call, or answers in its place.
    fn call<S: Inner>(&self, inner: &mut S, request: Request<Body>) -> Answer<S::Error>;
}

/// What lies inside a layer.
pub(super) trait Inner:
    Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Puts it around a service.
#[derive(Debug, Clone)]
pub(super) struct LayerOf<A>(pub(super) A);

impl<A: Clone, S> Layer<S> for LayerOf<A> {
    type Service = Layered<A, S>;

    fn layer(&self, inner: S) -> Layered<A, S> {
        Layered { around: self.0.clone(), inner }
    }
}

/// A service and what is done around its calls.
#[derive(Debug, Clone)]
pub(super) struct Layered<A, S> {
    around: A,
    inner: S,
}

impl<A: Around, S: Inner> Service<Request<Body>> for Layered<A, S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer<S::Error> {
        self.around.call(&mut self.inner, request)
    }
}
