//! The published rule for the size at which a model sees a picture (Anthropic, "Coordinates and bounding boxes").

use crate::domain::{Size, VisionTier};

/// Edge of a visual token's patch, in pixels.
const PATCH: u32 = 28;

/// What a picture of `size` costs: one visual token for each 28x28 patch begun.
pub fn visual_tokens(size: Size) -> u64 {
    u64::from(size.width.div_ceil(PATCH)) * u64::from(size.height.div_ceil(PATCH))
}

/// The size at which a model of `tier` sees a picture of `size`: the same when it fits, else the largest of that aspect
/// that does. Never larger than `size`; both edges at least 1.
pub fn model_size(size: Size, tier: VisionTier) -> Size {
    largest(size, |candidate| fits(candidate, tier))
}

/// The largest size of the aspect of `size` that has at most `limit` pixels.
pub(super) fn within_pixels(size: Size, limit: u64) -> Size {
    largest(size, |candidate| candidate.pixel_count() <= limit)
}

/// Whether a model of `tier` sees a picture of `size` as it is.
fn fits(size: Size, tier: VisionTier) -> bool {
    let Some(max_visual_tokens) = tier.max_visual_tokens else {
        return size.width.max(size.height) <= tier.max_edge;
    };
    let edge = |pixels: u32| u64::from(pixels.div_ceil(PATCH)) * u64::from(PATCH);
    let max_edge = u64::from(tier.max_edge);
    edge(size.width) <= max_edge && edge(size.height) <= max_edge && visual_tokens(size) <= u64::from(max_visual_tokens)
}

/// The largest size of the aspect of `size` that is accepted, by binary search along the long edge. What is accepted
/// must stay so when both edges shrink. The short edge follows by rounding half to even, as the reference code does.
fn largest(size: Size, accepts: impl Fn(Size) -> bool) -> Size {
    let size = Size::new(size.width.max(1), size.height.max(1));
    if accepts(size) {
        return size;
    }
    let (long, short) = (size.width.max(size.height), size.width.min(size.height));
    let aspect = f64::from(long) / f64::from(short);
    let of_long_edge = |long: u32| {
        let short = ((f64::from(long) / aspect).round_ties_even() as u32).max(1);
        if size.height > size.width { Size::new(short, long) } else { Size::new(long, short) }
    };
    let (mut fitting, mut too_large) = (1, long);
    while too_large - fitting > 1 {
        let middle = fitting + (too_large - fitting) / 2;
        if accepts(of_long_edge(middle)) {
            fitting = middle;
        } else {
            too_large = middle;
        }
    }
    of_long_edge(fitting)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STANDARD: VisionTier = VisionTier::STANDARD;
    const HIGH: VisionTier = VisionTier::HIGH_RESOLUTION;

    fn solved(width: u32, height: u32, tier: VisionTier) -> (u32, u32) {
        let size = model_size(Size::new(width, height), tier);
        (size.width, size.height)
    }

    #[test]
    fn the_published_vectors_hold() {
        for (original, standard, high) in [
            ((200, 200), (200, 200), (200, 200)),
            ((1000, 1000), (1000, 1000), (1000, 1000)),
            ((1092, 1092), (1092, 1092), (1092, 1092)),
            ((1920, 1080), (1456, 819), (1920, 1080)),
            ((3840, 2160), (1456, 819), (2576, 1449)),
            ((1075, 1520), (924, 1307), (1075, 1520)),
            ((4032, 3024), (1270, 952), (2212, 1659)),
            ((8000, 8000), (1092, 1092), (1932, 1932)),
            ((2000, 1500), (1270, 952), (2000, 1500)),
        ] {
            assert_eq!(solved(original.0, original.1, STANDARD), standard, "{original:?}");
            assert_eq!(solved(original.0, original.1, HIGH), high, "{original:?}");
        }
    }

    #[test]
    fn the_tokens_are_patches_begun() {
        for (width, height, tokens) in [(1, 1, 1), (28, 28, 1), (29, 28, 2), (200, 200, 64), (1092, 1092, 1521)] {
            assert_eq!(visual_tokens(Size::new(width, height)), tokens);
        }
    }

    #[test]
    fn extreme_aspects_keep_a_pixel_of_the_short_edge() {
        assert_eq!(solved(1, 8000, STANDARD), (1, 1568));
        assert_eq!(solved(16_000, 1, STANDARD), (1568, 1));
        assert_eq!(solved(16_000, 1, HIGH), (2576, 1));
        assert_eq!(solved(u32::MAX, 3, HIGH), (2576, 1));
    }

    #[test]
    fn a_pixel_limit_is_met_at_the_same_aspect() {
        assert_eq!(within_pixels(Size::new(20_000, 10_000), 50_000_000), Size::new(10_000, 5_000));
        assert_eq!(within_pixels(Size::new(10, 10), 0), Size::new(1, 1));
    }

    fn tiers() -> impl Strategy<Value = VisionTier> {
        prop_oneof![Just(STANDARD), Just(HIGH)]
    }

    /// Small, middling and huge edges alike.
    fn edges() -> impl Strategy<Value = u32> {
        prop_oneof![1u32..60, 1u32..3_000, 1u32..=16_000]
    }

    proptest! {
        #[test]
        fn the_result_fits_is_never_larger_and_is_stable(w in edges(), h in edges(), tier in tiers()) {
            let size = model_size(Size::new(w, h), tier);
            prop_assert!(size.width >= 1 && size.width <= w && size.height >= 1 && size.height <= h);
            prop_assert!(fits(size, tier));
            prop_assert_eq!(model_size(size, tier), size);
            prop_assert_eq!(size == Size::new(w, h), fits(Size::new(w, h), tier));
        }

        #[test]
        fn no_longer_edge_of_the_aspect_fits(w in edges(), h in edges(), tier in tiers()) {
            let (long, short) = (w.max(h), w.min(h));
            let size = model_size(Size::new(long, short), tier);
            let aspect = f64::from(long) / f64::from(short);
            for longer in size.width + 1..=long.min(size.width + 200) {
                let height = ((f64::from(longer) / aspect).round_ties_even() as u32).max(1);
                prop_assert!(!fits(Size::new(longer, height), tier), "{longer}x{height} fits too");
            }
        }

        #[test]
        fn transposing_commutes(w in edges(), h in edges(), tier in tiers()) {
            let size = Size::new(w, h);
            prop_assert_eq!(model_size(size.transposed(), tier), model_size(size, tier).transposed());
        }

        #[test]
        fn a_pixel_limit_holds(w in edges(), h in edges(), limit in 1u64..300_000_000) {
            let size = within_pixels(Size::new(w, h), limit);
            prop_assert!(size.pixel_count() <= limit && size.width <= w && size.height <= h);
        }
    }
}
