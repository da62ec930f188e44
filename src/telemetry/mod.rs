//! What the process tells: the log, one line a call at the boundary, on standard error; and traces, to a collector over OTLP.

mod lines;
mod traces;

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, FilterFn, LevelFilter, ParseError},
    fmt,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{LogFormat, OtlpEndpoint},
    spans,
};
use lines::WithTraceId;
use traces::Traces;

/// The longest filter that is read at run time, in bytes.
pub const MAX_FILTER_BYTES: usize = 4096;

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log makes no sense.
    #[error("--log cannot be read: {0}")]
    Filter(#[from] ParseError),
    /// There is no exporter for this endpoint.
    #[error("--otlp-endpoint cannot be used: {0}")]
    Endpoint(String),
}

/// Where traces go, and how many.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// The collector; `None` exports nothing.
    pub endpoint: Option<OtlpEndpoint>,
    /// Share of the traces begun here that are sampled, 0 to 1. A caller's decision wins.
    pub ratio: f64,
}

/// The telemetry of the process.
#[derive(Debug)]
pub struct Telemetry {
    filter: LogFilter,
    traces: Option<Traces>,
}

/// The filter of the log, which can be changed while the process runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// The filter in force.
    pub fn current(&self) -> String {
        self.0.with_current(EnvFilter::to_string).unwrap_or_else(|_| "off".to_owned())
    }

    /// Sets another one: a level, or directives such as `sightline=debug,tonic=info`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let filter = filter.trim();
        if filter.is_empty() || filter.len() > MAX_FILTER_BYTES {
            return Err(format!("a filter has 1 to {MAX_FILTER_BYTES} bytes, such as sightline=debug"));
        }
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Starts telemetry for the life of the process. A second call changes nothing. Needs the async runtime.
///
/// # Errors
/// When the filter or the endpoint cannot be used.
pub fn start(filter: &str, format: LogFormat, tracing: &Tracing) -> Result<Telemetry, TelemetryError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let events = FilterFn::new(|metadata| {
        // The spans of traces are not for the log. At its finest, Lambda's runtime would write whole events, prompts included.
        let is_trace = metadata.is_span() && metadata.target() == spans::TARGET;
        let is_an_event = *metadata.level() == Level::TRACE && metadata.target().starts_with("lambda_runtime");
        !is_trace && !is_an_event
    });
    let events = filter.and(events.with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal());
            lines.map_event_format(|inner| WithTraceId::new(inner, format)).with_filter(events).boxed()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(|inner| WithTraceId::new(inner, format)).with_filter(events).boxed()
        }
    };
    let traces = tracing.endpoint.as_ref().map(|endpoint| Traces::to(endpoint, tracing.ratio)).transpose()?;
    let exported = traces.as_ref().map(Traces::layer);
    // Only a subscriber that is already there can make this fail.
    let _ = tracing_subscriber::registry().with(lines).with(exported).try_init();
    Ok(Telemetry { filter: LogFilter(handle), traces })
}

impl Telemetry {
    /// The filter of the log.
    pub fn filter(&self) -> LogFilter {
        self.filter.clone()
    }

    /// Sends what is still to be sent, for a few seconds at most.
    pub async fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish().await;
        }
    }
}
