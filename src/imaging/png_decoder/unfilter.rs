//! Undoing the filters of rows (PNG, section 9), up to sixteen rows at once.
//!
//! Average and Paeth predict a byte from the one left of it, so that a row alone is one long chain of steps that each
//! wait for the last. Here rows move as a wavefront: every row is [`LAG`] pixels behind the row above it, and one step
//! takes one pixel of every row. The bytes of a step do not depend on each other, so that the compiler puts them into
//! vectors, whatever mixture of filters the rows have.
//!
//! ```text
//! step:     0    1    2    3    4    5    6    7    8
//! above   x=0  x=1  x=2  x=3  x=4  x=5  x=6  x=7  x=8
//! row 0              x=0  x=1  x=2  x=3  x=4  x=5  x=6
//! row 1                        x=0  x=1  x=2  x=3  x=4     left: step - 1, above: step - LAG, row - 1
//! ```
//!
//! A step has a column of bytes for each byte of a pixel. Rows become columns, and columns rows, by transposing blocks.

use crate::imaging::ImageError;
use crate::imaging::transpose::{self, EDGE};

/// Rows that are unfiltered at once.
pub(super) const ROWS: usize = EDGE;
/// How many pixels a row is behind the one above. A column is read one row off from how it was written, which a
/// processor does slowly until the write has left its queue: not in the very next step.
const LAG: usize = 2;
/// Steps that are kept from one block for the next.
const KEPT: usize = LAG + 1;
/// Steps of a block: pixels of a row that are taken at once. A few KiB in all, to stay in the nearest cache.
const BLOCK: usize = 128;

/// Bytes of a row that are moved at once.
const TILE: usize = 64;

/// A byte of the row above a batch, then one of each of its rows.
type Column = [u8; ROWS + 1];

/// Bytes of memory of [`Unfilter`] beside its rows, for pixels of 8 bytes, the largest.
pub(super) const MEMORY: usize = (KEPT + BLOCK) * 8 * size_of::<Column>();

/// Undoes the filters of one picture, or of one pass of an interlaced one.
pub(super) struct Unfilter {
    /// Bytes of a row.
    length: usize,
    /// Bytes of a pixel, 1 where a byte holds several.
    pixel: usize,
    /// The row above the next one, then the rows of a batch.
    rows: Vec<u8>,
    /// Those of [`KEPT`] steps of the last block, then those of a block.
    columns: Vec<Column>,
}

impl Unfilter {
    /// For rows of `length` bytes, not zero, of pixels of `pixel` bytes: 1, 2, 3, 4, 6 or 8, and 1 where a byte holds
    /// several. Comes with room for `batch` rows, [`ROWS`] at most. Above the first row is nothing but zeros.
    pub(super) fn new(pixel: usize, length: usize, batch: usize) -> Self {
        let columns = vec![[0; ROWS + 1]; (KEPT + BLOCK) * pixel];
        Self { length, pixel, rows: vec![0; (batch + 1) * length], columns }
    }

    /// Unfilters the next rows, each with its filter's number in front; a batch at most. Answers them without gaps.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when a filter has a number that the standard does not know.
    pub(super) fn run(&mut self, filtered: &[u8]) -> Result<&[u8], ImageError> {
        let count = filtered.len() / (self.length + 1);
        let mut filters = Vec::with_capacity(count);
        for row in filtered.chunks_exact(self.length + 1) {
            filters.push(row.first().copied().and_then(Filter::of).ok_or_else(unknown_filter)?);
        }
        let (above, rows) = self.rows.split_at_mut(self.length);
        let rows = rows.get_mut(..count * self.length).ok_or_else(unknown_filter)?;
        if filters.iter().all(|filter| matches!(filter, Filter::None | Filter::Up)) {
            straight(&filters, filtered, above, rows);
        } else {
            let columns = &mut self.columns;
            match self.pixel {
                1 => wavefront::<1>(columns, &filters, filtered, above, rows),
                2 => wavefront::<2>(columns, &filters, filtered, above, rows),
                3 => wavefront::<3>(columns, &filters, filtered, above, rows),
                4 => wavefront::<4>(columns, &filters, filtered, above, rows),
                6 => wavefront::<6>(columns, &filters, filtered, above, rows),
                _ => wavefront::<8>(columns, &filters, filtered, above, rows),
            }
        }
        if let Some(last) = rows.chunks_exact(self.length).last() {
            above.copy_from_slice(last);
        }
        Ok(rows)
    }
}

fn unknown_filter() -> ImageError {
    ImageError::corrupt("a row of the PNG names a filter that does not exist")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    Sub,
    Up,
    Average,
    Paeth,
}

impl Filter {
    fn of(number: u8) -> Option<Self> {
        [Self::None, Self::Sub, Self::Up, Self::Average, Self::Paeth].get(usize::from(number)).copied()
    }
}

/// Rows that look at the row above only: whole rows at once.
fn straight(filters: &[Filter], filtered: &[u8], above: &[u8], rows: &mut [u8]) {
    let length = above.len();
    let mut above = above;
    for ((row, filtered), filter) in rows.chunks_exact_mut(length).zip(filtered.chunks_exact(length + 1)).zip(filters) {
        let (_, filtered) = filtered.split_at(1);
        if *filter == Filter::Up {
            for ((byte, filtered), above) in row.iter_mut().zip(filtered).zip(above) {
                *byte = filtered.wrapping_add(*above);
            }
        } else {
            row.copy_from_slice(filtered);
        }
        above = row;
    }
}

/// Unfilters rows of `above.len()` bytes each, of pixels of `B` bytes.
fn wavefront<const B: usize>(
    columns: &mut [Column],
    filters: &[Filter],
    filtered: &[u8],
    above: &[u8],
    rows: &mut [u8],
) {
    const { assert!((ROWS + 1) * LAG < BLOCK, "all rows have begun within the first block") };
    const { assert!(BLOCK.is_multiple_of(TILE), "a block's columns are whole tiles") };
    let length = above.len();
    let masks = Masks::of(filters);
    let all_paeth = filters.iter().all(|filter| *filter == Filter::Paeth);
    let mut sources: [&[u8]; ROWS] = [&[]; ROWS];
    let without_number = filtered.chunks_exact(length + 1).map(|row| row.split_at(1).1);
    sources.iter_mut().zip(without_number).for_each(|(to, row)| *to = row);
    let mut targets: [&mut [u8]; ROWS] = Default::default();
    targets.iter_mut().zip(rows.chunks_exact_mut(length)).for_each(|(to, row)| *to = row);
    // Left of a row's first pixel are zeros. Every filter predicts zero from zeros, so that they stay.
    columns.fill([0; ROWS + 1]);
    let steps = length / B + filters.len() * LAG;
    for start in (0..steps).step_by(BLOCK) {
        let (_, block) = columns.split_at_mut(KEPT * B);
        block.iter_mut().zip(above.get(start * B..).unwrap_or_default()).for_each(|(column, byte)| column[0] = *byte);
        gather(start * B, LAG * B, &sources, block);
        if all_paeth {
            advance::<B, true>(columns, &masks);
        } else {
            advance::<B, false>(columns, &masks);
        }
        let (_, block) = columns.split_at(KEPT * B);
        scatter(start * B, LAG * B, block, &mut targets);
        columns.copy_within(BLOCK * B.., 0);
    }
}

/// Puts rows into columns, the first of which is `start`. Every row is `lag` bytes behind the row above it.
#[inline(never)]
fn gather(start: usize, lag: usize, rows: &[&[u8]; ROWS], columns: &mut [Column]) {
    let (tiles, _) = columns.as_chunks_mut::<TILE>();
    for (columns, at) in tiles.iter_mut().zip((start..).step_by(TILE)) {
        let mut bytes = [[0; TILE]; ROWS];
        for ((bytes, row), behind) in bytes.iter_mut().zip(rows).zip((lag..).step_by(lag)) {
            let row = row.get(at.saturating_sub(behind)..).unwrap_or_default();
            match row.first_chunk() {
                Some(part) if at >= behind => *bytes = *part,
                // The row begins or ends here.
                _ => bytes.iter_mut().skip(behind.saturating_sub(at)).zip(row).for_each(|(to, byte)| *to = *byte),
            }
        }
        for (part, columns) in columns.as_chunks_mut::<EDGE>().0.iter_mut().enumerate() {
            let block = transpose::block(&bytes.each_ref().map(|bytes| part_of(bytes, part)));
            for (column, bytes) in columns.iter_mut().zip(block) {
                if let Some(column) = column.last_chunk_mut() {
                    *column = bytes;
                }
            }
        }
    }
}

/// The way back.
#[inline(never)]
fn scatter(start: usize, lag: usize, columns: &[Column], rows: &mut [&mut [u8]; ROWS]) {
    let (tiles, _) = columns.as_chunks::<TILE>();
    for (columns, at) in tiles.iter().zip((start..).step_by(TILE)) {
        let mut bytes = [[0; TILE]; ROWS];
        for (part, columns) in columns.as_chunks::<EDGE>().0.iter().enumerate() {
            let block = transpose::block(&columns.each_ref().map(own));
            for (bytes, row) in bytes.iter_mut().zip(block) {
                if let Some(bytes) = bytes.as_chunks_mut().0.get_mut(part) {
                    *bytes = row;
                }
            }
        }
        for ((bytes, row), behind) in bytes.iter().zip(rows.iter_mut()).zip((lag..).step_by(lag)) {
            let row = row.get_mut(at.saturating_sub(behind)..).unwrap_or_default();
            match row.first_chunk_mut() {
                Some(part) if at >= behind => *part = *bytes,
                _ => {
                    row.iter_mut().zip(bytes.iter().skip(behind.saturating_sub(at))).for_each(|(to, byte)| *to = *byte)
                }
            }
        }
    }
}

/// A block's part of a tile's row.
#[inline(always)]
fn part_of(bytes: &[u8; TILE], part: usize) -> [u8; EDGE] {
    bytes.as_chunks().0.get(part).copied().unwrap_or_default()
}

/// For each row 255 in the mask of its filter, 0 in the others.
struct Masks {
    sub: [u8; ROWS],
    up: [u8; ROWS],
    average: [u8; ROWS],
    paeth: [u8; ROWS],
}

impl Masks {
    fn of(filters: &[Filter]) -> Self {
        let mask = |of: Filter| {
            let mut mask = [0; ROWS];
            for (mask, _) in mask.iter_mut().zip(filters).filter(|(_, filter)| **filter == of) {
                *mask = u8::MAX;
            }
            mask
        };
        Self {
            sub: mask(Filter::Sub),
            up: mask(Filter::Up),
            average: mask(Filter::Average),
            paeth: mask(Filter::Paeth),
        }
    }
}

/// Unfilters the steps behind the kept ones, in place. `PAETH` says that no row has another filter.
#[inline(never)]
fn advance<const B: usize, const PAETH: bool>(columns: &mut [Column], masks: &Masks) {
    let (steps, _) = columns.as_chunks_mut::<B>();
    // The step before, and the one the row above had before: the bytes left, and left of those above.
    let (mut left, mut corner) = ([[0; ROWS]; B], [[0; ROWS]; B]);
    if let Some([first, .., last]) = steps.first_chunk::<KEPT>() {
        for ((left, last), (corner, first)) in left.iter_mut().zip(last).zip(corner.iter_mut().zip(first)) {
            (*left, *corner) = (own(last), of_above(first));
        }
    }
    for step in 0..steps.len() {
        let Some([_, above, .., here]) = steps.get_mut(step..).and_then(<[_]>::first_chunk_mut::<{ KEPT + 1 }>) else {
            return;
        };
        for (((x, above), a), c) in here.iter_mut().zip(above.iter()).zip(&mut left).zip(&mut corner) {
            let b = of_above(above);
            *a = unfiltered::<PAETH>(&own(x), a, &b, c, masks);
            if let Some(x) = x.last_chunk_mut() {
                *x = *a;
            }
            *c = b;
        }
    }
}

/// The bytes of a column's own rows.
#[inline(always)]
fn own(column: &Column) -> [u8; ROWS] {
    column.last_chunk().copied().unwrap_or_default()
}

/// The bytes of the rows above those.
#[inline(always)]
fn of_above(column: &Column) -> [u8; ROWS] {
    column.first_chunk().copied().unwrap_or_default()
}

/// A byte of each row, by what is left of it, above it, and left of that.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "all arrays have a byte for each row")]
fn unfiltered<const PAETH: bool>(
    x: &[u8; ROWS],
    left: &[u8; ROWS],
    above: &[u8; ROWS],
    corner: &[u8; ROWS],
    masks: &Masks,
) -> [u8; ROWS] {
    let mut result = [0; ROWS];
    for (i, result) in result.iter_mut().enumerate() {
        let (left, above, corner) = (left[i], above[i], corner[i]);
        let prediction = if PAETH {
            predict_paeth(left, above, corner)
        } else {
            left & masks.sub[i]
                | above & masks.up[i]
                | mean(left, above) & masks.average[i]
                | predict_paeth(left, above, corner) & masks.paeth[i]
        };
        *result = x[i].wrapping_add(prediction);
    }
    result
}

/// The mean of two bytes, rounded down, without a ninth bit.
#[inline(always)]
fn mean(a: u8, b: u8) -> u8 {
    (a & b) + ((a ^ b) >> 1)
}

/// Whichever of `a` (left), `b` (above) and `c` (left of above) is nearest to `a + b - c`, the first of them at a tie,
/// in bytes alone. The three distances are `|b - c|`, `|a - c|` and the absolute sum of what stands between those bars:
/// their difference where `c` is between `a` and `b`, and elsewhere more than either, so that it never wins.
#[inline(always)]
fn predict_paeth(a: u8, b: u8, c: u8) -> u8 {
    let to_a = b.max(c) - b.min(c);
    let to_b = a.max(c) - a.min(c);
    let to_c = if (a < c) == (c < b) { to_a.max(to_b) - to_a.min(to_b) } else { u8::MAX };
    if to_a <= to_b && to_a <= to_c {
        a
    } else if to_b <= to_c {
        b
    } else {
        c
    }
}
