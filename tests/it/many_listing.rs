//! Listings: which objects are analyzed, how pages are read, and what an interrupted stream goes on from.

use std::collections::HashSet;

use sightline::proto::{
    AnalyzeImageRequest, AnalyzeManyConfig, AnalyzeManyRequest, AnalyzeManyResult, ResultOrder, S3Listing,
};
use tonic::Code;
use tonic_types::pb;

use crate::support::{
    bedrock::{Gate, Reply},
    many::{
        Collected, analysis_of, answer_by_number, assert_failed, config, describing, description_of, error_of,
        features, fields, inline, item, listing, number_of, picture, reason_of, stored, under,
    },
    s3::{Dialect, Failure, Fault, S3},
    service::{BUCKET, Service, content, describe},
};

fn ordered() -> AnalyzeManyRequest {
    config(AnalyzeManyConfig { result_order: ResultOrder::AsRequested.into(), ..features(describe()) })
}

fn numbered_keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n/{number:04}.png")).collect()
}

async fn list(service: &Service, wanted: S3Listing) -> Collected {
    service.many(vec![ordered(), listing(wanted)]).await
}

/// The prefixes, starting points and tokens of the pages that were asked for.
fn pages(s3: &S3) -> Vec<(String, Option<String>, bool)> {
    let lists = s3.lists().into_iter();
    lists.map(|list| (list.prefix, list.start_after, list.continuation_token.is_some())).collect()
}

#[tokio::test]
async fn every_picture_under_a_prefix_is_analyzed_in_the_order_of_keys() {
    let service = Service::start().await;
    let keys = numbered_keys(10);
    service.put_numbered(keys.iter().rev());
    service.s3.put(BUCKET, "m/before.png", picture(90));
    service.s3.put(BUCKET, "o/after.png", picture(91));
    service.s3.set_page_size(3);
    let collected = list(&service, under("n/")).await;
    collected.assert_whole(10);
    assert_eq!(collected.ids(), keys);
    for (at, result) in collected.results.iter().enumerate() {
        assert_eq!(description_of(result), format!("picture {}", 9 - at));
        assert_eq!(result.resume_after, keys[at], "in order, each key is its own watermark");
        let etag = service.s3.put(BUCKET, "other", picture(9 - at));
        assert_eq!(analysis_of(result).image.as_ref().unwrap().etag, etag.trim_matches('"'));
    }
    assert_eq!(pages(&service.s3).len(), 4);
    assert!(service.s3.lists().iter().all(|list| list.prefix == "n/" && list.url_encoded), "keys come encoded");
}

#[tokio::test]
async fn only_keys_with_a_wanted_suffix_are_read() {
    let service = Service::start().await;
    let keys = [
        "a.JPG",
        "b.jpeg",
        "c.Png",
        "d.gif",
        "e.webp",
        "f.txt",
        "g",
        "h.jpg/",
        "i.jpg.bak",
        "j.tif",
        "jpg",
        "k.psd",
        "l.bmp",
        "z/.png",
    ];
    service.put_numbered(keys);
    for (suffixes, expected) in [
        (&[][..], &["a.JPG", "b.jpeg", "c.Png", "d.gif", "e.webp", "j.tif", "l.bmp", "z/.png"][..]),
        (&[".jpg"], &["a.JPG"]),
        (&[".BAK", ".TXT"], &["f.txt", "i.jpg.bak"]),
        (&["g"], &["a.JPG", "b.jpeg", "c.Png", "g", "jpg", "z/.png"]),
    ] {
        let wanted = S3Listing { suffixes: suffixes.iter().map(ToString::to_string).collect(), ..under("") };
        let collected = list(&service, wanted).await;
        collected.assert_whole(expected.len());
        assert_eq!(collected.ids(), expected, "{suffixes:?}");
    }
}

#[tokio::test]
async fn a_listing_starts_after_a_key_and_ends_at_a_number() {
    let service = Service::start().await;
    let keys = numbered_keys(9);
    service.put_numbered(&keys);
    service.s3.put(BUCKET, "n/0003.txt", "passed over");
    service.s3.set_page_size(2);
    for (start_after, max_objects, expected) in [
        ("", 0, 0..9),
        ("", 3, 0..3),
        ("n/0003.png", 0, 4..9),
        ("n/0003.png", 2, 4..6),
        ("n/0004", 1, 4..5),
        ("", 99, 0..9),
    ] {
        let before = service.s3.lists().len();
        let wanted = S3Listing { start_after: start_after.to_owned(), max_objects, ..under("n/") };
        let collected = list(&service, wanted).await;
        collected.assert_whole(expected.len());
        assert_eq!(collected.ids(), keys[expected.clone()], "{start_after} {max_objects}");
        let asked = service.s3.lists();
        assert_eq!(asked[before].start_after.as_deref().unwrap_or_default(), start_after);
        if max_objects == 3 {
            assert!(asked.len() - before <= 3, "no page after the last object that is wanted");
        }
    }
}

#[tokio::test]
async fn keys_are_taken_literally() {
    let service = Service::start().await;
    let mut keys = [
        "k/ .png",
        "k/a b.png",
        "k/a%20b.png",
        "k/a+b.png",
        "k/a\u{1}b.png",
        "k/a\nb.png",
        "k/<&>\"'.png",
        "k/한국 사진.png",
        "k/\u{1f4f7}.png",
        "k/\u{fffd}.png",
        "k/..%2F/../x.png",
        "k//.png",
        "k/?a=b&c#d.png",
        "k/%.png",
        "k/~*().png",
    ];
    service.put_numbered(keys);
    let numbers = keys;
    keys.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for page_size in [1, 4, 1000] {
        service.s3.set_page_size(page_size);
        let collected = list(&service, under("k/")).await;
        collected.assert_whole(keys.len());
        assert_eq!(collected.ids(), keys);
        for result in &collected.results {
            let number = numbers.iter().position(|key| *key == result.item_id).unwrap();
            assert_eq!(description_of(result), format!("picture {number}"), "{:?}", result.item_id);
        }
    }
    // Each of them is a place to go on from, and each is a prefix.
    for (at, key) in keys.iter().enumerate() {
        let wanted = S3Listing { start_after: (*key).to_owned(), max_objects: 1, ..under("k/") };
        assert_eq!(list(&service, wanted).await.ids(), keys[at + 1..].iter().take(1).copied().collect::<Vec<_>>());
        assert_eq!(list(&service, under(key)).await.ids(), [*key]);
    }
}

#[tokio::test]
async fn listings_and_items_are_mixed_in_one_stream() {
    let service = Service::start().await;
    service.put_numbered(["a/1.png", "a/2.png", "b/1.png", "single"]);
    let collected = service
        .many(vec![
            ordered(),
            item(inline("first", &picture(8))),
            listing(under("a/")),
            item(stored("second", "single")),
            listing(under("b/")),
            listing(under("a/")),
            item(inline("last", &picture(9))),
        ])
        .await;
    collected.assert_whole(8);
    let ids = ["first", "a/1.png", "a/2.png", "second", "b/1.png", "a/1.png", "a/2.png", "last"];
    assert_eq!(collected.ids(), ids);
    let marks: Vec<_> = collected.results.iter().map(|result| result.resume_after.as_str()).collect();
    assert_eq!(marks, ["", "a/1.png", "a/2.png", "", "b/1.png", "a/1.png", "a/2.png", ""]);
    assert_eq!(description_of(collected.of("second")), "picture 3");
}

#[tokio::test]
async fn a_listing_that_cannot_be_is_one_failed_result() {
    let service = Service::start().await;
    service.put_numbered(["d/1.png"]);
    service.s3.create_bucket("closed");
    service.s3.fault_lists("closed", Failure::ACCESS_DENIED);
    service.s3.create_bucket("moved");
    service.s3.fault_lists("moved", Failure::PERMANENT_REDIRECT);
    service.s3.create_bucket("busy");
    service.s3.fault_lists("busy", Failure::SLOW_DOWN);
    let of = |bucket: &str| S3Listing { bucket: bucket.to_owned(), start_after: "p/0".to_owned(), ..under("p/") };
    let collected = service
        .many(vec![
            ordered(),
            listing(of("elsewhere")),
            listing(of("closed")),
            listing(of("moved")),
            listing(of("busy")),
            listing(under("d/")),
        ])
        .await;
    collected.assert_whole(5);
    let cases = [
        ("elsewhere", Code::NotFound, "BUCKET_NOT_FOUND"),
        ("closed", Code::PermissionDenied, "BUCKET_ACCESS_DENIED"),
        ("moved", Code::FailedPrecondition, "BUCKET_REGION_MISMATCH"),
        ("busy", Code::Unavailable, "STORAGE_UNAVAILABLE"),
    ];
    for (index, (bucket, code, reason)) in cases.into_iter().enumerate() {
        let result = &collected.results[index];
        let (status, details) = assert_failed(result, code, reason);
        assert_eq!(result.item_id, format!("s3://{bucket}/p/"));
        assert_eq!(result.resume_after, "p/0", "where the listing itself began");
        match reason {
            "BUCKET_NOT_FOUND" => {
                let info: pb::ResourceInfo = details.get("ResourceInfo").unwrap();
                assert_eq!(info.resource_name, "elsewhere");
            }
            "BUCKET_ACCESS_DENIED" => assert!(status.message().contains("s3:ListBucket"), "{}", status.message()),
            _ => {}
        }
    }
    assert_eq!(description_of(&collected.results[4]), "picture 0", "the stream goes on");
}

#[tokio::test]
async fn violations_of_a_listing_name_their_fields() {
    let service = Service::start().await;
    let cases: Vec<(S3Listing, &[&str])> = vec![
        (S3Listing::default(), &["listing.bucket"]),
        (S3Listing { bucket: "a/b".to_owned(), ..S3Listing::default() }, &["listing.bucket"]),
        (S3Listing { max_objects: -1, ..under("") }, &["listing.max_objects"]),
        (
            S3Listing { max_objects: i64::MIN, bucket: String::new(), ..under("") },
            &["listing.bucket", "listing.max_objects"],
        ),
        (
            S3Listing { prefix: "x".repeat(1025), start_after: "x".repeat(1025), ..under("") },
            &["listing.prefix", "listing.start_after"],
        ),
    ];
    let (listings, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let count = listings.len();
    let requests = [vec![describing()], listings.into_iter().map(listing).collect()].concat();
    let collected = service.many(requests).await;
    collected.assert_whole(count);
    for (index, expected) in expected.into_iter().enumerate() {
        let result = collected.at(i64::try_from(index).unwrap());
        let (_, details) = assert_failed(result, Code::InvalidArgument, "FIELD_INVALID");
        let mut found = fields(&details);
        found.sort();
        assert_eq!(found, expected, "listing {index}");
    }
    assert!(service.s3.requests().is_empty());
}

#[tokio::test]
async fn a_listing_without_features_is_one_failed_result() {
    let service = Service::start().await;
    service.put_numbered(["a.png", "b.png"]);
    let collected = service.many(vec![listing(under(""))]).await;
    assert!(collected.end.is_ok(), "{:?}", collected.end);
    assert!(!collected.results.is_empty());
    for result in &collected.results {
        assert_failed(result, Code::InvalidArgument, "FIELD_INVALID");
    }
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn an_empty_listing_says_so_unless_it_went_on() {
    let service = Service::start().await;
    service.put_numbered(["e/1.png", "e/2.txt", "e/3.txt"]);
    for (wanted, listed) in
        [(under("nothing/"), "0"), (S3Listing { suffixes: vec![".gif".to_owned()], ..under("e/") }, "3")]
    {
        let collected = list(&service, wanted.clone()).await;
        collected.assert_whole(1);
        let (_, details) = assert_failed(&collected.results[0], Code::NotFound, "LISTING_EMPTY");
        assert_eq!(details.info.metadata["listed_count"], listed);
        assert_eq!(collected.results[0].item_id, format!("s3://{BUCKET}/{}", wanted.prefix));
    }
    let done = S3Listing { start_after: "e/1.png".to_owned(), ..under("e/") };
    list(&service, done).await.assert_whole(0);
}

#[tokio::test]
async fn a_page_that_fails_in_the_middle_loses_nothing_before_it() {
    let service = Service::start().await;
    service.s3.set_page_size(3);
    let denied = ("denied", Fault::from(Failure::ACCESS_DENIED), "BUCKET_ACCESS_DENIED");
    let busy = ("busy", Fault::from(Failure::SLOW_DOWN), "STORAGE_UNAVAILABLE");
    let cut = ("cut", Fault::Cut, "STORAGE_UNAVAILABLE");
    let keys_of = |folder: &str| (0..9).map(|at| format!("{folder}/{at}.png")).collect::<Vec<_>>();
    for (folder, fault, _) in [&denied, &busy, &cut] {
        service.put_numbered(keys_of(folder));
        service.s3.fault_page_with(BUCKET, &format!("{folder}/6.png"), fault.clone());
    }
    service.put_numbered(keys_of("passing"));
    service.s3.fault_page_with_times(1, BUCKET, "passing/6.png", Failure::SLOW_DOWN);
    let fails = async |folder: &str, reason: &str, order: ResultOrder| {
        let keys = keys_of(folder);
        let settings = AnalyzeManyConfig { result_order: order.into(), ..features(describe()) };
        let last = item(inline("the stream goes on", &picture(50)));
        let requests = vec![config(settings), listing(under(&format!("{folder}/"))), last];
        let collected = service.many(requests).await;
        assert_eq!(collected.assert_whole(8).summary().failed_count, 1);
        assert_eq!(collected.ids_as_requested()[..6], keys[..6]);
        let failed = collected.of(&format!("s3://{BUCKET}/{folder}/"));
        assert_eq!((failed.item_index, reason_of(failed).as_str()), (Some(6), reason));
        let marks = collected.results.iter().map(|result| result.resume_after.as_str()).max();
        assert_eq!(marks, Some(keys[5].as_str()), "what has been answered need not be repeated");
        if order == ResultOrder::AsRequested {
            assert_eq!(failed.resume_after, keys[5]);
        }
    };
    // Side by side, for the store is asked several times, with a pause.
    tokio::join!(
        fails(denied.0, denied.2, ResultOrder::AsCompleted),
        fails(denied.0, denied.2, ResultOrder::AsRequested),
        fails(busy.0, busy.2, ResultOrder::AsRequested),
        fails(cut.0, cut.2, ResultOrder::AsCompleted),
        async {
            list(&service, under("passing/")).await.assert_whole(9);
        },
    );
}

#[tokio::test]
async fn a_page_that_hangs_is_bounded_and_dropped_with_the_stream() {
    let service = Service::with(&["--request-timeout", "2s"]).await;
    service.put_numbered(["a.png"]);
    for (count, fault) in [(1, Fault::Hang), (2, Fault::HangInBody)] {
        service.s3.mend_lists();
        service.s3.fault_lists(BUCKET, fault);
        let collected = service.many(vec![describing(), listing(under("")), item(inline("next", &picture(1)))]).await;
        collected.assert_whole(2);
        let failed = collected.at(0);
        assert!(["DEADLINE_EXCEEDED", "STORAGE_UNAVAILABLE"].contains(&reason_of(failed).as_str()), "{failed:?}");
        assert_eq!(description_of(collected.of("next")), "picture 1");
        service.s3.abandoned(count).await;
    }
    let service = Service::start().await;
    service.s3.fault_lists(BUCKET, Fault::Hang);
    let talk = service.talk().await;
    talk.send_all([describing(), listing(under(""))]);
    service.s3.lists_received(1).await;
    drop(talk);
    service.s3.abandoned(1).await;
}

/// How a stream is interrupted in the middle of a listing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Interruption {
    ClientGone,
    ServerStopped,
    ServerCutOff,
}

/// Runs until `results` have come and the interruption has happened; returns what came and the service to go on with.
async fn interrupted(
    order: ResultOrder,
    interruption: Interruption,
    results: usize,
) -> (Vec<AnalyzeManyResult>, Service, Vec<String>) {
    let flags: &[&str] = if interruption == Interruption::ServerCutOff { &["--drain-timeout", "50ms"] } else { &[] };
    let service = Service::with(flags).await;
    let keys = numbered_keys(30);
    service.put_numbered(&keys);
    service.s3.set_page_size(7);
    let gate = Gate::default();
    let held = gate.clone();
    // The fourth picture is late: as completed, those behind it overtake it.
    service.bedrock.answer_with(move |request| match number_of(request) {
        3 => answer_by_number(request).behind(&held),
        12.. => answer_by_number(request).behind(&held),
        _ => answer_by_number(request),
    });
    let mut talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { result_order: order.into(), max_in_flight: 5, ..features(describe()) }));
    talk.send(listing(under("n/")));
    let mut came = Vec::new();
    for _ in 0..results {
        came.push(talk.next().await);
    }
    // One of those before it may be late too, on a slow machine.
    while results > 3 && came.last().is_some_and(|last: &AnalyzeManyResult| last.resume_after != keys[2]) {
        came.push(talk.next().await);
    }
    match interruption {
        Interruption::ClientGone => {
            drop(talk);
            gate.open();
            (came, service, keys)
        }
        Interruption::ServerStopped | Interruption::ServerCutOff => {
            let Service { s3, bedrock, running, .. } = service;
            let address = running.address;
            let stopping = tokio::spawn(running.stop());
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            if interruption == Interruption::ServerStopped {
                gate.open();
            }
            let rest = talk.wait_for_the_end().await;
            came.extend(rest.results.iter().cloned());
            assert!(came.len() < keys.len(), "the listing stops");
            rest.assert_ends(Code::Unavailable, "DRAINING");
            stopping.await.unwrap().unwrap();
            gate.open();
            (came, Service::over(s3, bedrock, &[]).await, keys)
        }
    }
}

#[tokio::test]
async fn an_interrupted_listing_goes_on_without_losing_or_repeating() {
    for interruption in [Interruption::ClientGone, Interruption::ServerStopped, Interruption::ServerCutOff] {
        for (order, results) in
            [(ResultOrder::AsRequested, 3), (ResultOrder::AsCompleted, 7), (ResultOrder::AsCompleted, 0)]
        {
            let (came, service, keys) = interrupted(order, interruption, results).await;
            let last = came.last().map(|result| result.resume_after.clone()).unwrap_or_default();
            let wanted = S3Listing { start_after: last.clone(), ..under("n/") };
            let rest = service.many(vec![describing(), listing(wanted)]).await;
            rest.assert_whole(rest.results.len());

            let before: HashSet<&str> = came.iter().map(|result| result.item_id.as_str()).collect();
            assert_eq!(before.len(), came.len(), "nothing twice in one stream");
            let after: HashSet<&str> = rest.ids().into_iter().collect();
            let all: HashSet<&str> = keys.iter().map(String::as_str).collect();
            assert_eq!(&before | &after, all, "{interruption:?} {order:?}: nothing lost");
            let repeated: Vec<_> = before.intersection(&after).collect();
            assert!(repeated.iter().all(|key| ***key > *last), "{repeated:?} up to {last}");
            if order == ResultOrder::AsRequested {
                assert!(repeated.is_empty(), "{interruption:?}: {repeated:?} repeated");
            } else if results > 3 && interruption != Interruption::ServerStopped {
                assert_eq!(last, keys[2], "the fourth holds the watermark");
                assert_eq!(repeated.len(), came.len() - 3);
            }
            let answered = came.iter().chain(&rest.results);
            assert!(answered.into_iter().all(|result| error_of(result).is_none()));
        }
    }
}

#[tokio::test]
async fn the_watermark_stands_still_after_a_failure_in_the_mode_stop() {
    let service = Service::start().await;
    let keys = numbered_keys(9);
    service.put_numbered(&keys);
    service.s3.put(BUCKET, &keys[4], "no picture");
    service.s3.set_page_size(2);
    let settings = AnalyzeManyConfig {
        failure_mode: sightline::proto::FailureMode::Stop.into(),
        result_order: ResultOrder::AsRequested.into(),
        max_in_flight: 1,
        ..features(describe())
    };
    let collected = service.many(vec![config(settings), listing(under("n/"))]).await;
    collected.assert_whole(9);
    assert_eq!(collected.ids(), keys);
    assert_failed(&collected.results[4], Code::InvalidArgument, "IMAGE_UNSUPPORTED");
    for result in &collected.results[5..] {
        assert_failed(result, Code::Aborted, "ABORTED_AFTER_FAILURE");
        assert_eq!(result.resume_after, keys[4], "those that were not tried are not passed over");
    }
    let rest = list(&service, S3Listing { start_after: keys[4].clone(), ..under("n/") }).await;
    assert_eq!(rest.ids(), keys[5..]);
    rest.assert_whole(4);
}

/// Else a stream that is interrupted would have to repeat everything that overtook one slow object.
#[tokio::test]
async fn a_listing_runs_ahead_of_a_slow_object_only_so_far() {
    let service = Service::start().await;
    let keys = numbered_keys(60);
    service.put_numbered(&keys);
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| match number_of(request) {
        0 => answer_by_number(request).behind(&held),
        _ => answer_by_number(request),
    });
    let mut talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 2, ..features(describe()) }));
    talk.send(listing(under("n/")));
    for _ in 1..32 {
        let result = talk.next().await;
        assert!(result.item_id != keys[0] && result.resume_after.is_empty());
    }
    // Sixteen times as far as there are items in progress.
    service.bedrock.in_progress().is(1).await;
    for _ in 0..10 {
        let request = AnalyzeImageRequest { validate_only: true, ..content(&picture(0), describe()) };
        service.analyze(request).await.unwrap();
    }
    assert_eq!(service.bedrock.received_so_far(), 32);
    gate.open();
    let slow = talk.next().await;
    assert_eq!((slow.item_id.as_str(), slow.resume_after.as_str()), (keys[0].as_str(), keys[31].as_str()));
    let rest = talk.finish().await;
    assert_eq!((rest.results.len(), rest.summary().succeeded_count), (28, 60));
}

/// A watermark is only true of keys that come in order: a store that breaks it is found out before anything is analyzed
/// twice or passed over.
#[tokio::test]
async fn a_store_that_breaks_the_order_of_keys_is_found_out() {
    let service = Service::start().await;
    let keys = numbered_keys(12);
    service.put_numbered(&keys);
    service.s3.set_page_size(4);
    for (dialect, start_after) in
        [(Dialect::IgnoresTokens, ""), (Dialect::IgnoresStartAfter, "n/0005.png"), (Dialect::Unordered, "")]
    {
        service.s3.set_dialect(dialect);
        let mut talk = service.talk().await;
        talk.send(ordered());
        talk.send(listing(S3Listing { start_after: start_after.to_owned(), ..under("n/") }));
        let mut seen = HashSet::new();
        loop {
            let result = talk.next().await;
            assert!(seen.len() <= keys.len(), "{dialect:?}: the listing has no end");
            assert!(result.resume_after.as_str() >= start_after, "{dialect:?}");
            if result.item_id.starts_with("s3://") {
                assert_failed(&result, Code::FailedPrecondition, "LISTING_UNORDERED");
                break;
            }
            assert!(result.item_id.as_str() > start_after, "{dialect:?}: {} comes before the start", result.item_id);
            assert!(seen.insert(result.item_id.clone()), "{dialect:?}: {} twice", result.item_id);
        }
        talk.half_close();
        talk.finish().await.summary();
    }
}

#[tokio::test]
async fn an_object_that_vanishes_after_it_was_listed_is_its_own_failure() {
    let service = Service::start().await;
    let keys = numbered_keys(4);
    service.put_numbered(&keys);
    service.s3.fault(BUCKET, &keys[1], Failure::NO_SUCH_KEY);
    service.s3.fault(BUCKET, &keys[2], Failure::PRECONDITION_FAILED);
    let collected = list(&service, under("n/")).await;
    collected.assert_whole(4);
    assert_failed(collected.of(&keys[1]), Code::NotFound, "OBJECT_NOT_FOUND");
    assert!(error_of(collected.of(&keys[2])).is_some());
    assert_eq!(collected.results[3].resume_after, keys[3], "a failed key has been answered too");
}

#[tokio::test]
async fn pages_are_read_only_as_fast_as_objects_are_analyzed() {
    let service = Service::start().await;
    service.put_numbered(numbered_keys(60));
    service.s3.set_page_size(5);
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| Reply::behind(answer_by_number(request), &held));
    let mut talk = service.talk().await;
    talk.send(config(AnalyzeManyConfig { max_in_flight: 4, ..features(describe()) }));
    talk.send(listing(under("n/")));
    service.bedrock.in_progress().is(4).await;
    for answered in 1..=20 {
        gate.let_through(1);
        talk.next().await;
        service.bedrock.received(4 + answered).await;
        // What is in progress and what has been answered, and at most one page ahead.
        let needed = (4 + answered).div_ceil(5);
        assert!(service.s3.lists().len() <= needed + 1, "{} pages for {}", service.s3.lists().len(), 4 + answered);
    }
    drop(talk);
    service.bedrock.abandoned(4).await;
    assert!(service.s3.lists().len() <= 6);
}
