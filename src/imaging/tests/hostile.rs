//! Files that are cut off, damaged, lying or no pictures at all.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::samples::*;
use super::*;

/// Every path through the headers and decoders.
static FILES: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(|| {
    let picture = corners(120, 80);
    vec![
        ("jpeg", jpeg(&picture)),
        ("jpeg, turned", jpeg_with_exif(&jpeg(&picture), &exif(6, true))),
        ("progressive jpeg", PROGRESSIVE_JPEG.to_vec()),
        ("cmyk jpeg", CMYK_JPEG.to_vec()),
        ("png", png(&picture)),
        ("png, turned", png_with_exif(&png(&picture), &exif(6, true), false)),
        ("palette png", PALETTE_TRANSPARENT_PNG.to_vec()),
        ("animated png", ANIMATED_PNG.to_vec()),
        ("gif", gif(&[&picture])),
        ("webp", webp(&picture)),
        ("webp, turned", webp_with_exif(&webp(&picture), (120, 80), &exif(6, true))),
        ("lossy webp", LOSSY_WEBP.to_vec()),
        ("lossy webp with alpha", LOSSY_ALPHA_WEBP.to_vec()),
        ("animated webp", ANIMATED_ALPHA_WEBP.to_vec()),
    ]
});

fn is_refused(bytes: &[u8]) -> bool {
    match prepare(bytes, &LIMITS, &STANDARD) {
        Err(ImageError::Corrupt { reason }) => {
            assert!(!reason.is_empty() && reason.chars().count() < 200, "{reason}");
            true
        }
        Err(ImageError::Unsupported { .. }) => true,
        other => {
            println!("{other:?}");
            false
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, bytes) in FILES.iter() {
        // A GIF's trailer and a WebP's last padding byte hold nothing of the picture.
        let whole = bytes.len() - if *name == "gif" || name.contains("webp") { 1 } else { 0 };
        for cut in (0..whole.min(64)).chain((64..whole).step_by(37)).chain(whole.saturating_sub(40)..whole) {
            assert!(is_refused(&bytes[..cut]), "{name} of {} bytes cut at {cut}", bytes.len());
        }
    }
}

#[test]
fn a_photo_cut_off_is_damaged_rather_than_gray() {
    let large =
        image::load_from_memory(SUMMIT).unwrap().resize_exact(1920, 1022, image::imageops::FilterType::Triangle);
    for bytes in [SUMMIT.to_vec(), ROCKET.to_vec(), ASTRONAUT.to_vec(), jpeg(&large.to_rgb8())] {
        for part in 1..20 {
            assert!(is_refused(&bytes[..bytes.len() * part / 20]), "cut at {part}/20");
        }
        assert!(is_refused(&bytes[..bytes.len() - 2]));
    }
}

#[test]
fn a_png_with_a_wrong_byte_anywhere_is_damaged_although_nothing_decodes_it() {
    for bytes in [png(&corners(300, 200)), PALETTE_PNG.to_vec(), CHELSEA.to_vec()] {
        assert_eq!(prepared(&bytes, &HIGH).0.encoded, Encoded::AsIs);
        // Behind the size, which has a limit of its own.
        for at in (24..bytes.len()).step_by(bytes.len() / 50) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(is_refused(&damaged), "byte {at} of {}", bytes.len());
        }
    }
    let mut damaged = CHELSEA.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 100].fill(0);
    let reason = "a chunk of the PNG does not match its checksum".to_owned();
    assert_eq!(prepare(&damaged, &LIMITS, &HIGH), Err(ImageError::Corrupt { reason }));
}

#[test]
fn a_webp_whose_stream_cannot_be_decoded_is_not_passed_on() {
    // A lossy stream cut off behind its first partition, in chunks that say so: the container is sound.
    let tag = u32::from_le_bytes([LOSSY_WEBP[20], LOSSY_WEBP[21], LOSSY_WEBP[22], 0]);
    let stream = &LOSSY_WEBP[20..20 + 10 + (tag >> 5) as usize];
    let cut = riff_chunk(b"RIFF", &[b"WEBP", &riff_chunk(b"VP8 ", stream)[..]].concat());
    let mut scrambled = webp(&corners(300, 200));
    scrambled[26..].fill(0xff);
    for (name, whole, damaged) in [("VP8", LOSSY_WEBP.to_vec(), cut), ("VP8L", webp(&corners(300, 200)), scrambled)] {
        assert_eq!(prepared(&whole, &HIGH).0.encoded, Encoded::AsIs, "{name}");
        let header = header::read(&damaged).unwrap();
        assert_eq!(
            (header.damage, decode::check_header(&damaged, &header)),
            (None, Ok(())),
            "{name}: only decoding tells"
        );
        assert!(is_refused(&damaged), "{name}");
    }
}

#[test]
fn what_is_no_picture_is_named() {
    for (bytes, wanted) in [(&b""[..], "empty"), (b"8BPS..", "image/vnd.adobe.photoshop"), (b"<svg/>", "image/svg+xml")]
    {
        let error = prepare(bytes, &LIMITS, &STANDARD).unwrap_err();
        assert_eq!(error, ImageError::Unsupported { detected: wanted.to_owned() });
        assert!(error.to_string().contains(wanted));
    }
}

#[test]
fn rare_kinds_of_jpeg_are_named() {
    let at = |jpeg: &[u8]| jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for (offset, value, wanted) in [
        (1, 0xc3, "image/jpeg, lossless"),
        (1, 0xc9, "image/jpeg, arithmetic-coded"),
        (4, 12, "image/jpeg with samples of more than 8 bits"),
    ] {
        let mut bytes = jpeg(&corners(300, 200));
        let frame = at(&bytes);
        bytes[frame + offset] = value;
        let error = prepare(&bytes, &LIMITS, &STANDARD).unwrap_err();
        assert_eq!(error, ImageError::Unsupported { detected: wanted.to_owned() });
    }
}

/// Small files that claim a picture of 60,000 by 60,000 pixels, or as much as the format can say.
fn bombs() -> Vec<(&'static str, Vec<u8>, Size)> {
    let tiny = corners(16, 16);
    let mut jpeg = jpeg(&tiny);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    let mut header = png(&tiny)[16..29].to_vec();
    header[..8].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let png = [&png(&tiny)[..8], &png_chunk(b"IHDR", &header), &png(&tiny)[33..]].concat();
    let mut gif = gif(&[&tiny]);
    gif[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    let mut webp = webp(&tiny);
    webp[21..25].copy_from_slice(&0x0fff_ffff_u32.to_le_bytes());
    let large = Size::new(60_000, 60_000);
    vec![("jpeg", jpeg, large), ("png", png, large), ("gif", gif, large), ("webp", webp, Size::new(16_384, 16_384))]
}

#[test]
fn a_bomb_is_refused_by_its_header_with_a_size_that_fits() {
    for (name, bytes, size) in bombs() {
        let fits = Size::new(7071, 7071);
        let wanted = ImageError::TooManyPixels { actual: size, limit: LIMITS.max_pixels, fits };
        assert_eq!(prepare(&bytes, &LIMITS, &STANDARD), Err(wanted), "{name}");
    }
}

#[test]
fn a_pixel_limit_counts_the_upright_picture() {
    let bytes = jpeg_with_exif(&jpeg(&corners(400, 200)), &exif(6, false));
    let error = prepare(&bytes, &Limits { max_pixels: 79_999, ..LIMITS }, &STANDARD).unwrap_err();
    assert!(matches!(error, ImageError::TooManyPixels { actual: Size { width: 200, height: 400 }, .. }));
    assert!(prepare(&bytes, &Limits { max_pixels: 80_000, ..LIMITS }, &STANDARD).is_ok());
}

#[test]
fn a_webp_whose_stream_is_larger_than_its_canvas_is_refused() {
    let lying = webp_with_exif(&webp(&corners(300, 200)), (16, 16), &exif(1, true));
    assert!(is_refused(&lying));
    let mut lossy = webp_with_exif(LOSSY_WEBP, (240, 160), &exif(6, true));
    let start = lossy.windows(3).position(|w| w == [0x9d, 0x01, 0x2a]).unwrap() + 3;
    lossy[start..start + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert!(is_refused(&lossy));
    let mut animated = ANIMATED_ALPHA_WEBP.to_vec();
    assert_eq!(header::read(&animated).unwrap().damage, None);
    let start = animated.windows(3).position(|w| w == [0x9d, 0x01, 0x2a]).unwrap() + 3;
    animated[start..start + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert!(header::read(&animated).unwrap().damage.is_some(), "known before a decoder allocates by it");
}

/// `image-webp` allocates what 24 bits of a lossy stream say before it looks whether the file is that long.
#[test]
fn what_a_part_of_a_lossy_webp_may_claim_is_part_of_the_memory() {
    for (bytes, safe_decoders) in [(LOSSY_WEBP, true), (LOSSY_ALPHA_WEBP, false), (ANIMATED_ALPHA_WEBP, false)] {
        let limits = Limits { safe_decoders, ..LIMITS };
        let plan = Plan::of(bytes, &limits, &STANDARD).unwrap();
        assert!(plan.peak_memory() > 1 << 24, "{}", plan.peak_memory());
    }
    let lossless = webp(&corners(120, 80));
    assert!(Plan::of(&lossless, &LIMITS, &STANDARD).unwrap().peak_memory() < 1 << 24);
}

#[test]
fn a_webp_of_a_thousand_groups_of_codes_is_read_and_one_of_more_than_any_encoder_makes_is_not() {
    // Both are damaged further on, where there should be pixels.
    for (groups, reason) in [(1000, None), (4096, Some("the WebP has more codes than a picture needs"))] {
        let mut body = vec![0x2f];
        body.extend((3_u32 | 3 << 14).to_le_bytes());
        body.extend(header::webp::codes_of(groups));
        let bytes = riff_chunk(b"RIFF", &[b"WEBP", &riff_chunk(b"VP8L", &body)[..]].concat());
        let found = prepare(&bytes, &LIMITS, &STANDARD);
        let refused = matches!(&found, Err(ImageError::Corrupt { reason: found }) if Some(&found[..]) == reason);
        assert_eq!(refused, reason.is_some(), "{found:?}");
    }
}

#[test]
fn a_gif_whose_frame_is_far_larger_than_its_screen_is_refused() {
    let mut bytes = gif(&[&corners(16, 16)]);
    let frame = bytes.iter().rposition(|b| *b == 0x2c).unwrap();
    assert_eq!(bytes[frame + 5..frame + 9], [16, 0, 16, 0], "the frame's size lies here");
    bytes[frame + 5..frame + 9].fill(0xff);
    assert!(is_refused(&bytes));
}

#[test]
fn a_jpeg_of_thousands_of_scans_is_refused() {
    let mut bytes = PROGRESSIVE_JPEG.to_vec();
    let scan = bytes.windows(2).rposition(|w| w == [0xff, 0xda]).unwrap();
    let last = bytes[scan..bytes.len() - 2].to_vec();
    bytes.truncate(bytes.len() - 2);
    for _ in 0..2000 {
        bytes.extend(&last);
    }
    bytes.extend([0xff, 0xd9]);
    assert!(is_refused(&bytes));
}

/// A JPEG that claims a size and holds that many scans.
fn jpeg_of_scans((width, height): (u16, u16), scans: usize) -> Vec<u8> {
    let mut bytes = jpeg(&corners(16, 16));
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
    let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    let (head, scan) = bytes[..bytes.len() - 2].split_at(scan);
    [head, &scan.repeat(scans), &[0xff, 0xd9]].concat()
}

#[test]
fn a_jpeg_may_have_the_fewer_scans_the_larger_it_is() {
    for (size, most) in [((16, 16), 100), ((5000, 5000), 100), ((10_000, 10_000), 25), ((65_000, 65_000), 1)] {
        assert_eq!(header::read(&jpeg_of_scans(size, most)).unwrap().damage, None, "{size:?}");
        let damage = header::read(&jpeg_of_scans(size, most + 1)).unwrap().damage;
        assert!(damage.is_some_and(|damage| damage.contains("scans")), "{size:?}: {damage:?}");
    }
    let limits = Limits { max_pixels: 100_000_000, ..LIMITS };
    let refused = prepare(&jpeg_of_scans((10_000, 10_000), 26), &limits, &STANDARD);
    assert!(matches!(refused, Err(ImageError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn a_jpeg_of_two_components_or_with_a_second_frame_is_refused_by_the_decoder_alone() {
    let wanted = jpeg_picture::wanted(Size::new(8, 8));
    let decode = |bytes: &[u8]| jpeg_decoder::decode(bytes, &wanted, &Cancel::never()).map(|_| ());
    let bytes = jpeg(&corners(16, 16));
    assert_eq!(decode(&bytes), Ok(()));
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let mut two = bytes.clone();
    two[frame + 3] -= 3;
    two[frame + 9] = 2;
    two.drain(frame + 16..frame + 19);
    assert!(decode(&two).is_err());
    let (start, rest) = bytes.split_at(frame);
    let length = 2 + usize::from(rest[3]);
    let twice = [start, &rest[..length], rest].concat();
    assert!(decode(&twice).is_err());
}

#[test]
fn a_png_of_an_unknown_depth_is_damaged_and_not_too_large() {
    let bytes = png(&corners(300, 200));
    let mut header = bytes[16..29].to_vec();
    header[8] = 0x88;
    let bytes = [&bytes[..8], &png_chunk(b"IHDR", &header), &bytes[33..]].concat();
    assert!(is_refused(&bytes));
}

#[test]
fn zero_edges_are_damage() {
    let mut bytes = jpeg(&corners(300, 200));
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 7].fill(0);
    assert!(is_refused(&bytes));
    let mut bytes = gif(&[&corners(300, 200)]);
    bytes[6..8].fill(0);
    assert!(is_refused(&bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_never_panic(
        start in prop_oneof![
            Just(&b""[..]),
            Just(&b"\xff\xd8\xff"[..]),
            Just(&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..]),
            Just(&b"GIF89a"[..]),
            Just(&b"RIFF\xff\0\0\0WEBPVP8X"[..]),
        ],
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        let _ = header::read(&bytes);
        let _ = prepare(&bytes, &LIMITS, &STANDARD);
    }

    #[test]
    fn damaged_files_are_prepared_or_refused_within_the_limits(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = which.get(&FILES).1.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let limits = Limits { max_pixels: 1_000_000, ..LIMITS };
        if let Ok(prepared) = prepare(&bytes, &limits, &STANDARD) {
            prop_assert!(prepared.frame.original().pixel_count() <= limits.max_pixels);
        }
    }
}
