//! Codes of the standard Huffman tables, and the bits of a scan.

use super::dct::{Block, PLACES, ZERO};
use super::tables::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC, Spec};

/// An entry of a table is what to write, up to 16 bits of a code and 11 of a value, and below it how many bits that is:
/// the lowest five.
const LENGTH_BITS: u32 = 5;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// Coefficients from minus this up to one below it have entries of their own, which hold their code and value.
const NEAR: u32 = 128;

/// Entries of a pair of DC and AC tables; 0 where there is no code.
pub(super) struct Codes {
    /// By category.
    dc: [u32; 16],
    /// By run and category, as the standard's `RS`.
    ac: [u32; 256],
    /// By run and coefficient plus [`NEAR`].
    near: [[u32; 2 * NEAR as usize]; 16],
}

/// Of the luma.
pub(super) static LUMA: Codes = Codes::of(&LUMA_DC, &LUMA_AC);
/// Of the chroma.
pub(super) static CHROMA: Codes = Codes::of(&CHROMA_DC, &CHROMA_AC);

const END_OF_BLOCK: usize = 0x00;
/// Sixteen zeros.
const ZERO_RUN: usize = 0xf0;

impl Codes {
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    const fn of(dc: &Spec, ac: &Spec) -> Self {
        let (dc, ac) = (entries(dc), entries(ac));
        let mut codes = Self { dc: [0; 16], ac, near: [[0; 2 * NEAR as usize]; 16] };
        let mut category = 0;
        while category < 16 {
            codes.dc[category] = dc[category];
            category += 1;
        }
        let mut run = 0;
        while run < 16 {
            let mut at = 0;
            while at < 2 * NEAR {
                let (category, bits) = magnitude(at as i32 - NEAR as i32);
                if category > 0 {
                    codes.near[run][at as usize] = with_value(ac[run << 4 | category as usize], category, bits);
                }
                at += 1;
            }
            run += 1;
        }
        codes
    }
}

/// The entry of each symbol: Annex C.2, codes of one length counted up, and doubled from one length to the next.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
const fn entries(spec: &Spec) -> [u32; 256] {
    let mut entries = [0; 256];
    let (mut code, mut at, mut length) = (0, 0, 1);
    while length <= 16 {
        let mut count = 0;
        while count < spec.counts[length as usize - 1] {
            entries[spec.symbols[at] as usize] = code << LENGTH_BITS | length;
            code += 1;
            at += 1;
            count += 1;
        }
        code <<= 1;
        length += 1;
    }
    entries
}

/// Category of a value, 0 to 11, and its bits (F.1.2.1): of a negative one those of the value less one.
const fn magnitude(value: i32) -> (u32, u32) {
    let category = 32 - value.unsigned_abs().leading_zeros();
    let bits = (value - (value < 0) as i32) as u32;
    (category, bits & ((1 << category) - 1))
}

/// An entry for a code and the value behind it.
const fn with_value(entry: u32, category: u32, bits: u32) -> u32 {
    let code = entry >> LENGTH_BITS;
    ((code << category | bits) << LENGTH_BITS) | ((entry & LENGTH_MASK) + category)
}

/// Bits on their way into the file.
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: Pending,
}

/// Bits that do not fill eight bytes yet.
#[derive(Clone, Copy)]
struct Pending {
    /// The bits, the last one lowest. Those above are left from before.
    bits: u64,
    /// Bits that still fit, 1 to 64.
    free: u32,
}

impl BitWriter {
    /// Continues a file.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, pending: Pending { bits: 0, free: 64 } }
    }

    /// Fills the last byte with ones and answers the file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let used = 64 - self.pending.free;
        let padding = used.next_multiple_of(8) - used;
        let mut pending = self.pending;
        put(&mut self.bytes, &mut pending, ((1 << padding) - 1) << LENGTH_BITS | padding);
        let used = 64 - pending.free;
        let bits = if used == 0 { 0 } else { pending.bits << pending.free };
        for byte in bits.to_be_bytes().into_iter().take(used as usize / 8) {
            stuff(&mut self.bytes, byte);
        }
        self.bytes
    }

    /// Writes a block (F.1.2) and answers its DC value; `previous` is that of the component's block before.
    #[expect(clippy::indexing_slicing, reason = "every index is masked to the length of its array")]
    pub(super) fn block(&mut self, block: &Block, codes: &Codes, previous: i32) -> i32 {
        // Copied so that it stays in registers.
        let mut pending = self.pending;
        let bytes = &mut self.bytes;
        let dc = block.coefficients[0].wrapping_sub(ZERO) as i32;
        let (category, bits) = magnitude(dc - previous);
        put(bytes, &mut pending, with_value(codes.dc[category as usize & 15], category, bits));
        let mut left = block.nonzero & !1;
        let mut last = 0;
        while left != 0 {
            let k = left.trailing_zeros();
            left &= left - 1;
            let mut run = k - last - 1;
            last = k;
            while run > 15 {
                put(bytes, &mut pending, codes.ac[ZERO_RUN]);
                run -= 16;
            }
            let coefficient = block.coefficients[PLACES[k as usize & 63] as usize & 63];
            let near = coefficient.wrapping_sub(ZERO - NEAR);
            let entry = if near < 2 * NEAR {
                codes.near[run as usize & 15][near as usize & 0xff]
            } else {
                let (category, bits) = magnitude(coefficient.wrapping_sub(ZERO) as i32);
                with_value(codes.ac[(run << 4 | category) as usize & 0xff], category, bits)
            };
            put(bytes, &mut pending, entry);
        }
        if last != 63 {
            put(bytes, &mut pending, codes.ac[END_OF_BLOCK]);
        }
        self.pending = pending;
        dc
    }

    /// Writes a block that is there to fill a unit: of the same DC value as the one before, and flat.
    pub(super) fn filler(&mut self, codes: &Codes) {
        put(&mut self.bytes, &mut self.pending, codes.dc[0]);
        put(&mut self.bytes, &mut self.pending, codes.ac[END_OF_BLOCK]);
    }
}

/// Appends the bits of an entry.
#[inline(always)]
fn put(bytes: &mut Vec<u8>, pending: &mut Pending, entry: u32) {
    let (bits, length) = (u64::from(entry >> LENGTH_BITS), entry & LENGTH_MASK);
    if length < pending.free {
        pending.bits = pending.bits << length | bits;
        pending.free -= length;
    } else {
        let over = length - pending.free;
        let full = pending.bits << pending.free | bits >> over;
        flush(bytes, full);
        *pending = Pending { bits, free: 64 - over };
    }
}

/// Appends eight bytes, and a zero after each of 0xff (F.1.2.3).
#[inline(always)]
fn flush(bytes: &mut Vec<u8>, bits: u64) {
    // A byte of 0xff has its highest bit set and loses it when one is added, or carries into the next.
    let any = bits & 0x8080_8080_8080_8080 & !bits.wrapping_add(0x0101_0101_0101_0101);
    if any == 0 {
        bytes.extend_from_slice(&bits.to_be_bytes());
    } else {
        flush_stuffed(bytes, bits);
    }
}

#[cold]
#[inline(never)]
fn flush_stuffed(bytes: &mut Vec<u8>, bits: u64) {
    for byte in bits.to_be_bytes() {
        stuff(bytes, byte);
    }
}

fn stuff(bytes: &mut Vec<u8>, byte: u8) {
    bytes.push(byte);
    if byte == 0xff {
        bytes.push(0);
    }
}
