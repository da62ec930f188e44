//! Reducing pixels with a Lanczos filter of three lobes, in the picture's own (gamma) space, as libvips and Pillow do.

mod reducer;

use std::f64::consts::PI;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{Filter, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

pub(super) use reducer::Reducer;

use super::planes::Plane;
use super::{ImageError, transpose};
use crate::domain::Size;

/// Lobes of the filter: the half width of its window in samples of the result.
const LOBES: f64 = 3.0;

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
    drop(source);
    let turned = transpose::plane(&columns);
    drop(columns);
    let rows = along_columns(&turned, area.left, area.width, width)?;
    drop(turned);
    Ok(transpose::plane(&rows))
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

fn options() -> ResizeOptions {
    let filter = Filter::new("Lanczos3", lanczos, LOBES).map_or(FilterType::Lanczos3, FilterType::Custom);
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false)
}

/// The filter's weight at `x` samples from its middle: `sinc(x) sinc(x / 3)`, within 2e-8, far finer than the 16 bits it is rounded to. A picture takes some hundred
/// thousand of them; two calls of the C library's sine for each would be a fiftieth of all its time.
fn lanczos(x: f64) -> f64 {
    // Of cos(u), from the highest power of u^2 down: -1^n / (2n)!
    const COSINE: [f64; 9] = [
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -1.0 / 2.0,
        1.0,
    ];
    let x = x.abs();
    if x >= LOBES {
        return 0.0;
    }
    if x < 1e-4 {
        return 1.0;
    }
    // sin(pi x / 3) by the cosine of what is missing to a right angle; sin(pi x) is that of three times the angle.
    let missing = PI / 2.0 - PI * x / LOBES;
    let square = missing * missing;
    let sine = COSINE.iter().fold(0.0, |sum, factor| sum * square + factor);
    let of_three = sine * (3.0 - 4.0 * sine * sine);
    LOBES * of_three * sine / (PI * x * PI * x)
}

fn edge(samples: usize) -> Result<u32, ImageError> {
    u32::try_from(samples).map_err(|_| failed())
}

fn failed() -> ImageError {
    ImageError::corrupt("its pixels could not be resized")
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    /// Smooth waves, steeper to the right and the bottom.
    pub(super) fn waves(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (f64::from(x), f64::from(y));
            let wave = |value: f64| (127.5 + 127.0 * value.sin()) as u8;
            Rgb([wave(x * x / 3e4), wave(y * y / 5e4), wave((x + y) / 17.0)])
        })
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
    fn the_filter_is_that_of_its_name() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        for step in -40_000..40_000 {
            let x = f64::from(step) / 10_000.0;
            let exact = if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 };
            assert!((lanczos(x) - exact).abs() < 2e-8, "{x}: {} is not {exact}", lanczos(x));
        }
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
