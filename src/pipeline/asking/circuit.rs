//! A circuit for each model: one that failed again and again is left alone for a while, so that it does not cost every
//! call a timeout. Then a single call tries it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::pipeline::ports::ModelError;

/// Requests in a row that must fail, each after its own retries, before a model is left alone.
const FAILURES: u32 = 10;
/// The first time for which it is; each further one is twice as long.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The circuits of all models, by Region and Bedrock id.
#[derive(Debug, Default)]
pub(super) struct Circuits(Mutex<HashMap<String, Circuit>>);

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    rest: Duration,
    /// What the last request failed with.
    error: ModelError,
    /// A call tries the model now.
    is_tried: bool,
}

/// Leave to ask a model once. Dropped without a word, as when the caller leaves, it changes nothing.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    circuits: &'a Circuits,
    model: &'a str,
    tries: bool,
}

impl Circuits {
    /// Leave to ask `model`.
    ///
    /// # Errors
    /// Why not: [`ModelError::CircuitOpen`], or, when the model failed for good, with what.
    pub(super) fn enter<'a>(&'a self, model: &'a str) -> Result<Leave<'a>, ModelError> {
        let mut circuits = self.lock();
        let open = circuits.get_mut(model).and_then(|circuit| circuit.open.as_mut());
        let tries = match open {
            None => false,
            Some(open) => {
                let retry_after = open.until.saturating_duration_since(Instant::now());
                if open.is_tried || !retry_after.is_zero() {
                    return Err(refusal(&open.error, retry_after));
                }
                open.is_tried = true;
                true
            }
        };
        Ok(Leave { circuits: self, model, tries })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(error: &ModelError, retry_after: Duration) -> ModelError {
    match error {
        ModelError::EndOfLife | ModelError::NotEnabled { .. } | ModelError::ProfileRequired => error.clone(),
        _ => ModelError::CircuitOpen { retry_after: retry_after.max(Duration::from_secs(1)) },
    }
}

/// Whether a request that ended so says that the model is out of order. Throttling is not: the model works for others.
fn counts(error: &ModelError) -> bool {
    matches!(
        error,
        ModelError::Unavailable { .. }
            | ModelError::EndOfLife
            | ModelError::NotEnabled { .. }
            | ModelError::ProfileRequired
    )
}

impl Leave<'_> {
    /// The model answered, or at least its service did.
    pub(super) fn works(self) {
        self.circuits.lock().remove(self.model);
    }

    /// The request failed, after its retries.
    pub(super) fn failed(self, error: &ModelError) {
        if !counts(error) {
            // Throttling says nothing of a model that is tried, but that its service is there.
            return self.works();
        }
        let mut circuits = self.circuits.lock();
        let circuit = circuits.entry(self.model.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures < FAILURES {
            return;
        }
        let rest = match &circuit.open {
            // Calls that were under way when it opened do not prolong it.
            Some(open) if !self.tries => open.rest,
            Some(open) => (open.rest * 2).min(LONGEST_REST),
            None => FIRST_REST,
        };
        if circuit.open.is_none() || self.tries {
            tracing::warn!(model = self.model, %error, ?rest, "the model fails again and again: it is left alone");
            let until = Instant::now() + rest;
            circuit.open = Some(Open { until, rest, error: error.clone(), is_tried: false });
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.tries
            && let Some(open) = self.circuits.lock().get_mut(self.model).and_then(|circuit| circuit.open.as_mut())
        {
            open.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> ModelError {
        ModelError::Unavailable { detail: String::new(), retryable: true }
    }

    fn fail(circuits: &Circuits, model: &str, error: &ModelError, times: u32) {
        for _ in 0..times {
            circuits.enter(model).unwrap().failed(error);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_fails_in_a_row_rests_and_is_tried_by_one_call() {
        let circuits = Circuits::default();
        fail(&circuits, "a", &unavailable(), FAILURES - 1);
        circuits.enter("a").unwrap().works();
        fail(&circuits, "a", &unavailable(), FAILURES);
        let refused = circuits.enter("a").unwrap_err();
        assert_eq!(refused, ModelError::CircuitOpen { retry_after: FIRST_REST });
        circuits.enter("b").unwrap().works();

        tokio::time::advance(FIRST_REST).await;
        let tries = circuits.enter("a").unwrap();
        assert!(circuits.enter("a").is_err(), "one call tries it");
        drop(tries);
        circuits.enter("a").expect("a caller who left has not tried it").failed(&unavailable());
        tokio::time::advance(FIRST_REST).await;
        assert!(circuits.enter("a").is_err(), "the second rest is longer");
        tokio::time::advance(FIRST_REST).await;
        circuits.enter("a").unwrap().works();
        fail(&circuits, "a", &unavailable(), FAILURES - 1);
        circuits.enter("a").unwrap().works();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dead_for_good_is_said_while_it_rests() {
        let circuits = Circuits::default();
        fail(&circuits, "a", &ModelError::EndOfLife, FAILURES);
        assert_eq!(circuits.enter("a").unwrap_err(), ModelError::EndOfLife);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_opens_nothing() {
        let circuits = Circuits::default();
        fail(&circuits, "a", &ModelError::Throttled, 100);
        fail(&circuits, "a", &ModelError::Refused, 100);
        circuits.enter("a").unwrap().works();
    }
}
