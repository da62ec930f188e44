//! The limit on analyses in progress, as it is now, and what those who are refused are told.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    limiter::{Begun, End, Limiter},
    places::Places,
};

/// The shortest and the longest advice to who is refused, before jitter.
const ADVICE: (f64, f64) = (0.1, 10.0);

/// How loaded the process is. One for its life.
#[derive(Debug)]
pub(super) struct Load {
    origin: Instant,
    all: Places,
    streams: Places,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` for a limit that stays.
    limiter: Option<Limiter>,
    refused: PerSecond,
    ended: PerSecond,
}

impl Load {
    /// Of `all` places, of which those for `streams` are a part. With a `floor` their number adapts, and is never less.
    pub(super) fn new(all: &Places, streams: &Places, floor: Option<usize>) -> Self {
        let limiter = floor.map(|floor| Limiter::new(floor, all.wanted()));
        let state = State { limiter, refused: PerSecond::default(), ended: PerSecond::default() };
        Self { origin: Instant::now(), all: all.clone(), streams: streams.clone(), state: Mutex::new(state) }
    }

    /// An analysis begins; it has its place.
    pub(super) fn begin(&self) -> Option<Begun> {
        let (now, used) = (self.origin.elapsed(), self.used());
        self.change(|limiter| limiter.begin(now, used))
    }

    /// An analysis is over; it still has its place.
    pub(super) fn ended(&self, begun: Option<Begun>, throttled: u32, end: End) {
        let (now, used) = (self.origin.elapsed(), self.used());
        self.lock().ended.count(now);
        if let Some(begun) = begun {
            self.change(|limiter| limiter.ended(now, used, begun, throttled, end));
        }
    }

    /// A request finds no place, or no room. After what time it should come again: when those who are refused with it will
    /// have had theirs, at the pace of now; not all at the same moment.
    pub(super) fn refuse(&self, of_places: bool) -> Duration {
        let now = self.origin.elapsed();
        if of_places {
            self.change(|limiter| limiter.refused(now));
        }
        let mut state = self.lock();
        let is_first = state.refused.count(now) == 1;
        let (refused, ended) = (state.refused.rate(now), state.ended.rate(now));
        drop(state);
        if is_first {
            let limit = self.all.wanted();
            tracing::warn!(
                limit,
                before = refused.round(),
                "calls are refused, for as much as is taken is in progress"
            );
        }
        let advice = (refused / ended.max(0.1)).clamp(ADVICE.0, ADVICE.1) * (0.5 + fastrand::f64());
        // In hundredths of a second: more would be false precision.
        Duration::from_millis((advice * 100.0).ceil() as u64 * 10)
    }

    /// The part of the limit that is used: of all, or of what streams may have, whose items wait.
    fn used(&self) -> f64 {
        let part = |places: &Places| places.taken() as f64 / places.wanted().max(1) as f64;
        part(&self.all).max(part(&self.streams))
    }

    fn change<T>(&self, what: impl FnOnce(&mut Limiter) -> T) -> Option<T> {
        let mut state = self.lock();
        let limiter = state.limiter.as_mut()?;
        let before = limiter.limit();
        let outcome = what(limiter);
        let limit = limiter.limit();
        // Under the lock, so that the last who changes the limit is the last who resizes.
        if limit != before {
            self.all.resize(limit);
            self.streams.resize(of_streams(limit));
            tracing::debug!(limit, before, "the limit on analyses in progress changed");
        }
        Some(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places that streams may have: a quarter is kept for single requests.
pub(super) fn of_streams(all: usize) -> usize {
    if all == 1 { 1 } else { all - (all / 4).max(1) }
}

/// What happened in about the last second.
#[derive(Debug, Default)]
struct PerSecond {
    second: u64,
    count: u32,
    before: u32,
}

impl PerSecond {
    /// One more; how many there are in this second.
    fn count(&mut self, now: Duration) -> u32 {
        self.turn(now);
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// This second's, and of the last one what is less than a second ago.
    fn rate(&mut self, now: Duration) -> f64 {
        self.turn(now);
        f64::from(self.count) + f64::from(self.before) * (1.0 - f64::from(now.subsec_millis()) / 1000.0)
    }

    fn turn(&mut self, now: Duration) {
        let passed = now.as_secs().saturating_sub(self.second);
        if passed > 0 {
            self.before = if passed == 1 { self.count } else { 0 };
            (self.second, self.count) = (now.as_secs(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(load: &Load) -> f64 {
        load.refuse(true).as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn the_advice_follows_how_many_come_and_how_many_go() {
        let load = Load::new(&Places::new(4), &Places::new(3), None);
        for _ in 0..100 {
            load.ended(None, 0, End::Untold);
        }
        let lone = advice(&load);
        assert!((0.05..=0.16).contains(&lone), "{lone}: a place is free in a moment");
        let many: Vec<_> = (0..300).map(|_| advice(&load)).collect();
        let last = &many[290..];
        assert!(last.iter().all(|advice| (1.4..=4.6).contains(advice)), "{last:?}: three seconds' work was refused");
        assert!(last.iter().any(|advice| advice != &last[0]), "{last:?}: not all at the same moment");
        tokio::time::advance(Duration::from_secs(5)).await;
        let alone = advice(&load);
        assert!((5.0..=15.1).contains(&alone), "{alone}: nothing has ended for a while");
    }
}
