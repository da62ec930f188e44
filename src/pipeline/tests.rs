use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;

use super::*;
use crate::{
    catalog::Catalog,
    domain::{StopReason, Usage},
};

/// No objects.
struct Nowhere;

#[async_trait]
impl ImageStore for Nowhere {
    async fn open(&self, _object: &ObjectRef) -> Result<OpenObject, StoreError> {
        Err(StoreError::ObjectNotFound)
    }

    async fn list(&self, _query: &ListQuery) -> Result<Page, StoreError> {
        Ok(Page::default())
    }
}

/// Answers and counts.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl VisionModel for Counting {
    async fn ask(&self, _question: &Question) -> Result<Reply, ModelError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (stop_reason, usage) = (StopReason::EndTurn, Usage::default());
        Ok(Reply { text: "A colour.".to_owned(), stop_reason, usage, upstream_request_id: None, body: None })
    }

    fn region<'a>(&'a self, _model: &'a ModelProfile) -> &'a str {
        "eu-west-1"
    }
}

/// Limits that nothing small meets: one attempt, one worker, no cache.
pub(super) fn limits() -> Limits {
    Limits {
        max_image_bytes: 1 << 20,
        max_pixels: 1 << 24,
        max_in_flight: 16,
        adapts: true,
        max_in_flight_bytes: 1 << 24,
        max_streams: 1,
        prepare_workers: 1,
        max_prepare_bytes: 1 << 28,
        safe_decoders: false,
        cache_bytes: 0,
        cache_ttl: Duration::from_secs(600),
        retry: RetryPolicy {
            max_attempts: 1,
            base: Duration::ZERO,
            cap: Duration::ZERO,
            min_call_time: Duration::ZERO,
        },
    }
}

/// An analyzer that prepares one picture at once and keeps results.
fn analyzer(model: &Arc<Counting>) -> Arc<Analyzer> {
    analyzer_within(Limits { cache_bytes: 1 << 20, ..limits() }, model)
}

fn analyzer_within(limits: Limits, model: &Arc<Counting>) -> Arc<Analyzer> {
    let models = Models::new(Catalog::built_in().unwrap(), None, None).unwrap();
    Arc::new(Analyzer::new(Arc::new(Nowhere), model.clone(), models, limits, Arc::default()))
}

/// A picture that goes on as it is.
pub(super) fn picture(shade: u8) -> Bytes {
    png(220, shade)
}

/// A picture that must be reduced.
pub(super) fn large_picture() -> Bytes {
    png(4000, 1)
}

fn png(width: u32, shade: u8) -> Bytes {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, 220, image::Rgb([shade, 0, 0]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    png.into_inner().into()
}

impl Analyzer {
    /// As the transport has a single request analyzed: in a place of its own, if there is one.
    async fn analyze(&self, job: Job) -> Result<Analysis, Failed> {
        let slot = self.admission.try_enter()?;
        self.analyze_in(slot, job).await
    }
}

fn job(shade: u8) -> Job {
    let received = Instant::now();
    Job {
        request_id: "r".to_owned(),
        caller: Caller::anonymous(),
        is_callers_id: false,
        source: Source::Content(picture(shade)),
        features: Features { prompt: Some("Which colour?".to_owned()), ..Features::default() },
        options: Options::default(),
        tags: BTreeMap::new(),
        validate_only: false,
        received,
        deadline: Deadline::at(received + Duration::from_secs(60)),
    }
}

/// With a paused clock, time passes only when everything waits.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Whoever holds the turn of equal requests may wait for a worker, so nobody may hold a worker and wait for the turn.
#[tokio::test(start_paused = true)]
async fn a_streams_item_and_an_equal_request_do_not_wait_for_each_other() {
    let model = Arc::new(Counting::default());
    let analyzer = analyzer(&model);
    let mut other = analyzer.admission().try_enter().unwrap();
    let busy = other.worker().await.unwrap();
    let stream = analyzer.admission().open_stream().unwrap();
    let seat = stream.enter().await.unwrap();
    let run = |slot: Option<Slot>, job: Job| {
        let analyzer = Arc::clone(&analyzer);
        tokio::spawn(async move {
            match slot {
                Some(slot) => analyzer.analyze_in(slot, job).await,
                None => analyzer.analyze(job).await,
            }
        })
    };
    let began = Instant::now();
    let item = run(Some(seat), job(1));
    settled().await;
    let equal = run(None, job(1));
    settled().await;
    let unrelated = run(None, job(2));
    settled().await;
    drop(busy);
    for task in [item, equal, unrelated] {
        task.await.unwrap().unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(model.0.load(Ordering::SeqCst), 2, "one call for the equal two");
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_while_an_item_waited_for_its_worker_is_not_paid_again() {
    let model = Arc::new(Counting::default());
    let analyzer = analyzer(&model);
    let mut other = analyzer.admission().try_enter().unwrap();
    let busy = other.worker().await.unwrap();
    let stream = analyzer.admission().open_stream().unwrap();
    let mut items = Vec::new();
    for shade in [1, 2, 3, 1] {
        let (slot, analyzer) = (stream.enter().await.unwrap(), Arc::clone(&analyzer));
        items.push(tokio::spawn(async move { analyzer.analyze_in(slot, job(shade)).await }));
        settled().await;
    }
    drop(busy);
    for item in items {
        item.await.unwrap().unwrap();
    }
    assert_eq!(model.0.load(Ordering::SeqCst), 3, "three pictures, one of them twice");
}

/// An analyzer of three workers, and one of them with all the memory there is.
async fn without_memory() -> (Arc<Analyzer>, Worker) {
    let analyzer = analyzer_within(Limits { prepare_workers: 3, ..limits() }, &Arc::default());
    let worker = analyzer.admission().worker().await.unwrap();
    (analyzer, worker.with_memory(u64::MAX).await.unwrap())
}

fn large(seconds: u64) -> Job {
    let job = job(1);
    let deadline = Deadline::at(job.received + Duration::from_secs(seconds));
    Job { source: Source::Content(large_picture()), deadline, ..job }
}

#[tokio::test(start_paused = true)]
async fn a_picture_waits_for_the_memory_it_takes_and_one_that_takes_none_passes() {
    let (analyzer, all_memory) = without_memory().await;
    let waiting = Arc::clone(&analyzer);
    let waiting = tokio::spawn(async move { waiting.analyze(large(60)).await });
    settled().await;
    analyzer.analyze(job(1)).await.expect("it goes on as it is");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!waiting.is_finished());
    drop(all_memory);
    let timing = waiting.await.unwrap().unwrap().timing;
    assert!(timing.queue >= Duration::from_secs(20), "waiting for memory is waiting: {timing:?}");
    assert!(timing.prepare < Duration::from_secs(20), "and no work: {timing:?}");
}

#[tokio::test(start_paused = true)]
async fn an_item_waits_for_memory_in_its_streams_time_and_a_single_request_in_its_own() {
    let (analyzer, all_memory) = without_memory().await;
    let stream = analyzer.admission().open_stream().unwrap();
    let (seat, of_stream) = (stream.enter().await.unwrap(), Arc::clone(&analyzer));
    let item = tokio::spawn(async move { of_stream.analyze_in(seat, large(3)).await });
    settled().await;
    let failed = analyzer.analyze(large(3)).await.unwrap_err();
    assert_eq!(failed.error, AnalyzeError::DeadlineExceeded { stage: Stage::Queue });
    tokio::time::sleep(Duration::from_secs(30)).await;
    drop(all_memory);
    item.await.unwrap().expect("its time did not run");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_while_it_waits_for_memory_frees_its_worker() {
    let (analyzer, _all_memory) = without_memory().await;
    let left = [1, 2].map(|_| {
        let analyzer = Arc::clone(&analyzer);
        tokio::spawn(async move { analyzer.analyze(large(60)).await })
    });
    settled().await;
    let free = || futures_util::FutureExt::now_or_never(analyzer.admission().worker()).is_some();
    assert!(!free(), "both have a worker");
    for request in left {
        request.abort();
        request.await.unwrap_err();
    }
    assert!(free());
}

/// Whoever prepares for others waits for memory with their turn in hand; when it leaves, the next begins anew.
#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_no_work_from_those_who_want_the_same() {
    let model = Arc::new(Counting::default());
    let analyzer = analyzer_within(Limits { cache_bytes: 1 << 20, prepare_workers: 3, ..limits() }, &model);
    let worker = analyzer.admission().worker().await.unwrap();
    let all_memory = worker.with_memory(u64::MAX).await.unwrap();
    let mut equal: Vec<_> = (0..3)
        .map(|_| {
            let analyzer = Arc::clone(&analyzer);
            tokio::spawn(async move { analyzer.analyze(large(60)).await })
        })
        .collect();
    settled().await;
    let first = equal.remove(0);
    first.abort();
    settled().await;
    drop(all_memory);
    for request in equal {
        request.await.unwrap().expect("an answer");
    }
    assert_eq!(model.0.load(Ordering::SeqCst), 1, "one call for the two who stayed");
}

#[test]
fn what_bounds_one_picture_is_what_the_server_was_told() {
    let limits = Limits { max_pixels: 5, max_prepare_bytes: 7, safe_decoders: true, ..limits() };
    let expected = imaging::Limits { max_pixels: 5, max_memory: 7, safe_decoders: true };
    assert_eq!(limits.of_pictures(), expected);
    assert!(!Limits { safe_decoders: false, ..limits }.of_pictures().safe_decoders);
}
