use std::time::Duration;

use super::*;
use crate::{
    answer::Unreadable,
    domain::{Caller, ObjectRef, Size},
    imaging::ImageError,
    pipeline::{ModelError, Stage, StoreError},
    policy::{Denied, Limit, LimitReached, Refused},
};

fn decoded(status: &Status) -> pb::Status {
    pb::Status::decode(status.details()).unwrap()
}

fn error_info(status: &Status) -> pb::ErrorInfo {
    let infos: Vec<_> = decoded(status)
        .details
        .into_iter()
        .filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"))
        .collect();
    assert_eq!(infos.len(), 1, "exactly one ErrorInfo");
    pb::ErrorInfo::decode(infos[0].value.as_slice()).unwrap()
}

fn object() -> Box<ObjectRef> {
    Box::new(ObjectRef { bucket: "photos".into(), key: "한국/사진.png".into(), ..Default::default() })
}

fn store(error: StoreError) -> AnalyzeError {
    AnalyzeError::Store { object: object(), error }
}

fn model(error: ModelError) -> AnalyzeError {
    AnalyzeError::Model { model: "anthropic.claude-sonnet-5".into(), error, calls: 2, retry_after: None }
}

fn listing(error: StoreError) -> AnalyzeError {
    AnalyzeError::Listing { bucket: "photos".into(), prefix: "2026/".into(), error }
}

fn every_error() -> Vec<AnalyzeError> {
    let detail = || "the request held: SECRET".to_owned();
    vec![
        AnalyzeError::ModelUnknown { model: "gpt".into() },
        AnalyzeError::ContentTooLarge { actual: 21, limit: 20 },
        AnalyzeError::Image(ImageError::Unsupported { detected: "image/heic".into() }),
        AnalyzeError::Image(ImageError::Corrupt { reason: "it ends inside the picture".into() }),
        AnalyzeError::Image(ImageError::TooManyPixels {
            actual: Size::new(30_000, 20_000),
            limit: 100_000_000,
            fits: Size::new(12_247, 8_164),
        }),
        AnalyzeError::Image(ImageError::Oversize { actual: Size::new(1920, 1080), fits: Size::new(1456, 819) }),
        AnalyzeError::Image(ImageError::TooMuchMemory { actual: 1_600_000_000, limit: 1 << 30 }),
        AnalyzeError::Image(ImageError::Cancelled),
        store(StoreError::ObjectNotFound),
        store(StoreError::BucketNotFound),
        store(StoreError::AccessDenied { code: "AccessDenied".into() }),
        store(StoreError::Changed),
        store(StoreError::OwnerMismatch),
        store(StoreError::Archived),
        store(StoreError::WrongRegion),
        store(StoreError::TooLarge { actual: 21, limit: 20 }),
        store(StoreError::Rejected { code: "InvalidArgument".into() }),
        store(StoreError::Credentials { detail: detail() }),
        store(StoreError::Unavailable { detail: detail() }),
        model(ModelError::Throttled),
        model(ModelError::QuotaExceeded),
        model(ModelError::NotEnabled { detail: detail() }),
        model(ModelError::ProfileRequired),
        model(ModelError::EndOfLife),
        model(ModelError::Refused),
        model(ModelError::Filtered),
        model(ModelError::Rejected { detail: detail() }),
        model(ModelError::Malformed { detail: detail() }),
        model(ModelError::Credentials { detail: detail() }),
        model(ModelError::Unavailable { detail: detail(), retryable: false }),
        model(ModelError::ImageUnreadable),
        AnalyzeError::FeaturesUnsupported { features: vec!["text"] },
        AnalyzeError::Answer {
            model: "m".into(),
            error: Unreadable { reason: detail(), ..Default::default() },
            calls: 1,
        },
        AnalyzeError::DeadlineExceeded { stage: Stage::Fetch },
        AnalyzeError::DeadlineTooShort { remaining: Duration::from_millis(7), needed: Duration::from_millis(100) },
        AnalyzeError::Overloaded { limit: 256, unit: "requests", retry_after: Duration::from_millis(700) },
        AnalyzeError::ItemIdDuplicate,
        AnalyzeError::Aborted,
        listing(StoreError::AccessDenied { code: "AccessDenied".into() }),
        listing(StoreError::BucketNotFound),
        listing(StoreError::Rejected { code: "InvalidArgument".into() }),
        listing(StoreError::Unavailable { detail: detail() }),
        AnalyzeError::ListingUnordered { bucket: "photos".into(), prefix: "2026/".into() },
        AnalyzeError::ListingEmpty { bucket: "photos".into(), prefix: "2026/".into(), listed: 0 },
        AnalyzeError::ListingEmpty { bucket: "photos".into(), prefix: "2026/".into(), listed: 12 },
        AnalyzeError::Internal { detail: detail() },
    ]
}

/// What a policy refuses.
fn every_refusal() -> Vec<Failure> {
    let caller = Caller::named("spiffe://example.org/ns/shop/sa/web");
    let limited = |limit, seconds| {
        let reached = LimitReached { limit, retry_after: Duration::from_secs(seconds) };
        refused(&caller, &Refused::Limit(reached))
    };
    vec![
        denied(&caller, &Denied::NoRule),
        denied(&Caller::anonymous(), &Denied::NoRule),
        refused(&caller, &Refused::Denied(Denied::ObjectNotAllowed { bucket: "photos".into() })),
        denied(&caller, &Denied::InlineNotAllowed),
        denied(&caller, &Denied::ModelNotAllowed { model: "global.anthropic.claude-opus-5".into() }),
        limited(Limit::RequestsPerSecond(0.5), 2),
        limited(Limit::InFlight(8), 1),
        limited(Limit::TokensPerDay(5_000_000), 3600),
    ]
}

/// What callers see of every error: a change here is a change of the contract.
#[test]
fn the_whole_map() {
    let mut lines = Vec::new();
    for failure in every_error().iter().map(failure).chain(every_refusal()) {
        let status = failure.into_status(Some("r-1"));
        let kinds: Vec<_> = decoded(&status)
            .details
            .iter()
            .map(|detail| detail.type_url.trim_start_matches("type.googleapis.com/google.rpc.").to_owned())
            .collect();
        lines.push(format!("{:?} {} [{}]", status.code(), error_info(&status).reason, kinds.join(" ")));
        lines.push(format!("    {}", status.message()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn no_status_repeats_what_aws_or_a_model_said() {
    for error in every_error() {
        let status = failure(&error).into_status(Some("r-1"));
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(!status.message().contains("SECRET") && !details.contains("SECRET"), "{error:?}");
        assert_eq!(error_info(&status).domain, "sightline");
    }
}

#[test]
fn only_throttling_and_limits_push_back() {
    let pushback = |failure: Failure| {
        let status = failure.into_status(None);
        status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(pushback(failure(&model(ModelError::Throttled))).as_deref(), Some("2000"));
    assert_eq!(pushback(failure(&store(StoreError::Unavailable { detail: String::new() }))), None);
    let refusals: Vec<_> = every_refusal().into_iter().map(pushback).collect();
    let times = ["2000", "1000", "3600000"].map(|time| Some(time.to_owned()));
    assert_eq!(refusals, [vec![None; 5], times.to_vec()].concat());
}

#[test]
fn a_refusal_names_what_was_asked_for_and_by_whom() {
    let metadata: Vec<_> = every_refusal()
        .into_iter()
        .map(|failure| {
            let info = error_info(&failure.into_status(None));
            let mut entries: Vec<_> = info.metadata.into_iter().filter(|(key, _)| key != "caller").collect();
            entries.sort();
            entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let expected = [
        "what=service",
        "what=service",
        "bucket=photos what=object",
        "what=inline",
        "model=global.anthropic.claude-opus-5 what=model",
        "limit=requests_per_second",
        "limit=max_in_flight",
        "limit=tokens_per_day",
    ];
    assert_eq!(metadata, expected);
    let caller = Caller::named("c".repeat(2048));
    let denials =
        [Denied::ObjectNotAllowed { bucket: "b".repeat(2048) }, Denied::ModelNotAllowed { model: "m".repeat(2048) }];
    for denial in denials {
        fits(&denied(&caller, &denial).into_status(Some(&"i".repeat(128))));
    }
}

#[test]
fn every_status_fits_into_headers_however_long_the_request_was() {
    let object = ObjectRef { bucket: "b".repeat(255), key: "한".repeat(341), ..Default::default() };
    let id = "i".repeat(128);
    for error in [StoreError::ObjectNotFound, StoreError::Changed, StoreError::AccessDenied { code: "x".repeat(5000) }]
    {
        let status = failure(&AnalyzeError::Store { object: Box::new(object.clone()), error }).into_status(Some(&id));
        fits(&status);
    }
    let long = "m".repeat(2048);
    fits(&failure(&AnalyzeError::ModelUnknown { model: long.clone() }).into_status(Some(&id)));
    fits(
        &failure(&AnalyzeError::Model { model: long, error: ModelError::ProfileRequired, calls: 1, retry_after: None })
            .into_status(Some(&id)),
    );
    let violations: Vec<_> = (0..200)
        .map(|index| Violation {
            field: format!("features.labels.vocabulary[{index}]"),
            reason: "TOO_LONG",
            description: "d".repeat(80),
        })
        .collect();
    let status = invalid(&violations).into_status(Some(&id));
    fits(&status);
    assert!(status.message().starts_with("200 fields are invalid; the first "), "{}", status.message());
}

fn fits(status: &Status) {
    assert!(status.message().len() < 1024);
    assert_eq!(error_info(status).domain, "sightline");
    // In headers the message is percent-encoded and the details are base64.
    let message: usize = status.message().bytes().map(|byte| if (0x20..0x7f).contains(&byte) { 1 } else { 3 }).sum();
    let headers = message + status.details().len().div_ceil(3) * 4;
    assert!(headers < 4096, "{headers} bytes");
}

#[test]
fn a_single_violation_is_the_message() {
    let violation = Violation { field: "image".into(), reason: "REQUIRED", description: "names no picture".into() };
    let status = invalid(&[violation]).into_status(None);
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "image names no picture."));
    let request = &decoded(&status).details[1];
    let request = pb::BadRequest::decode(request.value.as_slice()).unwrap();
    assert_eq!(request.field_violations[0].reason, "REQUIRED");
}

#[test]
fn text_is_cut_between_characters() {
    assert_eq!(shortened("한국어", 8), "한…");
    assert_eq!(shortened("abc", 3), "abc");
}
