//! How much memory decoding takes at most.

use super::super::header::{Header, Scratch};

/// Tables and rows, whatever the picture.
const BYTES_BESIDES: u64 = 64 * 1024;

/// Most bytes that turning a file into RGB holds at once, the file itself not counted: the picture, and what its decoder
/// needs beside it. `safe_decoders` as in [`super::decode`].
pub(in crate::imaging) fn memory(header: &Header, safe_decoders: bool) -> u64 {
    let Scratch { fast, safe } = header.scratch;
    let beside = if safe_decoders { safe } else { fast };
    header.stored.pixel_count().saturating_mul(3).saturating_add(beside).saturating_add(BYTES_BESIDES)
}
