//! From an answer to its line: which source it is for, and whether that has its line already.

use tonic_types::pb;

use super::{
    failure,
    intake::Job,
    lines,
    session::{Session, WriteError},
    sources::Listing,
};
use crate::{
    cli::{plain, source::Source},
    proto::{AnalyzeManyResult, ResultOrder, analyze_many_result::Outcome},
};

/// The server's reason for what it did not start.
const NOT_STARTED: &str = "ABORTED_AFTER_FAILURE";

impl Session<'_> {
    /// Takes the answer for a picture that was sent. Answers how many pictures are settled by it.
    pub(super) async fn answer(&self, mut result: AnalyzeManyResult) -> Result<usize, WriteError> {
        let job = self.sent.borrow().get(&result.item_id);
        let Some(job) = job else {
            let id = plain::line(&result.item_id);
            self.progress.say(&format!("warning: the server answered for `{id}`, which was not asked for"));
            return Ok(0);
        };
        self.totals.borrow_mut().answers += 1;
        if is_aborted(&result) {
            self.totals.borrow_mut().aborted += 1;
        } else {
            result.item_index = Some(job.position);
            self.write(&job.name, job.listing.as_deref(), job.picture.as_ref().ok(), result).await?;
        }
        self.sent.borrow_mut().settle(&job);
        Ok(1 + self.release().await?)
    }

    /// Takes what could not be sent; where order matters it waits for its place. Answers as [`Self::answer`].
    pub(super) async fn unsent(&self, job: Job, error: pb::Status) -> Result<usize, WriteError> {
        self.sent.borrow_mut().hold(job, error);
        self.release().await
    }

    /// Writes the failures of this command's own whose turn it is.
    async fn release(&self) -> Result<usize, WriteError> {
        let in_order = self.settings.config.result_order() == ResultOrder::AsRequested;
        let mut released = 0;
        loop {
            let next = self.sent.borrow_mut().release(in_order);
            let Some((job, error)) = next else { return Ok(released) };
            let result = AnalyzeManyResult {
                item_id: job.name.clone(),
                item_index: Some(job.position),
                outcome: Some(Outcome::Error(error)),
                resume_after: String::new(),
            };
            self.write(&job.name, job.listing.as_deref(), None, result).await?;
            self.sent.borrow_mut().settle(&job);
            released += 1;
        }
    }

    /// Takes an answer out of a listing, which says its place in the run. Answers whether the listing itself failed.
    pub(super) async fn listed(&self, listing: &Listing, result: AnalyzeManyResult) -> Result<bool, WriteError> {
        self.totals.borrow_mut().answers += 1;
        let name = listing.name();
        if result.item_id == name
            && let Some(Outcome::Error(error)) = &result.outcome
        {
            // Broken off in the middle, gone on with, and broken off again: one line of that is enough.
            if self.ledger.borrow().has(&name) {
                let why = plain::line(&error.message);
                self.progress.note(&format!("note: {} broke off again: {why}", plain::line(&name)));
                self.totals.borrow_mut().skipped += 1;
                return Ok(true);
            }
            self.write(&name, Some(&name), None, result).await?;
            return Ok(true);
        }
        let key = result.item_id.clone();
        let (source, resume_after) = (listing.object(&key), result.resume_after.clone());
        // Answered behind the watermark before the stream was lost, or named beside the listing.
        if self.ledger.borrow().has(&source) {
            self.totals.borrow_mut().skipped += 1;
        } else {
            let object = Source::Object { bucket: listing.bucket.clone(), key: key.clone() };
            self.write(&source, Some(&name), Some(&object), result).await?;
        }
        self.ledger.borrow_mut().reached(listing).answered(&key, &resume_after);
        Ok(false)
    }

    /// The line first, then what is counted and drawn.
    async fn write(
        &self,
        name: &str,
        listing: Option<&str>,
        picture: Option<&Source>,
        result: AnalyzeManyResult,
    ) -> Result<(), WriteError> {
        let line = lines::format(name, listing, &result)?;
        self.lines.write(line, &self.progress).await?;
        let failed = !matches!(result.outcome, Some(Outcome::Analysis(_)));
        self.ledger.borrow_mut().answered(name, failed);
        self.totals.borrow_mut().add(&result);
        self.progress.update(&self.totals.borrow());
        self.pictures.offer(name, picture, result).await;
        Ok(())
    }
}

/// Whether the server did not start it because of an earlier failure. Such a source has no answer yet.
pub(super) fn is_aborted(result: &AnalyzeManyResult) -> bool {
    matches!(&result.outcome, Some(Outcome::Error(error)) if failure::reason(error) == NOT_STARTED)
}

#[cfg(test)]
pub(super) mod tests {
    use prost::Message as _;

    use super::*;

    /// What the server says of an item that it did not start.
    pub fn aborted() -> pb::Status {
        let info = pb::ErrorInfo { reason: NOT_STARTED.into(), domain: "sightline".into(), ..Default::default() };
        let type_url = "type.googleapis.com/google.rpc.ErrorInfo".into();
        let detail = prost_types::Any { type_url, value: info.encode_to_vec() };
        pb::Status { code: tonic::Code::Aborted.into(), message: "not started".into(), details: vec![detail] }
    }

    #[test]
    fn only_what_was_not_started_is_told_by_its_reason() {
        let of = |error| AnalyzeManyResult { outcome: Some(Outcome::Error(error)), ..Default::default() };
        assert!(is_aborted(&of(aborted())));
        assert!(!is_aborted(&of(pb::Status { details: vec![], ..aborted() })));
        assert!(!is_aborted(&AnalyzeManyResult::default()));
    }
}
