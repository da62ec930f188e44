//! Sizes, boxes, and the frame that maps a model's pixels to the picture's own.

/// Width and height in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` columns and `height` rows.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The number of pixels.
    pub const fn pixel_count(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The size with width and height exchanged.
    pub const fn transposed(self) -> Self {
        Self::new(self.height, self.width)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A box as a model wrote it: two opposite corners, counted on the axes of a [`Frame`]. Untrusted: corners may be swapped,
/// outside the picture or not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawBox {
    /// First corner, x.
    pub x1: f64,
    /// First corner, y.
    pub y1: f64,
    /// Opposite corner, x.
    pub x2: f64,
    /// Opposite corner, y.
    pub y2: f64,
}

/// What was done to a model's box to make it true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// Swapped corners were put in order.
    Reordered,
    /// Scaled from the size the model saw.
    Rescaled,
    /// Cut at the edge of the picture.
    Clipped,
}

/// A rectangle in the upright original: never empty, never outside. Only [`Frame::locate`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundingBox {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    image: Size,
    adjustments: Vec<Adjustment>,
}

/// A box as fractions of the picture: each value in `[0, 1]`, and so are `left + width` and `top + height`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalizedBox {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl BoundingBox {
    /// Left edge in pixels, `0..image.width`.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Top edge in pixels, `0..image.height`.
    pub fn top(&self) -> u32 {
        self.top
    }

    /// Right edge in pixels, exclusive: greater than `left`, at most the picture's width.
    pub fn right(&self) -> u32 {
        self.right
    }

    /// Bottom edge in pixels, exclusive: greater than `top`, at most the picture's height.
    pub fn bottom(&self) -> u32 {
        self.bottom
    }

    /// Covered pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.right - self.left) * u64::from(self.bottom - self.top)
    }

    /// Whether all four edges lie within a hundredth of the picture from the picture's own.
    pub fn covers_picture(&self) -> bool {
        let at_edges = |from: u32, to: u32, whole: u32| {
            let margin = u64::from(from.max(whole - to.min(whole)));
            margin * 100 <= u64::from(whole)
        };
        at_edges(self.left, self.right, self.image.width) && at_edges(self.top, self.bottom, self.image.height)
    }

    /// The area that both boxes cover as a part of the area that either covers, `[0, 1]`; 1 for equal boxes.
    pub fn overlap(&self, other: &Self) -> f64 {
        let shared = |from: u32, to: u32| u64::from(to.saturating_sub(from));
        let both = shared(self.left.max(other.left), self.right.min(other.right))
            * shared(self.top.max(other.top), self.bottom.min(other.bottom));
        both as f64 / (self.area() as f64 + other.area() as f64 - both as f64)
    }

    /// What was done to the model's box, in order.
    pub fn adjustments(&self) -> &[Adjustment] {
        &self.adjustments
    }

    /// The same box as fractions, derived from the whole pixels so that both forms agree.
    pub fn normalized(&self) -> NormalizedBox {
        let (left, width) = fractions(self.left, self.right, self.image.width);
        let (top, height) = fractions(self.top, self.bottom, self.image.height);
        NormalizedBox { left, top, width, height }
    }
}

/// Start and extent of `from..to` as fractions of `whole`, whose sum is at most 1 in `f32` too.
fn fractions(from: u32, to: u32, whole: u32) -> (f32, f32) {
    let whole = f64::from(whole);
    let start = (f64::from(from) / whole) as f32;
    let extent = (f64::from(to - from) / whole) as f32;
    (start, extent.min(1.0 - start))
}

/// The upright original and the picture the model saw: everything that is needed to place a model's box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    original: Size,
    model: Size,
}

impl Frame {
    /// A frame of two sizes; a zero edge counts as 1.
    pub fn new(original: Size, model: Size) -> Self {
        let at_least_one = |size: Size| Size::new(size.width.max(1), size.height.max(1));
        Self { original: at_least_one(original), model: at_least_one(model) }
    }

    /// Size of the upright original.
    pub fn original(&self) -> Size {
        self.original
    }

    /// Size of the picture the model saw, without the padding that the model adds.
    pub fn model(&self) -> Size {
        self.model
    }

    /// The same original, for boxes that are counted on axes of another length: 1000x1000 for thousandths of the picture,
    /// 1x1 for fractions. A zero edge counts as 1.
    pub fn on_axes(&self, axes: Size) -> Self {
        Self::new(self.original, axes)
    }

    /// Places a model's box in the upright original: corners in order, scaled per axis, rounded to the nearest pixel,
    /// cut at the edges. `None` when a corner is not finite or nothing of the box lies inside the picture.
    ///
    /// A box that covers some of the picture but rounds to nothing grows to the pixel it lies in.
    pub fn locate(&self, raw: RawBox) -> Option<BoundingBox> {
        if ![raw.x1, raw.y1, raw.x2, raw.y2].iter().all(|v| v.is_finite()) {
            return None;
        }
        let (x1, x2) = (raw.x1.min(raw.x2), raw.x1.max(raw.x2));
        let (y1, y2) = (raw.y1.min(raw.y2), raw.y1.max(raw.y2));
        let (left, right, cut_x) = place(x1, x2, self.model.width, self.original.width)?;
        let (top, bottom, cut_y) = place(y1, y2, self.model.height, self.original.height)?;
        let adjustments = [
            (raw.x1 > raw.x2 || raw.y1 > raw.y2, Adjustment::Reordered),
            (self.model != self.original, Adjustment::Rescaled),
            (cut_x || cut_y, Adjustment::Clipped),
        ];
        let adjustments = adjustments.into_iter().filter_map(|(done, what)| done.then_some(what)).collect();
        Some(BoundingBox { left, top, right, bottom, image: self.original, adjustments })
    }
}

/// One axis of [`Frame::locate`]: the placed edges and whether they were cut.
fn place(low: f64, high: f64, model: u32, original: u32) -> Option<(u32, u32, bool)> {
    let (model, limit) = (f64::from(model), f64::from(original));
    let (cut_low, cut_high) = (low.clamp(0.0, model), high.clamp(0.0, model));
    if cut_high <= cut_low {
        return None;
    }
    let scale = limit / model;
    let (mut from, mut to) = ((cut_low * scale).round(), (cut_high * scale).round());
    if to <= from {
        from = (cut_low * scale).floor().min(limit - 1.0);
        to = from + 1.0;
    }
    Some((from as u32, to as u32, cut_low != low || cut_high != high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(x1: f64, y1: f64, x2: f64, y2: f64) -> RawBox {
        RawBox { x1, y1, x2, y2 }
    }

    #[test]
    fn scales_each_axis_by_the_size_the_model_saw() {
        let frame = Frame::new(Size::new(4032, 3024), Size::new(1270, 952));
        let placed = frame.locate(raw(0.0, 0.0, 1270.0, 476.0)).unwrap();
        assert_eq!((placed.left(), placed.top(), placed.right(), placed.bottom()), (0, 0, 4032, 1512));
        assert_eq!(placed.adjustments(), [Adjustment::Rescaled]);
    }

    #[test]
    fn the_original_guides_own_boxes_are_cut_or_dropped() {
        let size = Size::new(1280, 681);
        let frame = Frame::new(size, size);
        let stage = frame.locate(raw(1200.0, 400.0, 1900.0, 800.0)).unwrap();
        assert_eq!((stage.left(), stage.top(), stage.right(), stage.bottom()), (1200, 400, 1280, 681));
        assert_eq!(stage.adjustments(), [Adjustment::Clipped]);
        assert_eq!(frame.locate(raw(1300.0, 200.0, 1800.0, 500.0)), None);
    }

    #[test]
    fn swapped_corners_are_put_in_order_and_said() {
        let frame = Frame::new(Size::new(100, 100), Size::new(100, 100));
        let placed = frame.locate(raw(60.0, 10.0, 20.0, 50.0)).unwrap();
        assert_eq!((placed.left(), placed.right()), (20, 60));
        assert_eq!(placed.adjustments(), [Adjustment::Reordered]);
    }

    #[test]
    fn a_sliver_becomes_the_pixel_it_lies_in() {
        let frame = Frame::new(Size::new(10, 10), Size::new(1000, 1000));
        let placed = frame.locate(raw(996.0, 1.0, 999.0, 3.0)).unwrap();
        assert_eq!((placed.left(), placed.right(), placed.top(), placed.bottom()), (9, 10, 0, 1));
    }

    #[test]
    fn boxes_may_be_counted_on_other_axes() {
        let frame = Frame::new(Size::new(4032, 3024), Size::new(1270, 952));
        for (axes, whole) in [(Size::new(1000, 1000), 1000.0), (Size::new(1, 1), 1.0), (frame.original(), 4032.0)] {
            let placed = frame.on_axes(axes).locate(raw(0.0, 0.0, whole / 2.0, whole / 4.0)).unwrap();
            assert_eq!((placed.left(), placed.top(), placed.right()), (0, 0, 2016));
            assert_eq!(placed.adjustments().is_empty(), axes == frame.original(), "{axes}");
        }
    }

    #[test]
    fn overlap_and_whole_pictures_are_measured_in_pixels() {
        let frame = Frame::new(Size::new(200, 100), Size::new(200, 100));
        let at = |x1, y1, x2, y2| frame.locate(raw(x1, y1, x2, y2)).unwrap();
        assert_eq!(at(0.0, 0.0, 10.0, 10.0).overlap(&at(0.0, 0.0, 10.0, 10.0)), 1.0);
        assert_eq!(at(0.0, 0.0, 10.0, 10.0).overlap(&at(5.0, 0.0, 15.0, 10.0)), 50.0 / 150.0);
        assert_eq!(at(0.0, 0.0, 10.0, 10.0).overlap(&at(10.0, 0.0, 15.0, 10.0)), 0.0);
        assert!(at(2.0, 1.0, 198.0, 99.0).covers_picture());
        assert!(!at(3.0, 1.0, 198.0, 99.0).covers_picture());
        assert!(!at(2.0, 1.0, 198.0, 98.0).covers_picture());
    }

    #[test]
    fn corners_that_are_no_numbers_place_nothing() {
        let frame = Frame::new(Size::new(10, 10), Size::new(10, 10));
        assert_eq!(frame.locate(raw(f64::NAN, 0.0, 5.0, 5.0)), None);
        assert_eq!(frame.locate(raw(0.0, 0.0, f64::INFINITY, 5.0)), None);
    }

    proptest! {
        #[test]
        fn every_box_lies_inside_is_not_empty_and_both_forms_agree(
            (w, h) in (1u32..20_000, 1u32..20_000),
            (mw, mh) in (1u32..3_000, 1u32..3_000),
            (x1, y1, x2, y2) in (-4e4..4e4f64, -4e4..4e4f64, -4e4..4e4f64, -4e4..4e4f64),
        ) {
            let frame = Frame::new(Size::new(w, h), Size::new(mw, mh));
            if let Some(placed) = frame.locate(raw(x1, y1, x2, y2)) {
                prop_assert!(placed.left() < placed.right() && placed.right() <= w);
                prop_assert!(placed.top() < placed.bottom() && placed.bottom() <= h);
                let n = placed.normalized();
                for v in [n.left, n.top, n.width, n.height, n.left + n.width, n.top + n.height] {
                    prop_assert!((0.0..=1.0).contains(&v), "{n:?}");
                }
                prop_assert!((f64::from(n.left) * f64::from(w) - f64::from(placed.left())).abs() < 0.01);
                prop_assert!((f64::from(n.height) * f64::from(h) - f64::from(placed.bottom() - placed.top())).abs() < 0.01);
            }
        }

        #[test]
        fn a_box_of_whole_original_pixels_survives_the_way_there_and_back(
            (w, h) in (1u32..9_000, 1u32..9_000), (mw, mh) in (1u32..2_577, 1u32..2_577),
            (a, b, c, d) in (0.0..1.0f64, 0.0..1.0f64, 0.0..1.0f64, 0.0..1.0f64),
        ) {
            let at = |f: f64, edge: u32| (f * f64::from(edge)).floor();
            let (left, right) = (at(a.min(b), w), at(a.max(b), w) + 1.0);
            let (top, bottom) = (at(c.min(d), h), at(c.max(d), h) + 1.0);
            let (sx, sy) = (f64::from(mw) / f64::from(w), f64::from(mh) / f64::from(h));
            let frame = Frame::new(Size::new(w, h), Size::new(mw, mh));
            let placed = frame.locate(raw(left * sx, top * sy, right * sx, bottom * sy)).unwrap();
            prop_assert_eq!(
                [placed.left(), placed.top(), placed.right(), placed.bottom()].map(f64::from),
                [left, top, right, bottom]
            );
        }
    }
}
