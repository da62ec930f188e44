//! From a file to the picture that is wanted: decoded, reduced and turned upright, in sRGB.
//!
//! The order is chosen by cost. A JPEG is reduced while it is decoded and stays in YCbCr; of other types, rows are reduced
//! as they are decoded. Colours are converted and pixels turned after that, where there are fewer of them; all of it
//! commutes, because the filter is symmetric and the same everywhere.

use image::RgbImage;

use super::colour::Transform;
use super::decode::Pixels;
use super::header::Header;
use super::jpeg_decoder::{self, ColourModel};
use super::planes::Planes;
use super::resize::Reducer;
use super::{Cancel, ImageError, MediaType, colour, decode, jpeg_picture, png_decoder, turn};
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

/// Makes the picture of exactly `size`, which is that of the upright picture. `safe_decoders` are those without C.
///
/// # Errors
///
/// [`ImageError::Corrupt`] when decoding finds damage; [`ImageError::Cancelled`].
pub(super) fn of(
    bytes: &[u8],
    header: &Header,
    size: Size,
    safe_decoders: bool,
    cancel: &Cancel,
) -> Result<Shown, ImageError> {
    let stored = if header.is_sideways() { size.transposed() } else { size };
    let colours = colour::of(bytes, header);
    decode::contained(|| match header.media_type {
        MediaType::Jpeg => of_jpeg(bytes, header, stored, colours.as_ref(), cancel),
        _ => {
            let (mut picture, was_transparent) = of_rows(bytes, header, stored, safe_decoders, cancel)?;
            if let Some(colours) = &colours {
                colours.apply(&mut picture);
            }
            Ok(Shown { picture: Picture::Rgb(turn::rgb(picture, header.orientation)), was_transparent })
        }
    })
}

fn of_jpeg(
    bytes: &[u8],
    header: &Header,
    stored: Size,
    colours: Option<&Transform>,
    cancel: &Cancel,
) -> Result<Shown, ImageError> {
    let decoded = jpeg_decoder::decode(bytes, &jpeg_picture::wanted(stored), cancel)?;
    cancel.check()?;
    let is_ycc = matches!(decoded.model, ColourModel::Gray | ColourModel::YCbCr);
    let picture = if is_ycc && colours.is_none() {
        Picture::Planes(jpeg_picture::planes(decoded, stored, header.orientation)?)
    } else {
        let cmyk = |inks: &[u8], rgb: &mut [u8]| {
            if colours.and_then(|colours| colours.cmyk(inks, rgb)).is_none() {
                jpeg_picture::plain_cmyk(inks, rgb);
            }
        };
        let mut rgb = jpeg_picture::rgb(decoded, stored, &cmyk, cancel)?;
        if let Some(colours) = colours {
            colours.apply(&mut rgb);
        }
        Picture::Rgb(turn::rgb(rgb, header.orientation))
    };
    Ok(Shown { picture, was_transparent: false })
}

/// Decodes row by row, or all at once where the decoder can do no better, and reduces the rows. Answers whether a pixel
/// was not opaque, too.
fn of_rows(
    bytes: &[u8],
    header: &Header,
    stored: Size,
    safe_decoders: bool,
    cancel: &Cancel,
) -> Result<(RgbImage, bool), ImageError> {
    if header.media_type == MediaType::Png {
        let mut reducer = Reducer::new(header.stored, stored);
        let was_transparent = png_decoder::decode(bytes, cancel, &mut |row| reducer.push(row))?;
        return Ok((reducer.finish()?, was_transparent));
    }
    decode::decode(bytes, header, safe_decoders, cancel, |pixels| {
        cancel.check()?;
        match pixels {
            Pixels::Rgb { samples, was_transparent } => {
                Ok((of_rgb(samples, header.stored, stored, cancel)?, was_transparent))
            }
            Pixels::Rgba(samples) => of_rgba(samples, header.stored, stored, cancel),
        }
    })
}

fn of_rgb(samples: &[u8], source: Size, stored: Size, cancel: &Cancel) -> Result<RgbImage, ImageError> {
    let mut reducer = Reducer::new(source, stored);
    for row in samples.chunks_exact(source.width as usize * 3) {
        cancel.check()?;
        reducer.push(row)?;
    }
    reducer.finish()
}

/// Lays each row on white before it is reduced, so that no hidden colour bleeds into what is seen.
fn of_rgba(samples: &[u8], source: Size, stored: Size, cancel: &Cancel) -> Result<(RgbImage, bool), ImageError> {
    let mut reducer = Reducer::new(source, stored);
    let width = source.width as usize;
    let mut flat = vec![0; width * 3];
    let mut was_transparent = false;
    for row in samples.chunks_exact(width * 4) {
        cancel.check()?;
        was_transparent |= decode::flatten(row, &mut flat);
        reducer.push(&flat)?;
    }
    Ok((reducer.finish()?, was_transparent))
}

/// Most bytes that [`of`] holds at once.
pub(super) fn memory(bytes: &[u8], header: &Header, size: Size, safe_decoders: bool) -> u64 {
    let stored = if header.is_sideways() { size.transposed() } else { size };
    let made = match header.media_type {
        MediaType::Jpeg => jpeg_picture::memory(bytes, header.stored, stored),
        MediaType::Png => png_decoder::memory_of(bytes).saturating_add(Reducer::memory(header.stored, stored)),
        _ => decode::memory(header, safe_decoders).saturating_add(Reducer::memory(header.stored, stored)),
    };
    made.saturating_add(colour::memory(header))
}
