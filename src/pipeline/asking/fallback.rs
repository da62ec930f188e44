//! When another model may answer, and the picture as that model sees it.

use super::{Asker, Patience, Picture, Request, question, within};
use crate::{
    domain::{Frame, ModelProfile, OversizePolicy, Warning, WarningCode},
    imaging::{self, Encoded, Prepared},
    pipeline::{error::AnalyzeError, ports::ModelError, preparing},
};

/// Whether a request that failed so may be answered by another model, and is not known to be paid already.
pub(super) fn helps(error: &AnalyzeError) -> bool {
    let AnalyzeError::Model { error, .. } = error else { return false };
    matches!(
        error,
        ModelError::Throttled
            | ModelError::QuotaExceeded
            | ModelError::NotEnabled { .. }
            | ModelError::ProfileRequired
            | ModelError::EndOfLife
            | ModelError::CircuitOpen { .. }
            | ModelError::Unavailable { retryable: true, .. }
    )
}

/// Whether the failure of a fallback stands, whatever other models would say: it is the picture's or the question's, or the
/// call may be paid already.
pub(super) fn decides(error: &AnalyzeError) -> bool {
    match error {
        AnalyzeError::Model { error, .. } => matches!(
            error,
            ModelError::Refused
                | ModelError::Filtered
                | ModelError::ImageUnreadable
                | ModelError::PictureUnseen { .. }
                | ModelError::Malformed { .. }
                | ModelError::Credentials { .. }
                | ModelError::Unavailable { retryable: false, .. }
        ),
        AnalyzeError::DeadlineTooShort { .. } => false,
        _ => true,
    }
}

/// Whether the model will not be back by itself.
pub(super) fn is_for_good(error: &AnalyzeError) -> bool {
    matches!(
        error,
        AnalyzeError::Model {
            error: ModelError::EndOfLife | ModelError::NotEnabled { .. } | ModelError::ProfileRequired,
            ..
        }
    )
}

/// Of the failures of a model and its fallbacks, the one that tells the caller most: to come back soon, if that may help.
/// It has the calls of all.
pub(super) fn truest(failures: Vec<AnalyzeError>, calls_of_all: u32) -> AnalyzeError {
    let rank = |error: &AnalyzeError| match error {
        AnalyzeError::Model { error: ModelError::Throttled, .. } => 3,
        AnalyzeError::Model { error: ModelError::Unavailable { .. } | ModelError::CircuitOpen { .. }, .. } => 2,
        AnalyzeError::Model { error: ModelError::Rejected { .. } | ModelError::PartRefused { .. }, .. } => 0,
        AnalyzeError::Model { .. } => 1,
        _ => 0,
    };
    // Of equals the first, which is of the model that was asked for.
    let best = failures.into_iter().reduce(|best, other| if rank(&other) > rank(&best) { other } else { best });
    match best {
        Some(AnalyzeError::Model { model, error, retry_after, .. }) => {
            AnalyzeError::Model { model, error, calls: calls_of_all, retry_after }
        }
        Some(error) => error,
        None => AnalyzeError::Internal { detail: "no model to ask".to_owned() },
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
    patience: &Patience,
) -> Option<(Picture, Option<Warning>)> {
    if patience.remaining() < asker.least_time(model) {
        return None;
    }
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
    let smaller = within(patience, reduced(asker, picture, model)).await.ok()?;
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

async fn reduced(asker: &Asker, picture: &Picture, model: &ModelProfile) -> Result<Prepared, AnalyzeError> {
    let target = imaging::Target { tier: model.tier, oversize: OversizePolicy::Resize };
    let worker = asker.admission.worker().await?;
    preparing::plan(worker, picture.bytes.clone(), asker.limits, target).await?.admit().await?.run().await
}
