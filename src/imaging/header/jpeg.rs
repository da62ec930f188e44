//! JPEG: markers from the start to the end-of-image marker.

use image::metadata::Orientation;

use super::{Header, MediaType, Profile, Samples, Scratch, byte, orientation, take};
use crate::domain::Size;
use crate::imaging::{ImageError, jpeg_decoder::next_marker};

/// Each scan makes a decoder walk the whole picture, which nothing can cancel. Encoders write up to about twenty; a file
/// of thousands is an attack on time.
const MAX_SCANS: u32 = 100;
/// Most pixels that all scans together walk: 25 scans of 100 megapixels, [`MAX_SCANS`] of 25.
const MAX_SCANNED_PIXELS: u64 = 2_500_000_000;

/// What the start-of-frame marker says.
struct Frame {
    marker: u8,
    precision: u8,
    size: Size,
    components: u8,
}

#[derive(Default)]
struct Walk {
    frame: Option<Frame>,
    frames: u32,
    orientation: Option<Orientation>,
    scans: u32,
    /// End of the first scan's header.
    length: usize,
    is_complete: bool,
    profile: Segments,
}

/// The segments of a colour profile, which is cut where it is longer than a segment takes (ICC.1:2022, annex B.4).
#[derive(Default)]
struct Segments {
    /// How many there are, as the first of them says.
    count: u8,
    /// Which were seen, a bit each.
    seen: [u64; 4],
    is_wrong: bool,
}

/// Reads the header of a JPEG.
pub(in crate::imaging) fn read(bytes: &[u8]) -> Result<Header, ImageError> {
    let mut walk = Walk::default();
    // `None` only means that the file was over before its end marker; `is_complete` says so too.
    let _ = walk.run(bytes);
    let Some(frame) = &walk.frame else {
        return Err(ImageError::corrupt("the JPEG has no frame header; the file is cut off"));
    };
    refuse_rare(frame)?;
    let damage = if walk.scans == 0 {
        Some("the JPEG holds no picture data; the file is cut off")
    } else if walk.frames > 1 {
        Some("the JPEG has more than one frame header")
    } else if walk.scans > max_scans(frame.size) {
        Some("the JPEG has more scans than a picture of its size needs")
    } else if !walk.is_complete {
        Some("the JPEG has no end marker; the file is cut off")
    } else {
        None
    };
    Ok(Header {
        media_type: MediaType::Jpeg,
        stored: frame.size,
        orientation: walk.orientation,
        is_animated: false,
        is_lossless: false,
        is_plain: matches!(frame.components, 1 | 3),
        samples: match frame.components {
            1 => Samples::Gray,
            4 => Samples::Cmyk,
            _ => Samples::Rgb,
        },
        profile: if walk.profile.is_whole() { Profile::JpegSegments } else { Profile::None },
        damage,
        length: walk.length,
        scratch: Scratch::default(),
    })
}

/// Most scans of a picture of that size. One is always allowed: how large a picture may be is for others to say.
fn max_scans(size: Size) -> u32 {
    let scans = MAX_SCANNED_PIXELS / size.pixel_count().max(1);
    u32::try_from(scans).map_or(MAX_SCANS, |scans| scans.clamp(1, MAX_SCANS))
}

/// Kinds of JPEG that no common software writes and no decoder here reads.
fn refuse_rare(frame: &Frame) -> Result<(), ImageError> {
    let kind = match frame.marker {
        0xc3 | 0xc7 | 0xcb | 0xcf => "image/jpeg, lossless",
        0xc5 | 0xc6 => "image/jpeg, hierarchical",
        0xc9 | 0xca | 0xcd | 0xce => "image/jpeg, arithmetic-coded",
        _ if frame.precision != 8 => "image/jpeg with samples of more than 8 bits",
        _ if !matches!(frame.components, 1 | 3 | 4) => "image/jpeg with an unusual number of colour components",
        _ => return Ok(()),
    };
    Err(ImageError::Unsupported { detected: kind.to_owned() })
}

impl Walk {
    /// Walks from marker to marker. Each step moves forward, so that the whole costs one pass over the bytes.
    fn run(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 2;
        while self.scans <= MAX_SCANS {
            let (marker, after) = next_marker(bytes, at)?;
            at = after;
            match marker {
                0xd9 => {
                    self.is_complete = self.scans > 0;
                    return Some(());
                }
                // Stand-alone markers.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes(take(bytes, at)?));
            let body = bytes.get(at + 2..at + length.max(2))?;
            at += length.max(2);
            self.segment(marker, body, at)?;
        }
        Some(())
    }

    /// Takes what is needed from one segment, which ends at offset `end`.
    fn segment(&mut self, marker: u8, body: &[u8], end: usize) -> Option<()> {
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let height = u32::from(u16::from_be_bytes(take(body, 1)?));
                let width = u32::from(u16::from_be_bytes(take(body, 3)?));
                let (precision, components) = (byte(body, 0)?, byte(body, 5)?);
                self.frames += 1;
                self.frame.get_or_insert(Frame { marker, precision, size: Size::new(width, height), components });
            }
            0xe1 if body.starts_with(b"Exif\0\0") => self.orientation = self.orientation.or_else(|| orientation(body)),
            // Behind the first scan, where decoders have stopped to look for it, it means nothing.
            0xe2 if self.scans == 0 => {
                if let Some((number, count, _)) = profile_segment(body) {
                    self.profile.add(number, count);
                }
            }
            0xda => {
                if self.scans == 0 {
                    self.length = end;
                }
                self.scans += 1;
            }
            _ => {}
        }
        Some(())
    }
}

impl Segments {
    /// Takes note of one, numbered from 1.
    fn add(&mut self, number: u8, count: u8) {
        if self.count == 0 {
            self.count = count;
        }
        let bit = 1_u64 << (number % 64);
        if let Some(seen) = self.seen.get_mut(usize::from(number / 64)) {
            self.is_wrong |= *seen & bit != 0;
            *seen |= bit;
        }
        self.is_wrong |= count != self.count || number == 0 || number > count;
    }

    /// Whether each was seen once.
    fn is_whole(&self) -> bool {
        let seen: u32 = self.seen.iter().map(|seen| seen.count_ones()).sum();
        self.count > 0 && !self.is_wrong && seen == u32::from(self.count)
    }
}

/// Number, count and content of a segment of a colour profile.
fn profile_segment(body: &[u8]) -> Option<(u8, u8, &[u8])> {
    let [number, count, profile @ ..] = body.strip_prefix(b"ICC_PROFILE\0")? else { return None };
    Some((*number, *count, profile))
}

/// Puts the colour profile together, whose segments may come in any order. For JPEGs whose walk found it whole.
pub(in crate::imaging) fn icc_profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut segments = Vec::new();
    let mut at = 2;
    loop {
        let (marker, after) = next_marker(bytes, at)?;
        at = after;
        match marker {
            0xda | 0xd9 => break,
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(take(bytes, at)?)).max(2);
        if marker == 0xe2 {
            segments.extend(profile_segment(bytes.get(at + 2..at + length)?));
        }
        at += length;
    }
    segments.sort_unstable_by_key(|(number, ..)| *number);
    Some(segments.into_iter().flat_map(|(.., profile)| profile).copied().collect())
}
