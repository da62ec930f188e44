//! GIF: blocks as far as a second frame.

use super::{Header, MediaType, Profile, Samples, Scratch, byte, take};
use crate::domain::Size;
use crate::imaging::ImageError;

/// Memory of a decoder that does not depend on the size: tables of codes and colours, and what
/// [`crate::imaging::decode`] lets a frame be larger than the screen.
const BYTES_BESIDES: u64 = 2 * 1024 * 1024;

/// Reads the header of a GIF.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let (size, first_block) = screen(bytes).ok_or_else(|| ImageError::corrupt("the GIF is cut off in its header"))?;
    let mut frames = 0;
    // `None` only means that the file was over before its end. One whole frame is enough: no more is used.
    let _ = count_frames(bytes, first_block, &mut frames);
    Ok(Header {
        media_type: MediaType::Gif,
        stored: size,
        orientation: None,
        is_animated: frames > 1,
        is_lossless: true,
        // Palettes, transparency, frames smaller than the screen: the first frame is always drawn here.
        is_plain: false,
        samples: Samples::Rgb,
        profile: Profile::None,
        damage: (frames == 0).then_some("the GIF holds no whole frame; the file is cut off"),
        length: bytes.len(),
        // The screen in RGBA, and a first frame that does not fill it in RGBA too, which decoding limits to as much.
        scratch: Scratch::of(size.pixel_count().saturating_mul(5).saturating_add(BYTES_BESIDES)),
    })
}

/// Size of the screen and the offset of the first block.
fn screen(bytes: &[u8]) -> Option<(Size, usize)> {
    let (width, height) = (u16::from_le_bytes(take(bytes, 6)?), u16::from_le_bytes(take(bytes, 8)?));
    let size = Size::new(width.into(), height.into());
    Some((size, 13 + colour_table(byte(bytes, 10)?)))
}

/// Bytes of the colour table that the flags announce.
fn colour_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Counts whole frames, two at most.
fn count_frames(bytes: &[u8], mut at: usize, frames: &mut u32) -> Option<()> {
    while *frames < 2 {
        match byte(bytes, at)? {
            0x21 => at = skip_data(bytes, at + 2)?,
            0x2c => {
                let table = colour_table(byte(bytes, at + 9)?);
                at = skip_data(bytes, at + 10 + table + 1)?;
                *frames += 1;
            }
            _ => return None,
        }
    }
    Some(())
}

/// The offset behind a run of data blocks and the empty block that ends it.
fn skip_data(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(byte(bytes, at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}
