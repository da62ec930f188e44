//! One model and one question: its answer, and when that cannot be used, one more try with its mistake before its eyes.

use tokio::time::Instant;

use super::{
    Answered, Asker, attempts,
    ledger::{Ledger, Patience},
    question::{Draft, Picture, Topic},
};
use crate::{
    answer::{self, Reading, Unreadable},
    domain::{Features, ModelFacts, ModelProfile, StopReason, Warning, WarningCode},
    metrics::Stage,
    pipeline::{
        error::AnalyzeError,
        ports::{Correction, ModelError, Reply},
    },
    prompt,
};

/// Most of a bad answer that is shown to the model again, in bytes: enough to see what is wrong.
const MOST_SHOWN: usize = 8 << 10;

/// An answer of the model and what could be read of it.
struct Try {
    reply: Reply,
    reading: Result<Reading, Unreadable>,
}

/// Asks `model`, and once more when its answer cannot be used or lacks something, if there is time.
///
/// # Errors
/// Why there is no answer, or that there is none that can be used.
pub(super) async fn hold(
    asker: &Asker,
    topic: &Topic,
    model: &ModelProfile,
    picture: &Picture,
    patience: &Patience,
    ledger: &Ledger,
) -> Result<Answered, AnalyzeError> {
    let mut draft = asker.draft(topic, model, picture);
    let started = Instant::now();
    let first = once(asker, &mut draft, patience, ledger).await?;
    let took = started.elapsed();
    let Some(correction) = correction(&first, &draft) else {
        return finish(asker, &draft, first.reply, first.reading, ledger, false);
    };
    // A second answer will take about as long as the first; one that comes too late would be paid for in vain.
    if patience.remaining() <= took.max(asker.policy.min_call_time) {
        return finish(asker, &draft, first.reply, first.reading, ledger, false);
    }
    tracing::info!(model = model.id, "asking the model again: its answer cannot be used");
    draft.correction = Some(correction);
    match once(asker, &mut draft, patience, ledger).await {
        Ok(Try { reply, reading }) => {
            // What is told of the reply is told of one that holds something.
            let reply = if reading.is_err() && first.reading.is_ok() { first.reply } else { reply };
            finish(asker, &draft, reply, joined(first.reading, reading), ledger, true)
        }
        // A model that will not answer has answered badly for that reason.
        Err(error) if first.reading.is_err() && is_a_no(&error) => Err(error),
        // What the first answer holds is paid for and kept.
        Err(error) => {
            tracing::info!(model = model.id, %error, "the second try failed");
            finish(asker, &draft, first.reply, first.reading, ledger, true)
        }
    }
}

async fn once(asker: &Asker, draft: &mut Draft<'_>, patience: &Patience, ledger: &Ledger) -> Result<Try, AnalyzeError> {
    let reply = attempts::ask(asker, draft, patience, ledger).await?;
    let id = &draft.model.id;
    let failed = |error| AnalyzeError::Model { model: id.clone(), error, calls: ledger.calls(), retry_after: None };
    match reply.stop_reason {
        StopReason::Refusal => return Err(failed(ModelError::Refused)),
        StopReason::Filtered => return Err(failed(ModelError::Filtered)),
        _ => {}
    }
    let (input_tokens, image_tokens) = (reply.usage.all_input_tokens(), draft.picture.tokens);
    if input_tokens > 0 && input_tokens < image_tokens / 2 {
        return Err(failed(ModelError::PictureUnseen { input_tokens, image_tokens }));
    }
    let started = Instant::now();
    let reading = read(asker, draft, &reply, patience).await?;
    asker.metrics.stage(Stage::Read, started.elapsed());
    Ok(Try { reply, reading })
}

/// Reads a reply. Holding values against a caller's own schema may take its time, and is done off the async threads.
async fn read(
    asker: &Asker,
    draft: &Draft<'_>,
    reply: &Reply,
    patience: &Patience,
) -> Result<Result<Reading, Unreadable>, AnalyzeError> {
    let (frame, coordinates) = (draft.picture.frame, draft.model.coordinates);
    let (stop_reason, filter_vocabulary) = (reply.stop_reason, draft.model.is_detector);
    let read = move |text: &str, features: &Features| {
        answer::read(&answer::Answer { text, stop_reason, features, frame: &frame, filter_vocabulary, coordinates })
    };
    let features = &draft.topic.features;
    if features.extraction.is_none() {
        return Ok(read(&reply.text, features));
    }
    let (text, features) = (reply.text.clone(), features.clone());
    asker.worker(patience).await?.run(move || read(&text, &features)).await
}

fn is_a_no(error: &AnalyzeError) -> bool {
    matches!(error, AnalyzeError::Model { error: ModelError::Refused | ModelError::Filtered, .. })
}

/// What to tell the model about its answer; `None` when there is nothing to gain. An answer that was cut and yet holds
/// something would be cut again.
fn correction(first: &Try, draft: &Draft<'_>) -> Option<Correction> {
    let is_cut = first.reply.stop_reason == StopReason::MaxTokens;
    let mistakes = match &first.reading {
        Ok(reading) if reading.mistakes.is_empty() || is_cut || draft.model.is_detector => return None,
        Ok(reading) => reading.mistakes.clone(),
        Err(Unreadable { mistakes, .. }) => mistakes.clone(),
    };
    let complaint =
        prompt::complaint(&mistakes, is_cut, draft.strategy(), draft.topic.features.prompt_alone().is_some());
    let text = &first.reply.text;
    let shown = text.get(..text.floor_char_boundary(MOST_SHOWN)).unwrap_or_default();
    Some(Correction { answer: shown.trim().to_owned(), complaint })
}

/// What both answers hold together.
fn joined(first: Result<Reading, Unreadable>, second: Result<Reading, Unreadable>) -> Result<Reading, Unreadable> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok(first.joined(second)),
        (Err(_), Ok(reading)) | (Ok(reading), Err(_)) => Ok(reading),
        (Err(_), Err(unreadable)) => Err(unreadable),
    }
}

fn finish(
    asker: &Asker,
    draft: &Draft<'_>,
    reply: Reply,
    reading: Result<Reading, Unreadable>,
    ledger: &Ledger,
    asked_again: bool,
) -> Result<Answered, AnalyzeError> {
    let model = draft.model;
    let unreadable = |error| AnalyzeError::Answer { model: model.id.clone(), error, calls: ledger.calls() };
    let reading = reading.map_err(unreadable)?;
    asker.metrics.answer_read(&reading.warnings);
    let is_cut = reading.is_cut();
    let mut warnings = draft.warnings();
    if asked_again {
        let message = "The model's first answer could not be used in full; it was asked once more.";
        warnings.push(Warning::new(WarningCode::ModelAskedAgain, message));
    }
    warnings.extend(reading.warnings);
    Ok(Answered {
        // One that was cut by its limit would be cut there again.
        is_lasting: reading.findings.missing.is_empty() && (!is_cut || reply.stop_reason == StopReason::MaxTokens),
        findings: reading.findings,
        warnings,
        model: ModelFacts {
            requested: model.id.clone(),
            served: model.id.clone(),
            region: asker.model.region(model).to_owned(),
            prompt_version: prompt::PROMPT_VERSION,
            stop_reason: reply.stop_reason,
            upstream_request_id: reply.upstream_request_id,
            cached: false,
        },
        raw: reply.text,
        body: reply.body,
        image_tokens: draft.picture.tokens,
        seen: draft.picture.frame.model(),
    })
}
