//! A flood is known before most of it is in: many more calls come than end and than did before, the places in use are many more
//! than before, and the calls that end took longer than usual. Less than all of that means little. A burst comes and is over;
//! callers who wait for their answers before they ask again, however many, send no more than end; and when a model gets slow,
//! no more come.

use std::{collections::VecDeque, time::Duration};

use super::sample::{SURE, Sample};

/// Calls that ended last, by which it is known.
const CALLS: usize = 12;
/// Calls that came last, by which it goes on.
const LAST: usize = 4;
/// So many calls come for one that ends, and for one that came in the same time before.
const TIMES: f64 = 2.5;
const TIMES_BEFORE: f64 = 2.0;
/// A flood takes so many places, and so many times those that are in use as a rule.
const PLACES: f64 = 24.0;
const TIMES_PLACES: f64 = 3.0;
/// In what time what is the rule grows and shrinks, in seconds.
const GROW: f64 = 5.0;
const SHRINK: f64 = 60.0;
/// What the last calls took at least, as a multiple of the usual, chance left aside.
const SLOW: f64 = 1.15;

/// The calls that ended last, and what is the rule.
#[derive(Debug, Default)]
pub(super) struct Surge {
    /// Calls that came, refused ones too, and when the last few of them did.
    came: u64,
    last: VecDeque<Duration>,
    /// Calls that come in a second, and places in use, as a rule.
    rate: f64,
    places: f64,
    ended: VecDeque<Ended>,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    at: Duration,
    /// What had come by then.
    came: u64,
    /// What it took, and what calls of its kind take as a rule, in seconds.
    took: f64,
    usual: f64,
}

impl Surge {
    /// A call came.
    pub(super) fn came(&mut self, now: Duration) {
        self.came += 1;
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back(now);
    }

    /// A call ended, of a kind that as a rule takes `usual` seconds, more than 0.
    pub(super) fn ended(&mut self, now: Duration, took: f64, usual: f64) {
        if self.ended.len() >= CALLS {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { at: now, came: self.came, took, usual });
    }

    /// In the last `seconds` so many calls came, and so many places were in use at most.
    pub(super) fn get_used_to(&mut self, seconds: f64, calls: u32, places: f64) {
        let towards = |rule: f64, now: f64| {
            if rule == 0.0 {
                return now;
            }
            let time = if now > rule { GROW } else { SHRINK };
            rule + (now - rule) * (1.0 - (-seconds / time).exp())
        };
        self.rate = towards(self.rate, f64::from(calls) / seconds);
        self.places = towards(self.places, places);
    }

    /// The last calls say nothing of those to come.
    pub(super) fn restart(&mut self) {
        self.ended.clear();
    }

    /// How many calls at once keep the server as busy as it is, if there is a flood, with so many places in use: by Little's law,
    /// those that end in a time, times the usual time of each.
    pub(super) fn enough(&self, places: f64) -> Option<f64> {
        if self.ended.len() < CALLS || places < PLACES.max(self.places * TIMES_PLACES) {
            return None;
        }
        let (first, middle, last) = (self.ended.front()?, self.ended.get(CALLS / 2)?, self.ended.back()?);
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        // Of the last half alone, and of the very last that came: when a burst has made calls slow, it is over.
        let came = (last.came - middle.came) as f64;
        let ended = (CALLS - CALLS / 2 - 1) as f64;
        let before = self.rate * last.at.saturating_sub(middle.at).as_secs_f64();
        let is_flood = came >= TIMES * ended && came >= TIMES_BEFORE * before + SURE * before.sqrt();
        let since = last.at.saturating_sub(*self.last.front()?).as_secs_f64();
        let goes_on = LAST as f64 * seconds >= TIMES * (CALLS - 1) as f64 * since;
        if !is_flood || !goes_on || seconds <= 0.0 || self.sure_ratio() < SLOW {
            return None;
        }
        let usual: f64 = self.ended.iter().skip(1).map(|ended| ended.usual).sum();
        Some(usual / seconds)
    }

    fn sure_ratio(&self) -> f64 {
        let mut ratios = Sample::default();
        for ended in &self.ended {
            ratios.take(ended.took / ended.usual);
        }
        ratios.mean() - ratios.margin()
    }
}
