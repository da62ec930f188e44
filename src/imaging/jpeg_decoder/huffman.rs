//! Huffman tables: what a look at the next bits tells at once.

use super::ImageError;
use super::bits::{Bits, extend};

/// Bits that one look decides by; longer codes take a walk.
const LOOK: u32 = 10;

/// A code and what follows it, in 32 bits: from bit 0 the bits of code and value together (5), from bit 5 by how many
/// coefficients it advances (7), from bit 12 the bits of the value (4), from bit 16 the value itself, signed, when all of
/// it was seen (else 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u32);

/// Advances behind the last coefficient: the block ends.
const END_OF_BLOCK: u32 = 64;

impl Symbol {
    /// No code of the table: it takes no bits and ends the block.
    const UNKNOWN: Self = Self(END_OF_BLOCK << 5);

    fn new(code_length: u32, byte: u8, is_dc: bool) -> Self {
        let (run, size) = (u32::from(byte >> 4), u32::from(byte & 15));
        let advance = match (is_dc, run, size) {
            (true, ..) => 1,
            (false, 15, 0) => 16,
            (false, _, 0) => END_OF_BLOCK,
            _ => run + 1,
        };
        Self((code_length + size) | advance << 5 | size << 12)
    }

    fn with_value(self, value: i32) -> Self {
        Self(self.0 | (value as u32) << 16)
    }

    /// Whether the table has no such code.
    #[inline(always)]
    pub(super) fn is_unknown(self) -> bool {
        self.length() == 0
    }

    /// Bits of code and value together.
    #[inline(always)]
    pub(super) fn length(self) -> u32 {
        self.0 & 31
    }

    /// Coefficients passed over, and the one that is written.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 5 & 127) as usize
    }

    #[inline(always)]
    fn size(self) -> u32 {
        self.0 >> 12 & 15
    }

    /// The value behind the code. 0 for a code that has none.
    #[inline(always)]
    pub(super) fn value(self, bits: &Bits<'_>) -> i32 {
        let seen = self.0 as i32 >> 16;
        if seen != 0 || self.size() == 0 {
            return seen;
        }
        let size = self.size();
        let both = bits.peek(self.length());
        extend(both & ((1 << size) - 1), size)
    }
}

/// Bits that one look at coefficients to pass over takes in.
const SKIP: u32 = 12;

/// As many coefficients with their values as the next bits hold whole: from bit 0 their bits (4), from bit 4 by how many
/// they advance (7), bit 11 whether the block ends behind them. Not even one: 0.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skip(u16);

impl Skip {
    #[inline(always)]
    pub(super) fn length(self) -> u32 {
        u32::from(self.0 & 15)
    }

    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        usize::from(self.0 >> 4 & 127)
    }

    #[inline(always)]
    pub(super) fn ends(self) -> bool {
        self.0 >> 11 & 1 == 1
    }
}

/// What passes over the coefficients behind those that are needed, several at a look.
#[derive(Debug)]
pub(super) struct Skips(Box<[Skip; 1 << SKIP]>);

impl Skips {
    pub(super) fn new(table: &Table) -> Self {
        let mut skips = Box::new([Skip(0); 1 << SKIP]);
        for (seen, skip) in (0_u32..).zip(skips.iter_mut()) {
            let (mut length, mut advance, mut ends) = (0, 0, 0);
            while let Some(symbol) = table.whole_symbol(seen << length & ((1 << SKIP) - 1), SKIP - length) {
                length += symbol.length();
                if symbol.advance() == END_OF_BLOCK as usize {
                    ends = 1;
                    break;
                }
                advance += symbol.advance() as u16;
            }
            if advance < 64 {
                *skip = Skip(length as u16 | advance << 4 | ends << 11);
            }
        }
        Self(skips)
    }

    /// What the next bits hold.
    #[inline(always)]
    pub(super) fn next(&self, bits: &Bits<'_>) -> Skip {
        self.0.get(bits.peek(SKIP) as usize).copied().unwrap_or_default()
    }
}

/// A table as a DHT segment defines it, for one of its two uses.
#[derive(Debug, Clone)]
pub(super) struct Table {
    look: Box<[Symbol; 1 << LOOK]>,
    /// Length of the code and the symbol's own byte, for progressive scans, where it means other things.
    bytes: Box<[(u8, u8); 1 << LOOK]>,
    /// For each code length the first code behind the last of that length, aligned to 16 bits.
    ends: [u32; 17],
    /// For each code length what to add to a code to have the place of its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
    is_dc: bool,
}

impl Table {
    /// The table of `counts` codes of 1 to 16 bits for the `symbols` in their order (C.2).
    ///
    /// # Errors
    ///
    /// Damage, when there are more codes than bits can tell apart, or a symbol that no 8-bit picture has.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8], is_dc: bool) -> Result<Self, ImageError> {
        let (ends, offsets) = codes(counts, symbols, is_dc)?;
        let mut table = Self {
            look: Box::new([Symbol(0); 1 << LOOK]),
            bytes: Box::new([(0, 0); 1 << LOOK]),
            ends,
            offsets,
            symbols: symbols.to_vec(),
            is_dc,
        };
        let (mut code, mut rest) = (0_u32, symbols.iter());
        for (length, count) in (1..=LOOK).zip(counts) {
            for symbol in rest.by_ref().take(usize::from(*count)) {
                table.fill(code, length, *symbol);
                code += 1;
            }
            code <<= 1;
        }
        Ok(table)
    }

    /// Whether [`Self::new`] could make a table of that, at a small part of the cost.
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) fn check(counts: &[u8; 16], symbols: &[u8], is_dc: bool) -> Result<(), ImageError> {
        codes(counts, symbols, is_dc).map(|_| ())
    }

    /// The symbol that the next bits begin with. At least 32 bits must be ready.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &Bits<'_>) -> Symbol {
        // `peek` answers less than `1 << LOOK`, which the compiler sees.
        let seen = self.look.get(bits.peek(LOOK) as usize).copied().unwrap_or(Symbol(0));
        if seen.0 != 0 { seen } else { self.long_symbol(bits) }
    }

    /// The next symbol's own byte, its bits taken. `None` where the table has no such code. At least 16 bits must be ready.
    #[inline(always)]
    pub(super) fn byte(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (length, byte) = self.bytes.get(bits.peek(LOOK) as usize).copied().unwrap_or_default();
        if length > 0 {
            bits.consume(u32::from(length));
            return Some(byte);
        }
        let (length, byte) = self.walk(bits)?;
        bits.consume(length);
        Some(byte)
    }

    /// The symbol at the start of `SKIP` bits of which `count` are known, if these hold all of it and its value.
    fn whole_symbol(&self, bits: u32, count: u32) -> Option<Symbol> {
        let symbol = *self.look.get((bits >> (SKIP - LOOK)) as usize)?;
        (symbol.0 != 0 && symbol.length() <= count).then_some(symbol)
    }

    /// As [`Self::symbol`], for codes of more than `LOOK` bits.
    #[cold]
    #[inline(never)]
    fn long_symbol(&self, bits: &Bits<'_>) -> Symbol {
        self.walk(bits).map_or(Symbol::UNKNOWN, |(length, byte)| Symbol::new(length, byte, self.is_dc))
    }

    /// The next code by its length (F.2.2.3): its length and symbol.
    fn walk(&self, bits: &Bits<'_>) -> Option<(u32, u8)> {
        let code = bits.peek(16);
        let mut lengths = (0..).zip(self.ends.iter().zip(&self.offsets)).skip(1);
        let (length, (_, offset)) = lengths.find(|(_, (end, _))| code < **end)?;
        let place = usize::try_from((code >> (16 - length)) as i32 + offset).ok()?;
        Some((length, *self.symbols.get(place)?))
    }

    /// Writes a code into every place of the looks that begins with it, with its value where that was seen too.
    fn fill(&mut self, code: u32, length: u32, byte: u8) {
        let symbol = Symbol::new(length, byte, self.is_dc);
        let (below, size) = (LOOK - length, symbol.size());
        let first = (code << below) as usize;
        let places = self.look.iter_mut().zip(self.bytes.iter_mut()).skip(first).take(1 << below);
        for (rest, (look, bytes)) in (0_u32..).zip(places) {
            let has_value = size > 0 && size <= below;
            *look = if has_value { symbol.with_value(extend(rest >> (below - size), size)) } else { symbol };
            *bytes = (length as u8, byte);
        }
    }
}

/// For each code length the end and the offset, as [`Table`] has them.
fn codes(counts: &[u8; 16], symbols: &[u8], is_dc: bool) -> Result<([u32; 17], [i32; 17]), ImageError> {
    let wrong = || ImageError::corrupt("a Huffman table of the JPEG is not possible");
    if symbols.iter().any(|symbol| is_dc && *symbol > 11 || symbol & 15 > 14) {
        return Err(wrong());
    }
    let (mut ends, mut offsets) = ([0; 17], [0; 17]);
    let (mut code, mut place) = (0_u32, 0_usize);
    for ((length, count), (end, offset)) in (1..).zip(counts).zip(ends.iter_mut().zip(&mut offsets).skip(1)) {
        *offset = place as i32 - code as i32;
        place += usize::from(*count);
        code += u32::from(*count);
        if place > symbols.len() || code > 1 << length {
            return Err(wrong());
        }
        *end = code << (16 - length);
        code <<= 1;
    }
    Ok((ends, offsets))
}

#[cfg(test)]
mod tests {
    use super::super::bits::Interval;
    use super::*;

    /// The codes of Annex K.3 for the DC of luma: sizes 0 to 11.
    const COUNTS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const SIZES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn first(table: &Table, bytes: &[u8]) -> (Symbol, i32, Option<u8>) {
        let mut interval = Interval::default();
        interval.fill(bytes, 0);
        let mut bits = interval.bits();
        bits.refill();
        let symbol = table.symbol(&bits);
        (symbol, symbol.value(&bits), table.byte(&mut bits))
    }

    #[test]
    fn a_code_and_its_value_are_found() {
        let table = Table::new(&COUNTS, &SIZES, true).unwrap();
        // 00: no difference.
        let (symbol, value, byte) = first(&table, &[0b0011_1111]);
        assert_eq!((symbol.length(), value, byte), (2, 0, Some(0)));
        // 100 is of three bits, here 101.
        let (symbol, value, byte) = first(&table, &[0b1001_0100]);
        assert_eq!((symbol.length(), value, byte), (6, 5, Some(3)));
        // 111111110 is of eleven bits, too many for one look.
        let (symbol, value, byte) = first(&table, &[0xff, 0, 0b0111_1110, 0b1111_0000]);
        assert_eq!((symbol.length(), value, byte), (20, 0b111_1110_1111, Some(11)));
    }

    #[test]
    fn codes_that_do_not_exist_are_told() {
        let few = Table::new(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0], true).unwrap();
        let (symbol, _, byte) = first(&few, &[0b1100_0000]);
        assert_eq!((symbol.is_unknown(), byte), (true, None));
    }

    #[test]
    fn what_is_passed_over_is_what_would_be_read() {
        // Runs 0 to 3 of one bit, a longer value, sixteen zeros, the end.
        let table = Table::new(
            &[0, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x01, 0x11, 0x00, 0x21, 0x31, 0x05, 0xf0],
            false,
        )
        .unwrap();
        let skips = Skips::new(&table);
        for seed in 0..=u16::MAX {
            let mut interval = Interval::default();
            let bytes: Vec<u8> =
                seed.to_be_bytes().iter().flat_map(|b| if *b == 255 { vec![255, 0] } else { vec![*b] }).collect();
            interval.fill(&bytes, 0);
            let mut bits = interval.bits();
            bits.refill();
            let skip = skips.next(&bits);
            let (mut length, mut advance) = (0, 0);
            while length < skip.length() {
                let symbol = table.symbol(&bits);
                bits.consume(symbol.length());
                length += symbol.length();
                advance += if symbol.advance() == 64 { 0 } else { symbol.advance() };
                assert_eq!(symbol.advance() == 64, skip.ends() && length == skip.length());
            }
            assert_eq!((length, advance), (skip.length(), skip.advance()), "{seed:016b}");
        }
    }

    #[test]
    fn long_codes_are_found_by_a_walk() {
        // One code for each length: 0, 10, 110, ... sixteen bits long at last.
        let symbols: Vec<u8> = (1..=16).map(|run| ((run % 10) << 4) | 1).collect();
        let table = Table::new(&[1; 16], &symbols, false).unwrap();
        // Fifteen ones and a zero are the last; its value bit follows.
        let (symbol, value, byte) = first(&table, &[0xff, 0, 0xfe, 0b1000_0000]);
        assert_eq!((symbol.length(), value, byte), (17, 1, Some((6 << 4) | 1)));
        assert_eq!(symbol.advance(), 7);
    }

    #[test]
    fn a_check_says_what_making_the_table_says() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let counts: [u8; 16] = std::array::from_fn(|length| random.u8(..=(length as u8 / 2).min(3)));
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols: Vec<u8> =
                (0..total - usize::from(total > 0 && random.u8(..8) == 0)).map(|_| random.u8(..12)).collect();
            let is_dc = random.bool();
            let made = Table::new(&counts, &symbols, is_dc);
            assert_eq!(made.is_ok(), Table::check(&counts, &symbols, is_dc).is_ok(), "{counts:?} {symbols:?}");
            if made.is_ok() { good += 1 } else { bad += 1 }
        }
        assert!(good > 1000 && bad > 1000, "{good} {bad}");
    }

    #[test]
    fn impossible_tables_are_damage() {
        assert!(Table::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2], true).is_err());
        assert!(Table::new(&COUNTS, &SIZES[..5], true).is_err(), "fewer symbols than codes");
        assert!(Table::new(&COUNTS, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12], true).is_err(), "a size of 12");
    }
}
