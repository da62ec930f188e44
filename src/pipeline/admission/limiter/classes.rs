//! What is usual for each kind of call: an answer in ten words from a small model takes a hundredth of the time that a long
//! table from a large one takes, so a call is compared with others of its kind only.

use std::{collections::HashMap, time::Duration};

use super::sample::Sample;

/// Kinds that are told apart. Of more, the one that was seen least recently is forgotten.
const MOST: usize = 128;
/// Calls until it is known what is usual, and for how many times as long as they took: of those that begin together the short
/// ones end first.
const FIRST: u32 = 8;
const FIRST_TIMES: f64 = 3.0;
/// Calls of a trial that tell of their kind.
const LEAST: u32 = 4;
/// Calls, and time, that are taken together before what is usual moves: the mean of a few says little.
const BATCH: u32 = 32;
const BATCH_TIME: Duration = Duration::from_secs(1);
/// How far it moves towards a batch that was faster, and towards one that certainly was: what is usual was learned under load
/// then.
const DOWN: f64 = 0.1;
const SURELY_DOWN: f64 = 0.7;
/// In what time it moves towards slower ones: while there is room, since then they are not slow for our many calls; and while
/// there is little, when they may be.
const UP_CALM: f64 = 30.0;
const UP_BUSY: f64 = 600.0;

/// All kinds, by a hash.
#[derive(Debug, Default)]
pub(super) struct Classes(HashMap<u64, Class>);

#[derive(Debug)]
struct Class {
    /// The usual time in seconds, once known.
    usual: Option<f64>,
    /// Times in seconds, of the batch.
    times: Sample,
    /// When the batch began, and when a call was last seen.
    since: Duration,
    seen: Duration,
}

impl Classes {
    /// Takes the time of a call in.
    pub(super) fn take_in(&mut self, now: Duration, class: u64, took: f64) {
        if self.0.len() >= MOST && !self.0.contains_key(&class) {
            self.forget_one();
        }
        let since = now.saturating_sub(Duration::from_secs_f64(took));
        let new = Class { usual: None, times: Sample::default(), since, seen: now };
        let class = self.0.entry(class).or_insert(new);
        class.seen = now;
        class.times.take(took);
    }

    /// Learns what is usual of what was taken in.
    pub(super) fn learn(&mut self, now: Duration, class: u64, busy: bool) {
        if let Some(class) = self.0.get_mut(&class) {
            class.learn(now, busy);
        }
    }

    /// The usual time in seconds, more than 0, if it is known.
    pub(super) fn usual(&self, class: u64) -> Option<f64> {
        self.0.get(&class)?.usual
    }

    /// Begins a new batch of every kind.
    pub(super) fn restart(&mut self, now: Duration) {
        for class in self.0.values_mut() {
            class.restart(now);
        }
    }

    /// What the calls since [`Self::restart`] took is usual from now on.
    pub(super) fn adopt(&mut self, now: Duration) {
        for class in self.0.values_mut().filter(|class| class.times.count() >= LEAST) {
            class.usual = Some(class.mean());
            class.restart(now);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn forget_one(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, class)| class.seen).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.0.remove(&key);
        }
    }
}

impl Class {
    fn mean(&self) -> f64 {
        // Nothing takes no time, and nothing is divided by it.
        self.times.mean().max(1e-6)
    }

    fn restart(&mut self, now: Duration) {
        (self.times, self.since) = (Sample::default(), now);
    }

    fn learn(&mut self, now: Duration, busy: bool) {
        let Some(usual) = self.usual else {
            let time = now.saturating_sub(self.since).as_secs_f64();
            if self.times.count() >= FIRST && time >= FIRST_TIMES * self.mean() {
                self.usual = Some(self.mean());
                self.restart(now);
            }
            return;
        };
        let time = now.saturating_sub(self.since);
        if self.times.count() < BATCH || time < BATCH_TIME {
            return;
        }
        let away = self.mean() - usual;
        let slowly = if busy { UP_BUSY } else { UP_CALM };
        let part = match away {
            _ if away + self.times.margin() < 0.0 => SURELY_DOWN,
            _ if away < 0.0 => DOWN,
            _ => (time.as_secs_f64() / slowly).min(0.5),
        };
        self.usual = Some(usual + away * part);
        self.restart(now);
    }
}
