//! The inverse DCT at a reduced size: of a block's 8x8 coefficients only the lowest N x N are used, and give N x N samples.
//! That is a reduction to N/8 in both directions by a sharp low-pass filter, for less work than no reduction at all.

use std::f64::consts::{PI, SQRT_2};

/// Coefficients of a block: rows of rising vertical frequency, in them rising horizontal frequency. Already dequantized.
pub(super) type Block = [[f32; 8]; 8];

/// From coefficients to samples.
pub(super) trait InverseDct {
    /// Writes N rows of N samples, `stride` apart. Too short an output is left as it is.
    fn run(&self, block: &Block, output: &mut [u8], stride: usize);
}

/// The transform from 8x8 coefficients to `scale` x `scale` samples, 1 to 8.
pub(super) fn of_scale(scale: usize) -> Box<dyn InverseDct> {
    match scale {
        1 => Box::new(Mean),
        2 => Box::new(Basis::<2, 4>::new()),
        3 => Box::new(Basis::<3, 4>::new()),
        4 => Box::new(Basis::<4, 4>::new()),
        5 => Box::new(Basis::<5, 8>::new()),
        6 => Box::new(Basis::<6, 8>::new()),
        7 => Box::new(Basis::<7, 8>::new()),
        _ => Box::new(Basis::<8, 8>::new()),
    }
}

/// The last coefficient, in zigzag order, that a transform of that scale uses.
pub(super) const fn last_coefficient(scale: usize) -> usize {
    match scale {
        0 | 1 => 0,
        2 => 4,
        3 => 12,
        4 => 24,
        5 => 39,
        6 => 51,
        7 => 59,
        _ => 63,
    }
}

/// Makes a float's lowest mantissa bits the nearest integer, for |x| below 2^22: 1.5 * 2^23.
const TO_INTEGER: f32 = 12_582_912.0;

/// A sample of 0 to 255 from a value around 0.
#[inline(always)]
fn sample(value: f32) -> u8 {
    ((value + 128.0).clamp(0.0, 255.0) + TO_INTEGER).to_bits() as u8
}

/// One sample a block.
struct Mean;

impl InverseDct for Mean {
    #[inline]
    fn run(&self, block: &Block, output: &mut [u8], _stride: usize) {
        if let Some(only) = output.first_mut() {
            *only = sample(block[0][0] / 8.0);
        }
    }
}

/// The cosines of an N-point transform, W lanes wide: the first power of two, from 4 on, that holds N.
struct Basis<const N: usize, const W: usize> {
    /// For the upper half of the output rows: the weight of each row of coefficients.
    rows: [[f32; N]; N],
    /// For each column of coefficients its weights in a row of samples.
    columns: [[f32; W]; N],
}

impl<const N: usize, const W: usize> Basis<N, W> {
    fn new() -> Self {
        // The 8-point transform's own factor is kept: an N-point one of the same mean (A.3.3).
        let weight = |position: usize, frequency: usize| {
            let scale = if frequency == 0 { 1.0 } else { SQRT_2 };
            let angle = (2 * position + 1) as f64 * frequency as f64 * PI / (2 * N) as f64;
            (scale / 8_f64.sqrt() * angle.cos()) as f32
        };
        let rows = std::array::from_fn(|position| std::array::from_fn(|frequency| weight(position, frequency)));
        let lane = |frequency| move |position| if position < N { weight(position, frequency) } else { 0.0 };
        let columns = std::array::from_fn(|frequency| std::array::from_fn(lane(frequency)));
        Self { rows, columns }
    }

    /// The rows of an intermediate picture, `W` lanes of horizontal frequencies each. Cosines of even frequencies are
    /// symmetric, those of odd ones antisymmetric, so that the lower half costs only a subtraction.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "positions are below N and lanes below W, the lengths of the arrays")]
    fn vertical(&self, block: &Block) -> [[f32; W]; N] {
        let mut result = [[0.0; W]; N];
        for (position, weights) in self.rows.iter().enumerate().take(N.div_ceil(2)) {
            let (mut even, mut odd) = ([0.0; W], [0.0; W]);
            for (frequency, (weight, row)) in weights.iter().zip(block).enumerate() {
                let sums = if frequency % 2 == 0 { &mut even } else { &mut odd };
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += weight * value;
                }
            }
            let lanes = |with: fn(f32, f32) -> f32| std::array::from_fn(|lane| with(even[lane], odd[lane]));
            // The middle row of an odd number is its own mirror, and has no odd part.
            result[N - 1 - position] = lanes(|even, odd| even - odd);
            result[position] = lanes(|even, odd| even + odd);
        }
        result
    }
}

impl<const N: usize, const W: usize> InverseDct for Basis<N, W> {
    #[inline]
    fn run(&self, block: &Block, output: &mut [u8], stride: usize) {
        let intermediate = self.vertical(block);
        for (row, line) in intermediate.iter().zip(output.chunks_mut(stride)) {
            let mut sums = [0.0; W];
            for (weights, value) in self.columns.iter().zip(row) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += weight * value;
                }
            }
            let samples = sums.map(sample);
            if let (Some(line), Some(samples)) = (line.first_chunk_mut::<N>(), samples.first_chunk::<N>()) {
                *line = *samples;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard's formula (A.3.3), with N points in the place of 8.
    fn by_formula(block: &Block, scale: usize) -> Vec<f64> {
        let factor = |frequency: usize| if frequency == 0 { 1.0 } else { SQRT_2 };
        let cosine = |position: usize, frequency: usize| {
            ((2 * position + 1) as f64 * frequency as f64 * PI / (2 * scale) as f64).cos()
        };
        let mut samples = Vec::new();
        for y in 0..scale {
            for x in 0..scale {
                let mut sum = 0.0;
                for (v, row) in block.iter().enumerate().take(scale) {
                    for (u, value) in row.iter().enumerate().take(scale) {
                        sum += factor(u) * factor(v) * f64::from(*value) * cosine(x, u) * cosine(y, v);
                    }
                }
                samples.push((sum / 8.0 + 128.0).clamp(0.0, 255.0));
            }
        }
        samples
    }

    #[test]
    fn every_scale_follows_the_formula() {
        let mut state = 1_u32;
        for _ in 0..50 {
            let block = std::array::from_fn(|row| {
                std::array::from_fn(|column| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((state >> 16) as f32 / 65536.0 - 0.5) * 600.0 / (1 + row + column) as f32
                })
            });
            for scale in 1..=8 {
                let mut output = vec![7; 10 * scale];
                of_scale(scale).run(&block, &mut output, 10);
                let wanted = by_formula(&block, scale);
                for (place, wanted) in wanted.iter().enumerate() {
                    let found = output[place / scale * 10 + place % scale];
                    assert!((f64::from(found) - wanted).abs() < 0.51, "{scale}: {found} for {wanted}");
                }
                assert!(output.chunks(10).all(|row| row[scale..].iter().all(|sample| *sample == 7)));
            }
        }
    }

    #[test]
    fn the_last_coefficient_is_that_of_the_square() {
        for scale in 1..=8 {
            let used = |place: &usize| {
                let (row, column) = (super::super::ZIGZAG[*place] / 8, super::super::ZIGZAG[*place] % 8);
                row < scale && column < scale
            };
            assert_eq!((0..64).filter(used).max(), Some(last_coefficient(scale)));
        }
    }

    #[test]
    fn too_short_an_output_is_left_alone() {
        let mut output = [7; 9];
        of_scale(8).run(&[[100.0; 8]; 8], &mut output[..7], 8);
        of_scale(1).run(&[[100.0; 8]; 8], &mut [], 8);
        assert_eq!(output, [7; 9]);
    }
}
