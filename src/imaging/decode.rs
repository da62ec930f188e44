//! Pixels out of a file whose header was read and found within the limits.

mod memory;
mod tiff;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::ImageFormatHint;
use image::{DynamicImage, ImageDecoder, ImageResult, Limits, Rgba};

use super::header::{self, Header};
use super::{Cancel, ImageError, MediaType, jpeg_decoder, png_decoder};
use crate::domain::Size;

pub(super) use memory::memory;

/// A decoder's memory for each pixel, at most: 8 bytes of result for 16-bit RGBA, as much again for its own use.
const BYTES_PER_PIXEL: u64 = 16;
/// A decoder's memory besides: profiles, text, tables.
const BYTES_BESIDES: u64 = 16 * 1024 * 1024;

/// How much larger than the screen the first frame of a GIF may be, in bytes of RGBA.
const GIF_FRAME_BESIDES: u64 = 1024 * 1024;

/// The first frame as stored: 8-bit samples, row by row from the top, without gaps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pixels<'a> {
    Rgb {
        samples: &'a [u8],
        /// Whether a pixel was not opaque before it was laid on white.
        was_transparent: bool,
    },
    /// With straight alpha.
    Rgba(&'a [u8]),
}

/// Lets the decoder read the header too, so that what is passed on unchanged is at least that sound.
pub(super) fn check_header(bytes: &[u8], header: &Header) -> Result<(), ImageError> {
    let start = bytes.get(..header.length).unwrap_or(bytes);
    contained(|| match header.media_type {
        MediaType::Jpeg => jpeg_decoder::check(start),
        MediaType::Png => png_decoder::check(start),
        _ => open(start, header).map(|_| ()).map_err(|error| ImageError::undecodable(&error)),
    })
}

/// Decodes the first frame of anything but JPEG and PNG, and lets `show` see it. `safe_decoders` are those without C.
pub(super) fn decode<T>(
    bytes: &[u8],
    header: &Header,
    safe_decoders: bool,
    cancel: &Cancel,
    show: impl FnOnce(Pixels<'_>) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    cancel.check()?;
    if header.media_type == MediaType::Tiff {
        let (samples, was_transparent) = tiff::decode(bytes, header, cancel)?;
        return show(Pixels::Rgb { samples: &samples, was_transparent });
    }
    if header.media_type == MediaType::Webp
        && !safe_decoders
        && let Some(chunk) = header::webp::lossy_chunk(bytes)
    {
        return lossy_webp(chunk, header, show);
    }
    if header.media_type == MediaType::Webp {
        header::webp::check_codes(bytes)?;
    }
    let decoded = || DynamicImage::from_decoder(open(bytes, header)?);
    let picture = decoded().map_err(|error| ImageError::undecodable(&error))?;
    if (picture.width(), picture.height()) != (header.stored.width, header.stored.height) {
        return Err(disagreement());
    }
    if picture.color().has_alpha() {
        show(Pixels::Rgba(&picture.into_rgba8()))
    } else {
        show(Pixels::Rgb { samples: &picture.into_rgb8(), was_transparent: false })
    }
}

/// Decodes a lossy WebP picture by libwebp, in less than half the time that `image-webp` takes. It is given the one
/// chunk that holds the picture, so that of libwebp only the container's smallest part and the code of VP8 ever run: not
/// that of lossless pictures and of alpha, in which CVE-2023-4863 was. (`libwebp-sys` 0.9.6 carries libwebp 1.3.1 with the
/// correction of 1.3.2 for it.)
fn lossy_webp<T>(
    chunk: &[u8],
    header: &Header,
    show: impl FnOnce(Pixels<'_>) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let damaged = || ImageError::corrupt("the picture data of the WebP cannot be decoded");
    let decoded = webp::Decoder::new(chunk).decode().ok_or_else(damaged)?;
    let Size { width, height } = header.stored;
    if (decoded.width(), decoded.height(), decoded.layout()) != (width, height, webp::PixelLayout::Rgb) {
        return Err(disagreement());
    }
    show(Pixels::Rgb { samples: &decoded, was_transparent: false })
}

/// The decoder of the header's type, bounded by the header's size.
fn open<'a>(bytes: &'a [u8], header: &Header) -> ImageResult<Box<dyn ImageDecoder + 'a>> {
    let reader = Cursor::new(bytes);
    let mut limits = limits(header.stored);
    if header.media_type == MediaType::Gif {
        // All that counts here is a first frame that does not fill the screen.
        limits.max_alloc = Some(header.stored.pixel_count().saturating_mul(4).saturating_add(GIF_FRAME_BESIDES));
    }
    let mut decoder: Box<dyn ImageDecoder + 'a> = match header.media_type {
        MediaType::Gif => Box::new(GifDecoder::new(reader)?),
        MediaType::Webp => {
            let mut decoder = WebPDecoder::new(reader)?;
            if decoder.has_animation() {
                // What a first frame leaves uncovered is white, like everything transparent.
                decoder.set_background_color(Rgba([255; 4]))?;
            }
            Box::new(decoder)
        }
        MediaType::Bmp => Box::new(BmpDecoder::new(reader)?),
        // Theirs are ours.
        MediaType::Jpeg | MediaType::Png | MediaType::Tiff => {
            return Err(image::ImageError::Unsupported(ImageFormatHint::Unknown.into()));
        }
    };
    // Also refuses a decoder that reads a larger size than we did.
    decoder.set_limits(limits)?;
    Ok(decoder)
}

fn limits(size: Size) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(size.width);
    limits.max_image_height = Some(size.height);
    limits.max_alloc = Some(size.pixel_count().saturating_mul(BYTES_PER_PIXEL).saturating_add(BYTES_BESIDES));
    limits
}

/// Runs a decoder. Decoders have panicked on hostile files before; here that is one more damaged file.
pub(super) fn contained<T>(decoder: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    catch_unwind(AssertUnwindSafe(decoder))
        .unwrap_or_else(|_| Err(ImageError::corrupt("the decoder could not make sense of it")))
}

fn disagreement() -> ImageError {
    ImageError::corrupt("the sizes that the file states do not agree")
}

/// Lays a row of RGBA on white; answers whether a pixel was not opaque.
pub(super) fn flatten(rgba: &[u8], rgb: &mut [u8]) -> bool {
    let mut was_transparent = false;
    for (pixel, flat) in rgba.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        if let [colours @ .., alpha] = pixel {
            was_transparent |= *alpha != u8::MAX;
            flat.iter_mut().zip(colours).for_each(|(flat, sample)| *flat = on_white(*sample, *alpha));
        }
    }
    was_transparent
}

/// A sample of straight alpha over white, rounded to the nearest.
fn on_white(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    ((sample * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_runs_from_white_to_the_sample() {
        assert_eq!(on_white(0, 0), 255);
        assert_eq!(on_white(0, 255), 0);
        assert_eq!(on_white(200, 255), 200);
        assert_eq!(on_white(0, 128), 127);
        assert!((0..=255).all(|alpha| on_white(255, alpha) == 255));
    }

    #[test]
    fn a_panicking_decoder_is_a_damaged_file() {
        let outcome = contained::<()>(|| panic!("decoder bug"));
        assert!(matches!(outcome, Err(ImageError::Corrupt { .. })));
    }
}
