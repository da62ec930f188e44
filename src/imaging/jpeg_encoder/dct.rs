//! The forward transform of a block and its quantisation.
//!
//! Arai, Agui and Nakajima's scaled DCT in `f32` (the one of libjpeg's `jfdctflt.c`), whose scale factors are part of
//! the quantisation. The coefficients come out transposed: at `8 * u + v` for the horizontal frequency `u` and the
//! vertical one `v`, which saves turning the block back.

use super::blocks::Samples;
use super::tables::ZIGZAG;

/// Adding it to a float of less than 2^22 rounds it to a whole number, which then lies in the low bits (1.5 * 2^23). An
/// `as` would check for overflow, which SSE2 cannot do in one step.
const ROUND: f32 = 12_582_912.0;
/// Bits of [`ROUND`]: a quantised coefficient is kept as these plus its value.
pub(super) const ZERO: u32 = ROUND.to_bits();

/// What the level shift of A.3.1, 128 of each sample, adds up to in the unscaled DC coefficient.
const LEVEL_SHIFT: f32 = 128.0 * 64.0;

/// Factors of the eight outputs of [`dct8`] over those of the DCT of A.3.3, without its 1/8 of both directions.
const AAN: [f64; 8] =
    [1.0, 1.387_039_845, 1.306_562_965, 1.175_875_602, 1.0, 0.785_694_958, 0.541_196_100, 0.275_899_379];

/// Where the coefficient of each zigzag position is in a transformed block.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
pub(super) const PLACES: [u8; 64] = {
    let mut places = ZIGZAG;
    let mut k = 0;
    while k < 64 {
        places[k] = ZIGZAG[k] % 8 * 8 + ZIGZAG[k] / 8;
        k += 1;
    }
    places
};

/// Zigzag positions, as bits, of the coefficients that a byte of eight flags stands for: of horizontal frequency `u`
/// and of the vertical ones whose bits are set.
static POSITIONS: [[u64; 256]; 8] = positions();

#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const fn positions() -> [[u64; 256]; 8] {
    let mut positions = [[0; 256]; 8];
    let mut k = 0;
    while k < 64 {
        let (u, v) = (PLACES[k] / 8, PLACES[k] % 8);
        let mut flags = 0;
        while flags < 256 {
            if flags >> v & 1 == 1 {
                positions[u as usize][flags] |= 1 << k;
            }
            flags += 1;
        }
        k += 1;
    }
    positions
}

/// What a component's coefficients are multiplied with, at their transposed places.
pub(super) struct Factors([[f32; 8]; 8]);

impl Factors {
    /// Out of the quantisation steps, row by row.
    pub(super) fn of(steps: &[u8; 64]) -> Self {
        let mut factors = [[0.0; 8]; 8];
        for (v, (row, vertical)) in steps.as_chunks::<8>().0.iter().zip(AAN).enumerate() {
            for ((step, horizontal), column) in row.iter().zip(AAN).zip(&mut factors) {
                if let Some(factor) = column.get_mut(v) {
                    *factor = (1.0 / (f64::from(*step) * vertical * horizontal * 8.0)) as f32;
                }
            }
        }
        Self(factors)
    }
}

/// A transformed and quantised block.
pub(super) struct Block {
    /// [`ZERO`] plus the value, a whole number of -1024 to 1023, at the transposed places.
    pub(super) coefficients: [u32; 64],
    /// Bit k is set when the coefficient of zigzag position k is not zero.
    pub(super) nonzero: u64,
    /// Values on the way, kept so that they are not cleared for each block.
    scratch: [[[f32; 8]; 8]; 2],
}

impl Block {
    /// A block before the first [`Self::transform`].
    pub(super) const EMPTY: Self = Self { coefficients: [ZERO; 64], nonzero: 0, scratch: [[[0.0; 8]; 8]; 2] };

    /// Transforms a block.
    pub(super) fn transform(&mut self, samples: &Samples, factors: &Factors) {
        let [a, b] = &mut self.scratch;
        floats(samples, a);
        columns(a, b);
        rows(b, a);
        a[0][0] -= LEVEL_SHIFT;
        self.nonzero = quantise(a, factors, &mut self.coefficients);
    }
}

// The steps are functions of their own so that LLVM vectorises each: in one body the values in between never reach
// memory, and the whole is too deep for its vectoriser.

#[inline(never)]
fn floats(samples: &Samples, floats: &mut [[f32; 8]; 8]) {
    for (float, sample) in floats.as_flattened_mut().iter_mut().zip(samples.as_flattened()) {
        *float = f32::from(*sample);
    }
}

/// Transforms each column.
#[expect(clippy::indexing_slicing, reason = "rows and columns of eight, counted to eight")]
#[inline(never)]
fn columns(from: &[[f32; 8]; 8], to: &mut [[f32; 8]; 8]) {
    let [a, b, c, d, e, f, g, h] = from;
    for x in 0..8 {
        let out = dct8([a[x], b[x], c[x], d[x], e[x], f[x], g[x], h[x]]);
        for (to, out) in to.iter_mut().zip(out) {
            to[x] = out;
        }
    }
}

/// Transforms each row, and turns rows into columns.
#[expect(clippy::indexing_slicing, reason = "rows and columns of eight, counted to eight")]
#[inline(never)]
fn rows(from: &[[f32; 8]; 8], to: &mut [[f32; 8]; 8]) {
    for v in 0..8 {
        let out = dct8(from[v]);
        for (to, out) in to.iter_mut().zip(out) {
            to[v] = out;
        }
    }
}

/// The scaled DCT of eight values.
#[inline(always)]
fn dct8(x: [f32; 8]) -> [f32; 8] {
    let (s07, d07) = (x[0] + x[7], x[0] - x[7]);
    let (s16, d16) = (x[1] + x[6], x[1] - x[6]);
    let (s25, d25) = (x[2] + x[5], x[2] - x[5]);
    let (s34, d34) = (x[3] + x[4], x[3] - x[4]);

    let (even, odd) = (s07 + s34, s16 + s25);
    let straight = s07 - s34;
    let turned = (s16 - s25 + straight) * 0.707_106_77;

    let (low, middle, high) = (d34 + d25, (d25 + d16) * 0.707_106_77, d16 + d07);
    let common = (low - high) * 0.382_683_43;
    let low = low * 0.541_196_1 + common;
    let high = high * 1.306_563 + common;
    let (sum, difference) = (d07 + middle, d07 - middle);
    [
        even + odd,
        sum + high,
        straight + turned,
        difference - low,
        even - odd,
        difference + low,
        straight - turned,
        sum - high,
    ]
}

/// Multiplies, rounds and answers which zigzag positions are not zero.
#[expect(clippy::indexing_slicing, reason = "a byte, and a value for each")]
#[inline(never)]
fn quantise(from: &[[f32; 8]; 8], factors: &Factors, to: &mut [u32; 64]) -> u64 {
    let mut flags = [0; 64];
    let scaled = from.as_flattened().iter().zip(factors.0.as_flattened());
    for (((value, factor), to), flag) in scaled.zip(to).zip(&mut flags) {
        *to = (value * factor + ROUND).to_bits();
        *flag = u8::from(*to != ZERO);
    }
    let mut nonzero = 0;
    for (flags, positions) in flags.as_chunks().0.iter().zip(&POSITIONS) {
        // The product has the lowest bit of byte i at 56 + i.
        let bits = u64::from_le_bytes(*flags).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        nonzero |= positions[bits as usize & 0xff];
    }
    nonzero
}
