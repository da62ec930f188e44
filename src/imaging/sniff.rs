//! The type of a file from its first bytes. Names and declared types are never asked.

/// A type of picture that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
    /// BMP.
    Bmp,
    /// TIFF.
    Tiff,
}

impl MediaType {
    /// Every type that is read.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp, Self::Bmp, Self::Tiff];

    /// Whether the models take the type themselves. What they do not take is always encoded anew.
    pub const fn is_for_models(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp)
    }

    /// The media type, such as `image/jpeg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }

    /// The usual ends of file names, in lower case.
    pub const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &[".jpg", ".jpeg"],
            Self::Png => &[".png"],
            Self::Gif => &[".gif"],
            Self::Webp => &[".webp"],
            Self::Bmp => &[".bmp"],
            Self::Tiff => &[".tif", ".tiff"],
        }
    }

    /// The usual file name extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tif",
        }
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The type that is read, or a word on what the bytes look like instead.
pub(super) fn sniff(bytes: &[u8]) -> Result<MediaType, &'static str> {
    if bytes.starts_with(b"\xff\xd8\xff") {
        Ok(MediaType::Jpeg)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(MediaType::Png)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Ok(MediaType::Gif)
    } else if bytes.starts_with(b"RIFF") && at(bytes, 8, b"WEBP") {
        Ok(MediaType::Webp)
    } else if bytes.starts_with(b"BM") && bytes.get(14).is_some_and(|length| DIB_HEADERS.contains(length)) {
        Ok(MediaType::Bmp)
    } else if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") {
        Ok(MediaType::Tiff)
    } else {
        Err(other(bytes))
    }
}

/// Lengths of the second header of a BMP, by which it is told from text that starts with `BM`.
const DIB_HEADERS: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];

fn at(bytes: &[u8], offset: usize, wanted: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(wanted))
}

/// Signatures at the start of files that people send by mistake.
const SIGNATURES: [(&[u8], &str); 17] = [
    (b"II+\0", "image/tiff of 64-bit offsets (BigTIFF)"),
    (b"MM\0+", "image/tiff of 64-bit offsets (BigTIFF)"),
    (b"%PDF-", "application/pdf"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL ", "image/jxl"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
    (b"qoif", "image/qoi"),
    (b"v/1\x01", "image/x-exr"),
    (b"DDS ", "image/vnd-ms.dds"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x7fELF", "application/x-executable"),
];

fn other(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "empty";
    }
    if let Some((_, name)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return name;
    }
    if at(bytes, 4, b"ftyp") {
        return base_media(bytes);
    }
    if bytes.starts_with(b"RIFF") {
        return if at(bytes, 8, b"AVI ") { "video/x-msvideo" } else { "application/x-riff" };
    }
    text(bytes).unwrap_or("unknown")
}

/// A file of the ISO base media family by its brands, the major one first.
fn base_media(bytes: &[u8]) -> &'static str {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize).min(bytes.len()).min(256);
    let brands = bytes.get(8..length).unwrap_or_default().chunks_exact(4);
    for brand in brands {
        match brand {
            b"avif" | b"avis" => return "image/avif",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => return "image/heic",
            b"crx " => return "image/x-canon-cr3",
            b"qt  " => return "video/quicktime",
            _ => {}
        }
    }
    if at(bytes, 8, b"mif1") || at(bytes, 8, b"msf1") { "image/heif" } else { "video/mp4" }
}

/// What kind of text the bytes are, if any.
fn text(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.get(..1024).unwrap_or(bytes);
    let start = match std::str::from_utf8(start) {
        Ok(start) => start,
        // The cut may fall inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    if start.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let start = start.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    Some(if start.contains("<svg") {
        "image/svg+xml"
    } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
        "text/html"
    } else if start.starts_with("<?xml") {
        "application/xml"
    } else if start.starts_with('{') || start.starts_with('[') {
        "application/json"
    } else {
        "text/plain"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_that_are_read_are_known_by_their_first_bytes() {
        assert_eq!(sniff(b"\xff\xd8\xff\xe0"), Ok(MediaType::Jpeg));
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n...."), Ok(MediaType::Png));
        assert_eq!(sniff(b"GIF87a"), Ok(MediaType::Gif));
        assert_eq!(sniff(b"GIF89a"), Ok(MediaType::Gif));
        assert_eq!(sniff(b"RIFF\x04\0\0\0WEBP"), Ok(MediaType::Webp));
        assert_eq!(sniff(b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), Ok(MediaType::Bmp));
        assert_eq!(sniff(b"II*\0\x08\0\0\0"), Ok(MediaType::Tiff));
        assert_eq!(sniff(b"MM\0*\0\0\0\x08"), Ok(MediaType::Tiff));
    }

    #[test]
    fn what_else_people_send_is_named() {
        let cases: [(&[u8], &str); 20] = [
            (b"", "empty"),
            (b"BMW and other makers of cars", "text/plain"),
            (b"II+\0\x08\0\0\0", "image/tiff of 64-bit offsets (BigTIFF)"),
            (b"MM\0+\0\x08\0\0", "image/tiff of 64-bit offsets (BigTIFF)"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/avif"),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "image/avif"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "image/heif"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video/mp4"),
            (b"%PDF-1.7", "application/pdf"),
            (b"<?xml version='1.0'?>\n<!-- c --><svg xmlns='..'>", "image/svg+xml"),
            (b"  <SVG>", "image/svg+xml"),
            (b"<!DOCTYPE html><html>", "text/html"),
            (b"{\"message\": \"AccessDenied\"}", "application/json"),
            (b"<?xml version='1.0'?><Error/>", "application/xml"),
            ("안녕하세요".as_bytes(), "text/plain"),
            (b"RIFF\x04\0\0\0WAVE", "application/x-riff"),
            (b"\x89PNG", "unknown"),
            (b"\0\x01\x02", "unknown"),
        ];
        for (bytes, detected) in cases {
            assert_eq!(sniff(bytes), Err(detected), "{bytes:?}");
        }
    }

    #[test]
    fn text_is_known_when_the_look_ends_inside_a_character() {
        let long = "가".repeat(1000);
        assert_eq!(sniff(long.as_bytes()), Err("text/plain"));
    }
}
