//! The frame in which a model really wrote its boxes.
//!
//! A model that was told to write pixels of the picture it sees sometimes writes pixels of a larger picture, thousandths
//! or fractions. One box says nothing about it; all boxes of an answer together may. The rule is careful, for a wrong
//! change of frame ruins boxes that were right, while boxes left in a wrong frame are cut or dropped, which is said:
//!
//! 1. All values lie in `[0, 1]`, give or take a hair, and one of them is a fraction: fractions of the picture. As pixels
//!    or thousandths, every box would lie within the first of them.
//! 2. Otherwise, all boxes fit the frame that was asked for, give or take 2 % of an edge: they stay in it.
//! 3. Otherwise, another frame is taken only if every box lies wholly inside it and they reach over a good part of it and
//!    far out of the frame that was asked for; at least half of the boxes that differ, three of them (both, when there are
//!    but two), reach out of that frame, and one has its centre outside, so that it is more than a box drawn too large.
//!    Told to write pixels, a model may have written the original's pixels, or thousandths of a picture that is smaller
//!    than that both ways; when both would fit, the answer stays as it is. Told to write thousandths, it may have written
//!    pixels of the picture it saw or, when those do not fit, the original's.

use std::collections::HashSet;

use crate::domain::{Coordinates, Frame, RawBox, Size};

/// The unit in which a model counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Pixels of the picture as the model saw it.
    ModelPixels,
    /// Pixels of the upright original.
    OriginalPixels,
    /// Thousandths of the picture.
    PerMille,
    /// Fractions of the picture.
    Fractions,
}

/// Least edge of a frame, in its own units, whose boxes can be told from fractions.
const LEAST_EDGE: u32 = 16;

/// How far a box may reach out of a frame and still be one that was drawn too large, as a part of the edge.
const OVERSHOOT: f64 = 0.02;

/// How far fractions may reach out of the picture: there is nothing else that they could be.
const FRACTION_OVERSHOOT: f64 = 0.05;

/// The part of an edge of another frame over which boxes written in it reach.
const GOOD_PART: f64 = 0.5;

/// How far boxes of another frame reach, in edges of the one that was asked for.
const FAR_OUT: f64 = 1.25;

impl Unit {
    /// The unit that was asked for.
    pub(super) fn asked(coordinates: Coordinates) -> Self {
        match coordinates {
            Coordinates::Pixels => Self::ModelPixels,
            Coordinates::PerMille => Self::PerMille,
        }
    }

    /// The lengths of the picture's edges in this unit.
    fn axes(self, frame: &Frame) -> Size {
        match self {
            Self::ModelPixels => frame.model(),
            Self::OriginalPixels => frame.original(),
            Self::PerMille => Size::new(1000, 1000),
            Self::Fractions => Size::new(1, 1),
        }
    }

    /// The frame that places boxes of this unit.
    pub(super) fn frame(self, frame: &Frame) -> Frame {
        frame.on_axes(self.axes(frame))
    }

    /// The unit in words.
    pub(super) fn describe(self, frame: &Frame) -> String {
        match self {
            Self::ModelPixels => format!("pixels of the picture as sent ({})", frame.model()),
            Self::OriginalPixels => format!("pixels of the original picture ({})", frame.original()),
            Self::PerMille => "thousandths of the picture".to_owned(),
            Self::Fractions => "fractions of the picture".to_owned(),
        }
    }

    /// Units that a model may have used instead of this one, in order.
    fn others(self) -> &'static [Self] {
        match self {
            Self::ModelPixels => &[Self::OriginalPixels, Self::PerMille],
            _ => &[Self::ModelPixels, Self::OriginalPixels],
        }
    }
}

/// The unit in which all boxes of an answer were written, given the one that was asked for.
pub(super) fn recognise(frame: &Frame, asked: Unit, boxes: &[RawBox]) -> Unit {
    let axes = asked.axes(frame);
    if are_fractions(boxes) {
        let can_tell = axes.width >= LEAST_EDGE && axes.height >= LEAST_EDGE;
        return if can_tell { Unit::Fractions } else { asked };
    }
    let boxes = distinct(boxes);
    let outside = boxes.iter().filter(|raw| !fits(raw, axes, OVERSHOOT)).count();
    let are_many = outside >= 3 && 2 * outside >= boxes.len() || outside == 2 && boxes.len() == 2;
    if !are_many || !boxes.iter().any(|raw| lies_beyond(raw, axes)) {
        return asked;
    }
    let mut others = asked.others().iter().filter(|unit| boxes.iter().all(|raw| fits(raw, unit.axes(frame), 0.0)));
    let other = match (others.next(), others.next()) {
        (Some(_), Some(_)) if asked == Unit::ModelPixels => return asked,
        (Some(other), _) => *other,
        (None, _) => return asked,
    };
    let new = other.axes(frame);
    let is_larger = new.width > axes.width && new.height > axes.height;
    if reach(&boxes, axes, new) && (is_larger || other != Unit::PerMille) { other } else { asked }
}

fn values(raw: &RawBox) -> [f64; 4] {
    [raw.x1, raw.y1, raw.x2, raw.y2]
}

/// The boxes without those that say the same: one thing may be told as a label, a finding and a line.
fn distinct(boxes: &[RawBox]) -> Vec<RawBox> {
    let mut seen = HashSet::new();
    boxes.iter().filter(|raw| seen.insert(values(raw).map(f64::to_bits))).copied().collect()
}

/// Whether boxes reach over a good part of the `other` frame along an edge, and there far out of the one asked for.
fn reach(boxes: &[RawBox], asked: Size, other: Size) -> bool {
    let reaches = |far: fn(&RawBox) -> f64, asked: u32, other: u32| {
        let far = boxes.iter().map(far).fold(0.0, f64::max);
        far > f64::from(other) * GOOD_PART && far > f64::from(asked) * FAR_OUT
    };
    reaches(|raw| raw.x1.max(raw.x2), asked.width, other.width)
        || reaches(|raw| raw.y1.max(raw.y2), asked.height, other.height)
}

fn are_fractions(boxes: &[RawBox]) -> bool {
    boxes.iter().flat_map(values).all(|value| (-FRACTION_OVERSHOOT..=1.0 + FRACTION_OVERSHOOT).contains(&value))
        && boxes.iter().flat_map(values).any(|value| value.fract() != 0.0)
}

fn fits(raw: &RawBox, axes: Size, overshoot: f64) -> bool {
    let within = |value: f64, edge: u32| {
        let margin = f64::from(edge) * overshoot;
        (-margin..=f64::from(edge) + margin).contains(&value)
    };
    within(raw.x1, axes.width)
        && within(raw.x2, axes.width)
        && within(raw.y1, axes.height)
        && within(raw.y2, axes.height)
}

fn lies_beyond(raw: &RawBox, axes: Size) -> bool {
    (raw.x1 + raw.x2) / 2.0 > f64::from(axes.width) || (raw.y1 + raw.y2) / 2.0 > f64::from(axes.height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw([x1, y1, x2, y2]: [f64; 4]) -> RawBox {
        RawBox { x1, y1, x2, y2 }
    }

    fn recognised(original: [u32; 2], model: [u32; 2], asked: Unit, boxes: &[[f64; 4]]) -> Unit {
        let frame = Frame::new(Size::new(original[0], original[1]), Size::new(model[0], model[1]));
        recognise(&frame, asked, &boxes.iter().copied().map(raw).collect::<Vec<_>>())
    }

    const LARGE: [u32; 2] = [4032, 3024];
    const SEEN: [u32; 2] = [1270, 952];

    #[test]
    fn pixels_of_the_original_are_recognised_by_three_boxes_or_by_both() {
        let far = [[2000.0, 100.0, 2400.0, 400.0], [3000.0, 2000.0, 4032.0, 3024.0], [10.0, 1500.0, 90.0, 1700.0]];
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &far), Unit::OriginalPixels);
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &far[..2]), Unit::OriginalPixels);
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &far[..1]), Unit::ModelPixels, "one box says nothing");
        let near = [[1.0, 1.0, 5.0, 5.0], far[0], far[1]];
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &near), Unit::ModelPixels, "two of three are not plain");
    }

    #[test]
    fn boxes_drawn_too_large_stay() {
        let over = [[0.0, 0.0, 1400.0, 952.0], [600.0, 10.0, 1320.0, 60.0], [5.0, 5.0, 1500.0, 900.0]];
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &over), Unit::ModelPixels);
    }

    #[test]
    fn boxes_that_fit_no_frame_stay() {
        let guide = [[1200.0, 400.0, 1900.0, 800.0], [200.0, 600.0, 1900.0, 900.0], [1300.0, 200.0, 1800.0, 500.0]];
        assert_eq!(recognised([1280, 681], [1280, 681], Unit::ModelPixels, &guide), Unit::ModelPixels);
    }

    #[test]
    fn a_few_boxes_that_ran_on_do_not_move_the_others() {
        let lines = |count: u32| {
            (0..count).map(|i| [100.0, f64::from(20 + 30 * i), 500.0, f64::from(45 + 30 * i)]).collect::<Vec<_>>()
        };
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &lines(34)), Unit::ModelPixels);
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &lines(100)), Unit::OriginalPixels, "most lie below");
    }

    #[test]
    fn one_box_told_three_times_is_one_box() {
        let screen = [1300.0, 200.0, 1900.0, 500.0];
        let boxes = [screen, [10.0, 20.0, 90.0, 80.0], screen, [300.0, 400.0, 500.0, 600.0], screen];
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &boxes), Unit::ModelPixels);
    }

    #[test]
    fn a_larger_original_alone_is_no_evidence() {
        let guide = [[1200.0, 400.0, 1900.0, 800.0], [200.0, 600.0, 1900.0, 900.0], [1300.0, 200.0, 1800.0, 500.0]];
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &guide), Unit::ModelPixels);
        let low = [[200.0, 690.0, 900.0, 900.0], [100.0, 700.0, 1000.0, 850.0], [10.0, 650.0, 500.0, 710.0]];
        assert_eq!(recognised([1280, 681], [1280, 681], Unit::ModelPixels, &low), Unit::ModelPixels);
    }

    #[test]
    fn thousandths_are_recognised_in_a_small_picture_only() {
        let boxes = [[700.0, 700.0, 950.0, 900.0], [10.0, 650.0, 1000.0, 1000.0], [690.0, 5.0, 990.0, 400.0]];
        assert_eq!(recognised([640, 480], [640, 480], Unit::ModelPixels, &boxes), Unit::PerMille);
        assert_eq!(recognised(LARGE, SEEN, Unit::ModelPixels, &boxes), Unit::ModelPixels, "they fit as they are");
        assert_eq!(recognised(LARGE, [640, 480], Unit::ModelPixels, &boxes), Unit::ModelPixels, "two frames would fit");
    }

    #[test]
    fn pixels_are_recognised_where_thousandths_were_asked_for() {
        let seen = [[1100.0, 10.0, 1200.0, 80.0], [1010.0, 700.0, 1250.0, 950.0], [1030.0, 5.0, 1270.0, 952.0]];
        assert_eq!(recognised(LARGE, SEEN, Unit::PerMille, &seen), Unit::ModelPixels);
        let far = [[2000.0, 100.0, 2400.0, 400.0], [3000.0, 2000.0, 4032.0, 3024.0], [10.0, 1500.0, 90.0, 1700.0]];
        assert_eq!(recognised(LARGE, SEEN, Unit::PerMille, &far), Unit::OriginalPixels);
    }

    #[test]
    fn fractions_are_recognised_by_one_box_with_a_fraction() {
        for asked in [Unit::ModelPixels, Unit::PerMille] {
            assert_eq!(recognised(LARGE, SEEN, asked, &[[0.1, 0.25, 0.5, 1.0]]), Unit::Fractions);
            assert_eq!(recognised(LARGE, SEEN, asked, &[[0.0, 0.0, 1.0, 1.0]]), asked, "it may be a pixel");
            assert_eq!(recognised(LARGE, SEEN, asked, &[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 9.0, 9.0]]), asked);
            assert_eq!(recognised(LARGE, SEEN, asked, &[]), asked);
            let over = [[0.1, 0.2, 0.5, 0.6], [-0.01, 0.3, 0.7, 1.01]];
            assert_eq!(recognised(LARGE, SEEN, asked, &over), Unit::Fractions, "a hair out of the picture");
        }
        assert_eq!(recognised([4, 4], [4, 4], Unit::ModelPixels, &[[0.1, 0.2, 0.5, 0.6]]), Unit::ModelPixels);
    }

    proptest! {
        #[test]
        fn boxes_that_fit_the_frame_asked_for_are_never_changed(
            original in (20u32..9000, 20u32..9000), seen in (20u32..2577, 20u32..2577), per_mille: bool,
            parts in prop::collection::vec((-0.019..1.019f64, -0.019..1.019f64, -0.019..1.019f64, -0.019..1.019f64), 1..12),
        ) {
            let frame = Frame::new(Size::new(original.0, original.1), Size::new(seen.0, seen.1));
            let asked = if per_mille { Unit::PerMille } else { Unit::ModelPixels };
            let (w, h) = (f64::from(asked.axes(&frame).width), f64::from(asked.axes(&frame).height));
            let boxes: Vec<_> = parts.iter().map(|(a, b, c, d)| raw([a * w, b * h, c * w, d * h])).collect();
            prop_assume!(boxes.iter().flat_map(values).any(|value| value > 1.0 + FRACTION_OVERSHOOT));
            prop_assert_eq!(recognise(&frame, asked, &boxes), asked);
        }

        #[test]
        fn in_another_frame_nothing_is_outside(
            original in (20u32..9000, 20u32..9000), seen in (20u32..2577, 20u32..2577), per_mille: bool,
            boxes in prop::collection::vec((-10.0..5e3f64, -10.0..5e3f64, -10.0..5e3f64, -10.0..5e3f64), 0..6),
        ) {
            let frame = Frame::new(Size::new(original.0, original.1), Size::new(seen.0, seen.1));
            let asked = if per_mille { Unit::PerMille } else { Unit::ModelPixels };
            let boxes: Vec<_> = boxes.iter().map(|(a, b, c, d)| raw([*a, *b, *c, *d])).collect();
            let unit = recognise(&frame, asked, &boxes);
            let overshoot = if unit == Unit::Fractions { FRACTION_OVERSHOOT } else { 0.0 };
            prop_assert!(unit == asked || boxes.iter().all(|raw| fits(raw, unit.axes(&frame), overshoot)));
        }
    }
}
