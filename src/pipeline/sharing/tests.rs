use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use tokio::{sync::Notify, time::Instant};

use super::*;
use crate::{
    domain::{Findings, ModelFacts, StopReason, Usage},
    imaging::ImageError,
    pipeline::{
        Deadline,
        asking::{Claim, Ledger, Patience},
        error::Stage,
    },
};

/// Work that waits for a sign and counts how often it was begun, done and dropped.
#[derive(Clone, Default)]
struct Site(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    dropped: AtomicUsize,
    go: Notify,
}

struct OnDrop(Site);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

type Work = Box<dyn FnOnce(Arc<Patience>, Arc<Ledger>) -> BoxFuture<'static, Outcome> + Send>;

impl Site {
    fn work(&self, outcome: Outcome) -> Work {
        let site = self.clone();
        Box::new(move |_, ledger: Arc<Ledger>| {
            Box::pin(async move {
                site.0.begun.fetch_add(1, Ordering::SeqCst);
                ledger.paid(Usage { model_calls: 1, input_tokens: 7, ..Usage::default() });
                let on_drop = OnDrop(site.clone());
                site.0.go.notified().await;
                std::mem::forget(on_drop);
                outcome
            })
        })
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::SeqCst)
    }
}

fn shared() -> Arc<Shared> {
    let model = ModelFacts {
        requested: String::new(),
        served: String::new(),
        region: String::new(),
        prompt_version: "",
        stop_reason: StopReason::EndTurn,
        upstream_request_id: None,
        cached: false,
    };
    let size = Size::new(1, 1);
    Arc::new(Shared {
        picture: PictureFacts { media_type: "image/png", size, exif_orientation: 0, warnings: Vec::new() },
        answered: Answered {
            findings: Findings::default(),
            warnings: Vec::new(),
            model,
            raw: String::new(),
            body: None,
            image_tokens: 1,
            seen: size,
            is_lasting: true,
        },
    })
}

fn within(seconds: u64) -> Deadline {
    Deadline::at(Instant::now() + Duration::from_secs(seconds))
}

async fn join(flights: &Flights, site: &Site, key: Option<Key>, seconds: u64) -> Result<Landed, (AnalyzeError, Claim)> {
    let deadline = within(seconds);
    let site = site.clone();
    flights.join(key, deadline, None, async move |_| Ok(Begin::Work(site.work(Ok(shared())), deadline))).await
}

const KEY: Option<Key> = Some([1; 32]);

#[tokio::test(start_paused = true)]
async fn a_hundred_share_one_and_one_pays() {
    let (flights, site) = (Flights::default(), Site::default());
    let all = join_all((0..100).map(|_| join(&flights, &site, KEY, 60)));
    let (landed, ()) = tokio::join!(all, async { site.0.go.notify_one() });
    let paid: Vec<_> = landed.into_iter().map(|landed| landed.ok().unwrap().claim.usage.model_calls).collect();
    assert_eq!((site.begun(), paid.iter().sum::<u32>()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_key_or_another_is_work_of_its_own() {
    let (flights, site) = (Flights::default(), Site::default());
    let all = join_all([None, None, KEY, Some([2; 32])].map(|key| join(&flights, &site, key, 60)));
    let (landed, ()) = tokio::join!(all, async {
        for _ in 0..4 {
            site.0.go.notify_one();
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(landed.iter().all(Result::is_ok));
    assert_eq!(site.begun(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_ends_it_for_nobody_and_the_last_for_all() {
    let (flights, site) = (Flights::default(), Site::default());
    let mut first = Box::pin(join(&flights, &site, KEY, 60));
    let mut second = Box::pin(join(&flights, &site, KEY, 60));
    let moment = Duration::from_millis(1);
    assert!(tokio::time::timeout(moment, &mut first).await.is_err());
    assert!(tokio::time::timeout(moment, &mut second).await.is_err());
    drop(first);
    tokio::time::sleep(moment).await;
    assert_eq!((site.begun(), site.dropped()), (1, 0));
    drop(second);
    tokio::time::sleep(moment).await;
    assert_eq!(site.dropped(), 1, "with the last one the work ends");

    // Who comes then begins anew.
    let (landed, ()) = tokio::join!(join(&flights, &site, KEY, 60), async { site.0.go.notify_one() });
    assert!(landed.is_ok());
    assert_eq!(site.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_has_its_own_deadline_and_the_last_one_pays_what_was_used() {
    let (flights, site) = (Flights::default(), Site::default());
    let (short, long) = tokio::join!(join(&flights, &site, KEY, 1), join(&flights, &site, KEY, 2));
    let (short, long) = (short.err().unwrap(), long.err().unwrap());
    assert_eq!(short.0, AnalyzeError::DeadlineExceeded { stage: Stage::Model });
    assert_eq!((short.1.usage.model_calls, long.1.usage.model_calls), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn when_the_first_fails_or_leaves_while_preparing_the_next_prepares() {
    let (flights, site) = (Flights::default(), Site::default());
    let deadline = within(60);
    let mut leaver =
        Box::pin(flights.join(KEY, deadline, None, |_| std::future::pending::<Result<Begin<Work>, AnalyzeError>>()));
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut leaver).await.is_err());
    let failing = flights.join(KEY, deadline, None, async |_| Err::<Begin<Work>, _>(AnalyzeError::Aborted));
    let third = join(&flights, &site, KEY, 60);
    let (_, failed, landed, ()) =
        tokio::join!(async { drop(leaver) }, failing, third, async { site.0.go.notify_one() });
    assert_eq!(failed.err().unwrap().0, AnalyzeError::Aborted);
    assert!(landed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_broken_picture_is_prepared_once_for_all_who_wait() {
    let flights = Flights::default();
    let prepared = AtomicUsize::new(0);
    let broken = || {
        flights.join(KEY, within(60), None, async |_| {
            prepared.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err::<Begin<Work>, _>(ImageError::Corrupt { reason: "cut".to_owned() }.into())
        })
    };
    let began = Instant::now();
    for landed in join_all((0..100).map(|_| broken())).await {
        assert!(matches!(landed.err().unwrap().0, AnalyzeError::Image(_)));
    }
    assert_eq!((prepared.load(Ordering::SeqCst), began.elapsed().as_secs()), (1, 1));
    assert!(broken().await.is_err());
    assert_eq!(prepared.load(Ordering::SeqCst), 2, "who comes later begins anew");
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_the_preparing_shares_the_work_however_late_it_wakes() {
    let (flights, site) = (Flights::default(), Site::default());
    let slow = || {
        let (site, deadline) = (site.clone(), within(60));
        flights.join(KEY, deadline, None, async move |_| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Begin::Work(site.work(Ok(shared())), deadline))
        })
    };
    site.0.go.notify_one();
    let landed = join_all((0..50).map(|_| slow())).await;
    assert!(landed.iter().all(Result::is_ok));
    assert_eq!(site.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_those_aboard_and_not_kept() {
    let (flights, site) = (Flights::default(), Site::default());
    let failing = || {
        let (site, deadline) = (site.clone(), within(60));
        flights
            .join(KEY, deadline, None, async move |_| Ok(Begin::Work(site.work(Err(AnalyzeError::Aborted)), deadline)))
    };
    let (first, second, ()) = tokio::join!(failing(), failing(), async { site.0.go.notify_one() });
    assert!(first.ok().unwrap().outcome.is_err() && second.ok().unwrap().outcome.is_err());
    assert_eq!(site.begun(), 1);
    let (landed, ()) = tokio::join!(join(&flights, &site, KEY, 60), async { site.0.go.notify_one() });
    assert!(landed.ok().unwrap().outcome.is_ok());
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_is_an_error_for_all_aboard() {
    let flights = Flights::default();
    let panicking = || {
        let work: Work = Box::new(|_, _| Box::pin(async { panic!("a fault") }));
        flights.join(KEY, within(60), None, async move |_| Ok(Begin::Work(work, within(60))))
    };
    let (first, second) = tokio::join!(panicking(), panicking());
    for landed in [first, second] {
        assert!(matches!(landed.err().unwrap().0, AnalyzeError::Internal { .. }));
    }
}

#[test]
fn a_result_of_many_small_values_weighs_what_it_takes() {
    let mut small = Shared::clone(&shared());
    let items: Vec<_> = (0..1000).map(|at| serde_json::json!({ "a": at })).collect();
    small.answered.raw = serde_json::json!({ "items": items }).to_string();
    let without = small.weight();
    small.answered.findings.extraction = Some([("items".to_owned(), items.into())].into_iter().collect());
    assert!(small.weight() > without + 1000 * 700, "a tree node for each object");
}

#[test]
fn results_are_kept_within_their_bytes() {
    let sharing = Sharing::new(100_000, Duration::from_secs(60));
    for index in 0..=255 {
        sharing.keep([index; 32], shared());
    }
    sharing.results.run_pending_tasks();
    assert!(sharing.results.entry_count() < 100 && sharing.results.weighted_size() <= 100_000);
    sharing.keep([7; 32], shared());
    assert!(sharing.kept(&[7; 32]).is_some());
}
