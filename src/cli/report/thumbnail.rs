//! Small pictures for the page.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image};
use image::RgbImage;
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use serde::{Serialize, Serializer};

use super::super::annotate::{self, AnnotateError};
use crate::proto::ImageAnalysis;

/// Longest edge of a thumbnail in pixels.
pub(super) const MAX_EDGE: u32 = 480;
/// JPEG quality of a thumbnail, 1 to 100.
const QUALITY: u8 = 75;

/// Why a picture has no thumbnail.
#[derive(Debug, thiserror::Error)]
pub(super) enum ThumbnailError {
    /// Not decoded, too large, or not the picture that was analyzed.
    #[error(transparent)]
    Picture(#[from] AnnotateError),
    /// Pixels that could not be made smaller.
    #[error("cannot resize the picture: {0}")]
    Resize(String),
    /// Pixels that could not be encoded.
    #[error("cannot encode the thumbnail: {0}")]
    Encode(#[from] jpeg_encoder::EncodingError),
}

/// A JPEG of at most [`MAX_EDGE`] pixels on its longest edge.
#[derive(Serialize)]
pub(super) struct Thumbnail {
    /// The file; in the page as base64.
    #[serde(rename = "base64", serialize_with = "as_base64")]
    jpeg: Vec<u8>,
    /// Width in pixels.
    pub(super) width: u32,
    /// Height in pixels.
    pub(super) height: u32,
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

impl Thumbnail {
    /// The upright picture, made small. The orientation is the one that the analysis says was applied, because it
    /// decides where the boxes are; without an analysis it is the file's own.
    pub(super) fn new(picture: &[u8], analysis: Option<&ImageAnalysis>) -> Result<Self, ThumbnailError> {
        let upright = match analysis {
            Some(analysis) => annotate::upright(picture, analysis)?,
            None => annotate::decode(picture, None)?,
        };
        let small = shrink(upright)?;
        let (width, height) = small.dimensions();
        Ok(Self { jpeg: encode(&small)?, width, height })
    }

    /// The file.
    #[cfg(test)]
    pub(super) fn jpeg(&self) -> &[u8] {
        &self.jpeg
    }
}

fn shrink(picture: RgbImage) -> Result<RgbImage, ThumbnailError> {
    let (width, height) = picture.dimensions();
    let (to_width, to_height) = fit(width, height);
    if (width, height) == (to_width, to_height) {
        return Ok(picture);
    }
    let failed = |why: &dyn std::fmt::Display| ThumbnailError::Resize(why.to_string());
    let source = Image::from_vec_u8(width, height, picture.into_raw(), PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut small = Image::new(to_width, to_height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).use_alpha(false);
    Resizer::new().resize(&source, &mut small, &options).map_err(|e| failed(&e))?;
    RgbImage::from_raw(to_width, to_height, small.into_vec()).ok_or_else(|| failed(&"its size does not fit its pixels"))
}

/// The size with the same shape whose longest edge is at most [`MAX_EDGE`].
fn fit(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height).max(1);
    if longest <= MAX_EDGE {
        return (width, height);
    }
    let scaled = |edge: u32| {
        let edge = (u64::from(edge) * u64::from(MAX_EDGE) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(edge).unwrap_or(MAX_EDGE).max(1)
    };
    (scaled(width), scaled(height))
}

fn encode(picture: &RgbImage) -> Result<Vec<u8>, ThumbnailError> {
    let edge = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut jpeg = vec![];
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode(picture.as_raw(), edge(picture.width()), edge(picture.height()), ColorType::Rgb)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_size_keeps_its_shape_and_never_grows(width in 1_u32..100_000, height in 1_u32..100_000) {
            let (small_width, small_height) = fit(width, height);
            prop_assert!((1..=MAX_EDGE.min(width)).contains(&small_width));
            prop_assert!((1..=MAX_EDGE.min(height)).contains(&small_height));
            let scale = f64::from(small_width.max(small_height)) / f64::from(width.max(height));
            prop_assert!((f64::from(width) * scale - f64::from(small_width)).abs() <= 1.0);
            prop_assert!((f64::from(height) * scale - f64::from(small_height)).abs() <= 1.0);
        }
    }
}
