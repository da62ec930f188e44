//! A JPEG decoder that reduces while it decodes, for hostile files: no `unsafe`, memory known from the header.
//!
//! ```text
//! segments -> scans: Huffman -> coefficients -> inverse DCT of N x N points -> planes
//! ```
//!
//! Baseline, extended sequential and progressive pictures of 8 bits (ITU-T T.81). A picture that is wanted smaller is
//! decoded at N/8 of its size, each component at the least N that is still large enough: the higher coefficients are
//! passed over, chroma that is coarser anyway stays so, and nothing is converted that is about to be reduced.
//!
//! It is strict where others draw a smear: a code that no table has, or data that ends inside the picture, is damage.

mod bits;
mod frame;
mod huffman;
mod idct;
mod progressive;
mod sequential;
#[cfg(test)]
mod tests;

use super::planes::Plane;
use super::{Cancel, ImageError};
use crate::domain::Size;
use frame::{Frame, Segments, wrong};
use progressive::Coefficients;

/// Where the coefficients of a block lie, in the order in which they are written (Figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Bytes of tables, at most: eight of Huffman codes and as many to pass over.
const TABLES: u64 = 256 * 1024;

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColourModel {
    /// One component.
    Gray,
    /// JFIF's.
    YCbCr,
    Rgb,
    /// Four inks as Adobe's programs store them: 255 is none of an ink.
    Cmyk,
    /// YCbCr in the place of the first three of those.
    Ycck,
}

/// A decoded component.
#[derive(Debug)]
pub(super) struct Component {
    /// Its samples; the last column and row may reach over the picture's edge.
    pub(super) plane: Plane,
    /// How many of the plane's columns and rows the picture takes, which need not be whole ones.
    pub(super) extent: (f64, f64),
    /// Its place in the frame.
    place: usize,
    /// Samples along a block's edge, 1 to 8.
    scale: usize,
    /// The last coefficient that the scale needs.
    last: usize,
    /// In zigzag order.
    quantization: [f32; 64],
    /// A scan held it.
    is_seen: bool,
    /// Of progressive pictures.
    coefficients: Coefficients,
}

/// A decoded picture.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) model: ColourModel,
    pub(super) components: Vec<Component>,
}

/// Which size each component is wanted in, at least: of (width, height) of the picture, luma and the like get `full`,
/// the two colour components of YCbCr get `chroma`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) full: Size,
    pub(super) chroma: Size,
}

/// Decodes a picture, reduced by eighths as far as `wanted` allows.
///
/// # Errors
///
/// [`ImageError::Corrupt`] says what is damaged; [`ImageError::Cancelled`].
pub(super) fn decode(bytes: &[u8], wanted: &Wanted, cancel: &Cancel) -> Result<Decoded, ImageError> {
    let mut segments = Segments::default();
    let mut components = Vec::new();
    let mut at = 2;
    while let Some((marker, behind)) = next_marker(bytes, at) {
        at = behind;
        match marker {
            0xd9 => break,
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let body = segment(bytes, at)?;
        at += 2 + body.len();
        if marker != 0xda {
            segments.take(marker, body)?;
            continue;
        }
        let frame = segments.frame.as_ref().ok_or_else(wrong)?;
        if components.is_empty() {
            components = prepared(&segments, frame, wanted)?;
        }
        let scan = segments.scan(body)?;
        let decode = if frame.is_progressive { progressive::decode } else { sequential::decode };
        at = decode(bytes, at, &segments, &scan, &mut components, cancel)?;
    }
    let frame = segments.frame.as_ref().ok_or_else(wrong)?;
    if components.is_empty() || components.iter().any(|component| !component.is_seen) {
        return Err(ImageError::corrupt("the JPEG holds no data for a component"));
    }
    for component in components.iter_mut().filter(|_| frame.is_progressive) {
        progressive::finish(component, cancel)?;
        component.coefficients = Coefficients::default();
    }
    Ok(Decoded { model: model(&segments, frame), components })
}

/// Reads all that stands in front of the picture data, as [`decode`] does.
///
/// # Errors
///
/// [`ImageError::Corrupt`] when it makes no sense.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImageError> {
    let (segments, scan) = head(bytes)?;
    segments.scan(scan).map(|_| ())
}

/// Most bytes that [`decode`] holds at once, the file not counted; what it answers is part of that.
pub(super) fn memory(bytes: &[u8], wanted: &Wanted) -> u64 {
    let Ok((segments, _)) = head(bytes) else { return 0 };
    let Some(frame) = &segments.frame else { return 0 };
    let is_ycc = matches!(model(&segments, frame), ColourModel::YCbCr);
    let units = frame.units();
    let mut all = bytes.len() as u64 + TABLES;
    for (place, component) in frame.components.iter().enumerate() {
        let wanted = if is_ycc && place > 0 { wanted.chroma } else { wanted.full };
        let scale = scale(extent(frame, component), wanted);
        let blocks = (units.0 * component.sampling.0) as u64 * (units.1 * component.sampling.1) as u64;
        let band = (units.0 * component.sampling.0 * component.sampling.1 * scale * scale) as u64;
        all += blocks * (scale * scale) as u64 + band;
        if frame.is_progressive {
            all += Coefficients::memory(blocks, idct::last_coefficient(scale));
        }
    }
    all
}

/// The segments in front of the first scan, and its header.
fn head(bytes: &[u8]) -> Result<(Segments, &[u8]), ImageError> {
    let mut segments = Segments { is_for_look: true, ..Segments::default() };
    let mut at = 2;
    while let Some((marker, behind)) = next_marker(bytes, at) {
        at = behind;
        if matches!(marker, 0x01 | 0xd0..=0xd9) {
            continue;
        }
        let body = segment(bytes, at)?;
        if marker == 0xda {
            return Ok((segments, body));
        }
        segments.take(marker, body)?;
        at += 2 + body.len();
    }
    Err(ImageError::corrupt("the JPEG holds no picture data"))
}

/// The components before their first scan.
fn prepared(segments: &Segments, frame: &Frame, wanted: &Wanted) -> Result<Vec<Component>, ImageError> {
    let is_ycc = matches!(model(segments, frame), ColourModel::YCbCr);
    let mut components = Vec::with_capacity(frame.components.len());
    for (place, component) in frame.components.iter().enumerate() {
        let wanted = if is_ycc && place > 0 { wanted.chroma } else { wanted.full };
        let (samples, extent) = (frame.samples(component), extent(frame, component));
        let scale = scale(extent, wanted);
        let last = idct::last_coefficient(scale);
        let edge = |samples: usize| (samples * scale).div_ceil(8);
        let (width, height) = (edge(samples.0), edge(samples.1));
        let eighths = |samples: f64| samples * scale as f64 / 8.0;
        let coefficients =
            if frame.is_progressive { Coefficients::new(frame, place, last)? } else { Coefficients::default() };
        components.push(Component {
            plane: Plane { width, height, samples: vec![0; width * height] },
            extent: (eighths(extent.0), eighths(extent.1)),
            place,
            scale,
            last,
            quantization: [0.0; 64],
            is_seen: false,
            coefficients,
        });
    }
    Ok(components)
}

/// Samples of a component that the picture takes across and down, not rounded.
fn extent(frame: &Frame, component: &frame::Component) -> (f64, f64) {
    let (width, height) = frame.edges();
    let part = |edge: usize, own: usize, most: usize| (edge * own) as f64 / most as f64;
    let (own, most) = (component.sampling, frame.sampling);
    (part(width, own.0, most.0), part(height, own.1, most.1))
}

/// The least number of eighths at which a component is as large as wanted; 8 when it never is.
fn scale(extent: (f64, f64), wanted: Size) -> usize {
    let is_enough = |scale: &usize| {
        let enough = |extent: f64, wanted: u32| extent * *scale as f64 / 8.0 >= f64::from(wanted);
        enough(extent.0, wanted.width) && enough(extent.1, wanted.height)
    };
    (1..8).find(is_enough).unwrap_or(8)
}

/// What the components are, by the markers that say so, else by their ids, as the common decoders do.
fn model(segments: &Segments, frame: &Frame) -> ColourModel {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match (ids.as_slice(), segments.adobe_transform) {
        ([_], _) => ColourModel::Gray,
        ([_, _, _], _) if segments.has_jfif => ColourModel::YCbCr,
        ([_, _, _], Some(0)) => ColourModel::Rgb,
        ([b'R', b'G', b'B'], None) => ColourModel::Rgb,
        ([_, _, _, _], Some(2)) => ColourModel::Ycck,
        ([_, _, _, _], _) => ColourModel::Cmyk,
        _ => ColourModel::YCbCr,
    }
}

/// The body of the segment whose length lies at offset `at`.
fn segment(bytes: &[u8], at: usize) -> Result<&[u8], ImageError> {
    let body = bytes.get(at..).and_then(|rest| {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        rest.get(2..length.max(2))
    });
    body.ok_or_else(|| ImageError::corrupt("the JPEG is cut off in a header"))
}

/// The next marker at or after offset `at`, and the offset behind it. Picture data in between is passed over: there, `ff 00`
/// is a sample and not a marker. So is garbage between segments, as decoders do.
pub(super) fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    // Of picture data every 256th byte or so is `ff`: whole blocks are passed at once.
    while is_without_marker(bytes, at) {
        at += BLOCK;
    }
    loop {
        at += memchr::memchr(0xff, bytes.get(at..)?)? + 1;
        match bytes.get(at)? {
            0x00 => at += 1,
            0xff => {}
            marker => return Some((*marker, at + 1)),
        }
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Whether there is a whole block at `at` in which every `ff` is followed by zero. Written so that it becomes a few vector
/// instructions.
fn is_without_marker(bytes: &[u8], at: usize) -> bool {
    let block = |at: usize| bytes.get(at..)?.first_chunk::<BLOCK>();
    let Some((block, behind)) = block(at).zip(block(at + 1)) else { return false };
    let marks = |found: u8, (byte, next): (&u8, &u8)| found | (u8::from(*byte == 0xff) & u8::from(*next != 0));
    block.iter().zip(behind).fold(0, marks) == 0
}

/// The offset behind the restart marker that must be at `at`.
fn next_restart(bytes: &[u8], at: usize) -> Result<usize, ImageError> {
    match next_marker(bytes, at) {
        Some((0xd0..=0xd7, behind)) => Ok(behind),
        _ => Err(ImageError::corrupt("the JPEG's data ends inside the picture")),
    }
}

impl Segments {
    /// The quantization of the component at `place`, for the inverse transform.
    fn quantization_of(&self, place: usize) -> Result<[f32; 64], ImageError> {
        let component = self.frame.as_ref().and_then(|frame| frame.components.get(place)).ok_or_else(wrong)?;
        let table = self.quantization.get(component.quantization).copied().flatten().ok_or_else(missing)?;
        Ok(table.map(f32::from))
    }
}

fn missing() -> ImageError {
    ImageError::corrupt("the JPEG lacks a table that its data needs")
}

fn unknown_code() -> ImageError {
    ImageError::corrupt("the JPEG's data holds a code that its tables do not know")
}
