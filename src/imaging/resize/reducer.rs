//! Reducing a picture while its rows come in, so that of a large one only a part is held.
//!
//! ```text
//! rows -> strip -> reduced along columns -> band -> reduced along rows -> result
//! ```
//!
//! The strip is small, to stay in a near cache. The band is larger, because the weights along rows are computed for each
//! band again. Both are written over, not made anew: the first touch of a page is dear.

use fast_image_resize::PixelType;
use fast_image_resize::Resizer;
use fast_image_resize::images::{Image, ImageRef};
use image::RgbImage;

use super::{LOBES, edge, failed, options, weights};
use crate::domain::Size;
use crate::imaging::ImageError;

/// Rows of a source are gathered until they are about this many bytes, then reduced along columns together.
const STRIP_BYTES: usize = 512 * 1024;
/// So are rows that are reduced in one direction, then reduced in the other.
const BAND_BYTES: usize = 2 * 1024 * 1024;

/// Samples of a pixel.
const RGB: usize = 3;

/// Takes rows and makes a smaller picture of them.
#[derive(Debug)]
pub(in crate::imaging) struct Reducer {
    sizes: Sizes,
    /// Rows of the source from `first_row` on.
    strip: Vec<u8>,
    first_row: usize,
    /// Rows as wide as the source's, reduced along columns; the first `band_rows` of them are made.
    band: Vec<u8>,
    band_rows: usize,
    /// The result, and its rows so far.
    result: RgbImage,
    rows_done: usize,
    resizer: Resizer,
}

impl Reducer {
    /// From `source` to `result`, both as stored, neither with a zero edge.
    pub(in crate::imaging) fn new(source: Size, result: Size) -> Self {
        Self::with(Sizes::of(source, result))
    }

    fn with(sizes: Sizes) -> Self {
        Self {
            strip: Vec::with_capacity(sizes.strip_bytes()),
            first_row: 0,
            band: vec![0; sizes.band_bytes()],
            band_rows: 0,
            result: RgbImage::new(sizes.result.width, sizes.result.height),
            rows_done: 0,
            resizer: Resizer::new(),
            sizes,
        }
    }

    /// Most bytes that one holds, its result too.
    pub(in crate::imaging) fn memory(source: Size, result: Size) -> u64 {
        Sizes::of(source, result).memory()
    }

    /// Takes the next row of the source.
    pub(in crate::imaging) fn push(&mut self, row: &[u8]) -> Result<(), ImageError> {
        self.strip.extend_from_slice(row);
        let rows = self.first_row + self.strip.len() / self.sizes.row_bytes();
        while self.rows_made() < self.sizes.rows() && rows >= self.rows_needed().end {
            self.make_columns()?;
            if self.band_rows == self.sizes.band_rows || self.rows_made() == self.sizes.rows() {
                self.make_rows()?;
            }
        }
        Ok(())
    }

    /// The result, once every row came in.
    pub(in crate::imaging) fn finish(self) -> Result<RgbImage, ImageError> {
        if self.rows_done == self.sizes.rows() { Ok(self.result) } else { Err(failed()) }
    }

    /// How many rows of the result are made, or lie in the band.
    fn rows_made(&self) -> usize {
        self.rows_done + self.band_rows
    }

    /// The next rows of the result that are made along columns.
    fn next_rows(&self) -> std::ops::Range<usize> {
        let room = self.sizes.rows_at_once.min(self.sizes.band_rows - self.band_rows);
        self.rows_made()..(self.rows_made() + room).min(self.sizes.rows())
    }

    /// The rows of the source that they are made of.
    fn rows_needed(&self) -> std::ops::Range<usize> {
        let (next, factor, margin) = (self.next_rows(), self.sizes.factor(), self.sizes.margin());
        let first = (next.start as f64 * factor - margin).floor().max(0.0) as usize;
        let last = (next.end as f64 * factor + margin).ceil() as usize;
        first..last.min(self.sizes.source.height as usize)
    }

    /// Reduces the strip along columns, and lets go of the rows that no later one needs.
    fn make_columns(&mut self) -> Result<(), ImageError> {
        let (next, needed, factor) = (self.next_rows(), self.rows_needed(), self.sizes.factor());
        let (row_bytes, width) = (self.sizes.row_bytes(), self.sizes.source.width);
        let from =
            self.strip.get((needed.start - self.first_row) * row_bytes..(needed.end - self.first_row) * row_bytes);
        let to = self.band.get_mut(self.band_rows * row_bytes..(self.band_rows + next.len()) * row_bytes);
        let (from, to) = from.zip(to).ok_or_else(failed)?;
        let rows = edge(needed.len())?;
        let view = ImageRef::new(width, rows, from, PixelType::U8x3).map_err(|_| failed())?;
        let mut part = Image::from_slice_u8(width, edge(next.len())?, to, PixelType::U8x3).map_err(|_| failed())?;
        let top = (next.start as f64 * factor - needed.start as f64).max(0.0);
        let height = (next.len() as f64 * factor).min(f64::from(rows) - top);
        let options = options().crop(0.0, top, f64::from(width), height);
        self.resizer.resize(&view, &mut part, &options).map_err(|_| failed())?;
        self.band_rows += next.len();
        let unneeded = self.rows_needed().start.clamp(self.first_row, needed.end) - self.first_row;
        self.strip.drain(..unneeded * row_bytes);
        self.first_row += unneeded;
        Ok(())
    }

    /// Reduces the band along rows.
    fn make_rows(&mut self) -> Result<(), ImageError> {
        let (rows, rows_made) = (edge(self.band_rows)?, self.rows_made());
        let Sizes { source, result, .. } = self.sizes;
        let result_row = result.width as usize * RGB;
        let from = self.band.get(..self.band_rows * self.sizes.row_bytes());
        let to = self.result.get_mut(self.rows_done * result_row..rows_made * result_row);
        let (from, to) = from.zip(to).ok_or_else(failed)?;
        let view = ImageRef::new(source.width, rows, from, PixelType::U8x3).map_err(|_| failed())?;
        let mut part = Image::from_slice_u8(result.width, rows, to, PixelType::U8x3).map_err(|_| failed())?;
        self.resizer.resize(&view, &mut part, &options()).map_err(|_| failed())?;
        self.rows_done = rows_made;
        self.band_rows = 0;
        Ok(())
    }
}

/// How a picture is cut up.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    source: Size,
    result: Size,
    /// Rows of the result that are made of one strip at most.
    rows_at_once: usize,
    /// Rows of the result that fit the band.
    band_rows: usize,
}

impl Sizes {
    fn of(source: Size, result: Size) -> Self {
        let mut sizes = Self { source, result, rows_at_once: 1, band_rows: 1 };
        let (row_bytes, rows) = (sizes.row_bytes().max(1), sizes.rows().max(1));
        // The rows around a strip's are kept for the next one. As many again must be new, or they would be moved over and
        // over.
        let new_rows = ((STRIP_BYTES / row_bytes) as f64 - 2.0 * sizes.margin()).max(2.0 * sizes.margin());
        sizes.rows_at_once = ((new_rows / sizes.factor()) as usize).clamp(1, rows);
        let bands = (rows * row_bytes).div_ceil(BAND_BYTES).clamp(1, rows);
        sizes.band_rows = rows.div_ceil(bands);
        sizes
    }

    fn rows(&self) -> usize {
        self.result.height as usize
    }

    fn row_bytes(&self) -> usize {
        self.source.width as usize * RGB
    }

    /// Rows of the source for each row of the result.
    fn factor(&self) -> f64 {
        f64::from(self.source.height) / f64::from(self.result.height.max(1))
    }

    /// Rows of the source above and below those of a row of the result that the filter looks at.
    fn margin(&self) -> f64 {
        LOBES * self.factor().max(1.0) + 1.0
    }

    fn strip_bytes(&self) -> usize {
        let rows = self.rows_at_once as f64 * self.factor() + 2.0 * self.margin() + 2.0;
        self.row_bytes() * (rows.ceil() as usize).min(self.source.height as usize)
    }

    fn band_bytes(&self) -> usize {
        self.row_bytes() * self.band_rows
    }

    fn memory(&self) -> u64 {
        let Self { source, result, rows_at_once, .. } = self;
        let pixels = result.pixel_count() * RGB as u64 + (self.strip_bytes() + self.band_bytes()) as u64;
        if source == result {
            return pixels;
        }
        let rows = *rows_at_once as f64 * self.factor();
        let weights = weights(source.width.into(), result.width).max(weights(rows, *rows_at_once as u32));
        pixels.saturating_add(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::waves;
    use super::*;

    fn in_strips(picture: &RgbImage, size: Size, rows_at_once: usize, band_rows: usize) -> RgbImage {
        let sizes = Sizes::of(Size::new(picture.width(), picture.height()), size);
        let mut reducer = Reducer::with(Sizes { rows_at_once, band_rows, ..sizes });
        for row in picture.as_raw().chunks(picture.width() as usize * RGB) {
            reducer.push(row).unwrap();
        }
        reducer.finish().unwrap()
    }

    #[test]
    fn strips_make_the_same_picture_as_the_whole() {
        let picture = waves(301, 463);
        for size in [Size::new(100, 154), Size::new(300, 462), Size::new(17, 9), Size::new(301, 463), Size::new(301, 1)]
        {
            let height = size.height as usize;
            let whole = in_strips(&picture, size, height, height);
            for (rows, band) in [(1, 1), (1, 3), (2, height), (7, 10), (100, 30), (100, 101)] {
                let strips = in_strips(&picture, size, rows, band);
                let most = strips.iter().zip(whole.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(most <= Some(1), "{size}, {rows} rows at once, {band} in a band: {most:?}");
            }
        }
        assert_eq!(in_strips(&picture, Size::new(301, 463), 5, 12), picture);
    }

    #[test]
    fn a_strip_holds_what_one_batch_needs() {
        for (source, result) in [
            (Size::new(4032, 3024), Size::new(1270, 952)),
            (Size::new(16_000, 6_250), Size::new(1568, 612)),
            (Size::new(1, 60_000), Size::new(1, 1568)),
            (Size::new(60_000, 1), Size::new(1568, 1)),
            (Size::new(640, 480), Size::new(640, 480)),
        ] {
            let mut reducer = Reducer::new(source, result);
            let row = vec![9; source.width as usize * RGB];
            let capacity = reducer.strip.capacity();
            for _ in 0..source.height {
                reducer.push(&row).unwrap();
            }
            assert_eq!(reducer.strip.capacity(), capacity, "{source}: the strip never grows");
            let around = 4 * reducer.sizes.margin() as usize;
            assert!(capacity <= STRIP_BYTES.max(around * row.len()) + 16 * row.len(), "{source}: {capacity}");
            assert!(reducer.band.len() <= BAND_BYTES.max(row.len()), "{source}: {}", reducer.band.len());
            assert!(reducer.finish().unwrap().iter().all(|sample| *sample == 9));
        }
    }

    #[test]
    fn missing_rows_are_an_error() {
        let mut reducer = Reducer::new(Size::new(10, 10), Size::new(5, 5));
        reducer.push(&[0; 30]).unwrap();
        assert!(reducer.finish().is_err());
    }
}
