//! What the real service refuses with a 400, in its words.

use std::io::Cursor;

use super::bedrock_wire::InvokeRequest;

/// Most bytes of base64 text for one image: 5 MiB, which is 3,932,160 bytes of picture.
const MAX_ENCODED_IMAGE: usize = 5 * 1024 * 1024;

/// Longest edge of an image in pixels.
const MAX_EDGE: u32 = 8000;

/// Models that take no sampling parameter.
const WITHOUT_SAMPLING: [&str; 9] = [
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5",
    "claude-fable-5-1",
];

/// Models that think unless told not to.
const THINK_BY_DEFAULT: [&str; 2] = ["claude-sonnet-5", "claude-opus-5"];

/// Checks a request; the error is the message of the `ValidationException`.
pub fn check(request: &InvokeRequest) -> Result<(), String> {
    keys(request)?;
    parameters(request).map_err(|problem| format!("The model returned the following errors: {problem}"))?;
    images(request).map_err(|problem| format!("The model returned the following errors: {problem}"))
}

fn keys(request: &InvokeRequest) -> Result<(), String> {
    let malformed = |problem: String| {
        Err(format!("Malformed input request: #: {problem}, please reformat your input and try again."))
    };
    for key in ["anthropic_version", "max_tokens", "messages"] {
        if request.body.get(key).is_none() {
            return malformed(format!("required key [{key}] not found"));
        }
    }
    for key in ["model", "stream"] {
        if request.body.get(key).is_some() {
            return malformed(format!("extraneous key [{key}] is not permitted"));
        }
    }
    if request.body["anthropic_version"] != "bedrock-2023-05-31" {
        return Err("Invalid API version".to_owned());
    }
    Ok(())
}

fn parameters(request: &InvokeRequest) -> Result<(), String> {
    for parameter in ["temperature", "top_p", "top_k"] {
        if is_one_of(&request.model_id, &WITHOUT_SAMPLING) && request.body.get(parameter).is_some() {
            return Err(format!("`{parameter}` is deprecated for this model."));
        }
    }
    let thinking = match request.body["thinking"]["type"].as_str() {
        Some(kind) => kind != "disabled",
        None => is_one_of(&request.model_id, &THINK_BY_DEFAULT),
    };
    let forced = matches!(request.body["tool_choice"]["type"].as_str(), Some("tool" | "any"));
    if thinking && forced {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    Ok(())
}

/// Whether the id, whatever its prefix and date, is of one of the models. `claude-opus-5` is not `claude-opus-5-5`.
fn is_one_of(model_id: &str, models: &[&str]) -> bool {
    models.iter().any(|model| {
        let Some((_, rest)) = model_id.split_once(model) else { return false };
        // What follows the name: nothing, a date or a version such as `-v1:0`.
        let short_number = rest.strip_prefix('-').is_some_and(|rest| {
            rest.split('-').next().is_some_and(|part| part.len() < 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
        });
        !short_number
    })
}

fn images(request: &InvokeRequest) -> Result<(), String> {
    for (index, image) in request.images.iter().enumerate() {
        let at = format!("messages.0.content.{index}.image.source.base64");
        let (declared, actual) = (image.media_type.as_str(), media_type(&image.bytes));
        if !matches!(declared, "image/jpeg" | "image/png" | "image/gif" | "image/webp") {
            return Err(format!(
                "{at}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
            ));
        }
        if image.encoded_length > MAX_ENCODED_IMAGE {
            let actual = image.encoded_length;
            return Err(format!("{at}: image exceeds 5 MB maximum: {actual} bytes > {MAX_ENCODED_IMAGE} bytes"));
        }
        let Some(actual) = actual else { return Err(format!("{at}.data: Could not process image")) };
        if declared != actual {
            return Err(format!(
                "{at}: The image was specified using the {declared} media type, but the image appears to be a {actual} \
                 image"
            ));
        }
        let reader = image::ImageReader::new(Cursor::new(&image.bytes)).with_guessed_format();
        let size = reader.ok().and_then(|reader| reader.into_dimensions().ok());
        let Some((width, height)) = size else { return Err(format!("{at}.data: Could not process image")) };
        if width.max(height) > MAX_EDGE {
            return Err(format!(
                "{at}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels"
            ));
        }
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
