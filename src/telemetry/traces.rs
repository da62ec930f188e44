//! Traces to a collector over OTLP, in batches from a thread of their own. Spans wait in a bounded queue and are dropped when
//! it is full: a collector that is slow or gone costs no call anything.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{Key, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, LevelFilter},
    registry::LookupSpan,
};

use super::TelemetryError;
use crate::{config::OtlpEndpoint, spans};

/// Longest wait for the collector to take the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);
const SERVICE_NAME: &str = "service.name";

/// The exporter and what feeds it.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// An exporter to `endpoint` that samples `ratio` of the traces that begin here. It connects when there is something to
    /// send.
    pub(super) fn to(endpoint: &OtlpEndpoint, ratio: f64) -> Result<Self, TelemetryError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .build()
            .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Reported { inner: exporter, fails: AtomicBool::new(false) })
            .with_sampler(sampler)
            .with_resource(resource())
            .build();
        Ok(Self(provider))
    }

    /// The layer that turns this program's spans, and nothing else, into those of a trace.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let own = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(own.with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what waits, for a bounded time.
    pub(super) async fn finish(self) {
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST_SPANS));
        match tokio::time::timeout(LAST_SPANS, sent).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::warn!("the last traces were not delivered: the collector did not take them in time"),
        }
    }
}

/// What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say of the process, or its own name; and its version.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().build().get(&Key::new(SERVICE_NAME)).map(|name| name.to_string());
    let builder = Resource::builder().with_attribute(version);
    match named {
        Some(name) if !name.starts_with("unknown_service") => builder.build(),
        _ => builder.with_service_name(env!("CARGO_PKG_NAME")).build(),
    }
}

/// An exporter that says once in the log when it fails, and once when it works again.
#[derive(Debug)]
struct Reported<E> {
    inner: E,
    fails: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.inner.export(batch).await;
        let failed_before = self.fails.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Err(error) if !failed_before => tracing::warn!(%error, "traces are not delivered, and are dropped"),
            Ok(()) if failed_before => tracing::info!("traces are delivered again"),
            _ => {}
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
