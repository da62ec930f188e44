//! What a file says of its picture, read by walking its container. Nothing is decoded and nothing is allocated that
//! depends on the file, but for its colour profile: whether that changes anything, only a look inside tells.

mod bmp;
mod gif;
pub(super) mod jpeg;
mod png;
pub(super) mod tiff;
pub(super) mod webp;

use image::metadata::Orientation;

use super::{ImageError, MediaType, colour, sniff};
use crate::domain::Size;
use colour::{Profile, Samples};

/// What is known of a picture before it is decoded.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) media_type: MediaType,
    /// Size of the pixels as stored, before the orientation is applied. Never a zero edge.
    pub(super) stored: Size,
    /// EXIF orientation, when the file names a valid one.
    pub(super) orientation: Option<Orientation>,
    /// More than one frame.
    pub(super) is_animated: bool,
    /// Nothing was lost when it was compressed.
    pub(super) is_lossless: bool,
    /// One opaque frame, gray or sRGB, 8 bits or fewer, of a type that models take: every decoder sees the same in
    /// these bytes, ours and the model's.
    pub(super) is_plain: bool,
    /// What a pixel is made of in the file.
    pub(super) samples: Samples,
    /// What colours the samples mean.
    pub(super) profile: Profile,
    /// Why the pixels cannot all be there.
    pub(super) damage: Option<&'static str>,
    /// How many bytes from the start a decoder needs to read the header.
    pub(super) length: usize,
    /// Memory beside the pixels. Not known of JPEG and PNG, whose decoders say it themselves.
    pub(super) scratch: Scratch,
}

/// Most bytes that decoding holds at once beside the RGB picture it makes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scratch {
    /// By the fastest decoder.
    pub(super) fast: u64,
    /// By one that holds no C.
    pub(super) safe: u64,
}

impl Scratch {
    /// Of a type that has one decoder.
    fn of(bytes: u64) -> Self {
        Self { fast: bytes, safe: bytes }
    }
}

impl Header {
    /// Size of the upright picture.
    pub(super) fn upright(&self) -> Size {
        if self.is_sideways() { self.stored.transposed() } else { self.stored }
    }

    /// Whether the pixels are stored upright.
    pub(super) fn is_upright(&self) -> bool {
        self.orientation.is_none_or(|orientation| orientation == Orientation::NoTransforms)
    }

    /// Whether turning the picture upright exchanges width and height.
    pub(super) fn is_sideways(&self) -> bool {
        self.orientation.is_some_and(|orientation| orientation.to_exif() >= 5)
    }
}

/// Reads the header of a picture of any type.
pub(super) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let media_type =
        sniff::sniff(bytes).map_err(|detected| ImageError::Unsupported { detected: detected.to_owned() })?;
    let mut header = match media_type {
        MediaType::Jpeg => jpeg::read(bytes),
        MediaType::Png => png::read(bytes),
        MediaType::Gif => gif::read(bytes),
        MediaType::Webp => webp::read(bytes),
        MediaType::Bmp => bmp::read(bytes),
        MediaType::Tiff => tiff::read(bytes),
    }?;
    if header.stored.pixel_count() == 0 {
        return Err(ImageError::corrupt("its width or height is zero"));
    }
    if header.is_plain && header.profile != Profile::None {
        // Models take every sample as sRGB.
        header.is_plain = colour::of(bytes, &header).is_none();
        if header.is_plain {
            header.profile = Profile::None;
        }
    }
    Ok(header)
}

/// The orientation in an EXIF block, with or without the `Exif` prefix.
fn orientation(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
}

/// `N` bytes at an offset, or `None` where the file is over.
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}
