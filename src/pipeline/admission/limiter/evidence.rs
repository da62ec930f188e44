//! What calls said of the load since the last decision.

use super::sample::{SURE, Sample};

/// Calls that are enough to decide by.
const ENOUGH: f64 = 20.0;
/// A call that takes longer than so many times the usual says no more than one that takes so long.
const MOST: f64 = 8.0;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// Times of calls, as multiples of the usual.
    ratios: Sample,
    answered: f64,
    throttled: f64,
    began: f64,
    places: f64,
}

impl Evidence {
    /// A call began with so many places taken.
    fn began_with(&mut self, places: f64) {
        self.began += 1.0;
        self.places += places;
    }

    /// A call was answered, in so many times the usual time if that is known.
    pub(super) fn answered(&mut self, places: f64, ratio: Option<f64>) {
        self.answered += 1.0;
        self.began_with(places);
        if let Some(ratio) = ratio {
            self.compare(ratio);
        }
    }

    /// A call got no answer in a time longer than usual.
    pub(super) fn silent(&mut self, places: f64, ratio: f64) {
        self.began_with(places);
        self.compare(ratio);
    }

    /// Attempts of a call were throttled.
    pub(super) fn throttled(&mut self, places: f64, attempts: u32) {
        self.throttled += f64::from(attempts);
        self.began_with(places);
    }

    fn compare(&mut self, ratio: f64) {
        self.ratios.take(ratio.min(MOST));
    }

    pub(super) fn is_enough(&self) -> bool {
        f64::from(self.ratios.count()).max(self.throttled) >= ENOUGH
    }

    /// Places that were taken when these calls began, on average.
    pub(super) fn places(&self) -> f64 {
        self.places / self.began.max(1.0)
    }

    /// What an answer costs, as a multiple of what it costs without load: in time of a place, times attempts.
    pub(super) fn strain(&self) -> f64 {
        self.slowness() * self.attempts()
    }

    /// Attempts that an answer takes.
    pub(super) fn attempts(&self) -> f64 {
        attempts(self.throttled, self.answered)
    }

    /// What it costs at least, chance left aside.
    pub(super) fn sure_strain(&self) -> f64 {
        let slow = self.slowness() - self.ratios.margin();
        let throttled = (self.throttled - SURE * self.throttled.sqrt()).max(0.0);
        slow.max(1.0) * attempts(throttled, self.answered)
    }

    fn slowness(&self) -> f64 {
        if self.ratios.count() > 0 { self.ratios.mean() } else { 1.0 }
    }
}

fn attempts(throttled: f64, answered: f64) -> f64 {
    ((throttled + answered) / answered.max(1.0)).clamp(1.0, MOST)
}
