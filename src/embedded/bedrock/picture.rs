use std::io::Cursor;

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{ImageFormat, ImageReader, Limits, RgbImage};
use serde_json::Value;

use super::ServiceError;

/// Longest picture in base64: 3,932,160 bytes before encoding.
const MAX_BASE64_BYTES: usize = 5 * 1024 * 1024;
/// Longest edge, and the one when a request holds more than [`MANY_PICTURES`], pixels.
const MAX_EDGE: u32 = 8000;
const MAX_EDGE_OF_MANY: u32 = 2000;
const MANY_PICTURES: usize = 20;
/// Edge of the patch that is one visual token, pixels.
const PATCH: u32 = 28;
/// Memory for decoding: 8000 x 8000 pixels of 8 bytes.
const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;

/// A picture whose type and size are checked, still encoded.
#[derive(Debug)]
pub(super) struct Picture {
    bytes: Vec<u8>,
    format: ImageFormat,
    width: u32,
    height: u32,
}

impl Picture {
    /// Reads the `source` of an image block. `place` is the block's path in the request, for messages.
    pub fn parse(source: &Value, place: &str) -> Result<Self, ServiceError> {
        let text = |name: &str| {
            let missing = || ServiceError::validation(format!("{place}.image.source.base64.{name}: Field required"));
            source.get(name).and_then(Value::as_str).ok_or_else(missing)
        };
        if source.get("type").and_then(Value::as_str) != Some("base64") {
            return Err(ServiceError::validation(format!("{place}.image.source.type: Input should be 'base64'")));
        }
        let (media_type, data) = (text("media_type")?, text("data")?);
        if !["image/jpeg", "image/png", "image/gif", "image/webp"].contains(&media_type) {
            let expected = "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'";
            return Err(ServiceError::validation(format!("{place}.image.source.base64.media_type: {expected}")));
        }
        if data.len() > MAX_BASE64_BYTES {
            let sizes = format!("{} bytes > {MAX_BASE64_BYTES} bytes", data.len());
            let place = format!("{place}.image.source.base64");
            return Err(ServiceError::validation(format!("{place}: image exceeds 5 MB maximum: {sizes}")));
        }
        Self::open(data, media_type, &format!("{place}.image.source.base64.data"))
    }

    fn open(data: &str, media_type: &str, place: &str) -> Result<Self, ServiceError> {
        let refuse = |reason: String| ServiceError::validation(format!("{place}: {reason}"));
        let unreadable = || refuse("Could not process image".to_owned());
        let bytes = STANDARD.decode(data).map_err(|_| refuse("Invalid base64 data".to_owned()))?;
        let format = image::guess_format(&bytes).map_err(|_| unreadable())?;
        if format.to_mime_type() != media_type {
            return Err(refuse(format!(
                "The image was specified using the {media_type} media type, but the image appears to be a {} image",
                format.to_mime_type()
            )));
        }
        let reader = ImageReader::with_format(Cursor::new(&bytes), format);
        let (width, height) = reader.into_dimensions().map_err(|_| unreadable())?;
        if width.max(height) > MAX_EDGE {
            let limit = format!("max allowed size: {MAX_EDGE} pixels");
            return Err(refuse(format!("At least one of the image dimensions exceed {limit}")));
        }
        Ok(Self { bytes, format, width, height })
    }

    /// Checks what depends on the number of pictures in the request.
    pub fn check_among(&self, pictures: usize) -> Result<(), ServiceError> {
        if pictures > MANY_PICTURES && self.width.max(self.height) > MAX_EDGE_OF_MANY {
            let limit = format!("max allowed size for many-image requests: {MAX_EDGE_OF_MANY} pixels");
            return Err(ServiceError::validation(format!("At least one of the image dimensions exceed {limit}")));
        }
        Ok(())
    }

    /// What the picture costs by the published rule.
    pub fn visual_tokens(&self) -> u64 {
        u64::from(self.width.div_ceil(PATCH)) * u64::from(self.height.div_ceil(PATCH))
    }

    /// The pixels as they lie in the file: an EXIF orientation is not applied, boxes are in the picture as given.
    pub fn decode(self) -> Result<RgbImage, ServiceError> {
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_EDGE);
        limits.max_image_height = Some(MAX_EDGE);
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(&self.bytes), self.format);
        reader.limits(limits);
        reader
            .decode()
            .map(|picture| picture.into_rgb8())
            .map_err(|_| ServiceError::validation("Could not process image"))
    }
}
