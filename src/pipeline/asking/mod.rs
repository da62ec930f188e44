//! From a prepared picture to an answer: the model, its retries, one more try at a bad answer, and the models that answer
//! in its place.

mod attempts;
mod budget;
mod circuit;
mod conversation;
mod fallback;
mod ledger;
mod observed;
mod pace;
mod question;
mod refused;

#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use budget::RetryBudget;
use circuit::Circuits;
use pace::Paces;
use refused::Refusals;

use super::{
    Admission, Worker,
    error::{AnalyzeError, Stage},
    ports::VisionModel,
};
use crate::{
    domain::{Findings, ModelFacts, ModelProfile, OversizePolicy, Size, Warning, WarningCode},
    imaging,
    metrics::Metrics,
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
    /// Whose workers make pictures smaller for a fallback, and hold answers against a schema.
    admission: Admission,
    metrics: Arc<Metrics>,
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
    /// The body of the response that they came in, when it was asked for.
    pub(super) body: Option<Arc<str>>,
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
        admission: Admission,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            model,
            policy,
            limits,
            budget: RetryBudget::new(),
            circuits: Circuits::default(),
            paces: Paces::default(),
            refusals: Refusals::default(),
            admission,
            metrics,
        }
    }

    /// Where a model is asked: the same one may be asked in several Regions, whose quotas and faults are their own.
    fn place(&self, model: &ModelProfile) -> String {
        format!("{} {}", self.model.region(model), model.id)
    }

    /// The least time in which asking `model` may end well.
    fn least_time(&self, model: &ModelProfile) -> Duration {
        self.paces.fastest(&self.place(model)).max(self.policy.min_call_time)
    }

    /// A place to work on something off the async threads.
    async fn worker(&self, patience: &Patience) -> Result<Worker, AnalyzeError> {
        within(patience, self.admission.worker()).await
    }

    /// A question as it would be asked now.
    pub(super) fn draft<'a>(&self, topic: &'a Topic, model: &'a ModelProfile, picture: &'a Picture) -> Draft<'a> {
        Draft::new(topic, model, picture, self.refusals.of(&model.id))
    }

    /// Asks the models of `request` in their order until one answers.
    ///
    /// # Errors
    /// Of what they failed with, what tells the caller most; at once what no other model would mend.
    pub(super) async fn ask(
        &self,
        request: &Request,
        patience: &Patience,
        ledger: &Ledger,
    ) -> Result<Answered, AnalyzeError> {
        let mut failures: Vec<AnalyzeError> = Vec::new();
        for model in &request.candidates {
            let picture = if failures.is_empty() {
                Some((request.picture.clone(), None))
            } else {
                fallback::picture(self, request, model, patience).await
            };
            let Some((picture, resized)) = picture else { continue };
            match conversation::hold(self, &request.topic, model, &picture, patience, ledger).await {
                Ok(answered) => return Ok(self.in_place(request, failures.first(), answered, resized)),
                Err(error) if failures.is_empty() && !fallback::helps(&error) => return Err(error),
                Err(error) if fallback::decides(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(model = model.id, %error, "no answer: looking for a fallback");
                    failures.push(error);
                }
            }
        }
        Err(fallback::truest(failures, ledger.calls()))
    }

    /// The answer, with what must be said when it came from a fallback.
    fn in_place(
        &self,
        request: &Request,
        failure: Option<&AnalyzeError>,
        mut answered: Answered,
        resized: Option<Warning>,
    ) -> Answered {
        let (Some(failure), Some(asked)) = (failure, request.candidates.first()) else { return answered };
        self.metrics.fell_back(asked);
        answered.model.requested = asked.id.clone();
        answered.warnings.insert(0, instead(asked, &answered.model, failure));
        answered.warnings.extend(resized);
        // The model that was asked for may be back when the same is asked next.
        answered.is_lasting &= fallback::is_for_good(failure);
        answered
    }
}

/// What `step` comes to while there is time for it.
async fn within<T>(
    patience: &Patience,
    step: impl Future<Output = Result<T, AnalyzeError>>,
) -> Result<T, AnalyzeError> {
    tokio::select! {
        outcome = step => outcome,
        () = patience.is_over() => Err(AnalyzeError::DeadlineExceeded { stage: Stage::Model }),
    }
}

fn instead(asked: &ModelProfile, served: &ModelFacts, error: &AnalyzeError) -> Warning {
    let (why, region) = (fallback::reason(error), &served.region);
    let message = format!("{} in {region} answered in place of {}, which {why}.", served.served, asked.id);
    Warning::new(WarningCode::ModelFallback, message)
}

impl Request {
    fn refuses_to_reduce(&self) -> bool {
        self.topic.options.oversize == OversizePolicy::Reject
    }
}
