//! Undoing the filters of rows (PNG, section 9), up to sixteen rows at once.
//!
//! Average and Paeth predict a byte from the one left of it, so that a row alone is one long chain of steps that each
//! wait for the last. Here rows move as a wavefront: every row is [`LAG`] pixels behind the row above it, and one step
//! takes one pixel of every row. The bytes of a step do not depend on each other, so that the compiler puts them into
//! vectors, whatever mixture of filters the rows have.
//!
//! ```text
//! record:   0    1    2    3    4    5    6    7    8
//! above   x=0  x=1  x=2  x=3  x=4  x=5  x=6  x=7  x=8
//! row 0              x=0  x=1  x=2  x=3  x=4  x=5  x=6
//! row 1                        x=0  x=1  x=2  x=3  x=4     left: record - 1, above: record - LAG, row - 1
//! ```

use crate::imaging::ImageError;

/// How many pixels a row is behind the one above. A record is read one row off from how it was written, which a
/// processor does slowly until the write has left its queue: not in the very next step.
const LAG: usize = 2;
/// Records that are kept from one block for the next.
const KEPT: usize = LAG + 1;
/// Records of a block: pixels of a row that are taken at once. A few KiB in all, to stay in the nearest cache.
const BLOCK: usize = 128;

/// Rows that are unfiltered at once, for pixels of that many bytes: fewer where pixels are large.
pub(super) const fn rows_at_once(pixel: usize) -> usize {
    if pixel > 4 { 8 } else { 16 }
}

/// Bytes of memory of [`Unfilter`] beside its rows: records of 9 pixels of 8 bytes are the largest.
pub(super) const MEMORY: usize = (KEPT + BLOCK) * 9 * 8;

/// Undoes the filters of one picture, or of one pass of an interlaced one.
pub(super) struct Unfilter {
    /// Bytes of a row.
    length: usize,
    /// The row above the next one, then the rows of a batch.
    rows: Vec<u8>,
    front: Box<dyn Wavefront>,
}

impl Unfilter {
    /// For rows of `length` bytes, not zero, of pixels of `pixel` bytes: 1, 2, 3, 4, 6 or 8, and 1 where a byte holds
    /// several. Comes with room for `batch` rows, [`rows_at_once`] at most. Above the first row is nothing but zeros.
    pub(super) fn new(pixel: usize, length: usize, batch: usize) -> Self {
        let front: Box<dyn Wavefront> = match pixel {
            1 => Box::new(Front::<1, 17>::new()),
            2 => Box::new(Front::<2, 17>::new()),
            3 => Box::new(Front::<3, 17>::new()),
            4 => Box::new(Front::<4, 17>::new()),
            6 => Box::new(Front::<6, 9>::new()),
            _ => Box::new(Front::<8, 9>::new()),
        };
        Self { length, rows: vec![0; (batch + 1) * length], front }
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
            self.front.run(&filters, filtered, above, rows);
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

trait Wavefront {
    /// Unfilters rows of `above.len()` bytes each.
    fn run(&mut self, filters: &[Filter], filtered: &[u8], above: &[u8], rows: &mut [u8]);
}

/// A pixel of `B` bytes of each of `N` rows, the first of them the row above the batch. The rows' pixels lie [`LAG`]
/// apart.
type Record<const B: usize, const N: usize> = [[u8; B]; N];

struct Front<const B: usize, const N: usize> {
    /// [`KEPT`] records of the last block, then those of a block.
    records: Vec<Record<B, N>>,
}

impl<const B: usize, const N: usize> Front<B, N> {
    fn new() -> Self {
        const { assert!(N * LAG < BLOCK, "all rows have begun within the first block") };
        Self { records: vec![[[0; B]; N]; KEPT + BLOCK] }
    }
}

impl<const B: usize, const N: usize> Wavefront for Front<B, N> {
    fn run(&mut self, filters: &[Filter], filtered: &[u8], above: &[u8], rows: &mut [u8]) {
        let length = above.len();
        let masks = Masks::<B, N>::of(filters);
        let all_paeth = filters.iter().all(|filter| *filter == Filter::Paeth);
        // Left of a row's first pixel are zeros. Every filter predicts zero from zeros, so that they stay.
        self.records.fill([[0; B]; N]);
        let steps = length / B + filters.len() * LAG;
        for start in (0..steps).step_by(BLOCK) {
            let (_, block) = self.records.split_at_mut(KEPT);
            gather(0, start, above, block);
            for (index, row) in filtered.chunks_exact(length + 1).enumerate() {
                let (_, row) = row.split_at(1);
                gather(index + 1, start, row, block);
            }
            let (records, _) = self.records.split_at_mut(KEPT + BLOCK.min(steps - start));
            if all_paeth {
                advance::<B, N, true>(records, &masks);
            } else {
                advance::<B, N, false>(records, &masks);
            }
            let (_, block) = self.records.split_at(KEPT);
            for (index, row) in rows.chunks_exact_mut(length).enumerate() {
                scatter(index + 1, start, block, row);
            }
            self.records.copy_within(BLOCK.., 0);
        }
    }
}

/// Which record of a block is the first to hold a pixel of a row, and which pixel: either is 0.
fn first(index: usize, start: usize) -> (usize, usize) {
    let behind = index * LAG;
    (behind.saturating_sub(start), start.saturating_sub(behind))
}

/// Puts a row's pixels into a block of records that begins at step `start`. Rows come in order of their index.
#[inline(never)]
#[expect(clippy::indexing_slicing, reason = "there are no more than N rows, the row above counted")]
fn gather<const B: usize, const N: usize>(index: usize, start: usize, row: &[u8], block: &mut [Record<B, N>]) {
    let (record, pixel) = first(index, start);
    let (mut block, mut row) = (block.get_mut(record..).unwrap_or_default(), row.get(pixel * B..).unwrap_or_default());
    if B == 3 && index + 1 < N {
        let records = block.as_chunks_mut::<4>().0.iter_mut();
        let count = records.zip(row.as_chunks::<12>().0).map(|(records, bytes)| {
            for (record, pixel) in records.iter_mut().zip(four_pixels(bytes)) {
                // The fourth byte is the next row's, which comes after this one or has not begun: then it stays zero.
                if let Some(to) = record.as_flattened_mut().get_mut(3 * index..).and_then(<[_]>::first_chunk_mut) {
                    *to = pixel.to_le_bytes();
                }
            }
        });
        let done = count.count();
        (block, row) = (block.split_at_mut(4 * done).1, row.split_at(12 * done).1);
    }
    if index < N {
        for (record, pixel) in block.iter_mut().zip(row.as_chunks::<B>().0) {
            record[index] = *pixel;
        }
    }
}

/// The way back: takes a row's pixels out of a block.
#[inline(never)]
#[expect(clippy::indexing_slicing, reason = "there are no more than N rows, the row above counted")]
fn scatter<const B: usize, const N: usize>(index: usize, start: usize, block: &[Record<B, N>], row: &mut [u8]) {
    let (record, pixel) = first(index, start);
    let (mut block, mut row) = (block.get(record..).unwrap_or_default(), row.get_mut(pixel * B..).unwrap_or_default());
    if B == 3 && index + 1 < N {
        let records = block.as_chunks::<4>().0.iter();
        let count = records.zip(row.as_chunks_mut::<12>().0).map(|(records, bytes)| {
            *bytes = twelve_bytes(records.each_ref().map(|record| {
                let from = record.as_flattened().get(3 * index..).and_then(<[_]>::first_chunk);
                u32::from_le_bytes(from.copied().unwrap_or_default())
            }));
        });
        let done = count.count();
        (block, row) = (block.split_at(4 * done).1, row.split_at_mut(12 * done).1);
    }
    if index < N {
        for (record, pixel) in block.iter().zip(row.as_chunks_mut::<B>().0) {
            *pixel = record[index];
        }
    }
}

/// Pixels of three bytes as the lower bytes of words. A processor moves words, and three bytes only in two steps.
#[inline(always)]
fn four_pixels([a, b, c, d, e, f, g, h, i, j, k, l]: &[u8; 12]) -> [u32; 4] {
    const PIXEL: u32 = 0x00ff_ffff;
    // Words that overlap, each read by itself: what is put together of two words takes two-word shifts, which are slow.
    let overlapping =
        [[*a, *b, *c, *d], [*d, *e, *f, *g], [*g, *h, *i, *j]].map(|bytes| u32::from_le_bytes(bytes) & PIXEL);
    let [first, second, third] = overlapping;
    [first, second, third, u32::from_le_bytes([*i, *j, *k, *l]) >> 8]
}

/// The way back; the words' upper bytes are of no account.
#[inline(always)]
fn twelve_bytes([a, b, c, d]: [u32; 4]) -> [u8; 12] {
    const PIXEL: u32 = 0x00ff_ffff;
    let words = [a & PIXEL | b << 24, (b & PIXEL) >> 8 | c << 16, (c & PIXEL) >> 16 | d << 8];
    let mut bytes = [0; 12];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// For every byte of a record 255 in the mask of its row's filter, 0 in the others.
struct Masks<const B: usize, const N: usize> {
    sub: Record<B, N>,
    up: Record<B, N>,
    average: Record<B, N>,
    paeth: Record<B, N>,
}

impl<const B: usize, const N: usize> Masks<B, N> {
    fn of(filters: &[Filter]) -> Self {
        let mask = |of: Filter| {
            let mut mask = [[0; B]; N];
            for (mask, _) in mask.iter_mut().skip(1).zip(filters).filter(|(_, filter)| **filter == of) {
                *mask = [u8::MAX; B];
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

/// Unfilters the records behind the kept ones, in place. `PAETH` says that no row has another filter.
#[inline(never)]
#[expect(clippy::indexing_slicing, reason = "all slices have the length of a record without its first row")]
fn advance<const B: usize, const N: usize, const PAETH: bool>(records: &mut [Record<B, N>], masks: &Masks<B, N>) {
    // The record before, and the one the row above had before: the bytes left, and left of those above.
    let (mut left, mut corner) = ([[0; B]; N], [[0; B]; N]);
    if let Some([first, .., last]) = records.first_chunk::<KEPT>() {
        (left, corner) = (*last, *first);
    }
    let lanes = B * (N - 1);
    let (sub, up) = (&masks.sub.as_flattened()[B..], &masks.up.as_flattened()[B..]);
    let (average, paeth) = (&masks.average.as_flattened()[B..], &masks.paeth.as_flattened()[B..]);
    for step in 0..records.len() {
        let Some([_, above, .., here]) = records.get_mut(step..).and_then(<[_]>::first_chunk_mut::<{ KEPT + 1 }>)
        else {
            return;
        };
        let (a, b, c) = (&mut left.as_flattened_mut()[B..], above.as_flattened(), corner.as_flattened());
        let x = &mut here.as_flattened_mut()[B..];
        for i in 0..lanes {
            let (left, above, corner) = (a[i], b[i], c[i]);
            let prediction = if PAETH {
                predict_paeth(left, above, corner)
            } else {
                left & sub[i]
                    | above & up[i]
                    | mean(left, above) & average[i]
                    | predict_paeth(left, above, corner) & paeth[i]
            };
            a[i] = x[i].wrapping_add(prediction);
            x[i] = a[i];
        }
        corner = *above;
    }
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
