//! ICC profiles: what is read of them, and what they do to samples. Specification: ICC.1:2022.

use std::sync::Arc;

use image::RgbImage;
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, RenderingIntent, TransferCharacteristics,
    Transform8BitExecutor, TransformOptions,
};

/// Longest profile that is looked at. Those of printers reach about 3 MB, those of screens and cameras a few kB.
pub(super) const MAX_PROFILE_BYTES: usize = 4 * 1024 * 1024;
/// Most memory of the tables of a transform: for CMYK a grid of 17^4 colours of 3 or 4 samples of 4 bytes, twice.
pub(super) const TABLE_BYTES: u64 = 4 * 1024 * 1024;
/// Header and count of tags (section 7.2 and 7.3).
const HEADER_BYTES: usize = 132;
/// Bytes of an entry of the table of tags: signature, offset, size.
const TAG_BYTES: usize = 12;
/// Most tags of a profile. Real ones have about 20.
const MAX_TAGS: usize = 100;
/// The tags that say how samples become colours.
const TAGS: [&[u8; 4]; 10] = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"A2B0", b"A2B1", b"cicp"];

/// Colours that a transform moves by no more than this, in steps of 8 bits, look the same. Profiles that mean sRGB differ
/// by a step where they round.
const SAME: u8 = 1;
/// Pixels that are converted at once.
const BLOCK: usize = 1024;

/// What a pixel of a file is made of, alpha aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imaging) enum Samples {
    /// Brightness.
    Gray,
    /// Red, green and blue, or an index into a palette of those.
    Rgb,
    /// Cyan, magenta, yellow and black ink.
    Cmyk,
}

/// From the colours of a profile to sRGB, relative to its white.
pub(in crate::imaging) enum Transform {
    /// Every gray by its curve.
    Gray(Box<[u8; 256]>),
    /// 3 samples to 3.
    Rgb(Arc<Transform8BitExecutor>),
    /// 4 samples to 3.
    Cmyk(Arc<Transform8BitExecutor>),
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gray(_) => "Gray",
            Self::Rgb(_) => "Rgb",
            Self::Cmyk(_) => "Cmyk",
        })
    }
}

/// A profile out of zlib, if it is none too long.
pub(super) fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    fdeflate::decompress_to_vec_bounded(compressed, MAX_PROFILE_BYTES).ok()
}

/// Reads a profile: its header, and of its tags those that matter, each once.
///
/// The other tags are struck out first. Names in many languages may share one text in the file, each a copy of it in
/// memory, and a date that is wrong would be the end of it.
pub(super) fn read(profile: &[u8]) -> Option<ColorProfile> {
    if profile.len() > MAX_PROFILE_BYTES {
        return None;
    }
    let mut profile = profile.to_vec();
    let count: [u8; 4] = *profile.get(128..)?.first_chunk()?;
    let count = u32::from_be_bytes(count) as usize;
    if count > MAX_TAGS {
        return None;
    }
    // The date: 1 January 2000; the intent, which is ours to choose.
    profile.get_mut(24..36)?.copy_from_slice(&[7, 0xd0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    profile.get_mut(64..68)?.fill(0);
    let mut seen = Vec::new();
    for tag in profile.get_mut(HEADER_BYTES..)?.chunks_exact_mut(TAG_BYTES).take(count) {
        let Some(signature) = tag.first_chunk_mut::<4>() else { continue };
        if !TAGS.contains(&&*signature) || seen.contains(signature) {
            signature.fill(0);
        } else {
            seen.push(*signature);
        }
    }
    let options = ParsingOptions {
        max_profile_size: MAX_PROFILE_BYTES + 1,
        max_allowed_clut_size: MAX_PROFILE_BYTES,
        ..ParsingOptions::default()
    };
    ColorProfile::new_from_slice_with_options(&profile, options).ok()
}

/// The transform of a profile, or `None` where it changes nothing or cannot be had.
pub(super) fn build(profile: &ColorProfile, samples: Samples) -> Option<Transform> {
    let (space, layout) = match samples {
        Samples::Gray => (DataColorSpace::Gray, Layout::Gray),
        Samples::Rgb => (DataColorSpace::Rgb, Layout::Rgb),
        Samples::Cmyk => (DataColorSpace::Cmyk, Layout::Rgba),
    };
    if profile.color_space != space || is_high_dynamic_range(profile) {
        return None;
    }
    // Tables are made for an intent; curves and primaries are colorimetric.
    let rendering_intent = if profile.lut_a_to_b_perceptual.is_some() {
        RenderingIntent::Perceptual
    } else {
        RenderingIntent::RelativeColorimetric
    };
    let options = TransformOptions { rendering_intent, ..TransformOptions::default() };
    let executor = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()?;
    match samples {
        Samples::Gray => gray(&executor),
        Samples::Rgb => moves_a_colour(&executor)?.then_some(Transform::Rgb(executor)),
        Samples::Cmyk => {
            // Whether it works at all.
            executor.transform(&[0; 4], &mut [0; 3]).ok()?;
            Some(Transform::Cmyk(executor))
        }
    }
}

/// Curves that reach far brighter than the white of a page. By the letter, such a picture would come out nearly black;
/// taken as sRGB it is pale, and every shape in it shows.
fn is_high_dynamic_range(profile: &ColorProfile) -> bool {
    let transfer = profile.cicp.map(|cicp| cicp.transfer_characteristics);
    matches!(transfer, Some(TransferCharacteristics::Smpte2084 | TransferCharacteristics::Hlg))
}

/// The curve of a gray profile.
fn gray(executor: &Arc<Transform8BitExecutor>) -> Option<Transform> {
    let grays: [u8; 256] = std::array::from_fn(|gray| gray as u8);
    let mut rgb = [0; 256 * 3];
    executor.transform(&grays, &mut rgb).ok()?;
    let mut curve = Box::new(grays);
    for (to, [_, green, _]) in curve.iter_mut().zip(rgb.as_chunks().0) {
        *to = *green;
    }
    let moves = grays.iter().zip(curve.iter()).any(|(from, to)| from.abs_diff(*to) > SAME);
    moves.then_some(Transform::Gray(curve))
}

/// Whether any of all grays and of a grid of colours is moved.
fn moves_a_colour(executor: &Arc<Transform8BitExecutor>) -> Option<bool> {
    let levels = || (0..=u8::MAX).step_by(51);
    let grays = (0..=u8::MAX).flat_map(|gray| [gray; 3]);
    let grid = levels().flat_map(|r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b])));
    let colours: Vec<u8> = grays.chain(grid).collect();
    let mut moved = vec![0; colours.len()];
    executor.transform(&colours, &mut moved).ok()?;
    Some(colours.iter().zip(&moved).any(|(from, to)| from.abs_diff(*to) > SAME))
}

impl Transform {
    /// See [`Self::apply`].
    pub(super) fn convert(&self, rgb: &mut RgbImage) {
        match self {
            Self::Gray(curve) => {
                for pixel in rgb.as_flat_samples_mut().samples.as_chunks_mut::<3>().0 {
                    let [red, ..] = *pixel;
                    *pixel = [curve.get(usize::from(red)).copied().unwrap_or(red); 3];
                }
            }
            Self::Rgb(executor) => {
                let mut from = [0; BLOCK * 3];
                for block in rgb.chunks_mut(BLOCK * 3) {
                    let Some(from) = from.get_mut(..block.len()) else { return };
                    from.copy_from_slice(block);
                    if executor.transform(from, block).is_err() {
                        return;
                    }
                }
            }
            Self::Cmyk(_) => {}
        }
    }

    /// Turns CMYK pixels, 0 for no ink and 255 for all of it, into sRGB ones. `rgb` takes 3 samples for each 4 of `cmyk`.
    /// `None` when the two do not fit, or the transform is none of CMYK.
    pub(in crate::imaging) fn cmyk(&self, cmyk: &[u8], rgb: &mut [u8]) -> Option<()> {
        match self {
            Self::Cmyk(executor) => executor.transform(cmyk, rgb).ok(),
            Self::Gray(_) | Self::Rgb(_) => None,
        }
    }
}
