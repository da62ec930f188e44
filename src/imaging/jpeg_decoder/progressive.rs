//! Scans of progressive pictures (Annex G): coefficients are gathered over all scans, then made samples.
//!
//! Only the coefficients that the component's scale needs are kept. Of the others a bit tells whether they are zero, for
//! that decides how refining scans are to be read.

use super::bits::Bits;
use super::frame::{Frame, Scan, Segments, wrong};
use super::huffman::Table;
use super::idct::{self, Block};
use super::sequential::{each_interval, units};
use super::{Cancel, Component, ImageError, ZIGZAG, missing, unknown_code};

/// All blocks of one component.
#[derive(Debug, Default)]
pub(super) struct Coefficients {
    /// Blocks across, whole units.
    across: usize,
    /// Coefficients kept of each block.
    kept: usize,
    /// `kept` of each block, in zigzag order.
    values: Vec<i16>,
    /// For each block a bit for each coefficient that is not zero.
    nonzero: Vec<u64>,
}

impl Coefficients {
    /// As many zero blocks as whole units of `frame` hold of the component at `place`.
    pub(super) fn new(frame: &Frame, place: usize, last: usize) -> Result<Self, ImageError> {
        let sampling = frame.components.get(place).ok_or_else(wrong)?.sampling;
        let units = frame.units();
        let (across, down) = (units.0 * sampling.0, units.1 * sampling.1);
        let kept = last + 1;
        Ok(Self { across, kept, values: vec![0; across * down * kept], nonzero: vec![0; across * down] })
    }

    /// Bytes for `blocks` blocks.
    pub(super) fn memory(blocks: u64, last: usize) -> u64 {
        blocks * (2 * (last as u64 + 1) + 8)
    }

    fn block(&mut self, index: usize) -> Result<(&mut [i16], &mut u64), ImageError> {
        let values = self.values.get_mut(index * self.kept..(index + 1) * self.kept);
        values.zip(self.nonzero.get_mut(index)).ok_or_else(wrong)
    }
}

/// Reads the blocks of one scan.
struct Reader<'a> {
    table: Option<&'a Table>,
    first: usize,
    last: usize,
    low: u32,
    is_refining: bool,
    /// Blocks that follow and have nothing in this band (G.1.2.2).
    empty_blocks: u32,
}

/// Takes in a scan whose data begins at offset `at`. Answers the offset behind it.
pub(super) fn decode(
    bytes: &[u8],
    at: usize,
    segments: &Segments,
    scan: &Scan,
    components: &mut [Component],
    cancel: &Cancel,
) -> Result<usize, ImageError> {
    let frame = segments.frame.as_ref().ok_or_else(wrong)?;
    let units = units(frame, scan)?;
    for wanted in &scan.components {
        let component = components.get_mut(wanted.place).ok_or_else(wrong)?;
        if !component.is_seen {
            component.quantization = segments.quantization_of(wanted.place)?;
            component.is_seen = true;
        }
    }
    each_interval(bytes, at, segments.restart_interval, units.0 * units.1, |bits, range| {
        if scan.band.0 == 0 {
            dc(bits, range, units.0, segments, scan, frame, components, cancel)
        } else {
            ac(bits, range, units.0, segments, scan, components, cancel)
        }
    })
}

/// The first coefficients of the units of an interval (G.1.2.1).
#[expect(clippy::too_many_arguments, reason = "what a scan is made of")]
fn dc(
    mut bits: Bits<'_>,
    range: std::ops::Range<usize>,
    across: usize,
    segments: &Segments,
    scan: &Scan,
    frame: &Frame,
    components: &mut [Component],
    cancel: &Cancel,
) -> Result<(), ImageError> {
    let is_alone = scan.components.len() == 1;
    let mut predictions = [0_i32; 4];
    for unit in range {
        let (x, y) = (unit % across, unit / across);
        if x == 0 {
            bits.check()?;
            cancel.check()?;
        }
        for (wanted, prediction) in scan.components.iter().zip(&mut predictions) {
            let blocks = frame.components.get(wanted.place).ok_or_else(wrong)?.sampling;
            let blocks = if is_alone { (1, 1) } else { blocks };
            let component = components.get_mut(wanted.place).ok_or_else(wrong)?;
            for (row, column) in (0..blocks.1).flat_map(|row| (0..blocks.0).map(move |column| (row, column))) {
                let index = (y * blocks.1 + row) * component.coefficients.across + x * blocks.0 + column;
                let (values, _) = component.coefficients.block(index)?;
                let value = values.first_mut().ok_or_else(wrong)?;
                if scan.high > 0 {
                    *value |= i16::from(bits.bit()) << scan.low;
                    continue;
                }
                let table = segments.dc.get(wanted.dc).and_then(Option::as_ref).ok_or_else(missing)?;
                bits.refill_32();
                let symbol = table.symbol(&bits);
                if symbol.is_unknown() {
                    return Err(unknown_code());
                }
                *prediction = prediction.wrapping_add(symbol.value(&bits));
                bits.consume(symbol.length());
                *value = (*prediction << scan.low) as i16;
            }
        }
    }
    bits.check()
}

/// A band of the other coefficients of the blocks of an interval, all of one component.
fn ac(
    mut bits: Bits<'_>,
    range: std::ops::Range<usize>,
    across: usize,
    segments: &Segments,
    scan: &Scan,
    components: &mut [Component],
    cancel: &Cancel,
) -> Result<(), ImageError> {
    let [only] = scan.components.as_slice() else { return Err(wrong()) };
    let coefficients = &mut components.get_mut(only.place).ok_or_else(wrong)?.coefficients;
    let table = segments.ac.get(only.ac).and_then(Option::as_ref);
    let (first, last) = scan.band;
    let mut reader = Reader { table, first, last, low: scan.low, is_refining: scan.high > 0, empty_blocks: 0 };
    for unit in range {
        let (x, y) = (unit % across, unit / across);
        if x == 0 {
            bits.check()?;
            cancel.check()?;
        }
        let (values, nonzero) = coefficients.block(y * coefficients.across + x)?;
        if reader.is_refining {
            reader.refine(&mut bits, values, nonzero)?;
        } else {
            reader.begin(&mut bits, values, nonzero)?;
        }
    }
    bits.check()
}

impl Reader<'_> {
    /// The next run of zeros and size of a value, both of four bits.
    #[inline(always)]
    fn run_and_size(&self, bits: &mut Bits<'_>) -> Result<(u32, u32), ImageError> {
        bits.refill_32();
        let byte = self.table.ok_or_else(missing)?.byte(bits).ok_or_else(unknown_code)?;
        Ok((u32::from(byte >> 4), u32::from(byte & 15)))
    }

    /// This block and how many more have nothing further in the band: `1 << run` and as many as the next bits say.
    #[inline]
    fn end_of_band(&mut self, bits: &mut Bits<'_>, run: u32) {
        self.empty_blocks = (1 << run) + if run > 0 { bits.take(run) } else { 0 };
    }

    /// A block in the first scan of its band (G.1.2.2).
    #[inline(always)]
    fn begin(&mut self, bits: &mut Bits<'_>, values: &mut [i16], nonzero: &mut u64) -> Result<(), ImageError> {
        if self.empty_blocks > 0 {
            self.empty_blocks -= 1;
            return Ok(());
        }
        let mut k = self.first;
        while k <= self.last {
            let (run, size) = self.run_and_size(bits)?;
            if size == 0 {
                if run < 15 {
                    self.end_of_band(bits, run);
                    self.empty_blocks -= 1;
                    break;
                }
                k += 16;
                continue;
            }
            k += run as usize;
            let value = super::bits::extend(bits.take(size), size);
            set(values, nonzero, k, value << self.low);
            k += 1;
        }
        Ok(())
    }

    /// A block in a later scan of its band, which adds one bit to each of its coefficients (G.1.2.3).
    fn refine(&mut self, bits: &mut Bits<'_>, values: &mut [i16], nonzero: &mut u64) -> Result<(), ImageError> {
        let mut k = self.first;
        while self.empty_blocks == 0 && k <= self.last {
            let (mut run, size) = self.run_and_size(bits)?;
            let mut value = 0;
            if size > 0 {
                value = if bits.bit() { 1_i32 << self.low } else { -1 << self.low };
            } else if run < 15 {
                self.end_of_band(bits, run);
                break;
            }
            // Passes `run` zeros, and refines what is not zero on the way.
            while k <= self.last {
                if *nonzero >> k & 1 == 1 {
                    self.correct(bits, values, k);
                } else if run == 0 {
                    set(values, nonzero, k, value);
                    k += 1;
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
        }
        if self.empty_blocks > 0 {
            (k..=self.last).filter(|k| *nonzero >> k & 1 == 1).for_each(|k| self.correct(bits, values, k));
            self.empty_blocks -= 1;
        }
        Ok(())
    }

    /// Reads the next bit of a coefficient that is not zero.
    #[inline(always)]
    fn correct(&self, bits: &mut Bits<'_>, values: &mut [i16], k: usize) {
        if bits.bit()
            && let Some(value) = values.get_mut(k)
        {
            *value = value.wrapping_add(value.signum() << self.low);
        }
    }
}

/// Sets a coefficient, if it is one that is kept, and notes it, unless it is behind the last or stays zero.
#[inline(always)]
fn set(values: &mut [i16], nonzero: &mut u64, k: usize, value: i32) {
    if value != 0 && k < 64 {
        *nonzero |= 1 << k;
        if let Some(kept) = values.get_mut(k) {
            *kept = value as i16;
        }
    }
}

/// Makes samples of all that was gathered for a component.
pub(super) fn finish(component: &mut Component, cancel: &Cancel) -> Result<(), ImageError> {
    let Component { coefficients, plane, scale, quantization, .. } = component;
    let inverse = idct::of_scale(*scale);
    let stride = coefficients.across * *scale;
    let mut band = vec![0; stride * *scale];
    let rows_of_blocks = coefficients.values.chunks_exact(coefficients.across * coefficients.kept);
    for (blocks, target) in rows_of_blocks.zip(plane.samples.chunks_mut(plane.width * *scale)) {
        cancel.check()?;
        for (x, values) in blocks.chunks_exact(coefficients.kept).enumerate() {
            let block = dequantized(values, quantization);
            if let Some(output) = band.get_mut(x * *scale..) {
                inverse.run(&block, output, stride);
            }
        }
        for (row, target) in band.chunks_exact(stride).zip(target.chunks_exact_mut(plane.width)) {
            if let Some(row) = row.get(..target.len()) {
                target.copy_from_slice(row);
            }
        }
    }
    Ok(())
}

fn dequantized(values: &[i16], quantization: &[f32; 64]) -> Block {
    let mut block = [[0.0; 8]; 8];
    for ((value, step), place) in values.iter().zip(quantization).zip(ZIGZAG) {
        if let Some(entry) = block.as_flattened_mut().get_mut(place) {
            *entry = f32::from(*value) * step;
        }
    }
    block
}
