//! The pictures that are measured, made at the start out of the photo `assets/photos/summit.jpeg`.

use std::error::Error;

use image::{
    ExtendedColorType, ImageEncoder as _, RgbImage,
    codecs::{gif::GifEncoder, png::PngEncoder, webp::WebPEncoder},
    imageops::{self, FilterType},
};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const PHOTO: &[u8] = include_bytes!("../../assets/photos/summit.jpeg");
/// What a phone takes: 12 million pixels.
const CAMERA: (u32, u32) = (4032, 3024);
/// What lossless files hold: 4 million pixels.
const MEDIUM: (u32, u32) = (2304, 1728);
/// A large GIF.
const SMALL: (u32, u32) = (1600, 1200);

/// A file.
pub struct Picture {
    /// Its name in the report.
    pub name: &'static str,
    /// How many pixels it has.
    pub pixels: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Every picture. Lossy WebP is missing, for want of an encoder: `scripts/compare-pixels` measures it.
///
/// # Errors
///
/// The photo cannot be read or an encoder fails.
pub fn make() -> Result<Vec<Picture>, Box<dyn Error>> {
    let photo = image::load_from_memory(PHOTO)?.into_rgb8();
    let [camera, medium, small] = [CAMERA, MEDIUM, SMALL].map(|(width, height)| enlarged(&photo, width, height));
    let picture = |name, pixels: &RgbImage, bytes| {
        let (width, height) = pixels.dimensions();
        Picture { name, pixels: u64::from(width) * u64::from(height), bytes }
    };
    Ok(vec![
        picture("jpeg", &camera, jpeg(&camera, SamplingFactor::R_4_2_0, false)?),
        picture("jpeg_444", &camera, jpeg(&camera, SamplingFactor::R_4_4_4, false)?),
        picture("jpeg_progressive", &camera, jpeg(&camera, SamplingFactor::R_4_2_0, true)?),
        picture("jpeg_small", &photo, PHOTO.to_vec()),
        picture("png", &medium, png(&medium)?),
        picture("webp_lossless", &medium, webp(&medium)?),
        picture("gif", &small, gif(&small)?),
    ])
}

/// The photo at another size, with grain: what is merely enlarged compresses too well.
fn enlarged(photo: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut picture = imageops::resize(photo, width, height, FilterType::CatmullRom);
    let mut state = 1_u32;
    for sample in picture.iter_mut() {
        // xorshift32, for the same picture everywhere.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        // Of two random numbers of 3 bits: -7 to 7, small ones most often.
        let grain = (state >> 29) as i16 - (state >> 26 & 7) as i16;
        *sample = u8::try_from((i16::from(*sample) + grain).clamp(0, 255)).unwrap_or(u8::MAX);
    }
    picture
}

fn jpeg(picture: &RgbImage, chroma: SamplingFactor, progressive: bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(chroma);
    encoder.set_progressive(progressive);
    let (width, height) = picture.dimensions();
    encoder.encode(picture.as_raw(), width.try_into()?, height.try_into()?, ColorType::Rgb)?;
    Ok(bytes)
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    PngEncoder::new(&mut bytes).write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

fn webp(picture: &RgbImage) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    WebPEncoder::new_lossless(&mut bytes).write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

fn gif(picture: &RgbImage) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    // The fastest of its 30 speeds: only decoding is measured.
    GifEncoder::new_with_speed(&mut bytes, 30).encode(picture.as_raw(), width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}
