use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use proptest::prelude::*;

use super::*;
use crate::{
    catalog::{Catalog, Models},
    domain::{ModelProfile, ObjectRef, StopReason},
    pipeline::{
        ImageStore, Limits, ListQuery, ModelError, OpenObject, Page, PageStart, Question, Reply, StoreError,
        VisionModel, tests::limits,
    },
};

/// Objects that are all the same picture, listed in pages of three; keys with `missing` in them are not there.
struct Store(Vec<String>);

/// A picture that takes a worker, and little of its time: it is turned into a PNG.
fn picture() -> Bytes {
    let mut bmp = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(40, 30, image::Rgb([7, 0, 0])).write_to(&mut bmp, image::ImageFormat::Bmp).unwrap();
    bmp.into_inner().into()
}

#[async_trait]
impl ImageStore for Store {
    async fn open(&self, object: &ObjectRef) -> Result<OpenObject, StoreError> {
        if object.key.contains("missing") {
            return Err(StoreError::ObjectNotFound);
        }
        let bytes = picture();
        let size = Some(bytes.len() as u64);
        Ok(OpenObject { size, etag: None, version_id: None, body: Box::pin(stream::iter([Ok(bytes)])) })
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let from = match &query.from {
            PageStart::After(key) => self.0.partition_point(|listed| listed <= key),
            PageStart::Token(token) => token.parse().unwrap(),
        };
        let keys: Vec<_> = self.0.iter().skip(from).take(3).cloned().collect();
        let to = from + keys.len();
        Ok(Page { keys, next: (to < self.0.len()).then(|| to.to_string()) })
    }
}

/// Does what the prompt says, and counts.
#[derive(Default)]
struct Model(AtomicUsize);

#[async_trait]
impl VisionModel for Model {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let usage = Usage { input_tokens: 7000, output_tokens: 3, ..Usage::default() };
        match question.prompt.text.as_str() {
            "panic" => panic!("on purpose"),
            "fail" => return Err(ModelError::EndOfLife),
            "hang" => std::future::pending().await,
            slow => tokio::time::sleep(Duration::from_millis(slow.parse().unwrap_or_default())).await,
        }
        let stop_reason = if question.prompt.text == "refuse" { StopReason::Refusal } else { StopReason::EndTurn };
        Ok(Reply { text: "A rocket.".to_owned(), stop_reason, usage, upstream_request_id: None, body: None })
    }

    fn region<'a>(&'a self, _model: &'a ModelProfile) -> &'a str {
        "eu-west-1"
    }
}

fn analyzer(model: &Arc<Model>, keys: &[&str]) -> Arc<Analyzer> {
    let limits = Limits { prepare_workers: 2, ..limits() };
    let store = Store(keys.iter().map(|key| (*key).to_owned()).collect());
    let models = Models::new(Catalog::built_in().unwrap(), None, None).unwrap();
    Arc::new(Analyzer::new(Arc::new(store), model.clone(), models, limits, Arc::default()))
}

fn settings(order: Order, on_failure: OnFailure, max_in_flight: usize) -> Settings {
    let item_timeout = Duration::from_secs(20);
    let caller = Caller::anonymous();
    Settings { stream_id: "s".to_owned(), caller, max_in_flight, order, on_failure, item_timeout }
}

fn features(prompt: &str) -> Features {
    Features { prompt: Some(prompt.to_owned()), ..Features::default() }
}

fn item(id: &str, prompt: &str) -> Request<String> {
    let task = Task { source: Source::Content(picture()), features: features(prompt), options: Options::default() };
    Request::Item { id: Some(id.to_owned()), shown_id: id.to_owned(), task: Ok(task) }
}

fn listing(start_after: &str, prompt: &str) -> Request<String> {
    let listing = Listing {
        bucket: "photos".to_owned(),
        prefix: String::new(),
        start_after: start_after.to_owned(),
        max_objects: None,
        suffixes: vec![".jpg".to_owned()],
    };
    let task = ListingTask { listing, features: features(prompt), options: Options::default() };
    Request::Listing { shown_id: "s3://photos/".to_owned(), task: Ok(task) }
}

type Answers = Vec<Answer<String>>;

/// Lets everything in but what asks to be refused, and counts the tokens that are charged.
#[derive(Default, Clone)]
struct Door(Arc<AtomicUsize>);

#[async_trait]
impl Gate<String> for Door {
    async fn enter(&self, task: &Task) -> Result<Box<dyn Pass>, String> {
        match task.features.prompt.as_deref() {
            Some("forbidden") => Err("not allowed".to_owned()),
            _ => Ok(Box::new(self.clone())),
        }
    }
}

impl Pass for Door {
    fn charge(&self, usage: &Usage) {
        self.0.fetch_add(usize::try_from(usage.output_tokens).unwrap(), Ordering::Relaxed);
    }
}

/// Requests behind an open door.
fn open<S>(requests: S) -> Incoming<S, String> {
    Incoming { requests, gate: Arc::new(Door::default()) }
}

/// Everything that comes out, with nobody draining and a reader that reads.
async fn all(
    analyzer: Arc<Analyzer>,
    settings: Settings,
    requests: Vec<Result<Request<String>, String>>,
) -> (Answers, Totals, Result<(), Cut<String>>) {
    let (out, mut answers) = mpsc::channel(1);
    let stream = analyzer.admission().open_stream().unwrap();
    let running =
        run(analyzer, stream, settings, open(stream::iter(requests)), std::future::pending(), out, |answer| answer);
    let reading = async {
        let mut all = Vec::new();
        while let Some(answer) = answers.recv().await {
            all.push(answer);
        }
        all
    };
    let ((totals, ended), answers) = tokio::join!(running, reading);
    (answers, totals, ended)
}

fn outcome(answer: &Answer<String>) -> &'static str {
    match &answer.outcome {
        Ok(_) => "ok",
        Err(Failure::Refused(_)) => "refused",
        Err(Failure::Failed(AnalyzeError::ItemIdDuplicate)) => "duplicate",
        Err(Failure::Failed(AnalyzeError::Aborted)) => "aborted",
        Err(Failure::Failed(AnalyzeError::Internal { .. })) => "internal",
        Err(Failure::Failed(AnalyzeError::Model { .. })) => "model",
        Err(Failure::Failed(AnalyzeError::Store { .. })) => "store",
        Err(Failure::Failed(AnalyzeError::ListingEmpty { .. })) => "empty",
        Err(Failure::Failed(_)) => "other",
    }
}

#[tokio::test]
async fn a_panic_is_that_items_internal() {
    let requests = vec![Ok(item("a", "say")), Ok(item("b", "panic")), Ok(item("c", "say"))];
    let settings = settings(Order::AsRequested, OnFailure::Continue, 4);
    let (answers, totals, ended) = all(analyzer(&Arc::default(), &[]), settings, requests).await;
    assert_eq!(answers.iter().map(outcome).collect::<Vec<_>>(), ["ok", "internal", "ok"]);
    assert_eq!((totals.succeeded, totals.failed, ended), (2, 1, Ok(())));
}

#[tokio::test]
async fn what_a_refusal_cost_is_in_the_totals() {
    let requests = vec![Ok(item("a", "refuse")), Ok(item("b", "say")), Ok(item("c", "fail"))];
    let settings = settings(Order::AsCompleted, OnFailure::Continue, 4);
    let (_, totals, _) = all(analyzer(&Arc::default(), &[]), settings, requests).await;
    let Usage { input_tokens, output_tokens, model_calls, .. } = totals.usage;
    // The model that failed was asked, and its fallback too.
    assert_eq!((input_tokens, output_tokens, model_calls), (14_000, 6, 4));
}

#[tokio::test]
async fn an_item_that_is_not_let_in_fails_alone_and_what_others_used_is_charged() {
    let prompts = ["say", "forbidden", "refuse", "fail", "say"];
    let requests = prompts.iter().enumerate().map(|(index, prompt)| Ok(item(&index.to_string(), prompt)));
    let (model, door) = (Arc::default(), Door::default());
    let (out, mut answers) = mpsc::channel(8);
    let settings = settings(Order::AsRequested, OnFailure::Continue, 1);
    let analyzer = analyzer(&model, &[]);
    let stream = analyzer.admission().open_stream().unwrap();
    let incoming = Incoming { requests: stream::iter(requests), gate: Arc::new(door.clone()) };
    let (totals, ended) = run(analyzer, stream, settings, incoming, std::future::pending(), out, |answer| answer).await;
    assert_eq!((totals.succeeded, totals.failed, ended), (2, 3, Ok(())));
    let mut told = Vec::new();
    while let Some(answer) = answers.recv().await {
        told.push(outcome(&answer));
    }
    assert_eq!(told, ["ok", "refused", "model", "model", "ok"]);
    assert_eq!(door.0.load(Ordering::Relaxed), 9, "the failure that was answered cost as much as an answer");
}

#[tokio::test]
async fn after_a_failure_the_rest_is_aborted_and_the_watermark_stays_before_it() {
    let keys = ["1.jpg", "2.jpg", "3-missing.jpg", "4.jpg", "5.txt", "6.jpg", "7.jpg"];
    let model = Arc::default();
    let settings = settings(Order::AsRequested, OnFailure::Stop, 1);
    let (answers, totals, ended) = all(analyzer(&model, &keys), settings, vec![Ok(listing("", "say"))]).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| (answer.item_id.as_str(), outcome(answer), answer.resume_after.as_deref().unwrap()))
        .collect();
    let expected = [
        ("1.jpg", "ok", "1.jpg"),
        ("2.jpg", "ok", "2.jpg"),
        ("3-missing.jpg", "store", "3-missing.jpg"),
        ("4.jpg", "aborted", "3-missing.jpg"),
        ("6.jpg", "aborted", "3-missing.jpg"),
        ("7.jpg", "aborted", "3-missing.jpg"),
    ];
    assert_eq!(told, expected);
    assert_eq!((totals.succeeded, totals.failed, ended), (2, 4, Ok(())));
    assert_eq!(model.0.load(Ordering::Relaxed), 2, "nothing was begun after the failure");
}

#[tokio::test]
async fn requests_that_break_off_are_answered_as_far_as_they_came() {
    let requests = vec![Ok(item("a", "say")), Err("broken".to_owned()), Ok(item("b", "say"))];
    let settings = settings(Order::AsCompleted, OnFailure::Continue, 4);
    let (answers, _, ended) = all(analyzer(&Arc::default(), &[]), settings, requests).await;
    assert_eq!(answers.iter().map(outcome).collect::<Vec<_>>(), ["ok"]);
    assert_eq!(ended, Err(Cut::Requests("broken".to_owned())));
}

#[tokio::test]
async fn draining_answers_what_was_begun() {
    let (out, mut answers) = mpsc::channel(1);
    let (drain, draining) = tokio::sync::oneshot::channel::<()>();
    let requests = stream::iter([Ok(item("a", "say"))]).chain(stream::pending());
    let settings = settings(Order::AsCompleted, OnFailure::Continue, 4);
    let draining = async { draining.await.unwrap_or_default() };
    let analyzer = analyzer(&Arc::default(), &[]);
    let stream = analyzer.admission().open_stream().unwrap();
    let running = tokio::spawn(run(analyzer, stream, settings, open(requests), draining, out, |answer| answer));
    let first: Answer<String> = answers.recv().await.unwrap();
    assert_eq!(outcome(&first), "ok");
    drain.send(()).unwrap();
    assert!(answers.recv().await.is_none());
    let (totals, ended) = running.await.unwrap();
    assert_eq!((totals.succeeded, ended), (1, Err(Cut::Draining)));
}

#[tokio::test]
async fn draining_in_the_middle_of_the_last_listing_is_no_good_end() {
    let (out, mut answers) = mpsc::channel(1);
    let (drain, draining) = tokio::sync::oneshot::channel::<()>();
    let requests = stream::iter([Ok(listing("", "say"))]);
    let settings = settings(Order::AsCompleted, OnFailure::Continue, 1);
    let draining = async { draining.await.unwrap_or_default() };
    let analyzer = analyzer(&Arc::default(), &KEYS);
    let stream = analyzer.admission().open_stream().unwrap();
    let running = tokio::spawn(run(analyzer, stream, settings, open(requests), draining, out, |answer| answer));
    let first: Answer<String> = answers.recv().await.unwrap();
    assert_eq!(first.item_index, 0);
    drain.send(()).unwrap();
    let mut count = 1;
    while answers.recv().await.is_some() {
        count += 1;
    }
    let (totals, ended) = running.await.unwrap();
    assert!(count < 7, "the rest of the listing was not begun");
    assert_eq!((totals.succeeded + totals.failed, ended), (count, Err(Cut::Draining)));
}

#[tokio::test]
async fn nothing_is_begun_beyond_the_seats_of_a_reader_who_does_not_read() {
    let (out, answers) = mpsc::channel::<Answer<String>>(1);
    let model: Arc<Model> = Arc::default();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let requests = stream::iter(0..1000).map(move |n| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(item(&n.to_string(), "say"))
    });
    let settings = settings(Order::AsCompleted, OnFailure::Continue, 5);
    let analyzer = analyzer(&model, &[]);
    let stream = analyzer.admission().open_stream().unwrap();
    let running = run(analyzer, stream, settings, open(requests), std::future::pending(), out, |answer| answer);
    let mut running = std::pin::pin!(running);
    let asked = async {
        while model.0.load(Ordering::Relaxed) < 6 {
            tokio::task::yield_now().await
        }
    };
    tokio::select! {
        _ = &mut running => panic!("nobody reads"),
        () = asked => {}
    }
    // What would go on would do so at once.
    assert!(tokio::time::timeout(Duration::from_millis(200), running).await.is_err());
    assert_eq!(taken.load(Ordering::Relaxed), 6, "five seats, and the one of the answer that waits");
    assert_eq!(model.0.load(Ordering::Relaxed), 6);
    drop(answers);
}

#[derive(Debug, Clone)]
enum Ask {
    Item(u8, &'static str),
    Refused,
    Listing(u8),
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let prompt = prop_oneof![Just("say"), Just("fail"), Just("refuse"), Just("1"), Just("4"), Just("panic")];
    let ask = prop_oneof![
        6 => (0u8..12, prompt).prop_map(|(id, prompt)| Ask::Item(id, prompt)),
        1 => Just(Ask::Refused),
        2 => (0u8..10).prop_map(Ask::Listing),
    ];
    prop::collection::vec(ask, 0..24)
}

const KEYS: [&str; 8] = ["k1.jpg", "k2.jpg", "k3-missing.jpg", "k4.JPG", "k5.txt", "k6.jpg", "k7.jpg", "k8.jpg"];

type Requests = Vec<Result<Request<String>, String>>;
/// An item's id, and of a listed object the number of its listing and where that starts.
type Expected = (String, Option<(usize, String)>);

/// The requests, and what the item at each index must be.
fn expected(asks: &[Ask]) -> (Requests, Vec<Expected>) {
    let (mut requests, mut items) = (Vec::new(), Vec::new());
    for (number, ask) in asks.iter().enumerate() {
        match ask {
            Ask::Item(id, prompt) => {
                requests.push(Ok(item(&id.to_string(), prompt)));
                items.push((id.to_string(), None));
            }
            Ask::Refused => {
                let task = Err("refused".to_owned());
                requests.push(Ok(Request::Item { id: None, shown_id: "bad".to_owned(), task }));
                items.push(("bad".to_owned(), None));
            }
            Ask::Listing(from) => {
                let start_after = if *from == 0 { String::new() } else { format!("k{from}") };
                requests.push(Ok(listing(&start_after, "2")));
                let keys = KEYS.iter().filter(|key| **key > start_after.as_str() && !key.ends_with("txt"));
                items.extend(keys.map(|key| ((*key).to_owned(), Some((number, start_after.clone())))));
            }
        }
    }
    (requests, items)
}

/// Checks that every watermark was true when it came and never went back.
fn check_watermarks(answers: &Answers, items: &[Expected]) {
    let mut reached: BTreeMap<usize, String> = BTreeMap::new();
    for (position, answer) in answers.iter().enumerate() {
        let (_, listing) = &items[answer.item_index as usize];
        let Some((number, start_after)) = listing else {
            assert_eq!(answer.resume_after, None);
            continue;
        };
        let watermark = answer.resume_after.clone().unwrap();
        let answered: Vec<u64> = answers[..=position].iter().map(|answer| answer.item_index).collect();
        let same_listing =
            |(_, other): &&(String, Option<(usize, String)>)| other.as_ref().is_some_and(|(other, _)| other == number);
        for (index, (key, _)) in items.iter().enumerate().filter(|(_, item)| same_listing(item)) {
            let up_to = key.as_str() <= watermark.as_str();
            assert!(!up_to || answered.contains(&(index as u64)), "{key} is not answered, {watermark}");
        }
        let before = reached.insert(*number, watermark.clone()).unwrap_or_else(|| start_after.clone());
        assert!(before <= watermark, "{before} after {watermark}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_item_is_answered_exactly_once(
        asks in asks(), window in 1usize..20, as_requested: bool, stop: bool,
    ) {
        let order = if as_requested { Order::AsRequested } else { Order::AsCompleted };
        let on_failure = if stop { OnFailure::Stop } else { OnFailure::Continue };
        let (requests, items) = expected(&asks);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let analyzer = analyzer(&Arc::default(), &KEYS);
        let (answers, totals, ended) =
            runtime.block_on(all(analyzer, settings(order, on_failure, window), requests));
        prop_assert_eq!(ended, Ok(()));
        let mut indices: Vec<u64> = answers.iter().map(|answer| answer.item_index).collect();
        if as_requested {
            prop_assert!(indices.is_sorted());
        }
        indices.sort_unstable();
        prop_assert_eq!(indices, (0..items.len() as u64).collect::<Vec<_>>());
        let succeeded = answers.iter().filter(|answer| answer.outcome.is_ok()).count() as u64;
        prop_assert_eq!((totals.succeeded, totals.failed), (succeeded, items.len() as u64 - succeeded));
        let mut seen = std::collections::HashSet::new();
        for (index, (id, listing)) in items.iter().enumerate() {
            let answer = answers.iter().find(|answer| answer.item_index == index as u64).unwrap();
            prop_assert_eq!(&answer.item_id, id);
            let is_new = listing.is_some() || id == "bad" || seen.insert(id.clone());
            prop_assert!(stop || (outcome(answer) == "duplicate") != is_new);
        }
        prop_assert!(!stop || succeeded == items.len() as u64 || answers.iter().any(|answer| answer.outcome.is_err()));
        check_watermarks(&answers, &items);
    }
}
