//! The directories of a TIFF: tags with values, in either byte order.

use std::ops::Range;

use super::super::{byte, take};

/// Numbers of tags.
pub(super) mod tag {
    pub(in super::super) const SUBFILE: u16 = 254;
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_LENGTHS: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOUR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_LENGTHS: u16 = 325;
    pub(in super::super) const SUB_DIRECTORIES: u16 = 330;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const ICC_PROFILE: u16 = 34_675;
    pub(in super::super) const DNG_VERSION: u16 = 50_706;
}

/// Bytes of an entry: tag, kind, count, and the values or where they lie.
const ENTRY: usize = 12;

/// The values of a tag.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// Bytes of a value: 1, 2 or 4.
    width: usize,
    pub(super) count: u32,
    /// Offset of the first value.
    at: usize,
}

/// One directory.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    /// Offset of the first entry.
    at: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    /// The first directory of a file. `None` where the file is over before it is.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let is_big_endian = bytes.starts_with(b"MM");
        let file = Self { bytes, is_big_endian, at: 4, entries: 0 };
        file.directory(file.u32(4)? as usize)
    }

    fn directory(&self, at: usize) -> Option<Self> {
        let entries = usize::from(self.u16(at)?);
        let directory = Self { at: at.checked_add(2)?, entries, ..*self };
        // With the offset of the next.
        self.u32(directory.end()?)?;
        (entries > 0).then_some(directory)
    }

    /// The offset behind the entries.
    fn end(&self) -> Option<usize> {
        self.at.checked_add(self.entries * ENTRY)
    }

    fn next(&self) -> Option<Self> {
        self.directory(self.u32(self.end()?)? as usize)
    }

    /// Pages of the file, `most` at most, so that directories that lead in a circle are not followed for ever. Thumbnails
    /// and masks are none.
    pub(super) fn pages(&self, most: u32) -> u32 {
        let mut pages = 1;
        let mut directory = *self;
        for _ in 0..most {
            match directory.next() {
                Some(next) if next.at != self.at => directory = next,
                _ => break,
            }
            if !directory.is_reduced() && directory.number(tag::WIDTH).is_some() {
                pages += 1;
            }
        }
        pages
    }

    /// Whether the directory holds a thumbnail or a mask of another.
    pub(super) fn is_reduced(&self) -> bool {
        self.number(tag::SUBFILE).is_some_and(|flags| flags & 0b101 != 0)
    }

    /// The values of a tag. `None` when it is not there, or of a kind that no number has.
    pub(super) fn field(&self, tag: u16) -> Option<Field> {
        let at = (0..self.entries).map(|entry| self.at + entry * ENTRY).find(|at| self.u16(*at) == Some(tag))?;
        let width = match self.u16(at + 2)? {
            // Bytes, and bytes of no known meaning.
            1 | 7 => 1,
            3 => 2,
            // Numbers, and offsets of directories.
            4 | 13 => 4,
            _ => return None,
        };
        let count = self.u32(at + 4)?;
        let in_place = width as u64 * u64::from(count) <= 4;
        Some(Field { width, count, at: if in_place { at + 8 } else { self.u32(at + 8)? as usize } })
    }

    /// A value of a tag. `None` behind the last of them or the end of the file.
    pub(super) fn value(&self, field: Field, index: u32) -> Option<u32> {
        if index >= field.count {
            return None;
        }
        let at = field.at.checked_add(field.width.checked_mul(index as usize)?)?;
        match field.width {
            1 => byte(self.bytes, at).map(u32::from),
            2 => self.u16(at).map(u32::from),
            _ => self.u32(at),
        }
    }

    /// The first value of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u32> {
        self.value(self.field(tag)?, 0)
    }

    /// Where the values of a tag of bytes lie, if the file holds them all.
    pub(super) fn range(&self, field: Field) -> Option<Range<usize>> {
        let range = field.at..field.at.checked_add(field.count as usize)?;
        (field.width == 1 && self.bytes.get(range.clone()).is_some()).then_some(range)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = take(self.bytes, at)?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = take(self.bytes, at)?;
        Some(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Whether numbers of more than a byte have their highest one first.
    pub(super) fn is_big_endian(&self) -> bool {
        self.is_big_endian
    }
}
