//! BMP: its two headers, and whether all rows can be there.

use std::ops::Range;

use super::{Header, MediaType, Profile, Samples, Scratch, byte, take};
use crate::domain::Size;
use crate::imaging::ImageError;

/// What the headers say.
struct Bitmap {
    /// Offset of the pixels.
    pixels: usize,
    width: i32,
    /// Negative when the rows run from the top.
    height: i32,
    /// Bits of a pixel.
    depth: u16,
    compression: u32,
}

/// Reads the header of a BMP.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let bitmap = bitmap(bytes).ok_or_else(|| ImageError::corrupt("the BMP is cut off in its header"))?;
    refuse_rare(&bitmap)?;
    let Ok(width) = u32::try_from(bitmap.width) else {
        return Err(ImageError::corrupt("the BMP states a negative width"));
    };
    let stored = Size::new(width, bitmap.height.unsigned_abs());
    Ok(Header {
        media_type: MediaType::Bmp,
        stored,
        orientation: None,
        is_animated: false,
        is_lossless: true,
        // Models do not take BMP.
        is_plain: false,
        samples: Samples::Rgb,
        profile: profile(bytes).map_or(Profile::None, Profile::Whole),
        damage: (!holds_all_rows(&bitmap, stored, bytes.len()))
            .then_some("the BMP is shorter than its rows; the file is cut off"),
        length: bytes.len(),
        // RGBA, where there is alpha, and a row.
        scratch: Scratch::of(stored.pixel_count().saturating_mul(4).saturating_add(1024 * 1024)),
    })
}

/// The file header of 14 bytes, and behind it one of the many that start alike: that of OS/2 of 12 bytes with edges of
/// 16 bits, or one of 40 bytes and more.
fn bitmap(bytes: &[u8]) -> Option<Bitmap> {
    let pixels = u32::from_le_bytes(take(bytes, 10)?) as usize;
    if byte(bytes, 14)? == 12 {
        return Some(Bitmap {
            pixels,
            width: u16::from_le_bytes(take(bytes, 18)?).into(),
            height: u16::from_le_bytes(take(bytes, 20)?).into(),
            depth: u16::from_le_bytes(take(bytes, 24)?),
            compression: 0,
        });
    }
    let compression = if byte(bytes, 14)? == 16 { 0 } else { u32::from_le_bytes(take(bytes, 30)?) };
    Some(Bitmap {
        pixels,
        width: i32::from_le_bytes(take(bytes, 18)?),
        height: i32::from_le_bytes(take(bytes, 22)?),
        depth: u16::from_le_bytes(take(bytes, 28)?),
        compression,
    })
}

/// The profile that version 5 of the header may embed: type of the colour space at 56 bytes into it, offset from its start
/// and length of the profile at 112 and 116.
fn profile(bytes: &[u8]) -> Option<Range<usize>> {
    if byte(bytes, 14)? != 124 || take(bytes, 70)? != *b"DEBM" {
        return None;
    }
    let start = (u32::from_le_bytes(take(bytes, 126)?) as usize).checked_add(14)?;
    let range = start..start.checked_add(u32::from_le_bytes(take(bytes, 130)?) as usize)?;
    bytes.get(range.clone()).map(|_| range)
}

/// Kinds of BMP that no common software writes and no decoder here reads.
fn refuse_rare(bitmap: &Bitmap) -> Result<(), ImageError> {
    let kind = match (bitmap.compression, bitmap.depth) {
        (0, 1 | 4 | 8 | 16 | 24 | 32) | (1, 8) | (2, 4) | (3 | 6, 16 | 32) => return Ok(()),
        (4, _) => "image/bmp that wraps a JPEG",
        (5, _) => "image/bmp that wraps a PNG",
        (0, 2) => "image/bmp with 2 bits a pixel",
        _ => "image/bmp of an unknown compression",
    };
    Err(ImageError::Unsupported { detected: kind.to_owned() })
}

/// Whether the file is long enough for its rows, each padded to 4 bytes. How long runs are, only decoding tells.
fn holds_all_rows(bitmap: &Bitmap, size: Size, length: usize) -> bool {
    let row = (u64::from(size.width) * u64::from(bitmap.depth)).div_ceil(32) * 4;
    let rows = if matches!(bitmap.compression, 1 | 2) { 1 } else { row.saturating_mul(size.height.into()) };
    (bitmap.pixels as u64).saturating_add(rows) <= length as u64
}
