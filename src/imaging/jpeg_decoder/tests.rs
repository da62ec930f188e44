//! Against other people's encoders and decoders, and against damage.

use ::jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;

use super::*;

const SUMMIT: &[u8] = include_bytes!("../../../assets/photos/summit.jpeg");
const ROCKET: &[u8] = include_bytes!("../../../assets/photos/rocket.jpg");

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_2_0,
    SamplingFactor::R_4_1_1,
    SamplingFactor::R_4_1_0,
    SamplingFactor::R_4_4_1,
    SamplingFactor::F_4_1,
];

fn whole(bytes: &[u8]) -> Result<Decoded, ImageError> {
    reduced(bytes, Size::new(u32::MAX, u32::MAX))
}

fn reduced(bytes: &[u8], wanted: Size) -> Result<Decoded, ImageError> {
    decode(bytes, &Wanted { full: wanted, chroma: wanted }, &Cancel::never())
}

/// Colours that change smoothly, so that coarser chroma loses little.
fn gradients(width: u16, height: u16) -> Vec<u8> {
    let part = |at: u16, of: u16| (u32::from(at) * 255 / u32::from(of.max(1))) as u8;
    let pixel = |x, y| [part(x, width), part(y, height), 255 - part(x, width) / 2 - part(y, height) / 2];
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

fn encoded(width: u16, height: u16, setup: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    setup(&mut encoder);
    encoder.encode(&gradients(width, height), width, height, ColorType::Rgb).unwrap();
    bytes
}

/// The brightness that another decoder sees, one sample a pixel.
fn luma_elsewhere(bytes: &[u8]) -> Vec<u8> {
    use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().unwrap()
}

fn assert_same_luma(bytes: &[u8], what: &str) {
    let decoded = whole(bytes).unwrap();
    let luma = &decoded.components[0].plane;
    let other = luma_elsewhere(bytes);
    assert_eq!(luma.samples.len(), other.len(), "{what}");
    let most = luma.samples.iter().zip(&other).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "{what}: {most:?}");
}

#[test]
fn photos_come_out_as_from_another_decoder() {
    for (bytes, what) in [(SUMMIT, "summit"), (ROCKET, "rocket")] {
        assert_same_luma(bytes, what);
    }
}

#[test]
fn every_sampling_progressive_and_with_restarts() {
    for sampling in SAMPLINGS {
        for (width, height) in [(1, 1), (8, 8), (17, 9), (100, 70), (131, 35)] {
            let file = |setup: fn(&mut Encoder<&mut Vec<u8>>)| {
                encoded(width, height, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    setup(encoder);
                })
            };
            let planes =
                |bytes: &[u8]| whole(bytes).unwrap().components.into_iter().map(|c| c.plane).collect::<Vec<_>>();
            let what = format!("{sampling:?} {width}x{height}");
            let baseline = file(|_| {});
            // The other decoder is wrong about rarer ones.
            if SAMPLINGS[..4].contains(&sampling) {
                assert_same_luma(&baseline, &what);
            }
            // The same coefficients, in another order.
            let wanted = planes(&baseline);
            assert_eq!(planes(&file(|encoder| encoder.set_progressive(true))), wanted, "{what}, progressive");
            assert_eq!(planes(&file(|encoder| encoder.set_restart_interval(3))), wanted, "{what}, restarts");
        }
    }
}

#[test]
fn every_component_keeps_its_own_size() {
    for (sampling, chroma) in [
        (SamplingFactor::R_4_4_4, (100, 70)),
        (SamplingFactor::R_4_2_2, (50, 70)),
        (SamplingFactor::R_4_2_0, (50, 35)),
        (SamplingFactor::R_4_1_1, (25, 70)),
    ] {
        let decoded = whole(&encoded(100, 70, |e| e.set_sampling_factor(sampling))).unwrap();
        assert_eq!(decoded.model, ColourModel::YCbCr);
        let sizes: Vec<_> = decoded.components.iter().map(|c| (c.plane.width, c.plane.height)).collect();
        assert_eq!(sizes, [(100, 70), chroma, chroma]);
    }
    let odd = whole(&encoded(101, 71, |e| e.set_sampling_factor(SamplingFactor::R_4_2_0))).unwrap();
    assert_eq!((odd.components[1].plane.width, odd.components[1].extent), (51, (50.5, 35.5)));
}

#[test]
fn a_picture_wanted_smaller_is_decoded_no_larger_than_needed() {
    let bytes = encoded(800, 400, |_| {});
    for (wanted, size) in [
        (Size::new(1, 1), (100, 50)),
        (Size::new(100, 50), (100, 50)),
        (Size::new(101, 50), (200, 100)),
        (Size::new(300, 150), (300, 150)),
        (Size::new(301, 151), (400, 200)),
        (Size::new(700, 1), (700, 350)),
        (Size::new(701, 1), (800, 400)),
        (Size::new(900, 900), (800, 400)),
    ] {
        let luma = &reduced(&bytes, wanted).unwrap().components[0];
        assert_eq!((luma.plane.width, luma.plane.height), size, "{wanted}");
        assert_eq!(luma.extent, (size.0 as f64, size.1 as f64));
    }
}

#[test]
fn every_scale_shows_the_same_picture_in_every_coding() {
    for progressive in [false, true] {
        let bytes = encoded(240, 160, |e| e.set_progressive(progressive));
        let full = whole(&bytes).unwrap();
        for eighths in 1..8_usize {
            let small = reduced(&bytes, Size::new(240 * eighths as u32 / 8, 1)).unwrap();
            for (small, full) in small.components.iter().zip(&full.components) {
                for y in 0..small.plane.height {
                    for x in 0..small.plane.width {
                        // The sample of the full plane in the middle of where this one lies.
                        let middle = |at: usize, small: usize, full: usize| (2 * at + 1) * full / (2 * small);
                        let (fx, fy) = (
                            middle(x, small.plane.width, full.plane.width),
                            middle(y, small.plane.height, full.plane.height),
                        );
                        let wanted = full.plane.samples[fy * full.plane.width + fx];
                        let found = small.plane.samples[y * small.plane.width + x];
                        assert!(found.abs_diff(wanted) < 14, "{eighths}/8 at {x},{y}: {found} for {wanted}");
                    }
                }
            }
        }
    }
}

#[test]
fn progressive_and_baseline_give_the_same_at_every_scale() {
    for (width, height) in [(240, 160), (67, 131)] {
        let (baseline, progressive) =
            (encoded(width, height, |_| {}), encoded(width, height, |e| e.set_progressive_scans(20)));
        for eighths in 1..=8_u32 {
            let wanted = Size::new(u32::from(width) * eighths / 8, 1);
            let planes =
                |bytes| reduced(bytes, wanted).unwrap().components.into_iter().map(|c| c.plane).collect::<Vec<_>>();
            assert_eq!(planes(&baseline), planes(&progressive), "{eighths}/8");
        }
    }
}

#[test]
fn the_colour_model_is_told_by_markers_and_ids() {
    let model = |colours, pixels: &[u8]| {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, 90).encode(pixels, 8, 8, colours).unwrap();
        whole(&bytes).unwrap().model
    };
    assert_eq!(model(ColorType::Luma, &[0; 64]), ColourModel::Gray);
    assert_eq!(model(ColorType::Rgb, &[0; 192]), ColourModel::YCbCr);
    assert_eq!(model(ColorType::Cmyk, &[0; 256]), ColourModel::Cmyk);
    assert_eq!(model(ColorType::CmykAsYcck, &[0; 256]), ColourModel::Ycck);
    // Without its JFIF segment and with an Adobe segment that says RGB.
    let jfif = encoded(8, 8, |_| {});
    let length = usize::from(u16::from_be_bytes([jfif[4], jfif[5]]));
    let adobe = [&b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"[..], &jfif[4 + length..]].concat();
    assert_eq!(whole(&adobe).unwrap().model, ColourModel::Rgb);
}

#[test]
fn a_cancelled_decode_stops() {
    let cancel = Cancel::never();
    cancel.cancel();
    let wanted = Wanted { full: Size::new(1, 1), chroma: Size::new(1, 1) };
    assert_eq!(decode(SUMMIT, &wanted, &cancel).unwrap_err(), ImageError::Cancelled);
}

#[test]
fn data_that_ends_early_is_damage_wherever_it_ends() {
    for progressive in [false, true] {
        let bytes = encoded(60, 40, |e| e.set_progressive(progressive));
        let scans: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"\xff\xda")).collect();
        // Of a progressive picture any number of whole scans is a picture, if a coarse one.
        let data = scans[0] + 14..*scans.get(1).unwrap_or(&(bytes.len() - 40));
        for cut in (0..scans[0]).chain(data.step_by(3)) {
            let ended = [&bytes[..cut], b"\xff\xd9"].concat();
            assert!(whole(&ended).is_err(), "cut at {cut} of {}, progressive {progressive}", bytes.len());
        }
    }
}

#[test]
fn a_missing_restart_marker_is_damage() {
    let bytes = encoded(100, 70, |e| e.set_restart_interval(2));
    let marker = bytes.windows(2).rposition(|w| w[0] == 0xff && (0xd0..=0xd7).contains(&w[1])).unwrap();
    let without = [&bytes[..marker], &bytes[marker + 2..]].concat();
    assert!(whole(&bytes).is_ok() && whole(&without).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_is_refused_or_drawn_but_never_panics(
        progressive in any::<bool>(),
        eighths in 1..=8_u32,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(50, 34, |e| e.set_progressive(progressive));
        for (at, value) in damage {
            let at = at.index(bytes.len() - 2) + 2;
            bytes[at] = value;
        }
        // A larger size than was written would only take longer.
        if crate::imaging::header::read(&bytes).is_ok_and(|header| header.stored.pixel_count() < 1_000_000) {
            let _ = reduced(&bytes, Size::new(50 * eighths / 8, 1));
        }
    }
}

#[test]
fn a_marker_is_found_wherever_it_lies_among_picture_data() {
    let by_bytes = |bytes: &[u8], from: usize| {
        let mut at = from;
        while at + 1 < bytes.len() {
            if bytes[at] == 0xff && bytes[at + 1] != 0 && bytes[at + 1] != 0xff {
                return Some((bytes[at + 1], at + 2));
            }
            at += 1;
        }
        None
    };
    for stuffed_every in [3, 7, 64, 1000] {
        for length in [0, 1, 2, 63, 64, 65, 66, 127, 128, 129, 300] {
            let plain = |i: usize| match i % stuffed_every {
                0 => 0xff,
                1 => 0x00,
                other => u8::try_from(other % 200).unwrap(),
            };
            let data: Vec<u8> = (0..length).map(plain).collect();
            for marker in 0..=length {
                for mark in [&[][..], &[0xff, 0xd9], &[0xff, 0xff, 0xd0], &[0xff]] {
                    let bytes = [&data[..marker], mark, &data[marker..]].concat();
                    for from in [0, marker / 2, marker] {
                        assert_eq!(
                            next_marker(&bytes, from),
                            by_bytes(&bytes, from),
                            "{stuffed_every} {length} {marker}"
                        );
                    }
                }
            }
        }
    }
}
