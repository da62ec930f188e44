//! Bits of entropy-coded data, and the intervals that restart markers part it into.

use super::ImageError;

/// Zero bytes behind an interval, so that the reader takes eight bytes at once up to its end.
const PADDING: usize = 8;

/// One run of entropy-coded data up to a marker, with the zero bytes behind `ff` (F.1.2.3) taken out. Reused from interval
/// to interval.
#[derive(Debug, Default)]
pub(super) struct Interval {
    data: Vec<u8>,
    length: usize,
}

impl Interval {
    /// Reads the interval that starts at offset `at` of the file. Answers the offset of the marker that ends it, or of the
    /// end of the file.
    pub(super) fn fill(&mut self, bytes: &[u8], mut at: usize) -> usize {
        self.data.clear();
        // Never grown after that, which would hold the data twice while it moves.
        self.data.reserve_exact(bytes.len().saturating_sub(at) + PADDING);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(marker) = memchr::memchr(0xff, rest) else {
                self.data.extend_from_slice(rest);
                at = bytes.len();
                break;
            };
            let (plain, behind) = rest.split_at(marker);
            self.data.extend_from_slice(plain);
            at += marker;
            if behind.get(1) != Some(&0) {
                break;
            }
            self.data.push(0xff);
            at += 2;
        }
        self.length = self.data.len();
        self.data.extend_from_slice(&[0; PADDING]);
        at
    }

    pub(super) fn bits(&self) -> Bits<'_> {
        Bits { data: &self.data, length: self.length, at: 0, buffer: 0, count: 0 }
    }
}

/// Reads an interval bit by bit, most significant first. Behind the end it reads zeros; [`Self::check`] tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    length: usize,
    /// Offset of the next byte to take.
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// How many bits of the buffer count; what lies below them is either zero or what will be read there again.
    count: u32,
}

impl Bits<'_> {
    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let next = self.data.get(self.at..).and_then(<[u8]>::first_chunk);
        self.buffer |= u64::from_be_bytes(*next.unwrap_or(&[0; 8])) >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// Makes at least 32 bits ready.
    #[inline(always)]
    pub(super) fn refill_32(&mut self) {
        if self.count < 32 {
            self.refill();
        }
    }

    /// The next `count` bits, 1 to 32, which stay.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    /// Drops bits that are ready, 0 to 31.
    #[inline(always)]
    pub(super) fn consume(&mut self, count: u32) {
        self.buffer <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Takes `count` ready bits, 1 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.consume(count);
        bits
    }

    /// Takes one bit.
    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        if self.count == 0 {
            self.refill();
        }
        self.take(1) == 1
    }

    /// Whether no more was read than there is.
    pub(super) fn check(&self) -> Result<(), ImageError> {
        let taken = (self.at * 8).saturating_sub(self.count as usize);
        if taken > self.length * 8 {
            Err(ImageError::corrupt("the JPEG's data ends inside the picture"))
        } else {
            Ok(())
        }
    }
}

/// A coefficient of `size` bits as it is written (F.2.2.1, EXTEND): negative ones by their complement.
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let least = 1_i32 << size.wrapping_sub(1);
    let value = bits as i32;
    if value < least { value - (least << 1) + 1 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_ends_at_its_marker_and_has_no_stuffing() {
        let mut interval = Interval::default();
        assert_eq!(interval.fill(b"..\x12\xff\x00\x34\xff\xd9", 2), 6);
        let mut bits = interval.bits();
        bits.refill();
        assert_eq!(bits.take(16), 0x12ff);
        assert_eq!(bits.take(8), 0x34);
        assert!(bits.check().is_ok());
        assert!(!bits.bit());
        assert!(bits.check().is_err());
    }

    #[test]
    fn an_interval_without_a_marker_ends_with_the_file() {
        let mut interval = Interval::default();
        assert_eq!(interval.fill(b"\x12\xff", 0), 1);
        assert_eq!(interval.fill(b"\x12\x34", 0), 2);
        assert_eq!(interval.fill(b"", 7), 0);
    }

    #[test]
    fn coefficients_are_extended_as_the_standard_says() {
        let written =
            [(0, 1, -1), (1, 1, 1), (0, 2, -3), (1, 2, -2), (2, 2, 2), (3, 2, 3), (0, 11, -2047), (2047, 11, 2047)];
        for (bits, size, value) in written {
            assert_eq!(extend(bits, size), value);
        }
    }
}
