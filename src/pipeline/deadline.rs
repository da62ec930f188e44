//! The time that a request has.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::error::{AnalyzeError, Stage};

/// The moment by which a request must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline at `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline moved by `time`.
    pub fn later(self, time: Duration) -> Self {
        Self(self.0 + time)
    }

    /// Time left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `future` until the deadline, then drops it and with it what it does upstream.
    ///
    /// # Errors
    /// [`AnalyzeError::DeadlineExceeded`] in `stage`.
    pub async fn bound<F: Future>(self, stage: Stage, future: F) -> Result<F::Output, AnalyzeError> {
        tokio::time::timeout_at(self.0, future).await.map_err(|_| AnalyzeError::DeadlineExceeded { stage })
    }
}
