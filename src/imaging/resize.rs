//! Reducing pixels with a Lanczos filter of three lobes, in the picture's own (gamma) space, as libvips and Pillow do.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::ImageError;
use super::planes::Plane;
use crate::domain::Size;

/// Rows of a source are gathered until they are about this many bytes, then reduced together.
const STRIP_BYTES: usize = 6 * 1024 * 1024;
/// Lobes of the filter: the half width of its window in samples of the result.
const LOBES: f64 = 3.0;
const RGB: usize = 3;

/// A part of a plane, in samples, which need not be whole ones. Lies inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Resizes an area of a plane to `width` x `height` samples, each axis by its own factor.
pub(super) fn plane(source: Plane, area: &Area, width: usize, height: usize) -> Result<Plane, ImageError> {
    let is_whole = area.left == 0.0
        && area.top == 0.0
        && (area.width, area.height) == (source.width as f64, source.height as f64)
        && (width, height) == (source.width, source.height);
    if is_whole {
        return Ok(source);
    }
    // Along columns the filter is several times as fast as along rows, so that turning the plane for the other axis, and
    // back, costs less than it saves.
    let columns = along_columns(&source, area.top, area.height, height)?;
    let rows = along_columns(&transposed(&columns), area.left, area.width, width)?;
    Ok(transposed(&rows))
}

/// Resizes the rows from `top` on, which need not be whole ones, to `height` rows.
fn along_columns(source: &Plane, top: f64, rows: f64, height: usize) -> Result<Plane, ImageError> {
    let mut samples = vec![0; source.width * height];
    let (width, from, to) = (edge(source.width)?, edge(source.height)?, edge(height)?);
    let view = ImageRef::new(width, from, &source.samples, PixelType::U8).map_err(|_| failed())?;
    let mut result = Image::from_slice_u8(width, to, &mut samples, PixelType::U8).map_err(|_| failed())?;
    let options = options().crop(0.0, top, f64::from(width), rows);
    Resizer::new().resize(&view, &mut result, &options).map_err(|_| failed())?;
    Ok(Plane { width: source.width, height, samples })
}

/// Rows of a plane that are transposed together: as many bytes as a vector register has.
const ROWS_TOGETHER: usize = 16;

/// Columns as rows.
fn transposed(source: &Plane) -> Plane {
    let Plane { width, height, .. } = *source;
    let mut samples = vec![0; width * height];
    for (band, rows) in source.samples.chunks(width.max(1) * ROWS_TOGETHER).enumerate() {
        let mut columns: [&[u8]; ROWS_TOGETHER] = [&[]; ROWS_TOGETHER];
        let count = columns.iter_mut().zip(rows.chunks_exact(width.max(1))).map(|(column, row)| *column = row).count();
        for (x, target) in samples.chunks_exact_mut(height.max(1)).enumerate() {
            let target = target.get_mut(band * ROWS_TOGETHER..).unwrap_or_default();
            for (sample, row) in target.iter_mut().zip(columns.iter().take(count)) {
                *sample = row.get(x).copied().unwrap_or_default();
            }
        }
    }
    Plane { width: height, height: width, samples }
}

/// Resizes RGB pixels from `source` to `result`.
pub(super) fn rgb(samples: &[u8], source: Size, result: Size) -> Result<RgbImage, ImageError> {
    if source == result {
        return RgbImage::from_raw(result.width, result.height, samples.to_vec()).ok_or_else(failed);
    }
    let mut picture = RgbImage::new(result.width, result.height);
    let view = ImageRef::new(source.width, source.height, samples, PixelType::U8x3).map_err(|_| failed())?;
    let mut target =
        Image::from_slice_u8(result.width, result.height, &mut picture, PixelType::U8x3).map_err(|_| failed())?;
    Resizer::new().resize(&view, &mut target, &options()).map_err(|_| failed())?;
    Ok(picture)
}

/// Reduces a picture while its rows come in, so that of a large one only a strip is held.
#[derive(Debug)]
pub(super) struct Reducer {
    source: Size,
    /// The size of the result, and its rows so far.
    result: RgbImage,
    /// Rows of the source from `first_row` on.
    strip: Vec<u8>,
    first_row: usize,
    rows_done: usize,
    /// Rows of the result that are made together.
    rows_at_once: usize,
    resizer: Resizer,
}

impl Reducer {
    /// From `source` to `result`, both as stored, neither with a zero edge.
    pub(super) fn new(source: Size, result: Size) -> Self {
        let rows_at_once = rows_at_once(source, result);
        let strip = Vec::with_capacity(strip_bytes(source, result));
        let result = RgbImage::new(result.width, result.height);
        Self { source, result, strip, first_row: 0, rows_done: 0, rows_at_once, resizer: Resizer::new() }
    }

    /// Most bytes that one holds, its result too.
    pub(super) fn memory(source: Size, result: Size) -> u64 {
        let pixels = result.pixel_count() * RGB as u64 + strip_bytes(source, result) as u64;
        if source == result {
            return pixels;
        }
        // Between the filter's two passes, a picture as wide as the source and as high as a batch of rows.
        let batch = rows_at_once(source, result);
        let between = u64::from(source.width) * (RGB * batch) as u64;
        let rows = batch as f64 / f64::from(result.height.max(1)) * f64::from(source.height);
        let weights = weights(source.width.into(), result.width).saturating_add(weights(rows, batch as u32));
        (pixels + between).saturating_add(weights)
    }

    /// Takes the next row of the source.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<(), ImageError> {
        self.strip.extend_from_slice(row);
        let rows = self.first_row + self.strip.len() / self.row_bytes();
        while self.rows_done < self.result.height() as usize && rows >= self.rows_needed().end {
            self.make_rows()?;
        }
        Ok(())
    }

    /// The result, once every row came in.
    pub(super) fn finish(self) -> Result<RgbImage, ImageError> {
        if self.rows_done == self.result.height() as usize { Ok(self.result) } else { Err(failed()) }
    }

    fn row_bytes(&self) -> usize {
        self.source.width as usize * RGB
    }

    /// Rows of the source for each row of the result.
    fn factor(&self) -> f64 {
        f64::from(self.source.height) / f64::from(self.result.height())
    }

    /// The next rows of the result.
    fn next_rows(&self) -> std::ops::Range<usize> {
        self.rows_done..(self.rows_done + self.rows_at_once).min(self.result.height() as usize)
    }

    /// The rows of the source that they are made of.
    fn rows_needed(&self) -> std::ops::Range<usize> {
        let (next, factor) = (self.next_rows(), self.factor());
        let margin = LOBES * factor.max(1.0) + 1.0;
        let first = (next.start as f64 * factor - margin).floor().max(0.0) as usize;
        let last = (next.end as f64 * factor + margin).ceil() as usize;
        first..last.min(self.source.height as usize)
    }

    fn make_rows(&mut self) -> Result<(), ImageError> {
        let (next, needed, factor) = (self.next_rows(), self.rows_needed(), self.factor());
        let (row_bytes, width) = (self.row_bytes(), self.result.width());
        let result_row = width as usize * RGB;
        let from =
            self.strip.get((needed.start - self.first_row) * row_bytes..(needed.end - self.first_row) * row_bytes);
        let to = self.result.get_mut(next.start * result_row..next.end * result_row);
        let (from, to) = from.zip(to).ok_or_else(failed)?;
        if (self.source.width, self.source.height) == (width, self.source.height) && factor == 1.0 {
            let first = (next.start - needed.start) * row_bytes;
            to.copy_from_slice(from.get(first..first + to.len()).ok_or_else(failed)?);
        } else {
            let rows = edge(needed.len())?;
            let view = ImageRef::new(self.source.width, rows, from, PixelType::U8x3).map_err(|_| failed())?;
            let mut part = Image::from_slice_u8(width, edge(next.len())?, to, PixelType::U8x3).map_err(|_| failed())?;
            let top = (next.start as f64 * factor - needed.start as f64).max(0.0);
            let height = (next.len() as f64 * factor).min(f64::from(rows) - top);
            let options = options().crop(0.0, top, f64::from(self.source.width), height);
            self.resizer.resize(&view, &mut part, &options).map_err(|_| failed())?;
        }
        self.rows_done = next.end;
        let unneeded = self.rows_needed().start.clamp(self.first_row, needed.end) - self.first_row;
        self.strip.drain(..unneeded * row_bytes);
        self.first_row += unneeded;
        Ok(())
    }
}

/// Most bytes that [`plane`] holds beside its source and its result, of a source of at most that size.
pub(super) fn memory(source: Size, result: Size) -> u64 {
    weights(source.width.into(), result.width).saturating_add(weights(source.height.into(), result.height))
}

/// Bytes of the filter's weights along an edge: for every sample of the result one for each sample of the source in its
/// window, as 8 bytes and once more as 2. Of a row of millions of pixels they are far larger than the row.
fn weights(source: f64, result: u32) -> u64 {
    let window = 2 * (LOBES * (source / f64::from(result.max(1))).max(1.0)).ceil() as u64 + 1;
    u64::from(result).saturating_mul(window * (8 + 2) + 48)
}

/// As many rows of the result as a strip of the source gives, at least one.
fn rows_at_once(source: Size, result: Size) -> usize {
    let row_bytes = source.width as usize * RGB;
    let factor = f64::from(source.height) / f64::from(result.height.max(1));
    let rows = (STRIP_BYTES / row_bytes.max(1)) as f64 - 2.0 * (LOBES * factor.max(1.0) + 1.0);
    (rows / factor).floor().clamp(1.0, f64::from(result.height.max(1))) as usize
}

/// Bytes of the strip: what one batch of rows needs.
fn strip_bytes(source: Size, result: Size) -> usize {
    let factor = f64::from(source.height) / f64::from(result.height.max(1));
    let rows = rows_at_once(source, result) as f64 * factor + 2.0 * (LOBES * factor.max(1.0) + 1.0) + 2.0;
    source.width as usize * RGB * (rows.ceil() as usize).min(source.height as usize)
}

fn options() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false)
}

fn edge(samples: usize) -> Result<u32, ImageError> {
    u32::try_from(samples).map_err(|_| failed())
}

fn failed() -> ImageError {
    ImageError::corrupt("its pixels could not be resized")
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// Smooth waves, steeper to the right and the bottom.
    fn waves(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (f64::from(x), f64::from(y));
            let wave = |value: f64| (127.5 + 127.0 * value.sin()) as u8;
            Rgb([wave(x * x / 3e4), wave(y * y / 5e4), wave((x + y) / 17.0)])
        })
    }

    fn in_strips(picture: &RgbImage, size: Size, rows_at_once: usize) -> RgbImage {
        let mut reducer = Reducer::new(Size::new(picture.width(), picture.height()), size);
        reducer.rows_at_once = rows_at_once;
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
            let whole = in_strips(&picture, size, size.height as usize);
            for rows in [1, 2, 7, 100] {
                let strips = in_strips(&picture, size, rows);
                let most = strips.iter().zip(whole.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(most <= Some(1), "{size}, {rows} rows at once: {most:?}");
            }
        }
        assert_eq!(in_strips(&picture, Size::new(301, 463), 5), picture);
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
            assert!(capacity <= STRIP_BYTES + 64 * row.len(), "{source}: {capacity}");
            assert!(reducer.finish().unwrap().iter().all(|sample| *sample == 9));
        }
    }

    #[test]
    fn the_weights_of_a_long_row_are_part_of_the_memory() {
        // 3 lobes on both sides of 2 samples, and the middle.
        assert_eq!(weights(200.0, 100), 100 * ((2 * 6 + 1) * 10 + 48));
        let memory = Reducer::memory(Size::new(40_000_000, 1), Size::new(1568, 1));
        assert!(memory > 2_400_000_000, "6 x 40 million weights of 10 bytes: {memory}");
        let memory = Reducer::memory(Size::new(4032, 3024), Size::new(1270, 952));
        assert!(memory < 32_000_000, "{memory}");
    }

    #[test]
    fn missing_rows_are_an_error() {
        let mut reducer = Reducer::new(Size::new(10, 10), Size::new(5, 5));
        reducer.push(&[0; 30]).unwrap();
        assert!(reducer.finish().is_err());
    }

    #[test]
    fn both_axes_of_a_plane_are_filtered_alike() {
        let picture = waves(301, 203);
        let source = Plane { width: 301, height: 203, samples: picture.pixels().map(|pixel| pixel.0[2]).collect() };
        let area = Area { left: 0.0, top: 0.0, width: 301.0, height: 203.0 };
        let small = plane(source.clone(), &area, 150, 100).unwrap();
        let mut whole = vec![0; 150 * 100];
        let view = ImageRef::new(301, 203, &source.samples, PixelType::U8).unwrap();
        let mut target = Image::from_slice_u8(150, 100, &mut whole, PixelType::U8).unwrap();
        Resizer::new().resize(&view, &mut target, &options()).unwrap();
        let most = small.samples.iter().zip(&whole).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(2), "{most:?}");
    }

    #[test]
    fn a_plane_is_transposed_whatever_its_edges() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33), (5, 100)] {
            let source = Plane { width, height, samples: (0..width * height).map(|at| at as u8).collect() };
            let turned = transposed(&source);
            assert_eq!((turned.width, turned.height), (height, width));
            let moved =
                (0..width * height).all(|at| turned.samples[at % width * height + at / width] == source.samples[at]);
            assert!(moved && transposed(&turned) == source);
        }
    }

    #[test]
    fn an_area_of_a_plane_is_where_it_is_said_to_be() {
        let samples = (0..40_u8).flat_map(|_| (0..100_u8).map(|x| x * 2)).collect();
        let source = Plane { width: 100, height: 40, samples };
        let area = Area { left: 10.5, top: 0.0, width: 80.0, height: 40.0 };
        let part = plane(source.clone(), &area, 40, 20).unwrap();
        // The middle of the first two columns from 10.5 on, of a ramp of 2 for each.
        assert!(part.samples.iter().step_by(40).all(|sample| sample.abs_diff(22) <= 1), "{:?}", part.samples[0]);
        let whole = Area { left: 0.0, top: 0.0, width: 100.0, height: 40.0 };
        assert_eq!(plane(source.clone(), &whole, 100, 40).unwrap(), source);
    }
}
