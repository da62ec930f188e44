//! When another model may answer, and the picture as that model sees it.

use super::{Asker, Picture, Request, question};
use crate::{
    domain::{Frame, ModelProfile, OversizePolicy, Warning, WarningCode},
    imaging::{self, Encoded},
    pipeline::{error::AnalyzeError, ports::ModelError},
};

/// Whether a request that failed so may be answered by another model, and is not known to be paid already.
pub(super) fn helps(error: &AnalyzeError) -> bool {
    let AnalyzeError::Model { error, .. } = error else { return false };
    match error {
        ModelError::Throttled
        | ModelError::QuotaExceeded
        | ModelError::NotEnabled { .. }
        | ModelError::ProfileRequired
        | ModelError::EndOfLife
        | ModelError::CircuitOpen { .. } => true,
        ModelError::Unavailable { retryable, .. } => *retryable,
        _ => false,
    }
}

/// What the model that was asked for did, to be read after its name.
pub(super) fn reason(error: &AnalyzeError) -> &'static str {
    let AnalyzeError::Model { error, .. } = error else { return "gave no answer" };
    match error {
        ModelError::Throttled | ModelError::QuotaExceeded => "takes no more requests now",
        ModelError::NotEnabled { .. } => "the server may not invoke",
        ModelError::ProfileRequired => "needs an inference profile",
        ModelError::EndOfLife => "is no longer there",
        _ => "is out of order",
    }
}

/// The picture as `model` sees it, made from the one that the first model would have seen; and what to say when it was made
/// smaller. `None` when the model is no help: it cannot answer what is asked, or sees less than the caller allows.
pub(super) async fn picture(
    asker: &Asker,
    request: &Request,
    model: &ModelProfile,
) -> Option<(Picture, Option<Warning>)> {
    if !question::unsupported(&request.topic.features, model).is_ok_and(|names| names.is_empty()) {
        return None;
    }
    let picture = &request.picture;
    let seen = picture.frame.model();
    let tokens = model.tier.max_visual_tokens.map_or(0, |_| imaging::visual_tokens(seen));
    if imaging::model_size(seen, model.tier) == seen {
        return Some((Picture { tokens, ..picture.clone() }, None));
    }
    if request.refuses_to_reduce() {
        return None;
    }
    let _worker = asker.workers.acquire().await.ok()?;
    let (bytes, limits) = (picture.bytes.clone(), asker.limits);
    let target = imaging::Target { tier: model.tier, oversize: OversizePolicy::Resize };
    let smaller = tokio::task::spawn_blocking(move || imaging::prepare(&bytes, &limits, &target)).await.ok()?.ok()?;
    let Encoded::New(bytes) = smaller.encoded else { return None };
    let size = smaller.frame.model();
    let text = format!("The picture was reduced to {size}, the size that {} sees.", model.id);
    let picture = Picture {
        bytes: bytes.into(),
        media_type: smaller.media_type.as_str(),
        frame: Frame::new(picture.frame.original(), size),
        tokens: smaller.image_tokens,
    };
    Some((picture, Some(Warning::new(WarningCode::ImageResized, text))))
}
