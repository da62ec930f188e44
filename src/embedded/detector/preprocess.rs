use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image};
use image::RgbImage;

use super::DetectorError;

/// Edge of the square the model looks at, in pixels.
pub(super) const SIDE: usize = 416;
const MEAN_BGR: [f32; 3] = [103.53, 116.28, 123.675];
const DEVIATION_BGR: [f32; 3] = [57.375, 57.12, 58.395];

/// The model's input `[1, 3, 416, 416]`: the whole picture stretched to the square, planes in the order blue, green,
/// red, each brought to the mean and deviation of the training pictures.
pub(super) fn input(picture: RgbImage) -> Result<Vec<f32>, DetectorError> {
    let square = stretch(picture)?;
    let mut planes = vec![0.0; 3 * SIDE * SIDE];
    for (plane, values) in planes.chunks_exact_mut(SIDE * SIDE).enumerate() {
        let channel = 2 - plane;
        let (mean, deviation) = (MEAN_BGR.get(plane).copied(), DEVIATION_BGR.get(plane).copied());
        let (Some(mean), Some(deviation)) = (mean, deviation) else { continue };
        for (value, pixel) in values.iter_mut().zip(square.chunks_exact(3)) {
            let level = pixel.get(channel).copied().unwrap_or_default();
            *value = (f32::from(level) - mean) / deviation;
        }
    }
    Ok(planes)
}

fn stretch(picture: RgbImage) -> Result<Vec<u8>, DetectorError> {
    let (width, height) = picture.dimensions();
    let failed = |error: &dyn std::fmt::Display| DetectorError::Run(format!("the picture cannot be resized: {error}"));
    let source = Image::from_vec_u8(width, height, picture.into_raw(), PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut square = Image::new(SIDE as u32, SIDE as u32, PixelType::U8x3);
    // The filter widens when it reduces: small things in a large picture do not fall between two samples.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut square, &options).map_err(|e| failed(&e))?;
    Ok(square.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_blue_green_red_around_the_mean() {
        let picture = RgbImage::from_pixel(7, 3, image::Rgb([255, 0, 100]));
        let planes = input(picture).unwrap();
        assert_eq!(planes.len(), 3 * SIDE * SIDE);
        let expected = [(100.0 - 103.53) / 57.375, (0.0 - 116.28) / 57.12, (255.0 - 123.675) / 58.395];
        for (plane, expected) in planes.chunks_exact(SIDE * SIDE).zip(expected) {
            assert!(plane.iter().all(|value| (value - expected).abs() < 1e-5));
        }
    }

    #[test]
    fn the_whole_picture_is_stretched() {
        let picture =
            RgbImage::from_fn(400, 40, |x, _| if x < 200 { image::Rgb([0; 3]) } else { image::Rgb([255; 3]) });
        let planes = input(picture).unwrap();
        let row = &planes[..SIDE];
        assert!(row[10] < 0.0 && row[SIDE - 10] > 0.0);
        assert_eq!(planes[..SIDE * SIDE].iter().filter(|value| **value < 0.0).count(), SIDE * SIDE / 2);
    }
}
