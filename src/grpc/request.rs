//! The request message to a job. Every violation is collected; nothing is guessed.

mod extraction;
pub(super) mod many;

use std::collections::BTreeMap;

use super::{
    status::{self, Failure},
    violations::{Violation, Violations},
};
use crate::{
    domain::{
        CacheMode, DEFAULT_MAX_LABELS, Features, LabelsRequest, ObjectRef, Options, OversizePolicy, SensitivityRequest,
    },
    pipeline::Source,
    proto,
};

const MAX_KEY_BYTES: usize = 1024;
const MAX_LABELS: i32 = 500;
const MAX_VOCABULARY: usize = 100;
const MAX_CATEGORIES: usize = 50;
const MAX_NAME_CHARS: usize = 100;
const MAX_PROMPT_CHARS: usize = 8192;
const MAX_OUTPUT_TOKENS: i32 = 32_000;
const MAX_TAGS: usize = 16;
const MAX_TAG_CHARS: usize = 256;

/// What a request asks, checked.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) source: Source,
    pub(super) features: Features,
    pub(super) options: Options,
    pub(super) tags: BTreeMap<String, String>,
}

/// Checks a request and says what it asks.
pub(super) fn checked(message: proto::AnalyzeImageRequest) -> Result<Asked, Failure> {
    asked(Violations::default(), message).map_err(|violations| status::invalid(&violations))
}

/// What a request asks, unless something is wrong with it or was wrong before.
fn asked(mut violations: Violations, message: proto::AnalyzeImageRequest) -> Result<Asked, Vec<Violation>> {
    request_id(&message.request_id, &mut violations);
    let source = source(message.image, &mut violations);
    let features = features(message.features, &mut violations);
    let options = options(message.options.unwrap_or_default(), &mut violations);
    let tags = tags(message.tags, &mut violations);
    let asked = source.zip(features).map(|(source, features)| Asked { source, features, options, tags });
    violations.finish(asked)
}

fn request_id(id: &str, violations: &mut Violations) {
    violations.check_length("request_id", id, 128);
    if !id.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c)) {
        violations.add("request_id", "INVALID_CHARACTER", "may hold A-Z a-z 0-9 . _ : - only");
    }
}

fn source(image: Option<proto::ImageSource>, violations: &mut Violations) -> Option<Source> {
    use proto::image_source::Source as Wire;
    match image.and_then(|image| image.source) {
        Some(Wire::S3Object(object)) => Some(Source::Object(s3_object(object, violations))),
        Some(Wire::Content(bytes)) if bytes.is_empty() => {
            violations.required("image.content", "is empty; send the encoded file, or an s3_object");
            None
        }
        Some(Wire::Content(bytes)) => Some(Source::Content(bytes)),
        None => {
            violations.required("image", "names no picture; set image.s3_object or image.content");
            None
        }
    }
}

fn s3_object(object: proto::S3Object, violations: &mut Violations) -> ObjectRef {
    check_bucket("image.s3_object.bucket", &object.bucket, violations);
    if object.key.is_empty() {
        violations.required("image.s3_object.key", "is empty; name the object's key");
    }
    check_key_length("image.s3_object.key", &object.key, violations);
    let owner = &object.expected_bucket_owner;
    let is_account = owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit());
    if !owner.is_empty() && !is_account {
        let description = "must be the 12 digits of an AWS account id";
        violations.add("image.s3_object.expected_bucket_owner", "INVALID_FORMAT", description);
    }
    header_safe("image.s3_object.version_id", &object.version_id, violations);
    header_safe("image.s3_object.expected_etag", &object.expected_etag, violations);
    ObjectRef {
        bucket: object.bucket,
        key: object.key,
        version_id: set(object.version_id),
        expected_etag: set(object.expected_etag),
        expected_bucket_owner: set(object.expected_bucket_owner),
    }
}

fn set(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn check_bucket(field: &str, bucket: &str, violations: &mut Violations) {
    if bucket.is_empty() {
        violations.required(field, "is empty; name the bucket or an access-point ARN");
    } else if !is_bucket(bucket) {
        let description = "is no bucket name (3 to 255 of A-Z a-z 0-9 . _ -, a letter or digit first) and no ARN";
        violations.add(field, "INVALID_FORMAT", description);
    }
}

/// Of a key, or of what keys are compared with.
fn check_key_length(field: &str, key: &str, violations: &mut Violations) {
    if key.len() > MAX_KEY_BYTES {
        let description = format!("has {} bytes; S3 keys have at most {MAX_KEY_BYTES}", key.len());
        violations.add(field, "TOO_LONG", description);
    }
}

fn is_bucket(name: &str) -> bool {
    if name.starts_with("arn:") {
        return name.len() <= 2048 && name.bytes().all(|byte| byte.is_ascii_graphic());
    }
    (3..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Values that travel in HTTP headers or query strings.
fn header_safe(field: &str, text: &str, violations: &mut Violations) {
    violations.check_length(field, text, 1024);
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        violations.add(field, "INVALID_CHARACTER", "may hold visible ASCII characters only");
    }
}

fn features(features: Option<proto::Features>, violations: &mut Violations) -> Option<Features> {
    let Some(wire) = features.filter(|features| *features != proto::Features::default()) else {
        let description =
            "asks for nothing; set at least one of description, sensitivity, labels, text, prompt, extraction";
        violations.required("features", description);
        return None;
    };
    Some(Features {
        description: wire.description.is_some(),
        sensitivity: wire.sensitivity.map(|request| sensitivity(request, violations)),
        labels: wire.labels.map(|request| labels(request, violations)),
        text: wire.text.is_some(),
        prompt: wire.prompt.map(|request| prompt(request, violations)),
        extraction: wire.extraction.and_then(|request| extraction::read(request, violations)),
    })
}

fn sensitivity(request: proto::SensitivityFeature, violations: &mut Violations) -> SensitivityRequest {
    const FIELD: &str = "features.sensitivity.categories";
    violations.check_count(FIELD, request.categories.len(), MAX_CATEGORIES);
    for (index, category) in request.categories.iter().enumerate().take(MAX_CATEGORIES) {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if category.is_empty() || category.len() > 64 || !category.chars().all(kebab) {
            let description = "must be 1 to 64 of a-z 0-9 -, such as license-plate";
            violations.add(format!("{FIELD}[{index}]"), "INVALID_FORMAT", description);
        }
    }
    SensitivityRequest { categories: request.categories }
}

fn labels(request: proto::LabelsFeature, violations: &mut Violations) -> LabelsRequest {
    const WORDS: &str = "features.labels.vocabulary";
    if !(0..=MAX_LABELS).contains(&request.max_results) {
        let description = format!("must lie in [1, {MAX_LABELS}], or be 0 for {DEFAULT_MAX_LABELS}");
        violations.add("features.labels.max_results", "OUT_OF_RANGE", description);
    }
    violations.check_fraction("features.labels.min_confidence", request.min_confidence);
    violations.check_count(WORDS, request.vocabulary.len(), MAX_VOCABULARY);
    for (index, word) in request.vocabulary.iter().enumerate().take(MAX_VOCABULARY) {
        if word.trim().is_empty() || word.chars().count() > MAX_NAME_CHARS {
            let description = format!("must have 1 to {MAX_NAME_CHARS} characters");
            violations.add(format!("{WORDS}[{index}]"), "INVALID_LENGTH", description);
        }
    }
    let max_results = u32::try_from(request.max_results).ok().filter(|most| *most > 0).unwrap_or(DEFAULT_MAX_LABELS);
    LabelsRequest { max_results, min_confidence: request.min_confidence, vocabulary: request.vocabulary }
}

fn prompt(request: proto::PromptFeature, violations: &mut Violations) -> String {
    if request.text.trim().is_empty() {
        violations.required("features.prompt.text", "is empty; write the instruction to the model");
    }
    violations.check_length("features.prompt.text", &request.text, MAX_PROMPT_CHARS);
    request.text
}

fn options(wire: proto::AnalysisOptions, violations: &mut Violations) -> Options {
    let language = set(wire.language_code).unwrap_or_else(|| "en".to_owned());
    if !is_language_tag(&language) {
        violations.add("options.language_code", "INVALID_FORMAT", "must be a BCP-47 tag, such as ko or pt-BR");
    }
    violations.check_length("options.model", &wire.model, 2048);
    if !(0..=MAX_OUTPUT_TOKENS).contains(&wire.max_output_tokens) {
        let description = format!("must lie in [1, {MAX_OUTPUT_TOKENS}], or be 0 for a number fit for the features");
        violations.add("options.max_output_tokens", "OUT_OF_RANGE", description);
    }
    violations.check_fraction("options.temperature", wire.temperature);
    let cache = match proto::CacheMode::try_from(wire.cache_mode) {
        Ok(proto::CacheMode::Refresh) => CacheMode::Refresh,
        Ok(proto::CacheMode::Off) => CacheMode::Off,
        Ok(_) => CacheMode::ReadWrite,
        Err(_) => {
            violations.add("options.cache_mode", "UNKNOWN_VALUE", unknown_value(wire.cache_mode));
            CacheMode::Off
        }
    };
    let oversize = match proto::OversizePolicy::try_from(wire.oversize_policy) {
        Ok(proto::OversizePolicy::Reject) => OversizePolicy::Reject,
        Ok(_) => OversizePolicy::Resize,
        Err(_) => {
            violations.add("options.oversize_policy", "UNKNOWN_VALUE", unknown_value(wire.oversize_policy));
            OversizePolicy::Resize
        }
    };
    Options {
        model: set(wire.model),
        language,
        max_output_tokens: u32::try_from(wire.max_output_tokens).ok().filter(|most| *most > 0),
        temperature: wire.temperature,
        oversize,
        include_raw_output: wire.include_raw_output,
        cache,
        // What the contract does not know.
        top_p: None,
        top_k: None,
        include_response_body: false,
    }
}

fn unknown_value(number: i32) -> String {
    format!("{number} is no value that this server knows")
}

/// The shape of a BCP-47 tag: a primary subtag of letters, then subtags of letters and digits, 8 characters each.
fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    tag.len() <= 35
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Bedrock's rule for request metadata.
fn tags(tags: std::collections::HashMap<String, String>, violations: &mut Violations) -> BTreeMap<String, String> {
    violations.check_count("tags", tags.len(), MAX_TAGS);
    let tags: BTreeMap<_, _> = tags.into_iter().collect();
    let allowed = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c));
    for (key, value) in tags.iter().take(MAX_TAGS) {
        let fits = (1..=MAX_TAG_CHARS).contains(&key.len()) && value.len() <= MAX_TAG_CHARS;
        if !fits || !allowed(key) || !allowed(value) {
            let shown: String = key.chars().take(32).collect::<String>().escape_default().take(64).collect();
            let description = "keys and values may hold at most 256 of A-Z a-z 0-9 space : _ @ $ # = / + , - .";
            violations.add(format!("tags[\"{shown}\"]"), "INVALID_FORMAT", description);
        }
    }
    tags
}

#[cfg(test)]
mod tests;
