//! The use case: one picture, one model call, one typed analysis; and many pictures of one stream ([`many`]).
//!
//! Admission, then fetch, prepare, ask, read. The deadline bounds every step; dropping the future of an analysis drops
//! what it does upstream. Pixels are worked on by threads of their own, at most as many pictures at once as there are cores,
//! and with no more memory together than the budget; work that nobody waits for stops.

mod admission;
mod asking;
mod deadline;
mod error;
mod faring;
mod fetch;
pub mod many;
mod ports;
mod preparing;
mod run;
mod sharing;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    catalog::Models,
    domain::{Analysis, Caller, Features, MissingCause, MissingFeature, ModelProfile, ObjectRef, Options},
    imaging,
    metrics::Metrics,
};
pub use admission::{Admission, OpenStream, Slot, Worker};
use asking::Asker;
pub use asking::RetryPolicy;
pub use deadline::Deadline;
pub use error::{AnalyzeError, Failed, Stage};
pub use ports::{
    Correction, ImageStore, ListQuery, ModelError, OpenObject, Page, PageStart, Part, Question, Reply, StoreError,
    ThinkingParameter, VisionModel,
};
use sharing::{Flights, Key, Sharing};

/// What bounds the work.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest encoded picture in bytes.
    pub max_image_bytes: u64,
    /// Largest picture in pixels.
    pub max_pixels: u64,
    /// Most analyses in progress at once, those of streams included.
    pub max_in_flight: usize,
    /// Whether that limit is lowered while more at once would only make each slower.
    pub adapts: bool,
    /// Most bytes of encoded pictures that analyses in progress hold together.
    pub max_in_flight_bytes: u64,
    /// Most streams that are open at once.
    pub max_streams: usize,
    /// Most pictures prepared at once.
    pub prepare_workers: usize,
    /// Most bytes of memory that preparations take together, beside the files; a picture that takes more is refused.
    pub max_prepare_bytes: u64,
    /// Decode only with code that holds no `unsafe` and no C, which is slower.
    pub safe_decoders: bool,
    /// Most bytes of kept results; 0 keeps none, and requests share no model calls.
    pub cache_bytes: u64,
    /// How long a result is kept.
    pub cache_ttl: Duration,
    /// How often a model is asked.
    pub retry: RetryPolicy,
}

impl Limits {
    /// What bounds the preparation of one picture.
    fn of_pictures(&self) -> imaging::Limits {
        imaging::Limits {
            max_pixels: self.max_pixels,
            max_memory: self.max_prepare_bytes,
            safe_decoders: self.safe_decoders,
        }
    }
}

/// One picture to analyze. Checked by whoever makes it: the transport reports every violation at once.
#[derive(Debug, Clone)]
pub struct Job {
    /// The request's id.
    pub request_id: String,
    /// Who asks.
    pub caller: Caller,
    /// The caller chose the id, and may repeat the request under it.
    pub is_callers_id: bool,
    /// Where the picture is.
    pub source: Source,
    /// What to find out.
    pub features: Features,
    /// How.
    pub options: Options,
    /// Cost-allocation tags.
    pub tags: BTreeMap<String, String>,
    /// Stop before the model is called.
    pub validate_only: bool,
    /// When the request arrived.
    pub received: Instant,
    /// When it must be answered.
    pub deadline: Deadline,
}

impl Job {
    /// Waits in a queue of this server: a single request at most until its deadline. For an item of a stream, which
    /// `waits`, the queue is its stream's own pace, and its time goes on behind it.
    async fn queue<F: Future>(&mut self, waits: bool, turn: F) -> Result<F::Output, AnalyzeError> {
        if !waits {
            return self.deadline.bound(Stage::Queue, turn).await;
        }
        let started = Instant::now();
        let come = turn.await;
        self.deadline = self.deadline.later(started.elapsed());
        Ok(come)
    }
}

/// Where a picture is.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// An object in S3.
    Object(ObjectRef),
    /// The encoded file itself.
    Content(Bytes),
}

/// Analyzes pictures. One for the life of the process; cheap to share.
pub struct Analyzer {
    store: Arc<dyn ImageStore>,
    asker: Arc<Asker>,
    models: Models,
    /// Of each that callers may name, what it and its fallbacks have in the key of a result.
    chains: Vec<(ModelProfile, Key)>,
    limits: Limits,
    admission: Admission,
    metrics: Arc<Metrics>,
    /// `None` keeps no results and shares no calls.
    sharing: Option<Arc<Sharing>>,
    flights: Flights,
}

impl Analyzer {
    /// An analyzer over a store and a model endpoint, which counts its work in `metrics`.
    pub fn new(
        store: Arc<dyn ImageStore>,
        model: Arc<dyn VisionModel>,
        models: Models,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let admission = Admission::new(&limits, Arc::clone(&metrics));
        let pixels = limits.of_pictures();
        let asker = Arc::new(Asker::new(model, limits.retry, pixels, admission.clone(), Arc::clone(&metrics)));
        let shares = limits.cache_bytes > 0;
        let sharing = shares.then(|| Arc::new(Sharing::new(limits.cache_bytes, limits.cache_ttl)));
        let chains = models.rows().map(|(_, model)| (model.clone(), of_chain(&models, model))).collect();
        Self { store, asker, models, chains, limits, admission, metrics, sharing, flights: Flights::default() }
    }

    /// What `model` and its fallbacks have in the key of a result.
    fn chain(&self, model: &ModelProfile) -> Key {
        let known = self.chains.iter().find(|(known, _)| known == model);
        known.map_or_else(|| of_chain(&self.models, model), |(_, key)| *key)
    }

    /// The models that callers may name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// What bounds the work.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The budget that all analyses share.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Analyzes one picture in a place that was taken for it.
    ///
    /// # Errors
    /// Why not, by what it means to the caller, with what was used up.
    pub async fn analyze_in(&self, slot: Slot, mut job: Job) -> Result<Analysis, Failed> {
        let model = self.profile(job.options.model.as_deref())?;
        let unsupported = asking::unsupported(&job.features, &model)?;
        let id = self.claim_id(&job).await?;
        // The answer's schema holds nothing that the model cannot answer.
        job.features.text &= !unsupported.contains(&"text");
        if unsupported.contains(&"extraction") {
            job.features.extraction = None;
        }
        let mut analysis = run::Run::new(self, slot, job).analyze(&model, id.as_ref()).await?;
        let missing = unsupported.iter().map(|name| MissingFeature { name, cause: MissingCause::Unsupported });
        analysis.findings.missing.extend(missing);
        Ok(analysis)
    }

    fn profile(&self, named: Option<&str>) -> Result<ModelProfile, AnalyzeError> {
        let found = match named {
            None => Some(self.models.default_model()),
            Some(name) => self.models.find(name),
        };
        found.cloned().ok_or_else(|| AnalyzeError::ModelUnknown { model: named.unwrap_or_default().to_owned() })
    }

    /// The use of an id that the caller chose.
    async fn claim_id(&self, job: &Job) -> Result<Option<sharing::Claimed>, AnalyzeError> {
        match &self.sharing {
            Some(sharing) if job.is_callers_id => {
                let content = sharing::of_content(job).await;
                sharing.ids.claim(&job.request_id, content).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn of_chain(models: &Models, model: &ModelProfile) -> Key {
    sharing::of_models(std::iter::once(model.clone()).chain(models.fallbacks_of(model)).collect::<Vec<_>>().as_slice())
}
