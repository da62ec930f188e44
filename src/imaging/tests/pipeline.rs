//! Upright, of the model's size, unchanged where nothing need change.

use super::samples::*;
use super::*;

/// The upright picture in every container that names an orientation, stored under it.
fn oriented_files(upright: &image::RgbImage, orientation: u8) -> Vec<(String, MediaType, Vec<u8>)> {
    let pixels = stored(upright, orientation);
    let (jpeg, png, webp) = (jpeg(&pixels), png(&pixels), webp(&pixels));
    let mut files = Vec::new();
    for big_endian in [false, true] {
        let exif = exif(orientation, big_endian);
        let prefixed = [b"Exif\0\0", &exif[..]].concat();
        let mut file = |name: &str, media_type, bytes| {
            files.push((format!("{name}, orientation {orientation}, big endian {big_endian}"), media_type, bytes));
        };
        file("jpeg", MediaType::Jpeg, jpeg_with_exif(&jpeg, &exif));
        file("png", MediaType::Png, png_with_exif(&png, &exif, false));
        file("png, exif last", MediaType::Png, png_with_exif(&png, &exif, true));
        file("webp", MediaType::Webp, webp_with_exif(&webp, pixels.dimensions(), &exif));
        file("webp, exif with prefix", MediaType::Webp, webp_with_exif(&webp, pixels.dimensions(), &prefixed));
    }
    files
}

#[test]
fn every_orientation_of_every_format_comes_out_upright_at_every_size() {
    for (width, height, files) in [(90, 60, 10), (60, 91, 10), (1600, 60, 4)] {
        let upright = corners(width, height);
        for orientation in 1..=8 {
            for (name, media_type, bytes) in oriented_files(&upright, orientation).into_iter().take(files) {
                let (prepared, picture) = prepared(&bytes, &STANDARD);
                assert_upright(&picture, &name);
                assert_eq!(prepared.frame.original(), Size::new(width, height), "{name}");
                assert_eq!(prepared.exif_orientation, orientation, "{name}");
                assert_eq!(prepared.source_type, media_type, "{name}");
                let untouched = orientation == 1 && width < 1600;
                assert_eq!(prepared.encoded == Encoded::AsIs, untouched, "{name}");
                if let Encoded::New(sent) = &prepared.encoded {
                    assert!(!sent.windows(4).any(|w| w == b"Exif" || w == b"eXIf" || w == b"SECR"), "{name}");
                }
            }
        }
    }
}

#[test]
fn an_orientation_that_is_none_is_not_believed() {
    for orientation in [0, 9, 255] {
        let bytes = jpeg_with_exif(&jpeg(&corners(300, 200)), &exif(orientation, true));
        let (prepared, picture) = prepared(&bytes, &STANDARD);
        assert_upright(&picture, "invalid orientation");
        assert_eq!((prepared.exif_orientation, prepared.encoded), (0, Encoded::AsIs));
    }
}

/// Prepares a file for both tiers and checks all that its size decides.
fn check_size(bytes: &[u8], size: Size) {
    for target in [STANDARD, HIGH] {
        let (prepared, picture) = prepared(bytes, &target);
        assert_eq!(prepared.frame.original(), size);
        if size.width.min(size.height) > 8 {
            assert_upright(&picture, prepared.source_type.as_str());
        }
        let resized = size != prepared.frame.model();
        assert_eq!(codes(&prepared).contains(&WarningCode::ImageResized), resized);
    }
}

#[test]
fn sizes_around_and_over_the_tiers_come_out_at_exactly_the_models_size() {
    for (width, height) in [
        (1, 1),
        (27, 29),
        (200, 200),
        // The standard tier: as many tokens as it takes, one row of them over, one pixel over its edge.
        (1568, 784),
        (785, 1568),
        (1569, 100),
        // The high-resolution tier: a row of tokens over, its edge, one pixel over that.
        (1932, 1933),
        (2576, 100),
        (101, 2577),
        (1, 8000),
        (16_000, 1),
    ] {
        check_size(&jpeg(&corners(width, height)), Size::new(width, height));
    }
}

#[test]
fn every_format_comes_out_at_exactly_the_models_size() {
    for (width, height) in [(1, 1), (200, 200), (1100, 220), (1569, 100), (1, 8000), (2600, 100)] {
        let upright = corners(width, height);
        for bytes in [png(&upright), gif(&[&upright]), webp(&upright)] {
            check_size(&bytes, Size::new(width, height));
        }
    }
}

#[test]
fn what_fits_is_passed_on_byte_for_byte() {
    for (bytes, media_type, size) in [
        (&without_profile(SUMMIT)[..], MediaType::Jpeg, Size::new(1280, 681)),
        (&without_profile(ROCKET), MediaType::Jpeg, Size::new(640, 427)),
        (ASTRONAUT, MediaType::Png, Size::new(512, 512)),
        (CHELSEA, MediaType::Png, Size::new(451, 300)),
        (COFFEE, MediaType::Png, Size::new(600, 400)),
        (PROGRESSIVE_JPEG, MediaType::Jpeg, Size::new(240, 160)),
        (LOSSY_WEBP, MediaType::Webp, Size::new(240, 160)),
        (PALETTE_PNG, MediaType::Png, Size::new(240, 160)),
    ] {
        let (prepared, _) = prepared(bytes, &HIGH);
        assert_eq!(prepared.encoded, Encoded::AsIs);
        assert_eq!((prepared.media_type, prepared.source_type), (media_type, media_type));
        assert_eq!((prepared.frame.original(), prepared.frame.model()), (size, size));
        let small = size.height < 200;
        assert_eq!(codes(&prepared), if small { vec![WarningCode::ImageSmall] } else { Vec::new() });
    }
}

#[test]
fn bytes_behind_the_end_of_a_jpeg_do_no_harm() {
    let bytes = [&without_profile(SUMMIT)[..], b"motion photo"].concat();
    assert_eq!(prepared(&bytes, &HIGH).0.encoded, Encoded::AsIs);
}

#[test]
fn a_reduced_photo_still_shows_the_same() {
    let photo =
        image::load_from_memory(SUMMIT).unwrap().resize_exact(2560, 1362, image::imageops::FilterType::CatmullRom);
    let (prepared, picture) = prepared(&jpeg(&photo.to_rgb8()), &STANDARD);
    let size = prepared.frame.model();
    let ideal = photo.resize_exact(size.width, size.height, image::imageops::FilterType::Lanczos3).into_rgb8();
    let squares = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    let mean = ideal.iter().zip(picture.iter()).map(squares).sum::<f64>() / ideal.len() as f64;
    let psnr = 10.0 * (255.0 * 255.0 / mean).log10();
    assert!(psnr > 36.0, "{psnr:.1} dB");
    assert_eq!(prepared.media_type, MediaType::Jpeg);
    let warning = &prepared.warnings[0];
    assert_eq!(warning.code, WarningCode::ImageResized);
    assert_eq!(warning.message, format!("The picture was reduced from 2560x1362 to {size}, the size the model sees."));
}

#[test]
fn a_reduced_screenshot_stays_lossless_and_a_reduced_lossless_photo_does_not() {
    let page = image::RgbImage::from_fn(1700, 1000, |x, y| {
        let ink = y % 48 < 6 && x % 700 < 500;
        if ink { image::Rgb([20, 20, 30]) } else { image::Rgb([255, 255, 255]) }
    });
    assert_eq!(prepared(&png(&page), &STANDARD).0.media_type, MediaType::Png);
    for photo in [CHELSEA, COFFEE] {
        let large =
            image::load_from_memory(photo).unwrap().resize_exact(1600, 1000, image::imageops::FilterType::CatmullRom);
        assert_eq!(prepared(&png(&large.to_rgb8()), &STANDARD).0.media_type, MediaType::Jpeg);
    }
}

#[test]
fn a_picture_of_the_right_size_but_too_many_bytes_is_compressed_and_said() {
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(1400, 1000, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, r, g, b] = state.to_le_bytes();
        image::Rgb([r, g, b])
    });
    let bytes = png(&noise);
    assert!(bytes.len() > MAX_MODEL_BYTES);
    let (prepared, _) = prepared(&bytes, &HIGH);
    assert_eq!(prepared.media_type, MediaType::Jpeg);
    assert_eq!(codes(&prepared), [WarningCode::ImageRecompressed]);
}

#[test]
fn a_larger_picture_is_refused_when_the_caller_wants_no_resizing() {
    let target = Target { oversize: OversizePolicy::Reject, ..STANDARD };
    let bytes = jpeg_with_exif(&jpeg(&corners(2000, 1500)), &exif(6, false));
    assert_eq!(
        prepare(&bytes, &LIMITS, &target),
        Err(ImageError::Oversize { actual: Size::new(1500, 2000), fits: Size::new(952, 1270) })
    );
    assert!(prepare(ROCKET, &LIMITS, &target).is_ok());
}

#[test]
fn a_small_picture_is_said_by_the_size_the_model_sees() {
    assert_eq!(codes(&prepared(&png(&corners(300, 199)), &STANDARD).0), [WarningCode::ImageSmall]);
    assert_eq!(codes(&prepared(&png(&corners(300, 200)), &STANDARD).0), []);
    let wide = prepared(&jpeg(&corners(6000, 400)), &STANDARD).0;
    assert_eq!(codes(&wide), [WarningCode::ImageResized, WarningCode::ImageSmall]);
}

#[test]
fn extreme_aspects_survive_in_every_format() {
    for (width, height) in [(1, 8000), (8000, 1), (3, 5000), (5000, 2)] {
        let picture = corners(width, height);
        let transparent = image::DynamicImage::ImageRgb8(picture.clone()).into_rgba8();
        for (name, bytes) in [
            ("jpeg", jpeg(&picture)),
            ("png", png(&picture)),
            ("png with alpha", png_with_alpha(&transparent)),
            ("webp", webp(&picture)),
            ("gif", gif(&[&picture])),
        ] {
            let (prepared, _) = prepared(&bytes, &STANDARD);
            let (long, short) = (width.max(height), width.min(height));
            let model = prepared.frame.model();
            assert_eq!(model.width.max(model.height), 1568, "{name} {width}x{height}");
            assert!(model.width.min(model.height) == (short * 1568 / long).max(1), "{name} {width}x{height}: {model}");
        }
    }
}

#[test]
fn a_photo_under_any_orientation_keeps_its_colours_in_place() {
    // Both edges odd, as stored and as sent: chroma of half the resolution must not move.
    let upright =
        image::load_from_memory(SUMMIT).unwrap().resize_exact(1999, 1063, image::imageops::FilterType::CatmullRom);
    let upright = upright.into_rgb8();
    let tier = VisionTier { max_edge: 1001, max_visual_tokens: None };
    let target = Target { tier, ..STANDARD };
    let mut of_the_upright = None;
    for orientation in [1, 3, 6, 7] {
        let bytes = jpeg_with_exif(&jpeg(&stored(&upright, orientation)), &exif(orientation, false));
        let prepared = prepare(&bytes, &LIMITS, &target).unwrap();
        let picture = sent(&prepared, &bytes);
        let size = prepared.frame.model();
        assert_eq!((size.width % 2, picture.dimensions()), (1, (size.width, size.height)));
        let ideal = image::imageops::resize(&upright, size.width, size.height, image::imageops::FilterType::Lanczos3);
        let squares = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
        let mean = ideal.iter().zip(picture.iter()).map(squares).sum::<f64>() / ideal.len() as f64;
        let psnr = 10.0 * (255.0 * 255.0 / mean).log10();
        // JPEG's own loss, which is the same however the picture was stored.
        let wanted = *of_the_upright.get_or_insert(psnr);
        assert!(psnr > 36.0 && (psnr - wanted).abs() < 0.2, "orientation {orientation}: {psnr:.2} dB");
    }
}
