//! One picture through all steps: fetch, look for a kept result, prepare, ask or share, and what is answered.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::{
    Analyzer, Job, Slot, Source, Worker,
    asking::{Asker, Claim, Ledger, Patience, Picture, Request, Topic},
    error::{AnalyzeError, Failed, Stage},
    faring,
    fetch::{self, Fetched},
    preparing,
    sharing::{self, Begin, Key, Landed, Outcome, PictureFacts, Shared, Sharing},
};
use crate::{
    domain::{Analysis, CacheMode, Findings, ImageFacts, ModelFacts, ModelProfile, Size, Timing, Usage},
    imaging::{self, Encoded, Prepared},
    metrics::{self, CacheOutcome},
    spans,
};

/// One analysis in progress.
pub(super) struct Run<'a> {
    analyzer: &'a Analyzer,
    slot: Slot,
    job: Job,
    timing: Timing,
}

/// How a result is shared.
struct Keys {
    /// Under which it is looked for and kept.
    result: Option<Key>,
    /// Under which others share its flight.
    flight: Option<Key>,
}

/// Facts of the file itself, which others with the same picture do not share.
struct FileFacts {
    byte_count: u64,
    etag: Option<String>,
    version_id: Option<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(analyzer: &'a Analyzer, slot: Slot, job: Job) -> Self {
        Self { analyzer, slot, job, timing: Timing::default() }
    }

    /// The analysis of the job's picture by `model` or a fallback of it.
    pub(super) async fn analyze(
        mut self,
        model: &ModelProfile,
        id: Option<&sharing::Claimed>,
    ) -> Result<Analysis, Failed> {
        let analyzer = self.analyzer;
        let limit = analyzer.limits.max_image_bytes;
        let fetched = fetch::fetch(&*analyzer.store, &mut self.job, limit, &mut self.slot, &mut self.timing).await?;
        if matches!(self.job.source, Source::Object(_)) {
            analyzer.metrics.stage(metrics::Stage::Fetch, self.timing.fetch);
        }
        let Fetched { bytes, etag, version_id } = fetched;
        let file = FileFacts { byte_count: bytes.len() as u64, etag, version_id };
        if self.job.validate_only {
            return Ok(self.validate(model, bytes, file).await?);
        }
        let candidates: Vec<_> = std::iter::once(model.clone()).chain(analyzer.models.fallbacks_of(model)).collect();
        let keys = self.keys(&bytes, model).await;
        // A request that is repeated under its id is to have the result of the first, which it may have lost.
        let repeats = id.is_some_and(sharing::Claimed::is_kept);
        let reads = self.job.options.cache == CacheMode::ReadWrite || repeats;
        let kept_under = keys.result.filter(|_| reads);
        if let Some(shared) = self.kept(kept_under.as_ref()) {
            keep_id(id, true);
            analyzer.metrics.cache(CacheOutcome::Hit);
            return Ok(self.answer(&shared, file, Claim::default(), model));
        }
        let kind = faring::kind(&self.job, model, file.byte_count);
        let landed = self.fly(model, bytes, candidates, &keys, kept_under).await;
        faring::tell(&mut self.slot, kind, &landed);
        let Landed { outcome, claim } = landed.map_err(|(error, claim)| failed(error, &claim))?;
        let shared = outcome.map_err(|error| failed(error, &claim))?;
        keep_id(id, keys.result.is_some() && shared.answered.is_lasting);
        if keys.result.is_some() {
            let is_paid = claim.usage.model_calls > 0;
            analyzer.metrics.cache(if is_paid { CacheOutcome::Miss } else { CacheOutcome::Shared });
        }
        Ok(self.answer(&shared, file, claim, model))
    }

    /// Everything but the call: what it would take.
    async fn validate(mut self, model: &ModelProfile, bytes: Bytes, file: FileFacts) -> Result<Analysis, AnalyzeError> {
        let prepared = self.prepare(model, bytes.clone(), None).await?;
        let facts = facts(&prepared);
        let (topic, picture) = (self.topic(), picture(prepared, bytes));
        let draft = self.analyzer.asker.draft(&topic, model, &picture);
        let mut analysis = self.analysis(&facts, picture.frame.model(), file);
        analysis.warnings.extend(draft.warnings());
        analysis.usage = draft.expected_usage();
        Ok(analysis)
    }

    async fn keys(&self, bytes: &Bytes, model: &ModelProfile) -> Keys {
        if self.analyzer.sharing.is_none() {
            return Keys { result: None, flight: None };
        }
        let options = &self.job.options;
        let picture = sharing::of_bytes(bytes).await;
        let key = sharing::of_result(&picture, &self.job.features, options, &self.analyzer.chain(model));
        // A request that is not to share with others still shares with its own repetition.
        let own = |mode: &str| {
            self.job.is_callers_id.then(|| sharing::both(&key, &format!("{mode} {}", self.job.request_id)))
        };
        match options.cache {
            CacheMode::ReadWrite => Keys { result: Some(key), flight: Some(key) },
            CacheMode::Refresh => Keys { result: Some(key), flight: own("refresh") },
            CacheMode::Off => Keys { result: None, flight: own("off") },
        }
    }

    fn kept(&self, key: Option<&Key>) -> Option<Arc<Shared>> {
        self.analyzer.sharing.as_ref()?.kept(key?)
    }

    /// Joins the work on an equal request, or begins it.
    async fn fly(
        &mut self,
        model: &ModelProfile,
        bytes: Bytes,
        candidates: Vec<ModelProfile>,
        keys: &Keys,
        kept_under: Option<Key>,
    ) -> Result<Landed, (AnalyzeError, Claim)> {
        let analyzer = self.analyzer;
        // The model's answer may take long: the original is held by whoever prepares it, and no longer than that.
        self.job.source = Source::Content(Bytes::new());
        let started = Instant::now();
        let ready = preparing::at_once(&bytes, &analyzer.limits.of_pictures(), &self.target(model));
        self.timing.prepare += started.elapsed();
        let worker = match ready {
            Some(_) => None,
            None => self.early_worker(keys).await.map_err(|error| (error, Claim::default()))?,
        };
        let deadline = self.job.deadline;
        let prepare = async move |worker: Option<Worker>| {
            // It may have been kept while this one waited for its turn.
            if let Some(shared) = self.kept(kept_under.as_ref()) {
                return Ok(Begin::Kept(shared));
            }
            let prepared = match ready {
                Some(prepared) => self.prepared(&spans::prepare(), bytes.len(), Ok(prepared)),
                None => self.prepare(model, bytes.clone(), worker).await,
            }?;
            let facts = facts(&prepared);
            let request = Request { topic: self.topic(), picture: picture(prepared, bytes), candidates };
            self.slot.lighten(request.picture.bytes.len() as u64);
            let kept = analyzer.sharing.clone().zip(keys.result);
            Ok(Begin::Work(work(Arc::clone(&analyzer.asker), request, facts, kept), self.job.deadline))
        };
        analyzer.flights.join(keys.flight, deadline, worker, prepare).await
    }

    /// A worker for an item of a stream before it joins others. Items of streams wait long in their queue, and no single
    /// request that wants the same is to wait there behind one.
    async fn early_worker(&mut self, keys: &Keys) -> Result<Option<Worker>, AnalyzeError> {
        let is_begun = || keys.flight.is_some_and(|key| self.analyzer.flights.is_begun(&key));
        if !self.slot.waits() || is_begun() {
            return Ok(None);
        }
        self.job.queue(true, self.slot.worker()).await?.map(Some)
    }

    async fn prepare(
        &mut self,
        model: &ModelProfile,
        bytes: Bytes,
        worker: Option<Worker>,
    ) -> Result<Prepared, AnalyzeError> {
        let worker = match worker {
            Some(worker) => worker,
            None => self.job.queue(self.slot.waits(), self.slot.worker()).await??,
        };
        let span = spans::prepare();
        let byte_count = bytes.len();
        let prepared = self.prepare_on(worker, model, bytes).instrument(span.clone()).await;
        self.prepared(&span, byte_count, prepared)
    }

    /// Counts the preparation of a file of `byte_count` bytes, and says in `span` what came of it.
    fn prepared(
        &self,
        span: &Span,
        byte_count: usize,
        prepared: Result<Prepared, AnalyzeError>,
    ) -> Result<Prepared, AnalyzeError> {
        match &prepared {
            Ok(prepared) => {
                let sent = match &prepared.encoded {
                    Encoded::AsIs => byte_count,
                    Encoded::New(bytes) => bytes.len(),
                };
                self.analyzer.metrics.stage(metrics::Stage::Prepare, self.timing.prepare);
                self.analyzer.metrics.prepared(sent as u64);
                spans::count(span, "sightline.image.bytes", sent as u64);
            }
            Err(error) => spans::failed(span, error.kind()),
        }
        prepared
    }

    /// The preparation itself, on its worker.
    async fn prepare_on(
        &mut self,
        worker: Worker,
        model: &ModelProfile,
        bytes: Bytes,
    ) -> Result<Prepared, AnalyzeError> {
        let limits = self.analyzer.limits.of_pictures();
        let plan = preparing::plan(worker, bytes, limits, self.target(model));
        let planned = self.timed_prepare(plan).await?;
        let waits = self.slot.waits();
        let admitted = self.job.queue(waits, self.slot.waiting(planned.admit())).await??;
        self.timed_prepare(admitted.run()).await
    }

    fn target(&self, model: &ModelProfile) -> imaging::Target {
        imaging::Target { tier: model.tier, oversize: self.job.options.oversize }
    }

    /// A step of the preparation, within the deadline.
    async fn timed_prepare<T>(
        &mut self,
        step: impl Future<Output = Result<T, AnalyzeError>>,
    ) -> Result<T, AnalyzeError> {
        let started = Instant::now();
        let outcome = self.job.deadline.bound(Stage::Prepare, step).await?;
        self.timing.prepare += started.elapsed();
        outcome
    }

    fn topic(&self) -> Topic {
        let Job { features, options, tags, caller, .. } = &self.job;
        Topic { features: features.clone(), options: options.clone(), tags: tags.clone(), caller: caller.clone() }
    }

    /// The shared result as this request's own.
    fn answer(self, shared: &Shared, file: FileFacts, claim: Claim, model: &ModelProfile) -> Analysis {
        let answered = &shared.answered;
        let is_free = claim.usage.model_calls == 0;
        let mut analysis = self.analysis(&shared.picture, answered.seen, file);
        analysis.findings = answered.findings.clone();
        analysis.warnings.extend(answered.warnings.iter().cloned());
        analysis.model = Some(ModelFacts { cached: is_free, ..answered.model.clone() });
        analysis.raw_output = self.job.options.include_raw_output.then(|| answered.raw.clone());
        analysis.response_body = answered.body.clone().filter(|_| self.job.options.include_response_body);
        let is_unpriced = claim.usage.is_unpriced || (is_free && model.prices.is_none());
        analysis.usage = Usage { image_tokens: answered.image_tokens, is_unpriced, ..claim.usage };
        (analysis.timing.model, analysis.timing.backoff) = (claim.model_time, claim.backoff);
        analysis
    }

    fn analysis(&self, picture: &PictureFacts, model_size: Size, file: FileFacts) -> Analysis {
        Analysis {
            request_id: self.job.request_id.clone(),
            image: ImageFacts {
                media_type: picture.media_type,
                size: picture.size,
                exif_orientation: picture.exif_orientation,
                byte_count: file.byte_count,
                model_size,
                etag: file.etag,
                version_id: file.version_id,
            },
            findings: Findings::default(),
            model: None,
            usage: Usage::default(),
            timing: Timing { total: self.job.received.elapsed(), queue: self.slot.waited(), ..self.timing },
            warnings: picture.warnings.clone(),
            raw_output: None,
            response_body: None,
        }
    }
}

/// The work of a flight: it asks, and keeps the result under its key.
fn work(
    asker: Arc<Asker>,
    request: Request,
    facts: PictureFacts,
    kept: Option<(Arc<Sharing>, Key)>,
) -> impl FnOnce(Arc<Patience>, Arc<Ledger>) -> BoxFuture<'static, Outcome> {
    move |patience, ledger| {
        Box::pin(async move {
            let answered = asker.ask(&request, &patience, &ledger).await?;
            let shared = Arc::new(Shared { picture: facts, answered });
            if let (Some((sharing, key)), true) = (kept, shared.answered.is_lasting) {
                sharing.keep(key, Arc::clone(&shared));
            }
            Ok(shared)
        })
    }
}

fn facts(prepared: &Prepared) -> PictureFacts {
    PictureFacts {
        media_type: prepared.source_type.as_str(),
        size: prepared.frame.original(),
        exif_orientation: prepared.exif_orientation,
        warnings: prepared.warnings.clone(),
    }
}

/// The picture to send: the caller's own bytes when they are what the model sees.
fn picture(prepared: Prepared, own: Bytes) -> Picture {
    Picture {
        bytes: match prepared.encoded {
            Encoded::AsIs => own,
            Encoded::New(bytes) => Bytes::from(bytes),
        },
        media_type: prepared.media_type.as_str(),
        frame: prepared.frame,
        tokens: prepared.image_tokens,
    }
}

fn keep_id(id: Option<&sharing::Claimed>, is_kept: bool) {
    if let (Some(id), true) = (id, is_kept) {
        id.keep();
    }
}

/// A failure with what this request has to pay of it. A picture that no model saw took no tokens.
fn failed(error: AnalyzeError, claim: &Claim) -> Failed {
    Failed { error, usage: claim.usage }
}
