//! What the tags of a TIFF mean, and which of their values are read.

use super::directory::{Directory, tag};
use super::{Alpha, Compression, Photometric};
use crate::domain::Size;
use crate::imaging::ImageError;

/// How much larger than the picture a tile may be: this many times its pixels, or those of one tile of 1024x1024.
const MAX_TILE_FACTOR: u64 = 4;
const MAX_TILE_PIXELS: u64 = 1 << 20;

impl Photometric {
    /// Samples that make up the colour.
    pub(in crate::imaging) const fn colours(self) -> u32 {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }
}

pub(super) fn unsupported(kind: &str) -> ImageError {
    ImageError::Unsupported { detected: format!("image/tiff with {kind}") }
}

pub(super) fn required(directory: &Directory, tag: u16) -> Result<u32, ImageError> {
    directory.number(tag).ok_or_else(|| ImageError::corrupt("the TIFF does not state its size"))
}

/// Raw pictures of cameras are TIFF files whose first directory holds a thumbnail.
pub(super) fn refuse_raw(directory: &Directory) -> Result<(), ImageError> {
    let detected = if directory.field(tag::DNG_VERSION).is_some() {
        "image/x-adobe-dng"
    } else if directory.is_reduced() && directory.field(tag::SUB_DIRECTORIES).is_some() {
        "image/tiff that holds a camera's raw picture"
    } else {
        return Ok(());
    };
    Err(ImageError::Unsupported { detected: detected.to_owned() })
}

pub(super) fn photometric(directory: &Directory) -> Result<Photometric, ImageError> {
    Ok(match directory.number(tag::PHOTOMETRIC) {
        Some(0) => Photometric::WhiteIsZero,
        Some(1) => Photometric::BlackIsZero,
        Some(2) => Photometric::Rgb,
        Some(3) => Photometric::Palette,
        Some(5) => Photometric::Cmyk,
        Some(6) => Photometric::YCbCr,
        Some(8..=10) => return Err(unsupported("CIE L*a*b* colours")),
        _ => return Err(unsupported("an unknown meaning of its samples")),
    })
}

pub(super) fn compression(directory: &Directory) -> Result<Compression, ImageError> {
    Ok(match directory.number(tag::COMPRESSION).unwrap_or(1) {
        1 => Compression::None,
        4 => Compression::Fax4,
        5 => Compression::Lzw,
        7 => Compression::Jpeg,
        8 | 32_946 => Compression::Deflate,
        32_773 => Compression::PackBits,
        2 | 3 => return Err(unsupported("fax compression of group 3")),
        6 => return Err(unsupported("old-style JPEG compression")),
        other => return Err(unsupported(&format!("compression {other}"))),
    })
}

/// Bits of each sample: all the same, unsigned.
pub(super) fn bits(directory: &Directory, samples: u32) -> Result<u32, ImageError> {
    let bits = directory.number(tag::BITS_PER_SAMPLE).unwrap_or(1);
    let all = |tag, wanted: u32| {
        let field = directory.field(tag);
        field.is_none_or(|field| (0..field.count.min(samples)).all(|i| directory.value(field, i) == Some(wanted)))
    };
    match directory.number(tag::SAMPLE_FORMAT).unwrap_or(1) {
        1 | 4 => {}
        2 => return Err(unsupported(&format!("signed {bits}-bit samples"))),
        3 => return Err(unsupported(&format!("{bits}-bit floating-point samples"))),
        _ => return Err(unsupported("samples of an unknown kind")),
    }
    if !all(tag::BITS_PER_SAMPLE, bits) || !matches!(bits, 1 | 2 | 4 | 8 | 16) {
        return Err(unsupported(&format!("{bits}-bit samples, or samples of several depths")));
    }
    Ok(bits)
}

pub(super) fn is_differenced(directory: &Directory, compression: Compression) -> Result<bool, ImageError> {
    match directory.number(tag::PREDICTOR).unwrap_or(1) {
        // It goes with these two only.
        2 => Ok(matches!(compression, Compression::Lzw | Compression::Deflate)),
        1 => Ok(false),
        other => Err(unsupported(&format!("predictor {other}"))),
    }
}

/// The first sample behind the colours.
pub(super) fn alpha(directory: &Directory, colours: u32, samples: u32) -> Alpha {
    let extra = directory.field(tag::EXTRA_SAMPLES).and_then(|field| directory.value(field, 0));
    match extra {
        Some(1) if samples > colours => Alpha::Premultiplied,
        Some(2) if samples > colours => Alpha::Straight,
        _ => Alpha::None,
    }
}

/// Size of a strip. The rows of one that is the whole picture may be stated as 2^32 - 1.
pub(super) fn strip(directory: &Directory, size: Size) -> Result<Size, ImageError> {
    let rows = directory.number(tag::ROWS_PER_STRIP).unwrap_or(u32::MAX).min(size.height);
    if rows == 0 || size.width == 0 {
        return Err(ImageError::corrupt("its width or height is zero"));
    }
    Ok(Size::new(size.width, rows))
}

pub(super) fn tile(directory: &Directory, size: Size) -> Result<Size, ImageError> {
    let tile = Size::new(required(directory, tag::TILE_WIDTH)?, required(directory, tag::TILE_HEIGHT)?);
    let most = size.pixel_count().saturating_mul(MAX_TILE_FACTOR).max(MAX_TILE_PIXELS);
    if !(1..=most).contains(&tile.pixel_count()) || size.pixel_count() == 0 {
        return Err(ImageError::corrupt("the tiles of the TIFF are far larger than its picture, or empty"));
    }
    Ok(tile)
}
