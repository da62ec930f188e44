//! What a model is asked: the prompt and the settings that this model takes, with warnings for those it does not.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::refused::{self, Refused};
use crate::{
    domain::{
        Caller, Features, Frame, ModelProfile, Options, Sampling, Strategy, Thinking, Usage, Warning, WarningCode,
    },
    pipeline::{
        error::AnalyzeError,
        ports::{Correction, Part, Question, ThinkingParameter},
    },
    prompt,
};

/// Output tokens beside the answer's for a model that always thinks: what it thinks must not eat the answer.
const THINKING_TOKENS: u32 = 4096;

/// What is to be found out, whichever model is asked.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Topic {
    pub(in crate::pipeline) features: Features,
    pub(in crate::pipeline) options: Options,
    pub(in crate::pipeline) tags: BTreeMap<String, String>,
    /// Who began to ask: a caller who joins pays nothing.
    pub(in crate::pipeline) caller: Caller,
}

/// The picture as one kind of model sees it.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Picture {
    pub(in crate::pipeline) bytes: Bytes,
    pub(in crate::pipeline) media_type: &'static str,
    pub(in crate::pipeline) frame: Frame,
    /// 0 for a model that publishes no rule.
    pub(in crate::pipeline) tokens: u64,
}

/// A question that takes shape: without what the service has refused, and with a correction once an answer was bad.
pub(in crate::pipeline) struct Draft<'a> {
    pub(super) topic: &'a Topic,
    pub(super) model: &'a ModelProfile,
    pub(super) picture: &'a Picture,
    pub(super) refused: HashSet<Refused>,
    pub(super) correction: Option<Correction>,
}

impl<'a> Draft<'a> {
    /// A question to `model` without the parts that it is known to refuse.
    pub(super) fn new(
        topic: &'a Topic,
        model: &'a ModelProfile,
        picture: &'a Picture,
        refused: HashSet<Refused>,
    ) -> Self {
        Self { topic, model, picture, refused, correction: None }
    }

    /// How the answer is asked for.
    pub(super) fn strategy(&self) -> Strategy {
        refused::strategy(self.model, &self.refused, self.topic.features.extraction.is_some())
    }

    /// Leaves a part out from now on. `false` when it is left out already, or cannot be.
    pub(super) fn leave_out(&mut self, part: Part) -> bool {
        part != Part::Strategy(Strategy::PromptedJson) && self.refused.insert(self.meant(part))
    }

    /// What a refusal of `part` of the question as it stands means.
    pub(super) fn meant(&self, part: Part) -> Refused {
        Refused::of(part, self.thinking())
    }

    /// The question as it stands.
    pub(in crate::pipeline) fn question(&self) -> Question {
        let (model, options) = (self.model, &self.topic.options);
        let strategy = self.strategy();
        let brief = prompt::Brief {
            features: &self.topic.features,
            language: &options.language,
            size: self.picture.frame.model(),
            coordinates: model.coordinates,
            strategy,
        };
        let takes_temperature = model.sampling.takes_temperature() && !self.refused.contains(&Refused::Temperature);
        let takes_all = model.sampling == Sampling::All && takes_temperature;
        Question {
            image: self.picture.bytes.clone(),
            media_type: self.picture.media_type,
            prompt: prompt::build(&brief),
            strategy,
            max_output_tokens: self.max_output_tokens(),
            thinking: self.thinking(),
            correction: self.correction.clone(),
            temperature: takes_temperature.then(|| options.temperature.unwrap_or(0.0)),
            top_p: options.top_p.filter(|_| takes_all),
            top_k: options.top_k.filter(|_| takes_all),
            keeps_body: options.include_response_body,
            tags: self.topic.tags.clone(),
            model: model.clone(),
        }
    }

    fn thinking(&self) -> ThinkingParameter {
        refused::thinking(self.model, &self.refused)
    }

    /// Whether the model thinks whatever it is told.
    fn thinks(&self) -> bool {
        self.model.thinking != Thinking::OffByDefault && self.thinking() != ThinkingParameter::Disabled
    }

    fn max_output_tokens(&self) -> u32 {
        let more = if self.thinks() { THINKING_TOKENS } else { 0 };
        self.answer_tokens().saturating_add(more).min(self.model.max_output_tokens)
    }

    /// The output tokens that the caller or the features ask for.
    fn answer_tokens(&self) -> u32 {
        let asked = self.topic.options.max_output_tokens;
        asked.unwrap_or_else(|| prompt::output_budget(&self.topic.features))
    }

    /// What the call would take at most, before it is made: the picture's tokens by the published rule, about one token for
    /// four bytes of text, and all the output tokens that Bedrock sets aside.
    pub(in crate::pipeline) fn expected_usage(&self) -> Usage {
        let question = self.question();
        let prompt = &question.prompt;
        // Prompted JSON has the schema in the words already.
        let apart = prompt.schema.as_ref().filter(|_| question.strategy != Strategy::PromptedJson);
        let schema = apart.map_or(0, |schema| schema.schema.text().len());
        let bytes = prompt.system.as_ref().map_or(0, String::len) + prompt.text.len() + schema;
        // A model without a published rule counts the picture as it likes: a price of the words alone would mislead.
        let prices = self.model.prices.as_ref().filter(|_| self.model.tier.max_visual_tokens.is_some());
        let usage = Usage {
            input_tokens: self.picture.tokens + bytes.div_ceil(4) as u64,
            output_tokens: u64::from(question.max_output_tokens),
            ..Usage::default()
        };
        Usage { image_tokens: self.picture.tokens, ..usage.priced(prices) }
    }

    /// What the caller should know of how the model is asked.
    pub(in crate::pipeline) fn warnings(&self) -> Vec<Warning> {
        let (model, options) = (self.model, &self.topic.options);
        let mut warnings = Vec::new();
        let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
        if options.max_output_tokens.is_some_and(|asked| asked > model.max_output_tokens) {
            let message = format!("{} takes at most {} output tokens.", model.id, model.max_output_tokens);
            warn(WarningCode::OutputTokensLowered, message);
        }
        let takes_temperature = model.sampling.takes_temperature() && !self.refused.contains(&Refused::Temperature);
        if options.temperature.is_some() && !takes_temperature {
            let message = format!("{} takes no sampling temperature; it was left out.", model.id);
            warn(WarningCode::TemperatureIgnored, message);
        } else if model.sampling.takes_temperature() && !takes_temperature {
            let message = format!("{} refused the sampling temperature 0; it was left out.", model.id);
            warn(WarningCode::ParameterRefused, message);
        }
        if self.thinks() && self.thinking() == ThinkingParameter::Unset {
            let message = format!("{} refused what it was told about thinking; it was left out.", model.id);
            warn(WarningCode::ParameterRefused, message);
        }
        warnings.extend(self.about_the_model());
        warnings
    }

    fn about_the_model(&self) -> impl Iterator<Item = Warning> {
        let ModelProfile { id, is_familiar, has_ended, is_detector, .. } = self.model;
        let ended = has_ended.then(|| {
            let message = format!("{id} has reached its end of life: name a current model.");
            Warning::new(WarningCode::ModelEnded, message)
        });
        let unfamiliar = (!is_familiar).then(|| {
            let message = "The server's catalogue does not know the model; it was asked with careful defaults.";
            Warning::new(WarningCode::ModelUnfamiliar, message)
        });
        let detector = is_detector.then(|| {
            let message = "The answer comes from an object detector that knows 80 kinds of things, not from a language \
                           model: it reads no text, follows no prompt and writes English only.";
            Warning::new(WarningCode::ModelIsDetector, message)
        });
        [ended, unfamiliar, detector].into_iter().flatten()
    }
}

/// Those of the features that the model can never answer.
///
/// # Errors
/// [`AnalyzeError::FeaturesUnsupported`] when it can answer none.
pub(in crate::pipeline) fn unsupported(
    features: &Features,
    model: &ModelProfile,
) -> Result<Vec<&'static str>, AnalyzeError> {
    let asked = features.names();
    let unsupported: Vec<_> = asked.iter().copied().filter(|name| model.unsupported().contains(name)).collect();
    if unsupported.len() == asked.len() {
        return Err(AnalyzeError::FeaturesUnsupported { features: unsupported });
    }
    Ok(unsupported)
}
