//! Telling work on a picture that nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ImageError;

/// Whether work on a picture should stop. Cheap to clone; every clone tells the same. Work looks at it between its steps:
/// every few rows of pixels.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that nobody will set.
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks the work to stop at its next step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends a step of the work early.
    ///
    /// # Errors
    /// [`ImageError::Cancelled`] once [`Self::cancel`] was called on a clone.
    pub fn check(&self) -> Result<(), ImageError> {
        if self.0.load(Ordering::Relaxed) { Err(ImageError::Cancelled) } else { Ok(()) }
    }
}
