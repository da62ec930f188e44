//! Samples of every depth and meaning into opaque RGB of 8 bits.

use super::is_rgb;
use crate::imaging::{
    colour::Transform,
    decode::on_white,
    header::tiff::{Alpha, Layout, Photometric},
};

/// Turns rows of samples into rows of RGB.
pub(super) struct Converter {
    /// Gray of every sample, or colour of every index.
    table: Vec<[u8; 3]>,
    is_rgb: bool,
    alpha: Alpha,
    /// Samples of a pixel that matter: the colours, then alpha.
    samples: u32,
    ink: Option<Transform>,
    /// One row, 8 bits a sample.
    row: Vec<u8>,
    /// Whether a pixel was not opaque.
    pub(super) was_transparent: bool,
}

impl Converter {
    pub(super) fn new(layout: &Layout, ink: Option<Transform>) -> Self {
        let colours = layout.photometric.colours();
        Self {
            table: table(layout),
            is_rgb: is_rgb(layout),
            alpha: layout.alpha,
            samples: colours + u32::from(layout.alpha != Alpha::None),
            ink,
            row: Vec::new(),
            was_transparent: false,
        }
    }

    /// Samples of a pixel that are read.
    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    /// Turns a row into RGB: one slice of interleaved samples, or one for each sample.
    pub(super) fn row<'a>(&mut self, layout: &Layout, planes: impl Iterator<Item = &'a [u8]>, rgb: &mut [u8]) {
        let samples = self.samples as usize;
        self.row.resize(rgb.len() / 3 * samples, 0);
        if layout.is_planar {
            for (plane, source) in planes.enumerate() {
                let targets = self.row.iter_mut().skip(plane).step_by(samples);
                for (target, sample) in targets.zip(Unpacked::new(layout, source)) {
                    *target = sample;
                }
            }
        } else {
            let per_pixel = layout.samples as usize;
            for source in planes {
                let mut unpacked = Unpacked::new(layout, source);
                for pixel in self.row.chunks_exact_mut(samples) {
                    for target in &mut *pixel {
                        *target = unpacked.next().unwrap_or_default();
                    }
                    if per_pixel > samples {
                        unpacked.nth(per_pixel - samples - 1);
                    }
                }
            }
        }
        self.colour(samples, rgb);
    }

    /// From samples of 8 bits to RGB.
    fn colour(&mut self, samples: usize, rgb: &mut [u8]) {
        let colours = if self.alpha == Alpha::None { samples } else { samples - 1 };
        if colours == 4 && samples == 4 && self.ink.as_ref().is_some_and(|ink| ink.cmyk(&self.row, rgb).is_some()) {
            return;
        }
        for (pixel, target) in self.row.chunks_exact(samples).zip(rgb.as_chunks_mut().0) {
            *target = match *pixel {
                [r, g, b, ..] if self.is_rgb => [r, g, b],
                [c, m, y, k, ..] => [c, m, y].map(|ink| unmasked(ink, k)),
                [index, ..] => self.table.get(usize::from(index)).copied().unwrap_or_default(),
                [] => [0; 3],
            };
            if let (true, Some(alpha)) = (self.alpha != Alpha::None, pixel.last()) {
                self.was_transparent |= *alpha != u8::MAX;
                *target = target.map(|sample| match self.alpha {
                    Alpha::Premultiplied => sample.saturating_add(u8::MAX - alpha),
                    _ => on_white(sample, *alpha),
                });
            }
        }
    }
}

/// What is left of white light under a coloured ink and black.
fn unmasked(ink: u8, black: u8) -> u8 {
    let light = |ink| u32::from(u8::MAX - ink);
    ((light(ink) * light(black) + 127) / 255) as u8
}

/// Colours of all values that a sample of gray or an index has.
fn table(layout: &Layout) -> Vec<[u8; 3]> {
    let depth = layout.bits.min(8);
    let last = (1_u32 << depth) - 1;
    let indices = 0..=last;
    match layout.photometric {
        Photometric::WhiteIsZero => indices.map(|value| [(255 - value * 255 / last) as u8; 3]).collect(),
        Photometric::BlackIsZero => indices.map(|value| [(value * 255 / last) as u8; 3]).collect(),
        Photometric::Palette => {
            let colours: Vec<_> = indices.map(|index| layout.palette(index).unwrap_or_default()).collect();
            // Some software writes 8 bits where 16 are meant.
            let shift = if colours.iter().flatten().all(|sample| *sample < 256) { 0 } else { 8 };
            colours.into_iter().map(|colour| colour.map(|sample| (sample >> shift) as u8)).collect()
        }
        Photometric::Rgb | Photometric::Cmyk | Photometric::YCbCr => Vec::new(),
    }
}

/// The samples of a row, one by one: those of 16 bits rounded to 8, those of fewer as they are.
struct Unpacked<'a> {
    bytes: &'a [u8],
    bits: u32,
    is_big_endian: bool,
    /// Bits of the first byte that are used up.
    used: u32,
}

impl<'a> Unpacked<'a> {
    fn new(layout: &Layout, bytes: &'a [u8]) -> Self {
        Self { bytes, bits: layout.bits, is_big_endian: layout.is_big_endian(), used: 0 }
    }
}

impl Iterator for Unpacked<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match self.bits {
            8 => {
                let (sample, rest) = self.bytes.split_first()?;
                self.bytes = rest;
                Some(*sample)
            }
            16 => {
                let (sample, rest) = self.bytes.split_first_chunk::<2>()?;
                self.bytes = rest;
                let sample = if self.is_big_endian { u16::from_be_bytes(*sample) } else { u16::from_le_bytes(*sample) };
                Some(((u32::from(sample) * 255 + 32_767) / 65_535) as u8)
            }
            bits => {
                let byte = *self.bytes.first()?;
                let sample = byte << self.used >> (8 - bits);
                self.used += bits;
                if self.used >= 8 {
                    self.used = 0;
                    self.bytes = self.bytes.get(1..)?;
                }
                Some(sample)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_takes_light_away() {
        assert_eq!(unmasked(0, 0), 255);
        assert_eq!(unmasked(255, 0), 0);
        assert_eq!(unmasked(0, 255), 0);
        assert_eq!(unmasked(127, 0), 128);
        assert_eq!(unmasked(127, 127), 64);
    }
}
