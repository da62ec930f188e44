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
        Ok(Reply { text: "A colour.".to_owned(), stop_reason, usage, upstream_request_id: None })
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
        max_in_flight_bytes: 1 << 24,
        max_streams: 1,
        prepare_workers: 1,
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
    let models = Models::new(Catalog::built_in().unwrap(), None, None).unwrap();
    let limits = Limits { cache_bytes: 1 << 20, ..limits() };
    Arc::new(Analyzer::new(Arc::new(Nowhere), model.clone(), models, limits))
}

fn picture(shade: u8) -> Bytes {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(220, 220, image::Rgb([shade, 0, 0]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    png.into_inner().into()
}

fn job(shade: u8) -> Job {
    let received = Instant::now();
    Job {
        request_id: "r".to_owned(),
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
