//! TIFF and BMP, which models do not take: every layout of pixels comes out as the same picture, in a type that they do.

use image::codecs::bmp::BmpEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use proptest::prelude::*;

use super::samples::*;
use super::*;

const ALPHA: &[u8] = include_bytes!("data/alpha.tif");
const CMYK: &[u8] = include_bytes!("data/cmyk.tif");
const DEEP: &[u8] = include_bytes!("data/deep.tif");
const DEFLATE: &[u8] = include_bytes!("data/deflate.tif");
const FAX4: &[u8] = include_bytes!("data/fax4.tif");
const JPEG: &[u8] = include_bytes!("data/jpeg.tif");
const LZW: &[u8] = include_bytes!("data/lzw.tif");
const PAGES: &[u8] = include_bytes!("data/pages.tif");
const PALETTE: &[u8] = include_bytes!("data/palette.tif");
const TILED_JPEG: &[u8] = include_bytes!("data/tiled-jpeg.tif");
const COLOURED: [(&str, &[u8]); 8] = [
    ("cmyk", CMYK),
    ("deep", DEEP),
    ("deflate", DEFLATE),
    ("jpeg", JPEG),
    ("lzw", LZW),
    ("pages", PAGES),
    ("palette", PALETTE),
    ("tiled-jpeg", TILED_JPEG),
];

fn bmp(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (w, h) = picture.dimensions();
    BmpEncoder::new(&mut bytes).write_image(picture.as_raw(), w, h, ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn unsupported(bytes: &[u8]) -> String {
    match prepare(bytes, &LIMITS, &STANDARD) {
        Err(ImageError::Unsupported { detected }) => detected,
        other => panic!("{other:?}"),
    }
}

fn corrupt(bytes: &[u8]) -> String {
    match prepare(bytes, &LIMITS, &STANDARD) {
        Err(ImageError::Corrupt { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

/// A TIFF of one page, written from the specification.
#[derive(Clone)]
struct Tiff {
    big_endian: bool,
    /// Tag, width of a value in bytes, values.
    tags: Vec<(u16, u8, Vec<u32>)>,
    chunks: Vec<Vec<u8>>,
    is_tiled: bool,
}

impl Tiff {
    /// 8-bit RGB in strips of 50 rows.
    fn rgb(picture: &RgbImage) -> Self {
        let (w, h) = picture.dimensions();
        let tags = vec![
            (256, 4, vec![w]),
            (257, 2, vec![h]),
            (258, 2, vec![8, 8, 8]),
            (259, 2, vec![1]),
            (262, 2, vec![2]),
            (277, 2, vec![3]),
            (278, 2, vec![50]),
        ];
        let chunks = picture.as_raw().chunks((w * 3 * 50) as usize).map(<[u8]>::to_vec).collect();
        Self { big_endian: false, tags, chunks, is_tiled: false }
    }

    /// One sample a pixel, in one strip.
    fn single(size: (u32, u32), photometric: u32, bits: u32, strip: Vec<u8>) -> Self {
        let tags = vec![
            (256, 4, vec![size.0]),
            (257, 4, vec![size.1]),
            (258, 2, vec![bits]),
            (259, 2, vec![1]),
            (262, 2, vec![photometric]),
        ];
        Self { big_endian: false, tags, chunks: vec![strip], is_tiled: false }
    }

    fn with(mut self, tag: u16, width: u8, values: &[u32]) -> Self {
        self.tags.retain(|(other, ..)| *other != tag);
        self.tags.push((tag, width, values.to_vec()));
        self
    }

    fn build(&self) -> Vec<u8> {
        let u16 = |v: u32| if self.big_endian { (v as u16).to_be_bytes() } else { (v as u16).to_le_bytes() };
        let u32 = |v: u32| if self.big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut bytes = if self.big_endian { b"MM\0*\0\0\0\0".to_vec() } else { b"II*\0\0\0\0\0".to_vec() };
        let mut tags = self.tags.clone();
        let mut offsets = Vec::new();
        for chunk in &self.chunks {
            offsets.push(bytes.len() as u32);
            bytes.extend(chunk);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        let lengths = self.chunks.iter().map(|chunk| chunk.len() as u32).collect();
        let (offset_tag, length_tag) = if self.is_tiled { (324, 325) } else { (273, 279) };
        tags.push((offset_tag, 4, offsets));
        tags.push((length_tag, 4, lengths));
        tags.sort_by_key(|(tag, ..)| *tag);
        let mut entries = u16(tags.len() as u32).to_vec();
        for (tag, width, values) in tags {
            let kind = match width {
                1 => 7,
                2 => 3,
                _ => 4,
            };
            let mut body: Vec<u8> = Vec::new();
            for value in &values {
                match width {
                    1 => body.push(*value as u8),
                    2 => body.extend(u16(*value)),
                    _ => body.extend(u32(*value)),
                }
            }
            if body.len() > 4 {
                let at = bytes.len() as u32;
                bytes.extend(body);
                bytes.resize(bytes.len().next_multiple_of(2), 0);
                body = u32(at).to_vec();
            }
            body.resize(4, 0);
            entries.extend([u16(tag.into()), u16(kind)].concat());
            entries.extend(u32(values.len() as u32));
            entries.extend(body);
        }
        let directory = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&u32(directory));
        bytes.extend(entries);
        bytes.extend(u32(0));
        bytes
    }
}

#[test]
fn a_tiff_of_every_compression_comes_out_as_a_type_that_models_take() {
    for (name, bytes) in COLOURED {
        let (prepared, picture) = prepared(bytes, &STANDARD);
        assert_upright(&picture, name);
        assert_eq!(prepared.source_type, MediaType::Tiff);
        assert!(prepared.media_type.is_for_models() && prepared.encoded != Encoded::AsIs, "{name}");
        let is_lossy = name.contains("jpeg");
        assert_eq!(prepared.media_type == MediaType::Jpeg, is_lossy, "{name}");
        if !is_lossy && name != "cmyk" {
            assert_eq!(picture, corners(240, 160), "{name}");
        }
    }
}

#[test]
fn of_a_tiff_of_several_pages_the_first_is_sent_and_said() {
    let (prepared, _) = prepared(PAGES, &STANDARD);
    assert_eq!(codes(&prepared), [WarningCode::ImageFirstFrameOnly, WarningCode::ImageSmall]);
    assert_eq!(prepared.warnings[0].message, "Only the first page of the file was analyzed.");
    assert!(!header::read(LZW).unwrap().is_animated);
}

#[test]
fn a_fax_is_black_where_it_was() {
    let (_, picture) = prepared(FAX4, &STANDARD);
    let black = RgbImage::from_fn(240, 160, |x, y| Rgb([if (x < 120) == (y < 80) { 0 } else { 255 }; 3]));
    assert_eq!(picture, black);
    let mut reversed = FAX4.to_vec();
    let strip = header::tiff::Layout::of(FAX4).unwrap().chunk_bytes(FAX4, 0).unwrap().to_vec();
    let at = reversed.windows(strip.len()).position(|window| window == strip).unwrap();
    reversed[at..at + strip.len()].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
    let tag = reversed.windows(2).position(|window| window == 266_u16.to_le_bytes());
    if let Some(tag) = tag {
        reversed[tag + 8] = 2;
        assert_eq!(prepared_picture(&reversed), black);
    }
}

fn prepared_picture(bytes: &[u8]) -> RgbImage {
    prepared(bytes, &STANDARD).1
}

#[test]
fn an_alpha_channel_lies_on_white() {
    let (prepared, picture) = prepared(ALPHA, &STANDARD);
    assert_upright(&picture, "alpha");
    assert_eq!(picture.get_pixel(120, 80), &Rgb([255; 3]));
    assert!(codes(&prepared).contains(&WarningCode::ImageFlattened));
    // Half red: premultiplied, and not.
    for (kind, samples) in [(1, [128, 0, 0, 128]), (2, [255, 0, 0, 128])] {
        let tiff = Tiff::rgb(&corners(60, 40)).with(258, 2, &[8; 4]).with(277, 2, &[4]).with(278, 2, &[40]).with(
            338,
            2,
            &[kind],
        );
        let picture = prepared_picture(&Tiff { chunks: vec![samples.repeat(60 * 40)], ..tiff }.build());
        assert_eq!(picture.get_pixel(30, 20), &Rgb([255, 127, 127]));
    }
}

#[test]
fn strips_tiles_planes_and_byte_orders_come_out_the_same() {
    let upright = corners(300, 200);
    let tiff = Tiff::rgb(&upright);
    let deep = |big_endian: bool| {
        let wide = |sample: &u8| {
            let sample = u16::from(*sample) * 257;
            if big_endian { sample.to_be_bytes() } else { sample.to_le_bytes() }
        };
        let chunks = tiff.chunks.iter().map(|chunk| chunk.iter().flat_map(wide).collect()).collect();
        Tiff { big_endian, chunks, ..tiff.clone() }.with(258, 2, &[16; 3])
    };
    let planes = (0..3).flat_map(|plane| {
        tiff.chunks.iter().map(move |chunk| chunk.iter().skip(plane).step_by(3).copied().collect::<Vec<u8>>())
    });
    let tile = |left: u32, top: u32| {
        RgbImage::from_fn(64, 48, |x, y| *upright.get_pixel((left + x).min(299), (top + y).min(199))).into_raw()
    };
    let tiles = (0..200).step_by(48).flat_map(|top| (0..300).step_by(64).map(move |left| (left, top)));
    let extra = tiff.chunks.iter().map(|chunk| chunk.chunks(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 7]).collect());
    let packed = tiff.chunks.iter().map(|chunk| chunk.chunks(100).flat_map(|run| [&[99], run].concat()).collect());
    for (name, tiff) in [
        ("little endian", tiff.clone()),
        ("big endian", Tiff { big_endian: true, ..tiff.clone() }),
        ("16 bits, little endian", deep(false)),
        ("16 bits, big endian", deep(true)),
        ("planes", Tiff { chunks: planes.collect(), ..tiff.clone() }.with(284, 2, &[2])),
        (
            "tiles",
            Tiff { chunks: tiles.map(|(left, top)| tile(left, top)).collect(), is_tiled: true, ..tiff.clone() }
                .with(322, 2, &[64])
                .with(323, 4, &[48]),
        ),
        (
            "a sample more than is known of",
            Tiff { chunks: extra.collect(), ..tiff.clone() }.with(258, 2, &[8; 4]).with(277, 2, &[4]).with(
                338,
                2,
                &[0],
            ),
        ),
        ("packed", Tiff { chunks: packed.collect(), ..tiff.clone() }.with(259, 2, &[32_773])),
    ] {
        assert_eq!(prepared_picture(&tiff.build()), upright, "{name}");
    }
}

#[test]
fn every_depth_of_gray_and_every_palette_is_read() {
    for bits in [1_u32, 2, 4, 8, 16] {
        let last = (1_u32 << bits) - 1;
        let per_row = (300 * bits).div_ceil(8) as usize;
        let value = |x: u32| if x < 150 { last } else { last / 3 };
        let mut row = vec![0_u8; per_row];
        for x in 0..300 {
            match bits {
                16 => row[2 * x as usize..][..2].copy_from_slice(&(value(x) as u16).to_le_bytes()),
                bits => row[(x * bits / 8) as usize] |= (value(x) << (8 - bits - x * bits % 8)) as u8,
            }
        }
        let tone = if bits == 1 { 0 } else { 85 };
        for (photometric, left, right) in [(1, 255, tone), (0, 0, 255 - tone)] {
            let picture = prepared_picture(&Tiff::single((300, 200), photometric, bits, row.repeat(200)).build());
            assert_eq!(
                (picture.get_pixel(10, 10).0, picture.get_pixel(290, 190).0),
                ([left; 3], [right; 3]),
                "{bits} bits"
            );
        }
        if bits <= 8 {
            let entries = last as usize + 1;
            for scale in [1, 257] {
                let mut map = vec![0; entries * 3];
                for (index, plane, sample) in [(last, 0, 200), (last, 2, 100), (last / 3, 1, 50)] {
                    map[plane * entries + index as usize] = sample * scale;
                }
                let tiff = Tiff::single((300, 200), 3, bits, row.repeat(200)).with(320, 2, &map);
                let picture = prepared_picture(&tiff.build());
                assert_eq!(picture.get_pixel(10, 10).0, [200, 0, 100], "{bits} bits");
                assert_eq!(picture.get_pixel(290, 190).0, [0, 50, 0], "{bits} bits");
            }
        }
    }
}

#[test]
fn a_tiff_stands_upright_by_its_orientation() {
    let upright = corners(300, 200);
    for orientation in 1..=8 {
        let tiff = Tiff::rgb(&stored(&upright, orientation)).with(274, 2, &[orientation.into()]);
        let (prepared, picture) = prepared(&tiff.build(), &STANDARD);
        assert_eq!((prepared.exif_orientation, &picture), (orientation, &upright));
    }
}

#[test]
fn kinds_of_tiff_that_are_not_read_are_named() {
    let tiff = Tiff::rgb(&corners(60, 40));
    for (tag, values, wanted) in [
        (339, &[3, 3, 3][..], "image/tiff with 8-bit floating-point samples"),
        (258, &[32, 32, 32], "image/tiff with 32-bit samples, or samples of several depths"),
        (258, &[8, 8, 16], "image/tiff with 8-bit samples, or samples of several depths"),
        (259, &[6], "image/tiff with old-style JPEG compression"),
        (259, &[3], "image/tiff with fax compression of group 3"),
        (259, &[50_000], "image/tiff with compression 50000"),
        (262, &[8], "image/tiff with CIE L*a*b* colours"),
        (262, &[6], "image/tiff with YCbCr pixels of 3 8-bit samples, compression None"),
        (277, &[65_535], "image/tiff with 65535 samples a pixel"),
        (277, &[0], "image/tiff with 0 samples a pixel"),
        (50_706, &[1], "image/x-adobe-dng"),
    ] {
        assert_eq!(unsupported(&tiff.clone().with(tag, 2, values).build()), wanted);
    }
    let raw = tiff.with(254, 4, &[1]).with(330, 4, &[8, 8]);
    assert_eq!(unsupported(&raw.build()), "image/tiff that holds a camera's raw picture");
}

#[test]
fn a_tiff_whose_pixels_cannot_be_there_is_damaged() {
    let tiff = Tiff::rgb(&corners(300, 200));
    let with = |tag, value: u32| tiff.clone().with(tag, 4, &[value]).build();
    assert!(corrupt(&with(256, 301)).contains("shorter than its rows"));
    assert!(corrupt(&with(257, 201)).contains("outside the file"));
    assert!(corrupt(&with(278, 1)).contains("outside the file"));
    assert!(corrupt(&with(278, 0)).contains("zero"));
    let mut short = tiff.clone();
    short.chunks[2].pop();
    assert!(corrupt(&short.build()).contains("shorter than its rows"));
    // Strips that share their bytes, of more bytes in all than the file has.
    let mut shared = tiff.build();
    let at =
        shared.windows(8).position(|window| window == [8_u32, 45_008].map(u32::to_le_bytes).as_flattened()).unwrap();
    for strip in 0..4 {
        shared[at + strip * 4..][..4].copy_from_slice(&8_u32.to_le_bytes());
    }
    assert_eq!(header::read(&shared).unwrap().damage, None, "no more than there are");
    let lengths = shared.windows(8).position(|window| window == [45_000_u32; 2].map(u32::to_le_bytes).as_flattened());
    for strip in 0..4 {
        shared[lengths.unwrap() + strip * 4..][..4].copy_from_slice(&46_000_u32.to_le_bytes());
    }
    assert!(corrupt(&shared).contains("overlap"));
    // A strip for every pixel.
    let strips = Tiff { chunks: vec![vec![0]; 70_000], ..Tiff::single((1, 70_000), 1, 8, Vec::new()) };
    assert!(corrupt(&strips.with(278, 4, &[1]).build()).contains("than a picture of its size needs"));
}

#[test]
fn a_tiff_bomb_is_refused_by_its_header() {
    let strip = || Tiff::single((16, 16), 1, 8, vec![0; 256]);
    // As many pixels as can be said.
    let huge = strip().with(256, 4, &[60_000]).with(257, 4, &[60_000]).build();
    assert!(matches!(prepare(&huge, &LIMITS, &STANDARD), Err(ImageError::TooManyPixels { .. })));
    let all = strip().with(256, 4, &[u32::MAX]).with(257, 4, &[u32::MAX]).with(259, 2, &[5]).build();
    assert!(matches!(prepare(&all, &LIMITS, &STANDARD), Err(ImageError::TooManyPixels { .. })));
    // Tiles far larger than the picture.
    let tiled = Tiff { is_tiled: true, ..strip() };
    for (width, height) in [(u32::MAX, u32::MAX), (1 << 20, 2), (16, u32::MAX), (0, 16)] {
        let tiled = tiled.clone().with(259, 2, &[5]).with(322, 4, &[width]).with(323, 4, &[height]);
        assert!(corrupt(&tiled.build()).contains("tiles"), "{width}x{height}");
    }
    // A strip that holds a JPEG of 60,000 by 60,000 pixels.
    let mut jpeg = Vec::new();
    ::jpeg_encoder::Encoder::new(&mut jpeg, 90).encode(&[99; 256], 16, 16, ::jpeg_encoder::ColorType::Luma).unwrap();
    let jpegs = |jpeg: &[u8]| Tiff::single((16, 16), 1, 8, jpeg.to_vec()).with(259, 2, &[7]).build();
    assert_eq!(prepared_picture(&jpegs(&jpeg)).get_pixel(3, 3).0, [99; 3]);
    let frame = jpeg.windows(2).position(|window| window == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    assert!(corrupt(&jpegs(&jpeg)).contains("JPEG of another size"));
    // Strips of all rows there can be mean one strip, as in files of honest software.
    assert_eq!(prepared_picture(&strip().with(278, 4, &[u32::MAX]).build()).get_pixel(3, 3).0, [0; 3]);
}

#[test]
fn directories_that_lead_in_a_circle_end() {
    let mut bytes = Tiff::single((16, 16), 1, 8, vec![0; 256]).build();
    let end = bytes.len() - 4;
    let first = bytes[4..8].to_vec();
    bytes[end..].copy_from_slice(&first);
    assert!(!header::read(&bytes).unwrap().is_animated, "a directory after itself is no page");
    // Two that name each other.
    let second = bytes.len();
    let directory = bytes[u32::from_le_bytes([first[0], first[1], first[2], first[3]]) as usize..].to_vec();
    bytes.extend(directory);
    bytes[end..end + 4].copy_from_slice(&(second as u32).to_le_bytes());
    assert!(header::read(&bytes).unwrap().is_animated);
}

#[test]
fn a_bmp_of_every_depth_is_read() {
    let upright = corners(301, 200);
    let rgb = bmp(&upright);
    assert_eq!(prepared(&rgb, &STANDARD).0.source_type, MediaType::Bmp);
    assert_eq!(prepared_picture(&rgb), upright);
    // Rows from the top: a negative height and the rows the other way round.
    let mut top_down = rgb.clone();
    let pixels = u32::from_le_bytes([rgb[10], rgb[11], rgb[12], rgb[13]]) as usize;
    top_down[22..26].copy_from_slice(&(-200_i32).to_le_bytes());
    let rows: Vec<u8> = rgb[pixels..].rchunks((301 * 3_usize).next_multiple_of(4)).flatten().copied().collect();
    top_down[pixels..].copy_from_slice(&rows);
    assert_eq!(prepared_picture(&top_down), upright);
    for (depth, info) in [(1_u16, 12_u32), (1, 40), (4, 12), (4, 40), (8, 40), (8, 124)] {
        let bytes = palette_bmp(depth, info);
        let picture = prepared_picture(&bytes);
        assert_eq!(
            (picture.get_pixel(10, 10).0, picture.get_pixel(290, 190).0),
            ([0; 3], [10, 20, 30]),
            "{depth} bits"
        );
    }
}

/// Left half of colour 0, right half of colour 1, 300x200.
fn palette_bmp(depth: u16, info: u32) -> Vec<u8> {
    let entry = if info == 12 { 3 } else { 4 };
    let offset = 14 + info + entry * (1 << depth);
    let mut bytes = [b"BM".to_vec(), vec![0; 8], offset.to_le_bytes().to_vec(), info.to_le_bytes().to_vec()].concat();
    if info == 12 {
        bytes.extend([300_u16, 200, 1, depth].map(u16::to_le_bytes).concat());
    } else {
        bytes.extend([300_u32, 200].map(u32::to_le_bytes).concat());
        bytes.extend([1, depth].map(u16::to_le_bytes).concat());
    }
    bytes.resize(14 + info as usize, 0);
    bytes.resize(bytes.len() + entry as usize, 0);
    bytes.extend([30, 20, 10]);
    bytes.resize(offset as usize, 0);
    let per_row = (300 * usize::from(depth)).div_ceil(32) * 4;
    let mut row = vec![0; per_row];
    for x in 150..300 {
        row[x * usize::from(depth) / 8] |= 1 << (8 - usize::from(depth) - x * usize::from(depth) % 8);
    }
    bytes.extend(row.repeat(200));
    bytes
}

#[test]
fn runs_of_a_bmp_are_drawn() {
    let mut bytes = palette_bmp(8, 40);
    let offset = u32::from_le_bytes([bytes[10], bytes[11], bytes[12], bytes[13]]) as usize;
    bytes.truncate(offset);
    bytes[30] = 1;
    // 150 of colour 0, 150 of colour 1, end of row; at last end of picture.
    bytes.extend([150, 0, 150, 1, 0, 0].repeat(200));
    bytes.extend([0, 1]);
    let picture = prepared_picture(&bytes);
    assert_eq!((picture.get_pixel(10, 10).0, picture.get_pixel(290, 190).0), ([0; 3], [10, 20, 30]));
}

#[test]
fn a_bmp_is_measured_before_it_is_decoded() {
    let rgb = bmp(&corners(300, 200));
    let with = |at: usize, bytes: &[u8]| {
        let mut bmp = rgb.clone();
        bmp[at..at + bytes.len()].copy_from_slice(bytes);
        bmp
    };
    let huge = with(18, &[60_000_u32, 60_000].map(u32::to_le_bytes).concat());
    assert!(matches!(prepare(&huge, &LIMITS, &STANDARD), Err(ImageError::TooManyPixels { .. })));
    let all = with(18, &[i32::MAX, i32::MIN].map(i32::to_le_bytes).concat());
    assert!(matches!(prepare(&all, &LIMITS, &STANDARD), Err(ImageError::TooManyPixels { .. })));
    assert!(corrupt(&with(18, &301_i32.to_le_bytes())).contains("shorter than its rows"));
    assert!(corrupt(&with(18, &(-300_i32).to_le_bytes())).contains("negative width"));
    assert!(corrupt(&rgb[..rgb.len() - 1]).contains("shorter than its rows"));
    assert_eq!(unsupported(&with(30, &[4])), "image/bmp that wraps a JPEG");
    assert_eq!(unsupported(&with(30, &[9])), "image/bmp of an unknown compression");
    assert_eq!(unsupported(&with(28, &[2])), "image/bmp with 2 bits a pixel");
}

#[test]
fn a_bmp_or_tiff_cut_anywhere_is_refused() {
    let small = corners(40, 30);
    let files = [("bmp", bmp(&small)), ("tiff", Tiff::rgb(&small).with(278, 4, &[30]).build())];
    for (name, bytes) in files.iter().map(|(name, bytes)| (*name, &bytes[..])).chain(COLOURED).chain([("fax", FAX4)]) {
        let whole = prepare(bytes, &LIMITS, &STANDARD).unwrap().encoded;
        let length = bytes.len();
        for cut in (0..length.min(64)).chain((64..length).step_by(61)).chain(length - 30..length) {
            match prepare(&bytes[..cut], &LIMITS, &STANDARD) {
                Err(ImageError::Corrupt { .. } | ImageError::Unsupported { .. }) => {}
                // The end of a TIFF may hold what nobody needs: a resolution, further pages.
                Ok(cut) if matches!(name, "deep" | "pages" | "tiled-jpeg") => assert_eq!(cut.encoded, whole, "{name}"),
                other => panic!("{name} of {length} bytes cut at {cut}: {:?}", other.is_ok()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_bmp_and_tiff_are_prepared_or_refused(
        which in 0..COLOURED.len() + 3,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        at_front in any::<bool>(),
    ) {
        let mut bytes = match which {
            0 => palette_bmp(4, 40),
            1 => FAX4.to_vec(),
            2 => ALPHA.to_vec(),
            which => COLOURED[which - 3].1.to_vec(),
        };
        for (at, value) in damage {
            // Most of what matters lies at one end.
            let near = bytes.len().min(200);
            let at = if at_front { at.index(near) } else { bytes.len() - 1 - at.index(near) };
            bytes[at] = value;
        }
        let limits = Limits { max_pixels: 1_000_000, ..LIMITS };
        if let Ok(prepared) = prepare(&bytes, &limits, &STANDARD) {
            prop_assert!(prepared.frame.original().pixel_count() <= limits.max_pixels);
        }
    }

    #[test]
    fn random_directories_never_panic(rest in prop::collection::vec(any::<u8>(), 0..400), big_endian in any::<bool>()) {
        let start: &[u8] = if big_endian { b"MM\0*\0\0\0\x08" } else { b"II*\0\x08\0\0\0" };
        let bytes = [start, &rest].concat();
        let _ = header::read(&bytes);
        let _ = prepare(&bytes, &LIMITS, &STANDARD);
    }
}
