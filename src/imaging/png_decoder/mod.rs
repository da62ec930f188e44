//! A decoder of PNG (W3C Recommendation, third edition) that hands over rows of RGB from top to bottom: all kinds of
//! pixels, interlaced or not. It holds a few rows, not the picture, unless that is interlaced.
//!
//! ```text
//! data chunks -> inflate -> a batch of filtered rows -> unfilter -> samples -> rows of RGB on white
//!                                                                          \-> interlace -> picture -/
//! ```

mod chunks;
mod inflate;
mod interlace;
mod samples;
#[cfg(test)]
mod tests;
mod unfilter;

use chunks::Start;
use inflate::Inflate;
use interlace::PASSES;
use samples::{Kind, Samples};
use unfilter::Unfilter;

use super::{Cancel, ImageError};
use crate::domain::Size;

/// Decodes the picture, of an animation its default image, and hands its rows to `sink` from top to bottom: RGB, 8 bits
/// a sample, transparent areas laid on white. Answers whether any pixel was not opaque. The header, with the checksums
/// of all chunks, was read and found within the limits.
///
/// # Errors
///
/// [`ImageError::Corrupt`] when the pixels are not all there, [`ImageError::Cancelled`] when `cancel` says so, and what
/// `sink` fails with. Without an error `sink` got as many rows as the picture is high.
pub(super) fn decode(
    bytes: &[u8],
    cancel: &Cancel,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<bool, ImageError> {
    let start = Start::read(bytes)?;
    let Start { size, kind, interlaced, .. } = start;
    let buffers = Buffers::of(size, kind, interlaced)
        .ok_or_else(|| ImageError::corrupt("the PNG's rows are too long for this machine"))?;
    let mut samples = Samples::new(&start, size.width as usize)?;
    let mut data = Inflate::new(start.data, buffers.window);
    if interlaced {
        let mut picture = vec![0; buffers.picture];
        for pass in PASSES {
            let Some(pass_size) = pass.size(size) else { continue };
            let mut number = 0;
            let place = &mut |row: &[u8]| {
                pass.place(row, number, &mut picture, buffers.rgb);
                number += 1;
                Ok(())
            };
            rows(&mut data, kind, pass_size, &mut samples, cancel, place)?;
        }
        data.end()?;
        picture.chunks_exact(buffers.rgb).try_for_each(sink)?;
    } else {
        rows(&mut data, kind, size, &mut samples, cancel, sink)?;
        data.end()?;
    }
    Ok(samples.was_transparent)
}

/// Decodes a picture that is not interlaced, or one pass of another.
fn rows(
    data: &mut Inflate,
    kind: Kind,
    size: Size,
    samples: &mut Samples,
    cancel: &Cancel,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let Some(Buffers { row, batch, .. }) = Buffers::of(size, kind, false) else { return Ok(()) };
    let mut unfilter = Unfilter::new(kind.pixel(), row, batch);
    let mut left = size.height as usize;
    while left > 0 {
        cancel.check()?;
        let count = left.min(batch);
        for row in unfilter.run(data.take(count * (row + 1))?)?.chunks_exact(row) {
            sink(samples.convert(row, size.width as usize)?)?;
        }
        left -= count;
    }
    Ok(())
}

/// Reads all that stands in front of the picture data, as [`decode`] does.
///
/// # Errors
///
/// [`ImageError::Corrupt`] when it makes no sense.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImageError> {
    let start = Start::read(bytes)?;
    Samples::new(&start, start.size.width as usize).map(|_| ())
}

/// The size that the header states.
#[cfg(any(test, fuzzing))]
pub(super) fn size(bytes: &[u8]) -> Option<Size> {
    Start::read(bytes).ok().map(|start| start.size)
}

/// Most bytes that [`decode`] holds at once, the file not counted: none where it refuses the file before it starts.
pub(super) fn memory_of(bytes: &[u8]) -> u64 {
    let Ok(Start { size, kind, interlaced, .. }) = Start::read(bytes) else { return 0 };
    let buffers = Buffers::of(size, kind, interlaced);
    buffers.and_then(|buffers| buffers.memory()).map_or(u64::MAX, |bytes| bytes as u64)
}

/// Sizes in bytes, but for `batch`.
struct Buffers {
    /// A row as stored, without its filter's number.
    row: usize,
    /// How many rows are unfiltered at once.
    batch: usize,
    /// The inflated bytes.
    window: usize,
    /// A row of RGB.
    rgb: usize,
    /// What [`Samples`] takes.
    samples: usize,
    /// All rows of RGB, for an interlaced picture.
    picture: usize,
}

impl Buffers {
    /// What a picture needs; `None` when a number cannot hold it.
    fn of(size: Size, kind: Kind, interlaced: bool) -> Option<Self> {
        let height = usize::try_from(size.height).ok()?;
        let row = kind.row(size.width)?;
        let batch = unfilter::ROWS.min(height);
        let window = inflate::window(row.checked_add(1)?.checked_mul(batch)?)?;
        let rgb = usize::try_from(size.width).ok()?.checked_mul(3)?;
        let picture = if interlaced { rgb.checked_mul(height)? } else { 0 };
        // `Unfilter` keeps one row more.
        row.checked_mul(batch + 1)?;
        Some(Self { row, batch, window, rgb, samples: samples::memory(kind, size.width)?, picture })
    }

    fn memory(&self) -> Option<usize> {
        let Self { row, batch, window, samples, picture, .. } = self;
        let fixed = inflate::MEMORY + unfilter::MEMORY;
        [row * (batch + 1), *window, *samples, *picture].into_iter().try_fold(fixed, usize::checked_add)
    }
}
