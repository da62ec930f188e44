//! Bytes for the model out of pixels, within the model's byte limit and without metadata.
//!
//! A source that lost nothing stays lossless when its picture is small or looks drawn: screenshots and line art are
//! full of runs of one colour, which PNG keeps exact in few bytes and JPEG smears. Everything else becomes JPEG: of
//! half chroma resolution when the source was lossy, as photos mostly are already, of full when it was not.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use super::{ImageError, MAX_MODEL_BYTES};

/// JPEG quality, 1 to 100, unless the bytes are too many.
pub(super) const QUALITY: u8 = 90;
/// How far the quality goes down, step by step, to fit.
const LOWER_QUALITIES: [u8; 8] = [80, 70, 60, 50, 40, 30, 20, 10];

/// Pictures of up to this many pixels stay lossless whatever they show.
const SMALL_PIXELS: usize = 256 * 256;
/// Share of pixels equal to their left neighbour, in percent, from which a picture looks drawn. Photos reach about 20,
/// screenshots of text lie above 80.
const DRAWN_PERCENT: usize = 50;
/// Every so many rows are looked at.
const ROW_STEP: usize = 4;

/// An encoded picture.
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    /// The JPEG quality, or `None` for PNG.
    pub(super) jpeg_quality: Option<u8>,
}

/// Encodes within [`MAX_MODEL_BYTES`].
pub(super) fn encode(picture: &RgbImage, is_lossless: bool) -> Result<Built, ImageError> {
    if is_lossless && (picture.as_raw().len() / 3 <= SMALL_PIXELS || looks_drawn(picture)) {
        let bytes = png(picture)?;
        if bytes.len() <= MAX_MODEL_BYTES {
            return Ok(Built { bytes, jpeg_quality: None });
        }
    }
    let chroma = if is_lossless { SamplingFactor::R_4_4_4 } else { SamplingFactor::R_4_2_0 };
    jpeg_within(picture, chroma, MAX_MODEL_BYTES)
}

/// The best JPEG of at most `limit` bytes.
fn jpeg_within(picture: &RgbImage, chroma: SamplingFactor, limit: usize) -> Result<Built, ImageError> {
    for quality in std::iter::once(QUALITY).chain(LOWER_QUALITIES) {
        let bytes = jpeg(picture, quality, chroma)?;
        if bytes.len() <= limit {
            return Ok(Built { bytes, jpeg_quality: Some(quality) });
        }
    }
    Err(ImageError::corrupt(format!("its pixels do not fit {limit} bytes at any quality")))
}

fn jpeg(picture: &RgbImage, quality: u8, chroma: SamplingFactor) -> Result<Vec<u8>, ImageError> {
    let edge = |pixels: u32| u16::try_from(pixels).map_err(|_| ImageError::corrupt("an edge is too long for JPEG"));
    let mut bytes = Vec::with_capacity(picture.as_raw().len() / 8);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(chroma);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder
        .encode(picture.as_raw(), edge(picture.width())?, edge(picture.height())?, ColorType::Rgb)
        .map_err(|_| ImageError::corrupt("its pixels could not be encoded"))?;
    Ok(bytes)
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|_| ImageError::corrupt("its pixels could not be encoded"))?;
    Ok(bytes)
}

/// Whether the picture is more runs of one colour than gradients and noise.
fn looks_drawn(picture: &RgbImage) -> bool {
    let (mut pairs, mut equal) = (0_usize, 0_usize);
    for row in picture.rows().step_by(ROW_STEP) {
        let left = row.clone();
        let right = row.skip(1);
        for (left, right) in left.zip(right) {
            pairs += 1;
            equal += usize::from(left == right);
        }
    }
    equal * 100 >= pairs * DRAWN_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uncorrelated samples, the worst case of every encoder.
    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        RgbImage::from_fn(width, height, |_, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [r, g, b, ..] = state.to_le_bytes();
            image::Rgb([r, g, b])
        })
    }

    #[test]
    fn noise_of_the_high_resolution_tier_fits_the_byte_limit_at_a_lower_quality() {
        let built = encode(&noise(1932, 1932), true).unwrap();
        assert!(built.bytes.len() <= MAX_MODEL_BYTES);
        assert!(built.jpeg_quality.is_some_and(|quality| quality < QUALITY));
    }

    #[test]
    fn a_byte_limit_is_met_by_the_first_quality_that_does() {
        let picture = noise(400, 300);
        let best = jpeg_within(&picture, SamplingFactor::R_4_2_0, usize::MAX).unwrap();
        assert_eq!(best.jpeg_quality, Some(QUALITY));
        let less = jpeg_within(&picture, SamplingFactor::R_4_2_0, best.bytes.len() - 1).unwrap();
        assert_eq!(less.jpeg_quality, Some(80));
        assert!(jpeg_within(&picture, SamplingFactor::R_4_2_0, 10).is_err());
    }

    #[test]
    fn drawings_stay_exact_and_photos_do_not() {
        let drawing = RgbImage::from_fn(800, 600, |x, y| {
            if x % 40 < 3 || y % 30 < 2 { image::Rgb([20, 30, 40]) } else { image::Rgb([250, 250, 245]) }
        });
        let built = encode(&drawing, true).unwrap();
        assert_eq!(built.jpeg_quality, None);
        assert_eq!(image::load_from_memory(&built.bytes).unwrap().into_rgb8(), drawing);
        assert!(encode(&drawing, false).unwrap().jpeg_quality.is_some());
        assert!(encode(&noise(400, 300), true).unwrap().jpeg_quality.is_some());
        assert_eq!(encode(&noise(256, 256), true).unwrap().jpeg_quality, None, "small pictures stay exact");
    }
}
