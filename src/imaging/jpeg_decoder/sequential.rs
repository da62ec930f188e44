//! Scans of baseline and extended sequential pictures: coefficients go into samples at once.

use std::ops::Range;

use super::bits::{Bits, Interval};
use super::frame::{BLOCK, Frame, Scan, Segments, wrong};
use super::huffman::{Skips, Table};
use super::idct::{Block, InverseDct};
use super::{Cancel, Component, ImageError, ZIGZAG, missing, next_restart, unknown_code};

/// One component of a scan in work.
struct Lane<'a> {
    dc: &'a Table,
    ac: &'a Table,
    skips: Skips,
    component: &'a mut Component,
    inverse: Box<dyn InverseDct>,
    /// Blocks across and down in each unit.
    blocks: (usize, usize),
    prediction: i32,
    /// The samples of a row of units, as wide as whole units.
    band: Vec<u8>,
    stride: usize,
}

/// Decodes a scan whose data begins at offset `at` into the planes. Answers the offset behind it.
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
    let mut lanes = lanes(segments, frame, scan, components, units.0)?;
    let mut place = Place { units, x: 0, y: 0 };
    each_interval(bytes, at, segments.restart_interval, units.0 * units.1, |bits, range| {
        run(bits, range.len(), &mut lanes, &mut place, cancel)
    })
}

/// Parts the data of a scan of `total` units, which begins at offset `at`, into the intervals between restart markers, of
/// `restart_interval` units each, or one where that is 0. Answers the offset behind the data.
pub(super) fn each_interval(
    bytes: &[u8],
    mut at: usize,
    restart_interval: usize,
    total: usize,
    mut run: impl FnMut(Bits<'_>, Range<usize>) -> Result<(), ImageError>,
) -> Result<usize, ImageError> {
    let each = if restart_interval == 0 { total } else { restart_interval };
    let mut interval = Interval::default();
    let mut done = 0;
    while done < total {
        at = if done == 0 { at } else { next_restart(bytes, at)? };
        at = interval.fill(bytes, at);
        let range = done..total.min(done + each);
        done = range.end;
        run(interval.bits(), range)?;
    }
    Ok(at)
}

/// Units of a scan across and down: of interleaved components, or the blocks of one (A.2).
pub(super) fn units(frame: &Frame, scan: &Scan) -> Result<(usize, usize), ImageError> {
    match scan.components.as_slice() {
        [only] => {
            let component = frame.components.get(only.place).ok_or_else(wrong)?;
            let (width, height) = frame.samples(component);
            Ok((width.div_ceil(BLOCK), height.div_ceil(BLOCK)))
        }
        _ => Ok(frame.units()),
    }
}

fn lanes<'a>(
    segments: &'a Segments,
    frame: &Frame,
    scan: &Scan,
    components: &'a mut [Component],
    across: usize,
) -> Result<Vec<Lane<'a>>, ImageError> {
    let mut lanes = Vec::with_capacity(scan.components.len());
    let is_alone = scan.components.len() == 1;
    for (place, component) in components.iter_mut().enumerate() {
        let Some(wanted) = scan.components.iter().find(|wanted| wanted.place == place) else { continue };
        let table =
            |tables: &'a [Option<Table>; 4], place| tables.get(place).and_then(Option::as_ref).ok_or_else(missing);
        let (dc, ac) = (table(&segments.dc, wanted.dc)?, table(&segments.ac, wanted.ac)?);
        let sampling = frame.components.get(place).ok_or_else(wrong)?.sampling;
        let blocks = if is_alone { (1, 1) } else { sampling };
        component.quantization = segments.quantization_of(place)?;
        component.is_seen = true;
        let stride = across * blocks.0 * component.scale;
        let band = vec![0; stride * blocks.1 * component.scale];
        let inverse = super::idct::of_scale(component.scale);
        let skips = Skips::new(ac);
        lanes.push(Lane { dc, ac, skips, component, inverse, blocks, prediction: 0, band, stride });
    }
    // Units hold the components in the scan's order, which may differ from the frame's.
    let order = |lane: &Lane<'_>| scan.components.iter().position(|wanted| wanted.place == lane.component.place);
    lanes.sort_by_key(order);
    Ok(lanes)
}

/// Zeros what a scale uses, in pieces whose size the compiler knows.
#[inline(always)]
fn clear(block: &mut Block, scale: usize) {
    let (low, high) = block.split_at_mut(4);
    low.fill([0.0; 8]);
    if scale > 4 {
        high.fill([0.0; 8]);
    }
}

/// How far a scan is.
struct Place {
    units: (usize, usize),
    x: usize,
    y: usize,
}

/// Decodes the units of one interval.
fn run(
    mut bits: Bits<'_>,
    count: usize,
    lanes: &mut [Lane<'_>],
    place: &mut Place,
    cancel: &Cancel,
) -> Result<(), ImageError> {
    lanes.iter_mut().for_each(|lane| lane.prediction = 0);
    for _ in 0..count {
        for lane in &mut *lanes {
            lane.unit(&mut bits, place.x)?;
        }
        place.x += 1;
        if place.x == place.units.0 {
            bits.check()?;
            cancel.check()?;
            lanes.iter_mut().for_each(|lane| lane.flush(place.y));
            (place.x, place.y) = (0, place.y + 1);
        }
    }
    bits.check()
}

impl Lane<'_> {
    /// Decodes the component's blocks of the unit at column `x`.
    #[inline(always)]
    fn unit(&mut self, bits: &mut Bits<'_>, x: usize) -> Result<(), ImageError> {
        let scale = self.component.scale;
        let mut block: Block = [[0.0; 8]; 8];
        for row in 0..self.blocks.1 {
            for column in 0..self.blocks.0 {
                clear(&mut block, scale);
                self.block(bits, &mut block)?;
                let at = row * scale * self.stride + (x * self.blocks.0 + column) * scale;
                if let Some(output) = self.band.get_mut(at..) {
                    self.inverse.run(&block, output, self.stride);
                }
            }
        }
        Ok(())
    }

    /// Decodes one block (F.2.2), as far as its scale needs it; what lies behind is passed over.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "`last` is below 64, and ZIGZAG holds numbers below 64")]
    fn block(&mut self, bits: &mut Bits<'_>, block: &mut Block) -> Result<(), ImageError> {
        let Component { quantization, last, .. } = &*self.component;
        let last = (*last).min(63);
        bits.refill();
        let mut symbol = self.dc.symbol(bits);
        if symbol.is_unknown() {
            return Err(unknown_code());
        }
        self.prediction = self.prediction.wrapping_add(symbol.value(bits)).clamp(-65_536, 65_535);
        bits.consume(symbol.length());
        block[0][0] = self.prediction as f32 * quantization[0];

        let mut k = 1;
        while k <= last {
            bits.refill_32();
            symbol = self.ac.symbol(bits);
            k += symbol.advance();
            if k <= last + 1 {
                let place = ZIGZAG[k - 1];
                block[place >> 3][place & 7] = symbol.value(bits) as f32 * quantization[k - 1];
            }
            bits.consume(symbol.length());
        }
        while k < 64 {
            bits.refill_32();
            let skip = self.skips.next(bits);
            if skip.length() > 0 && k + skip.advance() < 64 {
                bits.consume(skip.length());
                k += skip.advance();
                if skip.ends() {
                    return Ok(());
                }
                continue;
            }
            symbol = self.ac.symbol(bits);
            bits.consume(symbol.length());
            k += symbol.advance();
        }
        if symbol.is_unknown() { Err(unknown_code()) } else { Ok(()) }
    }

    /// Moves the band, which holds row `y` of units, into the plane, as far as it lies in it.
    fn flush(&mut self, y: usize) {
        let plane = &mut self.component.plane;
        let rows = self.blocks.1 * self.component.scale;
        let target = plane.samples.chunks_exact_mut(plane.width).skip(y * rows);
        for (row, target) in self.band.chunks_exact(self.stride).zip(target) {
            if let Some(row) = row.get(..target.len()) {
                target.copy_from_slice(row);
            }
        }
    }
}
