//! The use case: one picture, one model call, one typed analysis; and many pictures of one stream ([`many`]).
//!
//! Admission, then fetch, prepare, ask, read. The deadline bounds every step; dropping the future of an analysis drops
//! what it does upstream. Pixels are worked on off the async threads, at most as many pictures at once as there are
//! cores.

mod admission;
mod deadline;
mod error;
mod fetch;
pub mod many;
mod ports;
mod question;
mod retry;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    answer,
    catalog::Models,
    domain::{
        Analysis, Features, Findings, Frame, ImageFacts, MissingCause, MissingFeature, ModelFacts, ModelProfile,
        ObjectRef, Options, StopReason, Timing, Usage,
    },
    imaging::{self, Encoded, Prepared},
    prompt,
};
pub use admission::{Admission, OpenStream, Slot, Worker};
pub use deadline::Deadline;
pub use error::{AnalyzeError, Failed, Stage};
use fetch::Fetched;
pub use ports::{
    Correction, ImageStore, ListQuery, ModelError, OpenObject, Page, PageStart, Part, Question, Reply, StoreError,
    ThinkingParameter, VisionModel,
};
pub use retry::RetryPolicy;

/// What bounds the work.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest encoded picture in bytes.
    pub max_image_bytes: u64,
    /// Largest picture in pixels.
    pub max_pixels: u64,
    /// Most analyses in progress at once, those of streams included.
    pub max_in_flight: usize,
    /// Most bytes of encoded pictures that analyses in progress hold together.
    pub max_in_flight_bytes: u64,
    /// Most streams that are open at once.
    pub max_streams: usize,
    /// Most pictures prepared at once.
    pub prepare_workers: usize,
    /// Most bytes of kept results; 0 keeps none, and requests share no model calls.
    pub cache_bytes: u64,
    /// How long a result is kept.
    pub cache_ttl: Duration,
    /// How often a model is asked.
    pub retry: RetryPolicy,
}

/// One picture to analyze. Checked by whoever makes it: the transport reports every violation at once.
#[derive(Debug, Clone)]
pub struct Job {
    /// The request's id.
    pub request_id: String,
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
    model: Arc<dyn VisionModel>,
    models: Models,
    limits: Limits,
    admission: Admission,
}

impl Analyzer {
    /// An analyzer over a store and a model endpoint.
    pub fn new(store: Arc<dyn ImageStore>, model: Arc<dyn VisionModel>, models: Models, limits: Limits) -> Self {
        let admission = Admission::new(&limits);
        Self { store, model, models, limits, admission }
    }

    /// The models that callers may name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// What bounds the work.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The budget that all analyses share.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Analyzes one picture, if there is room for it now.
    ///
    /// # Errors
    /// Why not, by what it means to the caller, with what was used up.
    pub async fn analyze(&self, job: Job) -> Result<Analysis, Failed> {
        let slot = self.admission.try_enter()?;
        self.analyze_in(slot, job).await
    }

    /// Analyzes one picture in a place that was taken for it.
    ///
    /// # Errors
    /// As [`Self::analyze`].
    pub async fn analyze_in(&self, slot: Slot, job: Job) -> Result<Analysis, Failed> {
        let mut spent = Usage::default();
        let outcome = self.work(slot, job, &mut spent).await;
        outcome.map_err(|error| match spent.model_calls {
            // A picture that no model saw took no tokens.
            0 => Failed::from(error),
            _ => Failed { error, usage: spent },
        })
    }

    async fn work(&self, mut slot: Slot, mut job: Job, spent: &mut Usage) -> Result<Analysis, AnalyzeError> {
        let model = self.profile(job.options.model.as_deref())?;
        let unsupported = question::unsupported(&job.features, &model)?;
        // The answer's schema holds nothing that the model cannot answer.
        job.features.text &= !unsupported.contains(&"text");
        let mut timing = Timing::default();
        let fetched = fetch::fetch(&*self.store, &mut job, self.limits.max_image_bytes, &mut slot, &mut timing).await?;
        let mut prepared = self.prepare(&mut job, &model, fetched.bytes.clone(), &mut slot, &mut timing).await?;
        timing.queue = slot.waited();
        let mut analysis = facts(&job, &fetched, &prepared);
        let image = match std::mem::replace(&mut prepared.encoded, Encoded::AsIs) {
            Encoded::AsIs => fetched.bytes,
            Encoded::New(bytes) => {
                // The model's answer may take long, and the original is not needed for it.
                drop((fetched.bytes, std::mem::replace(&mut job.source, Source::Content(Bytes::new()))));
                Bytes::from(bytes)
            }
        };
        slot.lighten(image.len() as u64);
        spent.image_tokens = prepared.image_tokens;
        let question = question::question(&job, model, &prepared, image);
        analysis.warnings.extend(question::warnings(&question, &job.options));
        if job.validate_only {
            spent.input_tokens = question::expected_input_tokens(&question, prepared.image_tokens);
        } else {
            self.ask(&job, &question, &prepared.frame, &mut analysis, &mut timing, spent).await?;
            let missing = unsupported.iter().map(|name| MissingFeature { name, cause: MissingCause::Unsupported });
            analysis.findings.missing.extend(missing);
        }
        analysis.usage = *spent;
        timing.total = job.received.elapsed();
        analysis.timing = timing;
        Ok(analysis)
    }

    fn profile(&self, named: Option<&str>) -> Result<ModelProfile, AnalyzeError> {
        let found = match named {
            None => Some(self.models.default_model()),
            Some(name) => self.models.find(name),
        };
        found.cloned().ok_or_else(|| AnalyzeError::ModelUnknown { model: named.unwrap_or_default().to_owned() })
    }

    async fn prepare(
        &self,
        job: &mut Job,
        model: &ModelProfile,
        bytes: Bytes,
        slot: &mut Slot,
        timing: &mut Timing,
    ) -> Result<Prepared, AnalyzeError> {
        let worker = job.queue(slot.waits(), slot.worker()).await??;
        let limits = imaging::Limits { max_pixels: self.limits.max_pixels };
        let target = imaging::Target { tier: model.tier, oversize: job.options.oversize };
        let started = Instant::now();
        let work = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when the caller has left: it bounds work, not waiting.
            let _worker = worker;
            imaging::prepare(&bytes, &limits, &target)
        });
        let outcome = job.deadline.bound(Stage::Prepare, work).await?;
        timing.prepare = started.elapsed();
        Ok(outcome.map_err(|error| AnalyzeError::Internal { detail: error.to_string() })??)
    }

    async fn ask(
        &self,
        job: &Job,
        question: &Question,
        frame: &Frame,
        analysis: &mut Analysis,
        timing: &mut Timing,
        spent: &mut Usage,
    ) -> Result<(), AnalyzeError> {
        let asked = retry::ask(&*self.model, question, &self.limits.retry, job.deadline, spent).await?;
        let calls = spent.model_calls;
        (timing.model, timing.backoff) = (asked.model_time, asked.backoff);
        let fail = |error| AnalyzeError::Model { model: question.model.id.clone(), error, calls };
        match asked.reply.stop_reason {
            StopReason::Refusal => return Err(fail(ModelError::Refused)),
            StopReason::Filtered => return Err(fail(ModelError::Filtered)),
            _ => {}
        }
        let reading = answer::read(&answer::Answer {
            text: &asked.reply.text,
            stop_reason: asked.reply.stop_reason,
            features: &job.features,
            frame,
            filter_vocabulary: question.model.is_detector,
            coordinates: question.model.coordinates,
        });
        let id = &question.model.id;
        let reading = reading.map_err(|error| AnalyzeError::Answer { model: id.clone(), error, calls })?;
        analysis.model = Some(ModelFacts {
            requested: id.clone(),
            served: id.clone(),
            region: self.model.region(&question.model).to_owned(),
            prompt_version: prompt::PROMPT_VERSION,
            stop_reason: asked.reply.stop_reason,
            upstream_request_id: asked.reply.upstream_request_id,
            cached: false,
        });
        analysis.raw_output = job.options.include_raw_output.then_some(asked.reply.text);
        analysis.findings = reading.findings;
        analysis.warnings.extend(reading.warnings);
        Ok(())
    }
}

fn facts(job: &Job, fetched: &Fetched, prepared: &Prepared) -> Analysis {
    Analysis {
        request_id: job.request_id.clone(),
        image: ImageFacts {
            media_type: prepared.source_type.as_str(),
            size: prepared.frame.original(),
            exif_orientation: prepared.exif_orientation,
            byte_count: fetched.bytes.len() as u64,
            model_size: prepared.frame.model(),
            etag: fetched.etag.clone(),
            version_id: fetched.version_id.clone(),
        },
        findings: Findings::default(),
        model: None,
        usage: Usage::default(),
        timing: Timing { total: Duration::ZERO, ..Timing::default() },
        warnings: prepared.warnings.clone(),
        raw_output: None,
    }
}
