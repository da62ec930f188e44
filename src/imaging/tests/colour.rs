//! Colours come out as they were meant: by profiles of every kind, in every container, and by none.

use image::{Rgb, RgbImage};
use moxcms::{ColorProfile, DataColorSpace, LutDataType, LutStore, LutType, LutWarehouse};

use super::samples::*;
use super::*;
use crate::imaging::colour::{Samples, Transform, transform};

/// From linear Display P3 to linear sRGB, both of white D65: the inverse of sRGB's matrix of IEC 61966-2-1 times that of
/// SMPTE EG 432-1, as CSS Color 4 prints it.
const P3_TO_SRGB: [[f64; 3]; 3] =
    [[1.224_940, -0.224_940, 0.0], [-0.042_057, 1.042_057, 0.0], [-0.019_638, -0.078_636, 1.098_274]];
/// From linear Adobe RGB (1998) to linear sRGB, by the chromaticities of both.
const ADOBE_TO_SRGB: [[f64; 3]; 3] = [[1.398_283, -0.398_283, 0.0], [0.0, 1.0, 0.0], [0.0, -0.042_937, 1.042_937]];

const COLOURS: [[u8; 3]; 8] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [200, 120, 60],
    [60, 130, 90],
    [128, 128, 128],
    [255, 255, 255],
    [12, 40, 33],
];

fn light(sample: u8) -> f64 {
    let sample = f64::from(sample) / 255.0;
    if sample <= 0.040_45 { sample / 12.92 } else { ((sample + 0.055) / 1.055).powf(2.4) }
}

fn sample(light: f64) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let sample = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (sample * 255.0).round() as u8
}

fn converted(colour: [u8; 3], matrix: [[f64; 3]; 3], light: impl Fn(u8) -> f64) -> [u8; 3] {
    let linear = colour.map(light);
    matrix.map(|row| sample(row.iter().zip(linear).map(|(a, b)| a * b).sum()))
}

fn assert_near(found: [u8; 3], wanted: [u8; 3], tolerance: u8, what: &str) {
    let near = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(near, "{what}: found {found:?}, wanted {wanted:?}");
}

fn p3() -> Vec<u8> {
    ColorProfile::new_display_p3().encode().unwrap()
}

/// All of one colour.
fn plain(colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(200, 200, Rgb(colour))
}

/// What the model gets to see in the middle.
fn seen(bytes: &[u8]) -> [u8; 3] {
    prepared(bytes, &STANDARD).1.get_pixel(100, 100).0
}

fn is_passed_on(bytes: &[u8]) -> bool {
    prepare(bytes, &LIMITS, &STANDARD).unwrap().encoded == Encoded::AsIs
}

#[test]
fn display_p3_becomes_srgb_in_every_container() {
    for colour in COLOURS {
        let wanted = converted(colour, P3_TO_SRGB, light);
        let picture = plain(colour);
        let in_png = png_with_chunk(&png(&picture), b"iCCP", &iccp(&p3()));
        let in_webp = webp_with_profile(&webp(&picture), (200, 200), &p3());
        assert_near(seen(&in_png), wanted, 2, "PNG");
        assert_near(seen(&in_webp), wanted, 2, "WebP");
        // JPEG rounds before and after.
        assert_near(seen(&jpeg_with_profile(&jpeg(&picture), &p3(), 1)), wanted, 6, "JPEG");
        assert!(!is_passed_on(&in_png) && !is_passed_on(&in_webp));
    }
    // The most saturated red of P3 is the one that sRGB comes closest to.
    assert_eq!(converted([255, 0, 0], P3_TO_SRGB, light), [255, 0, 0]);
    // Within sRGB, a red of P3 is written as a more saturated one.
    assert_eq!(converted([200, 120, 60], P3_TO_SRGB, light), [213, 115, 42]);
}

#[test]
fn code_points_of_a_png_name_its_colours() {
    let picture = plain([200, 120, 60]);
    let with = |body: &[u8]| png_with_chunk(&png(&picture), b"cICP", body);
    assert_near(seen(&with(&[12, 13, 0, 1])), [213, 115, 42], 2, "Display P3");
    // sRGB; a video of sRGB's primaries; HLG and PQ; unknown ones. Then a matrix; a narrow range; too short.
    for body in [&[1, 13, 0, 1][..], &[1, 1, 0, 1], &[9, 18, 0, 1], &[9, 16, 0, 1], &[2, 2, 0, 1], &[99, 99, 0, 1]] {
        assert!(is_passed_on(&with(body)), "{body:?}");
    }
    for body in [&[12, 13, 1, 1][..], &[12, 13, 0, 0], &[12, 13]] {
        assert!(header::read(&with(body)).unwrap().is_plain, "{body:?}");
    }
    // Code points come before a profile.
    let both = png_with_chunk(&with(&[1, 13, 0, 1]), b"iCCP", &iccp(&p3()));
    assert!(is_passed_on(&both));
    // What PNG had before is not followed.
    let gamma = png_with_chunk(&png(&picture), b"gAMA", &100_000_u32.to_be_bytes());
    assert!(is_passed_on(&gamma));
}

#[test]
fn adobe_rgb_becomes_srgb() {
    let profile = ColorProfile::new_adobe_rgb().encode().unwrap();
    for colour in COLOURS {
        let wanted = converted(colour, ADOBE_TO_SRGB, |sample| (f64::from(sample) / 255.0).powf(563.0 / 256.0));
        let found = seen(&png_with_chunk(&png(&plain(colour)), b"iCCP", &iccp(&profile)));
        assert_near(found, wanted, 2, &format!("{colour:?}"));
    }
}

#[test]
fn photos_with_the_profiles_of_a_screen_and_of_adobe_are_converted() {
    for photo in [SUMMIT, ROCKET] {
        let (prepared, picture) = prepared(photo, &HIGH);
        assert_ne!(prepared.encoded, Encoded::AsIs);
        let as_stored = image::load_from_memory(photo).unwrap().into_rgb8();
        let difference: u64 = as_stored.iter().zip(picture.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = difference as f64 / as_stored.len() as f64;
        assert!((1.0..20.0).contains(&mean), "{mean}");
    }
}

#[test]
fn profiles_that_mean_srgb_change_nothing() {
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    for photo in [ASTRONAUT, CHELSEA] {
        assert!(photo.windows(4).any(|window| window == b"iCCP"), "the sRGB IEC61966-2.1 of version 2 of ICC");
        assert!(is_passed_on(photo));
    }
    let picture = corners(300, 200);
    assert!(is_passed_on(&png_with_chunk(&png(&picture), b"iCCP", &iccp(&srgb))));
    assert!(is_passed_on(&png_with_chunk(&png(&picture), b"sRGB", &[0])));
    assert!(is_passed_on(&webp_with_profile(&webp(&picture), (300, 200), &srgb)));
    for segments in [1, 2, 3] {
        assert!(is_passed_on(&jpeg_with_profile(&jpeg(&picture), &srgb, segments)));
    }
    assert!(transform(&srgb, Samples::Rgb).is_none());
}

#[test]
fn a_gray_profile_is_a_curve() {
    let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let gray = |level: u8, profile: &[u8]| {
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        image::ImageEncoder::write_image(encoder, &vec![level; 40_000], 200, 200, image::ExtendedColorType::L8)
            .unwrap();
        png_with_chunk(&bytes, b"iCCP", &iccp(profile))
    };
    for level in [0, 3, 55, 128, 200, 255] {
        assert_near(seen(&gray(level, &linear)), [sample(f64::from(level) / 255.0); 3], 1, "linear gray");
    }
    // Profiles of the other kind say nothing of these samples.
    assert!(is_passed_on(&gray(128, &p3())));
    assert!(is_passed_on(&png_with_chunk(&png(&plain([9, 99, 199])), b"iCCP", &iccp(&linear))));
}

/// A profile of inks whose grid has two points for each: no ink is white, and every ink takes away its colour.
fn inks() -> ColorProfile {
    let corner = |c: usize, m: usize, y: usize, k: usize| {
        // XYZ of what is left of light, by the matrix of sRGB adapted to D50, in parts of 1 + 32767/32768.
        let [r, g, b] = [c, m, y].map(|ink| if ink + k == 0 { 1.0 } else { 0.0 });
        [
            0.436_07 * r + 0.385_15 * g + 0.143_07 * b,
            0.222_49 * r + 0.716_87 * g + 0.060_61 * b,
            0.013_92 * r + 0.097_08 * g + 0.714_10 * b,
        ]
        .map(|value: f64| (value * 32_768.0) as u16)
    };
    let bits = || 0..2_usize;
    let grid = bits()
        .flat_map(|c| bits().flat_map(move |m| bits().flat_map(move |y| bits().flat_map(move |k| corner(c, m, y, k)))));
    let line = [0, 65_535];
    let lut = LutWarehouse::Lut(LutDataType {
        num_input_table_entries: 2,
        num_output_table_entries: 2,
        num_input_channels: 4,
        num_output_channels: 3,
        num_clut_grid_points: 2,
        matrix: moxcms::Matrix3d::IDENTITY,
        input_table: LutStore::Store16(line.repeat(4)),
        clut_table: LutStore::Store16(grid.collect()),
        output_table: LutStore::Store16(line.repeat(3)),
        lut_type: LutType::Lut16,
    });
    let mut profile = ColorProfile::new_srgb();
    profile.color_space = DataColorSpace::Cmyk;
    profile.pcs = DataColorSpace::Xyz;
    profile.profile_class = moxcms::ProfileClass::OutputDevice;
    profile.cicp = None;
    profile.lut_a_to_b_perceptual = Some(lut.clone());
    profile.lut_a_to_b_colorimetric = Some(lut);
    (profile.red_trc, profile.green_trc, profile.blue_trc) = (None, None, None);
    profile
}

#[test]
fn a_profile_of_inks_turns_four_samples_into_three() {
    let profile = inks().encode().unwrap();
    let transform = transform(&profile, Samples::Cmyk).unwrap();
    let cmyk = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [128, 128, 128, 0]];
    let mut rgb = [0; 18];
    transform.cmyk(cmyk.as_flattened(), &mut rgb).unwrap();
    let half = sample(127.0 / 255.0);
    let wanted = [[255; 3], [0, 255, 255], [255, 0, 255], [255, 255, 0], [0; 3], [half; 3]];
    for (found, wanted) in rgb.as_chunks::<3>().0.iter().zip(wanted) {
        assert_near(*found, wanted, 6, "inks");
    }
    // Of another kind than the samples it is not used; nor are samples of another kind taken.
    assert!(crate::imaging::colour::transform(&profile, Samples::Rgb).is_none());
    let three = crate::imaging::colour::transform(&p3(), Samples::Rgb).unwrap();
    assert!(matches!(three, Transform::Rgb(_)) && three.cmyk(&[0; 4], &mut [0; 3]).is_none());
    assert!(transform.cmyk(&[0; 7], &mut [0; 3]).is_none(), "too few samples");
}

#[test]
fn segments_of_a_profile_may_come_in_any_order_but_must_be_whole() {
    let picture = plain([200, 120, 60]);
    let (jpeg, profile) = (jpeg(&picture), p3());
    let part = |number: usize| {
        let third = profile.len().div_ceil(3);
        &profile[(number - 1) * third..(number * third).min(profile.len())]
    };
    let with = |segments: &[(usize, usize, &[u8])]| {
        let segments: Vec<_> =
            segments.iter().map(|(number, count, part)| profile_segment(*number, *count, part)).collect();
        [&jpeg[..2], &segments.concat(), &jpeg[2..]].concat()
    };
    let (one, two, three) = (part(1), part(2), part(3));
    for order in [[(1, 3, one), (2, 3, two), (3, 3, three)], [(3, 3, three), (1, 3, one), (2, 3, two)]] {
        let bytes = with(&order);
        assert_eq!(header::read(&bytes).unwrap().icc_profile(&bytes).as_deref(), Some(&profile[..]));
        assert_near(seen(&bytes), [213, 115, 42], 6, "three segments");
    }
    for (what, segments) in [
        ("one is missing", &[(1, 3, one), (2, 3, two)][..]),
        ("one comes twice", &[(1, 3, one), (2, 3, two), (2, 3, two), (3, 3, three)]),
        ("they disagree on their number", &[(1, 3, one), (2, 3, two), (3, 4, three)]),
        ("one is numbered 0", &[(0, 3, one), (1, 3, two), (2, 3, three)]),
        ("one is numbered too high", &[(1, 2, one), (3, 2, two)]),
        ("there are none", &[]),
    ] {
        let bytes = with(segments);
        assert!(is_passed_on(&bytes), "{what}");
        assert_eq!(header::read(&bytes).unwrap().icc_profile(&bytes), None, "{what}");
    }
}

#[test]
fn a_profile_that_cannot_be_used_is_no_error() {
    let picture = plain([200, 120, 60]);
    let png = png(&picture);
    let with = |body: &[u8]| png_with_chunk(&png, b"iCCP", body);
    let profile = p3();
    for cut in (0..profile.len() - 40).step_by(23) {
        let bytes = with(&iccp(&profile[..cut]));
        let (found, _) = prepared(&bytes, &STANDARD);
        assert!(found.frame.original() == Size::new(200, 200));
    }
    assert!(is_passed_on(&with(&iccp(b"no profile at all"))));
    assert!(is_passed_on(&with(b"name\0\0no zlib")));
    assert!(is_passed_on(&with(b"name\0\x01")));
    assert!(is_passed_on(&with(b"")));
    // A bomb: 16 MB of zeros in 16 kB, behind a profile that would do.
    let mut long = profile.clone();
    long.resize(16 << 20, 0);
    let bomb = iccp(&long);
    assert!(bomb.len() < 1 << 18);
    assert!(is_passed_on(&with(&bomb)));
    // More tags than any profile has.
    let mut many = profile.clone();
    many[128..132].copy_from_slice(&100_000_u32.to_be_bytes());
    many.resize(2 << 20, 0);
    assert!(is_passed_on(&with(&iccp(&many))));
}

#[test]
fn names_in_a_thousand_languages_take_no_memory() {
    // One text of 1 MB that 80,000 entries share: read as they stand, they would be 80 GB.
    let mut profile = p3();
    let count = u32::from_be_bytes(*profile[128..].first_chunk().unwrap()) as usize;
    let description = (0..count).map(|tag| 132 + tag * 12).find(|at| &profile[*at..at + 4] == b"desc").unwrap();
    let start = profile.len() as u32;
    let (records, text) = (80_000_u32, 1_u32 << 20);
    let mut names = b"mluc\0\0\0\0".to_vec();
    names.extend([records, 12].map(u32::to_be_bytes).as_flattened());
    for _ in 0..records {
        names.extend(b"enUS");
        names.extend([text, 16 + records * 12].map(u32::to_be_bytes).as_flattened());
    }
    names.resize(names.len() + text as usize, b'a');
    profile.extend(&names);
    profile[description + 4..description + 12]
        .copy_from_slice([start, names.len() as u32].map(u32::to_be_bytes).as_flattened());
    assert!(transform(&profile, Samples::Rgb).is_some());
}

#[test]
fn what_a_file_says_of_its_colours_is_bounded_in_memory() {
    let picture = plain([200, 120, 60]);
    let with_profile = png_with_chunk(&png(&picture), b"iCCP", &iccp(&p3()));
    let header = header::read(&with_profile).unwrap();
    assert!(crate::imaging::colour::memory(&header) < 8 << 20);
    assert_eq!(crate::imaging::colour::memory(&header::read(&png(&picture)).unwrap()), 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_profiles_never_panic(
        which in 0..3_usize,
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..8),
    ) {
        let (mut profile, samples) = match which {
            0 => (p3(), Samples::Rgb),
            1 => (inks().encode().unwrap(), Samples::Cmyk),
            _ => (ColorProfile::new_gray_with_gamma(1.8).encode().unwrap(), Samples::Gray),
        };
        for (at, value) in damage {
            let at = at.index(profile.len());
            profile[at] = value;
        }
        if let Some(transform) = transform(&profile, samples) {
            transform.apply(&mut plain([9, 99, 199]));
        }
    }
}
