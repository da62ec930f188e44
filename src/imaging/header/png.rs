//! PNG: chunks from the first to the last, each with its checksum: what is passed on unchanged was never decoded here,
//! and the checksums tell that its pixels arrived as they were written.

use std::ops::Range;

use image::metadata::Orientation;

use super::{Header, MediaType, Profile, Samples, Scratch, byte, orientation, take};
use crate::domain::Size;
use crate::imaging::ImageError;

#[derive(Default)]
struct Walk {
    orientation: Option<Orientation>,
    has_data: bool,
    has_transparency: bool,
    /// Frames of the animation, when the file holds one.
    frames: Option<u32>,
    /// The compressed bytes of an ICC profile.
    icc: Option<Range<usize>>,
    /// Primaries and transfer function of RGB samples of full range.
    code_points: Option<(u8, u8)>,
    has_wrong_checksum: bool,
    is_complete: bool,
}

/// Reads the header of a PNG.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let (size, depth, colour) =
        first_chunk(bytes).ok_or_else(|| ImageError::corrupt("the PNG does not start with its header chunk"))?;
    let mut walk = Walk::default();
    // `None` means that the file was over before its end chunk or a checksum is wrong; the walk's fields say which.
    let _ = walk.run(bytes);
    let damage = if walk.has_wrong_checksum {
        Some("a chunk of the PNG does not match its checksum")
    } else if !walk.is_complete {
        Some("the PNG has no end chunk; the file is cut off or a chunk's length is wrong")
    } else if !walk.has_data {
        Some("the PNG holds no picture data")
    } else {
        None
    };
    let has_alpha = colour & 4 != 0 || walk.has_transparency;
    Ok(Header {
        media_type: MediaType::Png,
        stored: size,
        orientation: walk.orientation,
        is_animated: walk.frames.is_some_and(|frames| frames > 1),
        is_lossless: true,
        is_plain: depth <= 8 && !has_alpha && walk.frames.is_none(),
        samples: if colour & 2 == 0 { Samples::Gray } else { Samples::Rgb },
        profile: walk.profile(),
        damage,
        length: bytes.len(),
        scratch: Scratch::default(),
    })
}

/// Size, bits of a sample and colour type.
fn first_chunk(bytes: &[u8]) -> Option<(Size, u8, u8)> {
    if take(bytes, 8)? != *b"\0\0\0\x0dIHDR" {
        return None;
    }
    let (width, height) = (u32::from_be_bytes(take(bytes, 16)?), u32::from_be_bytes(take(bytes, 20)?));
    Some((Size::new(width, height), byte(bytes, 24)?, byte(bytes, 25)?))
}

impl Walk {
    /// What the samples mean, by PNG's order of precedence (third edition, section 4.3): code points, then a profile.
    /// `sRGB` is what is assumed anyway; `gAMA` and `cHRM` are not followed.
    fn profile(&self) -> Profile {
        if let Some((primaries, transfer)) = self.code_points {
            return Profile::CodePoints { primaries, transfer };
        }
        self.icc.clone().map_or(Profile::None, Profile::Zlib)
    }

    fn run(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 8;
        loop {
            let length = u32::from_be_bytes(take(bytes, at)?) as usize;
            let name: [u8; 4] = take(bytes, at + 4)?;
            let body = bytes.get(at + 8..)?.get(..length)?;
            let checksum = u32::from_be_bytes(take(bytes, at + 8 + length)?);
            if crc32fast::hash(bytes.get(at + 4..at + 8 + length)?) != checksum {
                self.has_wrong_checksum = true;
                return None;
            }
            match &name {
                b"IDAT" => self.has_data = true,
                // Name, 0, method 0, zlib. Behind the picture data it means nothing.
                b"iCCP" if !self.has_data && self.icc.is_none() => {
                    let name = body.iter().take(80).position(|byte| *byte == 0);
                    let start = name.filter(|name| byte(body, name + 1) == Some(0)).map(|name| at + 8 + name + 2);
                    self.icc = start.map(|start| start..at + 8 + length);
                }
                b"cICP" if !self.has_data => {
                    // The third is a matrix, 0 for RGB, and the fourth says full range.
                    if let [primaries, transfer, 0, 1] = *body {
                        self.code_points = Some((primaries, transfer));
                    }
                }
                b"tRNS" => self.has_transparency = true,
                b"acTL" => self.frames = Some(u32::from_be_bytes(take(body, 0)?)),
                b"eXIf" => self.orientation = self.orientation.or_else(|| orientation(body)),
                b"IEND" => {
                    self.is_complete = true;
                    return Some(());
                }
                _ => {}
            }
            at += 12 + length;
        }
    }
}
