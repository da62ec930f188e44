//! What the process counts, for Prometheus. A leaf: it knows the vocabulary and nothing else, and whoever has something to
//! count says so by what it means.
//!
//! Labels are few and bounded: names of methods, codes and reasons are this program's own, and of models and callers the first
//! [`MOST_NAMES`] are told apart. What is counted for every call costs no allocation.

mod catalogue;
mod exposition;
mod labels;
mod process;
#[cfg(test)]
mod tests;
mod words;

use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

pub use catalogue::{CATALOGUE, Entry, Kind};
pub use exposition::Format;
use labels::Names;
pub use words::{AttemptOutcome, CacheOutcome, InFlight, Shed, Stage};

use crate::domain::{Caller, ModelProfile, Usage, Warning};

/// Models, and callers, that are told apart; the others are counted together as `other`.
pub const MOST_NAMES: usize = 200;

/// Upper bounds of the buckets of times, in seconds: from a cached answer to the longest call.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of a process. One for the life of a server; recording never fails and never waits.
pub struct Metrics {
    registry: Registry,
    models: Names,
    callers: Names,
    rpc_requests: Family<labels::Rpc, Counter>,
    rpc_duration: Histograms<labels::Method>,
    stream_items: Family<labels::Code, Counter>,
    stages: [Histogram; Stage::ALL.len()],
    model_attempts: Family<labels::Attempt, Counter>,
    model_tokens: Family<labels::Tokens, Counter>,
    caller_tokens: Family<labels::CallerName, Counter>,
    estimated_cost: Family<labels::Cost, Counter<f64, AtomicU64>>,
    in_flight: Gauge,
    in_flight_limit: Gauge,
    in_flight_bytes: Gauge,
    in_flight_now: OnceLock<Box<dyn Fn() -> InFlight + Send + Sync>>,
    shed: Family<labels::Reason, Counter>,
    retries: Family<labels::Model, Counter>,
    fallbacks: Family<labels::Model, Counter>,
    cache: Family<labels::OutcomeName, Counter>,
    box_adjustments: Family<labels::AdjustmentKind, Counter>,
    prepared_bytes: Counter,
    caller_denied: Family<labels::Reason, Counter>,
    connections: Gauge,
    connections_now: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    serving: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    /// Nothing counted yet. What has few and known labels is there from the start, at 0: a counter that appears with its first
    /// count hides that count from a rate.
    fn default() -> Self {
        let mut registry = Registry::default();
        let stages = histograms(&mut registry, &catalogue::STAGE_DURATION);
        let build_info: Family<_, Gauge> = registered(&mut registry, &catalogue::BUILD_INFO, Family::default());
        build_info.get_or_create(&labels::Version { version: env!("CARGO_PKG_VERSION") }).set(1);
        let shed: Family<labels::Reason, Counter> = registered(&mut registry, &catalogue::SHED, Family::default());
        for reason in Shed::ALL {
            shed.get_or_create(&labels::Reason { reason: reason.as_str() }).inc_by(0);
        }
        let cache: Family<labels::OutcomeName, Counter> =
            registered(&mut registry, &catalogue::CACHE, Family::default());
        for outcome in CacheOutcome::ALL {
            cache.get_or_create(&labels::OutcomeName { outcome: outcome.as_str() }).inc_by(0);
        }
        registry.register_collector(Box::new(process::Process));
        Self {
            models: Names::at_most(MOST_NAMES),
            callers: Names::at_most(MOST_NAMES),
            rpc_requests: registered(&mut registry, &catalogue::RPC_REQUESTS, Family::default()),
            rpc_duration: histograms(&mut registry, &catalogue::RPC_DURATION),
            stream_items: registered(&mut registry, &catalogue::STREAM_ITEMS, Family::default()),
            stages: Stage::ALL.map(|stage| stages.get_or_create_owned(&labels::StageName { stage: stage.as_str() })),
            model_attempts: registered(&mut registry, &catalogue::MODEL_ATTEMPTS, Family::default()),
            model_tokens: registered(&mut registry, &catalogue::MODEL_TOKENS, Family::default()),
            caller_tokens: registered(&mut registry, &catalogue::CALLER_TOKENS, Family::default()),
            estimated_cost: registered(&mut registry, &catalogue::ESTIMATED_COST, Family::default()),
            in_flight: registered(&mut registry, &catalogue::IN_FLIGHT, Gauge::default()),
            in_flight_limit: registered(&mut registry, &catalogue::IN_FLIGHT_LIMIT, Gauge::default()),
            in_flight_bytes: registered(&mut registry, &catalogue::IN_FLIGHT_BYTES, Gauge::default()),
            in_flight_now: OnceLock::new(),
            shed,
            retries: registered(&mut registry, &catalogue::RETRIES, Family::default()),
            fallbacks: registered(&mut registry, &catalogue::FALLBACKS, Family::default()),
            cache,
            box_adjustments: registered(&mut registry, &catalogue::BOX_ADJUSTMENTS, Family::default()),
            prepared_bytes: registered(&mut registry, &catalogue::PREPARED_BYTES, Counter::default()),
            caller_denied: registered(&mut registry, &catalogue::CALLER_DENIED, Family::default()),
            connections_now: OnceLock::new(),
            connections: registered(&mut registry, &catalogue::CONNECTIONS, Gauge::default()),
            serving: registered(&mut registry, &catalogue::SERVING, Gauge::default()),
            registry,
        }
    }
}

impl Metrics {
    /// A call of `method` ended with the status `code` after `elapsed`.
    pub fn rpc_done(&self, method: &'static str, code: &'static str, elapsed: Duration) {
        self.rpc_requests.get_or_create(&labels::Rpc { method, code }).inc();
        self.rpc_duration.get_or_create(&labels::Method { method }).observe(elapsed.as_secs_f64());
    }

    /// An item of a stream was answered with `code`.
    pub fn stream_item(&self, code: &'static str) {
        self.stream_items.get_or_create(&labels::Code { code }).inc();
    }

    /// A stage took `elapsed`.
    pub fn stage(&self, stage: Stage, elapsed: Duration) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.observe(elapsed.as_secs_f64());
        }
    }

    /// A call of `model` ended after `elapsed`.
    pub fn attempt(&self, model: &ModelProfile, outcome: AttemptOutcome, elapsed: Duration) {
        let labels = labels::Attempt { model: self.models.label(&model.name), outcome: outcome.as_str() };
        self.model_attempts.get_or_create(&labels).inc();
        self.stage(Stage::Model, elapsed);
    }

    /// Tokens of `model` were paid for on behalf of `caller`. A usage without a price has no part in the cost.
    pub fn paid(&self, model: &ModelProfile, caller: &Caller, usage: &Usage) {
        let (model, caller) = (self.models.label(&model.name), self.callers.label(caller.name()));
        for (direction, tokens) in [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        ] {
            let labels = labels::Tokens { model: Arc::clone(&model), direction };
            self.model_tokens.get_or_create(&labels).inc_by(tokens);
        }
        let labels = labels::CallerName { caller: Arc::clone(&caller) };
        self.caller_tokens.get_or_create(&labels).inc_by(usage.all_input_tokens().saturating_add(usage.output_tokens));
        if let Some(dollars) = usage.cost_usd() {
            self.estimated_cost.get_or_create(&labels::Cost { model, caller }).inc_by(dollars);
        }
    }

    /// `model` is asked again after throttling or a fault.
    pub fn retried(&self, model: &ModelProfile) {
        self.retries.get_or_create(&labels::Model { model: self.models.label(&model.name) }).inc();
    }

    /// Another model answered in place of `model`.
    pub fn fell_back(&self, model: &ModelProfile) {
        self.fallbacks.get_or_create(&labels::Model { model: self.models.label(&model.name) }).inc();
    }

    /// A request that may share was answered.
    pub fn cache(&self, outcome: CacheOutcome) {
        self.cache.get_or_create(&labels::OutcomeName { outcome: outcome.as_str() }).inc();
    }

    /// A request was refused, for as much as the server takes is in progress.
    pub fn shed(&self, reason: Shed) {
        self.shed.get_or_create(&labels::Reason { reason: reason.as_str() }).inc();
    }

    /// An answer was read with these warnings.
    pub fn answer_read(&self, warnings: &[Warning]) {
        for kind in warnings.iter().filter_map(|warning| words::adjustment(warning.code)) {
            self.box_adjustments.get_or_create(&labels::AdjustmentKind { kind }).inc();
        }
    }

    /// A picture of `bytes` is ready for a model.
    pub fn prepared(&self, bytes: u64) {
        self.prepared_bytes.inc_by(bytes);
    }

    /// A call was refused for who called. `reason` is that of the error, such as `CALLER_NOT_ALLOWED`.
    pub fn caller_denied(&self, reason: &'static str) {
        self.caller_denied.get_or_create(&labels::Reason { reason }).inc();
    }

    /// Health says SERVING, or no longer does.
    pub fn serving(&self, is_serving: bool) {
        self.serving.set(i64::from(is_serving));
    }

    /// Who knows what is in progress: asked at each scrape, so that keeping count costs nothing. The first who says so is asked.
    pub fn watch_in_flight(&self, now: impl Fn() -> InFlight + Send + Sync + 'static) {
        // A second one would be another analyzer over the same metrics, which there is not.
        let _ = self.in_flight_now.set(Box::new(now));
    }

    /// Who knows how many connections are open, in the same way.
    pub fn watch_connections(&self, now: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.connections_now.set(Box::new(now));
    }

    /// All metrics as text.
    pub fn scrape(&self, format: Format) -> String {
        let now = self.in_flight_now.get().map(|now| now()).unwrap_or_default();
        self.in_flight.set(i64::try_from(now.analyses).unwrap_or(i64::MAX));
        self.in_flight_limit.set(i64::try_from(now.limit).unwrap_or(i64::MAX));
        self.in_flight_bytes.set(i64::try_from(now.bytes).unwrap_or(i64::MAX));
        let connections = self.connections_now.get().map(|now| now()).unwrap_or_default();
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        format.write(&self.registry)
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, entry: &Entry, metric: M) -> M {
    match entry.unit {
        Some(unit) => {
            registry.register_with_unit(entry.stem(), entry.help, Unit::Other(unit.to_owned()), metric.clone());
        }
        None => registry.register(entry.stem(), entry.help, metric.clone()),
    }
    metric
}

fn histograms<L>(registry: &mut Registry, entry: &Entry) -> Histograms<L>
where
    L: Clone + std::hash::Hash + Eq + fmt::Debug + Send + Sync + 'static + prometheus_client::encoding::EncodeLabelSet,
{
    registered(registry, entry, Family::new_with_constructor(|| Histogram::new(BUCKETS)))
}
