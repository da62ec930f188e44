//! Generated pictures and files: four coloured corners, every EXIF orientation, every format that carries it. Stands on
//! `image` and `jpeg_encoder` alone.

use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, RgbaImage};

/// Colours of the top-left, top-right, bottom-left and bottom-right quarter.
pub const CORNERS: [Rgb<u8>; 4] = [Rgb([220, 30, 30]), Rgb([30, 180, 50]), Rgb([40, 60, 210]), Rgb([240, 210, 40])];

/// An upright picture whose quarters differ, so that any turn shows.
pub fn corners(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| CORNERS[usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)])
}

/// Asserts that the quarters of an upright picture lie where they belong, within what lossy compression does to colours.
pub fn assert_upright(picture: &RgbImage, what: &str) {
    let (w, h) = picture.dimensions();
    let points = [(w / 4, h / 4), (w * 3 / 4, h / 4), (w / 4, h * 3 / 4), (w * 3 / 4, h * 3 / 4)];
    for ((x, y), wanted) in points.into_iter().zip(CORNERS) {
        let found = picture.get_pixel(x, y);
        let far = found.0.iter().zip(wanted.0).any(|(a, b)| a.abs_diff(b) > 24);
        assert!(!far, "{what}: at {x},{y} of {w}x{h} found {found:?}, wanted {wanted:?}");
    }
}

/// The pixels as a camera stores an upright picture under an EXIF orientation of 1 to 8. Written from the standard's
/// table of where row 0 and column 0 lie, not from the code under test.
pub fn stored(upright: &RgbImage, orientation: u8) -> RgbImage {
    let (w, h) = upright.dimensions();
    let (right, bottom) = (w - 1, h - 1);
    let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
    RgbImage::from_fn(width, height, |column, row| {
        let (x, y) = match orientation {
            1 => (column, row),
            2 => (right - column, row),
            3 => (right - column, bottom - row),
            4 => (column, bottom - row),
            5 => (row, column),
            6 => (right - row, column),
            7 => (right - row, bottom - column),
            8 => (row, bottom - column),
            _ => panic!("no such orientation"),
        };
        *upright.get_pixel(x, y)
    })
}

/// An EXIF block that holds an orientation and a place, in either byte order, without the `Exif` prefix.
pub fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    let u16 = |v: u16| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let u32 = |v: u32| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut block = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    block.extend(u16(42));
    block.extend(u32(8));
    block.extend(u16(2));
    // Make, as text behind the directory.
    block.extend([u16(0x010f), u16(2)].concat());
    block.extend([u32(8), u32(38)].concat());
    // Orientation, one short in place.
    block.extend([u16(0x0112), u16(3)].concat());
    block.extend(u32(1));
    block.extend([u16(orientation.into()), u16(0)].concat());
    block.extend(u32(0));
    block.extend(b"SECRET!\0");
    block
}

pub fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (w, h) = picture.dimensions();
    ::jpeg_encoder::Encoder::new(&mut bytes, 95)
        .encode(picture.as_raw(), w as u16, h as u16, ::jpeg_encoder::ColorType::Rgb)
        .unwrap();
    bytes
}

pub fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (w, h) = picture.dimensions();
    PngEncoder::new(&mut bytes).write_image(picture.as_raw(), w, h, ExtendedColorType::Rgb8).unwrap();
    bytes
}

pub fn png_with_alpha(picture: &RgbaImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (w, h) = picture.dimensions();
    PngEncoder::new(&mut bytes).write_image(picture.as_raw(), w, h, ExtendedColorType::Rgba8).unwrap();
    bytes
}

/// Lossless WebP.
pub fn webp(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (w, h) = picture.dimensions();
    WebPEncoder::new_lossless(&mut bytes).write_image(picture.as_raw(), w, h, ExtendedColorType::Rgb8).unwrap();
    bytes
}

pub fn gif(frames: &[&RgbImage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for frame in frames {
        encoder.encode(frame.as_raw(), frame.width(), frame.height(), ExtendedColorType::Rgb8).unwrap();
    }
    drop(encoder);
    bytes
}

/// A JPEG with an EXIF segment right behind its start, as cameras write it.
pub fn jpeg_with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", exif, &jpeg[2..]].concat()
}

/// A JPEG without its APP2 segments, in which colour profiles lie.
pub fn without_profile(jpeg: &[u8]) -> Vec<u8> {
    let mut bytes = jpeg[..2].to_vec();
    let mut at = 2;
    while jpeg[at + 1] != 0xda {
        let next = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != 0xe2 {
            bytes.extend(&jpeg[at..next]);
        }
        at = next;
    }
    bytes.extend(&jpeg[at..]);
    bytes
}

/// A JPEG with a colour profile in that many segments, right behind its start.
pub fn jpeg_with_profile(jpeg: &[u8], profile: &[u8], segments: usize) -> Vec<u8> {
    let parts = profile.chunks(profile.len().div_ceil(segments)).enumerate();
    let parts: Vec<_> = parts.map(|(index, part)| profile_segment(index + 1, segments, part)).collect();
    [&jpeg[..2], &parts.concat(), &jpeg[2..]].concat()
}

/// One segment of a colour profile.
pub fn profile_segment(number: usize, count: usize, part: &[u8]) -> Vec<u8> {
    let length = u16::try_from(part.len() + 16).unwrap().to_be_bytes();
    [&[0xff, 0xe2], &length[..], b"ICC_PROFILE\0", &[number as u8, count as u8], part].concat()
}

/// A PNG with a chunk right behind its header.
pub fn png_with_chunk(png: &[u8], name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&png[..33], &png_chunk(name, body), &png[33..]].concat()
}

/// The body of an iCCP chunk.
pub fn iccp(profile: &[u8]) -> Vec<u8> {
    [b"name\0\0", &fdeflate::compress_to_vec(profile)[..]].concat()
}

/// A PNG with an eXIf chunk right behind its header, or as its last chunk but one.
pub fn png_with_exif(png: &[u8], exif: &[u8], at_end: bool) -> Vec<u8> {
    let at = if at_end { png.len() - 12 } else { 33 };
    [&png[..at], &png_chunk(b"eXIf", exif), &png[at..]].concat()
}

/// A simple WebP made an extended one, with an EXIF chunk behind the picture.
pub fn webp_with_exif(webp: &[u8], size: (u32, u32), exif: &[u8]) -> Vec<u8> {
    let u24 = |v: u32| v.to_le_bytes()[..3].to_vec();
    let extended = [&[0x08, 0, 0, 0][..], &u24(size.0 - 1), &u24(size.1 - 1)].concat();
    let chunks = [&riff_chunk(b"VP8X", &extended), &webp[12..], &riff_chunk(b"EXIF", exif)].concat();
    riff_chunk(b"RIFF", &[b"WEBP", &chunks[..]].concat())
}

/// A simple WebP made an extended one, with a colour profile before the picture.
pub fn webp_with_profile(webp: &[u8], size: (u32, u32), profile: &[u8]) -> Vec<u8> {
    let u24 = |v: u32| v.to_le_bytes()[..3].to_vec();
    let extended = [&[0x20, 0, 0, 0][..], &u24(size.0 - 1), &u24(size.1 - 1)].concat();
    let chunks = [&riff_chunk(b"VP8X", &extended), &riff_chunk(b"ICCP", profile), &webp[12..]].concat();
    riff_chunk(b"RIFF", &[b"WEBP", &chunks[..]].concat())
}

pub fn riff_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let padding = vec![0; body.len() % 2];
    [&name[..], &length, body, &padding].concat()
}

pub fn png_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let checked = [name, body].concat();
    [&length[..], &checked, &crc32(&checked).to_be_bytes()].concat()
}

/// PNG's checksum.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
