//! Untrusted bytes in, the upright picture of exactly the model's own size out. Pure: no I/O, no clock, no threads.
//!
//! ```text
//! bytes -> sniff -> header -> plan: limits, size, memory -> fits, upright, sound, sRGB? -> the caller's own bytes
//!                                                        \-> picture -> encode
//!          picture: JPEG: decoded at N/8 -> planes -> resize -> turn upright
//!                   all else: rows on white -> resize -> colours to sRGB -> turn upright
//! ```
//!
//! How sound bytes are that are passed on unchanged depends on what their type tells: every chunk of a PNG matches its
//! checksum; a WebP, which has none, was decoded once; of a JPEG only the structure was followed, markers, tables, scans
//! and the end.
//!
//! Nothing is believed but the bytes: the type comes from the first of them, and size, orientation, frames, colours and
//! soundness from a walk over the container that decodes nothing. The limits are enforced there, before any decoder runs,
//! and the memory that the work will take is known from there too. A picture that is encoded anew carries no metadata, and
//! its colours are sRGB. `docs/IMAGING.md` has the whole in one picture.

mod cancel;
mod colour;
mod decode;
mod encode;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod header;
mod jpeg_decoder;
mod jpeg_encoder;
mod jpeg_picture;
mod model_size;
mod picture;
mod plan;
mod planes;
mod png_decoder;
mod resize;
mod sniff;
mod transpose;
mod turn;

#[cfg(test)]
mod tests;

use crate::domain::{Frame, OversizePolicy, VisionTier, Warning};

pub use cancel::Cancel;
pub use error::ImageError;
pub use model_size::{model_size, visual_tokens};
pub use plan::Plan;
pub use sniff::MediaType;

/// Most bytes of one picture that a Claude model takes: 5 MiB as base64.
pub const MAX_MODEL_BYTES: usize = 3_932_160;

/// Longest edge in pixels that a Claude model's API takes. No tier sees that much, so a prepared picture is always
/// within it.
pub const MAX_MODEL_EDGE: u32 = 8000;

/// What the service is willing to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of a picture, width times height.
    pub max_pixels: u64,
    /// Most memory in bytes that one preparation may take beside the file: what [`Plan::peak_memory`] may answer.
    pub max_memory: u64,
    /// Decode with code that holds no `unsafe` and no C only, where that is slower.
    pub safe_decoders: bool,
}

/// What the picture is prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How large a picture the model sees.
    pub tier: VisionTier,
    /// What to do with a larger one.
    pub oversize: OversizePolicy,
}

/// The bytes for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// The caller's own bytes, unchanged.
    AsIs,
    /// Encoded anew, without any metadata.
    New(Vec<u8>),
}

/// A picture ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The bytes to send: at most [`MAX_MODEL_BYTES`].
    pub encoded: Encoded,
    /// Type of the bytes to send.
    pub media_type: MediaType,
    /// Type of the caller's bytes.
    pub source_type: MediaType,
    /// The upright original and the picture as sent, both in pixels.
    pub frame: Frame,
    /// EXIF orientation of the source, 1 to 8; 0 when it names none.
    pub exif_orientation: u8,
    /// Visual tokens the picture costs as sent; 0 when the model publishes no rule for them.
    pub image_tokens: u64,
    /// What was changed or is in doubt.
    pub warnings: Vec<Warning>,
}

/// Prepares a picture for the model: its type from its bytes, upright, never enlarged, of exactly the size the model
/// sees, within the model's byte limit. Bytes that are all that already are passed on unchanged.
///
/// [`Plan::of`] and [`Plan::run`] in one, for callers that have nothing to decide in between.
///
/// # Errors
///
/// [`ImageError`] says what is wrong with the file, or by how much it is too large. Limits and policy are checked
/// before anything is decoded.
pub fn prepare(bytes: &[u8], limits: &Limits, target: &Target) -> Result<Prepared, ImageError> {
    Plan::of(bytes, limits, target)?.run(bytes, &Cancel::never())
}
