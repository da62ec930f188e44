//! The layer that finds out who calls, before anything of the call is read. A stream's caller is found when it begins.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tower::{Layer, Service};

use super::status;
use crate::{
    domain::Caller,
    identity::{Identities, Peer, Unidentified},
};

/// Makes [`Identify`].
#[derive(Debug, Clone)]
pub(super) struct CallerLayer(pub(super) Arc<Identities>);

impl<S> Layer<S> for CallerLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Identify<S> {
        Identify { inner, identities: Arc::clone(&self.0) }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Identify<S> {
    inner: S,
    identities: Arc<Identities>,
}

impl<S> Service<Request<Body>> for Identify<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Probes and tools that look around need no identity.
        if !request.uri().path().starts_with("/sightline.") {
            return Box::pin(self.inner.call(request));
        }
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            tracing::error!("a call without a peer: it came by no listener of this server");
            return Box::pin(async { Ok(status::internal().into_status(None).into_http()) });
        };
        match self.identities.caller(&peer, request.headers()) {
            Ok(caller) => {
                identified(&mut request, caller);
                Box::pin(self.inner.call(request))
            }
            Err(Unidentified::KeyUnknown) => {
                // The service that is ready goes with the call; its clone stays and is asked again whether it is ready.
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                Box::pin(look_again(inner, Arc::clone(&self.identities), peer, request))
            }
            Err(error) => {
                let response = refused(&peer, &error);
                Box::pin(async { Ok(response) })
            }
        }
    }
}

/// Goes on once the issuer's keys have been looked at again.
async fn look_again<S>(
    mut inner: S,
    identities: Arc<Identities>,
    peer: Peer,
    mut request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let headers: HeaderMap = request.headers().clone();
    match identities.caller_with_new_keys(&peer, &headers).await {
        Ok(caller) => {
            identified(&mut request, caller);
            inner.call(request).await
        }
        Err(error) => Ok(refused(&peer, &error)),
    }
}

/// Says who calls to those behind, who have no use for the token.
fn identified(request: &mut Request<Body>, caller: Caller) {
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(caller);
}

fn refused(peer: &Peer, error: &Unidentified) -> Response<Body> {
    let failure = status::unidentified(error);
    let (code, reason) = failure.summary();
    tracing::info!(peer = %peer.address, ?code, reason, why = error.why(), "refused before a handler ran");
    failure.into_status(None).into_http()
}
