//! From a file to the picture that is wanted: decoded, reduced and turned upright, in sRGB.
//!
//! The order is chosen by cost. A JPEG is reduced while it is decoded and stays in YCbCr; of other types, rows are reduced
//! as they are decoded. Colours are converted and pixels turned after that, where there are fewer of them; all of it
//! commutes, because the filter is symmetric and the same everywhere.

use image::RgbImage;

use super::header::Header;
use super::jpeg_decoder::{self, ColourModel};
use super::planes::Planes;
use super::resize::Reducer;
use super::{Cancel, ImageError, MediaType, decode, jpeg_picture, turn};
use crate::domain::Size;

/// Pixels in the form that costs least.
#[derive(Debug)]
pub(super) enum Picture {
    /// Of a JPEG whose colours need no conversion.
    Planes(Planes),
    Rgb(RgbImage),
}

/// A picture, upright.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) picture: Picture,
    /// Whether a pixel was not opaque before it was laid on white.
    pub(super) was_transparent: bool,
}

/// Makes the picture of exactly `size`, which is that of the upright picture.
pub(super) fn of(bytes: &[u8], header: &Header, size: Size, cancel: &Cancel) -> Result<Shown, ImageError> {
    let stored = if header.is_sideways() { size.transposed() } else { size };
    decode::guarded(|| match header.media_type {
        MediaType::Jpeg => of_jpeg(bytes, header, stored, cancel),
        _ => of_rows(bytes, header, stored, cancel),
    })
}

fn of_jpeg(bytes: &[u8], header: &Header, stored: Size, cancel: &Cancel) -> Result<Shown, ImageError> {
    let decoded = jpeg_decoder::decode(bytes, &jpeg_picture::wanted(stored), cancel)?;
    let picture = match decoded.model {
        ColourModel::Gray | ColourModel::YCbCr => {
            Picture::Planes(jpeg_picture::planes(decoded, stored, header.orientation)?)
        }
        _ => {
            let rgb = jpeg_picture::rgb(decoded, stored, &jpeg_picture::plain_cmyk, cancel)?;
            Picture::Rgb(turn::rgb(rgb, header.orientation))
        }
    };
    Ok(Shown { picture, was_transparent: false })
}

fn of_rows(bytes: &[u8], header: &Header, stored: Size, cancel: &Cancel) -> Result<Shown, ImageError> {
    let mut reducer = Reducer::new(header.stored, stored);
    let decoded = decode::decode(bytes, header)?;
    for row in decoded.picture.chunks_exact(header.stored.width as usize * 3) {
        reducer.push(row)?;
    }
    cancel.check()?;
    let picture = turn::rgb(reducer.finish()?, header.orientation);
    Ok(Shown { picture: Picture::Rgb(picture), was_transparent: decoded.was_transparent })
}
