//! Turning pixels as EXIF says, so that the picture stands upright.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};

use super::ImageError;
use super::planes::Plane;

/// Turns a picture upright.
pub(super) fn rgb(picture: RgbImage, orientation: Option<Orientation>) -> RgbImage {
    match orientation {
        None | Some(Orientation::NoTransforms) => picture,
        Some(orientation) => {
            let mut picture = DynamicImage::ImageRgb8(picture);
            picture.apply_orientation(orientation);
            picture.into_rgb8()
        }
    }
}

/// Turns a plane upright.
pub(super) fn plane(plane: Plane, orientation: Option<Orientation>) -> Result<Plane, ImageError> {
    let orientation = match orientation {
        None | Some(Orientation::NoTransforms) => return Ok(plane),
        Some(orientation) => orientation,
    };
    let failed = || ImageError::corrupt("its pixels could not be turned");
    let edge = |samples: usize| u32::try_from(samples).map_err(|_| failed());
    let gray = GrayImage::from_raw(edge(plane.width)?, edge(plane.height)?, plane.samples).ok_or_else(failed)?;
    let mut picture = DynamicImage::ImageLuma8(gray);
    picture.apply_orientation(orientation);
    let gray = picture.into_luma8();
    let (width, height) = gray.dimensions();
    Ok(Plane { width: width as usize, height: height as usize, samples: gray.into_raw() })
}

/// Whether the stored columns, and the stored rows, lie in falling order once the picture stands upright.
pub(super) fn mirrors(orientation: Option<Orientation>) -> (bool, bool) {
    match orientation {
        None | Some(Orientation::NoTransforms | Orientation::Rotate90FlipH) => (false, false),
        Some(Orientation::FlipHorizontal | Orientation::Rotate270) => (true, false),
        Some(Orientation::FlipVertical | Orientation::Rotate90) => (false, true),
        Some(Orientation::Rotate180 | Orientation::Rotate270FlipH) => (true, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_told_as_planes_are_turned() {
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif);
            let source = Plane { width: 2, height: 2, samples: vec![0, 1, 2, 3] };
            let turned = plane(source, orientation).unwrap().samples;
            let place = |value: u8| turned.iter().position(|sample| *sample == value).unwrap();
            let sideways = exif >= 5;
            let step = |from: u8, to: u8, along_rows: bool| {
                if along_rows { place(to) / 2 > place(from) / 2 } else { place(to) % 2 > place(from) % 2 }
            };
            let (columns, rows) = mirrors(orientation);
            assert_eq!(step(0, 1, sideways), !columns, "columns of orientation {exif}");
            assert_eq!(step(0, 2, !sideways), !rows, "rows of orientation {exif}");
        }
    }
}
