//! The process-wide budget of retries: when everything fails, retries must not multiply the load.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What each question to a model earns: beside what time earns, retries are at most a fifth of the calls.
const EARNED_BY_A_CALL: f64 = 0.2;
/// What each second earns, so that a server with few calls may retry too.
const EARNED_BY_A_SECOND: f64 = 1.0;
/// The most that is saved up: a burst of faults is outlasted, an outage is not hammered.
const MOST: f64 = 100.0;
/// What a server starts with.
const AT_START: f64 = 20.0;

/// Retries that may still be made.
#[derive(Debug)]
pub(super) struct RetryBudget(Mutex<Saved>);

#[derive(Debug)]
struct Saved {
    retries: f64,
    at: Instant,
}

impl RetryBudget {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Saved { retries: AT_START, at: Instant::now() }))
    }

    /// Counts a first call.
    pub(super) fn earn(&self) {
        self.change(|retries| (retries + EARNED_BY_A_CALL, ()));
    }

    /// Takes one retry out, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.change(|retries| if retries >= 1.0 { (retries - 1.0, true) } else { (retries, false) })
    }

    fn change<T>(&self, change: impl FnOnce(f64) -> (f64, T)) -> T {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.saturating_duration_since(saved.at).as_secs_f64() * EARNED_BY_A_SECOND;
        saved.at = now;
        let (retries, outcome) = change((saved.retries + earned).min(MOST));
        saved.retries = retries.min(MOST);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_comes_back_with_calls_and_time() {
        let budget = RetryBudget::new();
        let spent = (0..1000).filter(|_| budget.spend()).count();
        assert_eq!(spent, AT_START as usize);
        (0..6).for_each(|_| budget.earn());
        assert!(budget.spend() && !budget.spend(), "six calls earn one retry");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 3);
        tokio::time::advance(Duration::from_secs(100_000)).await;
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), MOST as usize);
    }
}
