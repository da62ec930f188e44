//! Adam7 (PNG, section 8.1): seven passes, each a picture of its own, of pixels that lie ever closer.

use crate::domain::Size;

/// One of the seven passes: every `step`th pixel from `first` on, along x and y.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    first: (u32, u32),
    step: (u32, u32),
}

const fn pass(first: (u32, u32), step: (u32, u32)) -> Pass {
    Pass { first, step }
}

pub(super) const PASSES: [Pass; 7] = [
    pass((0, 0), (8, 8)),
    pass((4, 0), (8, 8)),
    pass((0, 4), (4, 8)),
    pass((2, 0), (4, 4)),
    pass((0, 2), (2, 4)),
    pass((1, 0), (2, 2)),
    pass((0, 1), (1, 2)),
];

impl Pass {
    /// Size of the pass of a picture of that size, or `None` when no pixel is in it.
    pub(super) fn size(self, picture: Size) -> Option<Size> {
        let along = |edge: u32, first: u32, step: u32| edge.saturating_sub(first).div_ceil(step);
        let (width, height) =
            (along(picture.width, self.first.0, self.step.0), along(picture.height, self.first.1, self.step.1));
        (width > 0 && height > 0).then(|| Size::new(width, height))
    }

    /// Puts the pass's row of that number into its place in a picture of rows of `length` bytes.
    pub(super) fn place(self, row: &[u8], number: usize, picture: &mut [u8], length: usize) {
        let y = self.first.1 as usize + number * self.step.1 as usize;
        let Some(target) = picture.chunks_exact_mut(length).nth(y) else { return };
        let (pixels, _) = row.as_chunks::<3>();
        let (places, _) = target.as_chunks_mut::<3>();
        let places = places.iter_mut().skip(self.first.0 as usize).step_by(self.step.0 as usize);
        for (place, pixel) in places.zip(pixels) {
            *place = *pixel;
        }
    }
}
