//! The whole way through `prepare`. Files under `data/` were written by Pillow and libvips, which write what the encoders
//! here do not; all but the fax show [`samples::corners`] of 240x160.

mod colour;
mod formats;
mod hostile;
mod pipeline;
mod replay;
mod samples;
mod tiff;

use super::*;
use crate::domain::{Size, WarningCode};

const LIMITS: Limits = Limits { max_pixels: 50_000_000, max_memory: u64::MAX, safe_decoders: false };
const STANDARD: Target = Target { tier: VisionTier::STANDARD, oversize: OversizePolicy::Resize };
const HIGH: Target = Target { tier: VisionTier::HIGH_RESOLUTION, oversize: OversizePolicy::Resize };

const ASTRONAUT: &[u8] = include_bytes!("../../../assets/photos/astronaut.png");
const CHELSEA: &[u8] = include_bytes!("../../../assets/photos/chelsea.png");
const COFFEE: &[u8] = include_bytes!("../../../assets/photos/coffee.png");
const ROCKET: &[u8] = include_bytes!("../../../assets/photos/rocket.jpg");
const SUMMIT: &[u8] = include_bytes!("../../../assets/photos/summit.jpeg");

const ANIMATED_PNG: &[u8] = include_bytes!("data/animated.png");
const ANIMATED_WEBP: &[u8] = include_bytes!("data/animated.webp");
const ANIMATED_ALPHA_WEBP: &[u8] = include_bytes!("data/animated-alpha.webp");
const CMYK_JPEG: &[u8] = include_bytes!("data/cmyk.jpg");
const LOSSY_WEBP: &[u8] = include_bytes!("data/lossy.webp");
const LOSSY_ALPHA_WEBP: &[u8] = include_bytes!("data/lossy-alpha.webp");
const PALETTE_PNG: &[u8] = include_bytes!("data/palette.png");
const PALETTE_TRANSPARENT_PNG: &[u8] = include_bytes!("data/palette-transparent.png");
const PROGRESSIVE_JPEG: &[u8] = include_bytes!("data/progressive.jpg");

/// The picture as the model gets it.
fn sent(prepared: &Prepared, source: &[u8]) -> image::RgbImage {
    let bytes = match &prepared.encoded {
        Encoded::AsIs => source,
        Encoded::New(bytes) => bytes,
    };
    assert!(bytes.len() <= MAX_MODEL_BYTES);
    assert_eq!(sniff::sniff(bytes), Ok(prepared.media_type), "the declared type must match the bytes");
    image::load_from_memory(bytes).unwrap().into_rgb8()
}

/// Prepares a file and checks what holds for every prepared picture.
fn prepared(bytes: &[u8], target: &Target) -> (Prepared, image::RgbImage) {
    let prepared = prepare(bytes, &LIMITS, target).unwrap();
    let picture = sent(&prepared, bytes);
    let model = prepared.frame.model();
    assert_eq!((picture.width(), picture.height()), (model.width, model.height));
    assert_eq!(model, model_size(prepared.frame.original(), target.tier));
    assert_eq!(prepared.image_tokens, visual_tokens(model));
    assert!(prepared.warnings.iter().all(|warning| warning.message.len() < 300));
    (prepared, picture)
}

fn codes(prepared: &Prepared) -> Vec<WarningCode> {
    prepared.warnings.iter().map(|warning| warning.code).collect()
}
