//! Pictures that cannot be analyzed.

use tonic::Code;

use super::Failure;
use crate::{
    imaging::{ImageError, MediaType},
    pipeline::AnalyzeError,
};

pub(super) fn failure(error: &ImageError) -> Failure {
    match error {
        ImageError::Unsupported { detected } => unsupported(detected),
        ImageError::Corrupt { reason } => {
            let message = format!("The file is damaged: {reason}. Upload it again.");
            Failure::new(Code::InvalidArgument, "IMAGE_CORRUPT", message)
        }
        ImageError::TooManyPixels { actual, limit, fits } => {
            let message = format!("The picture has {actual} pixels, more than {limit} in all. {fits} would fit.");
            too_large(message)
                .with("actual", actual.pixel_count().to_string())
                .with("limit", limit.to_string())
                .with("unit", "pixels")
                .with("actual_size", actual.to_string())
                .with("fits", fits.to_string())
        }
        ImageError::Oversize { actual, fits } => {
            let message = format!(
                "The picture has {actual} pixels, more than the model sees, and the policy is to refuse it. Send {fits}, or \
                 ask for OVERSIZE_POLICY_RESIZE."
            );
            too_large(message)
                .with("actual", actual.to_string())
                .with("limit", fits.to_string())
                .with("fits", fits.to_string())
        }
        ImageError::TooMuchMemory { actual, limit } => {
            let message = format!(
                "Preparing the picture would take {actual} bytes of memory, more than the limit of {limit}. Send it with \
                 fewer pixels, or as JPEG."
            );
            too_large(message)
                .with("actual", actual.to_string())
                .with("limit", limit.to_string())
                .with("unit", "bytes of memory")
        }
        // Whoever stopped the work has left, and the pipeline says it in its own words.
        ImageError::Cancelled => super::failure(&AnalyzeError::from(ImageError::Cancelled)),
    }
}

pub(super) fn too_many_bytes(actual: u64, limit: u64) -> Failure {
    let message = format!("The file has {actual} bytes, more than the limit of {limit}. Send a smaller one.");
    too_large(message)
        .with("actual", actual.to_string())
        .with("limit", limit.to_string())
        .with("unit", "bytes")
        .with("fits", format!("{limit} bytes"))
}

fn too_large(message: String) -> Failure {
    Failure::new(Code::InvalidArgument, "IMAGE_TOO_LARGE", message)
}

fn unsupported(detected: &str) -> Failure {
    let supported = MediaType::ALL.map(MediaType::as_str).join(", ");
    let message =
        format!("The file is no picture that can be analyzed: its bytes are {detected}. Send one of {supported}.");
    Failure::new(Code::InvalidArgument, "IMAGE_UNSUPPORTED", message)
        .with("detected", detected)
        .with("supported", supported)
}
