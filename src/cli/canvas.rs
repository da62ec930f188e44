//! A picture to draw on. Everything is cut at its edges, so no rectangle and no text can reach outside.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

use super::boxes::Rect;

/// A colour.
pub type Colour = Rgb<u8>;

/// How an outline is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Without gaps.
    Solid,
    /// Dashes and gaps of this many pixels each.
    Dashed(i32),
}

/// A picture to draw on.
#[derive(Debug)]
pub struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// Draws on this picture.
    pub fn new(image: RgbImage) -> Self {
        Self { image }
    }

    /// The picture.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// The whole picture; edges beyond `i32` count as the largest.
    pub fn bounds(&self) -> Rect {
        let edge = |length| i32::try_from(length).unwrap_or(i32::MAX);
        Rect::new(0, 0, edge(self.image.width()), edge(self.image.height()))
    }

    /// Covers the rectangle; `opacity` 255 hides what is below.
    pub fn fill(&mut self, rect: Rect, colour: Colour, opacity: u8) {
        let Some(rect) = rect.intersection(self.bounds()) else { return };
        for y in rect.top..rect.bottom {
            for x in rect.left..rect.right {
                self.blend(x, y, colour, opacity);
            }
        }
    }

    /// Draws the rectangle's edge, `thickness` pixels inwards.
    pub fn outline(&mut self, rect: Rect, thickness: i32, colour: Colour, line: Line) {
        let Some(rect) = rect.intersection(self.bounds()) else { return };
        let thickness = thickness.min(rect.right - rect.left).min(rect.bottom - rect.top).max(1);
        let Rect { left, top, right, bottom } = rect;
        let edges = [
            Rect::new(left, top, right, top + thickness),
            Rect::new(left, bottom - thickness, right, bottom),
            Rect::new(left, top + thickness, left + thickness, bottom - thickness),
            Rect::new(right - thickness, top + thickness, right, bottom - thickness),
        ];
        for edge in edges {
            match line {
                Line::Solid => self.fill(edge, colour, 255),
                Line::Dashed(dash) => self.dashes(edge, dash.max(1), colour),
            }
        }
    }

    /// Fills every other piece of an edge along its longer side.
    fn dashes(&mut self, edge: Rect, dash: i32, colour: Colour) {
        let across = edge.width() >= edge.height();
        let (from, to) = if across { (edge.left, edge.right) } else { (edge.top, edge.bottom) };
        let step = usize::try_from(dash.saturating_mul(2)).unwrap_or(1);
        for start in (from..to).step_by(step) {
            let end = start.saturating_add(dash).min(to);
            let piece = if across {
                Rect::new(start, edge.top, end, edge.bottom)
            } else {
                Rect::new(edge.left, start, edge.right, end)
            };
            self.fill(piece, colour, 255);
        }
    }

    /// Writes one line of text from its top left corner. What the font lacks becomes `?`.
    pub fn text(&mut self, left: i32, top: i32, text: &str, font: Font, colour: Colour) {
        let mut x = left;
        for c in text.chars() {
            if let Some(glyph) = font.glyph(c) {
                self.glyph(x, top, glyph, font, colour);
            }
            x = x.saturating_add(font.advance());
        }
    }

    fn glyph(&mut self, left: i32, top: i32, glyph: RasterizedChar, font: Font, colour: Colour) {
        for y in 0..font.height {
            for x in 0..font.advance() {
                let coverage = font.coverage(glyph, x, y);
                self.blend(left.saturating_add(x), top.saturating_add(y), colour, coverage);
            }
        }
    }

    fn blend(&mut self, x: i32, y: i32, colour: Colour, opacity: u8) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        let Some(pixel) = self.image.get_pixel_mut_checked(x, y) else { return };
        for (below, above) in pixel.0.iter_mut().zip(colour.0) {
            let mixed = u32::from(*below) * (255 - u32::from(opacity)) + u32::from(above) * u32::from(opacity);
            // A mean of two bytes is a byte.
            *below = ((mixed + 127) / 255) as u8;
        }
    }
}

/// The font at one height: drawn as it was rastered up to 32 pixels, enlarged from there.
#[derive(Debug, Clone, Copy)]
pub struct Font {
    height: i32,
    raster: RasterHeight,
}

impl Font {
    /// The font at about `height` pixels, 16 to 256.
    pub fn near(height: i32) -> Self {
        let (height, raster) = match height {
            ..18 => (16, RasterHeight::Size16),
            18..22 => (20, RasterHeight::Size20),
            22..28 => (24, RasterHeight::Size24),
            28..40 => (32, RasterHeight::Size32),
            _ => (height.min(256), RasterHeight::Size32),
        };
        Self { height, raster }
    }

    /// Height of a line in pixels.
    pub fn height(self) -> i32 {
        self.height
    }

    /// Width of every character in pixels.
    pub fn advance(self) -> i32 {
        // At most 32, as the raster's height is.
        let width = get_raster_width(FontWeight::Bold, self.raster) as f32;
        (width * self.scale()).round() as i32
    }

    fn scale(self) -> f32 {
        self.height as f32 / self.raster.val() as f32
    }

    fn glyph(self, c: char) -> Option<RasterizedChar> {
        let raster = |c| get_raster(c, FontWeight::Bold, self.raster);
        raster(c).or_else(|| raster('?'))
    }

    /// How much of the pixel the glyph covers, between its four nearest samples.
    fn coverage(self, glyph: RasterizedChar, x: i32, y: i32) -> u8 {
        let at = |pixel: i32| ((pixel as f32 + 0.5) / self.scale() - 0.5).max(0.0);
        let (x, y) = (at(x), at(y));
        let (column, row) = (x as usize, y as usize);
        let sample = |dx, dy| f32::from(glyph.pixel(column + dx, row + dy).unwrap_or(0));
        let (fx, fy) = (x.fract(), y.fract());
        let above = sample(0, 0) * (1.0 - fx) + sample(1, 0) * fx;
        let below = sample(0, 1) * (1.0 - fx) + sample(1, 1) * fx;
        (above * (1.0 - fy) + below * fy).round() as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLACK: Colour = Rgb([0, 0, 0]);
    const RED: Colour = Rgb([255, 0, 0]);

    fn canvas(width: u32, height: u32) -> Canvas {
        Canvas::new(RgbImage::from_pixel(width, height, BLACK))
    }

    #[test]
    fn an_outline_lies_inside_its_rectangle() {
        let mut canvas = canvas(20, 20);
        canvas.outline(Rect::new(4, 5, 14, 15), 2, RED, Line::Solid);
        let image = canvas.into_image();
        let red = |x, y| *image.get_pixel(x, y) == RED;
        assert!(red(4, 5) && red(13, 14) && red(5, 6) && red(12, 13) && red(4, 10) && red(9, 14));
        assert!(!red(3, 5) && !red(14, 14) && !red(4, 15) && !red(6, 7) && !red(9, 10));
    }

    #[test]
    fn dashes_leave_gaps() {
        let mut canvas = canvas(40, 40);
        canvas.outline(Rect::new(0, 0, 40, 40), 1, RED, Line::Dashed(5));
        let image = canvas.into_image();
        let top: Vec<_> = (0..20).map(|x| *image.get_pixel(x, 0) == RED).collect();
        assert_eq!(top, [[true; 5], [false; 5], [true; 5], [false; 5]].concat());
    }

    #[test]
    fn text_is_drawn_at_every_height_and_the_unknown_as_a_question_mark() {
        for height in [1, 16, 20, 24, 32, 100, 10_000] {
            let font = Font::near(height);
            let written = |text: &str| {
                let mut canvas = canvas(600, 300);
                canvas.text(2, 2, text, font, RED);
                canvas.into_image()
            };
            let drawn = written("a").pixels().filter(|pixel| pixel.0[0] > 200).count();
            assert!(drawn > 10, "{height}: {drawn}");
            assert_eq!(written("사"), written("?"));
        }
    }

    proptest! {
        #[test]
        fn nothing_reaches_outside_or_panics(
            l: i32, t: i32, r: i32, b: i32, thickness: i32, dash: i32, w in 1u32..40, h in 1u32..40,
        ) {
            let mut canvas = canvas(w, h);
            let rect = Rect::new(l, t, r, b);
            canvas.fill(rect, RED, 100);
            canvas.outline(rect, thickness, RED, Line::Solid);
            canvas.outline(rect, thickness, RED, Line::Dashed(dash));
            canvas.text(l, t, "ab", Font::near(16), RED);
        }
    }
}
