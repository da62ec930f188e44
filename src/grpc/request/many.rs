//! The messages of a stream to requests of the pipeline.

use std::time::Duration;

use super::{Asked, asked, check_bucket, check_key_length, features, options, unknown_value};
use crate::{
    domain::Caller,
    grpc::{
        status::{self, Failure},
        violations::{Violation, Violations},
    },
    imaging::MediaType,
    pipeline::many::{Listing, ListingTask, OnFailure, Order, Request, Settings, Task},
    proto::{self, analyze_many_request::Payload},
};

/// Items in flight when the caller names no number.
const DEFAULT_IN_FLIGHT: usize = 16;
const MAX_ITEM_ID_CHARS: usize = 1024;
const MAX_SUFFIXES: usize = 50;
const MAX_SUFFIX_CHARS: usize = 64;

/// What the server allows a stream.
#[derive(Debug, Clone, Copy)]
pub(in crate::grpc) struct StreamLimits {
    /// Most items in flight.
    pub(in crate::grpc) max_in_flight: usize,
    /// Longest time for one item.
    pub(in crate::grpc) item_timeout: Duration,
}

/// What items have that bring none of their own.
#[derive(Debug, Clone, Default)]
pub(in crate::grpc) struct Defaults {
    features: Option<proto::Features>,
    options: Option<proto::AnalysisOptions>,
}

/// The settings of a stream that `config` asks for, within `limits`.
pub(in crate::grpc) fn settings(
    stream_id: String,
    caller: Caller,
    config: proto::AnalyzeManyConfig,
    limits: StreamLimits,
) -> Result<(Settings, Defaults), Failure> {
    let mut violations = Violations::default();
    if config.features.is_some() {
        features(config.features.clone(), &mut violations);
    }
    options(config.options.clone().unwrap_or_default(), &mut violations);
    let settings = Settings {
        stream_id,
        caller,
        max_in_flight: in_flight(config.max_in_flight, limits.max_in_flight, &mut violations),
        order: order(config.result_order, &mut violations),
        on_failure: on_failure(config.failure_mode, &mut violations),
        item_timeout: item_timeout(config.item_timeout, limits.item_timeout, &mut violations),
    };
    let defaults = Defaults { features: config.features, options: config.options };
    let checked = violations.below("config").finish(Some((settings, defaults)));
    checked.map_err(|violations| status::invalid(&violations))
}

fn in_flight(asked: i32, limit: usize, violations: &mut Violations) -> usize {
    match usize::try_from(asked) {
        Ok(0) => DEFAULT_IN_FLIGHT.min(limit),
        Ok(asked) => asked.min(limit),
        Err(_) => {
            violations.add("max_in_flight", "OUT_OF_RANGE", "must be at least 1, or 0 for the server's default");
            limit
        }
    }
}

fn order(wire: i32, violations: &mut Violations) -> Order {
    match proto::ResultOrder::try_from(wire) {
        Ok(proto::ResultOrder::AsRequested) => Order::AsRequested,
        Ok(_) => Order::AsCompleted,
        Err(_) => {
            violations.add("result_order", "UNKNOWN_VALUE", unknown_value(wire));
            Order::AsCompleted
        }
    }
}

fn on_failure(wire: i32, violations: &mut Violations) -> OnFailure {
    match proto::FailureMode::try_from(wire) {
        Ok(proto::FailureMode::Stop) => OnFailure::Stop,
        Ok(_) => OnFailure::Continue,
        Err(_) => {
            violations.add("failure_mode", "UNKNOWN_VALUE", unknown_value(wire));
            OnFailure::Continue
        }
    }
}

fn item_timeout(asked: Option<prost_types::Duration>, longest: Duration, violations: &mut Violations) -> Duration {
    let Some(asked) = asked else { return longest };
    // The type's own conversion overflows on the least numbers.
    match (u64::try_from(asked.seconds), u32::try_from(asked.nanos)) {
        (Ok(seconds), Ok(nanos)) if seconds > 0 || nanos > 0 => Duration::new(seconds, nanos).min(longest),
        _ => {
            violations.add("item_timeout", "OUT_OF_RANGE", "must be longer than 0");
            longest
        }
    }
}

/// A message of the stream behind its settings.
pub(in crate::grpc) fn request(message: proto::AnalyzeManyRequest, defaults: &Defaults) -> Request<Failure> {
    match message.payload {
        Some(Payload::Item(wire)) => item(wire, defaults),
        Some(Payload::Listing(wire)) => listing(wire, defaults),
        Some(Payload::Config(_)) => refused("config", "INVALID_POSITION", "is only valid as the first message"),
        None => refused("payload", "REQUIRED", EMPTY),
    }
}

const EMPTY: &str = "is not set; send an item or a listing";

/// The refusal of a first message that holds nothing.
pub(in crate::grpc) fn empty() -> Failure {
    invalid("payload", "REQUIRED", EMPTY)
}

fn invalid(field: &str, reason: &'static str, description: &str) -> Failure {
    status::invalid(&[Violation { field: field.to_owned(), reason, description: description.to_owned() }])
}

fn refused(field: &str, reason: &'static str, description: &str) -> Request<Failure> {
    Request::Item { id: None, shown_id: String::new(), task: Err(invalid(field, reason, description)) }
}

fn item(wire: proto::AnalyzeManyItem, defaults: &Defaults) -> Request<Failure> {
    let mut violations = Violations::default();
    if wire.item_id.is_empty() {
        violations.required("item_id", "is empty; give every item an id that is unique in the stream");
    }
    violations.check_length("item_id", &wire.item_id, MAX_ITEM_ID_CHARS);
    let shown_id: String = wire.item_id.chars().take(MAX_ITEM_ID_CHARS).collect();
    let fits = !wire.item_id.is_empty() && shown_id.len() == wire.item_id.len();
    let message = proto::AnalyzeImageRequest {
        image: wire.image,
        features: wire.features.or_else(|| defaults.features.clone()),
        options: wire.options.or_else(|| defaults.options.clone()),
        ..proto::AnalyzeImageRequest::default()
    };
    let task = asked(violations, message)
        .map_err(|violations| status::invalid(&violations))
        .map(|Asked { source, features, options, .. }| Task { source, features, options });
    Request::Item { id: fits.then_some(wire.item_id), shown_id, task }
}

fn listing(wire: proto::S3Listing, defaults: &Defaults) -> Request<Failure> {
    let shown_id = format!("s3://{}/{}", wire.bucket, wire.prefix).chars().take(MAX_ITEM_ID_CHARS).collect();
    let mut violations = Violations::default();
    let listing = s3_listing(wire, &mut violations);
    let mut violations = violations.below("listing");
    let asked = defaults.features.clone().and_then(|wire| features(Some(wire), &mut violations));
    if asked.is_none() {
        let description = "are not set; a listing needs those of the stream's first message";
        violations.required("config.features", description);
    }
    let options = options(defaults.options.clone().unwrap_or_default(), &mut violations);
    let task = asked.map(|features| ListingTask { listing, features, options });
    let task = violations.finish(task).map_err(|violations| status::invalid(&violations));
    Request::Listing { shown_id, task }
}

fn s3_listing(wire: proto::S3Listing, violations: &mut Violations) -> Listing {
    check_bucket("bucket", &wire.bucket, violations);
    check_key_length("prefix", &wire.prefix, violations);
    check_key_length("start_after", &wire.start_after, violations);
    if wire.max_objects < 0 {
        violations.add("max_objects", "OUT_OF_RANGE", "must be at least 1, or 0 for all objects");
    }
    Listing {
        max_objects: u64::try_from(wire.max_objects).ok().filter(|most| *most > 0),
        suffixes: suffixes(wire.suffixes, violations),
        bucket: wire.bucket,
        prefix: wire.prefix,
        start_after: wire.start_after,
    }
}

fn suffixes(asked: Vec<String>, violations: &mut Violations) -> Vec<String> {
    if asked.is_empty() {
        let known = MediaType::ALL.iter().flat_map(|media_type| media_type.suffixes());
        return known.map(|suffix| (*suffix).to_owned()).collect();
    }
    violations.check_count("suffixes", asked.len(), MAX_SUFFIXES);
    for (index, suffix) in asked.iter().enumerate().take(MAX_SUFFIXES) {
        if suffix.is_empty() || suffix.chars().count() > MAX_SUFFIX_CHARS {
            let description = format!("must have 1 to {MAX_SUFFIX_CHARS} characters");
            violations.add(format!("suffixes[{index}]"), "INVALID_LENGTH", description);
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StreamLimits = StreamLimits { max_in_flight: 24, item_timeout: Duration::from_secs(60) };

    fn config(config: proto::AnalyzeManyConfig) -> Result<Settings, Failure> {
        settings("stream".to_owned(), Caller::anonymous(), config, LIMITS).map(|(settings, _)| settings)
    }

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn settings_are_lowered_to_the_servers_limits() {
        for (asked, expected) in [(0, 16), (1, 1), (24, 24), (i32::MAX, 24)] {
            let wire = proto::AnalyzeManyConfig { max_in_flight: asked, ..Default::default() };
            assert_eq!(config(wire).unwrap().max_in_flight, expected);
        }
        for (asked, expected) in [(None, 60), (seconds(5), 5), (seconds(3600), 60)] {
            let wire = proto::AnalyzeManyConfig { item_timeout: asked, ..Default::default() };
            assert_eq!(config(wire).unwrap().item_timeout, Duration::from_secs(expected));
        }
    }

    #[test]
    fn everything_wrong_with_the_settings_is_said_at_once() {
        let wire = proto::AnalyzeManyConfig {
            features: Some(proto::Features::default()),
            options: Some(proto::AnalysisOptions { temperature: Some(2.0), ..Default::default() }),
            max_in_flight: -1,
            result_order: 99,
            failure_mode: -3,
            item_timeout: Some(prost_types::Duration { seconds: i64::MIN, nanos: i32::MIN }),
        };
        insta::assert_debug_snapshot!(config(wire).unwrap_err().into_message(None).message, @r#""6 fields are invalid: config.features, config.options.temperature, config.max_in_flight, config.result_order, config.failure_mode, config.item_timeout.""#);
    }

    #[test]
    fn a_schema_that_cannot_be_used_ends_the_stream_at_its_settings() {
        let features = proto::Features { extraction: Some(proto::ExtractionFeature::default()), ..Default::default() };
        let wire = proto::AnalyzeManyConfig { features: Some(features), ..Default::default() };
        let message = config(wire).unwrap_err().into_message(None).message;
        assert!(message.starts_with("config.features.extraction.json_schema is empty"), "{message}");
    }

    #[test]
    fn a_listing_takes_the_suffixes_that_the_server_decodes() {
        let features = Some(proto::Features { text: Some(proto::TextFeature {}), ..Default::default() });
        let defaults = Defaults { features, options: None };
        let wire = proto::S3Listing { bucket: "photos".to_owned(), ..Default::default() };
        let Request::Listing { shown_id, task } = listing(wire, &defaults) else { panic!("a listing") };
        assert_eq!(shown_id, "s3://photos/");
        assert_eq!(task.unwrap().listing.suffixes, [".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"]);
    }

    #[test]
    fn everything_wrong_with_a_listing_is_said_at_once() {
        let wire = proto::S3Listing {
            bucket: "-".to_owned(),
            prefix: "p".repeat(1025),
            start_after: "s".repeat(1025),
            max_objects: -1,
            suffixes: vec![String::new()],
        };
        let Request::Listing { task, .. } = listing(wire, &Defaults::default()) else { panic!("a listing") };
        insta::assert_debug_snapshot!(task.unwrap_err().into_message(None).message, @r#""6 fields are invalid: listing.bucket, listing.prefix, listing.start_after, listing.max_objects, listing.suffixes[0], config.features.""#);
    }
}
