//! The segments around the data of the scan: Annex B.

use super::blocks::Component;
use super::tables::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC, Spec, ZIGZAG};

/// End of image.
pub(super) const END: [u8; 2] = [0xff, 0xd9];

/// Start of image and JFIF's APP0: version 1.1, square pixels of no stated size, no thumbnail.
const START: [u8; 20] = [
    0xff, 0xd8, //
    0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0,
];

/// Appends everything before the data of the scan; `luma` and `chroma` are the quantisation steps, row by row.
pub(super) fn write(bytes: &mut Vec<u8>, components: &[Component<'_>], luma: &[u8; 64], chroma: &[u8; 64]) {
    bytes.extend_from_slice(&START);
    let is_gray = components.len() == 1;
    quantisation_table(bytes, 0, luma);
    if !is_gray {
        quantisation_table(bytes, 1, chroma);
    }
    frame(bytes, components);
    huffman_table(bytes, 0x00, &LUMA_DC);
    huffman_table(bytes, 0x10, &LUMA_AC);
    if !is_gray {
        huffman_table(bytes, 0x01, &CHROMA_DC);
        huffman_table(bytes, 0x11, &CHROMA_AC);
    }
    scan(bytes, components);
}

/// Appends a segment: its marker, its length and what it holds, at most 65,533 bytes.
fn segment(bytes: &mut Vec<u8>, marker: u8, body: &[u8]) {
    bytes.extend_from_slice(&[0xff, marker]);
    bytes.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(body);
}

/// DQT, with 8-bit steps in zigzag order.
fn quantisation_table(bytes: &mut Vec<u8>, table: u8, steps: &[u8; 64]) {
    let in_zigzag = ZIGZAG.iter().filter_map(|place| steps.get(usize::from(*place)).copied());
    segment(bytes, 0xdb, &std::iter::once(table).chain(in_zigzag).collect::<Vec<_>>());
}

/// SOF0: a baseline frame. The first component has the picture's size.
fn frame(bytes: &mut Vec<u8>, components: &[Component<'_>]) {
    let (width, height) = components.first().map_or((0, 0), Component::size);
    let mut body = vec![8];
    body.extend_from_slice(&(height as u16).to_be_bytes());
    body.extend_from_slice(&(width as u16).to_be_bytes());
    body.push(components.len() as u8);
    for (component, id) in components.iter().zip(1..) {
        body.extend_from_slice(&[id, component.sampling as u8 * 0x11, component.table]);
    }
    segment(bytes, 0xc0, &body);
}

/// DHT; `class` has the kind of table in its upper half and its number in the lower.
fn huffman_table(bytes: &mut Vec<u8>, class: u8, table: &Spec) {
    let mut body = vec![class];
    body.extend_from_slice(&table.counts);
    body.extend_from_slice(table.symbols);
    segment(bytes, 0xc4, &body);
}

/// SOS: all components, all coefficients.
fn scan(bytes: &mut Vec<u8>, components: &[Component<'_>]) {
    let mut body = vec![components.len() as u8];
    for (component, id) in components.iter().zip(1..) {
        body.extend_from_slice(&[id, component.table * 0x11]);
    }
    body.extend_from_slice(&[0, 63, 0]);
    segment(bytes, 0xda, &body);
}
