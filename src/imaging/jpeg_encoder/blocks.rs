//! Planes cut into blocks, and blocks gathered into units (MCUs, A.2).

use super::dct::Factors;
use super::huffman::{self, Codes};
use crate::imaging::planes::Plane;

/// Edge of a block in samples.
const EDGE: usize = 8;

/// Samples of a block, row by row.
pub(super) type Samples = [[u8; EDGE]; EDGE];

/// A plane and how it is coded.
pub(super) struct Component<'a> {
    plane: &'a Plane,
    /// Blocks in a row and in a column of a unit: 1 or 2.
    pub(super) sampling: usize,
    /// Number of its quantisation table and of its Huffman tables.
    pub(super) table: u8,
    pub(super) factors: Factors,
    pub(super) codes: &'static Codes,
    /// The rows of blocks that [`Self::cut`] has cut. Those beyond the plane are empty.
    rows: [Vec<Samples>; 2],
}

impl<'a> Component<'a> {
    /// Brightness, with `sampling` samples for one of colour in each direction.
    pub(super) fn luma(plane: &'a Plane, sampling: usize, steps: &[u8; 64]) -> Self {
        Self { plane, sampling, table: 0, factors: Factors::of(steps), codes: &huffman::LUMA, rows: Default::default() }
    }

    /// Colour.
    pub(super) fn chroma(plane: &'a Plane, steps: &[u8; 64]) -> Self {
        let factors = Factors::of(steps);
        Self { plane, sampling: 1, table: 1, factors, codes: &huffman::CHROMA, rows: Default::default() }
    }

    /// Width and height in samples.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.plane.width, self.plane.height)
    }

    /// Columns and rows of units that hold the whole plane.
    pub(super) fn units(&self) -> (usize, usize) {
        let edge = EDGE * self.sampling;
        (self.plane.width.div_ceil(edge), self.plane.height.div_ceil(edge))
    }

    /// Cuts the blocks of row `y` of units. A whole row at once, for memory is read fastest in one direction.
    pub(super) fn cut(&mut self, y: usize) {
        for (row, blocks) in self.rows.iter_mut().take(self.sampling).enumerate() {
            cut(self.plane, (y * self.sampling + row) * EDGE, blocks);
        }
    }

    /// The blocks of unit `x` of the row that was cut last, in the order of A.2.3; `None` for one beyond the plane.
    pub(super) fn unit(&self, x: usize) -> impl Iterator<Item = Option<&Samples>> {
        let columns = x * self.sampling..(x + 1) * self.sampling;
        self.rows.iter().take(self.sampling).flat_map(move |row| columns.clone().map(|column| row.get(column)))
    }
}

/// Cuts the blocks from row `top` of the plane on. Where it ends within a block, its last samples are repeated.
fn cut(plane: &Plane, top: usize, blocks: &mut Vec<Samples>) {
    if top >= plane.height {
        return blocks.clear();
    }
    blocks.resize(plane.width.div_ceil(EDGE), Samples::default());
    for row in 0..EDGE {
        let from = (top + row).min(plane.height - 1) * plane.width;
        let line = plane.samples.get(from..from + plane.width).unwrap_or_default();
        let (eights, rest) = line.as_chunks();
        let mut rows = blocks.iter_mut().filter_map(|block| block.get_mut(row));
        for (eight, to) in eights.iter().zip(rows.by_ref()) {
            *to = *eight;
        }
        if let (Some(last), Some(to)) = (rest.last(), rows.next()) {
            *to = [*last; EDGE];
            to.iter_mut().zip(rest).for_each(|(to, sample)| *to = *sample);
        }
    }
}
