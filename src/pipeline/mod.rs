//! The use case: one picture, one model call, one typed analysis.
//!
//! Admission, then fetch, prepare, ask, read. The deadline bounds every step; dropping the future of an analysis drops
//! what it does upstream. Pixels are worked on off the async threads, at most as many pictures at once as there are
//! cores.

mod deadline;
mod error;
mod ports;
mod retry;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    answer,
    domain::{
        Analysis, Features, Findings, Frame, ImageFacts, MissingCause, MissingFeature, ModelFacts, ModelProfile,
        ObjectRef, Options, StopReason, Timing, Usage, Warning, WarningCode,
    },
    imaging::{self, Encoded, Prepared},
    prompt,
};
pub use deadline::Deadline;
pub use error::{AnalyzeError, Stage};
pub use ports::{ImageStore, ModelError, Question, Reply, StoreError, StoredObject, VisionModel};
pub use retry::RetryPolicy;

/// What bounds the work.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest encoded picture in bytes.
    pub max_image_bytes: u64,
    /// Largest picture in pixels.
    pub max_pixels: u64,
    /// Most analyses in progress at once.
    pub max_in_flight: usize,
    /// Most pictures prepared at once.
    pub prepare_workers: usize,
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
    models: Vec<ModelProfile>,
    limits: Limits,
    slots: Semaphore,
    workers: Arc<Semaphore>,
}

/// The file as it was read.
struct Fetched {
    bytes: Bytes,
    etag: Option<String>,
    version_id: Option<String>,
}

impl Analyzer {
    /// An analyzer over a store and a model endpoint. The first of `models` is used when a caller names none.
    pub fn new(
        store: Arc<dyn ImageStore>,
        model: Arc<dyn VisionModel>,
        models: Vec<ModelProfile>,
        limits: Limits,
    ) -> Self {
        let slots = Semaphore::new(limits.max_in_flight);
        let workers = Arc::new(Semaphore::new(limits.prepare_workers.max(1)));
        Self { store, model, models, limits, slots, workers }
    }

    /// The models that callers may name; the first is the default.
    pub fn models(&self) -> &[ModelProfile] {
        &self.models
    }

    /// What bounds the work.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Analyzes one picture.
    ///
    /// # Errors
    /// [`AnalyzeError`], by what it means to the caller.
    pub async fn analyze(&self, mut job: Job) -> Result<Analysis, AnalyzeError> {
        let model = self.profile(job.options.model.as_deref())?;
        let unsupported = unsupported(&job.features, &model)?;
        // The answer's schema holds nothing that the model cannot answer.
        job.features.text &= !unsupported.contains(&"text");
        let limit = self.limits.max_in_flight;
        let _slot = self.slots.try_acquire().map_err(|_| AnalyzeError::Overloaded { limit })?;
        let mut timing = Timing::default();
        let fetched = self.fetch(&job, &mut timing).await?;
        let mut prepared = self.prepare(&job, &model, fetched.bytes.clone(), &mut timing).await?;
        let mut analysis = facts(&job, &fetched, &prepared);
        let image = match std::mem::replace(&mut prepared.encoded, Encoded::AsIs) {
            Encoded::AsIs => fetched.bytes,
            Encoded::New(bytes) => Bytes::from(bytes),
        };
        let question = question(&job, model, &prepared, image);
        analysis.warnings.extend(model_warnings(&question, &job.options));
        if job.validate_only {
            analysis.usage.input_tokens = expected_input_tokens(&question, prepared.image_tokens);
        } else {
            self.ask(&job, &question, &prepared.frame, &mut analysis, &mut timing).await?;
            let missing = unsupported.iter().map(|name| MissingFeature { name, cause: MissingCause::Unsupported });
            analysis.findings.missing.extend(missing);
        }
        timing.total = job.received.elapsed();
        analysis.timing = timing;
        Ok(analysis)
    }

    fn profile(&self, named: Option<&str>) -> Result<ModelProfile, AnalyzeError> {
        let found = match named {
            None | Some(ModelProfile::DEFAULT_ALIAS) => self.models.first(),
            Some(id) => self.models.iter().find(|model| model.id == id),
        };
        found.cloned().ok_or_else(|| AnalyzeError::ModelUnknown { model: named.unwrap_or_default().to_owned() })
    }

    async fn fetch(&self, job: &Job, timing: &mut Timing) -> Result<Fetched, AnalyzeError> {
        let limit = self.limits.max_image_bytes;
        match &job.source {
            Source::Content(bytes) if bytes.len() as u64 > limit => {
                Err(AnalyzeError::ContentTooLarge { actual: bytes.len() as u64, limit })
            }
            Source::Content(bytes) => Ok(Fetched { bytes: bytes.clone(), etag: None, version_id: None }),
            Source::Object(object) => {
                let started = Instant::now();
                let outcome = job.deadline.bound(Stage::Fetch, self.store.get(object, limit)).await?;
                timing.fetch = started.elapsed();
                let StoredObject { bytes, etag, version_id } =
                    outcome.map_err(|error| AnalyzeError::Store { object: Box::new(object.clone()), error })?;
                Ok(Fetched { bytes, etag, version_id })
            }
        }
    }

    async fn prepare(
        &self,
        job: &Job,
        model: &ModelProfile,
        bytes: Bytes,
        timing: &mut Timing,
    ) -> Result<Prepared, AnalyzeError> {
        let queued = Instant::now();
        let worker = job.deadline.bound(Stage::Queue, self.workers.clone().acquire_owned()).await?;
        let worker = worker.map_err(|error| AnalyzeError::Internal { detail: error.to_string() })?;
        timing.queue = queued.elapsed();
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
    ) -> Result<(), AnalyzeError> {
        let asked = retry::ask(&*self.model, question, &self.limits.retry, job.deadline).await?;
        (timing.model, timing.backoff) = (asked.model_time, asked.backoff);
        let fail = |error| AnalyzeError::Model { model: question.model.id.clone(), error, calls: asked.calls };
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
        });
        let id = &question.model.id;
        let reading = reading.map_err(|error| AnalyzeError::Answer { model: id.clone(), error, calls: asked.calls })?;
        analysis.usage += Usage { model_calls: asked.calls, ..asked.reply.usage };
        analysis.model = Some(ModelFacts {
            requested: id.clone(),
            served: id.clone(),
            region: self.model.region().to_owned(),
            prompt_version: prompt::PROMPT_VERSION,
            stop_reason: asked.reply.stop_reason,
            upstream_request_id: asked.reply.upstream_request_id,
        });
        analysis.raw_output = job.options.include_raw_output.then_some(asked.reply.text);
        analysis.findings = reading.findings;
        analysis.warnings.extend(reading.warnings);
        Ok(())
    }
}

/// Those of the features that the model can never answer.
fn unsupported(features: &Features, model: &ModelProfile) -> Result<Vec<&'static str>, AnalyzeError> {
    let asked = features.names();
    let unsupported: Vec<_> = asked.iter().copied().filter(|name| model.unsupported().contains(name)).collect();
    if unsupported.len() == asked.len() {
        return Err(AnalyzeError::FeaturesUnsupported { features: unsupported });
    }
    Ok(unsupported)
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
        usage: Usage { image_tokens: prepared.image_tokens, ..Usage::default() },
        timing: Timing { total: Duration::ZERO, ..Timing::default() },
        warnings: prepared.warnings.clone(),
        raw_output: None,
    }
}

fn question(job: &Job, model: ModelProfile, prepared: &Prepared, image: Bytes) -> Question {
    let temperature = model.takes_temperature.then(|| job.options.temperature.unwrap_or(0.0));
    Question {
        temperature,
        image,
        media_type: prepared.media_type.as_str(),
        prompt: prompt::build(&job.features, &job.options.language, prepared.frame.model()),
        max_output_tokens: asked_tokens(job).min(model.max_output_tokens),
        tags: job.tags.clone(),
        model,
    }
}

/// The output tokens that the caller or the features ask for.
fn asked_tokens(job: &Job) -> u32 {
    job.options.max_output_tokens.unwrap_or_else(|| prompt::output_budget(&job.features))
}

/// What the call would take, before it is made: the picture's tokens by the published rule, and about one token for four
/// bytes of text.
fn expected_input_tokens(question: &Question, image_tokens: u64) -> u64 {
    let prompt = &question.prompt;
    let schema = prompt.tool.as_ref().map_or(0, |tool| tool.schema.to_string().len());
    let bytes = prompt.system.as_ref().map_or(0, String::len) + prompt.text.len() + schema;
    image_tokens + bytes.div_ceil(4) as u64
}

fn model_warnings(question: &Question, options: &Options) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let model = &question.model;
    if options.max_output_tokens.is_some_and(|asked| asked > question.max_output_tokens) {
        let message = format!("{} takes at most {} output tokens.", model.id, model.max_output_tokens);
        warnings.push(Warning::new(WarningCode::OutputTokensLowered, message));
    }
    if options.temperature.is_some() && !model.takes_temperature {
        let message = format!("{} takes no sampling temperature; it was left out.", model.id);
        warnings.push(Warning::new(WarningCode::TemperatureIgnored, message));
    }
    if !model.is_familiar {
        let message = "This version does not know the model; it was asked with careful defaults.";
        warnings.push(Warning::new(WarningCode::ModelUnfamiliar, message));
    }
    if model.is_detector {
        let message = "The answer comes from an object detector that knows 80 kinds of things, not from a language model: \
                       it reads no text, follows no prompt and writes English only.";
        warnings.push(Warning::new(WarningCode::ModelIsDetector, message));
    }
    warnings
}
