//! The services on a listener, behind the layers.

use std::{any::Any, future::Future, sync::Arc, time::Duration};

use http::Response;
use tokio::{net::TcpListener, sync::watch};
use tonic::{body::Body, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Readiness, Service, State,
    around::LayerOf,
    caller::Identify,
    edge::{Edge, InFlight},
    listener::{ConnectionLimits, Connections, Incoming},
    observe::Observe,
    status,
};
use crate::{
    identity::Identities,
    proto::{self, image_analysis_service_server::ImageAnalysisServiceServer},
    reload::Reloaded,
};

/// How the transport behaves.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Largest request message in bytes.
    pub max_message_bytes: usize,
    /// Longest wait for calls in flight once the server is told to stop.
    pub drain_timeout: Duration,
    /// TLS, when the server speaks it.
    pub tls: Option<Arc<Reloaded<rustls::ServerConfig>>>,
    /// How connections are limited.
    pub limits: ConnectionLimits,
    /// What has become of them.
    pub connections: Connections,
    /// Who calls.
    pub identities: Arc<Identities>,
    /// Time for which calls are still served once health has said NOT_SERVING.
    pub drain_pause: Duration,
    /// Who wants to know whether the server takes calls.
    pub readiness: Readiness,
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client may send on one stream before the server has read it: a little, for what is not read is held.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Resets that a client may have pending before it is taken for an attack.
const MAX_PENDING_RESETS: usize = 64;
/// Time for the last answers to reach their callers, and for calls that were sent before the callers knew to come in.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The same for all streams of a connection together: more than all of them may send, so that streams which the server reads
/// no further for now, since their seats are taken, hold up no other call of a sidecar's one connection. h2 also derives from
/// it how many small frames it holds before it takes the client for an attacker: 256 streams full of them are fine.
fn connection_window_bytes(max_streams: u32) -> u32 {
    // HTTP/2 has no larger window.
    STREAM_WINDOW_BYTES.saturating_mul(2).saturating_mul(max_streams).min(i32::MAX as u32)
}

/// Serves until `shutdown` resolves, says so for the drain pause, then stops accepting and lets calls in flight finish within
/// the drain timeout.
/// Health answers SERVING once `ready` has resolved.
///
/// # Errors
/// When the transport cannot be set up or fails.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    transport: Transport,
    ready: impl Future<Output = ()> + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::NotServing).await;
    let metrics = Arc::clone(service.analyzer().metrics());
    let observe = Observe(Arc::clone(&metrics));
    let in_flight = InFlight::new();
    let admission = service.analyzer().admission().clone();
    let edge = Edge { longest: service.max_request_time(), admission, in_flight: in_flight.clone() };
    let (cut, cut_off) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let analysis = ImageAnalysisServiceServer::new(service.until(stopped.clone(), cut_off))
        .max_decoding_message_size(transport.max_message_bytes);
    let identities = Arc::clone(&transport.identities);
    let ready = async move {
        ready.await;
        identities.ready().await;
    };
    let draining = drain(health.clone(), transport.readiness.clone(), ready, shutdown, transport.drain_pause, stop);
    let callers = Identify { identities: Arc::clone(&transport.identities), metrics };
    let limits = &transport.limits;
    let incoming =
        Incoming::new(listener, transport.tls.clone(), transport.connections.clone(), closed(stopped.clone()));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(connection_window_bytes(limits.max_streams))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .max_concurrent_streams(limits.max_streams)
        .max_connection_age(limits.max_age)
        .max_connection_age_grace(limits.age_grace)
        // -- the layers, outermost first --
        // A panic is one call's INTERNAL, never the connection's end.
        .layer(CatchPanicLayer::custom(on_panic as fn(Box<dyn Any + Send>) -> Response<Body>))
        // Metrics and the trace, of whatever the layers below answer.
        .layer(LayerOf(observe))
        // Arrival, deadline, and details for the transport's own errors.
        .layer(LayerOf(edge))
        // Who calls.
        .layer(LayerOf(callers))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(analysis)
        // What comes in ends by itself when the server drains; with a signal, connections are told so then.
        .serve_with_incoming_shutdown(incoming, std::future::pending());
    // The server waits for connections, and those have no end of their own: a client that never hangs up, or that watches
    // health, must not hold the process.
    tokio::select! {
        outcome = server => outcome?,
        () = last_call(stopped.clone(), in_flight) => {}
        () = overdue(stopped, transport.drain_timeout, cut) => {}
        () = draining => {}
    }
    Ok(())
}

/// Health and the stop signal, for the life of the server. Never resolves: the server's own end does.
async fn drain(
    health: HealthReporter,
    readiness: Readiness,
    ready: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
    pause: Duration,
    stop: watch::Sender<bool>,
) {
    tokio::pin!(shutdown);
    let stopped_early = tokio::select! {
        () = ready => false,
        () = &mut shutdown => true,
    };
    if !stopped_early {
        set_health(&health, ServingStatus::Serving).await;
        readiness.set(State::Serving);
        tracing::info!("serving");
        shutdown.await;
    }
    readiness.set(State::Draining);
    set_health(&health, ServingStatus::NotServing).await;
    // Whoever reads this line finds what it says.
    tracing::info!(?pause, "draining");
    // Those who balance load learn of it in their own time, and until then send calls here. Nobody sends any to a server that
    // was never ready.
    if !stopped_early && !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    stop.send_replace(true);
    std::future::pending().await
}

async fn closed(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the server; if it were gone, stopping would be right too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Resolves when the server drains and no call is in flight any more, nor any that was on its way when its caller was told.
async fn last_call(stopped: watch::Receiver<bool>, in_flight: InFlight) {
    closed(stopped).await;
    in_flight.none_for(LAST_WORDS).await;
}

/// Resolves when the drain has taken too long: calls in flight are told DRAINING, and what they do upstream ends.
async fn overdue(stopped: watch::Receiver<bool>, grace: Duration, cut: watch::Sender<bool>) {
    closed(stopped).await;
    tokio::time::sleep(grace).await;
    tracing::warn!("the drain timeout has passed: calls in flight are cut");
    cut.send_replace(true);
    tokio::time::sleep(LAST_WORDS).await;
}

/// Both names that probes ask for: the whole server and the service.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in ["", proto::image_analysis_service_server::SERVICE_NAME] {
        health.set_service_status(name, status).await;
    }
}

/// Reflection over every descriptor set, so that clients can print health and error details too, and see both versions
/// of reflection whichever they speak.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}

fn on_panic(_panic: Box<dyn Any + Send>) -> Response<Body> {
    // The panic hook has logged where; the payload may hold anything.
    tracing::error!("a handler panicked");
    status::internal().into_status(None).into_http()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{sync::oneshot, time::Instant};

    use super::*;
    use crate::metrics::Metrics;

    const PAUSE: Duration = Duration::from_secs(20);

    /// When the server stopped to accept, once it was told to stop; and what its state was in the pause.
    async fn stopped_after(is_ready: bool) -> (Duration, State) {
        let (health, _service) = tonic_health::server::health_reporter();
        let readiness = Readiness::starting(Arc::new(Metrics::default()));
        let (stop, mut stopped) = watch::channel(false);
        let (shutdown, told) = oneshot::channel::<()>();
        let ready = async move {
            if !is_ready {
                std::future::pending::<()>().await;
            }
        };
        let told = async move { told.await.unwrap_or_default() };
        let draining = tokio::spawn(drain(health, readiness.clone(), ready, told, PAUSE, stop));
        tokio::task::yield_now().await;
        let before = if is_ready { State::Serving } else { State::Starting };
        assert_eq!(readiness.state(), before);
        let began = Instant::now();
        shutdown.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let state = readiness.state();
        stopped.wait_for(|stopped| *stopped).await.unwrap();
        draining.abort();
        (began.elapsed(), state)
    }

    #[tokio::test(start_paused = true)]
    async fn health_turns_first_and_accepting_ends_after_the_pause() {
        let (after, state) = stopped_after(true).await;
        assert_eq!(state, State::Draining);
        assert!(after >= PAUSE, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_was_never_ready_does_not_pause() {
        assert!(stopped_after(false).await.0 < PAUSE);
    }
}
