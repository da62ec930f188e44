//! What each format brings along: alpha, frames, depths, colour spaces.

use image::{DynamicImage, ExtendedColorType, ImageEncoder, Rgb, Rgba};

use super::samples::*;
use super::*;

#[test]
fn a_gif_is_always_drawn_anew_and_only_its_first_frame() {
    let (first, second) = (corners(300, 200), image::RgbImage::new(300, 200));
    for (frames, warnings) in
        [(vec![&first], vec![]), (vec![&first, &second, &second], vec![WarningCode::ImageFirstFrameOnly])]
    {
        let (prepared, picture) = prepared(&gif(&frames), &STANDARD);
        assert_upright(&picture, "gif");
        assert_eq!((prepared.source_type, prepared.media_type), (MediaType::Gif, MediaType::Png));
        assert_eq!(codes(&prepared), warnings);
    }
}

#[test]
fn of_an_animated_png_or_webp_the_first_frame_is_sent_and_said() {
    for bytes in [ANIMATED_PNG, ANIMATED_WEBP] {
        let (prepared, picture) = prepared(bytes, &STANDARD);
        assert_upright(&picture, prepared.source_type.as_str());
        assert_ne!(prepared.encoded, Encoded::AsIs);
        assert_eq!(codes(&prepared), [WarningCode::ImageFirstFrameOnly, WarningCode::ImageSmall]);
    }
}

#[test]
fn whatever_is_transparent_lies_on_white() {
    for (bytes, animated) in [(LOSSY_ALPHA_WEBP, false), (PALETTE_TRANSPARENT_PNG, false), (ANIMATED_ALPHA_WEBP, true)]
    {
        let (prepared, picture) = prepared(bytes, &STANDARD);
        assert_upright(&picture, prepared.source_type.as_str());
        let hole = picture.get_pixel(120, 80);
        assert!(hole.0.iter().all(|sample| *sample > 245), "{hole:?}");
        assert_ne!(prepared.encoded, Encoded::AsIs);
        assert!(codes(&prepared).contains(&WarningCode::ImageFlattened));
        assert_eq!(codes(&prepared).contains(&WarningCode::ImageFirstFrameOnly), animated);
    }
}

#[test]
fn half_transparent_black_becomes_gray_before_it_is_reduced() {
    // One column in two is opaque black, the others transparent red: no red may bleed into the result.
    let stripes =
        image::RgbaImage::from_fn(
            2400,
            1600,
            |x, _| {
                if x % 2 == 0 { Rgba([0, 0, 0, 255]) } else { Rgba([255, 0, 0, 0]) }
            },
        );
    let (prepared, picture) = prepared(&png_with_alpha(&stripes), &STANDARD);
    assert!(codes(&prepared).starts_with(&[WarningCode::ImageFlattened, WarningCode::ImageResized]));
    let Rgb([r, g, b]) = *picture.get_pixel(600, 100);
    assert!(r.abs_diff(g) < 12 && g.abs_diff(b) < 12 && (90..170).contains(&g), "{r} {g} {b}");
}

#[test]
fn an_alpha_channel_that_hides_nothing_is_dropped_without_a_warning() {
    let opaque = DynamicImage::ImageRgb8(corners(300, 200)).into_rgba8();
    let (prepared, picture) = prepared(&png_with_alpha(&opaque), &STANDARD);
    assert_eq!(picture, corners(300, 200));
    assert_eq!((codes(&prepared), prepared.media_type), (vec![], MediaType::Png));
}

#[test]
fn sixteen_bits_become_eight() {
    let deep = DynamicImage::ImageRgb8(corners(300, 200)).into_rgb16();
    let mut bytes = Vec::new();
    let samples: Vec<u8> = deep.as_raw().iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    image::codecs::png::PngEncoder::new(&mut bytes).write_image(&samples, 300, 200, ExtendedColorType::Rgb16).unwrap();
    let (prepared, picture) = prepared(&bytes, &STANDARD);
    assert_ne!(prepared.encoded, Encoded::AsIs);
    assert_eq!(picture, corners(300, 200));
}

#[test]
fn a_cmyk_jpeg_becomes_rgb() {
    let (prepared, picture) = prepared(CMYK_JPEG, &STANDARD);
    assert_upright(&picture, "cmyk");
    let Encoded::New(bytes) = &prepared.encoded else { panic!("a CMYK picture was passed on") };
    assert_eq!(image::load_from_memory(bytes).unwrap().color(), image::ColorType::Rgb8);
}

#[test]
fn a_gray_jpeg_is_passed_on_or_reduced() {
    for (edge, as_is) in [(400, true), (2000, false)] {
        let gray = vec![99; edge * edge];
        let mut bytes = Vec::new();
        let encoder = ::jpeg_encoder::Encoder::new(&mut bytes, 90);
        encoder.encode(&gray, edge as u16, edge as u16, ::jpeg_encoder::ColorType::Luma).unwrap();
        let (prepared, picture) = prepared(&bytes, &STANDARD);
        assert_eq!(prepared.encoded == Encoded::AsIs, as_is);
        assert!(picture.get_pixel(50, 50).0.iter().all(|sample| sample.abs_diff(99) < 3));
    }
}

#[test]
fn a_lossy_webp_that_must_change_becomes_jpeg() {
    let bytes = webp_with_exif(LOSSY_WEBP, (240, 160), &exif(3, true));
    let (prepared, _) = prepared(&bytes, &STANDARD);
    assert_eq!((prepared.source_type, prepared.media_type), (MediaType::Webp, MediaType::Jpeg));
}

#[test]
fn both_decoders_of_lossy_webp_see_the_same() {
    for (width, height) in [(1, 1), (1, 50), (17, 33), (300, 200), (513, 64)] {
        let picture = corners(width, height);
        let lossy = webp::Encoder::from_rgb(picture.as_raw(), width, height).encode(90.0);
        let header = header::read(&lossy).unwrap();
        assert!(header::webp::lossy_chunk(&lossy).is_some());
        let [fast, safe] = [false, true].map(|safe| {
            let shown = picture::of(&lossy, &header, header.stored, safe, &Cancel::never()).unwrap();
            let picture::Picture::Rgb(picture) = shown.picture else { panic!("only of a JPEG are there planes") };
            picture
        });
        let furthest = fast.iter().zip(safe.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(furthest <= Some(1), "{furthest:?} at {width}x{height}");
    }
    let limits = Limits { safe_decoders: true, ..LIMITS };
    let turned = webp_with_exif(LOSSY_WEBP, (240, 160), &exif(3, true));
    assert_eq!(prepare(&turned, &limits, &STANDARD).unwrap().media_type, MediaType::Jpeg);
}

#[test]
fn of_webp_only_opaque_lossy_stills_reach_c() {
    let lossless = webp(&corners(300, 200));
    for (name, bytes) in [
        ("lossless", &lossless[..]),
        ("alpha", LOSSY_ALPHA_WEBP),
        ("animated", ANIMATED_WEBP),
        ("animated, with alpha", ANIMATED_ALPHA_WEBP),
    ] {
        assert_eq!(header::webp::lossy_chunk(bytes), None, "{name}");
    }
    // What libwebp gets is the one chunk, without what stands around it.
    let turned = webp_with_exif(LOSSY_WEBP, (240, 160), &exif(3, true));
    for bytes in [LOSSY_WEBP, &turned] {
        let chunk = header::webp::lossy_chunk(bytes).unwrap();
        assert!(chunk.starts_with(b"VP8 ") && chunk.len() < LOSSY_WEBP.len());
    }
}

#[test]
fn the_types_are_named_as_the_models_want_them() {
    let names = MediaType::ALL.map(|media_type| (media_type.as_str(), media_type.extension()));
    let wanted = [
        ("image/jpeg", "jpg"),
        ("image/png", "png"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
        ("image/bmp", "bmp"),
        ("image/tiff", "tif"),
    ];
    assert_eq!(names, wanted);
    let for_models: Vec<_> = MediaType::ALL.into_iter().filter(|media_type| media_type.is_for_models()).collect();
    assert_eq!(for_models, [MediaType::Jpeg, MediaType::Png, MediaType::Gif, MediaType::Webp]);
    for media_type in MediaType::ALL {
        assert!(media_type.suffixes().iter().any(|suffix| suffix[1..] == *media_type.extension()), "{media_type}");
    }
}
