//! A decoded JPEG's components as the picture that is wanted: planes while colours stay as they are, RGB where they do not.

use image::RgbImage;
use image::metadata::Orientation;

use super::jpeg_decoder::{self, ColourModel, Component, Decoded, Wanted};
use super::planes::{Plane, Planes};
use super::resize::{self, Area};
use super::{Cancel, ImageError, turn};
use crate::domain::Size;

/// What to ask of the decoder for a picture of `size`, as stored. Chroma is kept at half of it. Brightness is decoded at
/// least a fifth larger: the lowest frequencies of each block, which is what a smaller decoding keeps, are a coarser filter
/// than the reduction's, and only where that has something left to do does it hide this. Without the fifth, a noisy picture
/// is a decibel further from an ideal reduction.
pub(super) fn wanted(size: Size) -> Wanted {
    let larger = |edge: u32| edge.saturating_add(edge / 5);
    Wanted {
        full: Size::new(larger(size.width), larger(size.height)),
        chroma: Size::new((size.width / 2).max(1), (size.height / 2).max(1)),
    }
}

/// Most bytes that decoding a picture of `stored` and reducing it to `size`, as stored, holds at once, whatever the colours
/// are.
pub(super) fn memory(bytes: &[u8], stored: Size, size: Size) -> u64 {
    // Every component at the full size at most, one of them twice while it is turned, and RGB of them.
    let result = size.pixel_count().saturating_mul(4 + 1 + 3);
    let reducing = result.saturating_add(resize::memory(stored, size));
    jpeg_decoder::memory(bytes, &wanted(size)).saturating_add(reducing)
}

/// Planes of exactly `size`, as stored, turned upright: of a gray picture or one in YCbCr.
///
/// Nothing is converted to RGB and back: the resampling is linear, and so is the conversion.
pub(super) fn planes(decoded: Decoded, size: Size, orientation: Option<Orientation>) -> Result<Planes, ImageError> {
    let mut components = decoded.components.into_iter();
    let luma = components.next().ok_or_else(lacking)?;
    let luma = turn::plane(full(luma, size)?, orientation)?;
    let chroma = match (components.next(), components.next()) {
        (Some(cb), Some(cr)) => Some([half(cb, size, orientation, &luma)?, half(cr, size, orientation, &luma)?]),
        _ => None,
    };
    Ok(Planes { luma, chroma })
}

/// RGB of exactly `size`, as stored, in the file's own colour space. `cmyk` makes RGB of pixels of four inks, of which 255
/// is all.
pub(super) fn rgb(
    decoded: Decoded,
    size: Size,
    cmyk: &dyn Fn(&[u8], &mut [u8]),
    cancel: &Cancel,
) -> Result<RgbImage, ImageError> {
    let Decoded { model, components } = decoded;
    let mut planes = Vec::with_capacity(4);
    for component in components {
        cancel.check()?;
        planes.push(full(component, size)?.samples);
    }
    let mut picture = RgbImage::new(size.width, size.height);
    match (model, planes.as_slice()) {
        (ColourModel::Gray, [gray]) => {
            picture.chunks_exact_mut(3).zip(gray).for_each(|(pixel, gray)| pixel.fill(*gray));
        }
        (ColourModel::Rgb, [r, g, b]) => each(&mut picture, r, g, b, |r, g, b| [r, g, b]),
        (ColourModel::YCbCr, [y, cb, cr]) => each(&mut picture, y, cb, cr, rgb_of_ycc),
        (ColourModel::Cmyk | ColourModel::Ycck, [c, m, y, k]) => {
            inks(&mut picture, model, [c, m, y, k], cmyk);
        }
        _ => return Err(lacking()),
    }
    Ok(picture)
}

fn each(picture: &mut RgbImage, a: &[u8], b: &[u8], c: &[u8], convert: impl Fn(u8, u8, u8) -> [u8; 3]) {
    for (pixel, ((a, b), c)) in picture.chunks_exact_mut(3).zip(a.iter().zip(b).zip(c)) {
        pixel.copy_from_slice(&convert(*a, *b, *c));
    }
}

/// Converts pixels of four inks row by row: to plain CMYK, where 255 is all of an ink, then to RGB.
fn inks(picture: &mut RgbImage, model: ColourModel, planes: [&[u8]; 4], cmyk: &dyn Fn(&[u8], &mut [u8])) {
    let width = picture.width() as usize;
    let mut row = vec![0; width * 4];
    let [c, m, y, k] = planes.map(|plane| plane.chunks_exact(width));
    for (target, (((c, m), y), k)) in picture.chunks_exact_mut(width * 3).zip(c.zip(m).zip(y).zip(k)) {
        for (ink, (((c, m), y), k)) in row.chunks_exact_mut(4).zip(c.iter().zip(m).zip(y).zip(k)) {
            // Adobe's programs store the light that an ink leaves, and who writes four components follows them.
            let [c, m, y] =
                if model == ColourModel::Ycck { rgb_of_ycc(*c, *m, *y) } else { [c, m, y].map(|ink| 255 - ink) };
            ink.copy_from_slice(&[c, m, y, 255 - k]);
        }
        cmyk(&row, target);
    }
}

/// RGB of CMYK without a profile, where 255 is all of an ink: what each ink leaves of the light is multiplied.
pub(super) fn plain_cmyk(cmyk: &[u8], rgb: &mut [u8]) {
    for (inks, pixel) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        if let [colours @ .., black] = inks {
            for (sample, ink) in pixel.iter_mut().zip(colours) {
                let light = (255 - u32::from(*ink)) * (255 - u32::from(*black));
                *sample = ((light + 127) / 255) as u8;
            }
        }
    }
}

/// JFIF's equations, rounded to the nearest.
#[inline]
fn rgb_of_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let sample = |value: i32| ((value + HALF) >> 16).clamp(0, 255) as u8;
    [sample(y + 91_881 * cr), sample(y - 22_554 * cb - 46_802 * cr), sample(y + 116_130 * cb)]
}

/// A component at the full size.
fn full(component: Component, size: Size) -> Result<Plane, ImageError> {
    part(component, (0.0, 1.0), (0.0, 1.0), size.width as usize, size.height as usize)
}

/// A colour component at half the size, turned upright to lie under the turned luma: each sample in the middle of its 2x2
/// pixels, and the last of an odd edge a copy of its neighbour.
fn half(component: Component, size: Size, orientation: Option<Orientation>, luma: &Plane) -> Result<Plane, ImageError> {
    let (from_right, from_bottom) = turn::mirrors(orientation);
    let (across, width) = halves(size.width, from_right);
    let (down, height) = halves(size.height, from_bottom);
    let plane = turn::plane(part(component, across, down, width, height)?, orientation)?;
    Ok(extended(plane, luma.width.div_ceil(2), luma.height.div_ceil(2)))
}

/// The part of an edge that whole pairs of pixels take, as its start and length in fractions, and how many pairs there are.
fn halves(edge: u32, from_end: bool) -> ((f64, f64), usize) {
    let pairs = (edge / 2).max(1);
    let length = (f64::from(2 * pairs) / f64::from(edge)).min(1.0);
    ((if from_end { 1.0 - length } else { 0.0 }, length), pairs as usize)
}

/// Resizes the part of a component that lies at fractions of its extent.
fn part(
    component: Component,
    across: (f64, f64),
    down: (f64, f64),
    width: usize,
    height: usize,
) -> Result<Plane, ImageError> {
    let Component { plane, extent, .. } = component;
    let (most_across, most_down) = (extent.0.min(plane.width as f64), extent.1.min(plane.height as f64));
    let (left, top) = (most_across * across.0, most_down * down.0);
    let width_of = (most_across * across.1).min(plane.width as f64 - left);
    let height_of = (most_down * down.1).min(plane.height as f64 - top);
    resize::plane(plane, &Area { left, top, width: width_of, height: height_of }, width, height)
}

/// A plane with its last column and row repeated up to a size.
fn extended(plane: Plane, width: usize, height: usize) -> Plane {
    if (plane.width, plane.height) == (width, height) {
        return plane;
    }
    let mut samples = Vec::with_capacity(width * height);
    let rows: Vec<&[u8]> = plane.samples.chunks_exact(plane.width.max(1)).collect();
    for row in (0..height).filter_map(|y| rows.get(y.min(rows.len().saturating_sub(1)))) {
        samples.extend_from_slice(row.get(..width).unwrap_or(row));
        samples.resize(samples.len() + width.saturating_sub(row.len()), *row.last().unwrap_or(&0));
    }
    Plane { width, height, samples }
}

fn lacking() -> ImageError {
    ImageError::corrupt("the JPEG lacks a component")
}
