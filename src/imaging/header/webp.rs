//! WebP: the chunks of its RIFF container.
//!
//! The picture's own bitstream states its size a second time, and a decoder allocates by that one: both must agree.

use image::metadata::Orientation;

use super::{Header, MediaType, byte, orientation, take};
use crate::domain::Size;
use crate::imaging::ImageError;

const CUT_OFF: &str = "the WebP is cut off or a chunk's length is wrong";
const DISAGREE: &str = "the sizes that the WebP states do not agree";

/// One compressed picture: a `VP8 ` or `VP8L` chunk.
#[derive(Clone, Copy)]
struct Stream {
    size: Size,
    is_lossless: bool,
    has_alpha: bool,
}

#[derive(Default)]
struct Walk {
    /// Size of the canvas and its flags, from the extended header.
    canvas: Option<(Size, u8)>,
    stream: Option<Stream>,
    orientation: Option<Orientation>,
    has_alpha_chunk: bool,
    frames: u32,
    damage: Option<&'static str>,
}

/// Reads the header of a WebP.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let mut walk = Walk::default();
    if walk.run(bytes).is_none() {
        walk.damage = Some(CUT_OFF);
    }
    let Some(size) = walk.canvas.map(|(size, _)| size).or(walk.stream.map(|stream| stream.size)) else {
        return Err(ImageError::corrupt(walk.damage.unwrap_or("the WebP holds no picture")));
    };
    let flags = walk.canvas.map_or(0, |(_, flags)| flags);
    let is_animated = flags & 0x02 != 0;
    let has_alpha = flags & 0x10 != 0 || walk.has_alpha_chunk || walk.stream.is_some_and(|stream| stream.has_alpha);
    let damage = walk.damage.or(match walk.stream {
        None => Some("the WebP holds no picture data"),
        Some(stream) if !is_animated && stream.size != size => Some(DISAGREE),
        Some(_) => None,
    });
    Ok(Header {
        media_type: MediaType::Webp,
        stored: size,
        orientation: walk.orientation,
        is_animated: is_animated && walk.frames > 1,
        is_lossless: walk.stream.is_some_and(|stream| stream.is_lossless),
        is_plain: !is_animated && !has_alpha,
        damage,
        length: bytes.len(),
    })
}

impl Walk {
    /// Walks the chunks of the file. `None` when one reaches over the end.
    fn run(&mut self, bytes: &[u8]) -> Option<()> {
        let stated = u32::from_le_bytes(take(bytes, 4)?) as usize;
        let end = stated.checked_add(8)?;
        // The last chunk's padding byte is missing from some files.
        let body = bytes.get(12..end.min(bytes.len()))?;
        let mut at = 0;
        while at < body.len() {
            let (name, chunk, next) = chunk(body, at)?;
            at = next;
            match &name {
                b"VP8X" if self.canvas.is_none() => self.canvas = Some(canvas(chunk)?),
                b"VP8 " | b"VP8L" => self.add(stream(&name, chunk)?, self.canvas.map(|(size, _)| size)),
                b"ALPH" => self.has_alpha_chunk = true,
                b"ANMF" => self.animation_frame(chunk)?,
                b"EXIF" => self.orientation = self.orientation.or_else(|| orientation(chunk)),
                _ => {}
            }
        }
        (end <= bytes.len() + 1).then_some(())
    }

    /// A frame of an animation; the first is the one that is used.
    fn animation_frame(&mut self, chunk: &[u8]) -> Option<()> {
        self.frames += 1;
        if self.frames > 1 {
            return Some(());
        }
        let (left, top) = (u24(chunk, 0)? * 2, u24(chunk, 3)? * 2);
        let size = Size::new(u24(chunk, 6)? + 1, u24(chunk, 9)? + 1);
        let canvas = self.canvas?.0;
        if left + size.width > canvas.width || top + size.height > canvas.height {
            self.damage = Some("the first frame of the WebP lies outside it");
        }
        let mut at = 16;
        while at < chunk.len() {
            let (name, inner, next) = self::chunk(chunk, at)?;
            at = next;
            if matches!(&name, b"VP8 " | b"VP8L") {
                self.add(stream(&name, inner)?, Some(size));
            }
        }
        Some(())
    }

    /// Takes note of a stream, of which only one should be there. None may differ from its frame, for a decoder might
    /// choose another than the first.
    fn add(&mut self, stream: Stream, frame: Option<Size>) {
        if frame.is_some_and(|frame| frame != stream.size) {
            self.damage = Some(DISAGREE);
        }
        self.stream.get_or_insert(stream);
    }
}

/// A chunk at an offset: its name, its body, and the offset of the next.
fn chunk(bytes: &[u8], at: usize) -> Option<([u8; 4], &[u8], usize)> {
    let name = take(bytes, at)?;
    let length = u32::from_le_bytes(take(bytes, at + 4)?) as usize;
    let body = bytes.get(at + 8..)?.get(..length)?;
    Some((name, body, at + 8 + length + length % 2))
}

/// Size of the canvas and the flags of an extended header.
fn canvas(chunk: &[u8]) -> Option<(Size, u8)> {
    Some((Size::new(u24(chunk, 4)? + 1, u24(chunk, 7)? + 1), byte(chunk, 0)?))
}

fn stream(name: &[u8; 4], chunk: &[u8]) -> Option<Stream> {
    if name == b"VP8 " {
        let tag = u24(chunk, 0)?;
        let first_partition = (tag >> 5) as usize;
        if take(chunk, 3)? != [0x9d, 0x01, 0x2a] || chunk.len() < 10 + first_partition {
            return None;
        }
        let edge = |at| Some(u32::from(u16::from_le_bytes(take(chunk, at)?) & 0x3fff));
        return Some(Stream { size: Size::new(edge(6)?, edge(8)?), is_lossless: false, has_alpha: false });
    }
    if byte(chunk, 0)? != 0x2f {
        return None;
    }
    let bits = u32::from_le_bytes(take(chunk, 1)?);
    let size = Size::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
    Some(Stream { size, is_lossless: true, has_alpha: bits >> 28 & 1 == 1 })
}

fn u24(bytes: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high] = take(bytes, at)?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}
