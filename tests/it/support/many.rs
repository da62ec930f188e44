//! Streams of `AnalyzeMany`: requests to send, a stream to talk over, and what came of it.

use std::{collections::HashSet, time::Duration};

use prost::Message as _;
use serde_json::json;
use sightline::proto::{
    AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, AnalyzeManyResponse, AnalyzeManyResult, AnalyzeManySummary,
    Features, ImageAnalysis, ImageSource, S3Listing, S3Object, analyze_many_request::Payload,
    analyze_many_response::Event, analyze_many_result::Outcome, image_source::Source,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::pb;

use super::{
    bedrock::{InvokeRequest, Reply},
    images::{Format, Scene, stored_size},
    loopback::PATIENCE,
    service::{BUCKET, Client, Details, Service, describe},
};

/// A small picture that no other number has: its size is the number.
pub fn picture(number: usize) -> Vec<u8> {
    let [across, down] = [number % 100, number / 100].map(|part| 32 + u32::try_from(part).unwrap());
    Scene::new(across, down).encode(Format::Png)
}

/// The number of the [`picture`] that the model was given.
pub fn number_of(request: &InvokeRequest) -> usize {
    let (across, down) = stored_size(&request.image().bytes);
    (across - 32) as usize + (down - 32) as usize * 100
}

/// A good answer to [`describe`]: "picture" and the number.
pub fn answer_by_number(request: &InvokeRequest) -> Reply {
    Reply::tool(json!({"description": format!("picture {}", number_of(request))})).usage(100, 10)
}

/// The first message that sets `features`.
pub fn features(features: Features) -> AnalyzeManyConfig {
    AnalyzeManyConfig { features: Some(features), ..AnalyzeManyConfig::default() }
}

pub fn config(config: AnalyzeManyConfig) -> AnalyzeManyRequest {
    AnalyzeManyRequest { payload: Some(Payload::Config(config)) }
}

/// The first message that asks for descriptions.
pub fn describing() -> AnalyzeManyRequest {
    config(features(describe()))
}

/// An item about inline bytes, without features of its own.
pub fn inline(id: &str, bytes: &[u8]) -> AnalyzeManyItem {
    item_from(id, Source::Content(bytes.to_vec().into()))
}

/// An item about an object in [`BUCKET`], without features of its own.
pub fn stored(id: &str, key: &str) -> AnalyzeManyItem {
    item_from(id, Source::S3Object(S3Object { bucket: BUCKET.to_owned(), key: key.to_owned(), ..S3Object::default() }))
}

pub fn item_from(id: &str, source: Source) -> AnalyzeManyItem {
    let image = Some(ImageSource { source: Some(source) });
    AnalyzeManyItem { item_id: id.to_owned(), image, ..AnalyzeManyItem::default() }
}

pub fn item(item: AnalyzeManyItem) -> AnalyzeManyRequest {
    AnalyzeManyRequest { payload: Some(Payload::Item(item)) }
}

/// Every picture under a prefix of [`BUCKET`].
pub fn under(prefix: &str) -> S3Listing {
    S3Listing { bucket: BUCKET.to_owned(), prefix: prefix.to_owned(), ..S3Listing::default() }
}

pub fn listing(listing: S3Listing) -> AnalyzeManyRequest {
    AnalyzeManyRequest { payload: Some(Payload::Listing(listing)) }
}

impl Service {
    /// Puts numbered pictures under these keys and lets the model answer by number.
    pub fn put_numbered<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) {
        for (number, key) in keys.into_iter().enumerate() {
            self.s3.put(BUCKET, key.as_ref(), picture(number));
        }
        self.bedrock.answer_with(answer_by_number);
    }

    /// Sends all of it, half-closes and takes every answer.
    pub async fn many(&self, requests: Vec<AnalyzeManyRequest>) -> Collected {
        match self.client().analyze_many(tokio_stream::iter(requests)).await {
            Ok(response) => Collected::take_all(response.into_inner()).await,
            Err(status) => Collected { results: Vec::new(), summary: None, end: Err(status) },
        }
    }

    /// Opens a stream to talk over.
    pub async fn talk(&self) -> Talk {
        Talk::over(self.client()).await
    }
}

/// An open stream: both sides in the test's hands.
pub struct Talk {
    /// Dropped by [`Talk::half_close`].
    requests: Option<mpsc::UnboundedSender<AnalyzeManyRequest>>,
    pub answers: Streaming<AnalyzeManyResponse>,
}

impl Talk {
    pub async fn over(client: Client) -> Self {
        Self::with(client, |_| {}).await
    }

    /// With a time limit, as a client sends one.
    pub async fn within(client: Client, limit: Duration) -> Self {
        Self::with(client, |request| request.set_timeout(limit)).await
    }

    async fn with<F>(mut client: Client, change: F) -> Self
    where
        F: FnOnce(&mut Request<UnboundedReceiverStream<AnalyzeManyRequest>>),
    {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(receiver));
        change(&mut request);
        // The response's head comes at once: before any message has been sent.
        let response = tokio::time::timeout(PATIENCE, client.analyze_many(request)).await;
        let answers = response.expect("the head comes at once").expect("the stream opens").into_inner();
        Self { requests: Some(sender), answers }
    }

    pub fn send(&self, request: AnalyzeManyRequest) {
        // A server that has ended the stream takes no more; its status tells the test why.
        let _ = self.requests.as_ref().expect("not half-closed").send(request);
    }

    pub fn send_all(&self, requests: impl IntoIterator<Item = AnalyzeManyRequest>) {
        requests.into_iter().for_each(|request| self.send(request));
    }

    pub fn half_close(&mut self) {
        self.requests = None;
    }

    /// The next result; fails the test when something else comes, or nothing.
    pub async fn next(&mut self) -> AnalyzeManyResult {
        match next_event(&mut self.answers).await {
            Ok(Some(Event::Result(result))) => result,
            other => panic!("a result was expected: {other:?}"),
        }
    }

    /// Half-closes and takes every answer that is still to come.
    pub async fn finish(mut self) -> Collected {
        self.half_close();
        Collected::take_all(self.answers).await
    }

    /// Takes every answer that is still to come, without a half-close.
    pub async fn wait_for_the_end(self) -> Collected {
        let _open = self.requests;
        Collected::take_all(self.answers).await
    }
}

async fn next_event(answers: &mut Streaming<AnalyzeManyResponse>) -> Result<Option<Event>, Status> {
    let message = tokio::time::timeout(PATIENCE, answers.message()).await;
    let message = message.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for an answer"))?;
    Ok(message.map(|message| message.event.expect("an event is always set")))
}

/// What came of a stream.
#[derive(Debug)]
pub struct Collected {
    /// In the order in which they came.
    pub results: Vec<AnalyzeManyResult>,
    pub summary: Option<AnalyzeManySummary>,
    pub end: Result<(), Status>,
}

impl Collected {
    pub async fn take_all(mut answers: Streaming<AnalyzeManyResponse>) -> Self {
        let mut collected = Self { results: Vec::new(), summary: None, end: Ok(()) };
        loop {
            match next_event(&mut answers).await {
                Ok(Some(event)) => collected.push(event),
                Ok(None) => return collected,
                Err(status) => {
                    collected.end = Err(status);
                    return collected;
                }
            }
        }
    }

    fn push(&mut self, event: Event) {
        assert!(self.summary.is_none(), "the summary is the last message, then came {event:?}");
        match event {
            Event::Result(result) => self.results.push(result),
            Event::Summary(summary) => self.summary = Some(summary),
        }
    }

    /// The stream ended with OK, with a summary that agrees with the results, and with each of `count` items answered
    /// once.
    pub fn assert_whole(&self, count: usize) -> &Self {
        assert!(self.end.is_ok(), "{:?}", self.end);
        assert_eq!(self.results.len(), count, "results: {:?}", self.ids());
        let indices: HashSet<i64> = self.results.iter().map(|result| result.item_index.expect("an index")).collect();
        assert_eq!(indices, (0..i64::try_from(count).unwrap()).collect(), "each index once");
        let summary = self.summary();
        let failed = self.results.iter().filter(|result| error_of(result).is_some()).count();
        let counts = (summary.succeeded_count as usize, summary.failed_count as usize);
        assert_eq!(counts, (count - failed, failed), "the summary's counts");
        self
    }

    pub fn summary(&self) -> &AnalyzeManySummary {
        self.summary.as_ref().unwrap_or_else(|| panic!("a summary: {:?}", self.end))
    }

    /// The ids in the order in which they came.
    pub fn ids(&self) -> Vec<&str> {
        self.results.iter().map(|result| result.item_id.as_str()).collect()
    }

    /// The ids by index.
    pub fn ids_as_requested(&self) -> Vec<&str> {
        let mut results: Vec<_> = self.results.iter().collect();
        results.sort_by_key(|result| result.item_index);
        results.into_iter().map(|result| result.item_id.as_str()).collect()
    }

    /// The one result with this id.
    pub fn of(&self, id: &str) -> &AnalyzeManyResult {
        let mut found = self.results.iter().filter(|result| result.item_id == id);
        let result = found.next().unwrap_or_else(|| panic!("no result of {id:?} among {:?}", self.ids()));
        assert!(found.next().is_none(), "two results of {id:?}");
        result
    }

    /// The result with this index.
    pub fn at(&self, index: i64) -> &AnalyzeManyResult {
        let found = self.results.iter().find(|result| result.item_index == Some(index));
        found.unwrap_or_else(|| panic!("no result {index} among {:?}", self.ids()))
    }

    /// How the stream as a whole failed.
    pub fn assert_ends(self, code: Code, reason: &str) -> (Status, Details) {
        assert!(self.summary.is_none(), "no summary beside an error");
        super::service::assert_error(self.end, code, reason)
    }
}

/// The analysis; fails the test when the item failed.
pub fn analysis_of(result: &AnalyzeManyResult) -> &ImageAnalysis {
    match &result.outcome {
        Some(Outcome::Analysis(analysis)) => analysis,
        other => panic!("{:?} was to succeed: {other:?}", result.item_id),
    }
}

/// The text of the description.
pub fn description_of(result: &AnalyzeManyResult) -> &str {
    &analysis_of(result).description.as_ref().expect("a description").text
}

/// The error; `None` when the item succeeded.
pub fn error_of(result: &AnalyzeManyResult) -> Option<&pb::Status> {
    match result.outcome.as_ref().expect("an outcome is always set") {
        Outcome::Analysis(_) => None,
        Outcome::Error(error) => Some(error),
    }
}

/// The error of an item as a client library shows the error of a call.
pub fn status_of(result: &AnalyzeManyResult) -> Status {
    let error = error_of(result).unwrap_or_else(|| panic!("{:?} was to fail", result.item_id));
    Status::with_details(Code::from(error.code), error.message.clone(), error.encode_to_vec().into())
}

/// Checks code, reason and domain of an item's error.
pub fn assert_failed(result: &AnalyzeManyResult, code: Code, reason: &str) -> (Status, Details) {
    super::service::assert_error(Err::<(), _>(status_of(result)), code, reason)
}

/// The reason of an item's error; empty when it succeeded.
pub fn reason_of(result: &AnalyzeManyResult) -> String {
    error_of(result).map(|_| Details::of(&status_of(result)).info.reason).unwrap_or_default()
}

/// The fields of the violations of an error.
pub fn fields(details: &Details) -> Vec<String> {
    let request: pb::BadRequest = details.get("BadRequest").expect("a BadRequest");
    request.field_violations.into_iter().map(|violation| violation.field).collect()
}
