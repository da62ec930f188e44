//! Samples of any kind to opaque RGB of 8 bits.

use super::chunks::Start;
use crate::imaging::ImageError;

/// Depth and colour type: one of the fifteen that PNG knows (section 11.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Bits of a sample.
    depth: u8,
    colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Gray,
    Rgb,
    Indexed,
    GrayAlpha,
    Rgba,
}

impl Kind {
    /// The kind that the header names with these two numbers.
    pub(super) fn of(depth: u8, colour: u8) -> Option<Self> {
        let colour = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => Colour::Gray,
            (2, 8 | 16) => Colour::Rgb,
            (3, 1 | 2 | 4 | 8) => Colour::Indexed,
            (4, 8 | 16) => Colour::GrayAlpha,
            (6, 8 | 16) => Colour::Rgba,
            _ => return None,
        };
        Some(Self { depth, colour })
    }

    pub(super) fn is_indexed(self) -> bool {
        self.colour == Colour::Indexed
    }

    fn bits_per_pixel(self) -> usize {
        let samples = match self.colour {
            Colour::Gray | Colour::Indexed => 1,
            Colour::GrayAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        };
        samples * usize::from(self.depth)
    }

    /// Bytes from one pixel to the next, as filters count them: 1 where a byte holds several pixels.
    pub(super) fn pixel(self) -> usize {
        self.bits_per_pixel().div_ceil(8)
    }

    /// Bytes of a row of `width` pixels, without its filter's number; `None` when a number cannot hold it.
    pub(super) fn row(self, width: u32) -> Option<usize> {
        Some(usize::try_from(width).ok()?.checked_mul(self.bits_per_pixel())?.div_ceil(8))
    }
}

/// Bytes of memory of [`Samples`] beside its row: a table, or none.
pub(super) const MEMORY: usize = 256 * size_of::<Entry>();

/// RGB laid on white, and what is remarkable about it: [`TRANSPARENT`], [`ABSENT`].
type Entry = [u8; 4];
/// The colour was not opaque.
const TRANSPARENT: u8 = 1;
/// The palette has no such colour.
const ABSENT: u8 = 2;

/// How a row's bytes are read.
enum Reader {
    /// They are what is wanted.
    Rgb8,
    /// Pixels of a byte or less: what each value stands for.
    Table {
        depth: u8,
        entries: Box<[Entry; 256]>,
    },
    /// With the colour that is transparent.
    Rgb8Keyed([u8; 3]),
    GrayAlpha8,
    Rgba8,
    Gray16 {
        key: Option<[u8; 2]>,
    },
    GrayAlpha16,
    Rgb16 {
        key: Option<[u8; 6]>,
    },
    Rgba16,
}

/// Turns unfiltered rows into RGB on white.
pub(super) struct Samples {
    reader: Reader,
    /// One row.
    rgb: Vec<u8>,
    /// Whether a pixel so far was not opaque.
    pub(super) was_transparent: bool,
}

impl Samples {
    /// For rows of `width` pixels at most. A transparency chunk that does not suit the picture is ignored, as it is
    /// everywhere.
    pub(super) fn new(start: &Start, width: usize) -> Result<Self, ImageError> {
        let Kind { depth, colour } = start.kind;
        let transparency = start.transparency.unwrap_or_default();
        let reader = match (colour, depth) {
            (Colour::Indexed, _) => Reader::Table { depth, entries: palette(start.palette, transparency)? },
            (Colour::Gray, 16) => Reader::Gray16 { key: transparency.first_chunk().copied() },
            (Colour::Gray, _) => Reader::Table { depth, entries: grays(depth, transparency.get(1).copied()) },
            (Colour::GrayAlpha, 8) => Reader::GrayAlpha8,
            (Colour::GrayAlpha, _) => Reader::GrayAlpha16,
            (Colour::Rgb, 8) => match transparency {
                [_, r, _, g, _, b, ..] => Reader::Rgb8Keyed([*r, *g, *b]),
                _ => Reader::Rgb8,
            },
            (Colour::Rgb, _) => Reader::Rgb16 { key: transparency.first_chunk().copied() },
            (Colour::Rgba, 8) => Reader::Rgba8,
            (Colour::Rgba, _) => Reader::Rgba16,
        };
        let rgb = if matches!(reader, Reader::Rgb8) { Vec::new() } else { vec![0; 3 * width] };
        Ok(Self { reader, rgb, was_transparent: false })
    }

    /// A row of `width` pixels as RGB of 8 bits on white.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when a pixel's colour is not in the palette.
    pub(super) fn convert<'a>(&'a mut self, row: &'a [u8], width: usize) -> Result<&'a [u8], ImageError> {
        let rgb = self.rgb.get_mut(..3 * width).unwrap_or_default();
        self.was_transparent |= match &self.reader {
            Reader::Rgb8 => return Ok(row),
            Reader::Table { depth, entries } => {
                let remarks = look_up(row, *depth, entries, rgb);
                if remarks & ABSENT != 0 {
                    return Err(ImageError::corrupt("a pixel's colour is not in the PNG's palette"));
                }
                remarks & TRANSPARENT != 0
            }
            Reader::Rgb8Keyed(key) => flatten(row, rgb, |rgb: [u8; 3]| (rgb, opaque_unless(rgb == *key))),
            Reader::GrayAlpha8 => flatten(row, rgb, |[gray, alpha]: [u8; 2]| ([gray; 3], alpha)),
            Reader::Rgba8 => flatten_rgba(row, rgb),
            Reader::Gray16 { key } => {
                flatten(row, rgb, |gray: [u8; 2]| ([reduced(gray); 3], opaque_unless(*key == Some(gray))))
            }
            Reader::GrayAlpha16 => {
                flatten(row, rgb, |[v0, v1, a0, a1]: [u8; 4]| ([reduced([v0, v1]); 3], reduced([a0, a1])))
            }
            Reader::Rgb16 { key } => flatten(row, rgb, |pixel: [u8; 6]| {
                let [r0, r1, g0, g1, b0, b1] = pixel;
                ([reduced([r0, r1]), reduced([g0, g1]), reduced([b0, b1])], opaque_unless(*key == Some(pixel)))
            }),
            Reader::Rgba16 => flatten(row, rgb, |[r0, r1, g0, g1, b0, b1, a0, a1]: [u8; 8]| {
                ([reduced([r0, r1]), reduced([g0, g1]), reduced([b0, b1])], reduced([a0, a1]))
            }),
        };
        Ok(rgb)
    }
}

/// The palette's colours by their index.
fn palette(colours: Option<&[u8]>, alphas: &[u8]) -> Result<Box<[Entry; 256]>, ImageError> {
    let colours = colours.ok_or_else(|| ImageError::corrupt("the PNG has no palette"))?;
    let (colours, rest) = colours.as_chunks::<3>();
    if colours.is_empty() || colours.len() > 256 || !rest.is_empty() {
        return Err(ImageError::corrupt("the PNG's palette has an impossible length"));
    }
    let alphas = if alphas.len() > colours.len() { &[] } else { alphas };
    let alphas = alphas.iter().copied().chain(std::iter::repeat(u8::MAX));
    let mut entries = Box::new([[0, 0, 0, ABSENT]; 256]);
    for ((entry, colour), alpha) in entries.iter_mut().zip(colours).zip(alphas) {
        *entry = laid_on_white(*colour, alpha);
    }
    Ok(entries)
}

/// Gray values of up to 8 bits, one of which may be transparent.
fn grays(depth: u8, key: Option<u8>) -> Box<[Entry; 256]> {
    let most = u8::MAX >> (8 - depth);
    let mut entries = Box::new([[0; 4]; 256]);
    for (value, entry) in (0..=most).zip(entries.iter_mut()) {
        // 255, 85, 17 and 1 for depths of 1, 2, 4 and 8.
        *entry = laid_on_white([value * (u8::MAX / most); 3], opaque_unless(key == Some(value)));
    }
    entries
}

fn laid_on_white(colour: [u8; 3], alpha: u8) -> Entry {
    let [r, g, b] = colour.map(|sample| on_white(sample, alpha));
    [r, g, b, if alpha == u8::MAX { 0 } else { TRANSPARENT }]
}

/// Looks up all pixels of a row; answers their remarks taken together.
#[expect(clippy::indexing_slicing, reason = "a byte is an index below 256")]
fn look_up(row: &[u8], depth: u8, entries: &[Entry; 256], rgb: &mut [u8]) -> u8 {
    let mut remarks = 0;
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    let mut put = |pixel: &mut [u8; 3], value: u8| {
        let [r, g, b, remark] = entries[usize::from(value)];
        *pixel = [r, g, b];
        remarks |= remark;
    };
    if depth == 8 {
        pixels.iter_mut().zip(row).for_each(|(pixel, byte)| put(pixel, *byte));
        return remarks;
    }
    // The first pixel of a byte is in its highest bits.
    for (pixels, byte) in pixels.chunks_mut(usize::from(8 / depth)).zip(row) {
        let mut byte = *byte;
        for pixel in pixels {
            put(pixel, byte >> (8 - depth));
            byte <<= depth;
        }
    }
    remarks
}

/// Lays pixels of `B` bytes on white, read as straight RGB and alpha. Answers whether one was not opaque.
#[inline(always)]
fn flatten<const B: usize>(row: &[u8], rgb: &mut [u8], read: impl Fn([u8; B]) -> ([u8; 3], u8)) -> bool {
    let mut all = u8::MAX;
    for (target, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<B>().0) {
        let (colour, alpha) = read(*pixel);
        *target = colour.map(|sample| on_white(sample, alpha));
        all &= alpha;
    }
    all != u8::MAX
}

/// [`flatten`] for the commonest kind with alpha, which is opaque more often than not.
fn flatten_rgba(row: &[u8], rgb: &mut [u8]) -> bool {
    let (pixels, _) = row.as_chunks::<4>();
    let all = pixels.iter().fold(u32::MAX, |all, pixel| all & u32::from_le_bytes(*pixel));
    if all >> 24 != u32::from(u8::MAX) {
        return flatten(row, rgb, |[r, g, b, alpha]: [u8; 4]| ([r, g, b], alpha));
    }
    for (target, [r, g, b, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *target = [*r, *g, *b];
    }
    false
}

/// Alpha where one colour stands for nothing.
fn opaque_unless(is_key: bool) -> u8 {
    if is_key { 0 } else { u8::MAX }
}

/// A sample of 16 bits, the higher first, in 8: `v * 255 / 65535` to the nearest.
#[inline(always)]
fn reduced(sample: [u8; 2]) -> u8 {
    ((u32::from(u16::from_be_bytes(sample)) * 255 + 32_895) >> 16) as u8
}

/// A sample of straight alpha over white, rounded to the nearest: `255 - (255 - sample) * alpha / 255`, in 16 bits.
#[inline(always)]
fn on_white(sample: u8, alpha: u8) -> u8 {
    let lost = u16::from(u8::MAX - sample) * u16::from(alpha) + 128;
    u8::MAX - ((lost + (lost >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_laid_on_white_to_the_nearest() {
        for (sample, alpha) in (0..=255).flat_map(|sample| (0..=255).map(move |alpha| (sample, alpha))) {
            let exact = (sample * alpha + 255 * (255 - alpha) + 127) / 255;
            assert_eq!(u32::from(on_white(sample as u8, alpha as u8)), exact, "{sample} at {alpha}");
        }
    }

    #[test]
    fn sixteen_bits_are_reduced_to_the_nearest() {
        for value in 0..=u16::MAX {
            assert_eq!(u32::from(reduced(value.to_be_bytes())), (u32::from(value) * 255 + 32_767) / 65_535);
        }
    }
}
