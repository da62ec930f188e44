//! The chunks of a PNG that its pixels need. Their checksums were looked at with the header.

use super::samples::Kind;
use crate::domain::Size;
use crate::imaging::ImageError;

/// What stands in front of the picture data.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) size: Size,
    pub(super) kind: Kind,
    pub(super) interlaced: bool,
    /// Bytes of the palette's colours, three each.
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    /// The picture's data, or that of an animation's default image.
    pub(super) data: DataChunks<'a>,
}

impl<'a> Start<'a> {
    /// Reads all chunks in front of the picture data. Of several palettes or transparencies the first counts; a
    /// transparency in front of the palette does not.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let mut rest = bytes.get(8..).unwrap_or_default();
        let (size, kind, interlaced) = header(&mut rest)?;
        let (mut palette, mut transparency) = (None, None);
        let mut data = DataChunks(rest);
        while let Some((name, body)) = chunk(&mut rest) {
            match &name {
                b"PLTE" => palette = palette.or(Some(body)),
                b"tRNS" if palette.is_some() || !kind.is_indexed() => transparency = transparency.or(Some(body)),
                b"IDAT" => return Ok(Self { size, kind, interlaced, palette, transparency, data }),
                b"IEND" => break,
                _ => {}
            }
            data = DataChunks(rest);
        }
        Err(ImageError::corrupt("the PNG holds no picture data"))
    }
}

/// Size, kind of the pixels, and whether they are interlaced.
fn header(rest: &mut &[u8]) -> Result<(Size, Kind, bool), ImageError> {
    let damage = || ImageError::corrupt("the PNG's header chunk makes no sense");
    let Some((name, body)) = chunk(rest) else { return Err(damage()) };
    let (b"IHDR", &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, 0, 0, interlaced @ (0 | 1)]) = (&name, body) else {
        return Err(damage());
    };
    let size = Size::new(u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    if size.pixel_count() == 0 {
        return Err(damage());
    }
    Ok((size, Kind::of(depth, colour).ok_or_else(damage)?, interlaced == 1))
}

/// Takes the next chunk: its name and its body.
fn chunk<'a>(rest: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8])> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (name, behind) = behind.split_first_chunk::<4>()?;
    let (body, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (_checksum, behind) = behind.split_first_chunk::<4>()?;
    *rest = behind;
    Some((*name, body))
}

/// The bodies of data chunks, from the first to the last that follows without another chunk in between.
#[derive(Debug, Clone)]
pub(super) struct DataChunks<'a>(&'a [u8]);

impl<'a> Iterator for DataChunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (name, body) = chunk(&mut self.0)?;
        if name != *b"IDAT" {
            self.0 = &[];
            return None;
        }
        Some(body)
    }
}
