//! Generated pictures: one dark rectangle on a light background, in every format, stored under every EXIF orientation,
//! and a finder that says where the rectangle lies in the picture that a model was given.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageEncoder as _, Rgb, RgbImage,
    codecs::{gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use serde_json::{Value, json};

const BACKGROUND: Rgb<u8> = Rgb([240, 240, 230]);
const RECTANGLE: Rgb<u8> = Rgb([20, 40, 120]);

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::WebP];

    /// Those that can hold EXIF.
    pub const WITH_EXIF: [Self; 3] = [Self::Jpeg, Self::Png, Self::WebP];

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

/// Edges in whole pixels; right and bottom are the first column and row outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

/// A picture with one rectangle, as people see it: upright.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub width: u32,
    pub height: u32,
    pub rectangle: Rect,
}

impl Scene {
    /// A picture whose rectangle is in no way symmetrical: every turn and flip puts it elsewhere.
    pub fn new(width: u32, height: u32) -> Self {
        let part = |length: u32, numerator: u32| length * numerator / 16;
        let rectangle = Rect {
            left: part(width, 2),
            top: part(height, 5),
            right: part(width, 7),
            bottom: part(height, 8).max(part(height, 5) + 1),
        };
        Self { width, height, rectangle }
    }

    /// The same with the rectangle elsewhere.
    pub fn with_rectangle(self, rectangle: Rect) -> Self {
        Self { rectangle, ..self }
    }

    /// The pixels as people see them.
    pub fn upright(&self) -> RgbImage {
        RgbImage::from_fn(self.width, self.height, |x, y| self.colour(x, y))
    }

    /// The file, without EXIF.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        encode(&self.upright(), format, None)
    }

    /// A file that names the EXIF orientation 1 to 8 and whose pixels are stored so that the upright picture is this
    /// scene.
    pub fn encode_oriented(&self, format: Format, orientation: u8) -> Vec<u8> {
        assert!(Format::WITH_EXIF.contains(&format), "{format:?} holds no EXIF");
        encode(&self.stored(orientation), format, Some(exif(orientation)))
    }

    /// The pixels as they lie in a file with this orientation.
    pub fn stored(&self, orientation: u8) -> RgbImage {
        let (width, height) = if orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) };
        RgbImage::from_fn(width, height, |column, row| {
            let (x, y) = self.seen_at(orientation, column, row);
            self.colour(x, y)
        })
    }

    /// Where a stored pixel is seen, by the table of the EXIF standard: what the 0th row and the 0th column are.
    fn seen_at(&self, orientation: u8, column: u32, row: u32) -> (u32, u32) {
        let from_right = |distance: u32| self.width - 1 - distance;
        let from_bottom = |distance: u32| self.height - 1 - distance;
        match orientation {
            1 => (column, row),
            2 => (from_right(column), row),
            3 => (from_right(column), from_bottom(row)),
            4 => (column, from_bottom(row)),
            5 => (row, column),
            6 => (from_right(row), column),
            7 => (from_right(row), from_bottom(column)),
            8 => (row, from_bottom(column)),
            _ => panic!("{orientation} is no EXIF orientation"),
        }
    }

    fn colour(&self, x: u32, y: u32) -> Rgb<u8> {
        let Rect { left, top, right, bottom } = self.rectangle;
        if (left..right).contains(&x) && (top..bottom).contains(&y) { RECTANGLE } else { BACKGROUND }
    }
}

/// A TIFF block with the orientation as its only entry.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0".to_vec();
    tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    tiff.extend([0; 4]);
    tiff
}

fn encode(pixels: &RgbImage, format: Format, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = pixels.dimensions();
    macro_rules! write_with {
        ($encoder:expr) => {{
            let mut encoder = $encoder;
            if let Some(exif) = exif {
                encoder.set_exif_metadata(exif).unwrap();
            }
            encoder.write_image(pixels, width, height, ExtendedColorType::Rgb8).unwrap();
        }};
    }
    match format {
        Format::Jpeg => write_with!(JpegEncoder::new_with_quality(&mut file, 92)),
        Format::Png => write_with!(PngEncoder::new(&mut file)),
        Format::WebP => write_with!(WebPEncoder::new_lossless(&mut file)),
        Format::Gif => {
            let frame = image::Frame::new(DynamicImage::from(pixels.clone()).into_rgba8());
            GifEncoder::new_with_speed(&mut file, 30).encode_frame(frame).unwrap();
        }
    }
    file
}

/// The rectangle as it was found: edges in pixels, exact to a fraction of one.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Found {
    /// The box as a model writes it: two corners in whole pixels.
    pub fn as_box(&self) -> Value {
        let [x1, y1, x2, y2] = [self.left, self.top, self.right, self.bottom].map(|edge| edge.round() as i64);
        json!({"x1": x1, "y1": y1, "x2": x2, "y2": y2})
    }

    /// The same box scaled from `from` to `to`, each as width and height.
    pub fn scaled(&self, from: (u32, u32), to: (u32, u32)) -> Self {
        let (x, y) = (f64::from(to.0) / f64::from(from.0), f64::from(to.1) / f64::from(from.1));
        Self { left: self.left * x, top: self.top * y, right: self.right * x, bottom: self.bottom * y }
    }

    /// The farthest that an edge lies from the rectangle's, in pixels.
    pub fn distance(&self, rectangle: Rect) -> f64 {
        let Rect { left, top, right, bottom } = rectangle;
        let edges = [(self.left, left), (self.top, top), (self.right, right), (self.bottom, bottom)];
        edges.into_iter().map(|(found, true_edge)| (found - f64::from(true_edge)).abs()).fold(0.0, f64::max)
    }
}

/// Finds the rectangle in an encoded picture as its pixels are stored: EXIF is not looked at, as no model does. `None`
/// when it is not there.
pub fn find_rectangle(file: &[u8]) -> Option<Found> {
    let picture = image::load_from_memory(file).expect("a picture that can be decoded").into_rgb8();
    find_in(&picture)
}

/// The size of an encoded picture as its pixels are stored.
pub fn stored_size(file: &[u8]) -> (u32, u32) {
    let reader = image::ImageReader::new(Cursor::new(file)).with_guessed_format().unwrap();
    reader.into_dimensions().unwrap()
}

fn find_in(picture: &RgbImage) -> Option<Found> {
    let (width, height) = picture.dimensions();
    let dark = |x: u32, y: u32| coverage(picture.get_pixel(x, y)) > 0.5;
    let columns = span(width, |x| (0..height).any(|y| dark(x, y)))?;
    let rows = span(height, |y| (0..width).any(|x| dark(x, y)))?;
    let (middle_x, middle_y) = (columns.0.midpoint(columns.1), rows.0.midpoint(rows.1));
    let (left, right) = edges(columns, width, |x| coverage(picture.get_pixel(x, middle_y)));
    let (top, bottom) = edges(rows, height, |y| coverage(picture.get_pixel(middle_x, y)));
    Some(Found { left, top, right, bottom })
}

/// The first and the last index for which `inside` holds.
fn span(length: u32, inside: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
    Some(((0..length).find(|at| inside(*at))?, (0..length).rfind(|at| inside(*at))?))
}

/// The edges along one line: from the middle outward, the covered length is the sum of what each pixel is covered.
fn edges((first, last): (u32, u32), length: u32, covered: impl Fn(u32) -> f64) -> (f64, f64) {
    /// How far a resampling filter smears an edge.
    const SMEAR: u32 = 4;
    let middle = first.midpoint(last);
    let before: f64 = (first.saturating_sub(SMEAR)..middle).map(&covered).sum();
    let after: f64 = (middle..(last + SMEAR + 1).min(length)).map(&covered).sum();
    (f64::from(middle) - before, f64::from(middle) + after)
}

/// How much of a pixel the rectangle covers, 0 to 1, by its lightness.
fn coverage(pixel: &Rgb<u8>) -> f64 {
    let light = |Rgb([r, g, b]): &Rgb<u8>| 0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b);
    let (background, rectangle) = (light(&BACKGROUND), light(&RECTANGLE));
    ((background - light(pixel)) / (background - rectangle)).clamp(0.0, 1.0)
}
