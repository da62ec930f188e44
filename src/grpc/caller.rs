//! The layer that finds out who calls, before anything of the call is read. A stream's caller is found when it begins.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;

use super::{
    around::{Answer, Around, Inner},
    status,
};
use crate::{
    domain::Caller,
    identity::{Identities, Peer, Unidentified},
    metrics::Metrics,
};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Identify {
    pub(super) identities: Arc<Identities>,
    pub(super) metrics: Arc<Metrics>,
}

impl Around for Identify {
    fn call<S: Inner>(&self, inner: &mut S, mut request: Request<Body>) -> Answer<S::Error> {
        // Probes and tools that look around need no identity.
        if !request.uri().path().starts_with("/sightline.") {
            return Box::pin(inner.call(request));
        }
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            tracing::error!("a call without a peer: it came by no listener of this server");
            return Box::pin(async { Ok(status::internal().into_status(None).into_http()) });
        };
        match self.identities.caller(&peer, request.headers()) {
            Ok(caller) => {
                identified(&mut request, caller);
                Box::pin(inner.call(request))
            }
            Err(Unidentified::KeyUnknown) => {
                // The service that is ready goes with the call; its clone stays and is asked again whether it is ready.
                let next = inner.clone();
                let mut inner = std::mem::replace(inner, next);
                let (identities, metrics) = (Arc::clone(&self.identities), Arc::clone(&self.metrics));
                Box::pin(async move {
                    match look_again(&identities, &peer, &mut request).await {
                        Ok(()) => inner.call(request).await,
                        Err(error) => Ok(refused(&peer, &error, &metrics)),
                    }
                })
            }
            Err(error) => {
                let response = refused(&peer, &error, &self.metrics);
                Box::pin(async { Ok(response) })
            }
        }
    }
}

/// Looks at the issuer's keys again, and once more who calls.
async fn look_again(identities: &Identities, peer: &Peer, request: &mut Request<Body>) -> Result<(), Unidentified> {
    let headers: HeaderMap = request.headers().clone();
    let caller = identities.caller_with_new_keys(peer, &headers).await?;
    identified(request, caller);
    Ok(())
}

/// Says who calls to those behind, who have no use for the token.
fn identified(request: &mut Request<Body>, caller: Caller) {
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(caller);
}

fn refused(peer: &Peer, error: &Unidentified, metrics: &Metrics) -> Response<Body> {
    let failure = status::unidentified(error);
    let (code, reason) = failure.summary();
    metrics.caller_denied(reason);
    tracing::info!(peer = %peer.address, ?code, reason, why = error.why(), "refused before a handler ran");
    failure.into_status(None).into_http()
}
