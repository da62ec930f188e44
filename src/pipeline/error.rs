//! Why an analysis failed, by what it means to the caller.

use std::time::Duration;

use super::ports::{ModelError, StoreError};
use crate::{
    answer::Unreadable,
    domain::{ObjectRef, Usage},
    imaging::ImageError,
};

/// A step of an analysis: where the time was when it ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Receiving the request message.
    Receive,
    /// Anything of a stream, whose own time is up.
    Stream,
    /// Listing objects.
    List,
    /// Waiting for room, or for a free worker to prepare the picture and for its memory.
    Queue,
    /// Reading from S3.
    Fetch,
    /// Decoding, turning, resizing, encoding.
    Prepare,
    /// Calling the model.
    Model,
}

impl Stage {
    /// The name that callers see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Stream => "stream",
            Self::List => "list",
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Model => "model",
        }
    }
}

/// Why an analysis failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnalyzeError {
    /// The caller names a model that the server does not list.
    #[error("model {model} is not listed")]
    ModelUnknown {
        /// What the caller named.
        model: String,
    },
    /// Inline content is larger than the limit.
    #[error("{actual} bytes exceed the limit of {limit}")]
    ContentTooLarge {
        /// Its size in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The object could not be read.
    #[error("S3: {error}")]
    Store {
        /// The object.
        object: Box<ObjectRef>,
        /// Why.
        error: StoreError,
    },
    /// The bytes are no picture that can be analyzed.
    #[error(transparent)]
    Image(ImageError),
    /// The model gave no answer.
    #[error("{model}: {error}")]
    Model {
        /// The Bedrock id that was asked.
        model: String,
        /// Why.
        error: ModelError,
        /// Calls made.
        calls: u32,
        /// When to come back, by the server's own view of the model's pace; set when it was throttled.
        retry_after: Option<Duration>,
    },
    /// The model's answer cannot be used.
    #[error("{model}: {error}")]
    Answer {
        /// The Bedrock id that answered.
        model: String,
        /// Why.
        error: Unreadable,
        /// Calls made.
        calls: u32,
    },
    /// The model can answer none of the features that were asked for.
    #[error("the model can never answer {}", features.join(", "))]
    FeaturesUnsupported {
        /// Their field names.
        features: Vec<&'static str>,
    },
    /// The deadline passed.
    #[error("the deadline passed in stage {}", stage.as_str())]
    DeadlineExceeded {
        /// Where.
        stage: Stage,
    },
    /// Too little time is left to call the model, which would be paid for in vain.
    #[error("{remaining:?} left, {needed:?} needed to call the model")]
    DeadlineTooShort {
        /// Time left.
        remaining: Duration,
        /// The least that a model call is tried with.
        needed: Duration,
    },
    /// The caller used the request's id before, for something else.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// As much as the server takes is in progress.
    #[error("{limit} {unit} are in progress")]
    Overloaded {
        /// The limit.
        limit: u64,
        /// What it counts, such as `requests`.
        unit: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// An item of a stream has the id of an earlier one.
    #[error("the item's id was used before")]
    ItemIdDuplicate,
    /// An item of a stream was not begun, because another one failed.
    #[error("not begun after another item failed")]
    Aborted,
    /// Objects could not be listed.
    #[error("listing: {error}")]
    Listing {
        /// Bucket name or access-point ARN.
        bucket: String,
        /// The prefix of the keys.
        prefix: String,
        /// Why.
        error: StoreError,
    },
    /// A store lists keys in another order than that of their bytes, twice, or without the prefix.
    #[error("the keys are not listed in order")]
    ListingUnordered {
        /// Bucket name or access-point ARN.
        bucket: String,
        /// The prefix of the keys.
        prefix: String,
    },
    /// There is no object to analyze under a prefix.
    #[error("nothing to analyze among {listed} objects")]
    ListingEmpty {
        /// Bucket name or access-point ARN.
        bucket: String,
        /// The prefix of the keys.
        prefix: String,
        /// Objects under the prefix, none of which has one of the suffixes.
        listed: u64,
    },
    /// A fault of this server.
    #[error("internal: {detail}")]
    Internal {
        /// What happened, for the log.
        detail: String,
    },
}

impl AnalyzeError {
    /// What kind of error it is, in a word for traces.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ModelUnknown { .. } => "model_unknown",
            Self::ContentTooLarge { .. } => "content_too_large",
            Self::Store { .. } => "store",
            Self::Image(_) => "image",
            Self::Model { .. } => "model",
            Self::Answer { .. } => "answer",
            Self::FeaturesUnsupported { .. } => "features_unsupported",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::DeadlineTooShort { .. } => "deadline_too_short",
            Self::RequestIdReused => "request_id_reused",
            Self::Overloaded { .. } => "overloaded",
            Self::ItemIdDuplicate => "item_id_duplicate",
            Self::Aborted => "aborted",
            Self::Listing { .. } => "listing",
            Self::ListingUnordered { .. } => "listing_unordered",
            Self::ListingEmpty { .. } => "listing_empty",
            Self::Internal { .. } => "internal",
        }
    }
}

/// An analysis that failed, and what it used up until then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Why.
    pub error: AnalyzeError,
    /// Tokens and calls.
    pub usage: Usage,
}

impl From<ImageError> for AnalyzeError {
    /// Work is stopped when nobody waits for it any more, which says nothing about the picture.
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Cancelled => Self::DeadlineExceeded { stage: Stage::Prepare },
            error => Self::Image(error),
        }
    }
}

impl From<AnalyzeError> for Failed {
    fn from(error: AnalyzeError) -> Self {
        Self { error, usage: Usage::default() }
    }
}
