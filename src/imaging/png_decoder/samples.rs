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

    fn channels(self) -> usize {
        match self.colour {
            Colour::Gray | Colour::Indexed => 1,
            Colour::GrayAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        }
    }

    fn bits_per_pixel(self) -> usize {
        self.channels() * usize::from(self.depth)
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

/// Bytes of memory of [`Samples`]; `None` when a number cannot hold it.
pub(super) fn memory(kind: Kind, width: u32) -> Option<usize> {
    usize::try_from(width).ok()?.checked_mul(kind.channels() + 3)?.checked_add(256 * size_of::<Entry>())
}

/// RGB laid on white, and what is remarkable about it: [`TRANSPARENT`], [`ABSENT`].
type Entry = [u8; 4];
/// The colour was not opaque.
const TRANSPARENT: u8 = 1;
/// The palette has no such colour.
const ABSENT: u8 = 2;

/// What the samples of a pixel are, once each is a byte.
enum Reader {
    /// One: what each value stands for.
    Table(Box<[Entry; 256]>),
    GrayAlpha,
    Rgb,
    Rgba,
}

/// The one colour that is transparent, as stored.
enum Key {
    Gray16([u8; 2]),
    Rgb8([u8; 3]),
    Rgb16([u8; 6]),
}

/// Turns unfiltered rows into RGB on white.
pub(super) struct Samples {
    depth: u8,
    channels: usize,
    reader: Reader,
    key: Option<Key>,
    /// The samples of one row, a byte each.
    bytes: Vec<u8>,
    /// One row.
    rgb: Vec<u8>,
    /// Whether a pixel so far was not opaque.
    pub(super) was_transparent: bool,
}

impl Samples {
    /// For rows of `width` pixels at most. A transparency chunk that does not suit the picture is ignored, as it is
    /// everywhere.
    pub(super) fn new(start: &Start, width: usize) -> Result<Self, ImageError> {
        let kind @ Kind { depth, colour } = start.kind;
        let transparency = start.transparency.unwrap_or_default();
        let reader = match colour {
            Colour::Indexed => Reader::Table(palette(start.palette, transparency)?),
            Colour::Gray => Reader::Table(grays(depth, transparency.get(1).copied())),
            Colour::GrayAlpha => Reader::GrayAlpha,
            Colour::Rgb => Reader::Rgb,
            Colour::Rgba => Reader::Rgba,
        };
        let key = match (colour, depth, transparency) {
            (Colour::Gray, 16, _) => transparency.first_chunk().copied().map(Key::Gray16),
            (Colour::Rgb, 8, [_, r, _, g, _, b, ..]) => Some(Key::Rgb8([*r, *g, *b])),
            (Colour::Rgb, 16, _) => transparency.first_chunk().copied().map(Key::Rgb16),
            _ => None,
        };
        let channels = kind.channels();
        let (bytes, rgb) = (vec![0; channels * width], vec![0; 3 * width]);
        Ok(Self { depth, channels, reader, key, bytes, rgb, was_transparent: false })
    }

    /// A row of `width` pixels as RGB of 8 bits on white.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when a pixel's colour is not in the palette.
    pub(super) fn convert<'a>(&'a mut self, row: &'a [u8], width: usize) -> Result<&'a [u8], ImageError> {
        let Self { depth, channels, reader, key, bytes, rgb, .. } = self;
        let is_rgb = matches!(reader, Reader::Rgb) && key.is_none();
        if is_rgb && *depth == 8 {
            return Ok(row);
        }
        let rgb = rgb.get_mut(..3 * width).unwrap_or_default();
        let bytes = bytes.get_mut(..*channels * width).unwrap_or_default();
        match depth {
            1 => unpack::<8>(row, bytes),
            2 => unpack::<4>(row, bytes),
            4 => unpack::<2>(row, bytes),
            16 => reduce(row, bytes),
            _ => bytes.copy_from_slice(row),
        }
        self.was_transparent |= match reader {
            Reader::Table(entries) => {
                let remarks = look_up(bytes, entries, rgb);
                if remarks & ABSENT != 0 {
                    return Err(ImageError::corrupt("a pixel's colour is not in the PNG's palette"));
                }
                remarks & TRANSPARENT != 0
            }
            Reader::GrayAlpha => flatten_gray(bytes, rgb),
            Reader::Rgb if is_rgb => return Ok(bytes),
            Reader::Rgb => {
                rgb.copy_from_slice(bytes);
                false
            }
            Reader::Rgba => flatten_rgba(bytes, rgb),
        };
        self.was_transparent |= match key {
            Some(Key::Gray16(key)) => whiten(row, key, rgb),
            Some(Key::Rgb8(key)) => whiten(row, key, rgb),
            Some(Key::Rgb16(key)) => whiten(row, key, rgb),
            None => false,
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

/// Gray values of up to 8 bits, one of which may be transparent. Those of 16 bits are looked up by their reduced value,
/// which is opaque: their key is of 16 bits too.
fn grays(depth: u8, key: Option<u8>) -> Box<[Entry; 256]> {
    let key = key.filter(|_| depth <= 8);
    let most = u8::MAX >> 8_u8.saturating_sub(depth);
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

/// Samples of 1, 2 or 4 bits, `N` to a byte, the first of them in its highest bits.
fn unpack<const N: usize>(row: &[u8], bytes: &mut [u8]) {
    let depth = 8 / N;
    let unpacked = |byte: u8| std::array::from_fn(|at| (byte >> (8 - depth * (at + 1))) & (u8::MAX >> (8 - depth)));
    let (whole, rest) = bytes.as_chunks_mut::<N>();
    for (samples, byte) in whole.iter_mut().zip(row) {
        *samples = unpacked(*byte);
    }
    if let Some(byte) = row.get(whole.len()) {
        let last: [u8; N] = unpacked(*byte);
        rest.iter_mut().zip(last).for_each(|(sample, value)| *sample = value);
    }
}

/// Samples of 16 bits, the higher byte first, in 8.
fn reduce(row: &[u8], bytes: &mut [u8]) {
    for (byte, sample) in bytes.iter_mut().zip(row.as_chunks().0) {
        *byte = reduced(u16::from_be_bytes(*sample));
    }
}

/// `value * 255 / 65535` to the nearest.
#[inline(always)]
fn reduced(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_895) >> 16) as u8
}

/// Looks up all pixels of a row; answers their remarks taken together.
#[expect(clippy::indexing_slicing, reason = "a byte is an index below 256")]
fn look_up(samples: &[u8], entries: &[Entry; 256], rgb: &mut [u8]) -> u8 {
    let mut remarks = 0;
    for (pixel, sample) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
        let [r, g, b, remark] = entries[usize::from(*sample)];
        *pixel = [r, g, b];
        remarks |= remark;
    }
    remarks
}

/// Makes all pixels white that are stored as the key; answers whether there was one.
fn whiten<const B: usize>(row: &[u8], key: &[u8; B], rgb: &mut [u8]) -> bool {
    let mut found = false;
    for (target, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks().0) {
        if pixel == key {
            *target = [u8::MAX; 3];
            found = true;
        }
    }
    found
}

/// Lays pixels of gray and alpha on white, in place, and spreads them. Answers whether one was not opaque.
///
/// Steps of their own, here and for RGBA: one loop that does both becomes slow vector code.
fn flatten_gray(samples: &mut [u8], rgb: &mut [u8]) -> bool {
    let (pixels, _) = samples.as_chunks_mut::<2>();
    let mut all = u8::MAX;
    for [gray, alpha] in pixels.iter_mut() {
        all &= *alpha;
        *gray = on_white(*gray, *alpha);
    }
    for (target, [gray, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *target = [*gray; 3];
    }
    all != u8::MAX
}

/// Lays pixels of RGB and alpha on white, in place, and takes the alpha out. Answers whether one was not opaque.
fn flatten_rgba(samples: &mut [u8], rgb: &mut [u8]) -> bool {
    let (pixels, _) = samples.as_chunks_mut::<4>();
    let all = pixels.iter().fold(u32::MAX, |all, pixel| all & u32::from_le_bytes(*pixel));
    let is_opaque = all >> 24 == u32::from(u8::MAX);
    if !is_opaque {
        for pixel in pixels.iter_mut() {
            *pixel = rgba_on_white(u32::from_le_bytes(*pixel)).to_le_bytes();
        }
    }
    for (target, [r, g, b, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *target = [*r, *g, *b];
    }
    !is_opaque
}

/// [`on_white`] of three samples, lowest first, under the alpha above them, two at a time in the halves of a word.
#[inline(always)]
fn rgba_on_white(pixel: u32) -> u32 {
    const HALVES: u32 = 0x00ff_00ff;
    let (inverted, alpha) = (!pixel, pixel >> 24);
    let divided = |product: u32| ((product + (product >> 8 & HALVES)) >> 8) & HALVES;
    let red_blue = divided((inverted & HALVES) * alpha + 0x0080_0080);
    let green = divided((inverted >> 8 & 0xff) * alpha + 0x80);
    !(red_blue | green << 8)
}

/// Alpha where one colour stands for nothing.
fn opaque_unless(is_key: bool) -> u8 {
    if is_key { 0 } else { u8::MAX }
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
    fn two_samples_at_a_time_are_laid_on_white_as_one_is() {
        for (sample, alpha) in (0..=255_u8).flat_map(|sample| (0..=255_u8).map(move |alpha| (sample, alpha))) {
            let colour = [sample, 255 - sample, sample ^ 0x55];
            let [r, g, b] = colour;
            let [red, green, blue, _] = rgba_on_white(u32::from_le_bytes([r, g, b, alpha])).to_le_bytes();
            assert_eq!([red, green, blue], colour.map(|sample| on_white(sample, alpha)));
        }
    }

    #[test]
    fn sixteen_bits_are_reduced_to_the_nearest() {
        for value in 0..=u16::MAX {
            assert_eq!(u32::from(reduced(value)), (u32::from(value) * 255 + 32_767) / 65_535);
        }
    }
}
