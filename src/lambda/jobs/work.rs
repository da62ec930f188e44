//! One object: claimed, analyzed, written, let go. However often it is tried and by how many at once, there is one result
//! and the model is paid for it once, but for what is lost between its answer and the write.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    super::{Failure, Invocation, Remedy},
    Jobs,
    claim::{self, Claim, Claimed},
    document,
    fault::Fault,
    keys::Keys,
    object::{Target, Version},
    question::Question,
    store::{Condition, Document, ResultsError},
};
use crate::proto::{self, image_source::Source};

/// What the answer is ahead of Lambda's end: [`Invocation`]'s own margin.
const AHEAD: Duration = Duration::from_secs(1);
/// How much of that may pass while what is paid for is written and the claim deleted.
const WRITING: Duration = Duration::from_millis(800);
/// First wait between two tries to write what is paid for.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Stands for the bytes of an object of which nobody says which they are.
const UNKNOWN_BYTES: &str = "unknown";

/// What becomes of a failure that no repeat mends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failures {
    /// It is written where the result would be: nobody else keeps it.
    Written,
    /// The caller keeps it. It is written all the same when the model was asked, so that nobody asks it again.
    Reported,
}

/// What was done about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// The result is there, under this key.
    Result(String),
    /// That it fails is written there, for this reason.
    Failure {
        /// The document's key.
        key: String,
        /// `REASON: message`, or the reason alone of an earlier failure.
        why: String,
    },
    /// It is a result itself.
    Ignored,
}

/// The work of one invocation on objects that are asked one question.
pub(super) struct Work<'a> {
    pub(super) jobs: &'a Jobs<'a>,
    pub(super) question: &'a Question,
    pub(super) failures: Failures,
}

impl Work<'_> {
    /// Sees to it that the object has its result.
    pub(super) async fn on(&self, target: &Target) -> Result<Done, Fault> {
        if self.jobs.location.holds(target) {
            return Ok(Done::Ignored);
        }
        let deadline = self.jobs.invocation.deadline;
        if deadline.remaining() < self.jobs.handler.min_model_time() {
            return Err(Fault::too_late());
        }
        let claiming = timeout(deadline.remaining(), self.claim(target)).await;
        let (id, keys, claimed) = claiming.unwrap_or_else(|_| Err(Fault::out_of_time()))?;
        match claimed {
            Claimed::Mine(claim) => self.claimed(target, &id, &keys, &claim).await,
            Claimed::Done(facts) => Ok(match facts.reason {
                None => Done::Result(keys.result),
                Some(why) => Done::Failure { key: keys.result, why },
            }),
            Claimed::Others => Err(Fault::in_progress()),
        }
    }

    /// Which bytes are meant, what is written about them, and whether it is this invocation that writes it.
    async fn claim(&self, target: &Target) -> Result<(Identity, Keys, Claimed), Fault> {
        let id = self.identity(target).await?;
        let keys = self.jobs.location.keys(target, id.as_str(), &self.question.digest);
        let Invocation { request_id, ends_at, .. } = self.jobs.invocation;
        let claimed = claim::claim(self.jobs.store, &keys, request_id, *ends_at + AHEAD).await;
        Ok((id, keys, claimed.map_err(|error| self.store_fault(&error))?))
    }

    async fn claimed(&self, target: &Target, id: &Identity, keys: &Keys, claim: &Claim) -> Result<Done, Fault> {
        let outcome = self.result(target, id, &keys.result).await;
        // Whoever comes next is not to wait for the claim's own end, but the answer must not be late for it.
        let release = timeout(self.left_to_write(), claim::release(self.jobs.store, keys, claim));
        if release.await.is_err() {
            tracing::warn!(key = keys.claim, "no time to delete a claim: it stays until it expires");
        }
        outcome
    }

    /// Time left for writing: the invocation's own, and a part of what the answer is ahead of Lambda's end.
    fn left_to_write(&self) -> Duration {
        self.jobs.invocation.deadline.later(WRITING).remaining()
    }

    async fn result(&self, target: &Target, id: &Identity, key: &str) -> Result<Done, Fault> {
        let fault = match self.analyze(target, id).await {
            Ok(analysis) => {
                let document = document::analysis(target, analysis).map_err(|error| self.unwritable(&error))?;
                self.write(key, document).await?;
                return Ok(Done::Result(key.to_owned()));
            }
            Err(fault) => fault,
        };
        let keeps = self.failures == Failures::Written || fault.may_be_paid();
        if fault.remedy != Remedy::Nothing || !keeps {
            return Err(fault);
        }
        let document = document::failure(target, &fault).map_err(|error| self.unwritable(&error))?;
        self.write(key, document).await?;
        Ok(Done::Failure { key: key.to_owned(), why: fault.words() })
    }

    async fn analyze(&self, target: &Target, id: &Identity) -> Result<proto::ImageAnalysis, Fault> {
        let deadline = self.jobs.invocation.deadline;
        let analysis = self.jobs.handler.analyze(deadline, self.request(target, id));
        // The analysis keeps to its deadline by itself; nothing that it forgets may keep the claim from being deleted.
        let bound = timeout(deadline.later(WRITING / 4).remaining(), analysis).await;
        bound.map_err(|_| Fault::out_of_time())?.map_err(|failure| target.fault(failure))
    }

    /// What tells the object's bytes from others under its key.
    async fn identity(&self, target: &Target) -> Result<Identity, Fault> {
        match &target.version {
            Version::Id(id) => return Ok(Identity::Version(id.clone())),
            Version::Etag(etag) => return Ok(Identity::Etag(etag.clone())),
            Version::Newest => {}
        }
        if let Some(etag) = self.jobs.store.etag_of(&target.bucket, &target.key).await {
            return Ok(Identity::Etag(etag));
        }
        // Why it cannot be looked at is told best by reading it, which asks no model.
        let request = proto::AnalyzeImageRequest { validate_only: true, ..self.request(target, &Identity::Unknown) };
        match self.jobs.handler.analyze(self.jobs.invocation.deadline, request).await {
            Ok(analysis) => {
                let etag = analysis.image.map(|image| image.etag).filter(|etag| !etag.is_empty());
                Ok(etag.map_or(Identity::Unknown, Identity::Etag))
            }
            Err(failure) => match target.fault(failure) {
                // Something is to be written about it, whichever bytes it had.
                Fault { remedy: Remedy::Nothing, .. } if self.failures == Failures::Written => Ok(Identity::Unknown),
                fault => Err(fault),
            },
        }
    }

    fn request(&self, target: &Target, id: &Identity) -> proto::AnalyzeImageRequest {
        let mut object =
            proto::S3Object { bucket: target.bucket.clone(), key: target.key.clone(), ..Default::default() };
        match id {
            Identity::Version(id) => object.version_id.clone_from(id),
            Identity::Etag(etag) => object.expected_etag.clone_from(etag),
            Identity::Unknown => {}
        }
        proto::AnalyzeImageRequest {
            image: Some(proto::ImageSource { source: Some(Source::S3Object(object)) }),
            features: Some(self.question.asked.features.clone()),
            options: Some(self.question.asked.options.clone()),
            ..Default::default()
        }
    }

    /// Writes what may have been paid for: as long as there is time for it.
    async fn write(&self, key: &str, document: Document) -> Result<(), Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            let put = self.jobs.store.put(key, &document, &Condition::Absent);
            let error = match timeout(self.left_to_write(), put).await {
                // There already: by another invocation, or by a write whose answer was lost.
                Ok(Ok(_) | Err(ResultsError::Precondition)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => ResultsError::Unavailable { detail: "no time is left".to_owned() },
            };
            let is_passing = matches!(error, ResultsError::Unavailable { .. } | ResultsError::Conflict);
            if !is_passing || pause >= self.left_to_write() {
                tracing::error!(key, %error, "a result is lost: it could not be written");
                return Err(self.store_fault(&error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn store_fault(&self, error: &ResultsError) -> Fault {
        tracing::warn!(%error, "results fail");
        Fault::results(error, &self.jobs.location.address(&self.jobs.location.prefix))
    }

    fn unwritable(&self, error: &document::JsonError) -> Fault {
        tracing::error!(%error, "a result has no JSON form");
        Fault { failure: Failure::internal(), remedy: Remedy::Retry }
    }
}

impl Target {
    fn fault(&self, failure: Failure) -> Fault {
        Fault::of_analysis(failure, !matches!(self.version, Version::Newest))
    }
}

/// Which bytes of an object are meant.
enum Identity {
    Version(String),
    Etag(String),
    Unknown,
}

impl Identity {
    fn as_str(&self) -> &str {
        match self {
            Self::Version(id) | Self::Etag(id) => id,
            Self::Unknown => UNKNOWN_BYTES,
        }
    }
}
