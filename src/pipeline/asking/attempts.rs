//! The one place where a model is asked again.
//!
//! Retried are throttling, a model that is not ready, a fault of the service and a broken connection; never silence, for
//! what a model works on is billed. The wait is exponential with full jitter, no retry starts that the deadline leaves no
//! time for, and all retries of the process come out of one budget. A part that the service refuses is left out and the
//! question asked again at once, as a rule without being billed.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Asker,
    ledger::{Ledger, Patience},
    observed::Attempt,
    question::Draft,
};
use crate::pipeline::{
    error::{AnalyzeError, Stage},
    ports::{ModelError, Reply},
};

/// How often and how patiently a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Most calls of one model for one question, at least 1; those that were refused for a part of them not counted.
    pub max_attempts: u32,
    /// Longest first wait; each further one may be twice as long.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
    /// A call is not tried with less time left than this.
    pub min_call_time: Duration,
}

/// Asks the model of `draft` until it answers, the attempts are used up or the deadline is near. What is used up goes into
/// `ledger`, also when there is no answer.
pub(super) async fn ask(
    asker: &Asker,
    draft: &mut Draft<'_>,
    patience: &Patience,
    ledger: &Ledger,
) -> Result<Reply, AnalyzeError> {
    let id = &draft.model.id;
    let failed =
        |error, retry_after| AnalyzeError::Model { model: id.clone(), error, calls: ledger.calls(), retry_after };
    let place = asker.place(draft.model);
    let leave = asker.circuits.enter(&place).map_err(|error| failed(error, None))?;
    asker.budget.earn();
    let attempts = Attempts { asker, place: &place, patience, ledger };
    match attempts.run(draft).await {
        Ok(reply) => {
            leave.works();
            Ok(reply)
        }
        // A call that was not begun, or that a caller in a hurry ended, says nothing of the model.
        Err(Unanswered::TooLate { error, silence }) => {
            if silence >= SILENCE.max(asker.paces.slowest(&place) * 2) {
                leave.failed(&ModelError::Unavailable { detail: "no answer".to_owned(), retryable: false });
            }
            Err(error)
        }
        Err(Unanswered::Failed(error)) => {
            leave.failed(&error);
            let retry_after = (error == ModelError::Throttled).then(|| asker.paces.given_up(&place));
            Err(failed(error, retry_after))
        }
    }
}

/// A model that says nothing for this long, and for twice as long as it took of late, to a caller who then gives up counts as
/// failing.
const SILENCE: Duration = Duration::from_secs(10);

enum Unanswered {
    TooLate {
        error: AnalyzeError,
        /// How long the model was waited for.
        silence: Duration,
    },
    Failed(ModelError),
}

/// The attempts at one question.
struct Attempts<'a> {
    asker: &'a Asker,
    /// Where the model is asked.
    place: &'a str,
    patience: &'a Patience,
    ledger: &'a Ledger,
}

impl Attempts<'_> {
    async fn run(&self, draft: &mut Draft<'_>) -> Result<Reply, Unanswered> {
        let policy = &self.asker.policy;
        let mut attempt = 1;
        loop {
            let error = match self.within_the_deadline(draft).await? {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if self.leave_out(draft, &error) {
                continue;
            }
            let wait = jittered(policy, attempt);
            let in_time = self.patience.remaining() > wait + self.asker.least_time(draft.model);
            if !error.is_retryable() || attempt >= policy.max_attempts || !in_time || !self.asker.budget.spend() {
                return Err(Unanswered::Failed(error));
            }
            attempt += 1;
            tracing::info!(model = draft.model.id, %error, attempt, ?wait, "asking the model again");
            self.asker.metrics.retried(draft.model);
            tokio::time::sleep(wait).await;
            self.ledger.spent_in_backoff(wait);
        }
    }

    /// Leaves out what the service refused, if that is what it did, and remembers it.
    fn leave_out(&self, draft: &mut Draft<'_>, error: &ModelError) -> bool {
        let ModelError::PartRefused { part, lasting, .. } = error else { return false };
        let meant = draft.meant(*part);
        if !draft.leave_out(*part) {
            return false;
        }
        tracing::info!(model = draft.model.id, ?part, %error, "asking the model without a part that it refuses");
        if *lasting {
            self.asker.refusals.remember(&draft.model.id, meant);
        }
        true
    }

    async fn within_the_deadline(&self, draft: &Draft<'_>) -> Result<Result<Reply, ModelError>, Unanswered> {
        let (remaining, policy) = (self.patience.remaining(), &self.asker.policy);
        if remaining < policy.min_call_time {
            return Err(Unanswered::TooLate { error: too_late(remaining, policy), silence: Duration::ZERO });
        }
        let started = Instant::now();
        let attempt = Attempt::begin(&self.asker.metrics, draft.model);
        tokio::select! {
            outcome = attempt.watch(self.call(draft)) => {
                attempt.ended(&outcome, &draft.topic.caller);
                Ok(outcome)
            }
            () = self.patience.is_over() => {
                attempt.silent();
                let silence = started.elapsed();
                self.ledger.spent_in_the_model(silence);
                // What it worked on is billed, and nobody says how much.
                self.ledger.unknown();
                Err(Unanswered::TooLate { error: AnalyzeError::DeadlineExceeded { stage: Stage::Model }, silence })
            }
        }
    }

    async fn call(&self, draft: &Draft<'_>) -> Result<Reply, ModelError> {
        let question = draft.question();
        let started = Instant::now();
        self.ledger.call();
        let outcome = self.asker.model.ask(&question).await;
        let took = started.elapsed();
        self.ledger.spent_in_the_model(took);
        if matches!(outcome, Err(ModelError::Throttled)) {
            self.ledger.throttled();
        }
        if let Err(
            ModelError::Malformed { .. }
            | ModelError::Unavailable { retryable: false, .. }
            | ModelError::PartRefused { may_be_billed: true, .. },
        ) = outcome
        {
            self.ledger.unknown();
        }
        let mut reply = outcome?;
        reply.usage = reply.usage.priced(draft.model.prices.as_ref());
        self.ledger.paid(reply.usage);
        self.asker.paces.answered(self.place, took);
        Ok(reply)
    }
}

fn too_late(remaining: Duration, policy: &RetryPolicy) -> AnalyzeError {
    if remaining.is_zero() {
        AnalyzeError::DeadlineExceeded { stage: Stage::Model }
    } else {
        AnalyzeError::DeadlineTooShort { remaining, needed: policy.min_call_time }
    }
}

/// Full jitter: anything between nothing and the exponential bound.
fn jittered(policy: &RetryPolicy, attempt: u32) -> Duration {
    let bound = policy.base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(policy.cap);
    bound.mul_f64(fastrand::f64())
}
