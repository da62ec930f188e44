//! What can be counted and measured, and the words for it in labels.

use crate::domain::WarningCode;

/// A stage of an analysis whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for room, a worker and its memory.
    Queue,
    /// Reading from S3.
    Fetch,
    /// Decoding, turning, resizing, encoding.
    Prepare,
    /// One call of a model.
    Model,
    /// Reading a model's answer.
    Read,
}

impl Stage {
    pub(super) const ALL: [Self; 5] = [Self::Queue, Self::Fetch, Self::Prepare, Self::Model, Self::Read];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Model => "model",
            Self::Read => "read",
        }
    }
}

/// What came of one call of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// An answer.
    Ok,
    /// Too many requests or tokens, for now or for the quota.
    Throttled,
    /// A fault of the service, or it could not be reached.
    Unavailable,
    /// Anything else, such as a refusal, or no answer before the deadline.
    Failed,
}

impl AttemptOutcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

/// Where an answer that may be shared came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It was kept.
    Hit,
    /// Another request in flight paid for it.
    Shared,
    /// This request paid for it.
    Miss,
}

impl CacheOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Hit, Self::Shared, Self::Miss];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Shared => "shared",
            Self::Miss => "miss",
        }
    }
}

/// What was used up when a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Places.
    Requests,
    /// Room for encoded pictures.
    Bytes,
    /// Streams.
    Streams,
}

impl Shed {
    pub(super) const ALL: [Self; 3] = [Self::Requests, Self::Bytes, Self::Streams];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::Streams => "streams",
        }
    }
}

/// What is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Analyses.
    pub analyses: u64,
    /// Most analyses that may be, now.
    pub limit: u64,
    /// Bytes of their encoded pictures.
    pub bytes: u64,
}

/// What was done to boxes, if that is what the warning says.
pub(super) fn adjustment(code: WarningCode) -> Option<&'static str> {
    match code {
        WarningCode::BoxesReordered => Some("reordered"),
        WarningCode::BoxesClipped => Some("clipped"),
        WarningCode::BoxesDropped => Some("dropped"),
        WarningCode::BoxesDuplicate => Some("duplicate"),
        WarningCode::BoxesWholePicture => Some("whole_picture"),
        WarningCode::BoxesFrameChanged => Some("frame_changed"),
        _ => None,
    }
}
