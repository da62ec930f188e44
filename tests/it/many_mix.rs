//! Any mix of items and listings, in any window and both orders: what is promised holds at every message.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use sightline::proto::{
    AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, AnalyzeManyResult, Features, ResultOrder, S3Listing,
};

use crate::support::{
    bedrock::{InvokeRequest, Reply},
    many::{
        Collected, answer_by_number, config, description_of, features, inline, item, listing, number_of, picture,
        reason_of, stored, under,
    },
    s3::Failure,
    service::{BUCKET, Service, describe},
};

/// Pictures from this number on are answered late, each by a time of its own.
const SLOW: usize = 100;
/// Pictures from this number on are refused.
const REFUSED: usize = 200;
/// Pictures from this number on get an answer that cannot be read.
const UNREADABLE: usize = 300;

/// One message of a stream.
#[derive(Clone, Debug)]
enum Message {
    Inline(usize),
    Stored(usize),
    Missing,
    NoPicture,
    Invalid,
    /// The id of the first message again.
    Duplicate(usize),
    Listing(Listed),
}

#[derive(Clone, Copy, Debug)]
enum Listed {
    /// All keys, after the n-th, at most so many.
    Mixed(Option<usize>, usize),
    /// No key at all.
    Empty,
    /// The second page cannot be read.
    Breaks,
    NoBucket,
}

/// What one item must become.
#[derive(Debug)]
struct Expected {
    id: String,
    /// Empty when it succeeds.
    reason: &'static str,
    /// The number of the picture that the model saw.
    number: Option<usize>,
    /// The message whose listing it is of, and whether it is one of its keys.
    listing: Option<(usize, bool)>,
}

fn number() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 3 => SLOW..SLOW + 40, 1 => Just(REFUSED), 1 => Just(UNREADABLE)]
}

fn message() -> impl Strategy<Value = Message> {
    let after = proptest::option::of(0..12usize);
    let most = prop_oneof![Just(0), 1..14usize];
    prop_oneof![
        6 => number().prop_map(Message::Inline),
        4 => number().prop_map(Message::Stored),
        1 => Just(Message::Missing),
        1 => Just(Message::NoPicture),
        1 => Just(Message::Invalid),
        1 => (0..8usize).prop_map(Message::Duplicate),
        2 => (after, most).prop_map(|(after, most)| Message::Listing(Listed::Mixed(after, most))),
        1 => Just(Message::Listing(Listed::Breaks)),
        1 => prop_oneof![Just(Listed::Empty), Just(Listed::NoBucket)].prop_map(Message::Listing),
    ]
}

/// The keys under `mixed/` and the numbers of their pictures; `None` is no picture.
fn mixed() -> Vec<(String, Option<usize>)> {
    let numbers = [Some(1), Some(SLOW + 7), None, Some(2), Some(SLOW + 31), Some(REFUSED), Some(3), Some(4)];
    let more = [Some(SLOW + 13), Some(5), None, Some(6)];
    let keys = numbers.into_iter().chain(more).enumerate();
    keys.map(|(at, number)| (format!("mixed/{at:02} é+%20.png"), number)).collect()
}

/// The keys under `breaks/` that are listed before the page that cannot be read.
fn breaks() -> Vec<String> {
    (0..3).map(|at| format!("breaks/{at}.png")).collect()
}

fn answer(request: &InvokeRequest) -> Reply {
    let number = number_of(request);
    match number {
        SLOW..REFUSED => {
            let millis = (number * 37 % 11) as u64;
            answer_by_number(request).after(Duration::from_millis(millis))
        }
        REFUSED..UNREADABLE => Reply::messages(json!([]), "refusal", json!({"input_tokens": 50, "output_tokens": 1})),
        UNREADABLE.. => Reply::text("I cannot tell.").usage(70, 7),
        _ => answer_by_number(request),
    }
}

/// Input tokens of a picture's answer.
fn cost(number: usize) -> i64 {
    match number {
        REFUSED..UNREADABLE => 50,
        // It is asked for twice.
        UNREADABLE.. => 2 * 70,
        _ => 100,
    }
}

fn reason(number: usize) -> &'static str {
    match number {
        REFUSED..UNREADABLE => "MODEL_REFUSED",
        UNREADABLE.. => "MODEL_OUTPUT_INVALID",
        _ => "",
    }
}

async fn service() -> Service {
    let service = Service::start().await;
    for number in (0..40).chain(SLOW..SLOW + 40).chain([REFUSED, UNREADABLE]) {
        service.s3.put(BUCKET, &format!("stored/{number}"), picture(number));
    }
    for (key, number) in mixed() {
        service.s3.put(BUCKET, &key, number.map_or(b"no picture".to_vec(), picture));
        service.s3.put(BUCKET, &key.replace(".png", ".txt"), "passed over");
    }
    for (number, key) in breaks().iter().enumerate() {
        service.s3.put(BUCKET, key, picture(SLOW + number));
    }
    service.s3.put(BUCKET, "breaks/3.png", picture(0));
    service.s3.set_page_size(3);
    service.s3.fault_page_with(BUCKET, "breaks/3.png", Failure::ACCESS_DENIED);
    service.bedrock.answer_with(answer);
    service
}

fn request(message: &Message, at: usize) -> AnalyzeManyRequest {
    let id = format!("item {at}");
    match message {
        Message::Inline(number) => item(inline(&id, &picture(*number))),
        Message::Stored(number) => item(stored(&id, &format!("stored/{number}"))),
        Message::Missing => item(stored(&id, "nowhere")),
        Message::NoPicture => item(inline(&id, b"no picture")),
        Message::Invalid => item(AnalyzeManyItem { features: Some(Features::default()), ..inline(&id, &picture(0)) }),
        Message::Duplicate(earlier) => item(inline(&format!("item {earlier}"), &picture(0))),
        Message::Listing(listed) => listing(listing_of(*listed)),
    }
}

fn listing_of(listed: Listed) -> S3Listing {
    match listed {
        Listed::Mixed(after, most) => S3Listing {
            start_after: after.map(|at| mixed()[at].0.clone()).unwrap_or_default(),
            max_objects: i64::try_from(most).unwrap(),
            ..under("mixed/")
        },
        Listed::Empty => under("empty/"),
        Listed::Breaks => under("breaks/"),
        Listed::NoBucket => S3Listing { bucket: "elsewhere".to_owned(), ..under("x/") },
    }
}

/// What every item must become, by index.
fn expected(messages: &[Message]) -> Vec<Expected> {
    let mut expected = Vec::new();
    let mut ids = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let own = format!("item {at}");
        let one = |id: String, reason, number| Expected { id, reason, number, listing: None };
        let next = match message {
            Message::Inline(number) | Message::Stored(number) => one(own, reason(*number), Some(*number)),
            Message::Missing => one(own, "OBJECT_NOT_FOUND", None),
            Message::NoPicture => one(own, "IMAGE_UNSUPPORTED", None),
            Message::Invalid => one(own, "FIELD_INVALID", None),
            Message::Duplicate(earlier) => one(format!("item {earlier}"), "", Some(0)),
            Message::Listing(listed) => {
                expected.extend(listed_items(at, *listed));
                continue;
            }
        };
        let is_new = ids.insert(next.id.clone());
        expected.push(if is_new { next } else { one(next.id, "ITEM_ID_DUPLICATE", None) });
    }
    expected
}

fn listed_items(at: usize, listed: Listed) -> Vec<Expected> {
    let key = |id: String, reason, number| Expected { id, reason, number, listing: Some((at, true)) };
    let failed = |id: &str, reason| Expected { id: id.to_owned(), reason, number: None, listing: Some((at, false)) };
    match listed {
        Listed::Empty => vec![failed(&format!("s3://{BUCKET}/empty/"), "LISTING_EMPTY")],
        Listed::NoBucket => vec![failed("s3://elsewhere/x/", "BUCKET_NOT_FOUND")],
        Listed::Breaks => {
            let keys = breaks().into_iter().enumerate().map(|(number, id)| key(id, "", Some(SLOW + number)));
            keys.chain([failed(&format!("s3://{BUCKET}/breaks/"), "BUCKET_ACCESS_DENIED")]).collect()
        }
        Listed::Mixed(after, most) => {
            let keys = mixed().into_iter().skip(after.map_or(0, |at| at + 1));
            let keys = keys.take(if most == 0 { usize::MAX } else { most });
            keys.map(|(id, number)| key(id, number.map_or("IMAGE_UNSUPPORTED", reason), number)).collect()
        }
    }
}

/// The watermark of one listing, message by message.
struct Watermark {
    start_after: String,
    keys: Vec<String>,
    answered: HashSet<String>,
}

impl Watermark {
    fn new(messages: &[Message], expected: &[Expected], at: usize) -> Self {
        let Message::Listing(listed) = &messages[at] else { panic!("message {at} is a listing") };
        let keys = expected.iter().filter(|item| item.listing == Some((at, true)));
        Self {
            start_after: listing_of(*listed).start_after,
            keys: keys.map(|item| item.id.clone()).collect(),
            answered: HashSet::new(),
        }
    }

    /// The greatest key such that it and every key before it has been answered.
    fn now(&self) -> &str {
        let whole = self.keys.iter().take_while(|key| self.answered.contains(*key));
        whole.last().unwrap_or(&self.start_after)
    }
}

fn check(messages: &[Message], order: ResultOrder, collected: &Collected) {
    let expected = expected(messages);
    collected.assert_whole(expected.len());
    if order == ResultOrder::AsRequested {
        assert!(collected.results.is_sorted_by_key(|result| result.item_index), "as requested");
    }
    let mut watermarks: HashMap<usize, Watermark> = HashMap::new();
    for result in &collected.results {
        let item = &expected[usize::try_from(result.item_index.unwrap()).unwrap()];
        check_outcome(result, item);
        match item.listing {
            None => assert_eq!(result.resume_after, "", "{item:?}"),
            Some((at, is_key)) => {
                let watermark = watermarks.entry(at).or_insert_with(|| Watermark::new(messages, &expected, at));
                if is_key {
                    watermark.answered.insert(result.item_id.clone());
                }
                assert_eq!(result.resume_after, watermark.now(), "{item:?} of {:?}", collected.ids());
            }
        }
    }
    let usage = collected.summary().total_usage.as_ref().unwrap();
    let numbers: Vec<usize> = expected.iter().filter_map(|item| item.number).collect();
    let calls: usize = numbers.iter().map(|number| if *number >= UNREADABLE { 2 } else { 1 }).sum();
    assert_eq!(usage.model_call_count as usize, calls, "calls");
    assert_eq!(usage.input_token_count, numbers.iter().map(|number| cost(*number)).sum::<i64>(), "tokens");
}

fn check_outcome(result: &AnalyzeManyResult, expected: &Expected) {
    assert_eq!((result.item_id.as_str(), reason_of(result).as_str()), (expected.id.as_str(), expected.reason));
    if let (Some(number), "") = (expected.number, expected.reason) {
        assert_eq!(description_of(result), format!("picture {number}"), "{expected:?}");
    }
}

#[test]
fn any_mix_is_answered_once_in_order_with_true_totals_and_watermarks() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(service());
    let settings = Config { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(settings, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let orders = prop_oneof![Just(ResultOrder::AsCompleted), Just(ResultOrder::AsRequested)];
    let windows = prop_oneof![Just(0), 1..24i32];
    runner
        .run(&(vec(message(), 0..24), windows, orders), |(messages, max_in_flight, order)| {
            let first = AnalyzeManyConfig { max_in_flight, result_order: order.into(), ..features(describe()) };
            let rest = messages.iter().enumerate().map(|(at, message)| request(message, at));
            let requests = std::iter::once(config(first)).chain(rest).collect();
            let collected = runtime.block_on(service.many(requests));
            check(&messages, order, &collected);
            Ok(())
        })
        .unwrap();
}
