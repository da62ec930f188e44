//! The two kinds of streams: one of pictures that are named, and one of a listing that the server goes through.

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Status, Streaming};
use tonic_types::pb;

use super::{
    answers::is_aborted,
    intake::{Intake, Job},
    session::{End, Session, WriteError},
    sources::Listing,
};
use crate::proto::{
    AnalyzeManyRequest, AnalyzeManyResponse, AnalyzeManyResult, AnalyzeManySummary, S3Listing,
    analyze_many_request::Payload, analyze_many_response::Event,
};

impl Session<'_> {
    /// A stream of pictures, up to the next listing or the end of the sources.
    pub(super) async fn pictures(&self, intake: &mut Intake) -> Result<End, WriteError> {
        let (requests, taken) = mpsc::channel(1);
        // The channel is empty, so there is room.
        let _ = requests.try_send(self.config());
        let mut inbound = match self.open(ReceiverStream::new(taken)).await {
            Ok(inbound) => inbound,
            Err(end) => return Ok(end),
        };
        let (failed, failures) = mpsc::channel(1);
        // As many as the server works on, and some on their way.
        let slots = usize::try_from(self.settings.config.max_in_flight).unwrap_or(1);
        let room = Semaphore::new(slots + slots / 4 + 2);
        let shared = self.shared();
        let feed = intake.feed(&shared, self.settings.message_bytes, &room, requests, failed);
        let end = self.exchange(feed, &mut inbound, failures, &room).await?;
        let unanswered = self.sent.borrow().len();
        Ok(match end {
            _ if self.is_halted() => End::Stopped,
            End::Finished if unanswered > 0 => {
                End::Broken(Status::unavailable(format!("it ended with {unanswered} pictures unanswered")))
            }
            end => end,
        })
    }

    /// Sends with `feed` and takes answers until the stream's end.
    async fn exchange(
        &self,
        feed: impl Future<Output = ()>,
        inbound: &mut Streaming<AnalyzeManyResponse>,
        mut failures: mpsc::Receiver<(Job, pb::Status)>,
        room: &Semaphore,
    ) -> Result<End, WriteError> {
        let mut stop = self.stop.clone();
        // Dropping it half-closes the stream.
        let mut feed = Some(Box::pin(feed));
        let end = loop {
            tokio::select! {
                () = async { if let Some(feed) = &mut feed { feed.await } }, if feed.is_some() => feed = None,
                _ = stop.wait_for(|stop| *stop), if feed.is_some() => feed = None,
                Some((job, error)) = failures.recv() => room.add_permits(self.unsent(job, error).await?),
                event = inbound.message() => match heard(event) {
                    Ok(Some(Event::Result(result))) => room.add_permits(self.answer(result).await?),
                    Ok(Some(Event::Summary(summary))) => break self.summed_up(&summary),
                    Ok(None) => {}
                    Err(status) => break End::Broken(status),
                },
            }
            if self.is_halted() {
                feed = None;
            }
        };
        drop(feed);
        if matches!(end, End::Finished) {
            while let Some((job, error)) = failures.recv().await {
                self.unsent(job, error).await?;
            }
        }
        Ok(end)
    }

    /// The stream of a listing, from where it has come to. Its first object has the place `base`.
    pub(super) async fn listing(&self, listing: &Listing, base: i64, intake: &mut Intake) -> Result<End, WriteError> {
        let (asked, below) = match self.asked(listing) {
            Some(asked) => asked,
            None => return Ok(End::Finished),
        };
        let mut inbound = match self.open(tokio_stream::iter([self.config(), asked])).await {
            Ok(inbound) => inbound,
            Err(end) => return Ok(end),
        };
        let mut stop = self.stop.clone();
        let mut course = Course { base: base.saturating_add(below), ..Course::default() };
        loop {
            let event = tokio::select! {
                event = inbound.message() => event,
                // A listing cannot be told to send no more: the call is cancelled.
                _ = stop.wait_for(|stop| *stop) => return Ok(End::Interrupted),
            };
            match heard(event) {
                Ok(Some(Event::Result(result))) => {
                    self.advance(listing, &mut course, result).await?;
                    intake.position = intake.position.max(course.next);
                    if self.is_halted() && course.is_over() {
                        return Ok(End::Stopped);
                    }
                }
                Ok(Some(Event::Summary(summary))) => {
                    if !course.failed {
                        self.ledger.borrow_mut().finished(listing, self.settings.max_objects.is_none());
                    }
                    return Ok(self.summed_up(&summary));
                }
                Ok(None) => {}
                Err(status) => return Ok(End::Broken(status)),
            }
        }
    }

    /// Takes one result of a listing.
    async fn advance(
        &self,
        listing: &Listing,
        course: &mut Course,
        mut result: AnalyzeManyResult,
    ) -> Result<(), WriteError> {
        let aborted = course.take(&result);
        result.item_index = Some(course.place(&result));
        if aborted {
            self.totals.borrow_mut().aborted += 1;
        } else {
            course.failed |= self.listed(listing, result).await?;
        }
        Ok(())
    }

    /// What to ask for, and how many objects of the listing come before that; `None` when there are enough.
    fn asked(&self, listing: &Listing) -> Option<(AnalyzeManyRequest, i64)> {
        let mut ledger = self.ledger.borrow_mut();
        let reached = ledger.reached(listing);
        let below = i64::try_from(reached.below).unwrap_or(i64::MAX);
        let max_objects = match self.settings.max_objects.map(|most| most - below) {
            // 0 would mean all.
            Some(..=0) => return None,
            most => most.unwrap_or_default(),
        };
        let asked = S3Listing {
            bucket: listing.bucket.clone(),
            prefix: listing.prefix.clone(),
            start_after: reached.after.clone(),
            max_objects,
            suffixes: self.settings.suffixes.clone(),
        };
        Some((AnalyzeManyRequest { payload: Some(Payload::Listing(asked)) }, below))
    }

    fn config(&self) -> AnalyzeManyRequest {
        AnalyzeManyRequest { payload: Some(Payload::Config(self.settings.config.clone())) }
    }

    async fn open(
        &self,
        requests: impl Stream<Item = AnalyzeManyRequest> + Send + 'static,
    ) -> Result<Streaming<AnalyzeManyResponse>, End> {
        let (mut client, mut stop) = (self.client.clone(), self.stop.clone());
        tokio::select! {
            inbound = client.analyze_many(requests) => inbound.map_err(End::Broken),
            _ = stop.wait_for(|stop| *stop) => Err(End::Interrupted),
        }
    }

    fn summed_up(&self, summary: &AnalyzeManySummary) -> End {
        self.totals.borrow_mut().end_stream(summary.total_usage);
        if self.is_halted() { End::Stopped } else { End::Finished }
    }
}

/// What a stream says next; `None` for what a later version of the contract may add.
fn heard(event: Result<Option<AnalyzeManyResponse>, Status>) -> Result<Option<Event>, Status> {
    match event? {
        Some(response) => Ok(response.event),
        None => Err(Status::unavailable("it ended without its summary")),
    }
}

/// How far a stream has gone that stops at the first failure: items start in order, so once everything before the first
/// that was not started is answered, nothing is in progress any more.
#[derive(Debug, Default)]
struct Course {
    /// Place in the run of the stream's first item.
    base: i64,
    /// Place of what comes after everything that has been told of.
    next: i64,
    answered: i64,
    first_aborted: Option<i64>,
    /// Whether the listing itself failed.
    failed: bool,
}

impl Course {
    /// Takes in a result; answers whether it was not started.
    fn take(&mut self, result: &AnalyzeManyResult) -> bool {
        let (aborted, index) = (is_aborted(result), result.item_index.unwrap_or_default());
        if aborted {
            self.first_aborted = Some(self.first_aborted.map_or(index, |first| first.min(index)));
        } else {
            self.answered += 1;
        }
        self.next = self.next.max(self.place(result).saturating_add(1));
        aborted
    }

    /// Place of a result in the run.
    fn place(&self, result: &AnalyzeManyResult) -> i64 {
        self.base.saturating_add(result.item_index.unwrap_or_default())
    }

    fn is_over(&self) -> bool {
        self.first_aborted.is_some_and(|first| self.answered >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::analyze_many::answers::tests::aborted, proto::analyze_many_result::Outcome};

    #[test]
    fn a_stopped_listing_is_over_once_all_that_had_started_is_answered() {
        let at = |index, error: pb::Status| AnalyzeManyResult {
            item_index: Some(index),
            outcome: Some(Outcome::Error(error)),
            ..AnalyzeManyResult::default()
        };
        let mut course = Course::default();
        assert!(!course.take(&at(1, pb::Status::default())) && !course.is_over());
        assert!(course.take(&at(3, aborted())) && !course.is_over());
        assert!(!course.take(&at(0, pb::Status::default())) && !course.is_over());
        assert!(!course.take(&at(2, pb::Status::default())) && course.is_over());
    }
}
