//! Some numbers, and how far chance alone may have moved their mean.

/// How sure a difference must be, in standard errors.
pub(super) const SURE: f64 = 3.0;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    count: u32,
    sum: f64,
    sum_of_squares: f64,
}

impl Sample {
    pub(super) fn take(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// 0 of none.
    pub(super) fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }

    /// How far the mean may be off by chance.
    pub(super) fn margin(&self) -> f64 {
        let (count, mean) = (f64::from(self.count.max(1)), self.mean());
        let variance = (self.sum_of_squares / count - mean * mean).max(0.0);
        SURE * (variance / count).sqrt()
    }
}
