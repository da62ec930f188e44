//! The arithmetic of docs/SCALE.md: what the service itself says that a picture takes, the catalogue's prices and AWS's
//! published ones give every number of the page's tables. A price, prompt or budget that changes is a failure that shows
//! the new table.

use std::{fmt::Write as _, fs, path::Path};

use sightline::{
    catalog::Catalog,
    domain::{Prices, Size},
    imaging::{model_size, visual_tokens},
    proto::{AnalysisOptions, AnalyzeImageRequest, Features},
};

use crate::support::{
    images::{Format, Scene},
    models::{to, usage_of, with},
    service::{Service, content},
};

/// The models of the tables: the aliases `fast`, `default` and `precise`.
const ALIASES: [&str; 3] = ["fast", "default", "precise"];
/// A picture of the web, the original guide's sample, and one of a phone.
const PICTURES: [(u32, u32); 3] = [(800, 600), SAMPLE, (4032, 3024)];
/// What the totals are about.
const SAMPLE: (u32, u32) = (1280, 681);
const MILLION: u64 = 1_000_000;
const BILLION: u64 = 1_000_000_000;

// Assumed, and said to be so on the page.

/// Output tokens of an answer to the three features.
const ANSWER: u64 = 500;
/// What Bedrock takes off the quota for one output token when a call has ended.
const BURNDOWN: u64 = 5;
/// Most output tokens with which a call reserves what it is settled at.
const BEST_BUDGET: i32 = (BURNDOWN * ANSWER) as i32;
/// Seconds from asking the model to its answer.
const CALL: f64 = 8.0;
/// Memory of the Lambda function, as deploy/lambda/template.yaml has it.
const GIBIBYTES: f64 = 1769.0 / 1024.0;
/// Pictures that one invocation works on at once: `SIGHTLINE_BATCH_CONCURRENCY`, and the batch size of the queue.
const AT_ONCE: f64 = 8.0;
/// A round quota of tokens a minute.
const QUOTA: f64 = 1e6;

// AWS's list prices, us-east-1, 2026-11, in US dollars.

const S3_READ: f64 = 0.4 / 1e6;
const S3_WRITE: f64 = 5.0 / 1e6;
const LAMBDA_REQUEST: f64 = 0.2 / 1e6;
const LAMBDA_GIBIBYTE_SECOND: f64 = 0.000_013_333_4;
const SQS_REQUEST: f64 = 0.4 / 1e6;
const EVENTBRIDGE_EVENT: f64 = 1.0 / 1e6;
const BATCH_OBJECT: f64 = 1.0 / 1e6;
const BATCH_JOB: f64 = 0.25;

/// What one picture takes of one model, asked for a description, sensitive information and labels.
struct Call {
    model: String,
    prices: Prices,
    /// Input tokens, those of the picture among them.
    input: u64,
    picture: u64,
    seen: Size,
    /// Most output tokens.
    budget: u64,
}

impl Call {
    fn dollars(&self, output: u64) -> f64 {
        (self.input as f64 * self.prices.input + output as f64 * self.prices.output) / 1e6
    }

    /// What the quota is short of while the call runs.
    fn reserved(&self) -> u64 {
        self.input + self.budget
    }

    /// What it is short of when the call has ended.
    fn settled(&self) -> u64 {
        self.input + BURNDOWN * ANSWER
    }
}

/// A running service, and the pictures that it is asked about.
struct Asked {
    service: Service,
    files: Vec<((u32, u32), Vec<u8>)>,
}

impl Asked {
    async fn start() -> Self {
        let file = |(width, height)| ((width, height), Scene::new(width, height).encode(Format::Jpeg));
        Self { service: Service::start().await, files: PICTURES.map(file).into() }
    }

    fn file(&self, size: (u32, u32)) -> &[u8] {
        &self.files.iter().find(|(of, _)| *of == size).expect("a picture").1
    }
}

/// Asks the service, which answers without a call of the model.
async fn call(asked: &Asked, alias: &str, (width, height): (u32, u32), max_output_tokens: i32) -> Call {
    let features = Features {
        description: Some(Default::default()),
        sensitivity: Some(Default::default()),
        labels: Some(Default::default()),
        ..Features::default()
    };
    let options = AnalysisOptions { max_output_tokens, ..AnalysisOptions::default() };
    let request = to(alias, with(content(asked.file((width, height)), features), options));
    let facts = asked.service.analyze(AnalyzeImageRequest { validate_only: true, ..request }).await.expect("facts");
    let usage = usage_of(&facts);
    let profile = Catalog::built_in().expect("a catalogue").resolve(alias);
    let seen = model_size(Size::new(width, height), profile.tier);
    let call = Call {
        prices: profile.prices.expect("prices"),
        model: profile.name,
        input: usage.input_token_count.try_into().expect("a count"),
        picture: usage.image_token_count.try_into().expect("a count"),
        seen,
        budget: usage.output_token_count.try_into().expect("a count"),
    };
    assert_eq!(call.picture, visual_tokens(seen), "the service and the published rule agree");
    let cost = usage.estimated_cost_usd.expect("a cost");
    assert!((cost - call.dollars(call.budget)).abs() < 1e-9, "{cost} is not tokens times prices");
    call
}

/// With commas between thousands.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(number: u64) -> String {
    if number == MILLION { "a million".to_owned() } else { "a billion".to_owned() }
}

/// A time in the unit in which it is easy to read.
fn time(minutes: f64) -> String {
    match minutes {
        _ if minutes < 120.0 => format!("{minutes:.0} min"),
        _ if minutes < 48.0 * 60.0 => format!("{:.0} h", minutes / 60.0),
        _ if minutes < 2.0 * 365.0 * 1440.0 => format!("{:.1} days", minutes / 1440.0),
        _ => format!("{:.1} years", minutes / 1440.0 / 365.0),
    }
    .replace(".0 ", " ")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

async fn of_one_picture(asked: &Asked) -> String {
    let mut rows = Vec::new();
    for alias in ALIASES {
        // The models of the aliases see alike; decoding the large picture for each takes seconds without optimisation.
        let pictures = if alias == "default" { &PICTURES[..] } else { &[SAMPLE] };
        for &(width, height) in pictures {
            let call = call(asked, alias, (width, height), 0).await;
            rows.push(vec![
                format!("{} (`{alias}`)", call.model),
                format!("{width} x {height}"),
                format!("{} x {}", call.seen.width, call.seen.height),
                whole(call.picture as f64),
                whole(call.input as f64),
                format!("{:.5}", call.dollars(ANSWER)),
                format!("{:.5}", call.dollars(call.budget)),
                whole(call.reserved() as f64),
                whole(call.settled() as f64),
            ]);
        }
    }
    let head = [
        "model",
        "picture",
        "as the model sees it",
        "tokens of it",
        "input tokens",
        "USD",
        "USD at most",
        "reserved",
        "settled",
    ];
    table(&head, &rows)
}

async fn of_many(asked: &Asked) -> String {
    let mut calls = Vec::new();
    for alias in ALIASES {
        for budget in [0, BEST_BUDGET] {
            calls.push(call(asked, alias, SAMPLE, budget).await);
        }
    }
    let row = |call: &Call, pictures: u64, deadline: f64| {
        let number = pictures as f64;
        let (least, most) = (call.settled() as f64, call.reserved().max(call.settled()) as f64);
        let (quick, slow) = (time(number * least / QUOTA), time(number * most / QUOTA));
        vec![
            count(pictures),
            call.model.clone(),
            whole(call.budget as f64),
            whole(number * call.input as f64 / 1e6),
            whole(number * ANSWER as f64 / 1e6),
            whole(number * call.dollars(ANSWER)),
            if quick == slow { quick } else { format!("{quick} to {slow}") },
            format!("{:.1} million in {}", number * most / deadline / 1e6, time(deadline)),
        ]
    };
    let totals = [(MILLION, 1440.0), (BILLION, 30.0 * 1440.0)];
    let rows: Vec<_> =
        totals.iter().flat_map(|(number, deadline)| calls.iter().map(|call| row(call, *number, *deadline))).collect();
    let head = [
        "pictures",
        "model",
        "most output tokens",
        "million input tokens",
        "million output tokens",
        "USD",
        "at 1,000,000 tokens a minute",
        "quota that is always enough",
    ];
    table(&head, &rows)
}

/// What each way costs beside the model, for a picture; and for a job.
fn ways() -> [(&'static str, f64, f64); 4] {
    // The picture is read. Of a result: its claim and itself are written, its HEAD is asked; DELETE is free.
    let (read, result) = (S3_READ, 2.0 * S3_WRITE + S3_READ);
    let seconds = CALL * GIBIBYTES * LAMBDA_GIBIBYTE_SECOND;
    // S3 sends one message; a batch is received and deleted at once.
    let queue = SQS_REQUEST * (1.0 + 2.0 / AT_ONCE) + (LAMBDA_REQUEST + seconds) / AT_ONCE + read + result;
    // Each object is an invocation, and its ETag is asked for.
    let batch = BATCH_OBJECT + LAMBDA_REQUEST + seconds + read + result + S3_READ;
    [
        ("unary or streams: S3 alone, the pods apart", read, 0.0),
        ("S3 events through SQS", queue, 0.0),
        ("the same by EventBridge", queue + EVENTBRIDGE_EVENT, 0.0),
        ("S3 Batch Operations", batch, BATCH_JOB),
    ]
}

fn beside_the_model() -> String {
    let row = |(way, picture, job): (&str, f64, f64)| {
        let of = |pictures: u64| whole(pictures as f64 * picture + job);
        vec![way.to_owned(), format!("{:.2}", 1e6 * picture + job), of(BILLION)]
    };
    table(&["way", "USD a million", "USD a billion"], &ways().map(row))
}

fn in_progress() -> String {
    let row = |(pictures, days): (u64, f64)| {
        let rate = pictures as f64 / (days * 86_400.0);
        vec![
            format!("{} in {}", count(pictures), time(days * 1440.0)),
            format!("{rate:.1}"),
            whole((rate * CALL).ceil()),
            whole((rate * CALL / AT_ONCE).ceil()),
            whole((rate * CALL / 256.0).ceil()),
        ]
    };
    let head = [
        "load",
        "pictures a second",
        "in progress: executions of S3 Batch Operations",
        "executions with eight each",
        "servers of 256 places",
    ];
    table(&head, &[(MILLION, 1.0), (BILLION, 30.0), (BILLION, 365.0)].map(row))
}

/// How many pictures a quota feeds when all that is reserved counts.
async fn fed(asked: &Asked) -> String {
    let mut rows = Vec::new();
    for quota in [1e6, 1e7, 1e8] {
        let call = call(asked, "default", SAMPLE, BEST_BUDGET).await;
        let rate = quota / call.reserved().max(call.settled()) as f64;
        rows.push([quota, rate.floor(), (rate * CALL / 60.0).floor()].map(whole).into());
    }
    table(&["tokens a minute", "pictures a minute", "in progress at once, no more"], &rows)
}

fn prices() -> String {
    let rows = [
        ("S3: GET, HEAD", S3_READ * 1e6, "a million requests", "Amazon S3 pricing"),
        ("S3: PUT, LIST; DELETE is free", S3_WRITE * 1e6, "a million requests", "Amazon S3 pricing"),
        ("S3 Batch Operations: objects", BATCH_OBJECT * 1e6, "a million objects", "Amazon S3 pricing"),
        ("S3 Batch Operations: jobs", BATCH_JOB, "a job", "Amazon S3 pricing"),
        ("Lambda: requests", LAMBDA_REQUEST * 1e6, "a million", "AWS Lambda pricing"),
        ("Lambda: arm64", LAMBDA_GIBIBYTE_SECOND * 1e6, "a million GB-seconds", "AWS Lambda pricing"),
        ("SQS: standard queue, 64 KB each", SQS_REQUEST * 1e6, "a million requests", "Amazon SQS pricing"),
        ("EventBridge: at most", EVENTBRIDGE_EVENT * 1e6, "a million events", "Amazon EventBridge pricing"),
    ];
    let rows: Vec<_> =
        rows.map(|(what, price, unit, page)| vec![what.into(), format!("{price:.2}"), unit.into(), page.into()]).into();
    table(&["what", "USD", "for", "page"], &rows)
}

#[tokio::test]
async fn the_tables_of_the_page_are_what_the_service_and_the_prices_give() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCALE.md")).unwrap();
    let asked = Asked::start().await;
    let tables = [
        ("of one picture", of_one_picture(&asked).await),
        ("of many pictures", of_many(&asked).await),
        ("of what a quota feeds", fed(&asked).await),
        ("of pictures in progress", in_progress()),
        ("of costs beside the model", beside_the_model()),
        ("of AWS's prices", prices()),
    ];
    let missing: Vec<_> = tables.into_iter().filter(|(_, table)| !page.contains(table)).collect();
    let shown: Vec<_> = missing.iter().map(|(what, table)| format!("the table {what}:\n{table}")).collect();
    assert!(
        shown.is_empty(),
        "put this into docs/SCALE.md, and see what the page says about it:\n{}",
        shown.join("\n")
    );
    assert!(asked.service.bedrock.requests().is_empty(), "nothing was paid for");
}

/// What is assumed stands on the page, so that nobody takes it for measured.
#[test]
fn the_page_says_what_is_assumed() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCALE.md")).unwrap();
    for assumed in [
        format!("**{ANSWER} output tokens**"),
        format!("**{CALL:.0} seconds**"),
        format!("**{BURNDOWN} tokens**"),
        format!("**{:.0} MiB**", GIBIBYTES * 1024.0),
        format!("**{AT_ONCE:.0} pictures**"),
    ] {
        assert!(page.contains(&assumed), "docs/SCALE.md does not say that {assumed} are assumed");
    }
}

#[test]
fn numbers_read_well() {
    assert_eq!([whole(12.4), whole(999.6), whole(1_234_567.0)], ["12", "1,000", "1,234,567"]);
    assert_eq!([time(90.0), time(1440.0), time(4320.0), time(1e7)], ["90 min", "24 h", "3 days", "19 years"]);
}
