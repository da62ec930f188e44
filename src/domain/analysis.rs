//! What is answered: typed results of every feature and the facts around them.

use std::{sync::Arc, time::Duration};

use super::{BoundingBox, Size, Usage, Warning};

/// The analysis of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The request's id.
    pub request_id: String,
    /// Facts about the picture.
    pub image: ImageFacts,
    /// What was found out.
    pub findings: Findings,
    /// Which model answered; `None` when none was called.
    pub model: Option<ModelFacts>,
    /// Tokens and calls.
    pub usage: Usage,
    /// Where the time went.
    pub timing: Timing,
    /// What was changed or is in doubt.
    pub warnings: Vec<Warning>,
    /// The model's own answer, when asked for.
    pub raw_output: Option<String>,
    /// The body of the response that it came in, JSON as the service sent it; when asked for.
    pub response_body: Option<Arc<str>>,
}

/// What was found out. A feature's field is set if and only if it was asked for and succeeded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// A description in prose.
    pub description: Option<String>,
    /// A verdict on sensitive information.
    pub sensitivity: Option<Sensitivity>,
    /// Labelled objects.
    pub labels: Option<Labels>,
    /// The text in the picture.
    pub text: Option<DetectedText>,
    /// The answer to the free prompt.
    pub answer: Option<String>,
    /// Values for the caller's schema, valid against it.
    pub extraction: Option<serde_json::Map<String, serde_json::Value>>,
    /// Features that were asked for and have no result.
    pub missing: Vec<MissingFeature>,
}

/// A feature that was asked for and has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFeature {
    /// Its field name.
    pub name: &'static str,
    /// Why.
    pub cause: MissingCause,
}

/// Why a feature has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingCause {
    /// The model can never answer it.
    Unsupported,
    /// The model's answer lacks it, or holds it in a form that cannot be read.
    Unreadable(String),
}

/// Facts about a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Media type found in the bytes.
    pub media_type: &'static str,
    /// Size of the upright picture: the frame of all coordinates.
    pub size: Size,
    /// EXIF orientation that was applied, 1 to 8; 0 when the file names none.
    pub exif_orientation: u8,
    /// Size of the encoded file in bytes.
    pub byte_count: u64,
    /// Size of the picture the model saw.
    pub model_size: Size,
    /// ETag of the S3 object.
    pub etag: Option<String>,
    /// Version of the S3 object.
    pub version_id: Option<String>,
}

/// A verdict on sensitive information.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// What was found.
    pub findings: Vec<SensitiveFinding>,
}

/// Whether sensitive information is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Sensitive,
    /// It is not.
    NotSensitive,
    /// A person should look.
    Uncertain,
}

/// One piece of sensitive information.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitiveFinding {
    /// Its kind, in kebab-case.
    pub category: String,
    /// What it is.
    pub detail: String,
    /// Where it is, when the model gave a place.
    pub bounding_box: Option<BoundingBox>,
}

/// Labelled objects: highest confidence first, then largest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    /// The labels.
    pub labels: Vec<Label>,
    /// The model stopped before it had listed everything.
    pub truncated: bool,
}

/// One kind of object or concept.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Name in lower-case English.
    pub name: String,
    /// Name in the requested language.
    pub display_name: String,
    /// The model's own claim, `[0, 1]`.
    pub confidence: Option<f32>,
    /// Each occurrence; empty for what has no place.
    pub instances: Vec<LabelInstance>,
}

/// One occurrence of a label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelInstance {
    /// Where it is.
    pub bounding_box: BoundingBox,
    /// The model's own claim, `[0, 1]`.
    pub confidence: Option<f32>,
}

/// The text in a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DetectedText {
    /// Line by line, in reading order.
    pub lines: Vec<TextLine>,
}

impl DetectedText {
    /// All lines, joined by newlines.
    pub fn full_text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLine {
    /// The text as it is written.
    pub text: String,
    /// Where it is, when the model gave a place.
    pub bounding_box: Option<BoundingBox>,
}

/// Which model answered, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// The Bedrock id that was asked for.
    pub requested: String,
    /// The Bedrock id that answered.
    pub served: String,
    /// AWS Region whose endpoint answered.
    pub region: String,
    /// Version of the prompt and schema.
    pub prompt_version: &'static str,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// Bedrock's request id.
    pub upstream_request_id: Option<String>,
    /// No model was called for this request: the result was kept from an earlier one, or made for an equal one in flight.
    pub cached: bool,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was done.
    EndTurn,
    /// It reached the most output tokens.
    MaxTokens,
    /// It refused.
    Refusal,
    /// A guardrail or content filter stepped in.
    Filtered,
    /// A reason this version does not know.
    Unknown,
}

/// Where the time of one request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// From the request's arrival to the response.
    pub total: Duration,
    /// Waiting for room, for a free worker to prepare the picture, and for its memory.
    pub queue: Duration,
    /// Reading from S3.
    pub fetch: Duration,
    /// Decoding, turning, resizing, encoding.
    pub prepare: Duration,
    /// In model calls.
    pub model: Duration,
    /// Waiting between attempts.
    pub backoff: Duration,
}
