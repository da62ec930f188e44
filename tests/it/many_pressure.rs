//! Who waits for whom: a reader that stops stops the work, and no stream takes what others need.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use serde_json::json;
use sightline::proto::{AnalysisOptions, AnalyzeImageRequest, AnalyzeManyConfig, AnalyzeManyRequest, ResultOrder};
use tonic::{Code, transport::Endpoint};

use crate::support::{
    bedrock::{Gate, InvokeRequest, Reply},
    many::{
        Collected, Talk, answer_by_number, assert_failed, config, describing, description_of, features, inline, item,
        listing, number_of, picture, reason_of, stored, under,
    },
    service::{BUCKET, Client, Service, assert_error, content, describe},
};

/// Pictures below this number get answers that fill a client's window.
const LARGE: usize = 30;

/// A client that takes little before it has read.
async fn narrow_client(service: &Service) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", service.running.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    Client::new(endpoint.connect().await.unwrap())
}

fn answer_large(request: &InvokeRequest) -> Reply {
    match number_of(request) {
        0..LARGE => Reply::tool(json!({"description": "long ".repeat(30_000)})),
        _ => answer_by_number(request),
    }
}

/// Asks with the raw answer, which doubles what a result weighs.
fn with_raw_output(order: ResultOrder) -> AnalyzeManyRequest {
    let options = AnalysisOptions { include_raw_output: true, ..AnalysisOptions::default() };
    config(AnalyzeManyConfig { options: Some(options), result_order: order.into(), ..features(describe()) })
}

/// Returns once nothing moves upstream while unary calls come and go, with what has been asked of S3 and the model.
async fn at_rest(service: &Service) -> (usize, usize) {
    let mut before = (usize::MAX, usize::MAX);
    loop {
        for _ in 0..10 {
            let request = AnalyzeImageRequest { validate_only: true, ..content(&picture(0), describe()) };
            service.analyze(request).await.expect("unary calls go on");
        }
        let now = (service.s3.requests().len(), service.bedrock.received_so_far());
        if now == before {
            return now;
        }
        before = now;
    }
}

/// What a stream whose client does not read may have asked of the model or of S3: a window of items, as many results that
/// wait, and what fits into the transport. Far less than there is.
const BOUND: usize = 48;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_work_on_its_items() {
    let service = Service::start().await;
    let keys: Vec<String> = (0..200).map(|number| format!("{number}")).collect();
    service.put_numbered(&keys);
    service.bedrock.answer_with(answer_large);
    for (order, count) in [(ResultOrder::AsCompleted, 2000), (ResultOrder::AsRequested, 300)] {
        let (reads, calls) = (service.s3.gets().len(), service.bedrock.received_so_far());
        let talk = Talk::over(narrow_client(&service).await).await;
        talk.send(with_raw_output(order));
        talk.send_all(keys.iter().map(|key| item(stored(key, key))));
        // The rest costs nothing, so that the test is quick once the client reads.
        talk.send_all((200..count).map(|number| item(inline(&format!("{number}"), b"no picture"))));
        service.bedrock.received(calls + 1).await;
        let (requests, received) = at_rest(&service).await;
        assert!(
            received - calls <= BOUND,
            "{order:?}: {} model calls for a client that reads nothing",
            received - calls
        );
        assert!(requests - reads <= BOUND, "{order:?}: {} reads for a client that reads nothing", requests - reads);
        // Another stream and other calls go on meanwhile.
        let other = service.many(vec![describing(), item(inline("other", &picture(77)))]).await;
        assert_eq!(description_of(other.assert_whole(1).of("other")), "picture 77");
        let calls = service.bedrock.received_so_far();
        assert_eq!(at_rest(&service).await.1, calls);

        let collected = talk.finish().await;
        collected.assert_whole(count);
        assert_eq!(collected.summary().succeeded_count, 200);
        let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(collected.ids_as_requested(), ids);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_listing() {
    let service = Service::start().await;
    let keys: Vec<String> = (0..2000).map(|number| format!("n/{number:04}.png")).collect();
    service.put_numbered(&keys);
    service.bedrock.answer_with(answer_large);
    service.s3.set_page_size(20);
    let mut talk = Talk::over(narrow_client(&service).await).await;
    talk.send(with_raw_output(ResultOrder::AsCompleted));
    talk.send(listing(under("n/")));
    talk.next().await;
    let (requests, received) = at_rest(&service).await;
    let pages = service.s3.lists().len();
    assert!(received <= BOUND && requests - pages <= BOUND, "{received} calls, {} reads", requests - pages);
    assert!(pages <= received / 20 + 2, "{pages} pages for {received} objects");
    // It goes on where it stopped.
    for _ in 0..100 {
        talk.next().await;
    }
    assert!(service.s3.lists().len() > pages);
    drop(talk);
    let (_, last) = at_rest(&service).await;
    assert!(last < 500, "{last} of 2000: nothing goes on without the client");
}

#[tokio::test]
async fn few_objects_of_a_listing_are_all_answered_to_a_client_that_reads_late() {
    let service = Service::start().await;
    let keys: Vec<String> = (0..120).map(|number| format!("n/{number:04}.png")).collect();
    service.put_numbered(&keys);
    service.bedrock.answer_with(answer_large);
    service.s3.set_page_size(7);
    let mut talk = Talk::over(narrow_client(&service).await).await;
    talk.send(with_raw_output(ResultOrder::AsRequested));
    talk.send(listing(under("n/")));
    talk.half_close();
    at_rest(&service).await;
    let collected = talk.finish().await;
    assert_eq!(collected.assert_whole(120).ids(), keys);
}

#[tokio::test]
async fn a_slow_item_holds_back_no_more_than_the_items_in_progress() {
    let service = Service::start().await;
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| match number_of(request) {
        0 => answer_by_number(request).behind(&held),
        _ => answer_by_number(request),
    });
    let order = ResultOrder::AsRequested.into();
    let talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 4, result_order: order, ..features(describe()) }));
    talk.send_all((0..50).map(|at| item(inline(&format!("{at}"), &picture(at)))));
    service.bedrock.received(4).await;
    assert_eq!(at_rest(&service).await.1, 4, "results that wait for the first one keep their places");
    gate.open();
    assert_eq!(talk.finish().await.assert_whole(50).summary().failed_count, 0);
}

#[tokio::test]
async fn many_small_streams_share_one_connection() {
    let service = Service::with(&["--max-in-flight", "8"]).await;
    service.bedrock.answer_with(answer_by_number);
    let service = Arc::new(service);
    let streams: Vec<_> = (0..40).map(|stream| spawn_stream(&service, stream_items(stream, 3))).collect();
    let unary = service.analyze(content(&picture(1), describe())).await;
    assert!(unary.is_ok(), "{unary:?}");
    for stream in streams {
        assert_eq!(stream.await.unwrap().assert_whole(3).summary().failed_count, 0);
    }
    assert!(service.bedrock.in_progress().peak() <= 7);
}

/// A service with eight slots, two of them kept for unary calls, whose model answers behind a gate. The second number is
/// the most calls there were at once for pictures from 1,000 on, which the streams send.
async fn gated(flags: &[&str]) -> (Arc<Service>, Gate, Arc<AtomicUsize>) {
    let service = Service::with(flags).await;
    let gate = Gate::default();
    let held = gate.clone();
    let of_streams = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&of_streams);
    service.bedrock.answer_with(move |request| {
        if number_of(request) >= 1000 {
            count.fetch_add(1, Ordering::SeqCst);
        }
        answer_by_number(request).behind(&held)
    });
    (Arc::new(service), gate, of_streams)
}

fn stream_items(stream: usize, count: usize) -> Vec<AnalyzeManyRequest> {
    let ids = (0..count).map(|at| (format!("{stream}-{at}"), 1000 + stream * 100 + at));
    std::iter::once(describing()).chain(ids.map(|(id, number)| item(inline(&id, &picture(number))))).collect()
}

fn spawn_stream(service: &Arc<Service>, requests: Vec<AnalyzeManyRequest>) -> tokio::task::JoinHandle<Collected> {
    let service = Arc::clone(service);
    tokio::spawn(async move { service.many(requests).await })
}

#[tokio::test]
async fn streams_leave_unary_calls_their_share_and_all_finish() {
    let (service, gate, of_streams) = gated(&["--max-in-flight", "8"]).await;
    let streams: Vec<_> = (0..5).map(|stream| spawn_stream(&service, stream_items(stream, 12))).collect();
    service.bedrock.in_progress().is(6).await;
    let unary = |number: usize| {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.analyze(content(&picture(number), describe())).await })
    };
    // The share of unary calls is free however many items wait, again and again.
    for round in 0..3 {
        let calls = [unary(round * 2), unary(round * 2 + 1)];
        service.bedrock.received(round * 8 + 8).await;
        assert_eq!(of_streams.load(Ordering::SeqCst), round * 6 + 6, "items of streams, round {round}");
        assert_error(service.analyze(content(&picture(9), describe())).await, Code::Unavailable, "OVERLOADED");
        // Everything that is held now, first come, first served: six items and the two calls.
        gate.let_through(8);
        for call in calls {
            call.await.unwrap().expect("within their share");
        }
        service.bedrock.received(round * 8 + 14).await;
    }
    gate.open();
    for stream in streams {
        let collected = stream.await.unwrap();
        assert_eq!(collected.assert_whole(12).summary().failed_count, 0, "streams wait and are never OVERLOADED");
    }
    assert_eq!(service.bedrock.in_progress().peak(), 8);
}

#[tokio::test]
async fn unary_calls_wait_for_no_stream_and_take_all_slots_without_one() {
    let (service, gate, _) = gated(&["--max-in-flight", "8"]).await;
    let unary = |number: usize| {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.analyze(content(&picture(number), describe())).await })
    };
    let calls: Vec<_> = (0..8).map(unary).collect();
    service.bedrock.in_progress().is(8).await;
    assert_error(service.analyze(content(&picture(9), describe())).await, Code::Unavailable, "OVERLOADED");
    // A stream that finds no slot waits for one.
    let stream = spawn_stream(&service, stream_items(0, 3));
    gate.let_through(1);
    service.bedrock.received(9).await;
    gate.open();
    assert_eq!(stream.await.unwrap().assert_whole(3).summary().failed_count, 0);
    for call in calls {
        call.await.unwrap().expect("as many as there are slots");
    }
}

/// A mesh's sidecar is one connection for many callers.
#[tokio::test]
async fn streams_that_wait_hold_up_no_call_on_their_connection() {
    let (service, gate, _) = gated(&["--max-in-flight", "8"]).await;
    let large = vec![0; 500_000];
    let waiting: Vec<_> = (0..60)
        .map(|stream| {
            let held = item(inline("held", &picture(1000 + stream)));
            let more = (0..3).map(|at| item(inline(&format!("{at}"), &large)));
            let settings = config(AnalyzeManyConfig { max_in_flight: 1, ..features(describe()) });
            spawn_stream(&service, [settings, held].into_iter().chain(more).collect())
        })
        .collect();
    service.bedrock.in_progress().is(6).await;
    at_rest(&service).await;
    let call = AnalyzeImageRequest { validate_only: true, ..content(&noise(90_000), describe()) };
    service.analyze(call).await.expect("a call with a picture beside streams that wait");
    gate.open();
    for stream in waiting {
        assert_eq!(stream.await.unwrap().assert_whole(4).summary().succeeded_count, 1);
    }
}

#[tokio::test]
async fn waiting_for_other_streams_costs_an_item_none_of_its_time() {
    for flags in [["--max-in-flight", "8"], ["--max-in-flight-bytes", "200KB"]] {
        let service = Service::with(&flags).await;
        let large = noise(180_000);
        let files = if flags[0] == "--max-in-flight" { (0..6).map(picture).collect() } else { vec![large] };
        for (at, file) in files.iter().enumerate() {
            service.s3.put(BUCKET, &format!("{at}"), file.clone());
        }
        let gate = Gate::default();
        let held = gate.clone();
        service.bedrock.answer_with(move |_| Reply::tool(json!({"description": "x"})).behind(&held));
        let first = service.talk().await;
        first.send(describing());
        first.send_all((0..files.len()).map(|at| item(stored(&format!("{at}"), &format!("{at}")))));
        service.bedrock.in_progress().is(files.len()).await;
        let second = service.talk().await;
        let item_timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        second.send(config(AnalyzeManyConfig { item_timeout, ..features(describe()) }));
        second.send_all([item(stored("stored", "0")), item(inline("inline", &picture(7)))]);
        at_rest(&service).await;
        // This call takes longer than the items may.
        let outcome = service.analyze_within(1500, content(&picture(8), describe())).await;
        assert_error(outcome, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        gate.open();
        first.finish().await.assert_whole(files.len());
        let collected = second.finish().await;
        assert_eq!(collected.assert_whole(2).summary().failed_count, 0, "{flags:?}: {:?}", collected.results);
    }
}

#[tokio::test]
async fn a_large_stream_does_not_starve_a_small_one() {
    let (service, gate, _) = gated(&["--max-in-flight", "8"]).await;
    let mut large = service.talk().await;
    large.send(config(AnalyzeManyConfig { max_in_flight: 100, ..features(describe()) }));
    large.send_all((0..200).map(|at| item(inline(&format!("{at}"), &picture(at)))));
    service.bedrock.in_progress().is(6).await;
    let small = spawn_stream(&service, stream_items(1, 3));
    // Enough for half of the large stream and the small one, and no more.
    gate.let_through(100);
    let finished = tokio::select! {
        finished = small => finished.unwrap(),
        () = async { loop { large.next().await; } } => unreachable!(),
    };
    assert_eq!(finished.assert_whole(3).summary().failed_count, 0);
    gate.open();
    large.half_close();
    let summary = large.finish().await;
    assert_eq!(summary.summary().succeeded_count, 200);
}

#[tokio::test]
async fn a_dropped_stream_gives_its_slots_back() {
    let (service, gate, _) = gated(&["--max-in-flight", "8"]).await;
    let talk = service.talk().await;
    talk.send_all(stream_items(0, 20));
    service.bedrock.in_progress().is(6).await;
    drop(talk);
    service.bedrock.abandoned(6).await;
    let talk = service.talk().await;
    talk.send_all(stream_items(1, 12));
    service.bedrock.in_progress().is(6).await;
    gate.open();
    assert_eq!(talk.finish().await.summary().succeeded_count, 12);
}

/// A picture of about this many bytes.
fn noise(bytes: usize) -> Vec<u8> {
    let side = u32::try_from((bytes / 3).isqrt()).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let pixels: Vec<u8> = (0..side * side * 3)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&pixels, side, side, ExtendedColorType::Rgb8).unwrap();
    file
}

#[tokio::test]
async fn bytes_in_progress_are_bounded() {
    // Three quarters are for streams: 300 KB.
    let service = Service::with(&["--max-in-flight-bytes", "400KB"]).await;
    let file = noise(90_000);
    assert!((80_000..100_000).contains(&file.len()), "{}", file.len());
    for at in 0..12 {
        service.s3.put(BUCKET, &format!("n/{at:02}.png"), file.clone());
    }
    for source in ["inline", "stored", "listed"] {
        let gate = Gate::default();
        let held = gate.clone();
        service.bedrock.answer_with(move |_| Reply::tool(json!({"description": "x"})).behind(&held));
        let calls = service.bedrock.received_so_far();
        let talk = service.talk().await;
        talk.send(describing());
        match source {
            "inline" => talk.send_all((0..12).map(|at| item(inline(&format!("{at}"), &file)))),
            "stored" => talk.send_all((0..12).map(|at| item(stored(&format!("{at}"), &format!("n/{at:02}.png"))))),
            _ => talk.send(listing(under("n/"))),
        }
        service.bedrock.in_progress().is(3).await;
        at_rest(&service).await;
        assert_eq!(service.bedrock.received_so_far() - calls, 3, "{source}: 300 KB of pictures at once");
        gate.open();
        assert_eq!(talk.finish().await.assert_whole(12).summary().failed_count, 0);
        assert_eq!(service.bedrock.in_progress().peak(), 3, "{source}");
    }
}

#[tokio::test]
async fn large_pictures_do_not_starve_a_stream_of_small_ones() {
    // One large picture at a time beside small ones.
    let (service, gate, _) = gated(&["--max-in-flight-bytes", "200KB"]).await;
    service.s3.put(BUCKET, "large.png", noise(140_000));
    let mut large = service.talk().await;
    large.send(describing());
    large.send_all((0..20).map(|at| item(stored(&format!("{at}"), "large.png"))));
    service.bedrock.in_progress().is(1).await;
    at_rest(&service).await;
    let small = spawn_stream(&service, stream_items(1, 3));
    gate.let_through(10);
    let finished = tokio::select! {
        finished = small => finished.unwrap(),
        () = async { loop { large.next().await; } } => unreachable!(),
    };
    assert_eq!(finished.assert_whole(3).summary().failed_count, 0);
    gate.open();
    assert_eq!(large.finish().await.summary().succeeded_count, 20);
}

#[tokio::test]
async fn a_picture_larger_than_the_budget_runs_alone() {
    let service = Service::with(&["--max-in-flight-bytes", "200KB"]).await;
    let (large, small) = (noise(500_000), noise(20_000));
    service.s3.put(BUCKET, "large.png", large.clone());
    let threshold = large.len() / 2;
    let gate = Gate::default();
    let (of_large, of_small) = (gate.clone(), Gate::default());
    of_small.open();
    service.bedrock.answer_with(move |request| {
        let gate = if request.image().bytes.len() > threshold { &of_large } else { &of_small };
        Reply::tool(json!({"description": "x"})).behind(gate)
    });
    for large in [inline("large", &large), stored("large", "large.png")] {
        let calls = service.bedrock.received_so_far();
        let mut talk = service.talk().await;
        talk.send_all([describing(), item(large.clone())]);
        service.bedrock.received(calls + 1).await;
        talk.send_all((0..5).map(|at| item(inline(&format!("{at}"), &small))));
        at_rest(&service).await;
        assert_eq!(service.bedrock.received_so_far(), calls + 1, "nothing beside it");
        gate.let_through(1);
        assert_eq!(talk.next().await.item_id, "large");
        assert_eq!(talk.finish().await.summary().succeeded_count, 6);
    }
    // As a unary call too.
    gate.open();
    service.analyze(content(&large, describe())).await.expect("larger than the budget, and alone");
}

#[tokio::test]
async fn one_stream_too_many_is_overloaded_at_once() {
    let service = Service::with(&["--max-streams", "2"]).await;
    service.bedrock.answer_with(answer_by_number);
    let (first, second) = (service.talk().await, service.talk().await);
    let third = service.many(stream_items(0, 1)).await;
    assert!(third.results.is_empty());
    let (_, details) = third.assert_ends(Code::Unavailable, "OVERLOADED");
    assert!(details.get::<tonic_types::pb::RetryInfo>("RetryInfo").is_some());
    service.analyze(content(&picture(1), describe())).await.expect("unary calls are not streams");
    // Both ways to end give the place back.
    second.finish().await.assert_whole(0);
    drop(first);
    let mut opened = 0;
    while opened < 2 {
        match service.many(stream_items(0, 1)).await.end {
            Ok(()) => opened += 1,
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_all_over_costs_nothing_else() {
    let service = Service::start().await;
    service.bedrock.answer_with(answer_by_number);
    let bad = (0..100).map(|at| item(stored(&format!("{at}"), "missing")));
    let requests = std::iter::once(describing()).chain(bad).collect();
    let collected = service.many(requests).await;
    collected.assert_whole(100);
    assert!(collected.results.iter().all(|result| reason_of(result) == "OBJECT_NOT_FOUND"));
    assert_failed(collected.of("99"), Code::NotFound, "OBJECT_NOT_FOUND");
    assert!(service.bedrock.requests().is_empty());
}
