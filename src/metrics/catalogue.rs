//! The catalogue: every metric with its type, unit, labels and help. Registration reads it, and a test holds
//! docs/METRICS.md against it.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl Kind {
    /// The word of the exposition formats.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as a scrape shows it: a counter's ends in `_total`; one with a unit has the unit before that.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its unit, if it has one.
    pub unit: Option<&'static str>,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
}

impl Entry {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, unit: None, labels: &[], help }
    }

    const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    const fn labels(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// The name without what the formats add to it: the unit and `_total`.
    pub fn stem(&self) -> &'static str {
        let name = self.family();
        let unit = self.unit.and_then(|unit| name.strip_suffix(unit)?.strip_suffix('_'));
        unit.unwrap_or(name)
    }

    /// The name of the family in OpenMetrics: without `_total`.
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        }
    }
}

use Kind::{Counter, Gauge, Histogram};

pub(super) const RPC_REQUESTS: Entry =
    Entry::new("sightline_rpc_requests_total", Counter, "Calls that ended, by gRPC method and status code")
        .labels(&["method", "code"]);
pub(super) const RPC_DURATION: Entry = Entry::new(
    "sightline_rpc_duration_seconds",
    Histogram,
    "Time from a call's arrival to the end of its answer, by gRPC method",
)
.unit("seconds")
.labels(&["method"]);
pub(super) const STREAM_ITEMS: Entry =
    Entry::new("sightline_stream_items_total", Counter, "Items of AnalyzeMany streams answered, by status code")
        .labels(&["code"]);
pub(super) const STAGE_DURATION: Entry = Entry::new(
    "sightline_stage_duration_seconds",
    Histogram,
    "Time in one stage of an analysis: queue, fetch, prepare, model (one attempt), read (of an answer)",
)
.unit("seconds")
.labels(&["stage"]);
pub(super) const MODEL_ATTEMPTS: Entry =
    Entry::new("sightline_model_attempts_total", Counter, "Calls of models, by model and outcome")
        .labels(&["model", "outcome"]);
pub(super) const MODEL_TOKENS: Entry =
    Entry::new("sightline_model_tokens_total", Counter, "Tokens that models counted, by model and direction")
        .unit("tokens")
        .labels(&["model", "direction"]);
pub(super) const CALLER_TOKENS: Entry = Entry::new(
    "sightline_caller_tokens_total",
    Counter,
    "Tokens that models counted, in all directions, by the caller whose request began the call",
)
.unit("tokens")
.labels(&["caller"]);
pub(super) const ESTIMATED_COST: Entry = Entry::new(
    "sightline_estimated_cost_usd_total",
    Counter,
    "Estimated cost in US dollars by the prices of the catalogue of models, by model and caller",
)
.unit("usd")
.labels(&["model", "caller"]);
pub(super) const IN_FLIGHT: Entry =
    Entry::new("sightline_in_flight", Gauge, "Analyses in progress, of single requests and of streams");
pub(super) const IN_FLIGHT_LIMIT: Entry =
    Entry::new("sightline_in_flight_limit", Gauge, "Most analyses that may be in progress now");
pub(super) const IN_FLIGHT_BYTES: Entry =
    Entry::new("sightline_in_flight_bytes", Gauge, "Bytes of encoded pictures that analyses in progress hold")
        .unit("bytes");
pub(super) const SHED: Entry =
    Entry::new("sightline_shed_total", Counter, "Requests refused as OVERLOADED, by what was used up")
        .labels(&["reason"]);
pub(super) const RETRIES: Entry = Entry::new(
    "sightline_retries_total",
    Counter,
    "Calls of a model repeated after throttling or a fault of its service, by model",
)
.labels(&["model"]);
pub(super) const FALLBACKS: Entry = Entry::new(
    "sightline_fallbacks_total",
    Counter,
    "Requests that a fallback answered, by the model that was asked for and could not",
)
.labels(&["model"]);
pub(super) const CACHE: Entry = Entry::new(
    "sightline_cache_total",
    Counter,
    "Answers that may be shared: kept (hit), of a call in flight (shared), or paid for (miss)",
)
.labels(&["outcome"]);
pub(super) const BOX_ADJUSTMENTS: Entry = Entry::new(
    "sightline_box_adjustments_total",
    Counter,
    "Answers of models whose boxes were adjusted, by what was done to some of them",
)
.labels(&["kind"]);
pub(super) const PREPARED_BYTES: Entry =
    Entry::new("sightline_prepared_bytes_total", Counter, "Bytes of encoded pictures prepared for models")
        .unit("bytes");
pub(super) const CALLER_DENIED: Entry =
    Entry::new("sightline_caller_denied_total", Counter, "Calls refused for who called, by reason").labels(&["reason"]);
pub(super) const CONNECTIONS: Entry = Entry::new("sightline_connections", Gauge, "Open connections of gRPC clients");
pub(super) const SERVING: Entry = Entry::new("sightline_serving", Gauge, "1 while health says SERVING, else 0");
pub(super) const BUILD_INFO: Entry =
    Entry::new("sightline_build_info", Gauge, "1, with the version that runs").labels(&["version"]);
pub(super) const RESIDENT_MEMORY: Entry =
    Entry::new("process_resident_memory_bytes", Gauge, "Resident memory of the process").unit("bytes");
pub(super) const CPU_TIME: Entry =
    Entry::new("process_cpu_seconds_total", Counter, "User and system CPU time of the process").unit("seconds");
pub(super) const START_TIME: Entry =
    Entry::new("process_start_time_seconds", Gauge, "When the process started, in seconds since the Unix epoch")
        .unit("seconds");

/// Every metric.
pub const CATALOGUE: &[Entry] = &[
    RPC_REQUESTS,
    RPC_DURATION,
    STREAM_ITEMS,
    STAGE_DURATION,
    MODEL_ATTEMPTS,
    MODEL_TOKENS,
    CALLER_TOKENS,
    ESTIMATED_COST,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    IN_FLIGHT_BYTES,
    SHED,
    RETRIES,
    FALLBACKS,
    CACHE,
    BOX_ADJUSTMENTS,
    PREPARED_BYTES,
    CALLER_DENIED,
    CONNECTIONS,
    SERVING,
    BUILD_INFO,
    RESIDENT_MEMORY,
    CPU_TIME,
    START_TIME,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for entry in CATALOGUE {
            let Entry { name, kind, unit, help, .. } = entry;
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            if let Some(unit) = unit {
                assert!(entry.family().ends_with(&format!("_{unit}")), "{name}");
                assert_ne!(entry.stem(), entry.family());
            }
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: registration adds the full stop");
            assert_eq!(CATALOGUE.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
