//! Pixels as JPEG keeps them: a plane of brightness, and two of colour that may be coarser.

/// One component of a picture: 8-bit samples, row by row from the top, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plane {
    /// Samples in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// `width * height` samples.
    pub(super) samples: Vec<u8>,
}

/// A picture in the YCbCr of JFIF: full range, BT.601, sRGB's primaries and curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planes {
    /// Brightness, one sample a pixel.
    pub(super) luma: Plane,
    /// Cb and Cr, both of one size: that of the luma, or half of it in both directions, rounded up, each sample in the
    /// middle of its 2x2 pixels. `None` for a gray picture.
    pub(super) chroma: Option<[Plane; 2]>,
}
