//! Reducing a picture, and turning it upright.

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::ImageError;
use crate::domain::Size;

/// Resizes to exactly `size` with a Lanczos filter of three lobes, each axis by its own factor.
pub(super) fn resize(picture: RgbImage, size: Size) -> Result<RgbImage, ImageError> {
    let (width, height) = picture.dimensions();
    if (width, height) == (size.width, size.height) {
        return Ok(picture);
    }
    let failed = |_| ImageError::corrupt("its pixels could not be resized");
    let source = Image::from_vec_u8(width, height, picture.into_raw(), PixelType::U8x3).map_err(failed)?;
    let mut reduced = Image::new(size.width, size.height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false);
    Resizer::new()
        .resize(&source, &mut reduced, &options)
        .map_err(|_| ImageError::corrupt("its pixels could not be resized"))?;
    RgbImage::from_raw(size.width, size.height, reduced.into_vec())
        .ok_or_else(|| ImageError::corrupt("its pixels could not be resized"))
}

/// Turns the pixels as EXIF says, so that the picture stands upright.
pub(super) fn turn(picture: RgbImage, orientation: Option<Orientation>) -> RgbImage {
    match orientation {
        None | Some(Orientation::NoTransforms) => picture,
        Some(orientation) => {
            let mut picture = DynamicImage::ImageRgb8(picture);
            picture.apply_orientation(orientation);
            picture.into_rgb8()
        }
    }
}
