//! Pictures of three sizes, made at the start. Every key holds the same one but for a comment of a few bytes, so that
//! no two have the same content and none costs more than three pieces of memory that are there already.

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use serde::Serialize;

/// Digits that tell pictures apart.
const DIGITS: usize = 16;
/// As close as a picture comes to its size.
const TOLERANCE: f64 = 0.005;

/// A size of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
pub enum Size {
    /// 20 KB.
    #[value(name = "20k")]
    #[serde(rename = "20k")]
    Small,
    /// 300 KB.
    #[value(name = "300k")]
    #[serde(rename = "300k")]
    Medium,
    /// 3.5 MB, near the most that a model takes.
    #[value(name = "3500k")]
    #[serde(rename = "3500k")]
    Large,
}

impl Size {
    /// All of them, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// How it is written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "20 KB",
            Self::Medium => "300 KB",
            Self::Large => "3.5 MB",
        }
    }

    /// The folder of its keys.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Small => "20k",
            Self::Medium => "300k",
            Self::Large => "3500k",
        }
    }

    /// Bytes aimed at.
    pub fn bytes(self) -> usize {
        match self {
            Self::Small => 20_000,
            Self::Medium => 300_000,
            Self::Large => 3_500_000,
        }
    }

    /// Width, height and quality. All fit what the model sees, so that the server passes them through unchanged.
    fn shape(self) -> (u16, u16, u8) {
        match self {
            Self::Small => (400, 300, 80),
            Self::Medium => (1280, 960, 85),
            Self::Large => (2048, 1536, 97),
        }
    }

    /// The size and number that a key names.
    pub fn of_key(key: &str) -> Option<(Self, u64)> {
        let (folder, name) = key.split_once('/')?;
        let size = Self::ALL.into_iter().find(|size| size.folder() == folder)?;
        Some((size, u64::from_str_radix(name.strip_suffix(".jpg")?, 16).ok()?))
    }

    /// The key of picture `number`.
    pub fn key(self, number: u64) -> String {
        format!("{}/{number:016x}.jpg", self.folder())
    }
}

/// A JPEG in three pieces.
#[derive(Debug, Clone)]
pub struct Picture {
    head: Bytes,
    tail: Bytes,
}

impl Picture {
    /// Makes one of about `size`.
    ///
    /// # Errors
    /// When the size cannot be reached.
    pub fn of(size: Size) -> anyhow::Result<Self> {
        let (width, height, quality) = size.shape();
        let (mut least, mut most) = (0.0, 255.0);
        for _ in 0..24 {
            let amplitude = f64::midpoint(least, most);
            let jpeg = encode(width, height, quality, amplitude)?;
            let miss = jpeg.len() as f64 / size.bytes() as f64 - 1.0;
            if miss.abs() <= TOLERANCE {
                return Self::split(jpeg);
            }
            if miss > 0.0 { most = amplitude } else { least = amplitude }
        }
        anyhow::bail!("no JPEG of {width} x {height} pixels at quality {quality} has {} bytes", size.bytes())
    }

    /// Behind the first segment, where a comment may stand.
    fn split(jpeg: Vec<u8>) -> anyhow::Result<Self> {
        let jpeg = Bytes::from(jpeg);
        let length = jpeg.get(4..6).and_then(|length| <[u8; 2]>::try_from(length).ok()).context("not a JPEG")?;
        let end = 4 + usize::from(u16::from_be_bytes(length));
        anyhow::ensure!(end < jpeg.len(), "not a JPEG");
        Ok(Self { head: jpeg.slice(..end), tail: jpeg.slice(end..) })
    }

    /// The picture with a comment that only `number` has.
    pub fn pieces(&self, number: u64) -> [Bytes; 3] {
        let comment = format!("{number:016x}");
        let mut segment = vec![0xff, 0xfe, 0, 2 + DIGITS as u8];
        segment.extend_from_slice(comment.as_bytes());
        [self.head.clone(), Bytes::from(segment), self.tail.clone()]
    }

    /// Bytes of every such picture.
    pub fn len(&self) -> usize {
        self.head.len() + 4 + DIGITS + self.tail.len()
    }
}

/// A gradient under noise, in which a JPEG's size grows with the noise.
fn encode(width: u16, height: u16, quality: u8, amplitude: f64) -> anyhow::Result<Vec<u8>> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..height {
        for x in 0..width {
            let base = 64.0 + 128.0 * f64::from(x) / f64::from(width) * f64::from(y) / f64::from(height);
            for _ in 0..3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let noise = (seed >> 40) as f64 / f64::from(1_u32 << 24) - 0.5;
                // A cast of a float saturates.
                pixels.push((base + amplitude * noise) as u8);
            }
        }
    }
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.encode(&pixels, width, height, ColorType::Rgb)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_their_size_and_differ_in_their_comment_alone() {
        let picture = Picture::of(Size::Small).unwrap();
        let (one, other) = (picture.pieces(1).concat(), picture.pieces(2).concat());
        assert!(one.len().abs_diff(Size::Small.bytes()) < 200, "{}", one.len());
        assert_eq!((one.len(), other.len()), (picture.len(), picture.len()));
        assert_eq!(one.iter().zip(&other).filter(|(one, other)| one != other).count(), 1);
    }

    #[test]
    fn a_key_names_its_picture() {
        for size in Size::ALL {
            assert_eq!(Size::of_key(&size.key(77)), Some((size, 77)));
        }
        assert_eq!(Size::of_key("20k/x.jpg"), None);
    }
}
