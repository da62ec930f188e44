//! What colours the samples of a file mean, and turning them into sRGB, which is what models take every sample for.
//!
//! What a file says is followed where it names colours exactly: an ICC profile, or the code points of ITU-T H.273. All
//! else is taken as sRGB: nothing said, a profile that cannot be used, and the old gamma and chromaticities of PNG, which
//! software writes that knows neither.

mod icc;

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;
use moxcms::{CicpColorPrimaries, CicpProfile, ColorProfile, MatrixCoefficients, TransferCharacteristics};

use super::header::{self, Header};

pub(super) use icc::{Samples, Transform};

/// Where a file says what colours its samples mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Profile {
    /// Nowhere: they are sRGB.
    None,
    /// An ICC profile in one piece.
    Whole(Range<usize>),
    /// An ICC profile in the APP2 segments of a JPEG, all of which are there.
    JpegSegments,
    /// An ICC profile, compressed by zlib.
    Zlib(Range<usize>),
    /// Code points of ITU-T H.273.
    CodePoints {
        /// Chromaticities of the primaries and of white.
        primaries: u8,
        /// From samples to light.
        transfer: u8,
    },
}

impl Header {
    /// The ICC profile of the file, put together. `None` when there is none, or not a whole one.
    pub(super) fn icc_profile<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &self.profile {
            Profile::None | Profile::CodePoints { .. } => None,
            Profile::Whole(range) => bytes.get(range.clone()).map(Cow::Borrowed),
            Profile::JpegSegments => header::jpeg::icc_profile(bytes).map(Cow::Owned),
            Profile::Zlib(range) => icc::inflate(bytes.get(range.clone())?).map(Cow::Owned),
        }
    }
}

/// From the colours of a file to sRGB. `None` when they are sRGB already, as far as 8 bits show, or when what the file
/// says of them cannot be used.
pub(super) fn of(bytes: &[u8], header: &Header) -> Option<Transform> {
    match header.profile {
        Profile::CodePoints { primaries, transfer } => {
            usable(|| icc::build(&code_points(primaries, transfer)?, header.samples))
        }
        _ => transform(&header.icc_profile(bytes)?, header.samples),
    }
}

/// Most bytes of memory that looking at the profile of a file takes: the profile itself three times, as it is put together,
/// trimmed and read, and the tables of a transform.
pub(super) fn memory(header: &Header) -> u64 {
    let length = match &header.profile {
        Profile::None => return 0,
        Profile::CodePoints { .. } => 0,
        Profile::Whole(range) => range.len(),
        Profile::JpegSegments => header.length,
        // Deflate makes 1032 bytes of one at most.
        Profile::Zlib(range) => range.len().saturating_mul(1032),
    };
    length.min(icc::MAX_PROFILE_BYTES) as u64 * 4 + icc::TABLE_BYTES
}

/// From the colours of an ICC profile to sRGB. `None` when they are sRGB already, as far as 8 bits show, or when the
/// profile cannot be used: it is damaged, of another kind than the samples, or asks for more than a profile needs.
pub(super) fn transform(profile: &[u8], samples: Samples) -> Option<Transform> {
    usable(|| icc::build(&icc::read(profile)?, samples))
}

/// Profiles come from strangers: one that makes their reader panic is one more that cannot be used.
fn usable<T>(build: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(build)).ok().flatten()
}

/// The profile that code points of ITU-T H.273 stand for.
fn code_points(primaries: u8, transfer: u8) -> Option<ColorProfile> {
    let transfer = match transfer {
        // The curves of cameras for video. Screens show such samples by a curve close to sRGB's, and not by the inverse.
        1 | 6 | 14 | 15 => 13,
        transfer => transfer,
    };
    let profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
        transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    // Primaries or a curve that are unspecified leave it without.
    profile.is_matrix_shaper().then_some(profile)
}

impl Transform {
    /// Turns the colours of a picture of gray or RGB samples into sRGB, in place. Pictures of CMYK samples are left as they
    /// are: once they are RGB, it is too late.
    pub(super) fn apply(&self, rgb: &mut RgbImage) {
        // What a panic leaves as it was is shown in the wrong colours, as without a profile.
        let _ = catch_unwind(AssertUnwindSafe(|| self.convert(rgb)));
    }
}
