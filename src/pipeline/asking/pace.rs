//! The server's own view of how fast a model takes requests. Bedrock says that it throttles, never for how long.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Bedrock's quotas are per minute.
const WINDOW: Duration = Duration::from_secs(60);
/// Answers whose time is remembered.
const LOOKED_BACK: usize = 16;
/// The shortest advice.
const LEAST: Duration = Duration::from_secs(1);
/// Calls that are looked back on, at most.
const MOST: usize = 10_000;

/// The pace of all models, by Region and Bedrock id.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Pace>>);

#[derive(Debug, Default)]
struct Pace {
    answered: VecDeque<Instant>,
    /// How long the last answers took.
    durations: VecDeque<Duration>,
    /// When each request that was given up for throttling was.
    given_up: VecDeque<Instant>,
}

impl Paces {
    /// The model answered a call in this time.
    pub(super) fn answered(&self, model: &str, took: Duration) {
        let mut paces = self.lock();
        let pace = paces.entry(model.to_owned()).or_default();
        push(&mut pace.answered);
        pace.durations.push_back(took);
        if pace.durations.len() > LOOKED_BACK {
            pace.durations.pop_front();
        }
    }

    /// The shortest of the last answers; no other one can be hoped for in less.
    pub(super) fn fastest(&self, model: &str) -> Duration {
        self.lock().get(model).and_then(|pace| pace.durations.iter().min().copied()).unwrap_or_default()
    }

    /// The longest of the last answers.
    pub(super) fn slowest(&self, model: &str) -> Duration {
        self.lock().get(model).and_then(|pace| pace.durations.iter().max().copied()).unwrap_or_default()
    }

    /// A request to the model is given up, for it was throttled to the end. When its caller should come back: once the model
    /// has taken those that were turned away before it, at the pace at which it took calls in the last minute.
    pub(super) fn given_up(&self, model: &str) -> Duration {
        let mut paces = self.lock();
        let pace = paces.entry(model.to_owned()).or_default();
        push(&mut pace.given_up);
        forget(&mut pace.answered);
        let turned_away = pace.given_up.len() as f64;
        let advice = match pace.answered.len() {
            // It took nothing in the last minute: the longer that lasts, the longer the advice.
            0 => pace.given_up.front().map_or(LEAST, Instant::elapsed) * 2 + 2 * LEAST,
            taken => WINDOW.mul_f64(turned_away / taken as f64),
        };
        let advice = advice.clamp(LEAST, WINDOW);
        // In tenths of a second: more would be false precision.
        Duration::from_millis(u64::try_from(advice.as_millis()).unwrap_or(u64::MAX).div_ceil(100) * 100)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(moments: &mut VecDeque<Instant>) {
    moments.push_back(Instant::now());
    forget(moments);
}

fn forget(moments: &mut VecDeque<Instant>) {
    while moments.len() > MOST || moments.front().is_some_and(|moment| moment.elapsed() > WINDOW) {
        moments.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_advice_follows_the_pace_of_the_last_minute() {
        let paces = Paces::default();
        // One call in two seconds, then three requests too many.
        for _ in 0..30 {
            paces.answered("a", Duration::from_secs(2));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let advice: Vec<_> = (0..3).map(|_| paces.given_up("a").as_secs()).collect();
        assert_eq!(advice, [2, 4, 6]);
        for _ in 0..1000 {
            paces.answered("b", Duration::ZERO);
        }
        assert_eq!(paces.given_up("b"), LEAST);
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(paces.given_up("a"), 2 * LEAST, "what is old does not count");
        tokio::time::advance(WINDOW / 2).await;
        assert_eq!(paces.given_up("a"), WINDOW, "and nothing for a while is long");
    }
}
