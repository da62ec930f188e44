use futures_util::FutureExt as _;

use super::*;
use crate::pipeline::tests::limits;

fn admission(max_in_flight: usize, max_in_flight_bytes: u64) -> Admission {
    Admission::new(&Limits { max_in_flight, max_in_flight_bytes, prepare_workers: 2, ..limits() }, Arc::default())
}

fn unit(error: AnalyzeError) -> &'static str {
    match error {
        AnalyzeError::Overloaded { unit, .. } => unit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn streams_leave_a_quarter_to_single_requests() {
    let budget = admission(8, 8 << 20);
    let stream = budget.open_stream().unwrap();
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(stream.enter().await.unwrap());
    }
    assert!(stream.enter().now_or_never().is_none(), "the seventh waits");
    let single = [budget.try_enter().unwrap(), budget.try_enter().unwrap()];
    assert_eq!(unit(budget.try_enter().unwrap_err()), "requests");
    drop(single);
    held.pop();
    assert!(stream.enter().now_or_never().is_some());
}

#[tokio::test]
async fn single_requests_may_take_all_that_is_free() {
    let budget = admission(4, 1 << 20);
    let stream = budget.open_stream().unwrap();
    let single: Vec<_> = (0..4).map(|_| budget.try_enter().unwrap()).collect();
    assert!(stream.enter().now_or_never().is_none());
    drop(single);
    assert!(stream.enter().now_or_never().is_some());
}

#[tokio::test]
async fn bytes_are_a_budget_of_their_own_and_are_given_back() {
    let budget = admission(8, 8 << 20);
    let stream = budget.open_stream().unwrap();
    let mut first = stream.enter().await.unwrap();
    first.weigh(5 << 20).await.unwrap();
    let mut second = stream.enter().await.unwrap();
    assert!(second.weigh(2 << 20).now_or_never().is_none(), "6 MiB are for streams");
    let mut single = budget.try_enter().unwrap();
    single.weigh(3 << 20).await.unwrap();
    assert_eq!(unit(budget.try_enter().unwrap().weigh(1).await.unwrap_err()), "bytes of pictures");
    first.lighten(1 << 20);
    assert!(second.weigh(2 << 20).now_or_never().is_some());
    drop((first, second, single));
    let mut whole = budget.try_enter().unwrap();
    whole.weigh(8 << 20).await.unwrap();
}

#[tokio::test]
async fn a_picture_heavier_than_the_budget_works_alone() {
    let budget = admission(8, 1 << 20);
    let stream = budget.open_stream().unwrap();
    let mut giant = stream.enter().await.unwrap();
    giant.weigh(1 << 40).now_or_never().expect("room for one").unwrap();
    let mut other = stream.enter().await.unwrap();
    assert!(other.weigh(1).now_or_never().is_none());
    let mut single = budget.try_enter().unwrap();
    single.weigh(100 << 10).await.expect("the share of single requests is free");
    drop(giant);
    assert!(other.weigh(1).now_or_never().is_some());
}

#[tokio::test]
async fn the_smallest_budget_still_works() {
    let budget = admission(1, 1);
    let stream = budget.open_stream().unwrap();
    assert_eq!(budget.stream_slots(), 1);
    let mut slot = stream.enter().await.unwrap();
    slot.weigh(100).now_or_never().unwrap().unwrap();
    drop(slot);
    budget.try_enter().unwrap().weigh(100).await.unwrap();
    assert_eq!(unit(budget.open_stream().unwrap_err()), "streams");
    drop(stream);
    assert!(budget.open_stream().is_ok());
}

#[tokio::test]
async fn a_single_request_is_not_behind_a_whole_stream() {
    let budget = admission(16, 1 << 20);
    let stream = budget.open_stream().unwrap();
    let mut items = Vec::new();
    for _ in 0..8 {
        items.push(stream.enter().await.unwrap());
    }
    let mut items = items.iter_mut();
    let mut working =
        vec![items.next().unwrap().worker().await.unwrap(), items.next().unwrap().worker().await.unwrap()];
    let mut waiting: Vec<_> = items.map(|item| Box::pin(item.worker())).collect();
    assert!(waiting.iter_mut().all(|item| item.now_or_never().is_none()));
    let mut single = budget.try_enter().unwrap();
    let mut single = Box::pin(single.worker());
    assert!(single.as_mut().now_or_never().is_none());
    working.pop();
    assert!(single.now_or_never().is_some(), "six items came before it");
}

#[tokio::test]
async fn a_stream_is_not_behind_all_items_of_another() {
    let budget = Admission { open_streams: Arc::new(Semaphore::new(2)), ..admission(16, 1 << 20) };
    let (large, small) = (budget.open_stream().unwrap(), budget.open_stream().unwrap());
    let mut items = Vec::new();
    for _ in 0..8 {
        items.push(large.enter().await.unwrap());
    }
    let mut items = items.iter_mut();
    let mut working = Vec::new();
    for item in items.by_ref().take(2) {
        working.push(item.worker().await.unwrap());
    }
    let mut waiting: Vec<_> = items.map(|item| Box::pin(item.worker())).collect();
    assert!(waiting.iter_mut().all(|item| item.now_or_never().is_none()));
    let mut item = small.enter().await.unwrap();
    let mut item = Box::pin(item.worker());
    assert!(item.as_mut().now_or_never().is_none());
    working.pop();
    assert!(item.now_or_never().is_some(), "six items of the other stream came before it");
}

/// Four workers with so much memory.
fn with_memory(max_prepare_bytes: u64) -> Admission {
    Admission::new(&Limits { max_prepare_bytes, prepare_workers: 4, ..limits() }, Arc::default())
}

#[tokio::test]
async fn memory_is_given_in_turn_and_never_more_than_there_is() {
    let budget = with_memory(10 << 20);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(budget.worker().await.unwrap());
    }
    let [first, second, third, fourth] = workers.try_into().unwrap();
    let first = first.with_memory(6 << 20).now_or_never().expect("free").unwrap();
    let mut second = Box::pin(second.with_memory(6 << 20));
    assert!(second.as_mut().now_or_never().is_none(), "12 MiB are more than there are");
    let mut third = Box::pin(third.with_memory(1));
    assert!(third.as_mut().now_or_never().is_none(), "it would fit, but the second was before it");
    fourth.with_memory(0).now_or_never().expect("what takes none does not wait").unwrap();
    drop(first);
    let _second = second.now_or_never().expect("its turn").unwrap();
    third.now_or_never().expect("beside the second").unwrap();
}

#[tokio::test]
async fn a_picture_that_takes_all_memory_works_alone() {
    let budget = with_memory(1500);
    let giant = budget.worker().await.unwrap().with_memory(1500).now_or_never().expect("alone").unwrap();
    let mut other = Box::pin(budget.worker().await.unwrap().with_memory(1));
    assert!(other.as_mut().now_or_never().is_none());
    drop(giant);
    assert!(other.now_or_never().is_some());
}

#[tokio::test]
async fn memory_and_worker_are_given_back_however_the_work_ends() {
    let budget = Admission::new(&Limits { max_prepare_bytes: 1 << 20, prepare_workers: 1, ..limits() }, Arc::default());
    let whole = async || budget.worker().await.unwrap().with_memory(1 << 20).await.unwrap();
    whole().await.run(|| ()).await.unwrap();
    whole().await.run(|| Err::<(), _>("an error")).await.unwrap().unwrap_err();
    whole().await.run(|| panic!("on purpose")).await.unwrap_err();
    whole().await.step(|| panic!("on purpose")).await.map(drop).unwrap_err();
    drop(whole().await.step(|| ()).await.unwrap());
    whole().await;
}

#[tokio::test]
async fn a_worker_is_held_between_its_steps() {
    let budget = Admission::new(&Limits { prepare_workers: 1, ..limits() }, Arc::default());
    let (worker, seven) = budget.worker().await.unwrap().step(|| 7).await.unwrap();
    assert_eq!(seven, 7);
    assert!(budget.worker().now_or_never().is_none());
    drop(worker);
    budget.worker().now_or_never().expect("free").unwrap();
}

#[tokio::test]
async fn who_leaves_gives_back_nothing_that_is_still_in_use() {
    let budget = with_memory(1 << 20);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let worker = budget.worker().await.unwrap().with_memory(1 << 20).await.unwrap();
    let mut work = Box::pin(worker.run(move || gone.recv()));
    assert!(work.as_mut().now_or_never().is_none());
    drop(work);
    let mut next = Box::pin(budget.worker().await.unwrap().with_memory(1 << 20));
    assert!(next.as_mut().now_or_never().is_none(), "the work goes on");
    go.send(()).unwrap();
    next.await.expect("it is over");
}

#[tokio::test]
async fn who_leaves_while_waiting_for_memory_gives_the_worker_back() {
    let budget = with_memory(1 << 20);
    let _all = budget.worker().await.unwrap().with_memory(1 << 20).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut worker = Box::pin(budget.worker().await.unwrap().with_memory(1));
        assert!(worker.as_mut().now_or_never().is_none());
        waiting.push(worker);
    }
    assert!(budget.worker().now_or_never().is_none(), "all four are taken");
    drop(waiting);
    assert!(budget.worker().now_or_never().is_some());
}

/// What a model takes at once: eight of as many as come, the others are throttled.
async fn throttle(budget: &Admission) {
    for _ in 0..60 {
        let slots: Vec<_> = std::iter::from_fn(|| budget.try_enter().ok()).collect();
        tokio::time::advance(Duration::from_millis(200)).await;
        for (number, mut slot) in slots.into_iter().enumerate() {
            let answered = End::Answered { kind: 1, paused: Duration::ZERO };
            if number < 8 { slot.tell(0, answered) } else { slot.tell(1, End::Untold) }
        }
    }
}

fn places(budget: &Admission) -> usize {
    budget.all.slots.wanted()
}

#[tokio::test(start_paused = true)]
async fn throttling_lowers_the_limit_and_streams_have_three_quarters_of_it() {
    let budget = admission(64, 1 << 24);
    throttle(&budget).await;
    let limit = places(&budget);
    assert!((4..24).contains(&limit), "{limit}");
    let stream = budget.open_stream().unwrap();
    assert_eq!(budget.stream_slots(), 48, "what callers are told does not change");
    let mut items = Vec::new();
    while let Some(item) = stream.enter().now_or_never() {
        items.push(item.unwrap());
    }
    assert_eq!(items.len(), limit - (limit / 4).max(1));
    let single: Vec<_> = std::iter::from_fn(|| budget.try_enter().ok()).collect();
    assert_eq!(items.len() + single.len(), limit);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_below_what_is_in_progress_ends_nothing() {
    let budget = admission(64, 1 << 24);
    let stream = budget.open_stream().unwrap();
    let mut items = Vec::new();
    for _ in 0..40 {
        items.push(stream.enter().await.unwrap());
    }
    throttle(&budget).await;
    let limit = places(&budget);
    assert!(limit < 40 && budget.check().is_err(), "{limit}");
    let mut next = Box::pin(stream.enter());
    while items.len() >= limit - (limit / 4).max(1) {
        assert!(next.as_mut().now_or_never().is_none(), "{} of {limit} are in progress", items.len());
        items.pop();
    }
    next.now_or_never().expect("there is a place for an item").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_little_work_brings_the_limit_back() {
    let budget = admission(64, 1 << 24);
    throttle(&budget).await;
    assert!(places(&budget) < 24);
    for _ in 0..120 {
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(budget.try_enter().unwrap());
    }
    assert_eq!(places(&budget), 64);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_does_not_change() {
    let budget = Admission::new(&Limits { max_in_flight: 64, adapts: false, ..limits() }, Arc::default());
    throttle(&budget).await;
    assert_eq!(places(&budget), 64);
}
