//! What the real service refuses in pictures.

use std::io::Cursor;

use super::{
    request::{Api, InvokeRequest, SentImage},
    rules::Verdict,
};

/// Most bytes of base64 text for one image: 5 MiB, which is 3,932,160 bytes of picture.
const MAX_ENCODED_IMAGE: usize = 5 * 1024 * 1024;

/// Longest edge of an image in pixels.
const MAX_EDGE: u32 = 8000;

pub(super) fn check(request: &InvokeRequest) -> Verdict {
    for (index, image) in request.images.iter().enumerate() {
        let at = match request.api {
            Api::Invoke => format!("messages.0.content.{index}.image.source.base64"),
            Api::Converse => format!("messages.0.content.{index}.image.source.bytes"),
        };
        one(image, &at)?;
    }
    Ok(())
}

fn one(image: &SentImage, at: &str) -> Verdict {
    let (declared, actual) = (image.media_type.as_str(), media_type(&image.bytes));
    if !matches!(declared, "image/jpeg" | "image/png" | "image/gif" | "image/webp") {
        return Err(format!("{at}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"));
    }
    if image.encoded_length > MAX_ENCODED_IMAGE {
        let actual = image.encoded_length;
        return Err(format!("{at}: image exceeds 5 MB maximum: {actual} bytes > {MAX_ENCODED_IMAGE} bytes"));
    }
    let Some(actual) = actual else { return Err(format!("{at}.data: Could not process image")) };
    if declared != actual {
        return Err(format!(
            "{at}: The image was specified using the {declared} media type, but the image appears to be a {actual} image"
        ));
    }
    let reader = image::ImageReader::new(Cursor::new(&image.bytes)).with_guessed_format();
    let size = reader.ok().and_then(|reader| reader.into_dimensions().ok());
    let Some((width, height)) = size else { return Err(format!("{at}.data: Could not process image")) };
    if width.max(height) > MAX_EDGE {
        return Err(format!("{at}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels"));
    }
    Ok(())
}

fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
