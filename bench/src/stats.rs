//! Medians, and histograms of latency.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The middle of `values`; `None` without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(values.len() / 2 - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// Latencies, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Never: the precision is a constant that the library takes.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// Of all of `latencies`.
    pub fn of(latencies: impl IntoIterator<Item = Duration>) -> anyhow::Result<Self> {
        let mut all = Self::new()?;
        latencies.into_iter().for_each(|latency| all.add(latency));
        Ok(all)
    }

    /// One more.
    pub fn add(&mut self, latency: Duration) {
        // It grows as it must; only without memory for that can it fail.
        let _recorded = self.0.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in milliseconds that `quantile` of the calls stay within.
    pub fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_two_or_on_one() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_quantile_is_within_a_thousandth() {
        let latencies = Latencies::of((1..=1000).map(Duration::from_millis)).unwrap();
        assert!((latencies.ms(0.99) / 990.0 - 1.0).abs() < 0.001, "{}", latencies.ms(0.99));
    }
}
