//! TIFF: strips and tiles into one picture, 8 bits a sample, on white.
//!
//! Read here and not by `image`, which refuses palettes, the YCbCr of scanners and gray with alpha, and gives the JPEGs
//! inside as much memory as they ask for. One strip or tile is held at a time.

mod chunk;
mod samples;

use super::disagreement;
use crate::imaging::{
    Cancel, ImageError,
    colour::{self, Transform},
    header::{
        Header,
        tiff::{Layout, Photometric},
    },
};
use chunk::Decompressor;
use samples::Converter;

/// Decodes the first page to RGB, and tells whether a pixel was not opaque before it was laid on white.
pub(super) fn decode(bytes: &[u8], header: &Header, cancel: &Cancel) -> Result<(Vec<u8>, bool), ImageError> {
    let layout = Layout::of(bytes)?;
    if layout.size != header.stored {
        return Err(disagreement());
    }
    let length = usize::try_from(layout.size.pixel_count()).ok().and_then(|pixels| pixels.checked_mul(3));
    let mut rgb = vec![0; length.ok_or_else(disagreement)?];
    let mut page = Page {
        bytes,
        decompressor: Decompressor::new(bytes, &layout),
        converter: Converter::new(&layout, ink(bytes, header)),
        layout,
    };
    let (across, down) = page.layout.chunks();
    for y in 0..down {
        for x in 0..across {
            cancel.check()?;
            page.chunk(x, y, &mut rgb)?;
        }
    }
    Ok((rgb, page.converter.was_transparent))
}

/// What turns inks into colours, for those pictures that say.
fn ink(bytes: &[u8], header: &Header) -> Option<Transform> {
    colour::of(bytes, header).filter(|transform| matches!(transform, Transform::Cmyk(_)))
}

struct Page<'a> {
    bytes: &'a [u8],
    layout: Layout<'a>,
    decompressor: Decompressor<'a>,
    converter: Converter,
}

impl Page<'_> {
    /// Lays the strip or tile at a place into the picture.
    fn chunk(&mut self, x: u32, y: u32, rgb: &mut [u8]) -> Result<(), ImageError> {
        let layout = &self.layout;
        let (across, down) = layout.chunks();
        let planes = if layout.is_planar { self.converter.samples() } else { 1 };
        let rows = layout.chunk_rows(y);
        let mut decoded = Vec::new();
        for plane in 0..planes {
            // The header's walk found that their number fits.
            let index = (plane * down + y) * across + x;
            let chunk = layout.chunk_bytes(self.bytes, index).ok_or_else(cut_off)?;
            decoded.push(self.decompressor.run(chunk, layout, rows)?);
        }
        let (left, top) = ((x * layout.chunk.width) as usize, (y * layout.chunk.height) as usize);
        let (width, row_bytes) = (layout.size.width as usize, layout.row_bytes() as usize);
        let columns = (width - left).min(layout.chunk.width as usize);
        let targets = rgb.chunks_exact_mut(width * 3).skip(top).take(rows as usize);
        for (row, target) in targets.enumerate() {
            let planes = decoded.iter().filter_map(|plane| plane.chunks_exact(row_bytes).nth(row));
            let target = target.get_mut(left * 3..(left + columns) * 3).ok_or_else(disagreement)?;
            self.converter.row(layout, planes, target);
        }
        Ok(())
    }
}

/// What the colours of a decompressed strip or tile are: a JPEG's come out as RGB.
fn is_rgb(layout: &Layout) -> bool {
    matches!(layout.photometric, Photometric::Rgb | Photometric::YCbCr)
}

fn cut_off() -> ImageError {
    ImageError::corrupt("a strip or tile of the TIFF cannot be decompressed; the file is damaged or cut off")
}
