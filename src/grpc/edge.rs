//! The innermost layer around the services: it stamps a call's arrival, before the message has been read, bounds the whole
//! call by its deadline, and gives the errors that the transport itself answers the details that every error carries. A picture
//! that there is no place for is refused here, before its bytes have been read.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Status, body::Body};

use super::{
    around::{Answer, Around, Inner},
    deadline, observe, status,
};
use crate::pipeline::{Admission, Deadline, Stage};

/// When a call arrived and when it must be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) deadline: Deadline,
}

/// Counts the calls in flight, so that a drain ends with the last of them: health watches and reflection streams stay
/// open as long as their callers like and are none.
#[derive(Debug, Clone)]
pub(super) struct InFlight(Arc<watch::Sender<usize>>);

impl InFlight {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    fn enter(&self) -> Entered {
        self.0.send_modify(|count| *count += 1);
        Entered(self.clone())
    }

    /// Resolves when there has been none for this long: a call that comes meanwhile is waited for too.
    pub(super) async fn none_for(&self, quiet: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is this value's own: it cannot be gone.
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(quiet, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One call in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered(InFlight);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) in_flight: InFlight,
    pub(super) admission: Admission,
    /// Longest time for one call, whatever its caller allows.
    pub(super) longest: Duration,
}

impl Around for Edge {
    fn call<S: Inner>(&self, inner: &mut S, mut request: Request<Body>) -> Answer<S::Error> {
        // Health watches and reflection live as long as their callers like.
        if !request.uri().path().starts_with("/sightline.") {
            return Box::pin(inner.call(request));
        }
        if observe::is_single(request.uri().path())
            && let Err(error) = self.admission.check()
        {
            // It is counted, and the admission says now and then how many there are: a line for each would be too dear.
            let answer = status::failure(&error).into_status(None).into_http();
            return Box::pin(async move { Ok(answer) });
        }
        let entered = Arc::new(self.in_flight.enter());
        let at = Instant::now();
        let deadline = deadline::of(request.headers(), at, self.longest);
        request.extensions_mut().insert(Arrival { at, deadline });
        // A stream is in flight for longer than its response head is awaited here.
        request.extensions_mut().insert(Arc::clone(&entered));
        let answer = inner.call(request);
        Box::pin(async move {
            let _entered = entered;
            match deadline.bound(Stage::Receive, answer).await {
                Ok(answer) => answer.map(explained),
                Err(error) => {
                    tracing::info!(cause = %error, "refused before a handler ran");
                    Ok(status::failure(&error).into_status(None).into_http())
                }
            }
        })
    }
}

/// The response, with details when it is an error that no handler made.
fn explained(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            let failure = status::of_the_transport(status.code(), status.message());
            let (code, reason) = failure.summary();
            tracing::info!(?code, reason, "refused before a handler ran");
            failure.into_status(None).into_http()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller learns of the drain only when it has been told, and its call may be on its way by then.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_comes_in_the_quiet_is_waited_for() {
        const QUIET: Duration = Duration::from_secs(1);
        let in_flight = InFlight::new();
        let began = Instant::now();
        let calls = in_flight.clone();
        tokio::spawn(async move {
            let first = calls.enter();
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
            tokio::time::sleep(QUIET / 2).await;
            let second = calls.enter();
            tokio::time::sleep(Duration::from_secs(7)).await;
            drop(second);
        });
        tokio::task::yield_now().await;
        in_flight.none_for(QUIET).await;
        assert!(began.elapsed() >= Duration::from_secs(12) + QUIET * 3 / 2, "{:?}", began.elapsed());
    }
}
