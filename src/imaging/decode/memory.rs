//! How much memory decoding takes at most.

use super::super::{
    MediaType, colour,
    header::{Header, Scratch},
};

/// What a decoder of JPEG or PNG holds for each pixel, at most.
const BYTES_PER_PIXEL: u64 = 16;
/// Tables and rows, whatever the picture.
const BYTES_BESIDES: u64 = 64 * 1024;

/// Most bytes that turning a file into RGB holds at once, the file itself not counted: the picture, what its decoder needs
/// beside it, and what is made of a colour profile. `safe_decoders` as in [`super::decode`].
pub(in crate::imaging) fn memory(header: &Header, safe_decoders: bool) -> u64 {
    let pixels = header.stored.pixel_count();
    let decoded = match header.media_type {
        MediaType::Jpeg | MediaType::Png => pixels.saturating_mul(BYTES_PER_PIXEL),
        MediaType::Gif | MediaType::Webp | MediaType::Bmp | MediaType::Tiff => {
            let Scratch { fast, safe } = header.scratch;
            pixels.saturating_mul(3).saturating_add(if safe_decoders { safe } else { fast })
        }
    };
    decoded.saturating_add(BYTES_BESIDES).saturating_add(colour::memory(header))
}
