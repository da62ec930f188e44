//! What will be done with a picture, known from its header alone: whether it is taken, at which size, and how much memory
//! the work takes at most.

use super::{
    Cancel, Encoded, ImageError, Limits, MAX_MODEL_BYTES, MediaType, Prepared, Target, colour, decode, encode,
    header::{self, Header},
    model_size::{self, model_size, visual_tokens},
    resize,
};
use crate::domain::{Frame, OversizePolicy, Size, VisionTier, Warning, WarningCode};

/// Pictures with an edge below this, in pixels, degrade the answers.
const SMALL_EDGE: u32 = 200;

/// How one picture will be prepared.
#[derive(Debug)]
pub struct Plan {
    header: Header,
    tier: VisionTier,
    /// Of the upright picture as the model sees it.
    size: Size,
    /// The caller's own bytes are what the model gets.
    as_is: bool,
    peak_memory: u64,
    safe_decoders: bool,
}

impl Plan {
    /// Reads the header, checks it against the limits and the policy, and decides. Nothing is decoded.
    ///
    /// # Errors
    ///
    /// [`ImageError`] says what is wrong with the file, or by how much it is too large.
    pub fn of(bytes: &[u8], limits: &Limits, target: &Target) -> Result<Self, ImageError> {
        let header = header::read(bytes)?;
        let upright = header.upright();
        let size = model_size(upright, target.tier);
        check(&header, upright, size, limits, target)?;
        decode::check_header(bytes, &header)?;
        let as_is = size == upright && header.is_plain && header.is_upright() && bytes.len() <= MAX_MODEL_BYTES;
        let peak_memory = peak_memory(&header, as_is, limits.safe_decoders);
        if peak_memory > limits.max_memory {
            return Err(ImageError::TooMuchMemory { actual: peak_memory, limit: limits.max_memory });
        }
        Ok(Self { header, tier: target.tier, size, as_is, peak_memory, safe_decoders: limits.safe_decoders })
    }

    /// Most bytes of memory that [`Self::run`] holds at once, the caller's own file not counted.
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// Prepares the picture. `bytes` must be those that the plan was made of.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when decoding finds damage; [`ImageError::Cancelled`] when `cancel` says so.
    pub fn run(&self, bytes: &[u8], cancel: &Cancel) -> Result<Prepared, ImageError> {
        cancel.check()?;
        let Self { header, size, tier, safe_decoders, .. } = self;
        let upright = header.upright();
        let mut warnings = Vec::new();
        let (encoded, media_type) = if self.as_is {
            if header.media_type == MediaType::Webp {
                // A model refuses a damaged stream after the call is made, and nothing but decoding finds the damage.
                // What fits the model has few pixels, so this takes milliseconds.
                decode::decode(bytes, header, *safe_decoders)?;
            }
            (Encoded::AsIs, header.media_type)
        } else {
            let too_heavy = *size == upright && bytes.len() > MAX_MODEL_BYTES;
            rebuild(bytes, header, *safe_decoders, *size, too_heavy, &mut warnings)?
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
            frame: Frame::new(upright, *size),
            exif_orientation: header.orientation.map_or(0, |orientation| orientation.to_exif()),
            image_tokens: tier.max_visual_tokens.map_or(0, |_| visual_tokens(*size)),
            warnings,
        })
    }
}

/// What a decoder of the type holds at most.
fn peak_memory(header: &Header, as_is: bool, safe_decoders: bool) -> u64 {
    if as_is && header.media_type != MediaType::Webp {
        return 0;
    }
    // Resizing holds the picture, and less than as much again.
    decode::memory(header, safe_decoders).max(header.stored.pixel_count().saturating_mul(6))
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
    safe_decoders: bool,
    size: Size,
    too_heavy: bool,
    warnings: &mut Vec<Warning>,
) -> Result<(Encoded, MediaType), ImageError> {
    let decoded = decode::decode(bytes, header, safe_decoders)?;
    let stored_size = if header.is_sideways() { size.transposed() } else { size };
    let mut picture = resize::turn(resize::resize(decoded.picture, stored_size)?, header.orientation);
    if let Some(transform) = colour::of(bytes, header) {
        transform.apply(&mut picture);
    }
    let built = encode::encode(&picture, header.is_lossless)?;

    let mut warn = |code, text: String| warnings.push(Warning::new(code, text));
    if header.is_animated {
        let text = if header.media_type == MediaType::Tiff {
            "Only the first page of the file was analyzed."
        } else {
            "Only the first frame of the animation was analyzed."
        };
        warn(WarningCode::ImageFirstFrameOnly, text.to_owned());
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
