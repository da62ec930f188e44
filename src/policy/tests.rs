use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;

use super::{limits::Wall, *};
use crate::{
    catalog::{Catalog, Models},
    domain::Usage,
};

fn models() -> Models {
    Models::new(Catalog::built_in().unwrap(), None, None).unwrap()
}

fn model(name: &str) -> ModelProfile {
    models().find(name).unwrap().clone()
}

fn read(text: &str) -> Result<Policy, PolicyError> {
    let models = models();
    Policy::read(text, |name| models.find(name).cloned())
}

fn named(name: &str) -> Caller {
    Caller::named(name)
}

fn object<'a>(bucket: &'a str, key: &'a str) -> Wanted<'a> {
    Wanted { picture: Picture::Object { bucket, key }, model: None }
}

fn listing<'a>(bucket: &'a str, prefix: &'a str) -> Wanted<'a> {
    Wanted { picture: Picture::Listing { bucket, prefix }, model: None }
}

const INLINE: Wanted<'static> = Wanted { picture: Picture::Inline, model: None };

const SHOP: &str = r#"
[[rule]]
callers = ["spiffe://example.org/ns/shop/sa/*", "team-a"]
objects = ["s3://photos/public/", "s3://uploads"]
models = ["default", "claude-haiku-4-5"]
requests_per_second = 20
burst = 40
max_in_flight = 8
tokens_per_day = 5_000_000

[[rule]]
callers = ["team-b"]
inline = true
requests_per_second = 0.5

[[rule]]
callers = ["blocked"]

[[rule]]
callers = ["team-*"]
objects = ["s3://*"]
inline = true
"#;

#[test]
fn the_first_rule_that_names_the_caller_decides() {
    let policy = read(SHOP).unwrap();
    let denied = |bucket: &str| Err(Denied::ObjectNotAllowed { bucket: bucket.to_owned() });
    for (caller, wanted, decision) in [
        ("team-a", object("photos", "public/a.png"), Ok(())),
        ("team-a", object("uploads", "a.png"), Ok(())),
        ("team-a", object("photos", "private/a.png"), denied("photos")),
        ("team-a", object("other", "public/a.png"), denied("other")),
        ("team-a", INLINE, Err(Denied::InlineNotAllowed)),
        ("spiffe://example.org/ns/shop/sa/web", object("photos", "public/a.png"), Ok(())),
        ("spiffe://example.org/ns/other/sa/web", object("photos", "public/a.png"), Err(Denied::NoRule)),
        ("team-b", INLINE, Ok(())),
        ("team-b", object("photos", "public/a.png"), denied("photos")),
        ("blocked", object("photos", "public/a.png"), denied("photos")),
        ("blocked", INLINE, Err(Denied::InlineNotAllowed)),
        ("team-c", object("any", "key"), Ok(())),
        ("team-c", listing("any", ""), Ok(())),
        ("anonymous", INLINE, Err(Denied::NoRule)),
    ] {
        assert_eq!(policy.decide(&named(caller), &wanted), decision, "{caller} {wanted:?}");
    }
    assert_eq!(policy.warnings(), &[] as &[String]);
    assert_eq!(policy.rule_count(), 4);
}

#[test]
fn a_listing_lies_within_an_allowed_prefix_or_is_denied() {
    let policy = read(SHOP).unwrap();
    for (bucket, prefix, allowed) in [
        ("photos", "public/", true),
        ("photos", "public/2026/", true),
        ("photos", "public", false),
        ("photos", "pub", false),
        ("photos", "", false),
        ("uploads", "", true),
        ("uploads", "x", true),
        ("other", "public/", false),
    ] {
        assert_eq!(policy.decide(&named("team-a"), &listing(bucket, prefix)).is_ok(), allowed, "{bucket} {prefix}");
    }
}

#[test]
fn a_model_is_allowed_by_any_of_its_names() {
    let policy = read(SHOP).unwrap();
    let haiku = model("claude-haiku-4-5");
    for (name, allowed) in [("claude-sonnet-5", true), (&*haiku.id, true), ("precise", false), ("nova-pro", false)] {
        let model = model(name);
        assert_eq!(policy.may_use(&named("team-a"), &model), allowed, "{name}");
        let decision = if allowed { Ok(()) } else { Err(Denied::ModelNotAllowed { model: model.id.clone() }) };
        let wanted = Wanted { model: Some(&model), ..object("photos", "public/a.png") };
        assert_eq!(policy.decide(&named("team-a"), &wanted), decision, "{name}");
        assert!(policy.may_use(&named("team-b"), &model), "without a list, every model");
        assert!(!policy.may_use(&named("nobody"), &model));
    }
}

#[test]
fn limits_are_read_with_their_defaults() {
    let policy = read(SHOP).unwrap();
    let limits = policy.limits_of(&named("team-a")).unwrap();
    let burst = |count| std::num::NonZeroU32::new(count).unwrap();
    assert_eq!(limits.rate, Some(Rate { per_second: 20.0, burst: burst(40) }));
    assert_eq!((limits.max_in_flight, limits.tokens_per_day), (Some(8), Some(5_000_000)));
    let slow = policy.limits_of(&named("team-b")).unwrap();
    assert_eq!(slow.rate, Some(Rate { per_second: 0.5, burst: burst(1) }));
    assert_eq!(policy.limits_of(&named("team-c")), Ok(Limits::default()));
    assert_eq!(policy.limits_of(&named("nobody")), Err(Denied::NoRule));
}

#[test]
fn all_mistakes_are_said_at_once_with_their_lines() {
    let text = r#"
colour = "red"
[[rule]]
callers = []
objects = ["photos/", "s3://photos/*", 3]
inline = "yes"
[[rule]]
caller = ["team-a"]
models = ["gpt", "default"]
burst = 3
[[rule]]
callers = ["a*b"]
requests_per_second = 0
max_in_flight = -1
tokens_per_day = 1.5
"#;
    insta::assert_snapshot!(read(text).unwrap_err(), @r#"
    line 2: there is no `colour`; rules begin with [[rule]]
    line 4: `callers` is empty: name at least one, or leave it out
    line 5: `objects`: `photos/` is no place in S3: write `s3://BUCKET/PREFIX/`, `s3://BUCKET` or `s3://*`
    line 5: `objects`: `s3://photos/*` ends in `*`: prefixes are taken literally, so leave it out
    line 5: `objects` holds something that is no text in quotes
    line 6: `inline` must be true or false
    line 7: the rule has no `callers`: write for example callers = ["*"]
    line 8: a rule has no `caller`; it may have callers, objects, inline, models, requests_per_second, burst, max_in_flight, tokens_per_day
    line 9: `models`: `gpt` is no model of this server: `sightline models` lists what it offers
    line 10: `burst` means nothing without `requests_per_second`
    line 12: `callers`: `a*b` may have one `*`, at its end, and no spaces
    line 13: `requests_per_second` must lie between 0.001 and 1000000
    line 14: `max_in_flight` must be a whole number between 1 and 1000000
    line 15: `tokens_per_day` must be a whole number above 0
    "#);
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let error = read("[[rule]]\ncallers = [\"a\"\n\ninline = tru\n").unwrap_err();
    assert!(error.mistakes.iter().all(|mistake| mistake.line.is_some_and(|line| line >= 2)), "{error}");
    let twice = read("[[rule]]\ncallers = [\"a\"]\ncallers = [\"b\"]\n").unwrap_err();
    assert_eq!(twice.mistakes[0].line, Some(3), "{twice}");
    for text in ["rule = 3", "[rule]\ncallers = [\"*\"]", "rule = [3]"] {
        assert!(read(text).unwrap_err().to_string().contains("[[rule]]"), "{text}");
    }
}

#[test]
fn an_empty_file_says_what_to_write() {
    for text in ["", "\n# nothing yet\n", "rule = []"] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("[[rule]]") && error.contains("callers = [\"*\"]"), "{error}");
        // And what it says to write is right.
        let example: Vec<_> = error.lines().filter(|line| line.starts_with("  ")).collect();
        read(&example.join("\n")).unwrap();
    }
    let error = read(&" ".repeat(MAX_BYTES + 1)).unwrap_err().to_string();
    assert!(error.contains("1024 KiB"), "{error}");
}

#[test]
fn mistakes_are_lines_that_a_terminal_shows_as_they_are() {
    let error = read("[[rule]]\ncallers = [\"a\\u001b[31m \\u202e\"]\n\"k\\u0007\" = 1\n").unwrap_err().to_string();
    assert!(!error.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{error:?}");
    let many = format!("[[rule]]\ncallers = [{}]", "\"a b\",\n".repeat(200));
    let error = read(&many).unwrap_err().to_string();
    assert!(error.ends_with("and 150 more"), "{error}");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let warned = |text: &str| read(text).unwrap().warnings().join("\n");
    let text = "[[rule]]\ncallers = [\"a\"]\nobjects = [\"s3://photos/public\"]";
    assert!(warned(text).contains("s3://photos/public does not end in `/`"), "{}", warned(text));
    let text = "[[rule]]\ncallers = [\"*\"]\ninline = true\n[[rule]]\ncallers = [\"b\", \"team-*\"]\ninline = true";
    assert!(warned(text).contains("line 4") && warned(text).contains("line 1"), "{}", warned(text));
    assert_eq!(warned("[[rule]]\ncallers = [\"team-a\"]\n[[rule]]\ncallers = [\"team-*\"]"), "");
}

/// A guard by a clock in seconds.
fn guard(text: &str) -> (Arc<AtomicU64>, Guard) {
    let seconds = Arc::new(AtomicU64::new(1_000_000));
    let clock = Arc::clone(&seconds);
    let now = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
    (seconds, Guard::by(Some(read(text).unwrap()), Wall(Arc::new(now))))
}

fn limit(refused: Refused) -> &'static str {
    match refused {
        Refused::Limit(reached) => reached.limit.name(),
        Refused::Denied(denied) => panic!("denied: {denied}"),
    }
}

const OPEN: &str = "[[rule]]\ncallers = [\"*\"]\ninline = true\n";

#[tokio::test]
async fn without_a_policy_everyone_may_do_everything() {
    let guard = Guard::new(None);
    guard.knows(&Caller::anonymous()).unwrap();
    for _ in 0..1000 {
        let pass = guard.try_enter(&Caller::anonymous(), &object("any", "key")).unwrap();
        pass.charge(&Usage { output_tokens: u64::MAX, ..Usage::default() });
    }
    assert!(guard.may_use(&Caller::anonymous(), &model("precise")));
    guard.replace(read(SHOP).unwrap());
    assert_eq!(guard.knows(&Caller::anonymous()), Err(Denied::NoRule));
}

#[tokio::test(start_paused = true)]
async fn a_single_call_over_its_rate_is_refused_and_other_callers_are_not() {
    let (_, guard) = guard(&format!("{OPEN}requests_per_second = 1\nburst = 2"));
    let (one, other) = (named("one"), named("other"));
    for _ in 0..2 {
        guard.try_enter(&one, &INLINE).unwrap();
    }
    assert_eq!(limit(guard.try_enter(&one, &INLINE).unwrap_err()), "requests_per_second");
    guard.try_enter(&other, &INLINE).unwrap();
    guard.replace(read(&format!("{OPEN}requests_per_second = 1\nburst = 2\nmax_in_flight = 9")).unwrap());
    guard.try_enter(&one, &INLINE).expect_err("the rate is the same, and so is what was used of it");
    tokio::time::advance(Duration::from_secs(1)).await;
    guard.try_enter(&one, &INLINE).unwrap();
}

#[tokio::test]
async fn calls_in_flight_are_counted_while_they_are_in_work() {
    let (_, guard) = guard(&format!("{OPEN}max_in_flight = 2"));
    let (caller, other) = (named("one"), named("other"));
    let first = guard.try_enter(&caller, &INLINE).unwrap();
    let second = guard.enter(&caller, &INLINE).await.unwrap();
    assert_eq!(limit(guard.try_enter(&caller, &INLINE).unwrap_err()), "max_in_flight");
    guard.try_enter(&other, &INLINE).unwrap();
    drop(first);
    let third = guard.try_enter(&caller, &INLINE).unwrap();
    // An item of a stream waits for its turn.
    let waiting = guard.clone();
    let fourth = tokio::spawn(async move { waiting.enter(&named("one"), &INLINE).await });
    tokio::task::yield_now().await;
    assert!(!fourth.is_finished());
    drop((second, third));
    fourth.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_slowed_down_and_a_refused_call_uses_up_no_rate() {
    let (_, guard) = guard(&format!("{OPEN}requests_per_second = 2\nburst = 1\nmax_in_flight = 1"));
    let (caller, began) = (named("one"), tokio::time::Instant::now());
    for _ in 0..5 {
        guard.enter(&caller, &INLINE).await.unwrap();
    }
    assert_eq!(began.elapsed().as_millis() / 10, 200, "four intervals after the first");
    let held = guard.enter(&caller, &INLINE).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..10 {
        assert_eq!(limit(guard.try_enter(&caller, &INLINE).unwrap_err()), "max_in_flight");
    }
    drop(held);
    guard.try_enter(&caller, &INLINE).unwrap();
}

#[tokio::test]
async fn tokens_of_a_day_are_checked_before_and_charged_after() {
    let (clock, guard) = guard(&format!("{OPEN}tokens_per_day = 100"));
    let caller = named("one");
    let (first, second) = (guard.try_enter(&caller, &INLINE).unwrap(), guard.try_enter(&caller, &INLINE).unwrap());
    first.charge(&Usage { input_tokens: 90, output_tokens: 20, ..Usage::default() });
    assert_eq!(limit(guard.try_enter(&caller, &INLINE).unwrap_err()), "tokens_per_day");
    assert_eq!(limit(guard.enter(&caller, &INLINE).await.unwrap_err()), "tokens_per_day");
    second.charge(&Usage { input_tokens: 1, ..Usage::default() });
    guard.try_enter(&named("other"), &INLINE).unwrap();
    guard.replace(read(&format!("{OPEN}tokens_per_day = 111")).unwrap());
    assert_eq!(limit(guard.try_enter(&caller, &INLINE).unwrap_err()), "tokens_per_day");
    guard.replace(read(&format!("{OPEN}tokens_per_day = 112")).unwrap());
    guard.try_enter(&caller, &INLINE).unwrap();
    clock.fetch_add(24 * 3600, Ordering::Relaxed);
    guard.replace(read(&format!("{OPEN}tokens_per_day = 1")).unwrap());
    guard.try_enter(&caller, &INLINE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waited_is_held_against_the_policy_of_its_turn() {
    let (_, guard) = guard(&format!("{OPEN}requests_per_second = 1\nburst = 1"));
    guard.enter(&named("one"), &INLINE).await.unwrap();
    let waiting = guard.clone();
    let item = tokio::spawn(async move { waiting.enter(&named("one"), &INLINE).await });
    tokio::task::yield_now().await;
    guard.replace(read("[[rule]]\ncallers = [\"*\"]\nobjects = [\"s3://*\"]").unwrap());
    assert_eq!(item.await.unwrap().unwrap_err(), Refused::Denied(Denied::InlineNotAllowed));
}

proptest! {
    /// The decision is that of the first rule that holds the caller, as a plain reading of the file has it.
    #[test]
    fn decisions_are_those_of_a_plain_reading(
        rules in prop::collection::vec((("[ab]{1,2}", any::<bool>()), "[xy/]{0,3}", any::<bool>()), 1..5),
        caller in "[ab]{1,3}", key in "[xy/]{1,4}", is_inline in any::<bool>(),
    ) {
        let text: String = rules.iter().map(|((name, all), prefix, inline)| {
            let star = if *all { "*" } else { "" };
            format!("[[rule]]\ncallers = [\"{name}{star}\"]\nobjects = [\"s3://photos/{prefix}\"]\ninline = {inline}\n")
        }).collect();
        let first = rules.iter().find(|((name, all), ..)| if *all { caller.starts_with(name.as_str()) } else { caller == *name });
        let expected = first.is_some_and(|(_, prefix, inline)| {
            if is_inline { *inline } else { key.starts_with(prefix.as_str()) }
        });
        let wanted = if is_inline { INLINE } else { object("photos", &key) };
        prop_assert_eq!(read(&text).unwrap().decide(&named(&caller), &wanted).is_ok(), expected);
    }

    #[test]
    fn no_file_is_too_strange(text in "\\PC{0,200}", field in "[a-z_]{1,12}", value in "\\PC{0,30}") {
        let _ = read(&text);
        if let Err(error) = read(&format!("[[rule]]\ncallers = [\"*\"]\n{field} = {value}\n")) {
            prop_assert!(!error.mistakes.is_empty());
        }
    }
}
