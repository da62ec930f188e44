//! RGB to the YCbCr of JFIF: full range, BT.601.
//!
//! Pixels are taken in runs of [`RUN`], parted into a row of red, of green and of blue, and then computed with 16-bit
//! lanes: samples in 256ths, of which the rounding error of each factor takes less than one.

use image::RgbImage;

use super::Chroma;
use crate::imaging::planes::{Plane, Planes};

/// Pixels that are worked on at once.
const RUN: usize = 256;
const HALF: usize = RUN / 2;

/// Red, green and blue of a run.
type Channels = [[u8; RUN]; 3];
const NO_CHANNELS: Channels = [[0; RUN]; 3];

/// The planes of a picture. Half chroma is that of the average of 2x2 pixels, those of an odd edge repeated.
pub(in crate::imaging) fn planes_of_rgb(rgb: &RgbImage, chroma: Chroma) -> Planes {
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    let (colour_width, colour_height) = match chroma {
        Chroma::Full => (width, height),
        Chroma::Half => (width.div_ceil(2), height.div_ceil(2)),
    };
    let mut luma = vec![0; width * height];
    let mut cb = vec![0; colour_width * colour_height];
    let mut cr = vec![0; colour_width * colour_height];
    let rows_at_once = if chroma == Chroma::Full { 1 } else { 2 };
    if width > 0 {
        let rows = rgb.as_raw().chunks(3 * width * rows_at_once).zip(luma.chunks_mut(width * rows_at_once));
        let colours = cb.chunks_mut(colour_width).zip(cr.chunks_mut(colour_width));
        for ((rgb, luma), (cb, cr)) in rows.zip(colours) {
            match chroma {
                Chroma::Full => row(rgb, luma, cb, cr),
                Chroma::Half => two_rows(rgb, luma, cb, cr, width),
            }
        }
    }
    let plane = |samples| Plane { width: colour_width, height: colour_height, samples };
    Planes { luma: Plane { width, height, samples: luma }, chroma: Some([plane(cb), plane(cr)]) }
}

/// A row with chroma of full size.
fn row(rgb: &[u8], luma: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    let mut channels = NO_CHANNELS;
    let mut quadruples = [[0; RUN]; 3];
    let colours = cb.chunks_mut(RUN).zip(cr.chunks_mut(RUN));
    for ((rgb, luma), (cb, cr)) in rgb.chunks(3 * RUN).zip(luma.chunks_mut(RUN)).zip(colours) {
        part(rgb, &mut channels);
        put(luma, |to| luma_of(&channels, to));
        for (quadruples, samples) in quadruples.iter_mut().zip(&channels) {
            quadruples_of(samples, quadruples);
        }
        put(cb, |to| cb_of(&quadruples, to));
        put(cr, |to| cr_of(&quadruples, to));
    }
}

/// Two rows, or the last one, with chroma of half the size.
fn two_rows(rgb: &[u8], luma: &mut [u8], cb: &mut [u8], cr: &mut [u8], width: usize) {
    let (upper, lower) = rgb.split_at(3 * width);
    let (upper_luma, lower_luma) = luma.split_at_mut(width);
    let (mut channels, mut lower_channels) = (NO_CHANNELS, NO_CHANNELS);
    let mut sums = [[0; HALF]; 3];
    let mut lower = lower.chunks(3 * RUN).zip(lower_luma.chunks_mut(RUN));
    let colours = cb.chunks_mut(HALF).zip(cr.chunks_mut(HALF));
    for ((upper, luma), (cb, cr)) in upper.chunks(3 * RUN).zip(upper_luma.chunks_mut(RUN)).zip(colours) {
        part(upper, &mut channels);
        put(luma, |to| luma_of(&channels, to));
        match lower.next() {
            Some((lower, luma)) => {
                part(lower, &mut lower_channels);
                put(luma, |to| luma_of(&lower_channels, to));
            }
            None => lower_channels = channels,
        }
        for ((sums, upper), lower) in sums.iter_mut().zip(&channels).zip(&lower_channels) {
            sums_of(upper, lower, sums);
        }
        put(cb, |to| cb_of(&sums, to));
        put(cr, |to| cr_of(&sums, to));
    }
}

/// Computes a run, and keeps of it what the row has left.
#[inline(always)]
fn put<const N: usize>(to: &mut [u8], compute: impl FnOnce(&mut [u8; N])) {
    match to.as_mut_array::<N>() {
        Some(to) => compute(to),
        None => {
            let mut run = [0; N];
            compute(&mut run);
            to.iter_mut().zip(run).for_each(|(to, sample)| *to = sample);
        }
    }
}

/// Parts up to [`RUN`] pixels into their channels; what is missing of them repeats the last one.
fn part(rgb: &[u8], channels: &mut Channels) {
    let (mut a, mut b) = ([[0; 48]; RUN / 16], [[0; 48]; RUN / 16]);
    match rgb.as_array::<{ 3 * RUN }>() {
        Some(rgb) => shuffle(rgb.as_chunks().0, &mut a),
        None => {
            let mut run = [rgb.last_chunk::<3>().copied().unwrap_or_default(); RUN];
            run.as_flattened_mut().iter_mut().zip(rgb).for_each(|(to, sample)| *to = *sample);
            shuffle(run.as_flattened().as_chunks().0, &mut a);
        }
    }
    shuffle(&a, &mut b);
    shuffle(&b, &mut a);
    shuffle(&a, &mut b);
    for (channel, at) in channels.iter_mut().zip([0, 16, 32]) {
        for (to, group) in channel.as_chunks_mut::<16>().0.iter_mut().zip(&b) {
            if let Some(from) = group.get(at..).and_then(<[u8]>::first_chunk) {
                *to = *from;
            }
        }
    }
}

/// Interleaves both halves of each group of 48. Byte n goes to 2n modulo 47; four times that is 16n, which puts sample
/// c of pixel i, at 3i + c, to 16c + i. SSE2 has an instruction that interleaves, and none that picks every third byte.
#[inline(never)]
fn shuffle(from: &[[u8; 48]], to: &mut [[u8; 48]; RUN / 16]) {
    for (from, to) in from.iter().zip(to) {
        let (first, second) = from.split_at(24);
        for ((to, first), second) in to.as_chunks_mut().0.iter_mut().zip(first).zip(second) {
            *to = [*first, *second];
        }
    }
}

/// The upper 16 bits of a product. A factor of 0.5 is 2^15.
#[inline(always)]
fn product(a: u16, factor: u16) -> u16 {
    ((u32::from(a) * u32::from(factor)) >> 16) as u16
}

/// A sample as 257 of its size, so that 255 is 65,535: one instruction, which a shift by 8 and a product are not.
#[inline(always)]
fn wide(sample: u8) -> u16 {
    u16::from(sample) << 8 | u16::from(sample)
}

/// `Y = 0.299 R + 0.587 G + 0.114 B`, in factors of [`wide`] samples.
#[inline(never)]
fn luma_of([red, green, blue]: &Channels, luma: &mut [u8; RUN]) {
    for (((luma, red), green), blue) in luma.iter_mut().zip(red).zip(green).zip(blue) {
        let sum = product(wide(*red), 19_519) + product(wide(*green), 38_320) + product(wide(*blue), 7_442);
        *luma = ((sum + 129) >> 8) as u8;
    }
}

/// Adds up 2x2 samples.
#[inline(never)]
fn sums_of(upper: &[u8; RUN], lower: &[u8; RUN], sums: &mut [u16; HALF]) {
    for ((sum, upper), lower) in sums.iter_mut().zip(upper.as_chunks().0).zip(lower.as_chunks().0) {
        let (upper, lower) = (u16::from_le_bytes(*upper), u16::from_le_bytes(*lower));
        *sum = (upper & 0xff) + (lower & 0xff) + (upper >> 8) + (lower >> 8);
    }
}

/// Four times the samples: what [`sums_of`] four equal ones is.
#[inline(never)]
fn quadruples_of(samples: &[u8; RUN], quadruples: &mut [u16; RUN]) {
    for (quadruple, sample) in quadruples.iter_mut().zip(samples) {
        *quadruple = u16::from(*sample) * 4;
    }
}

/// `Cb = -0.168736 R - 0.331264 G + 0.5 B + 128`, of four times the samples.
fn cb_of<const N: usize>([red, green, blue]: &[[u16; N]; 3], cb: &mut [u8; N]) {
    difference(blue, [(red, 11_058), (green, 21_710)], cb);
}

/// `Cr = 0.5 R - 0.418688 G - 0.081312 B + 128`, of four times the samples.
fn cr_of<const N: usize>([red, green, blue]: &[[u16; N]; 3], cr: &mut [u8; N]) {
    difference(red, [(green, 27_439), (blue, 5_329)], cr);
}

/// Half of a channel, less the shares of the two others in 65,536ths (which add up to a half), plus 128.
#[inline(never)]
fn difference<const N: usize>(own: &[u16; N], [a, b]: [(&[u16; N], u16); 2], to: &mut [u8; N]) {
    for (((to, own), x), y) in to.iter_mut().zip(own).zip(a.0).zip(b.0) {
        // 128.5 in 256ths, less one so that the largest value, 255.5, stays within.
        *to = (((own << 5) + 32_895 - product(x << 6, a.1) - product(y << 6, b.1)) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Y`, `Cb` and `Cr` as JFIF defines them, before they are rounded.
    fn exact([r, g, b]: [f64; 3]) -> [f64; 3] {
        [
            0.299 * r + 0.587 * g + 0.114 * b,
            -0.168_736 * r - 0.331_264 * g + 0.5 * b + 128.0,
            0.5 * r - 0.418_688 * g - 0.081_312 * b + 128.0,
        ]
    }

    /// The mean of the pixels of a sample, edges repeated.
    fn mean(picture: &RgbImage, x: usize, y: usize, edge: usize) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for (dx, dy) in (0..edge).flat_map(|dx| (0..edge).map(move |dy| (dx, dy))) {
            let x = (x * edge + dx).min(picture.width() as usize - 1);
            let y = (y * edge + dy).min(picture.height() as usize - 1);
            let pixel = picture.get_pixel(x as u32, y as u32).0;
            sum.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += f64::from(sample));
        }
        sum.map(|sum| sum / (edge * edge) as f64)
    }

    fn check(picture: &RgbImage) {
        for (chroma, edge) in [(Chroma::Full, 1), (Chroma::Half, 2)] {
            let Planes { luma, chroma: Some([cb, cr]) } = planes_of_rgb(picture, chroma) else { panic!("no chroma") };
            for (channel, edge, plane) in [(0, 1, luma), (1, edge, cb), (2, edge, cr)] {
                assert_eq!(plane.width, (picture.width() as usize).div_ceil(edge));
                assert_eq!(plane.height, (picture.height() as usize).div_ceil(edge));
                assert_eq!(plane.samples.len(), plane.width * plane.height);
                for (at, sample) in plane.samples.iter().enumerate() {
                    let wanted = exact(mean(picture, at % plane.width, at / plane.width, edge))[channel];
                    let error = (f64::from(*sample) - wanted).abs();
                    assert!(error < 0.52, "{:?} {chroma:?} {channel} {at}: {error}", picture.dimensions());
                }
            }
        }
    }

    #[test]
    fn every_colour_is_as_near_as_rounding_allows() {
        // Every fifth value of each channel, 0 and 255 among them, in an order that averages differ from their parts.
        let colour = |at: u32| [at % 52 * 5, at / 52 % 52 * 5, at / 2704 % 52 * 5].map(|sample| sample as u8);
        check(&RgbImage::from_fn(400, 352, |x, y| image::Rgb(colour(y * 400 + x))));
    }

    #[test]
    fn rows_of_every_length_end_where_they_should() {
        let colour = |x: u32, y: u32| image::Rgb([x * 7 + y * 31, x * 13 + y * 5, x * 3 + y * 77].map(|n| n as u8));
        for width in (1..=35).chain(255..=258).chain(511..=515) {
            for height in 1..=3 {
                check(&RgbImage::from_fn(width, height, colour));
            }
        }
        assert!(planes_of_rgb(&RgbImage::new(0, 5), Chroma::Half).luma.samples.is_empty());
        assert!(planes_of_rgb(&RgbImage::new(5, 0), Chroma::Full).luma.samples.is_empty());
    }
}
