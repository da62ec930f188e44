//! Why a file cannot be prepared.

use crate::domain::Size;

/// What is wrong with the caller's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not a picture of a type that is read.
    #[error(
        "the file is not a picture that can be read (it looks like {detected}); send JPEG, PNG, GIF, WebP, BMP or TIFF"
    )]
    Unsupported {
        /// What the bytes look like: a media type, with a remark where that alone would mislead, `empty` or `unknown`.
        detected: String,
    },
    /// The picture is damaged.
    #[error("the picture is damaged: {reason}; send the file again or save it anew")]
    Corrupt {
        /// What is wrong, in plain English, under 200 characters. Never holds bytes of the file.
        reason: String,
    },
    /// The picture has more pixels than the service decodes.
    #[error("the picture has {actual} pixels, more than the limit of {limit} in all; reduce it to {fits}")]
    TooManyPixels {
        /// Size of the upright picture.
        actual: Size,
        /// Most pixels allowed, width times height.
        limit: u64,
        /// The largest size of the same aspect within the limit.
        fits: Size,
    },
    /// The picture is larger than the model sees, and the caller asked not to have it reduced.
    #[error("the picture has {actual} pixels, more than the model sees; reduce it to {fits} or allow resizing")]
    Oversize {
        /// Size of the upright picture.
        actual: Size,
        /// The size the model would see.
        fits: Size,
    },
    /// Preparing the picture would take more memory than one picture may.
    #[error("preparing the picture takes {actual} bytes of memory, more than the limit of {limit}; reduce it")]
    TooMuchMemory {
        /// Bytes that the preparation would hold at most.
        actual: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// Nobody waits for the picture any more.
    #[error("the work on the picture was stopped")]
    Cancelled,
}

/// Longest reason, in characters.
const MAX_REASON: usize = 199;

impl ImageError {
    /// A damaged picture, for a reason of ours.
    pub(super) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt { reason: reason.into() }
    }

    /// A picture a decoder gave up on. Decoders quote the file at times, so that only plain characters of their words
    /// are kept.
    pub(super) fn undecodable(cause: &image::ImageError) -> Self {
        let words = match cause {
            image::ImageError::Limits(_) => "it asks for more memory than a picture of its size needs".to_owned(),
            image::ImageError::IoError(_) => "the file is cut off".to_owned(),
            other => other.to_string(),
        };
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::corrupt(words.chars().filter(plain).take(MAX_REASON).collect::<String>())
    }
}
