//! TIFF: the first directory of the file, and whether the strips or tiles it names can be there. Specification: TIFF 6.0.
//!
//! Every value that a decoder allocates by is checked here, against the size of the picture and the length of the file.

mod directory;
mod fields;

use std::ops::Range;

use image::metadata::Orientation;

use super::{Header, MediaType, Profile, Samples, Scratch, jpeg};
use crate::domain::Size;
use crate::imaging::ImageError;
use directory::{Directory, Field, tag};

/// Most samples of a pixel, those included that nothing here reads.
const MAX_SAMPLES: u32 = 8;
/// Most strips or tiles: one for each 16x16 pixels, but 65,536 of any picture. Each takes a decoder of its own.
const MIN_CHUNK_PIXELS: u64 = 256;
const MAX_CHUNKS: u64 = 65_536;
/// Most pages that are looked for.
const MAX_PAGES: u32 = 16;

/// Memory of a decoder that does not depend on the size: a row, tables of codes.
const BYTES_BESIDES: u64 = 2 * 1024 * 1024;

/// What the first samples of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

/// How strips and tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Compression {
    None,
    Fax4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

/// What the sample behind the colours means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Alpha {
    None,
    Straight,
    Premultiplied,
}

/// What the first directory says of the pixels.
pub(in crate::imaging) struct Layout<'a> {
    directory: Directory<'a>,
    pub(in crate::imaging) size: Size,
    pub(in crate::imaging) photometric: Photometric,
    pub(in crate::imaging) compression: Compression,
    pub(in crate::imaging) alpha: Alpha,
    /// Of each sample: 1, 2, 4, 8 or 16.
    pub(in crate::imaging) bits: u32,
    /// Of a pixel, at most [`MAX_SAMPLES`].
    pub(in crate::imaging) samples: u32,
    /// Each sample of a pixel lies in a strip or tile of its own.
    pub(in crate::imaging) is_planar: bool,
    /// Each sample is the difference to that of the pixel before it.
    pub(in crate::imaging) is_differenced: bool,
    /// The first pixel of a byte is its lowest bit.
    pub(in crate::imaging) is_bit_reversed: bool,
    /// Size of a strip or tile.
    pub(in crate::imaging) chunk: Size,
    is_tiled: bool,
    offsets: Field,
    lengths: Field,
}

/// Reads the header of a TIFF.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let layout = Layout::of(bytes)?;
    let orientation = layout.directory.number(tag::ORIENTATION).and_then(|value| u8::try_from(value).ok());
    let profile = layout.directory.field(tag::ICC_PROFILE).and_then(|field| layout.directory.range(field));
    Ok(Header {
        media_type: MediaType::Tiff,
        stored: layout.size,
        orientation: orientation.and_then(Orientation::from_exif),
        is_animated: layout.directory.pages(MAX_PAGES) > 1,
        is_lossless: layout.compression != Compression::Jpeg,
        // Models do not take TIFF.
        is_plain: false,
        samples: match layout.photometric {
            Photometric::WhiteIsZero | Photometric::BlackIsZero => Samples::Gray,
            Photometric::Rgb | Photometric::Palette | Photometric::YCbCr => Samples::Rgb,
            Photometric::Cmyk => Samples::Cmyk,
        },
        profile: profile.map_or(Profile::None, Profile::Whole),
        damage: layout.damage(bytes),
        length: bytes.len(),
        scratch: Scratch::of(layout.scratch()),
    })
}

impl<'a> Layout<'a> {
    /// Reads the first directory.
    pub(in crate::imaging) fn of(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let directory = Directory::first(bytes).ok_or_else(|| ImageError::corrupt("the TIFF has no directory"))?;
        fields::refuse_raw(&directory)?;
        let size = Size::new(fields::required(&directory, tag::WIDTH)?, fields::required(&directory, tag::HEIGHT)?);
        let samples = directory.number(tag::SAMPLES_PER_PIXEL).unwrap_or(1);
        if !(1..=MAX_SAMPLES).contains(&samples) {
            return Err(fields::unsupported(&format!("{samples} samples a pixel")));
        }
        let photometric = fields::photometric(&directory)?;
        let compression = fields::compression(&directory)?;
        let bits = fields::bits(&directory, samples)?;
        let is_tiled = directory.field(tag::TILE_OFFSETS).is_some();
        let [offsets, lengths] =
            if is_tiled { [tag::TILE_OFFSETS, tag::TILE_LENGTHS] } else { [tag::STRIP_OFFSETS, tag::STRIP_LENGTHS] };
        let field = |tag| directory.field(tag).ok_or_else(|| ImageError::corrupt("the TIFF names no picture data"));
        let layout = Self {
            size,
            photometric,
            compression,
            alpha: fields::alpha(&directory, photometric.colours(), samples),
            bits,
            samples,
            is_planar: samples > 1 && directory.number(tag::PLANAR) == Some(2),
            is_differenced: fields::is_differenced(&directory, compression)?,
            is_bit_reversed: directory.number(tag::FILL_ORDER) == Some(2),
            chunk: if is_tiled { fields::tile(&directory, size)? } else { fields::strip(&directory, size)? },
            is_tiled,
            offsets: field(offsets)?,
            lengths: field(lengths)?,
            directory,
        };
        layout.check_combination()?;
        Ok(layout)
    }

    /// Refuses what no common software writes and no decoder here reads.
    fn check_combination(&self) -> Result<(), ImageError> {
        let Self { photometric, compression, bits, samples, .. } = *self;
        let colours = photometric.colours();
        let fits = match photometric {
            _ if samples < colours => false,
            Photometric::Palette => bits <= 8 && samples == 1,
            Photometric::WhiteIsZero | Photometric::BlackIsZero => bits >= 8 || samples == 1,
            Photometric::Rgb | Photometric::Cmyk => bits >= 8,
            Photometric::YCbCr => compression == Compression::Jpeg && !self.is_planar,
        };
        let fits = fits
            && match compression {
                Compression::Fax4 => bits == 1 && samples == 1 && u16::try_from(self.chunk.width).is_ok(),
                Compression::Jpeg => bits == 8 && !self.is_differenced && (self.is_planar || samples == colours),
                _ => bits >= 8 || !self.is_differenced,
            };
        if fits {
            return Ok(());
        }
        Err(fields::unsupported(&format!(
            "{photometric:?} pixels of {samples} {bits}-bit samples, compression {compression:?}"
        )))
    }

    /// Whether numbers of more than a byte have their highest one first.
    pub(in crate::imaging) fn is_big_endian(&self) -> bool {
        self.directory.is_big_endian()
    }

    /// A number of two bytes.
    pub(in crate::imaging) fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian() { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// Strips or tiles side by side, and one below the other.
    pub(in crate::imaging) fn chunks(&self) -> (u32, u32) {
        (self.size.width.div_ceil(self.chunk.width), self.size.height.div_ceil(self.chunk.height))
    }

    /// Samples of a pixel in one strip or tile.
    pub(in crate::imaging) fn samples_in_chunk(&self) -> u32 {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Bytes of a row of a strip or tile.
    pub(in crate::imaging) fn row_bytes(&self) -> u64 {
        let bits = u64::from(self.samples_in_chunk() * self.bits);
        (u64::from(self.chunk.width) * bits).div_ceil(8)
    }

    /// Rows of the strip or tile at a place: all of a tile, and of the last strip those that are left.
    pub(in crate::imaging) fn chunk_rows(&self, down: u32) -> u32 {
        let left = self.size.height.saturating_sub(down.saturating_mul(self.chunk.height));
        if self.is_tiled { self.chunk.height } else { self.chunk.height.min(left) }
    }

    /// The compressed bytes of a strip or tile, counted row by row from the top left, and plane by plane.
    pub(in crate::imaging) fn chunk_bytes(&self, bytes: &'a [u8], index: u32) -> Option<&'a [u8]> {
        let start = self.directory.value(self.offsets, index)? as usize;
        let length = self.directory.value(self.lengths, index)? as usize;
        bytes.get(start..)?.get(..length)
    }

    /// An entry of the palette: red, green and blue of 16 bits each. `None` behind its end.
    pub(in crate::imaging) fn palette(&self, index: u32) -> Option<[u16; 3]> {
        let map = self.directory.field(tag::COLOUR_MAP)?;
        let sample = |plane: u32| Some(self.directory.value(map, (plane << self.bits) + index)? as u16);
        Some([sample(0)?, sample(1)?, sample(2)?])
    }

    /// Tables of JPEG that all strips or tiles share.
    pub(in crate::imaging) fn jpeg_tables(&self) -> Option<Range<usize>> {
        self.directory.range(self.directory.field(tag::JPEG_TABLES)?)
    }

    /// Why the pixels cannot all be there.
    fn damage(&self, bytes: &[u8]) -> Option<&'static str> {
        let (across, down) = self.chunks();
        let planes = if self.is_planar { self.samples } else { 1 };
        let most = (self.size.pixel_count() / MIN_CHUNK_PIXELS).max(MAX_CHUNKS);
        if u64::from(across).saturating_mul(down.into()).saturating_mul(planes.into()) > most {
            return Some("the TIFF has more strips or tiles than a picture of its size needs");
        }
        let in_plane = across * down;
        if self.photometric == Photometric::Palette && self.palette((1 << self.bits) - 1).is_none() {
            return Some("the TIFF has no whole palette");
        }
        let mut total = 0_u64;
        for index in 0..in_plane * planes {
            let Some(chunk) = self.chunk_bytes(bytes, index).filter(|chunk| !chunk.is_empty()) else {
                return Some("a strip or tile of the TIFF lies outside the file; the file is cut off");
            };
            // Many of them on the same bytes would make little file much work.
            total = total.saturating_add(chunk.len() as u64);
            if total > bytes.len() as u64 {
                return Some("strips or tiles of the TIFF overlap");
            }
            let wanted = self.row_bytes() * u64::from(self.chunk_rows(index % in_plane / across));
            if self.compression == Compression::None && (chunk.len() as u64) < wanted {
                return Some("a strip or tile of the TIFF is shorter than its rows");
            }
            if self.compression == Compression::Jpeg && !self.is_sound_jpeg(chunk, index % in_plane / across) {
                return Some("a strip or tile of the TIFF holds a JPEG of another size, or a damaged one");
            }
        }
        None
    }

    /// Memory beside an RGB picture: what one strip or tile takes.
    fn scratch(&self) -> u64 {
        let (across, down) = self.chunks();
        let planes = if self.is_planar { u64::from(self.samples) } else { 1 };
        let decoded = self.row_bytes() * u64::from(self.chunk_rows(0));
        let longest = || {
            let chunks = u64::from(across) * u64::from(down) * planes;
            let chunks = 0..u32::try_from(chunks).unwrap_or(u32::MAX).min(self.lengths.count);
            chunks.filter_map(|index| self.directory.value(self.lengths, index)).max().map_or(0, u64::from)
        };
        let decompressor = match self.compression {
            Compression::None | Compression::Lzw | Compression::Deflate | Compression::PackBits => 0,
            // The places where the colour changes in two rows, 2 bytes each: in a hostile file one for every bit, in a list
            // that grows by doubling.
            Compression::Fax4 => longest().saturating_mul(64),
            // Coefficients of 2 bytes and samples of 1, in blocks of 16x16, and the file with its tables.
            Compression::Jpeg => {
                let blocks = u64::from(self.chunk.width + 16).saturating_mul(u64::from(self.chunk.height + 16));
                blocks.saturating_mul(u64::from(self.samples_in_chunk()) * 4).saturating_add(longest() * 2)
            }
        };
        let reversed = if self.is_bit_reversed { longest() } else { 0 };
        (decoded * planes).saturating_add(decompressor).saturating_add(reversed).saturating_add(BYTES_BESIDES)
    }

    /// Whether the JPEG in a strip or tile is one that a decoder may be given: it allocates by what the JPEG says.
    fn is_sound_jpeg(&self, chunk: &[u8], down: u32) -> bool {
        let Ok(header) = jpeg::read(chunk) else { return false };
        let components = match header.samples {
            Samples::Gray => 1,
            Samples::Rgb => 3,
            Samples::Cmyk => 4,
        };
        let rows = self.chunk_rows(down)..=self.chunk.height;
        header.damage.is_none()
            && components == self.samples_in_chunk()
            && header.stored.width == self.chunk.width
            && rows.contains(&header.stored.height)
    }
}
