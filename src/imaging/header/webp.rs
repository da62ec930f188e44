//! WebP: the chunks of its RIFF container.
//!
//! The picture's own bitstream states its size a second time, and a decoder allocates by that one: both must agree.

mod codes;

use std::ops::Range;

use image::metadata::Orientation;

use super::{Header, MediaType, Profile, Samples, Scratch, byte, orientation, take};
use crate::domain::Size;
use crate::imaging::ImageError;

const CUT_OFF: &str = "the WebP is cut off or a chunk's length is wrong";
const DISAGREE: &str = "the sizes that the WebP states do not agree";

/// Memory of a decoder that does not depend on the size.
const BYTES_BESIDES: u64 = 1024 * 1024;
/// Most memory that the prefix codes of a lossless picture may take. Encoders write up to 2,600 groups of them; those of
/// a photo of 12 megapixels take a few MB.
const MAX_CODE_BYTES: u64 = 64 * 1024 * 1024;

/// Most memory that a part of a lossy picture's stream takes: `image-webp` allocates by the 24 bits that state its length,
/// before it looks whether the file is that long.
const MAX_PARTITION_BYTES: u64 = 1 << 24;

#[cfg(test)]
pub(in crate::imaging) use codes::tests::picture_of as codes_of;

/// Flags of the extended header.
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const ANIMATION: u8 = 0x02;

/// One compressed picture: a `VP8 ` or `VP8L` chunk.
#[derive(Clone)]
struct Stream {
    size: Size,
    is_lossless: bool,
    has_alpha: bool,
    /// Where the chunk lies, name and length with it.
    chunk: Range<usize>,
}

/// A stream of lossless code: a picture, or the alpha channel of one.
#[derive(Clone)]
struct Lossless {
    /// What stands behind sizes and flags.
    body: Range<usize>,
    size: Size,
}

#[derive(Default)]
struct Walk {
    /// Size of the canvas and its flags, from the extended header.
    canvas: Option<(Size, u8)>,
    stream: Option<Stream>,
    orientation: Option<Orientation>,
    /// Where a colour profile lies.
    icc: Option<Range<usize>>,
    has_alpha_chunk: bool,
    /// The first picture of lossless code, and the first alpha channel.
    lossless: [Option<Lossless>; 2],
    frames: u32,
    damage: Option<&'static str>,
}

/// Reads the header of a WebP.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let walk = Walk::of(bytes);
    let Some(size) = walk.canvas.map(|(size, _)| size).or(walk.stream.as_ref().map(|stream| stream.size)) else {
        return Err(ImageError::corrupt(walk.damage.unwrap_or("the WebP holds no picture")));
    };
    let is_animated = walk.flags() & ANIMATION != 0;
    let damage = walk.damage.or(match &walk.stream {
        None => Some("the WebP holds no picture data"),
        Some(stream) if !is_animated && stream.size != size => Some(DISAGREE),
        Some(_) => None,
    });
    let has_profile = walk.flags() & PROFILE != 0;
    let scratch = walk.scratch(size);
    Ok(Header {
        media_type: MediaType::Webp,
        stored: size,
        orientation: walk.orientation,
        is_animated: is_animated && walk.frames > 1,
        is_lossless: walk.stream.as_ref().is_some_and(|stream| stream.is_lossless),
        is_plain: !is_animated && !walk.has_alpha(),
        samples: Samples::Rgb,
        profile: walk.icc.filter(|_| has_profile).map_or(Profile::None, Profile::Whole),
        damage,
        length: bytes.len(),
        scratch,
    })
}

/// The chunk of a still, opaque, lossy picture, name and length with it. Alone, it is a file of its own for libwebp, and
/// one in which nothing but lossy code is called.
pub(in crate::imaging) fn lossy_chunk(bytes: &[u8]) -> Option<&[u8]> {
    let walk = Walk::of(bytes);
    let stream = walk.stream.as_ref().filter(|_| walk.is_all_lossy() && walk.damage.is_none())?;
    bytes.get(stream.chunk.clone())
}

impl Walk {
    fn of(bytes: &[u8]) -> Self {
        let mut walk = Self::default();
        if walk.run(bytes).is_none() {
            walk.damage = Some(CUT_OFF);
        }
        walk
    }

    /// Flags of the extended header.
    fn flags(&self) -> u8 {
        self.canvas.map_or(0, |(_, flags)| flags)
    }

    /// Whether the picture is a single opaque stream of lossy code, which libwebp decodes.
    fn is_all_lossy(&self) -> bool {
        let is_lossy = self.stream.as_ref().is_some_and(|stream| !stream.is_lossless);
        is_lossy && self.flags() & ANIMATION == 0 && !self.has_alpha()
    }

    /// Memory beside an RGB picture of that size, by what `image-webp` and libwebp allocate.
    fn scratch(&self, size: Size) -> Scratch {
        let pixels = size.pixel_count();
        let stream = self.stream.as_ref().map_or(0, |stream| stream.chunk.len() as u64);
        // Brightness and half as much colour, of whole blocks of 16x16, and the stream once more.
        let planes = u64::from(size.width + 15).saturating_mul(u64::from(size.height + 15)) * 3 / 2 + stream;
        if self.is_all_lossy() {
            // libwebp: its own picture beside ours, and for each column a row of blocks with what filters need.
            let fast = pixels * 3 + u64::from(size.width) * 256 + BYTES_BESIDES;
            return Scratch { fast, safe: planes + MAX_PARTITION_BYTES + BYTES_BESIDES };
        }
        // RGBA, then pictures of blocks of 4x4 and more that say how to read it, and codes for each of those, of which
        // little file holds few.
        let codes: u64 = self.lossless.iter().flatten().map(|lossless| lossless.body.len() as u64).sum();
        let lossless = pixels * 6 + MAX_CODE_BYTES.min(codes * 1200);
        let is_lossless = self.stream.as_ref().is_some_and(|stream| stream.is_lossless);
        let bytes = match (self.flags() & ANIMATION != 0, self.has_alpha()) {
            // Canvas, frame and result, all of RGBA.
            (true, _) => pixels * 7 + planes + lossless,
            (false, _) if is_lossless => lossless,
            // The alpha channel is a lossless picture of its own, whose green is copied out of it.
            (false, _) => pixels * 2 + planes + lossless,
        };
        let partition = if is_lossless { 0 } else { MAX_PARTITION_BYTES };
        Scratch::of(bytes + partition + BYTES_BESIDES)
    }

    fn has_alpha(&self) -> bool {
        let stream_has = self.stream.as_ref().is_some_and(|stream| stream.has_alpha);
        self.flags() & ALPHA != 0 || self.has_alpha_chunk || stream_has
    }

    /// Walks the chunks of the file. `None` when one reaches over the end.
    fn run(&mut self, bytes: &[u8]) -> Option<()> {
        let stated = u32::from_le_bytes(take(bytes, 4)?) as usize;
        let end = stated.checked_add(8)?;
        // The last chunk's padding byte is missing from some files.
        let body = bytes.get(12..end.min(bytes.len()))?;
        let mut at = 0;
        while at < body.len() {
            let (name, chunk, next) = chunk(body, at)?;
            let start = 12 + at;
            at = next;
            match &name {
                b"VP8X" if self.canvas.is_none() => self.canvas = Some(canvas(chunk)?),
                b"VP8 " | b"VP8L" => self.add(stream(&name, chunk, start)?, self.canvas.map(|(size, _)| size)),
                b"ALPH" => self.alpha(chunk, start, self.canvas?.0),
                b"ICCP" if self.icc.is_none() => self.icc = Some(start + 8..start + 8 + chunk.len()),
                b"ANMF" => self.animation_frame(chunk, start + 8)?,
                b"EXIF" => self.orientation = self.orientation.or_else(|| orientation(chunk)),
                _ => {}
            }
        }
        (end <= bytes.len() + 1).then_some(())
    }

    /// A frame of an animation, whose chunk has its body at `start`; the first is the one that is used.
    fn animation_frame(&mut self, chunk: &[u8], start: usize) -> Option<()> {
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
            let start = start + at;
            at = next;
            match &name {
                b"VP8 " | b"VP8L" => self.add(stream(&name, inner, start)?, Some(size)),
                b"ALPH" => self.alpha(inner, start, size),
                _ => {}
            }
        }
        Some(())
    }

    /// Takes note of a stream, of which only one should be there. None may differ from its frame, for a decoder might
    /// choose another than the first.
    fn add(&mut self, stream: Stream, frame: Option<Size>) {
        let [picture, _] = &mut self.lossless;
        if stream.is_lossless && picture.is_none() {
            // Name, length, signature, size and flags.
            let body = stream.chunk.start + 8 + 5..stream.chunk.end;
            *picture = Some(Lossless { body, size: stream.size });
        }
        if frame.is_some_and(|frame| frame != stream.size) {
            self.damage = Some(DISAGREE);
        }
        self.stream.get_or_insert(stream);
    }
}

impl Walk {
    /// Takes note of an alpha channel, whose chunk starts at `start`.
    fn alpha(&mut self, chunk: &[u8], start: usize, size: Size) {
        self.has_alpha_chunk = true;
        let [_, alpha] = &mut self.lossless;
        // The two lowest bits of the first byte say how it is compressed.
        if alpha.is_none() && chunk.first().is_some_and(|flags| flags & 3 == 1) {
            *alpha = Some(Lossless { body: start + 9..start + 8 + chunk.len(), size });
        }
    }
}

/// Refuses a picture whose prefix codes take more memory than any encoder makes them. To be asked before `image-webp`
/// decodes it, which does not.
pub(in crate::imaging) fn check_codes(bytes: &[u8]) -> Result<(), ImageError> {
    let walk = Walk::of(bytes);
    let codes = walk.lossless.iter().flatten().filter_map(|Lossless { body, size }| {
        // Where the stream is damaged, the decoder stops too.
        codes::memory(bytes.get(body.clone())?, size.width, size.height)
    });
    if codes.sum::<u64>() > MAX_CODE_BYTES {
        return Err(ImageError::corrupt("the WebP has more codes than a picture needs"));
    }
    Ok(())
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

/// What a stream says of itself; its chunk starts at `start`.
fn stream(name: &[u8; 4], chunk: &[u8], start: usize) -> Option<Stream> {
    let place = start..start + 8 + chunk.len();
    if name == b"VP8 " {
        let tag = u24(chunk, 0)?;
        let first_partition = (tag >> 5) as usize;
        if take(chunk, 3)? != [0x9d, 0x01, 0x2a] || chunk.len() < 10 + first_partition {
            return None;
        }
        let edge = |at| Some(u32::from(u16::from_le_bytes(take(chunk, at)?) & 0x3fff));
        let size = Size::new(edge(6)?, edge(8)?);
        return Some(Stream { size, is_lossless: false, has_alpha: false, chunk: place });
    }
    if byte(chunk, 0)? != 0x2f {
        return None;
    }
    let bits = u32::from_le_bytes(take(chunk, 1)?);
    let size = Size::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
    Some(Stream { size, is_lossless: true, has_alpha: bits >> 28 & 1 == 1, chunk: place })
}

fn u24(bytes: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high] = take(bytes, at)?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}
