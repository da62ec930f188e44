//! What will be done with a picture, known from its header alone: whether it is taken, at which size, and how much memory
//! the work takes at most.

use super::{
    Cancel, Encoded, ImageError, Limits, MAX_MODEL_BYTES, MediaType, Prepared, Target, decode,
    encode::{self, Built},
    header::{self, Header},
    model_size::{self, model_size, visual_tokens},
    picture::{self, Shown},
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
    oversize: OversizePolicy,
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
        let as_is = size == upright && header.is_plain && header.is_upright() && bytes.len() <= MAX_MODEL_BYTES;
        if as_is {
            decode::check_header(bytes, &header)?;
        }
        let peak_memory = peak_memory(bytes, &header, size, as_is, limits.safe_decoders);
        if peak_memory > limits.max_memory {
            return Err(ImageError::TooMuchMemory { actual: peak_memory, limit: limits.max_memory });
        }
        let Target { tier, oversize } = *target;
        Ok(Self { header, tier, size, oversize, as_is, peak_memory, safe_decoders: limits.safe_decoders })
    }

    /// Most bytes of memory that [`Self::run`] holds at once, the caller's own file not counted.
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// Whether [`Self::run`] does no work: the caller's own bytes are the picture, and nothing is to be decoded.
    pub fn is_done(&self) -> bool {
        self.as_is && self.header.media_type != MediaType::Webp
    }

    /// Prepares the picture. `bytes` must be those that the plan was made of.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when decoding finds damage; [`ImageError::Cancelled`] when `cancel` says so.
    pub fn run(&self, bytes: &[u8], cancel: &Cancel) -> Result<Prepared, ImageError> {
        cancel.check()?;
        let Self { header, tier, .. } = self;
        let upright = header.upright();
        let (Made { encoded, media_type, size }, mut warnings) =
            if self.as_is { self.keep(bytes, cancel)? } else { self.make(bytes, cancel)? };
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
            image_tokens: tier.max_visual_tokens.map_or(0, |_| visual_tokens(size)),
            warnings,
        })
    }

    /// The caller's own bytes, once they are known to be sound.
    fn keep(&self, bytes: &[u8], cancel: &Cancel) -> Result<(Made, Vec<Warning>), ImageError> {
        let media_type = self.header.media_type;
        if !self.is_done() {
            // A model refuses a damaged stream after the call is made, and nothing but decoding finds the damage. What
            // fits the model has few pixels, so this takes milliseconds.
            decode::contained(|| decode::decode(bytes, &self.header, self.safe_decoders, cancel, |_| Ok(())))?;
        }
        Ok((Made { encoded: Encoded::AsIs, media_type, size: self.size }, Vec::new()))
    }

    /// Makes the picture and encodes it: at a lower quality, and if that is not enough at a smaller size, where it has too
    /// many bytes.
    fn make(&self, bytes: &[u8], cancel: &Cancel) -> Result<(Made, Vec<Warning>), ImageError> {
        let Self { header, oversize, .. } = self;
        let mut size = self.size;
        loop {
            let shown = picture::of(bytes, header, size, self.safe_decoders, cancel)?;
            if let Some(built) = encode::encode(&shown.picture, header.is_lossless, cancel)? {
                let warnings = self.warnings(&shown, &built, size, bytes.len());
                let media_type = if built.jpeg_quality.is_some() { MediaType::Jpeg } else { MediaType::Png };
                return Ok((Made { encoded: Encoded::New(built.bytes), media_type, size }, warnings));
            }
            size = model_size::within_pixels(size, size.pixel_count() / 2);
            if *oversize == OversizePolicy::Reject {
                return Err(ImageError::Oversize { actual: header.upright(), fits: size });
            }
        }
    }

    /// What was changed.
    fn warnings(&self, shown: &Shown, built: &Built, size: Size, byte_count: usize) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |code, text: String| warnings.push(Warning::new(code, text));
        if self.header.is_animated {
            let text = if self.header.media_type == MediaType::Tiff {
                "Only the first page of the file was analyzed."
            } else {
                "Only the first frame of the animation was analyzed."
            };
            warn(WarningCode::ImageFirstFrameOnly, text.to_owned());
        }
        if shown.was_transparent {
            warn(WarningCode::ImageFlattened, "Transparent areas of the picture were laid on white.".to_owned());
        }
        let original = self.header.upright();
        if size != original {
            let why =
                if size == self.size { "the size the model sees" } else { "so that its bytes fit the model's limit" };
            warn(WarningCode::ImageResized, format!("The picture was reduced from {original} to {size}, {why}."));
        }
        let is_too_heavy = self.size == original && byte_count > MAX_MODEL_BYTES;
        if let Some(quality) = built.jpeg_quality
            && (is_too_heavy || quality < encode::QUALITY)
        {
            let text = format!(
                "The picture was compressed as JPEG of quality {quality} to fit the model's limit of {MAX_MODEL_BYTES} bytes."
            );
            warn(WarningCode::ImageRecompressed, text);
        }
        warnings
    }
}

/// What the model gets, and at which size.
struct Made {
    encoded: Encoded,
    media_type: MediaType,
    size: Size,
}

/// Most bytes that preparing the picture holds at once.
fn peak_memory(bytes: &[u8], header: &Header, size: Size, as_is: bool, safe_decoders: bool) -> u64 {
    match (as_is, header.media_type) {
        (true, MediaType::Webp) => decode::memory(header, safe_decoders),
        (true, _) => 0,
        // The picture is made first, then encoded; what it is made from is gone by then.
        (false, _) => picture::memory(bytes, header, size, safe_decoders).max(encode::memory(size, header.is_lossless)),
    }
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
