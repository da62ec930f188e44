//! What fuzzing and the replay of its corpora run: any bytes at all as a file, and what must hold of every preparation.
//!
//! Our own decoders are called directly, below what contains a panic, for they should not have one. Those of others are
//! called as the service calls them.

#![expect(clippy::expect_used, clippy::panic, reason = "a broken promise panics")]

use super::colour::{self, Samples};
use super::header::{self, Header};
use super::{
    Cancel, Encoded, ImageError, Limits, MAX_MODEL_BYTES, MediaType, Plan, Prepared, Target, decode, jpeg_decoder,
    jpeg_picture, model_size, png_decoder, sniff,
};
use crate::domain::{OversizePolicy, Size, VisionTier};

/// Most pixels that are decoded, so that thousands of files are in a minute.
const MAX_PIXELS: u64 = 1 << 16;
/// Most memory that a decoder may take for one file.
const MAX_MEMORY: u64 = 4 << 20;
/// Small enough that small pictures are reduced.
const SMALL: VisionTier = VisionTier { max_edge: 112, max_visual_tokens: Some(8) };
const TIERS: [VisionTier; 3] = [VisionTier::STANDARD, SMALL, VisionTier { max_edge: 50, max_visual_tokens: None }];

/// A file and what it is prepared for.
#[derive(Debug)]
pub struct Input {
    /// The file.
    pub bytes: Vec<u8>,
    /// What is decoded.
    pub limits: Limits,
    /// What for.
    pub target: Target,
}

impl Input {
    /// The first byte of an input says how: bits 0 and 1 the tier, bit 2 that nothing may be reduced, bit 3 that decoders
    /// are those without C, bit 4 that the checksums of a PNG are kept as they are and not mended. The rest is the file.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (selector, bytes) = data.split_first()?;
        let tier = *TIERS.get(usize::from(selector & 3)).unwrap_or(&SMALL);
        let oversize = if selector & 4 == 0 { OversizePolicy::Resize } else { OversizePolicy::Reject };
        let mut bytes = bytes.to_vec();
        if selector & 16 == 0 {
            mend_checksums(&mut bytes);
        }
        let limits = Limits { max_pixels: MAX_PIXELS, max_memory: u64::MAX, safe_decoders: selector & 8 != 0 };
        Some(Self { bytes, limits, target: Target { tier, oversize } })
    }
}

/// Gives every chunk of a PNG the checksum that it should have, for a fuzzer does not guess it.
fn mend_checksums(bytes: &mut [u8]) {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return;
    }
    let mut rest = bytes.get_mut(8..).unwrap_or_default();
    while let Some((length, behind)) = rest.split_first_chunk_mut::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((chunk, behind)) = behind.split_at_mut_checked(length.saturating_add(4)) else { return };
        let Some((checksum, behind)) = behind.split_first_chunk_mut::<4>() else { return };
        *checksum = crc32fast::hash(chunk).to_be_bytes();
        rest = behind;
    }
}

/// Reads a header, and plans for every tier, policy and kind of decoder.
///
/// # Panics
/// When a promise is broken.
pub fn headers(data: &[u8]) {
    let header = header::read(data);
    if let Ok(header) = &header {
        assert_eq!(sniff::sniff(data), Ok(header.media_type), "the type is the one that the first bytes say");
        assert!(header.stored.pixel_count() > 0, "no edge is zero");
        assert_eq!(header.upright().pixel_count(), header.stored.pixel_count(), "turning keeps the pixels");
        assert!(header.length <= data.len(), "a header lies in the file");
        let _ = header.icc_profile(data);
        assert!(!header.is_plain || header.profile == colour::Profile::None, "what is plain is sRGB");
    }
    for (tier, oversize, safe_decoders) in
        TIERS.into_iter().flat_map(|tier| [(tier, OversizePolicy::Resize, false), (tier, OversizePolicy::Reject, true)])
    {
        let limits = Limits { max_pixels: 50_000_000, max_memory: u64::MAX, safe_decoders };
        match (&header, Plan::of(data, &limits, &Target { tier, oversize })) {
            (Err(error), plan) => assert_eq!(plan.err().as_ref(), Some(error), "what has no header has no plan"),
            (Ok(header), Ok(plan)) => {
                assert!(header.upright().pixel_count() <= limits.max_pixels, "within the limit");
                assert_eq!(header.damage, None, "damage is refused");
                assert!(plan.peak_memory() < u64::MAX, "the memory is known");
            }
            (Ok(_), Err(error)) => check_error(&error),
        }
    }
}

/// Reads an EXIF block out of a JPEG, a PNG and a WebP, and as a TIFF.
///
/// # Panics
/// When a promise is broken.
pub fn exif(data: &[u8]) {
    let _ = header::read(data);
    // Only a JPEG's has the prefix always, and a segment of it is no longer.
    if data.starts_with(b"Exif\0\0") || data.len() > 65_000 {
        return;
    }
    let read = [jpeg_with_exif(data), png_with_exif(data), webp_with_exif(data)].map(|file| header::read(&file));
    let orientations = read.map(|header| {
        let header = header.unwrap_or_else(|error| panic!("a file is good whatever its EXIF says: {error}"));
        assert_eq!(header.damage, None, "EXIF is no damage");
        assert_eq!(header.upright() != header.stored, header.is_sideways(), "5 to 8 lie on their side");
        header.orientation.map(|orientation| orientation.to_exif())
    });
    let [of_jpeg, of_png, of_webp] = orientations;
    assert!(of_jpeg.is_none_or(|orientation| (1..=8).contains(&orientation)), "one of eight: {of_jpeg:?}");
    assert_eq!((of_jpeg, of_jpeg), (of_png, of_webp), "it means the same in every type");
}

fn jpeg_with_exif(exif: &[u8]) -> Vec<u8> {
    let (start, rest) = include_bytes!("tests/data/progressive.jpg").split_at(2);
    let body = [b"Exif\0\0", exif].concat();
    [start, &[0xff, 0xe1], &(body.len() as u16 + 2).to_be_bytes(), &body, rest].concat()
}

fn png_with_exif(exif: &[u8]) -> Vec<u8> {
    let (start, rest) = include_bytes!("tests/data/palette.png").split_at(33);
    let mut file = [start, &(exif.len() as u32).to_be_bytes(), b"eXIf", exif, &[0; 4], rest].concat();
    mend_checksums(&mut file);
    file
}

fn webp_with_exif(exif: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let padding = vec![0; body.len() % 2];
        [name, &(body.len() as u32).to_le_bytes()[..], body, &padding].concat()
    };
    let stream = include_bytes!("tests/data/lossy.webp").split_at(12).1;
    let canvas = chunk(b"VP8X", &[8, 0, 0, 0, 239, 0, 0, 159, 0, 0]);
    chunk(b"RIFF", &[b"WEBP", &canvas[..], stream, &chunk(b"EXIF", exif)].concat())
}

/// Prepares an input twice and checks what holds of every preparation. Answers it.
///
/// # Panics
/// When a promise is broken.
pub fn prepare(input: &Input) -> Option<Prepared> {
    let Input { bytes, limits, target } = input;
    let prepared = super::prepare(bytes, limits, target);
    assert_eq!(prepared, super::prepare(bytes, limits, target), "preparing is deterministic");
    match prepared {
        Ok(prepared) => {
            check_prepared(&prepared, bytes, target);
            Some(prepared)
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

fn check_prepared(prepared: &Prepared, source: &[u8], target: &Target) {
    let (original, model) = (prepared.frame.original(), prepared.frame.model());
    assert!(model.width <= original.width && model.height <= original.height, "nothing is enlarged");
    assert!(original.pixel_count() <= MAX_PIXELS, "within the limit");
    assert_eq!(model, model_size(original, target.tier), "of exactly the size that the model sees");
    assert!(target.oversize == OversizePolicy::Resize || model == original, "reduced only where that is allowed");
    assert!(prepared.exif_orientation <= 8, "one of eight or none");
    let bytes = match &prepared.encoded {
        Encoded::AsIs => source,
        Encoded::New(bytes) => bytes,
    };
    assert!(bytes.len() <= MAX_MODEL_BYTES, "within the model's limit");
    assert_eq!(sniff::sniff(bytes), Ok(prepared.media_type), "the type matches the bytes");
    if matches!(prepared.encoded, Encoded::New(_)) {
        let header = header::read(bytes).expect("what was encoded has a header");
        assert!(header.is_plain && header.is_upright() && header.damage.is_none(), "and one that says the least");
        let picture = image::load_from_memory(bytes).expect("what was encoded can be decoded");
        assert_eq!((picture.width(), picture.height()), (model.width, model.height), "to the size that was said");
    }
}

fn check_error(error: &ImageError) {
    match error {
        ImageError::Corrupt { reason } => assert!((1..200).contains(&reason.chars().count()), "{reason}"),
        ImageError::TooManyPixels { actual, fits, limit } => {
            assert!(actual.pixel_count() > *limit && fits.pixel_count() <= *limit, "{error}");
        }
        ImageError::Oversize { actual, fits } => assert!(fits.pixel_count() < actual.pixel_count(), "{error}"),
        ImageError::Unsupported { detected } => assert!(!detected.is_empty(), "{error}"),
        ImageError::TooMuchMemory { .. } | ImageError::Cancelled => panic!("no such limit was set: {error}"),
    }
}

/// Decodes a JPEG at a scale that the first byte chooses, whatever its header says, to planes or to RGB.
///
/// # Panics
/// When a promise is broken.
pub fn jpeg(data: &[u8]) {
    let Some((selector, bytes)) = data.split_first() else { return };
    let whole = jpeg_picture::wanted(Size::new(u32::MAX, u32::MAX));
    if jpeg_decoder::memory(bytes, &whole) > MAX_MEMORY {
        return;
    }
    let pixels = [1, 12, 300, 5000, MAX_PIXELS].get(usize::from(selector % 5)).copied().unwrap_or(1);
    let stored = header::read(bytes).map_or(Size::new(9, 7), |header| header.stored);
    let size = model_size::within_pixels(stored, pixels);
    let orientation = image::metadata::Orientation::from_exif((selector >> 5) + 1);
    let decoded = match jpeg_decoder::decode(bytes, &jpeg_picture::wanted(size), &Cancel::never()) {
        Ok(decoded) => decoded,
        Err(error) => return check_error(&error),
    };
    for component in &decoded.components {
        let (plane, extent) = (&component.plane, component.extent);
        assert_eq!(plane.samples.len(), plane.width * plane.height, "a plane is whole");
        assert!(extent.0 <= plane.width as f64 && extent.1 <= plane.height as f64, "its picture lies inside");
    }
    if decoded.components.len() < 4 && selector & 16 == 0 {
        let planes = jpeg_picture::planes(decoded, size, orientation).expect("planes of what was decoded");
        let luma = &planes.luma;
        assert_eq!((luma.width * luma.height) as u64, size.pixel_count(), "of the size asked for");
        for chroma in planes.chroma.iter().flatten() {
            assert_eq!(chroma.width, luma.width.div_ceil(2), "chroma is half as wide");
            assert_eq!(chroma.height, luma.height.div_ceil(2), "and half as high");
        }
    } else {
        let rgb = jpeg_picture::rgb(decoded, size, &jpeg_picture::plain_cmyk, &Cancel::never());
        let rgb = rgb.expect("RGB of what was decoded");
        assert_eq!((rgb.width(), rgb.height()), (size.width, size.height), "of the size asked for");
    }
}

/// Decodes a PNG, whatever its header says and whether or not its checksums match.
///
/// # Panics
/// When a promise is broken.
pub fn png(data: &[u8]) {
    if png_decoder::memory_of(data) > MAX_MEMORY {
        return;
    }
    let size = png_decoder::size(data).unwrap_or(Size::new(0, 0));
    let decode = || {
        let (mut rows, mut sum, mut pixels) = (0_u32, 0_u32, 0_u64);
        let outcome = png_decoder::decode(data, &Cancel::never(), &mut |row| {
            assert_eq!(row.len(), size.width as usize * 3, "a row is as long as the picture is wide");
            rows += 1;
            sum = crc32fast::hash(row) ^ sum.rotate_left(1);
            pixels += u64::from(size.width);
            // Many pixels of few bytes take time and show nothing new.
            if pixels > MAX_PIXELS { Err(ImageError::Cancelled) } else { Ok(()) }
        });
        (outcome, rows, sum)
    };
    let (outcome, rows, sum) = decode();
    match &outcome {
        Ok(_) => assert_eq!(rows, size.height, "all rows were handed over"),
        Err(ImageError::Cancelled) => {}
        Err(error) => check_error(error),
    }
    assert_eq!((outcome, rows, sum), decode(), "decoding is deterministic");
}

/// Decodes a TIFF.
///
/// # Panics
/// When a promise is broken.
pub fn tiff(data: &[u8]) {
    let Some(header) = small(data, MediaType::Tiff) else { return };
    check_decoded(&header, decode::decode(data, &header, false, &Cancel::never(), facts));
}

/// Decodes a WebP, by libwebp where the service does and by the other decoder.
///
/// # Panics
/// When a promise is broken.
pub fn webp(data: &[u8]) {
    let Some(header) = small(data, MediaType::Webp) else { return };
    let fast = check_decoded(&header, by_others(data, &header, false));
    let safe = check_decoded(&header, by_others(data, &header, true));
    if let (Some(fast), Some(safe)) = (fast, safe) {
        assert_eq!(fast, safe, "both see the same transparency");
    }
}

/// Decodes a GIF.
///
/// # Panics
/// When a promise is broken.
pub fn gif(data: &[u8]) {
    let Some(header) = small(data, MediaType::Gif) else { return };
    check_decoded(&header, by_others(data, &header, false));
}

/// Decodes a BMP.
///
/// # Panics
/// When a promise is broken.
pub fn bmp(data: &[u8]) {
    let Some(header) = small(data, MediaType::Bmp) else { return };
    check_decoded(&header, by_others(data, &header, false));
}

/// The header of a file of that type, if it would be decoded and is small.
fn small(data: &[u8], media_type: MediaType) -> Option<Header> {
    let header = header::read(data).ok()?;
    let is_small = header.damage.is_none() && header.stored.pixel_count() <= MAX_PIXELS;
    (is_small && header.media_type == media_type).then_some(header)
}

/// Bytes of RGB, and whether a pixel was transparent.
type Facts = (usize, bool);

fn facts(pixels: decode::Pixels<'_>) -> Result<Facts, ImageError> {
    Ok(match pixels {
        decode::Pixels::Rgb { samples, was_transparent } => (samples.len(), was_transparent),
        decode::Pixels::Rgba(samples) => {
            let mut flat = vec![0; samples.len() / 4 * 3];
            let was_transparent = decode::flatten(samples, &mut flat);
            (flat.len(), was_transparent)
        }
    })
}

/// Decodes by other people's code, whose panics are damage.
fn by_others(data: &[u8], header: &Header, safe_decoders: bool) -> Result<Facts, ImageError> {
    decode::contained(|| decode::decode(data, header, safe_decoders, &Cancel::never(), facts))
}

/// Answers whether a pixel was transparent.
fn check_decoded(header: &Header, decoded: Result<Facts, ImageError>) -> Option<bool> {
    match decoded {
        Ok((bytes, was_transparent)) => {
            assert_eq!(bytes as u64, header.stored.pixel_count() * 3, "of the size that was said");
            Some(was_transparent)
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

/// Takes any bytes as a colour profile of samples that the first byte chooses, and converts a few colours.
///
/// # Panics
/// When a promise is broken.
pub fn profile(data: &[u8]) {
    let Some((selector, profile)) = data.split_first() else { return };
    let samples = match selector % 3 {
        0 => Samples::Gray,
        1 => Samples::Rgb,
        _ => Samples::Cmyk,
    };
    let Some(transform) = colour::transform(profile, samples) else { return };
    let colours = |_| image::RgbImage::from_fn(17, 5, |x, y| image::Rgb([x * 15, y * 60, x * y].map(|v| v as u8)));
    let [mut first, mut second] = [0, 1].map(colours);
    transform.apply(&mut first);
    transform.apply(&mut second);
    assert_eq!(first, second, "converting is deterministic");
    let inks: Vec<u8> = (0..64_u8).flat_map(|ink| [ink * 4, 255 - ink, ink, ink / 2]).collect();
    let made = transform.cmyk(&inks, &mut [0; 64 * 3]);
    assert_eq!(made.is_some(), samples == Samples::Cmyk, "inks become colours by a profile of inks only");
}
