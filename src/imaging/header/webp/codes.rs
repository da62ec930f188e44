//! How much memory the prefix codes of a lossless WebP picture take. Specification: RFC 9649, section 3.
//!
//! A picture may have 65,536 groups of five codes, whatever its size, and its decoder keeps a table of some kB for each:
//! 4 MB of file would take more than 1 GB. So the codes are read here first, one by one, and added up. Of the pictures that
//! come before them only the codes are followed: what is copied from pixels before was a literal once, and the largest
//! literal is all that is asked.

/// Symbols of the five codes of a group: green, lengths and the cache; red; blue; alpha; distances.
const ALPHABETS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
/// In which order the lengths of the code of lengths come (section 3.7.2.1.2).
const LENGTH_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// Longest code word, in bits.
const MAX_LENGTH: usize = 15;

/// What `image-webp` keeps of a code: a table of 4 bytes for each word of up to 10 bits, nodes of 16 for what is longer,
/// and itself.
const TABLE_BITS: usize = 10;
const NODE_BYTES: u64 = 32;
const CODE_BYTES: u64 = 64;

/// Bytes that the codes of a picture of that size take. `stream` starts with the transforms. `None` when it is damaged
/// before they end.
pub(in crate::imaging) fn memory(stream: &[u8], width: u32, height: u32) -> Option<u64> {
    let mut bits = Bits { bytes: stream, at: 0 };
    let mut columns = width;
    while bits.take(1)? == 1 {
        match bits.take(2)? {
            // Predictors, and colours of blocks.
            0 | 1 => {
                let block = bits.take(3)? + 2;
                picture(&mut bits, columns.div_ceil(1 << block), height.div_ceil(1 << block))?;
            }
            2 => {}
            // A palette: pixels share a byte where it is small.
            _ => {
                let colours = bits.take(8)? + 1;
                picture(&mut bits, colours, 1)?;
                let shared = match colours {
                    0..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                columns = columns.div_ceil(1 << shared);
            }
        }
    }
    let cache = cache(&mut bits)?;
    let mut groups = 1;
    if bits.take(1)? == 1 {
        let block = bits.take(3)? + 2;
        groups = picture(&mut bits, columns.div_ceil(1 << block), height.div_ceil(1 << block))? + 1;
    }
    let mut memory = 0;
    for _ in 0..groups {
        memory += group(&mut bits, cache)?.iter().map(|code| code.memory).sum::<u64>();
    }
    Some(memory)
}

/// Follows a picture of one group of codes, and tells the largest number that red and green make of a pixel.
fn picture(bits: &mut Bits, width: u32, height: u32) -> Option<u32> {
    let cache = cache(bits)?;
    let [green, red, blue, alpha, distance] = group(bits, cache)?;
    let (mut largest, mut left) = (0, u64::from(width) * u64::from(height));
    while left > 0 {
        let symbol = green.read(bits)?;
        let pixels = match symbol {
            0..256 => {
                largest = largest.max(u32::from(red.read(bits)?) << 8 | u32::from(symbol));
                blue.read(bits)?;
                alpha.read(bits)?;
                1
            }
            256..280 => {
                let pixels = prefixed(bits, symbol - 256)?;
                let symbol = distance.read(bits)?;
                prefixed(bits, symbol)?;
                pixels
            }
            _ => 1,
        };
        left = left.checked_sub(pixels)?;
    }
    Some(largest)
}

/// Colours in the cache.
fn cache(bits: &mut Bits) -> Option<usize> {
    if bits.take(1)? == 0 {
        return Some(0);
    }
    let size = bits.take(4)?;
    (1..=11).contains(&size).then(|| 1 << size)
}

fn group(bits: &mut Bits, cache: usize) -> Option<[Code; 5]> {
    let [green, red, blue, alpha, distance] = ALPHABETS;
    Some([
        Code::new(bits, green + cache)?,
        Code::new(bits, red)?,
        Code::new(bits, blue)?,
        Code::new(bits, alpha)?,
        Code::new(bits, distance)?,
    ])
}

/// A length or a distance by its prefix and the bits behind it. A code of one word may name a prefix that no alphabet has.
fn prefixed(bits: &mut Bits, prefix: u16) -> Option<u64> {
    let [.., distances] = ALPHABETS;
    let prefix = u32::from(prefix);
    if usize::try_from(prefix).ok()? >= distances {
        return None;
    }
    if prefix < 4 {
        return Some(u64::from(prefix) + 1);
    }
    let extra = (prefix - 2) >> 1;
    let offset = u64::from(2 + (prefix & 1)) << extra;
    Some(offset + u64::from(bits.take(extra)?) + 1)
}

/// A canonical prefix code.
struct Code {
    /// Words of each length.
    counts: [u16; MAX_LENGTH + 1],
    /// By length, then by number.
    symbols: Vec<u16>,
    memory: u64,
}

impl Code {
    fn new(bits: &mut Bits, alphabet: usize) -> Option<Self> {
        if bits.take(1)? == 1 {
            let two = bits.take(1)? == 1;
            let wide = bits.take(1)? == 1;
            let mut symbols = vec![bits.take(if wide { 8 } else { 1 })? as u16];
            if two {
                symbols.push(bits.take(8)? as u16);
            }
            let mut counts = [0; MAX_LENGTH + 1];
            if let (true, [_, count, ..]) = (two, &mut counts) {
                *count = 2;
            }
            return Some(Self { counts, symbols, memory: CODE_BYTES });
        }
        let mut lengths = [0; LENGTH_ORDER.len()];
        let stated = bits.take(4)? as usize + 4;
        for at in LENGTH_ORDER.iter().take(stated) {
            *lengths.get_mut(*at)? = bits.take(3)? as u8;
        }
        let code = Self::of(&lengths)?;
        let most = if bits.take(1)? == 1 {
            let width = 2 + 2 * bits.take(3)?;
            2 + bits.take(width)? as usize
        } else {
            alphabet
        };
        Self::of(&code.lengths(bits, alphabet, most)?)
    }

    /// Lengths of the words of an alphabet, in `most` symbols at most of this code.
    fn lengths(&self, bits: &mut Bits, alphabet: usize, most: usize) -> Option<Vec<u8>> {
        let mut lengths: Vec<u8> = Vec::with_capacity(alphabet);
        let mut before = 8;
        for _ in 0..most {
            if lengths.len() >= alphabet {
                break;
            }
            let (length, count) = match self.read(bits)? {
                16 => (before, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length as u8, 1),
            };
            if length != 0 {
                before = length;
            }
            lengths.extend(std::iter::repeat_n(length, count as usize));
        }
        (lengths.len() <= alphabet).then_some(lengths)
    }

    /// The code whose words have those lengths; it must be complete.
    fn of(lengths: &[u8]) -> Option<Self> {
        let mut symbols: Vec<(u8, u16)> = lengths
            .iter()
            .zip(0..)
            .filter(|(length, _)| **length > 0)
            .map(|(length, symbol)| (*length, symbol))
            .collect();
        symbols.sort_unstable();
        let mut counts = [0_u16; MAX_LENGTH + 1];
        let (mut filled, mut long) = (0_u32, 0_u64);
        for (length, _) in &symbols {
            *counts.get_mut(usize::from(*length))? += 1;
            filled += 1 << (MAX_LENGTH - usize::from(*length));
            long += u64::from(usize::from(*length) > TABLE_BITS);
        }
        let longest = usize::from(symbols.last()?.0);
        if symbols.len() == 1 {
            counts = [0; MAX_LENGTH + 1];
        } else if filled != 1 << MAX_LENGTH {
            return None;
        }
        let table = if symbols.len() == 1 { 0 } else { 4_u64 << longest.min(TABLE_BITS) };
        let symbols = symbols.into_iter().map(|(_, symbol)| symbol).collect();
        Some(Self { counts, symbols, memory: CODE_BYTES + table + long * NODE_BYTES })
    }

    /// Reads a symbol. The only one of a code takes no bits.
    fn read(&self, bits: &mut Bits) -> Option<u16> {
        if let [only] = self.symbols[..] {
            return Some(only);
        }
        let (mut word, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for count in self.counts.iter().skip(1) {
            word |= bits.take(1)?;
            let count = u32::from(*count);
            if word < first + count {
                return self.symbols.get((index + word - first) as usize).copied();
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        None
    }
}

/// Bits, the lowest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` of them, 32 at most, the first as the lowest. `None` where the stream is over.
    fn take(&mut self, count: u32) -> Option<u32> {
        let start = self.at / 8;
        let end = (self.at + count as usize).div_ceil(8);
        let bytes = self.bytes.get(start..end)?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let value = value >> (self.at % 8) & ((1_u64 << count) - 1);
        self.at += count as usize;
        Some(value as u32)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Default)]
    struct Writer {
        bytes: Vec<u8>,
        count: usize,
    }

    impl Writer {
        fn put(&mut self, value: u32, bits: usize) {
            for bit in 0..bits {
                if self.count.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                self.bytes[self.count / 8] |= ((value >> bit & 1) as u8) << (self.count % 8);
                self.count += 1;
            }
        }

        /// A code of one symbol.
        fn only(&mut self, symbol: u32) {
            self.put(0b101, 3);
            self.put(symbol, 8);
        }

        /// A code of 11 symbols, the longest word of which has 10 bits.
        fn long(&mut self) {
            self.put(0, 1);
            self.put(15, 4);
            for symbol in LENGTH_ORDER {
                self.put(if symbol < 16 { 4 } else { 0 }, 3);
            }
            // At most 11 lengths follow, of 4 bits each, whose highest one comes first.
            self.put(0b0011, 4);
            self.put(9, 4);
            for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10_u32] {
                self.put(length.reverse_bits() >> 28, 4);
            }
        }
    }

    #[test]
    fn a_prefix_of_no_alphabet_is_damage() {
        let prefixed = |prefix| prefixed(&mut Bits { bytes: &[0xff; 16], at: 0 }, prefix);
        assert_eq!(prefixed(39), Some((3 << 18) + (1 << 18)), "the longest distance");
        for prefix in [40, 71, 130, 255] {
            assert_eq!(prefixed(prefix), None);
        }
    }

    /// A picture of 4x4 pixels with that many groups of codes.
    pub(in crate::imaging) fn picture_of(groups: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        // No transform, no cache; groups, for blocks of 4x4; of which there is one.
        writer.put(0b100, 3);
        writer.put(0, 3);
        writer.put(0, 1);
        for symbol in [(groups - 1) & 0xff, (groups - 1) >> 8, 0, 0, 0] {
            writer.only(symbol);
        }
        for _ in 0..groups * 5 {
            writer.long();
        }
        writer.put(0, 32);
        writer.bytes
    }

    #[test]
    fn the_tables_of_all_groups_are_counted() {
        for groups in [1, 2, 300, 4096] {
            let stream = picture_of(groups);
            assert_eq!(memory(&stream, 4, 4), Some(u64::from(groups) * 5 * (4096 + CODE_BYTES)), "{groups} groups");
            assert_eq!(memory(&stream[..stream.len() / 2], 4, 4), None);
        }
    }

    #[test]
    fn codes_of_a_real_picture_are_followed_to_their_end() {
        let photo =
            image::load_from_memory(include_bytes!("../../../../assets/photos/coffee.png")).unwrap().into_rgb8();
        let few =
            image::RgbImage::from_fn(301, 77, |x, y| image::Rgb([(x / 40 % 3) as u8 * 90, 0, (y / 30) as u8 * 50]));
        for picture in [photo, few] {
            let (width, height) = picture.dimensions();
            let webp = webp::Encoder::from_rgb(picture.as_raw(), width, height).encode_lossless();
            let found = memory(&webp[12 + 8 + 5..], width, height);
            assert!(found.is_some_and(|bytes| (1..4 << 20).contains(&bytes)), "{found:?}");
        }
    }
}
