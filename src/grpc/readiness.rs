//! Whether the server wants calls, as health, the admin port and the metrics say it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no credentials to sign with yet, or what it is to check at the start is not there.
    Starting,
    /// It takes calls.
    Serving,
    /// It is to end: calls in flight finish, and new ones should go elsewhere.
    Draining,
}

impl State {
    /// A sentence for whoever asks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting: something that it needs is not there yet, and the log says what",
            Self::Serving => "serving",
            Self::Draining => "draining: the server was told to stop",
        }
    }
}

/// The state, for all who want to know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<State>>,
    metrics: Arc<Metrics>,
}

impl Readiness {
    /// That of a server that starts.
    pub fn starting(metrics: Arc<Metrics>) -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Starting)), metrics }
    }

    /// The state now.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
        self.metrics.serving(state == State::Serving);
    }
}
