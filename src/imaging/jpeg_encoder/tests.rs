//! What is written is read back with another decoder.

use image::{DynamicImage, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::imaging::header;
use crate::imaging::planes::Plane;

const ASTRONAUT: &[u8] = include_bytes!("../../../assets/photos/astronaut.png");

fn decoded(bytes: &[u8]) -> DynamicImage {
    let header = header::read(bytes).unwrap();
    assert_eq!(header.damage, None);
    assert!(header.is_plain);
    let picture = image::load_from_memory(bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (header.stored.width, header.stored.height));
    picture
}

fn gray(width: usize, height: usize, sample: impl FnMut(usize) -> u8) -> Planes {
    let samples = (0..width * height).map(sample).collect();
    Planes { luma: Plane { width, height, samples }, chroma: None }
}

/// A picture that changes slowly, with an edge at the right and at the bottom that can be told from any other.
fn slope(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5 + 20) as u8, (y * 5 + 20) as u8, (120 + x + y) as u8]))
}

/// Uncorrelated samples.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Peak signal-to-noise ratio in dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

#[test]
fn pictures_of_every_small_size_and_kind_are_read_back() {
    // Around the edges of blocks and units.
    let edges = || (1..=10).chain(15..=18).chain(23..=25).chain(31..=33).chain(39..=40);
    for (width, height) in edges().flat_map(|width| edges().map(move |height| (width, height))) {
        let picture = slope(width, height);
        for chroma in [Chroma::Full, Chroma::Half] {
            let planes = planes_of_rgb(&picture, chroma);
            let back = decoded(&encode(&planes, 95).unwrap());
            assert!(matches!(back, DynamicImage::ImageRgb8(_)));
            let difference = largest_difference(back.as_bytes(), picture.as_raw());
            assert!(difference <= 12, "{width}x{height} {chroma:?}: {difference}");
        }
        let planes = Planes { chroma: None, ..planes_of_rgb(&picture, Chroma::Full) };
        let back = decoded(&encode(&planes, 95).unwrap());
        assert!(matches!(back, DynamicImage::ImageLuma8(_)));
        assert!(largest_difference(back.as_bytes(), &planes.luma.samples) <= 4, "{width}x{height}");
    }
}

#[test]
fn a_photo_is_as_good_and_as_small_as_another_encoder_makes_it() {
    let photo = image::load_from_memory(ASTRONAUT).unwrap().into_rgb8();
    let full = ::jpeg_encoder::SamplingFactor::R_4_4_4;
    let half = ::jpeg_encoder::SamplingFactor::R_4_2_0;
    for (quality, chroma, sampling, least) in [
        (90, Chroma::Full, full, 38.6),
        (90, Chroma::Half, half, 36.5),
        (50, Chroma::Half, half, 32.0),
        (100, Chroma::Half, half, 37.5),
    ] {
        let bytes = encode(&planes_of_rgb(&photo, chroma), quality).unwrap();
        let ours = psnr(decoded(&bytes).as_bytes(), photo.as_raw());
        assert!(ours >= least, "{quality} {chroma:?}: {ours} dB");

        let mut other = Vec::new();
        let mut encoder = ::jpeg_encoder::Encoder::new(&mut other, quality);
        encoder.set_sampling_factor(sampling);
        encoder.set_chroma_subsampling_method(::jpeg_encoder::ChromaSubsamplingMethod::Average);
        encoder.encode(photo.as_raw(), 512, 512, ::jpeg_encoder::ColorType::Rgb).unwrap();
        let theirs = psnr(decoded(&other).as_bytes(), photo.as_raw());
        assert!(ours > theirs - 0.05, "{quality} {chroma:?}: {ours} dB, not {theirs}");
        let ratio = bytes.len() as f64 / other.len() as f64;
        assert!((0.97..=1.03).contains(&ratio), "{quality} {chroma:?}: {ratio}");
    }
}

#[test]
fn the_quantisation_steps_are_those_of_libjpeg() {
    let row = |base, quality| tables::steps(base, quality).as_chunks::<8>().0[0];
    assert_eq!(row(&tables::LUMA, 1), [255; 8]);
    assert_eq!(row(&tables::LUMA, 10), [80, 55, 50, 80, 120, 200, 255, 255]);
    assert_eq!(row(&tables::LUMA, 50), [16, 11, 10, 16, 24, 40, 51, 61]);
    assert_eq!(row(&tables::LUMA, 90), [3, 2, 2, 3, 5, 8, 10, 12]);
    assert_eq!(row(&tables::LUMA, 100), [1; 8]);
    assert_eq!(row(&tables::CHROMA, 1), [255; 8]);
    assert_eq!(row(&tables::CHROMA, 50), [17, 18, 24, 47, 99, 99, 99, 99]);
    assert_eq!(row(&tables::CHROMA, 90), [3, 4, 5, 9, 20, 20, 20, 20]);
    assert_eq!(row(&tables::CHROMA, 100), [1; 8]);
    assert_eq!(tables::steps(&tables::LUMA, 0), tables::steps(&tables::LUMA, 1));
    assert_eq!(tables::steps(&tables::LUMA, u8::MAX), tables::steps(&tables::LUMA, 100));
}

/// What the segments of a marker hold, in order of their contents.
fn segments(bytes: &[u8], wanted: u8) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), &bytes[2..]);
    while let [0xff, marker, a, b, ..] = *rest
        && marker != 0xda
    {
        let (segment, after) = rest[2..].split_at(usize::from(u16::from_be_bytes([a, b])));
        if marker == wanted {
            found.push(&segment[2..]);
        }
        rest = after;
    }
    found.sort_unstable();
    found
}

#[test]
fn the_huffman_tables_in_the_file_are_those_of_another_encoder() {
    let picture = slope(16, 16);
    let bytes = encode(&planes_of_rgb(&picture, Chroma::Full), 90).unwrap();
    let mut other = Vec::new();
    let encoder = ::jpeg_encoder::Encoder::new(&mut other, 90);
    encoder.encode(picture.as_raw(), 16, 16, ::jpeg_encoder::ColorType::Rgb).unwrap();
    assert_eq!(segments(&bytes, 0xc4).len(), 4);
    assert_eq!(segments(&bytes, 0xc4), segments(&other, 0xc4));
}

#[test]
fn bytes_of_0xff_in_the_scan_are_stuffed() {
    let mut next = noise(1);
    let planes = gray(300, 200, |_| next());
    let bytes = encode(&planes, 100).unwrap();
    let scan = bytes.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap() + 2;
    let (data, end) = bytes[scan..].split_at(bytes.len() - scan - 2);
    assert_eq!(end, markers::END);
    assert!(data.windows(2).all(|pair| pair[0] != 0xff || pair[1] == 0));
    assert!(data.windows(2).filter(|pair| *pair == [0xff, 0]).count() > 100);
    assert!(largest_difference(decoded(&bytes).as_bytes(), &planes.luma.samples) <= 4);
}

#[test]
fn flat_gray_pictures_are_exact() {
    for level in 0..=255 {
        let planes = gray(19, 17, |_| level);
        assert_eq!(decoded(&encode(&planes, 90).unwrap()).as_bytes(), planes.luma.samples, "{level}");
        let picture = RgbImage::from_pixel(19, 17, image::Rgb([level; 3]));
        let planes = planes_of_rgb(&picture, Chroma::Half);
        assert_eq!(decoded(&encode(&planes, 90).unwrap()).as_bytes(), picture.as_raw(), "{level}");
    }
}

/// Black and white in the signs of each basis function make its coefficient as large as it gets; black and white blocks
/// by turns do that for the difference of DC coefficients.
#[test]
fn the_largest_coefficients_are_read_back() {
    let is_positive =
        |at: usize, frequency: usize| (std::f64::consts::PI / 16.0 * ((2 * at + 1) * frequency) as f64).cos() >= 0.0;
    for (u, v) in (0..8).flat_map(|u| (0..8).map(move |v| (u, v))) {
        for inverse in [false, true] {
            let planes = gray(48, 8, |at| {
                let (x, y) = (at % 48, at / 48);
                let is_white = is_positive(x % 8, u) == is_positive(y, v);
                if is_white == inverse || (u + v == 0 && x / 8 % 2 == 0) { 0 } else { 255 }
            });
            let back = decoded(&encode(&planes, 100).unwrap());
            assert!(largest_difference(back.as_bytes(), &planes.luma.samples) <= 3, "{u} {v}");
        }
    }
}

#[test]
fn planes_that_do_not_agree_and_edges_that_do_not_fit_are_refused() {
    let plane = |width: usize, height: usize| Plane { width, height, samples: vec![0; width * height] };
    let planes = |luma, cb, cr| Planes { luma, chroma: Some([cb, cr]) };
    for sound in [
        planes(plane(5, 3), plane(5, 3), plane(5, 3)),
        planes(plane(5, 3), plane(3, 2), plane(3, 2)),
        planes(plane(1, 1), plane(1, 1), plane(1, 1)),
        gray(65_535, 1, |_| 0),
        gray(1, 65_535, |_| 0),
    ] {
        let header = header::read(&encode(&sound, 90).unwrap()).unwrap();
        assert_eq!(header.stored.width as usize, sound.luma.width);
        assert_eq!(header.stored.height as usize, sound.luma.height);
    }
    for unsound in [
        planes(plane(5, 3), plane(2, 2), plane(2, 2)),
        planes(plane(5, 3), plane(3, 2), plane(5, 3)),
        planes(plane(5, 3), plane(3, 3), plane(3, 3)),
        planes(plane(0, 0), plane(0, 0), plane(0, 0)),
        gray(65_536, 1, |_| 0),
        gray(1, 65_536, |_| 0),
        gray(0, 7, |_| 0),
        Planes { luma: Plane { width: 4, height: 4, samples: vec![0; 15] }, chroma: None },
        Planes { luma: Plane { width: 4, height: 4, samples: vec![0; 17] }, chroma: None },
        Planes { luma: Plane { width: 65_535, height: usize::MAX, samples: Vec::new() }, chroma: None },
    ] {
        assert!(matches!(encode(&unsound, 90), Err(ImageError::Corrupt { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_planes_come_back_almost_as_they_were(
        width in 1..50_usize, height in 1..50_usize, seed: u64, is_binary: bool, quality in 1..=100_u8,
    ) {
        let mut next = noise(seed);
        let mut sample = |_| if is_binary { 0_u8.wrapping_sub(next() & 1) } else { next() };
        let planes = gray(width, height, &mut sample);
        let back = decoded(&encode(&planes, 100).unwrap());
        prop_assert!(largest_difference(back.as_bytes(), &planes.luma.samples) <= 4);

        let picture = RgbImage::from_fn(width as u32, height as u32, |_, _| image::Rgb([0; 3].map(&mut sample)));
        let full = planes_of_rgb(&picture, Chroma::Full);
        let back = decoded(&encode(&full, 100).unwrap());
        prop_assert!(largest_difference(back.as_bytes(), picture.as_raw()) <= 10);
        decoded(&encode(&full, quality).unwrap());

        // Chroma without detail, whose halving takes nothing away.
        let chroma = Plane { width: width.div_ceil(2), height: height.div_ceil(2), samples: Vec::new() };
        let chroma = Plane { samples: vec![128; chroma.width * chroma.height], ..chroma };
        let half = Planes { luma: planes.luma, chroma: Some([chroma.clone(), chroma]) };
        let back = decoded(&encode(&half, 100).unwrap()).into_luma8();
        prop_assert!(largest_difference(back.as_raw(), &half.luma.samples) <= 4);
        let half = planes_of_rgb(&picture, Chroma::Half);
        decoded(&encode(&half, quality).unwrap());
    }
}
