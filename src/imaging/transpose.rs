//! Columns as rows: of planes, and of the blocks that they are made of.

use super::planes::Plane;

/// The edge of a block: as many bytes as a vector register of every processor has.
pub(super) const EDGE: usize = 16;

/// Sixteen rows of sixteen samples.
pub(super) type Block = [[u8; EDGE]; EDGE];

/// Columns of a block as rows.
#[inline(always)]
pub(super) fn block(rows: &Block) -> Block {
    // A sample's place is eight bits, four of its row and four of its column. Interleaving both halves rotates them by one;
    // four times that swaps row and column. There is an instruction that interleaves, and none that transposes.
    interleaved(&interleaved(&interleaved(&interleaved(rows))))
}

#[inline(always)]
fn interleaved(rows: &Block) -> Block {
    let mut result = [[0; EDGE]; EDGE];
    let (upper, lower) = rows.as_flattened().split_at(EDGE * EDGE / 2);
    for ((pair, upper), lower) in result.as_flattened_mut().as_chunks_mut().0.iter_mut().zip(upper).zip(lower) {
        *pair = [*upper, *lower];
    }
    result
}

/// Columns of a plane as rows.
pub(super) fn plane(source: &Plane) -> Plane {
    let Plane { width, height, .. } = *source;
    let mut samples = vec![0; width * height];
    for (band, rows) in source.samples.chunks(width.max(1) * EDGE).enumerate() {
        let mut rows_of_band: [&[u8]; EDGE] = [&[]; EDGE];
        rows_of_band.iter_mut().zip(rows.chunks_exact(width.max(1))).for_each(|(to, row)| *to = row);
        for (at, columns) in samples.chunks_mut(height.max(1) * EDGE).enumerate() {
            let mut from = [[0; EDGE]; EDGE];
            for (to, row) in from.iter_mut().zip(rows_of_band) {
                copy(row.get(at * EDGE..).unwrap_or_default(), to);
            }
            for (column, turned) in columns.chunks_exact_mut(height.max(1)).zip(block(&from)) {
                copy(&turned, column.get_mut(band * EDGE..).unwrap_or_default());
            }
        }
    }
    Plane { width: height, height: width, samples }
}

/// Copies as much as both hold, of a block's edge.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    match (from.first_chunk::<EDGE>(), to.first_chunk_mut::<EDGE>()) {
        (Some(from), Some(to)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_transposed_whatever_its_edges() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33), (5, 100), (32, 48), (0, 7)] {
            let source =
                Plane { width, height, samples: (0..width * height).map(|at| (at * 31 % 251) as u8).collect() };
            let turned = plane(&source);
            assert_eq!((turned.width, turned.height), (height, width));
            let moved =
                (0..width * height).all(|at| turned.samples[at % width * height + at / width] == source.samples[at]);
            assert!(moved && plane(&turned) == source, "{width}x{height}");
        }
    }
}
