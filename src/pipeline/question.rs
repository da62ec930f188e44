//! What the model is asked: the prompt and the settings that this model takes, with warnings for those it does not.

use bytes::Bytes;

use super::{
    Job,
    error::AnalyzeError,
    ports::{Question, ThinkingParameter},
};
use crate::{
    domain::{Features, ModelProfile, Options, Strategy, Thinking, Warning, WarningCode},
    imaging::Prepared,
    prompt,
};

/// Those of the features that the model can never answer.
pub(super) fn unsupported(features: &Features, model: &ModelProfile) -> Result<Vec<&'static str>, AnalyzeError> {
    let asked = features.names();
    let unsupported: Vec<_> = asked.iter().copied().filter(|name| model.unsupported().contains(name)).collect();
    if unsupported.len() == asked.len() {
        return Err(AnalyzeError::FeaturesUnsupported { features: unsupported });
    }
    Ok(unsupported)
}

pub(super) fn question(job: &Job, model: ModelProfile, prepared: &Prepared, image: Bytes) -> Question {
    let temperature = model.sampling.takes_temperature().then(|| job.options.temperature.unwrap_or(0.0));
    let strategy = model.strategies.first().copied().unwrap_or(Strategy::PromptedJson);
    let thinking = match model.thinking {
        Thinking::OffByDefault => ThinkingParameter::Unset,
        Thinking::Disable => ThinkingParameter::Disabled,
        Thinking::Always => ThinkingParameter::LowEffort,
    };
    let brief = prompt::Brief {
        features: &job.features,
        language: &job.options.language,
        size: prepared.frame.model(),
        coordinates: model.coordinates,
        strategy,
    };
    Question {
        temperature,
        image,
        media_type: prepared.media_type.as_str(),
        prompt: prompt::build(&brief),
        strategy,
        thinking,
        correction: None,
        max_output_tokens: asked_tokens(job).min(model.max_output_tokens),
        tags: job.tags.clone(),
        model,
    }
}

/// The output tokens that the caller or the features ask for.
fn asked_tokens(job: &Job) -> u32 {
    job.options.max_output_tokens.unwrap_or_else(|| prompt::output_budget(&job.features))
}

/// What the call would take, before it is made: the picture's tokens by the published rule, and about one token for four
/// bytes of text.
pub(super) fn expected_input_tokens(question: &Question, image_tokens: u64) -> u64 {
    let prompt = &question.prompt;
    let schema = prompt.schema.as_ref().map_or(0, |schema| schema.schema.to_string().len());
    let bytes = prompt.system.as_ref().map_or(0, String::len) + prompt.text.len() + schema;
    image_tokens + bytes.div_ceil(4) as u64
}

pub(super) fn warnings(question: &Question, options: &Options) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let model = &question.model;
    if options.max_output_tokens.is_some_and(|asked| asked > question.max_output_tokens) {
        let message = format!("{} takes at most {} output tokens.", model.id, model.max_output_tokens);
        warnings.push(Warning::new(WarningCode::OutputTokensLowered, message));
    }
    if options.temperature.is_some() && !model.sampling.takes_temperature() {
        let message = format!("{} takes no sampling temperature; it was left out.", model.id);
        warnings.push(Warning::new(WarningCode::TemperatureIgnored, message));
    }
    if !model.is_familiar {
        let message = "This version does not know the model; it was asked with careful defaults.";
        warnings.push(Warning::new(WarningCode::ModelUnfamiliar, message));
    }
    if model.is_detector {
        let message = "The answer comes from an object detector that knows 80 kinds of things, not from a language model: \
                       it reads no text, follows no prompt and writes English only.";
        warnings.push(Warning::new(WarningCode::ModelIsDetector, message));
    }
    warnings
}
