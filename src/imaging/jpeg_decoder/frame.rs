//! Segments before and between the scans: what a decoder must know of the picture.

use super::ImageError;
use super::huffman::Table;
use crate::domain::Size;

/// Samples along the edge of a block.
pub(super) const BLOCK: usize = 8;
/// Most blocks that one unit of interleaved data may hold (B.2.3); some encoders write more.
const MAX_BLOCKS_IN_UNIT: usize = 4 * 16;

/// One component, as the frame header describes it.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor, 1 to 4.
    pub(super) sampling: (usize, usize),
    pub(super) quantization: usize,
}

/// The frame header (B.2.2).
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) size: Size,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors, horizontal and vertical.
    pub(super) sampling: (usize, usize),
}

/// One component of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScanComponent {
    /// Its place among the frame's.
    pub(super) place: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// A scan header (B.2.3).
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// First and last coefficient, in zigzag order.
    pub(super) band: (usize, usize),
    /// Bits left out before this scan, and after it. The first is 0 in the first scan of a coefficient.
    pub(super) high: u32,
    pub(super) low: u32,
}

/// What the segments have said so far.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) frame: Option<Frame>,
    /// Quantization tables in zigzag order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    /// Units between restart markers; 0 for none.
    pub(super) restart_interval: usize,
    /// The Adobe segment's colour transform.
    pub(super) adobe_transform: Option<u8>,
    pub(super) has_jfif: bool,
    /// Huffman tables are checked, and not made: nothing will be decoded with them.
    pub(super) is_for_look: bool,
}

impl Segments {
    /// Takes in a segment that is neither a scan header nor without a length.
    pub(super) fn take(&mut self, marker: u8, body: &[u8]) -> Result<(), ImageError> {
        match marker {
            // The components are made by the first, and how much memory they take was told by it.
            0xc0..=0xc2 if self.frame.is_some() => return Err(wrong()),
            0xc0..=0xc2 => self.frame = Some(frame(marker == 0xc2, body)?),
            0xc4 => self.huffman(body)?,
            0xdb => self.quantization(body)?,
            0xdd => {
                let interval = body.first_chunk().ok_or_else(short)?;
                self.restart_interval = usize::from(u16::from_be_bytes(*interval));
            }
            0xe0 if body.starts_with(b"JFIF\0") => self.has_jfif = true,
            0xee if body.starts_with(b"Adobe") => self.adobe_transform = body.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), ImageError> {
        while let Some((class_and_place, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(short)?;
            let is_dc = class_and_place >> 4 == 0;
            body = rest;
            let tables = if is_dc { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(class_and_place & 15)).ok_or_else(wrong)?;
            if self.is_for_look {
                Table::check(counts, symbols, is_dc)?;
            } else {
                *table = Some(Table::new(counts, symbols, is_dc)?);
            }
        }
        Ok(())
    }

    fn quantization(&mut self, mut body: &[u8]) -> Result<(), ImageError> {
        while let Some((precision_and_place, rest)) = body.split_first() {
            let bytes = if precision_and_place >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes).ok_or_else(short)?;
            let mut table = [0; 64];
            for (entry, value) in table.iter_mut().zip(values.chunks_exact(bytes)) {
                *entry = value.iter().fold(0, |all, byte| all << 8 | u16::from(*byte));
            }
            *self.quantization.get_mut(usize::from(precision_and_place & 15)).ok_or_else(wrong)? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// Reads a scan header against the frame.
    pub(super) fn scan(&self, body: &[u8]) -> Result<Scan, ImageError> {
        let frame = self.frame.as_ref().ok_or_else(wrong)?;
        let (count, rest) = body.split_first().ok_or_else(short)?;
        let (selectors, rest) = rest.split_at_checked(usize::from(*count) * 2).ok_or_else(short)?;
        let [first, last, approximation] = *rest.first_chunk().ok_or_else(short)?;
        let mut components: Vec<ScanComponent> = Vec::with_capacity(4);
        for selector in selectors.chunks_exact(2) {
            let [id, tables] = *selector.first_chunk().ok_or_else(short)?;
            let place = frame.components.iter().position(|component| component.id == id).ok_or_else(wrong)?;
            if components.iter().any(|component| component.place == place) {
                return Err(wrong());
            }
            components.push(ScanComponent { place, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) });
        }
        let (band, high, low) = if frame.is_progressive {
            ((usize::from(first), usize::from(last)), u32::from(approximation >> 4), u32::from(approximation & 15))
        } else {
            ((0, 63), 0, 0)
        };
        let scan = Scan { components, band, high, low };
        if frame.is_possible(&scan) { Ok(scan) } else { Err(wrong()) }
    }
}

impl Frame {
    /// Units of interleaved data across and down (A.2.3).
    pub(super) fn units(&self) -> (usize, usize) {
        let (across, down) = self.sampling;
        let (width, height) = self.edges();
        (width.div_ceil(across * BLOCK), height.div_ceil(down * BLOCK))
    }

    /// Width and height in pixels.
    pub(super) fn edges(&self) -> (usize, usize) {
        (self.size.width as usize, self.size.height as usize)
    }

    /// Samples of a component across and down (A.1.1).
    pub(super) fn samples(&self, component: &Component) -> (usize, usize) {
        let (width, height) = self.edges();
        let (across, down) = component.sampling;
        ((width * across).div_ceil(self.sampling.0), (height * down).div_ceil(self.sampling.1))
    }

    /// Whether the standard allows such a scan of such a frame (G.1.1.1 for progressive ones).
    fn is_possible(&self, scan: &Scan) -> bool {
        let Scan { components, band: (first, last), high, low } = scan;
        let blocks: usize = components
            .iter()
            .filter_map(|component| self.components.get(component.place))
            .map(|component| component.sampling.0 * component.sampling.1)
            .sum();
        let band = first <= last && *last < 64;
        let bits = *low <= 13 && (*high == 0 || *high == low + 1);
        let parts = !self.is_progressive || if *first == 0 { *last == 0 } else { components.len() == 1 };
        !components.is_empty() && blocks <= MAX_BLOCKS_IN_UNIT && band && bits && parts
    }
}

/// Reads a frame header.
fn frame(is_progressive: bool, body: &[u8]) -> Result<Frame, ImageError> {
    let ([precision, h1, h0, w1, w0, count], rest) = body.split_first_chunk::<6>().ok_or_else(short)?;
    let edge = |high: &u8, low: &u8| u32::from(u16::from_be_bytes([*high, *low]));
    let size = Size::new(edge(w1, w0), edge(h1, h0));
    if *precision != 8 || size.pixel_count() == 0 || !matches!(count, 1 | 3 | 4) {
        return Err(wrong());
    }
    let mut components: Vec<Component> = Vec::with_capacity(4);
    for part in rest.chunks_exact(3).take(usize::from(*count)) {
        let [id, sampling, quantization] = *part.first_chunk().ok_or_else(short)?;
        let sampling = (usize::from(sampling >> 4), usize::from(sampling & 15));
        let is_known = components.iter().any(|component| component.id == id);
        if !matches!(sampling, (1..=4, 1..=4)) || quantization > 3 || is_known {
            return Err(wrong());
        }
        components.push(Component { id, sampling, quantization: usize::from(quantization) });
    }
    if components.len() != usize::from(*count) {
        return Err(short());
    }
    if let [only] = components.as_mut_slice() {
        // One component alone is never interleaved, whatever factors it states (A.2.2).
        only.sampling = (1, 1);
    }
    let most = |edge: fn(&Component) -> usize| components.iter().map(edge).max().unwrap_or(1);
    let sampling = (most(|component| component.sampling.0), most(|component| component.sampling.1));
    Ok(Frame { is_progressive, size, components, sampling })
}

fn short() -> ImageError {
    ImageError::corrupt("a segment of the JPEG is too short")
}

pub(super) fn wrong() -> ImageError {
    ImageError::corrupt("a header of the JPEG contradicts itself")
}
