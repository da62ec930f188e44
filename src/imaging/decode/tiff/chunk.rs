//! The bytes of one strip or tile, decompressed. Never more of them than its size asks for.

use std::convert::Infallible;

use fax::decoder::{DecodeStatus, Group4Decoder};
use weezl::{BitOrder, LzwStatus};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::cut_off;
use crate::imaging::{
    ImageError,
    header::tiff::{Compression, Layout, Photometric},
};

/// Decompresses strips and tiles.
pub(super) struct Decompressor<'a> {
    /// Tables of JPEG for all of them, from start-of-image to end-of-image marker.
    jpeg_tables: &'a [u8],
    /// Built once: it holds tables of some kB.
    lzw: Option<weezl::decode::Decoder>,
}

impl<'a> Decompressor<'a> {
    pub(super) fn new(bytes: &'a [u8], layout: &Layout) -> Self {
        Self {
            jpeg_tables: layout.jpeg_tables().and_then(|range| bytes.get(range)).unwrap_or_default(),
            lzw: (layout.compression == Compression::Lzw)
                .then(|| weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8)),
        }
    }

    /// The bytes of a strip or tile of that many rows, [`Layout::row_bytes`] each, with differences summed up.
    pub(super) fn run(&mut self, chunk: &[u8], layout: &Layout, rows: u32) -> Result<Vec<u8>, ImageError> {
        let length = layout.row_bytes().checked_mul(rows.into()).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(cut_off)?;
        let reversed;
        let chunk = if layout.is_bit_reversed && layout.compression != Compression::Jpeg {
            reversed = chunk.iter().map(|byte| byte.reverse_bits()).collect::<Vec<_>>();
            &reversed[..]
        } else {
            chunk
        };
        let mut bytes = match layout.compression {
            Compression::None => chunk.get(..length).map(<[u8]>::to_vec),
            Compression::PackBits => pack_bits(chunk, length),
            Compression::Lzw => self.lzw(chunk, length),
            Compression::Deflate => deflate(chunk, length),
            Compression::Fax4 => fax4(chunk, layout, rows),
            Compression::Jpeg => self.jpeg(chunk, layout, length),
        }
        .ok_or_else(cut_off)?;
        if layout.is_differenced {
            sum_up(&mut bytes, layout);
        }
        Ok(bytes)
    }

    fn lzw(&mut self, chunk: &[u8], length: usize) -> Option<Vec<u8>> {
        let decoder = self.lzw.as_mut()?;
        decoder.reset();
        let mut bytes = vec![0; length];
        let (mut read, mut written) = (0, 0);
        while written < length {
            let result = decoder.decode_bytes(chunk.get(read..)?, bytes.get_mut(written..)?);
            read += result.consumed_in;
            written += result.consumed_out;
            match result.status.ok()? {
                LzwStatus::Ok => {}
                LzwStatus::NoProgress | LzwStatus::Done => break,
            }
        }
        (written == length).then_some(bytes)
    }

    /// A JPEG whose size the header's walk has compared with that of the strip or tile.
    fn jpeg(&self, chunk: &[u8], layout: &Layout, length: usize) -> Option<Vec<u8>> {
        let joined;
        let jpeg = match self.jpeg_tables {
            // Both start with a start-of-image marker, and the tables end with an end-of-image marker.
            [tables @ .., 0xff, 0xd9] => {
                joined = [tables, chunk.get(2..)?].concat();
                &joined[..]
            }
            _ => chunk,
        };
        // Its SIMD is all that is `unsafe` in it, and saves little.
        let options = DecoderOptions::default()
            .set_use_unsafe(false)
            .set_max_width(layout.chunk.width as usize)
            .set_max_height(layout.chunk.height as usize);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        decoder.decode_headers().ok()?;
        let stored = decoder.input_colorspace()?;
        // TIFF says what the components are; a JPEG decoder guesses.
        let wanted = if layout.photometric == Photometric::YCbCr { ColorSpace::RGB } else { stored };
        decoder.set_options(options.jpeg_set_out_colorspace(wanted));
        let mut bytes = decoder.decode().ok()?;
        if bytes.len() < length {
            return None;
        }
        bytes.truncate(length);
        Some(bytes)
    }
}

/// Runs and literals (TIFF 6.0, section 9).
fn pack_bits(mut chunk: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        // What reaches over the end is left out, for the bytes would move to a place of twice the size.
        let room = length - bytes.len();
        let (head, rest) = chunk.split_first()?;
        chunk = match *head {
            literal @ 0..=127 => {
                let (literals, rest) = rest.split_at_checked(usize::from(literal) + 1)?;
                bytes.extend_from_slice(literals.get(..room).unwrap_or(literals));
                rest
            }
            128 => rest,
            run => {
                let (value, rest) = rest.split_first()?;
                bytes.extend(std::iter::repeat_n(*value, (257 - usize::from(run)).min(room)));
                rest
            }
        };
    }
    Some(bytes)
}

fn deflate(chunk: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut decoder = fdeflate::Decompressor::new();
    decoder.ignore_adler32();
    let mut bytes = vec![0; length];
    let (mut read, mut written) = (0, 0);
    while written < length {
        let (more_read, more_written) = decoder.read(chunk.get(read..)?, &mut bytes, written, true).ok()?;
        read += more_read;
        written += more_written;
        if decoder.is_done() || (more_read, more_written) == (0, 0) {
            break;
        }
    }
    (written == length).then_some(bytes)
}

/// Group 4 of ITU-T T.6: every row by the places where its colour changes. 0 is white, as in libtiff. Rows that are
/// missing behind the end mark are white.
fn fax4(chunk: &[u8], layout: &Layout, rows: u32) -> Option<Vec<u8>> {
    let width = u16::try_from(layout.chunk.width).ok()?;
    let input = chunk.iter().map(|byte| Ok::<_, Infallible>(*byte));
    let mut decoder = Group4Decoder::new(input, width).ok()?;
    let row_bytes = usize::from(width).div_ceil(8);
    let mut bytes = vec![0; row_bytes * rows as usize];
    for row in bytes.chunks_exact_mut(row_bytes) {
        if decoder.advance().ok()? == DecodeStatus::End {
            break;
        }
        let changes = decoder.transition();
        // Honest rows change colour forwards, and no more often than they have pixels.
        if changes.len() > usize::from(width) {
            return None;
        }
        for run in changes.chunks(2) {
            let (from, to) = match *run {
                [from, to] => (from, to.min(width)),
                [from] => (from, width),
                _ => break,
            };
            blacken(row, from.into(), to.into());
        }
    }
    Some(bytes)
}

/// Sets the bits of a range of pixels, the first pixel of a byte being its highest bit.
fn blacken(row: &mut [u8], from: usize, to: usize) {
    for (index, byte) in row.iter_mut().enumerate().take(to.div_ceil(8)).skip(from / 8) {
        let start = from.saturating_sub(index * 8).min(8);
        let end = to.saturating_sub(index * 8).min(8);
        if start < end {
            *byte |= (0xff_u16 >> start) as u8 & !((0xff_u16 >> end) as u8);
        }
    }
}

/// Adds to every sample that of the pixel before it (TIFF 6.0, section 14).
fn sum_up(bytes: &mut [u8], layout: &Layout) {
    let (row_bytes, samples) = (layout.row_bytes() as usize, layout.samples_in_chunk() as usize);
    let mut before = vec![0_u16; samples];
    for row in bytes.chunks_exact_mut(row_bytes.max(1)) {
        before.fill(0);
        if layout.bits == 8 {
            for pixel in row.chunks_exact_mut(samples) {
                for (sample, before) in pixel.iter_mut().zip(&mut before) {
                    *sample = sample.wrapping_add(*before as u8);
                    *before = (*sample).into();
                }
            }
        } else {
            for pixel in row.as_chunks_mut::<2>().0.chunks_exact_mut(samples) {
                for (sample, before) in pixel.iter_mut().zip(&mut before) {
                    *before = before.wrapping_add(layout.u16(*sample));
                    *sample = if layout.is_big_endian() { before.to_be_bytes() } else { before.to_le_bytes() };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_blackened_to_the_pixel() {
        for (from, to) in [(0, 0), (0, 1), (3, 5), (0, 8), (7, 9), (5, 24), (23, 24), (8, 16)] {
            let mut row = [0; 3];
            blacken(&mut row, from, to);
            let pixels: Vec<bool> = (0..24).map(|x| row[x / 8] >> (7 - x % 8) & 1 == 1).collect();
            let wanted: Vec<bool> = (0..24).map(|x| (from..to).contains(&x)).collect();
            assert_eq!(pixels, wanted, "{from}..{to}");
        }
    }

    #[test]
    fn packed_runs_and_literals_are_unpacked_and_never_past_the_end() {
        // The example of the specification.
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let bytes = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(pack_bits(&packed, 24).as_deref(), Some(&bytes[..]));
        assert_eq!(pack_bits(&packed, 20).as_deref(), Some(&bytes[..20]));
        assert_eq!(pack_bits(&packed, 25), None);
    }
}
