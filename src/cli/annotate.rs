//! Draws what an analysis found onto the picture: objects in solid boxes, sensitive findings dashed, text dotted.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Cursor, Write as _},
    path::{Path, PathBuf},
};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageReader, Limits, Rgb, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    metadata::Orientation,
};

use super::{
    boxes::Rect,
    canvas::{Canvas, Colour, Font, Line},
    plain,
};
use crate::proto::ImageAnalysis;

/// Most pixels of a picture to draw on: as three bytes each they take 360 MB.
const MAX_PIXELS: u64 = 120_000_000;
/// Most bytes that decoding may allocate.
const MAX_DECODE_BYTES: u64 = 1 << 30;
/// Most boxes that are drawn.
const MAX_MARKS: usize = 1000;
/// Most characters of a name.
const MAX_NAME: usize = 40;
/// Most rows below a box's upper edge where its name may go.
const MAX_STACKED: i32 = 8;
/// JPEG quality of an annotated picture, 1 to 100.
const JPEG_QUALITY: u8 = 90;

/// Easy to tell apart, on dark and on bright pictures; one for each label.
const LABEL_COLOURS: [Colour; 10] = [
    Rgb([64, 196, 255]),
    Rgb([105, 240, 110]),
    Rgb([255, 202, 40]),
    Rgb([186, 104, 255]),
    Rgb([255, 138, 60]),
    Rgb([29, 233, 182]),
    Rgb([83, 109, 254]),
    Rgb([205, 220, 57]),
    Rgb([141, 110, 99]),
    Rgb([144, 164, 174]),
];
const FINDING_COLOUR: Colour = Rgb([255, 23, 68]);
const TEXT_COLOUR: Colour = Rgb([255, 255, 255]);
const DARK: Colour = Rgb([16, 16, 16]);

/// Why a picture cannot be drawn on or written.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// Not a picture that this client decodes.
    #[error("cannot decode the picture: {0}")]
    Decode(#[source] ImageError),
    /// Too many pixels.
    #[error("the picture has {0} pixels: at most {MAX_PIXELS} can be drawn on")]
    TooLarge(u64),
    /// The analysis belongs to another picture, so its boxes mean nothing here.
    #[error("the picture is {actual} upright but {analyzed} was analyzed: it changed in between")]
    OtherPicture {
        /// Size of this picture.
        actual: String,
        /// Size in the analysis.
        analyzed: String,
    },
    /// A file name that says no format.
    #[error("cannot tell the format from `{0}`: name the file .png, .jpg or .jpeg")]
    UnknownFormat(String),
    /// The picture could not be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        cause: ImageError,
    },
}

/// The upright picture with everything that has a place drawn onto it, at most the 1000 surest of each kind.
///
/// # Errors
/// Bytes that are no picture, more than 120 million pixels, or a picture of another size than the one analyzed.
pub fn annotate(bytes: &[u8], analysis: &ImageAnalysis) -> Result<RgbImage, AnnotateError> {
    let mut canvas = Canvas::new(upright(bytes, analysis)?);
    let marks = marks(analysis, canvas.bounds());
    let style = Style::of(canvas.bounds());
    // The surest come first and so are drawn last.
    marks.iter().rev().for_each(|mark| style.draw_box(&mut canvas, mark));
    let tags = style.place_tags(&marks, canvas.bounds());
    tags.iter().rev().for_each(|tag| style.draw_tag(&mut canvas, tag));
    Ok(canvas.into_image())
}

/// The opaque upright picture.
///
/// # Errors
/// As [`annotate`].
pub(super) fn upright(bytes: &[u8], analysis: &ImageAnalysis) -> Result<RgbImage, AnnotateError> {
    let facts = analysis.image.clone().unwrap_or_default();
    // The orientation that was applied decides the frame of the boxes.
    let image = decode(bytes, Some(facts.exif_orientation))?;
    let actual = (i64::from(image.width()), i64::from(image.height()));
    if actual != (i64::from(facts.width), i64::from(facts.height)) {
        let (actual, analyzed) = (format!("{}x{}", actual.0, actual.1), format!("{}x{}", facts.width, facts.height));
        return Err(AnnotateError::OtherPicture { actual, analyzed });
    }
    Ok(image)
}

/// The opaque picture, turned by this EXIF orientation; by the file's own when there is none.
pub(super) fn decode(bytes: &[u8], exif_orientation: Option<i32>) -> Result<RgbImage, AnnotateError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| AnnotateError::Decode(error.into()))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(AnnotateError::Decode)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(AnnotateError::TooLarge(pixels));
    }
    let orientation = match exif_orientation {
        Some(number) => u8::try_from(number).ok().and_then(Orientation::from_exif),
        None => decoder.orientation().ok(),
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(AnnotateError::Decode)?;
    image.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(opaque(image))
}

/// The picture without transparency, on white.
fn opaque(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut flat = RgbImage::from_pixel(image.width(), image.height(), Rgb([255, 255, 255]));
    for (below, above) in flat.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = above.0.map(u32::from);
        let mix = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        *below = Rgb([mix(red), mix(green), mix(blue)]);
    }
    flat
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Label,
    Finding,
    Text,
}

/// One box to draw, inside the picture and not empty.
struct Mark {
    kind: Kind,
    rect: Rect,
    name: String,
    colour: Colour,
}

fn marks(analysis: &ImageAnalysis, bounds: Rect) -> Vec<Mark> {
    let findings = analysis.sensitivity.iter().flat_map(|sensitivity| &sensitivity.findings).filter_map(|finding| {
        let rect = Rect::of(finding.r#box.as_ref())?.intersection(bounds)?;
        Some(Mark { kind: Kind::Finding, rect, name: format!("! {}", finding.category), colour: FINDING_COLOUR })
    });
    let lines = analysis.text.iter().flat_map(|text| &text.lines).filter_map(|line| {
        let rect = Rect::of(line.r#box.as_ref())?.intersection(bounds)?;
        Some(Mark { kind: Kind::Text, rect, name: line.text.clone(), colour: TEXT_COLOUR })
    });
    let mut marks: Vec<_> = findings.take(MAX_MARKS).chain(label_marks(analysis, bounds)).collect();
    marks.extend(lines.take(MAX_MARKS));
    marks
}

fn label_marks(analysis: &ImageAnalysis, bounds: Rect) -> Vec<Mark> {
    let mut colours: HashMap<&str, Colour> = HashMap::new();
    let mut palette = LABEL_COLOURS.into_iter().cycle();
    let mut marks = vec![];
    for label in analysis.labels.iter().flat_map(|labels| &labels.labels) {
        let colour = *colours.entry(&label.name).or_insert_with(|| palette.next().unwrap_or(TEXT_COLOUR));
        for instance in &label.instances {
            let rect = Rect::of(instance.r#box.as_ref()).and_then(|rect| rect.intersection(bounds));
            let Some(rect) = rect else { continue };
            let confidence = instance.confidence.or(label.confidence);
            let percent = confidence.map(|share| format!(" {:.0}%", share * 100.0)).unwrap_or_default();
            let name: String = label.name.chars().take(MAX_NAME).collect();
            marks.push((confidence.unwrap_or(0.0), Mark { kind: Kind::Label, rect, name: name + &percent, colour }));
        }
    }
    marks.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    marks.into_iter().map(|(_, mark)| mark).take(MAX_MARKS).collect()
}

/// A name on a filled ground.
struct Tag {
    rect: Rect,
    text: String,
    colour: Colour,
}

/// Sizes that fit the picture.
struct Style {
    thickness: i32,
    font: Font,
}

impl Style {
    fn of(bounds: Rect) -> Self {
        let edge = bounds.right.min(bounds.bottom);
        let thinnest = if edge < 200 { 1 } else { 2 };
        Self { thickness: (edge / 230).clamp(thinnest, 24), font: Font::near(edge / 32) }
    }

    fn draw_box(&self, canvas: &mut Canvas, mark: &Mark) {
        let Rect { left, top, right, bottom } = mark.rect;
        let around = Rect::new(left - 1, top - 1, right + 1, bottom + 1);
        match mark.kind {
            Kind::Label => {
                canvas.outline(around, 1, DARK, Line::Solid);
                canvas.outline(mark.rect, self.thickness, mark.colour, Line::Solid);
            }
            Kind::Finding => {
                // Inside, so that an object's own box with the same corners stays visible.
                let inset = self.thickness + 1;
                let inner = Rect::new(left + inset, top + inset, right - inset, bottom - inset);
                let rect = if inner.area() > 0 { inner } else { mark.rect };
                canvas.outline(rect, self.thickness, TEXT_COLOUR, Line::Solid);
                canvas.outline(rect, self.thickness, mark.colour, Line::Dashed(self.thickness * 5));
            }
            Kind::Text => {
                let thin = (self.thickness / 2).max(1);
                canvas.outline(mark.rect, thin, DARK, Line::Solid);
                canvas.outline(mark.rect, thin, mark.colour, Line::Dashed(thin * 2));
            }
        }
    }

    /// A tag for each mark, the surest first: where it covers no other, if such a place is near its box.
    fn place_tags(&self, marks: &[Mark], bounds: Rect) -> Vec<Tag> {
        let mut tags: Vec<Tag> = vec![];
        for mark in marks {
            let Some((text, width, height)) = self.tag_text(&mark.name, mark.kind, bounds) else { continue };
            let Rect { left, top, right, bottom } = mark.rect;
            let corners = [
                (left, top - height),
                (right - width, top - height),
                (left, top),
                (right - width, top),
                (left, bottom),
                (right - width, bottom),
                (left, bottom - height),
                (right - width, bottom - height),
            ];
            // Boxes with the same corners list their names one below the other.
            let below = (1..=MAX_STACKED).map(|row| (left, top + row * height));
            let nearest = within(bounds, left, top - height, width, height);
            let mut places = corners.into_iter().chain(below).map(|(x, y)| within(bounds, x, y, width, height));
            let free = |place: &Rect| tags.iter().all(|tag| tag.rect.intersection(*place).is_none());
            let rect = places.find(free).unwrap_or(nearest);
            tags.push(Tag { rect, text, colour: mark.colour });
        }
        tags
    }

    /// The text as far as it fits into the picture, with its tag's size. `None` when nothing can be read anyway.
    fn tag_text(&self, name: &str, kind: Kind, bounds: Rect) -> Option<(String, i32, i32)> {
        let drawable = |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}');
        if kind == Kind::Text && !name.chars().all(drawable) {
            return None;
        }
        let (padding, height) = (self.padding(), self.font.height());
        let room = usize::try_from((bounds.right - 2 * padding) / self.font.advance()).ok()?.min(MAX_NAME + 5);
        let text: String = plain::line(name).chars().take(room).collect();
        let length = i32::try_from(text.chars().count()).ok()?;
        let width = length * self.font.advance() + 2 * padding;
        (length > 0 && height <= bounds.bottom).then_some((text, width, height))
    }

    fn padding(&self) -> i32 {
        self.font.height() / 5
    }

    fn draw_tag(&self, canvas: &mut Canvas, tag: &Tag) {
        canvas.fill(tag.rect, tag.colour, 235);
        let [red, green, blue] = tag.colour.0.map(u32::from);
        // Perceived brightness (ITU-R BT.601).
        let bright = 299 * red + 587 * green + 114 * blue > 128_000;
        let ink = if bright { DARK } else { TEXT_COLOUR };
        canvas.text(tag.rect.left + self.padding(), tag.rect.top, &tag.text, self.font, ink);
    }
}

/// The rectangle of this size at this place, moved into the picture.
fn within(bounds: Rect, x: i32, y: i32, width: i32, height: i32) -> Rect {
    let x = x.min(bounds.right - width).max(0);
    let y = y.min(bounds.bottom - height).max(0);
    Rect::new(x, y, x + width, y + height)
}

/// Where an annotated picture goes: a file whose name says the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    path: PathBuf,
    jpeg: bool,
}

impl Output {
    /// The file at `path`, `.png`, `.jpg` or `.jpeg` in any case.
    ///
    /// # Errors
    /// Another extension, or none.
    pub fn new(path: &Path) -> Result<Self, AnnotateError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let jpeg = match extension.as_deref() {
            Some("png") => false,
            Some("jpg" | "jpeg") => true,
            _ => return Err(AnnotateError::UnknownFormat(plain::line(&path.display().to_string()))),
        };
        Ok(Self { path: path.to_owned(), jpeg })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the picture; a file that is there is replaced.
    ///
    /// # Errors
    /// A folder that is missing, say, or no room on the disk.
    pub fn write(&self, image: &RgbImage) -> Result<(), AnnotateError> {
        self.try_write(image)
            .map_err(|cause| AnnotateError::Write { path: plain::line(&self.path.display().to_string()), cause })
    }

    fn try_write(&self, image: &RgbImage) -> Result<(), ImageError> {
        let mut file = BufWriter::new(File::create(&self.path)?);
        let (width, height, colour) = (image.width(), image.height(), ExtendedColorType::Rgb8);
        if self.jpeg {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY).write_image(image, width, height, colour)?;
        } else {
            PngEncoder::new(&mut file).write_image(image, width, height, colour)?;
        }
        Ok(file.flush()?)
    }
}

#[cfg(test)]
#[path = "annotate_tests.rs"]
mod tests;
