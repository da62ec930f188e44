//! Untrusted bytes in, the upright picture of exactly the model's own size out. Pure: no I/O, no clock, no threads.
//!
//! ```text
//! bytes -> sniff -> header -> limits -> fits, upright, sound? -> the caller's own bytes
//!                                    \-> decode -> flatten -> resize -> turn upright -> encode
//! ```
//!
//! How sound bytes are that are passed on unchanged depends on what their type tells: every chunk of a PNG matches its
//! checksum; a WebP, which has none, was decoded once; of a JPEG only the structure was followed, markers, scans and the
//! end, for its decoders show damaged samples as a smear rather than refuse them.
//!
//! Nothing is believed but the bytes: the type comes from the first of them, and size, orientation, frames and
//! soundness from a walk over the container that decodes nothing. The pixel limit is enforced there, before any
//! decoder runs. A picture that is encoded anew carries no metadata; an embedded colour profile is dropped with it and
//! the samples are taken as sRGB.

mod decode;
mod encode;
mod error;
mod header;
mod model_size;
mod resize;
mod sniff;

#[cfg(test)]
mod tests;

use crate::domain::{Frame, OversizePolicy, Size, VisionTier, Warning, WarningCode};

pub use error::ImageError;
pub use model_size::{model_size, visual_tokens};
pub use sniff::MediaType;

use header::Header;

/// Most bytes of one picture that a Claude model takes: 5 MiB as base64.
pub const MAX_MODEL_BYTES: usize = 3_932_160;

/// Longest edge in pixels that a Claude model's API takes. No tier sees that much, so a prepared picture is always
/// within it.
pub const MAX_MODEL_EDGE: u32 = 8000;

/// Pictures with an edge below this, in pixels, degrade the answers.
const SMALL_EDGE: u32 = 200;

/// What the service is willing to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of a picture, width times height.
    pub max_pixels: u64,
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
/// # Errors
///
/// [`ImageError`] says what is wrong with the file, or by how much it is too large. The pixel limit and the policy are
/// checked before anything is decoded.
pub fn prepare(bytes: &[u8], limits: &Limits, target: &Target) -> Result<Prepared, ImageError> {
    let header = header::read(bytes)?;
    let upright = header.upright();
    let size = model_size(upright, target.tier);
    check(&header, upright, size, limits, target)?;
    decode::check_header(bytes, &header)?;

    let fits = size == upright;
    let as_is = fits && header.is_plain && header.is_upright() && bytes.len() <= MAX_MODEL_BYTES;
    let mut warnings = Vec::new();
    let (encoded, media_type) = if as_is {
        if header.media_type == MediaType::Webp {
            // A model refuses a damaged stream after the call is made, and nothing but decoding finds the damage. What
            // fits the model has few pixels, so this takes milliseconds.
            decode::decode(bytes, &header)?;
        }
        (Encoded::AsIs, header.media_type)
    } else {
        let too_heavy = fits && bytes.len() > MAX_MODEL_BYTES;
        rebuild(bytes, &header, size, too_heavy, &mut warnings)?
    };
    if size.width.min(size.height) < SMALL_EDGE {
        let text = format!(
            "The model sees {size} pixels; answers on pictures with an edge under {SMALL_EDGE} px are less reliable."
        );
        warnings.push(Warning::new(WarningCode::ImageSmall, text));
    }
    Ok(Prepared {
        encoded,
        media_type,
        source_type: header.media_type,
        frame: Frame::new(upright, size),
        exif_orientation: header.orientation.map_or(0, |orientation| orientation.to_exif()),
        image_tokens: target.tier.max_visual_tokens.map_or(0, |_| visual_tokens(size)),
        warnings,
    })
}

/// Refuses what must not reach a decoder: too many pixels, damage, a size the caller does not want reduced.
fn check(header: &Header, upright: Size, size: Size, limits: &Limits, target: &Target) -> Result<(), ImageError> {
    if upright.pixel_count() > limits.max_pixels {
        let fits = model_size::within_pixels(upright, limits.max_pixels);
        return Err(ImageError::TooManyPixels { actual: upright, limit: limits.max_pixels, fits });
    }
    if let Some(damage) = header.damage {
        return Err(ImageError::corrupt(damage));
    }
    if target.oversize == OversizePolicy::Reject && size != upright {
        return Err(ImageError::Oversize { actual: upright, fits: size });
    }
    Ok(())
}

/// Decodes, flattens, resizes, turns upright and encodes. Turning comes after resizing, where there are fewer pixels to
/// move; the two commute because the resampling filter is symmetric.
fn rebuild(
    bytes: &[u8],
    header: &Header,
    size: Size,
    too_heavy: bool,
    warnings: &mut Vec<Warning>,
) -> Result<(Encoded, MediaType), ImageError> {
    let decoded = decode::decode(bytes, header)?;
    let stored_size = if header.is_sideways() { size.transposed() } else { size };
    let picture = resize::turn(resize::resize(decoded.picture, stored_size)?, header.orientation);
    let built = encode::encode(&picture, header.is_lossless)?;

    let mut warn = |code, text: String| warnings.push(Warning::new(code, text));
    if header.is_animated {
        warn(WarningCode::ImageFirstFrameOnly, "Only the first frame of the animation was analyzed.".to_owned());
    }
    if decoded.was_transparent {
        warn(WarningCode::ImageFlattened, "Transparent areas of the picture were laid on white.".to_owned());
    }
    let original = header.upright();
    if size != original {
        let text = format!("The picture was reduced from {original} to {size}, the size the model sees.");
        warn(WarningCode::ImageResized, text);
    }
    if let Some(quality) = built.jpeg_quality
        && (too_heavy || quality < encode::QUALITY)
    {
        let text = format!(
            "The picture was compressed as JPEG of quality {quality} to fit the model's limit of {MAX_MODEL_BYTES} bytes."
        );
        warn(WarningCode::ImageRecompressed, text);
    }
    let media_type = if built.jpeg_quality.is_some() { MediaType::Jpeg } else { MediaType::Png };
    Ok((Encoded::New(built.bytes), media_type))
}
