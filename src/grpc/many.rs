//! `AnalyzeMany`: a stream of requests in, a stream of answers out.
//!
//! The response head is sent at once, so that a client which waits for it before it sends anything is not waited for in
//! turn. From then on a task of the stream's own works on it, bounded by the caller's deadline, the caller's presence and
//! the server's drain; work goes on while the caller does not read, until everything that may wait for it is full.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Status, Streaming};

use super::{
    deadline,
    edge::Entered,
    log, observe,
    permission::Permission,
    request::many::{self as convert, Defaults, StreamLimits},
    response,
    service::Service,
    status::{self, Failure},
};
use crate::{
    domain::Caller,
    pipeline::{
        AnalyzeError, OpenStream, Stage,
        many::{self, Answer, Cut, Incoming, Totals},
    },
    proto::{
        AnalyzeManyConfig, AnalyzeManyRequest, AnalyzeManyResponse, AnalyzeManyResult, AnalyzeManySummary,
        analyze_many_request::Payload, analyze_many_response::Event, analyze_many_result::Outcome,
    },
    spans,
};

/// Answers that wait for the transport. Few: the seats of a stream bound the work, and this only keeps the transport from
/// waiting for it.
const WAITING_ANSWERS: usize = 8;

/// The stream of responses. The call is in flight until it is dropped.
pub struct Results {
    responses: mpsc::Receiver<Result<AnalyzeManyResponse, Status>>,
    /// The summary or a status has been sent.
    is_complete: bool,
    _in_flight: Option<Arc<Entered>>,
}

impl Stream for Results {
    type Item = Result<AnalyzeManyResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let response = std::task::ready!(self.responses.poll_recv(context));
        let is_last = |response: &Result<AnalyzeManyResponse, Status>| match response {
            Ok(response) => matches!(response.event, Some(Event::Summary(_))),
            Err(_) => true,
        };
        match &response {
            Some(response) => self.is_complete |= is_last(response),
            // The stream's task panicked: without a status the caller would take it for complete.
            None if !self.is_complete => {
                self.is_complete = true;
                return Poll::Ready(Some(Err(status::internal().into_status(None))));
            }
            None => {}
        }
        Poll::Ready(response)
    }
}

/// Begins to work on a stream.
///
/// # Errors
/// CALLER_NOT_ALLOWED when no rule names the caller, OVERLOADED when as many are open as the server takes.
pub(super) fn open(
    service: &Service,
    caller: &Caller,
    request: Request<Streaming<AnalyzeManyRequest>>,
) -> Result<Results, Failure> {
    let permission = service.permission(caller.clone());
    permission.known()?;
    let stream = service.analyzer().admission().open_stream().map_err(|error| status::failure(&error))?;
    let in_flight = request.extensions().get::<Arc<Entered>>().cloned();
    let time_limit = deadline::of_stream(request.metadata().as_ref());
    let (sender, responses) = mpsc::channel(WAITING_ANSWERS);
    let call = Call {
        service: service.clone(),
        permission: Arc::new(permission),
        stream_id: uuid::Uuid::new_v4().to_string(),
        opened: Instant::now(),
        responses: sender,
    };
    tokio::spawn(spans::carried(call.work(request.into_inner(), stream, time_limit)));
    Ok(Results { responses, is_complete: false, _in_flight: in_flight })
}

/// One stream.
struct Call {
    service: Service,
    permission: Arc<Permission>,
    stream_id: String,
    opened: Instant,
    responses: mpsc::Sender<Result<AnalyzeManyResponse, Status>>,
}

/// Why there is no summary.
enum Ended {
    /// The caller is told so.
    Failed(Failure),
    /// There is nobody to tell.
    Gone,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Call {
    async fn work(self, messages: Streaming<AnalyzeManyRequest>, stream: OpenStream, time_limit: Option<Duration>) {
        // Dropping what lost drops the work in flight, upstream too.
        let ended = tokio::select! {
            ended = self.answer(messages, stream) => ended,
            () = pass(time_limit) => {
                let error = AnalyzeError::DeadlineExceeded { stage: Stage::Stream };
                Err(Ended::Failed(status::failure(&error)))
            }
            () = self.service.cut_off() => Err(Ended::Failed(status::draining())),
            () = self.responses.closed() => Err(Ended::Gone),
        };
        let (elapsed, caller) = (self.opened.elapsed(), &self.permission.caller);
        let last = match ended {
            Ok(summary) => {
                let (succeeded, failed) = (summary.succeeded_count, summary.failed_count);
                tracing::info!(stream_id = self.stream_id, %caller, ?elapsed, succeeded, failed, "stream done");
                Ok(AnalyzeManyResponse { event: Some(Event::Summary(summary)) })
            }
            Err(Ended::Failed(failure)) => {
                log::failed(&log::Call { request_id: &self.stream_id, caller, elapsed }, &failure, None);
                Err(failure.into_status(Some(&self.stream_id)))
            }
            Err(Ended::Gone) => {
                tracing::info!(stream_id = self.stream_id, %caller, ?elapsed, "stream cancelled by the caller");
                return;
            }
        };
        // A caller who has left by now needs no last word.
        let _ = self.responses.send(last).await;
    }

    /// Answers every item.
    async fn answer(
        &self,
        mut messages: Streaming<AnalyzeManyRequest>,
        stream: OpenStream,
    ) -> Result<AnalyzeManySummary, Ended> {
        let first = tokio::select! {
            first = messages.message() => first.map_err(|broken| broken_off(&broken))?,
            () = self.service.draining() => return Err(Ended::Failed(status::draining())),
        };
        let began = Instant::now();
        let (config, first) = opening(first)?;
        let (settings, defaults) =
            convert::settings(self.stream_id.clone(), self.permission.caller.clone(), config, self.limits())?;
        let messages = futures_util::stream::iter(first.map(Ok)).chain(messages);
        let permission = &*self.permission;
        let requests = messages.map(|message| requested(message, &defaults, permission));
        let incoming = Incoming { requests, gate: Arc::clone(&self.permission) as Arc<dyn many::Gate<Failure>> };
        let (analyzer, draining) = (Arc::clone(self.service.analyzer()), self.service.draining());
        let metrics = Arc::clone(analyzer.metrics());
        let answered = |answer| observe::item(&metrics, Ok(response_to(answer, &permission.caller)));
        let (totals, ended) =
            many::run(analyzer, stream, settings, incoming, draining, self.responses.clone(), answered).await;
        match ended {
            Ok(()) => Ok(summary(totals, began)),
            Err(Cut::Requests(failure)) => Err(Ended::Failed(failure)),
            Err(Cut::TooManyItems) => Err(Ended::Failed(status::too_many_items(many::MAX_ITEM_IDS))),
            Err(Cut::Draining) => Err(Ended::Failed(status::draining())),
            Err(Cut::Gone) => Err(Ended::Gone),
        }
    }

    fn limits(&self) -> StreamLimits {
        let max_in_flight = self.service.analyzer().admission().stream_slots();
        StreamLimits { max_in_flight, item_timeout: self.service.max_request_time() }
    }
}

/// Resolves after that time; never without one.
async fn pass(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The settings of the stream, and the first message when it holds none.
fn opening(first: Option<AnalyzeManyRequest>) -> Result<(AnalyzeManyConfig, Option<AnalyzeManyRequest>), Failure> {
    match first {
        None => Ok((AnalyzeManyConfig::default(), None)),
        Some(AnalyzeManyRequest { payload: Some(Payload::Config(config)) }) => Ok((config, None)),
        Some(AnalyzeManyRequest { payload: None }) => Err(convert::empty()),
        Some(item) => Ok((AnalyzeManyConfig::default(), Some(item))),
    }
}

fn requested(
    message: Result<AnalyzeManyRequest, Status>,
    defaults: &Defaults,
    permission: &Permission,
) -> Result<many::Request<Failure>, Failure> {
    let request = message.map(|message| convert::request(message, defaults)).map_err(|broken| broken_off(&broken))?;
    Ok(match request {
        // Before its first page is fetched. Items are asked about when their turn comes.
        many::Request::Listing { shown_id, task } => {
            let allowed = |task| permission.listing(&task).map(|()| task);
            many::Request::Listing { shown_id, task: task.and_then(allowed) }
        }
        item => item,
    })
}

/// The requests end with an error of the transport: too large a message, bytes that are none, a connection that broke.
fn broken_off(status: &Status) -> Failure {
    status::of_the_transport(status.code(), status.message())
}

fn response_to(answer: Answer<Failure>, caller: &Caller) -> AnalyzeManyResponse {
    AnalyzeManyResponse { event: Some(Event::Result(result(answer, caller))) }
}

fn result(answer: Answer<Failure>, caller: &Caller) -> AnalyzeManyResult {
    let Answer { item_id, item_index, request_id, elapsed, outcome, resume_after } = answer;
    let call = log::Call { request_id: &request_id, caller, elapsed };
    let outcome = match outcome {
        Ok(analysis) => {
            log::analyzed(&call, &analysis);
            Outcome::Analysis(response::analysis(*analysis))
        }
        Err(failure) => {
            let (failure, cause) = match failure {
                many::Failure::Refused(failure) => (failure, None),
                many::Failure::Failed(error) => (status::failure(&error), Some(error)),
            };
            log::failed(&call, &failure, cause.as_ref());
            Outcome::Error(failure.into_message(Some(&request_id)))
        }
    };
    AnalyzeManyResult {
        item_id,
        item_index: Some(response::count(item_index)),
        outcome: Some(outcome),
        resume_after: resume_after.unwrap_or_default(),
    }
}

fn summary(totals: Totals, began: Instant) -> AnalyzeManySummary {
    AnalyzeManySummary {
        succeeded_count: response::count(totals.succeeded),
        failed_count: response::count(totals.failed),
        total_usage: Some(response::usage(totals.usage)),
        elapsed: Some(response::duration(began.elapsed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(responses: mpsc::Receiver<Result<AnalyzeManyResponse, Status>>) -> Results {
        Results { responses, is_complete: false, _in_flight: None }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_not_taken_for_complete() {
        let (sender, responses) = mpsc::channel(1);
        drop(sender);
        let told: Vec<_> = results(responses).collect().await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].as_ref().unwrap_err().code(), tonic::Code::Internal);
    }

    #[tokio::test]
    async fn a_summary_is_the_last_word() {
        let (sender, responses) = mpsc::channel(1);
        let summary = AnalyzeManyResponse { event: Some(Event::Summary(AnalyzeManySummary::default())) };
        sender.try_send(Ok(summary)).unwrap();
        drop(sender);
        let told: Vec<_> = results(responses).collect().await;
        assert!(told.len() == 1 && told[0].is_ok(), "{told:?}");
    }
}
