//! Plain rectangles out of the contract's four corners.

use std::fmt;

use crate::proto;

/// A rectangle in pixels: `right` and `bottom` are exclusive. Untrusted as it comes: may be empty or outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub left: i32,
    /// Top edge.
    pub top: i32,
    /// Right edge.
    pub right: i32,
    /// Bottom edge.
    pub bottom: i32,
}

impl Rect {
    /// A rectangle from its edges.
    pub const fn new(left: i32, top: i32, right: i32, bottom: i32) -> Self {
        Self { left, top, right, bottom }
    }

    /// The rectangle of a box's top left and bottom right corners; `None` when one is missing.
    pub fn of(bounding_box: Option<&proto::BoundingBox>) -> Option<Self> {
        let corners = bounding_box?.pixels?;
        let (from, to) = (corners.top_left?, corners.bottom_right?);
        Some(Self::new(from.x?, from.y?, to.x?, to.y?))
    }

    /// Width in pixels, 0 when empty.
    pub fn width(self) -> i64 {
        (i64::from(self.right) - i64::from(self.left)).max(0)
    }

    /// Height in pixels, 0 when empty.
    pub fn height(self) -> i64 {
        (i64::from(self.bottom) - i64::from(self.top)).max(0)
    }

    /// Covered pixels, 0 when empty.
    pub fn area(self) -> i64 {
        self.width().saturating_mul(self.height())
    }

    /// What both cover; `None` when that is nothing.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self::new(
            self.left.max(other.left),
            self.top.max(other.top),
            self.right.min(other.right),
            self.bottom.min(other.bottom),
        );
        (both.area() > 0).then_some(both)
    }

    /// Whether the rectangle covers something and all of it lies inside a picture of this size.
    pub fn is_inside(self, width: i32, height: i32) -> bool {
        self.area() > 0 && self.left >= 0 && self.top >= 0 && self.right <= width && self.bottom <= height
    }

    /// The part of the area that lies inside a picture of this size, `[0, 1]`.
    pub fn share_inside(self, width: i32, height: i32) -> f32 {
        let inside = self.intersection(Self::new(0, 0, width, height)).map_or(0, Self::area);
        if self.area() == 0 { 0.0 } else { (inside as f64 / self.area() as f64) as f32 }
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})-({},{})", self.left, self.top, self.right, self.bottom)
    }
}

/// Every box of the labels with its label. `None` where the contract promises a box but none is there.
pub fn of_labels(analysis: &proto::ImageAnalysis) -> impl Iterator<Item = (&str, Option<Rect>)> {
    let labels = analysis.labels.iter().flat_map(|labels| &labels.labels);
    labels.flat_map(|label| {
        label.instances.iter().map(|instance| (label.name.as_str(), Rect::of(instance.r#box.as_ref())))
    })
}

/// Every box of an analysis, with what it belongs to. `None` where the contract promises a box but none is there.
pub fn all(analysis: &proto::ImageAnalysis) -> Vec<(&str, Option<Rect>)> {
    let findings = analysis.sensitivity.iter().flat_map(|sensitivity| &sensitivity.findings);
    let findings = findings.filter(|finding| finding.r#box.is_some());
    let findings = findings.map(|finding| (finding.category.as_str(), Rect::of(finding.r#box.as_ref())));
    let lines = analysis.text.iter().flat_map(|text| &text.lines).filter(|line| line.r#box.is_some());
    let lines = lines.map(|line| (line.text.as_str(), Rect::of(line.r#box.as_ref())));
    of_labels(analysis).chain(findings).chain(lines).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A box of the contract with all four corners.
    pub(crate) fn bounding_box(left: i32, top: i32, right: i32, bottom: i32) -> proto::BoundingBox {
        let point = |x, y| Some(proto::PixelPoint { x: Some(x), y: Some(y) });
        let corners = proto::PixelCorners {
            top_left: point(left, top),
            top_right: point(right, top),
            bottom_right: point(right, bottom),
            bottom_left: point(left, bottom),
        };
        proto::BoundingBox { pixels: Some(corners), normalized: None, adjustments: vec![] }
    }

    #[test]
    fn the_share_inside_is_of_the_area() {
        assert_eq!(Rect::new(-10, 0, 10, 10).share_inside(100, 100), 0.5);
        assert_eq!(Rect::new(100, 0, 110, 10).share_inside(100, 100), 0.0);
        assert_eq!(Rect::new(5, 5, 5, 5).share_inside(100, 100), 0.0);
    }

    #[test]
    fn a_box_without_a_corner_is_none() {
        let mut incomplete = bounding_box(1, 2, 3, 4);
        incomplete.pixels.as_mut().unwrap().top_left = None;
        assert_eq!(Rect::of(Some(&incomplete)), None);
        assert_eq!(Rect::of(Some(&bounding_box(1, 2, 3, 4))), Some(Rect::new(1, 2, 3, 4)));
    }

    proptest! {
        #[test]
        fn any_corners_are_handled(l: i32, t: i32, r: i32, b: i32, w in 1..i32::MAX, h in 1..i32::MAX) {
            let rect = Rect::new(l, t, r, b);
            let share = rect.share_inside(w, h);
            prop_assert!((0.0..=1.0).contains(&share));
            if rect.is_inside(w, h) {
                prop_assert_eq!(share, 1.0);
            }
        }
    }
}
