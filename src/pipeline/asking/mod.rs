//! From a prepared picture to an answer: the model, its retries, one more try at a bad answer, and the models that answer
//! in its place.

mod attempts;
mod budget;
mod circuit;
mod conversation;
mod fallback;
mod ledger;
mod pace;
mod question;
mod refused;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use budget::RetryBudget;
use circuit::Circuits;
use pace::Paces;
use refused::Refusals;

use super::{error::AnalyzeError, ports::VisionModel};
use crate::{
    domain::{Findings, ModelFacts, ModelProfile, OversizePolicy, Size, Warning, WarningCode},
    imaging,
};
pub use attempts::RetryPolicy;
pub(super) use ledger::{Claim, Ledger, Patience};
pub(super) use question::{Draft, Picture, Topic, unsupported};

/// Asks models. What it learns of them is the whole process's.
pub(super) struct Asker {
    model: Arc<dyn VisionModel>,
    policy: RetryPolicy,
    limits: imaging::Limits,
    budget: RetryBudget,
    circuits: Circuits,
    paces: Paces,
    refusals: Refusals,
    /// Pictures that are made smaller for a fallback, and answers that are held against a schema, at once.
    workers: tokio::sync::Semaphore,
}

/// What is asked, and of which models in which order.
pub(super) struct Request {
    pub(super) topic: Topic,
    pub(super) picture: Picture,
    /// The model that was asked for, then its fallbacks. Never empty.
    pub(super) candidates: Vec<ModelProfile>,
}

/// An answer that was read.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) findings: Findings,
    pub(super) warnings: Vec<Warning>,
    pub(super) model: ModelFacts,
    /// The model's own words.
    pub(super) raw: String,
    /// The picture's tokens on the model that answered.
    pub(super) image_tokens: u64,
    /// The size at which the model saw the picture.
    pub(super) seen: Size,
    /// Asking again would give the same.
    pub(super) is_lasting: bool,
}

impl Asker {
    pub(super) fn new(
        model: Arc<dyn VisionModel>,
        policy: RetryPolicy,
        limits: imaging::Limits,
        workers: usize,
    ) -> Self {
        Self {
            model,
            policy,
            limits,
            budget: RetryBudget::new(),
            circuits: Circuits::default(),
            paces: Paces::default(),
            refusals: Refusals::default(),
            workers: tokio::sync::Semaphore::new(workers.max(1)),
        }
    }

    /// A question as it would be asked now.
    pub(super) fn draft<'a>(&self, topic: &'a Topic, model: &'a ModelProfile, picture: &'a Picture) -> Draft<'a> {
        Draft::new(topic, model, picture, self.refusals.of(&model.id))
    }

    /// Asks the models of `request` in their order until one answers.
    ///
    /// # Errors
    /// What the first of them failed with, unless a later one shows that it is not the model's fault.
    pub(super) async fn ask(
        &self,
        request: &Request,
        patience: &Patience,
        ledger: &Ledger,
    ) -> Result<Answered, AnalyzeError> {
        let mut first: Option<(&ModelProfile, AnalyzeError)> = None;
        for model in &request.candidates {
            let picture = match &first {
                None => Some((request.picture.clone(), None)),
                Some(_) => fallback::picture(self, request, model).await,
            };
            let Some((picture, resized)) = picture else { continue };
            let outcome = conversation::hold(self, &request.topic, model, &picture, patience, ledger).await;
            match (outcome, first.take()) {
                (Ok(answered), None) => return Ok(answered),
                (Ok(mut answered), Some((asked, error))) => {
                    answered.model.requested = asked.id.clone();
                    answered.warnings.insert(0, instead(asked, model, &error));
                    answered.warnings.extend(resized);
                    // The model that was asked for may be back when the same is asked next.
                    answered.is_lasting = false;
                    return Ok(answered);
                }
                (Err(error), earlier) if fallback::helps(&error) => first = earlier.or(Some((model, error))),
                (Err(error), _) => return Err(error),
            }
            if let Some((asked, error)) = &first {
                tracing::warn!(model = asked.id, %error, "looking for a fallback");
            }
        }
        Err(match first {
            // What the fallbacks tried counts too.
            Some((_, AnalyzeError::Model { model, error, retry_after, .. })) => {
                AnalyzeError::Model { model, error, calls: ledger.calls(), retry_after }
            }
            Some((_, error)) => error,
            None => AnalyzeError::Internal { detail: "no model to ask".to_owned() },
        })
    }
}

fn instead(asked: &ModelProfile, served: &ModelProfile, error: &AnalyzeError) -> Warning {
    let why = fallback::reason(error);
    Warning::new(WarningCode::ModelFallback, format!("{} answered in place of {}, which {why}.", served.id, asked.id))
}

impl Request {
    fn refuses_to_reduce(&self) -> bool {
        self.topic.options.oversize == OversizePolicy::Reject
    }
}
