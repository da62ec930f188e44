//! A baseline JPEG encoder for our own pixels. Section numbers are those of ITU-T T.81.
//!
//! ```text
//! planes -> blocks of 8x8 -> DCT and quantisation (dct) -> bits (huffman) -> file (markers)
//! ```
//!
//! The code is written for what a compiler makes of it without `unsafe`: fixed arrays and short loops that become SIMD
//! on every machine, and as few steps as can be for each coefficient that is not zero.

mod blocks;
mod colour;
mod dct;
mod huffman;
mod markers;
mod tables;

#[cfg(test)]
mod tests;

use super::ImageError;
use super::planes::Planes;
use blocks::Component;
use dct::Block;
use huffman::BitWriter;

pub(super) use colour::planes_of_rgb;

/// Longest edge in pixels that a frame header can say.
const MAX_EDGE: usize = 65_535;

/// How fine the colour of a picture is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chroma {
    /// A sample a pixel: 4:4:4.
    Full,
    /// A sample for 2x2 pixels: 4:2:0.
    Half,
}

/// Encodes planes at a JPEG quality of 1 to 100, on libjpeg's scale of the tables of Annex K; other qualities are taken
/// as the nearest. One scan with a JFIF header and the Huffman tables of Annex K.3, without restart markers.
///
/// # Errors
///
/// [`ImageError::Corrupt`] when an edge is 0 or over 65,535 pixels, or when the planes do not agree in size.
pub(super) fn encode(planes: &Planes, quality: u8) -> Result<Vec<u8>, ImageError> {
    let luma = tables::steps(&tables::LUMA, quality);
    let chroma = tables::steps(&tables::CHROMA, quality);
    let mut components = components(planes, &luma, &chroma)?;
    // Photos at quality 90 take about 2 bits a pixel.
    let mut bytes = Vec::with_capacity(planes.luma.samples.len() / 4 + 1024);
    markers::write(&mut bytes, &components, &luma, &chroma);
    Ok(scan(bytes, &mut components))
}

/// Checks the planes and says how each is coded.
fn components<'a>(planes: &'a Planes, luma: &[u8; 64], chroma: &[u8; 64]) -> Result<Vec<Component<'a>>, ImageError> {
    let (width, height) = (planes.luma.width, planes.luma.height);
    if ![width, height].iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
        return Err(ImageError::corrupt("an edge is too long or too short for JPEG"));
    }
    let disagree = || ImageError::corrupt("its planes do not agree in size");
    let all = || std::iter::once(&planes.luma).chain(planes.chroma.iter().flatten());
    if all().any(|plane| plane.width.checked_mul(plane.height) != Some(plane.samples.len())) {
        return Err(disagree());
    }
    let Some([cb, cr]) = &planes.chroma else { return Ok(vec![Component::luma(&planes.luma, 1, luma)]) };
    let factor = match (cb.width, cb.height) {
        size if size != (cr.width, cr.height) => return Err(disagree()),
        size if size == (width, height) => 1,
        size if size == (width.div_ceil(2), height.div_ceil(2)) => 2,
        _ => return Err(disagree()),
    };
    Ok(vec![Component::luma(&planes.luma, factor, luma), Component::chroma(cb, chroma), Component::chroma(cr, chroma)])
}

/// Appends the entropy-coded data of the components, the luma first, and the end of the file.
fn scan(bytes: Vec<u8>, components: &mut [Component<'_>]) -> Vec<u8> {
    let mut writer = BitWriter::new(bytes);
    let (columns, rows) = components.first().map_or((0, 0), Component::units);
    let mut block = Block::EMPTY;
    let mut previous = [0; 3];
    for y in 0..rows {
        components.iter_mut().for_each(|component| component.cut(y));
        for x in 0..columns {
            for (component, previous) in components.iter().zip(&mut previous) {
                for samples in component.unit(x) {
                    if let Some(samples) = samples {
                        block.transform(samples, &component.factors);
                        *previous = writer.block(&block, component.codes, *previous);
                    } else {
                        writer.filler(component.codes);
                    }
                }
            }
        }
    }
    let mut bytes = writer.finish();
    bytes.extend_from_slice(&markers::END);
    bytes
}
