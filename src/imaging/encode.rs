//! Bytes for the model out of pixels, within the model's byte limit and without metadata.
//!
//! A source that lost nothing stays lossless when its picture is small or looks drawn: screenshots and line art are
//! full of runs of one colour, which PNG keeps exact in few bytes and JPEG smears. Everything else becomes JPEG: of
//! half chroma resolution, as photos mostly are already, but for a source that lost nothing and has sharp edges between
//! colours, as coloured letters on a picture have.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::jpeg_encoder::{self, Chroma};
use super::picture::Picture;
use super::planes::Planes;
use super::{Cancel, ImageError, MAX_MODEL_BYTES};
use crate::domain::Size;

/// JPEG quality, 1 to 100, unless the bytes are too many.
pub(super) const QUALITY: u8 = 90;
/// How far the quality goes down, step by step, to fit.
const LOWER_QUALITIES: [u8; 6] = [80, 70, 60, 50, 40, 30];

/// Pictures of up to this many pixels stay lossless whatever they show.
const SMALL_PIXELS: usize = 256 * 256;
/// Share of pixels equal to their left neighbour, in percent, from which a picture looks drawn. Photos reach about 20,
/// screenshots of text lie above 80.
const DRAWN_PERCENT: usize = 50;
/// Every so many rows are looked at.
const ROW_STEP: usize = 4;
/// How far apart the colours of two neighbours are at an edge that half the chroma resolution would smear.
const SHARP_STEP: u8 = 64;
/// Of so many pairs of neighbours one with such an edge is enough. Photos have one in several hundred.
const SHARP_PAIRS: usize = 100;
/// A drawn picture stays exact as long as that takes at most so many times the bytes of a JPEG.
const MOST_FOR_EXACT: usize = 2;

/// An encoder's tables.
const BYTES_BESIDES: u64 = 1024 * 1024;

/// An encoded picture.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    /// The JPEG quality, or `None` for PNG.
    pub(super) jpeg_quality: Option<u8>,
}

/// Encodes within [`MAX_MODEL_BYTES`]. `None` when that takes a smaller picture.
pub(super) fn encode(picture: &Picture, is_lossless: bool, cancel: &Cancel) -> Result<Option<Built>, ImageError> {
    encode_within(picture, is_lossless, MAX_MODEL_BYTES, cancel)
}

/// Most bytes that [`encode`] holds at once, and the picture itself.
pub(super) fn memory(size: Size, is_lossless: bool) -> u64 {
    // RGB and its planes of half the colours, and a JPEG that is moved as it grows: each at most about as large as the
    // pixels. Of a lossless source, planes of all colours and a PNG too.
    let for_each_pixel = if is_lossless { 14 } else { 8 };
    size.pixel_count().saturating_mul(for_each_pixel).saturating_add(BYTES_BESIDES)
}

fn encode_within(
    picture: &Picture,
    is_lossless: bool,
    limit: usize,
    cancel: &Cancel,
) -> Result<Option<Built>, ImageError> {
    cancel.check()?;
    let rgb = match picture {
        Picture::Planes(planes) => return jpeg_within(planes, limit, cancel),
        Picture::Rgb(rgb) => rgb,
    };
    let is_small = rgb.as_raw().len() / 3 <= SMALL_PIXELS;
    let exact = if is_lossless && (is_small || looks_drawn(rgb)) { Some(png(rgb)?) } else { None };
    let exact = exact.filter(|bytes| bytes.len() <= limit).map(|bytes| Built { bytes, jpeg_quality: None });
    if exact.is_some() && is_small {
        return Ok(exact);
    }
    cancel.check()?;
    let chroma = if is_lossless && has_sharp_colours(rgb) { Chroma::Full } else { Chroma::Half };
    let jpeg = jpeg_within(&jpeg_encoder::planes_of_rgb(rgb, chroma), limit, cancel)?;
    let is_cheap = |exact: &Built| {
        jpeg.as_ref().is_none_or(|jpeg| exact.bytes.len() <= jpeg.bytes.len().saturating_mul(MOST_FOR_EXACT))
    };
    Ok(exact.filter(is_cheap).or(jpeg))
}

/// The best JPEG of at most `limit` bytes, if one of a quality that still shows something is.
fn jpeg_within(planes: &Planes, limit: usize, cancel: &Cancel) -> Result<Option<Built>, ImageError> {
    for quality in std::iter::once(QUALITY).chain(LOWER_QUALITIES) {
        cancel.check()?;
        let bytes = jpeg_encoder::encode(planes, quality)?;
        if bytes.len() <= limit {
            return Ok(Some(Built { bytes, jpeg_quality: Some(quality) }));
        }
    }
    Ok(None)
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|_| ImageError::corrupt("its pixels could not be encoded"))?;
    Ok(bytes)
}

/// Whether the picture is more runs of one colour than gradients and noise.
fn looks_drawn(picture: &RgbImage) -> bool {
    let (mut pairs, mut equal) = (0_usize, 0_usize);
    for row in picture.as_raw().chunks_exact(picture.width().max(1) as usize * 3).step_by(ROW_STEP) {
        let (pixels, _) = row.as_chunks::<3>();
        let neighbours = pixels.iter().zip(pixels.iter().skip(1));
        pairs += neighbours.len();
        equal += neighbours.map(|([a, b, c], [d, e, f])| usize::from((a ^ d) | (b ^ e) | (c ^ f) == 0)).sum::<usize>();
    }
    equal * 100 >= pairs * DRAWN_PERCENT
}

/// Whether there are many edges between colours, as distinct from those between light and dark.
fn has_sharp_colours(picture: &RgbImage) -> bool {
    let (mut pairs, mut sharp) = (0_usize, 0_usize);
    for row in picture.rows().step_by(ROW_STEP) {
        for (left, right) in row.clone().step_by(2).zip(row.skip(1).step_by(2)) {
            let ([r0, g0, b0], [r1, g1, b1]) = (left.0, right.0);
            let step = |a0: u8, a1: u8| ((i16::from(a0) - i16::from(g0)) - (i16::from(a1) - i16::from(g1))).abs();
            pairs += 1;
            sharp += usize::from(step(r0, r1).max(step(b0, b1)) > i16::from(SHARP_STEP));
        }
    }
    sharp * SHARP_PAIRS > pairs
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

    fn built(picture: &RgbImage, is_lossless: bool) -> Built {
        encode(&Picture::Rgb(picture.clone()), is_lossless, &Cancel::never()).unwrap().unwrap()
    }

    #[test]
    fn noise_of_the_high_resolution_tier_fits_the_byte_limit_at_a_lower_quality() {
        let built = built(&noise(1932, 1932), true);
        assert!(built.bytes.len() <= MAX_MODEL_BYTES);
        assert!(built.jpeg_quality.is_some_and(|quality| quality < QUALITY));
    }

    #[test]
    fn a_byte_limit_is_met_by_the_first_quality_that_does() {
        let picture = Picture::Rgb(noise(400, 300));
        let within = |limit| encode_within(&picture, false, limit, &Cancel::never()).unwrap();
        let best = within(usize::MAX).unwrap();
        assert_eq!(best.jpeg_quality, Some(QUALITY));
        let less = within(best.bytes.len() - 1).unwrap();
        assert_eq!(less.jpeg_quality, Some(80));
        assert!(within(10).is_none());
    }

    #[test]
    fn drawings_stay_exact_and_photos_do_not() {
        let drawing = RgbImage::from_fn(800, 600, |x, y| {
            if x % 40 < 3 || y % 30 < 2 { image::Rgb([20, 30, 40]) } else { image::Rgb([250, 250, 245]) }
        });
        let exact = built(&drawing, true);
        assert_eq!(exact.jpeg_quality, None);
        assert_eq!(image::load_from_memory(&exact.bytes).unwrap().into_rgb8(), drawing);
        assert!(built(&drawing, false).jpeg_quality.is_some());
        assert!(built(&noise(400, 300), true).jpeg_quality.is_some());
        assert_eq!(built(&noise(256, 256), true).jpeg_quality, None, "small pictures stay exact");
    }

    #[test]
    fn a_drawing_that_is_dear_to_keep_exact_becomes_jpeg() {
        // Half of the rows are flat, in the others is a grain that JPEG drops and PNG keeps.
        let grain = noise(800, 600);
        let mixed = RgbImage::from_fn(800, 600, |x, y| {
            if y / 40 % 2 == 0 {
                image::Rgb([120; 3])
            } else {
                image::Rgb(grain.get_pixel(x, y).0.map(|sample| 120 + sample / 64))
            }
        });
        assert!(looks_drawn(&mixed));
        let exact = png(&mixed).unwrap().len();
        let jpeg = built(&mixed, true);
        assert!(jpeg.jpeg_quality.is_some() && exact > MOST_FOR_EXACT * jpeg.bytes.len());
    }

    #[test]
    fn only_sharp_edges_between_colours_keep_the_full_chroma_resolution() {
        let letters = RgbImage::from_fn(800, 600, |x, y| {
            let grain = (x * 7 + y * 13) as u8 % 16;
            if x % 9 < 2 && y % 12 < 8 { image::Rgb([220, 20 + grain, 30]) } else { image::Rgb([30, 40 + grain, 200]) }
        });
        assert!(has_sharp_colours(&letters));
        for photo in
            [&include_bytes!("../../assets/photos/astronaut.png")[..], include_bytes!("../../assets/photos/coffee.png")]
        {
            assert!(!has_sharp_colours(&image::load_from_memory(photo).unwrap().into_rgb8()));
        }
        let gray = RgbImage::from_fn(800, 600, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        assert!(!has_sharp_colours(&gray), "light and dark are in the luma");
    }
}
