//! One stream after the other, until every source has its line: sending, receiving, and going on where a lost stream ended.

use std::{cell::RefCell, io, sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    intake::{Intake, Sent, Shared, Work},
    ledger::Ledger,
    lines::Lines,
    pictures::Pictures,
    progress::Progress,
    totals::Totals,
};
use crate::{
    cli::{client::Client, json::JsonError, plain},
    proto::{AnalyzeManyConfig, FailureMode},
};

/// First wait before a stream is tried again; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait, and the most that is made of what a server asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// Every source has been asked for.
    Complete,
    /// It was told to stop, by a signal.
    Interrupted,
    /// A picture failed and nothing was to be started after that.
    Stopped,
    /// The stream cannot go on.
    Refused(Status),
    /// The results cannot be written.
    Unwritten(WriteError),
}

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk or the pipe.
    #[error("cannot write the results: {0}")]
    Io(#[from] io::Error),
    /// The contract in this binary does not fit itself.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// How one stream ended.
pub(super) enum End {
    /// With its summary.
    Finished,
    /// By a signal.
    Interrupted,
    /// After a failure.
    Stopped,
    /// With an error, or without its summary.
    Broken(Status),
}

/// What does not change during a run.
pub struct Settings {
    /// First message of every stream.
    pub config: AnalyzeManyConfig,
    /// Most bytes of a message.
    pub message_bytes: u64,
    /// Fruitless attempts in a row before giving up.
    pub retries: u32,
    /// Of each listing: name ends.
    pub suffixes: Vec<String>,
    /// Of each listing: most objects.
    pub max_objects: Option<i64>,
}

/// A run.
pub struct Session<'a> {
    /// What was asked for.
    pub settings: Settings,
    /// The service.
    pub client: Client,
    /// What has been answered.
    pub ledger: RefCell<Ledger>,
    /// What has been sent.
    pub sent: RefCell<Sent>,
    /// Counts.
    pub totals: RefCell<Totals>,
    /// The display.
    pub progress: Arc<Progress>,
    /// Where results go.
    pub lines: Lines,
    /// What is made of results beside lines.
    pub pictures: Pictures<'a>,
    /// Turns true when the run is to stop.
    pub stop: watch::Receiver<bool>,
}

impl Session<'_> {
    /// Runs until the sources are at their end or something ends it before.
    pub async fn run(&self, mut intake: Intake) -> Ending {
        let shared = self.shared();
        loop {
            let mut stop = self.stop.clone();
            let work = tokio::select! {
                work = intake.next_work(&shared) => work,
                _ = stop.wait_for(|stop| *stop) => return Ending::Interrupted,
            };
            let Some(work) = work else { return Ending::Complete };
            match self.finish(&work, &mut intake).await {
                Ok(End::Finished) => {}
                Ok(End::Interrupted) => return Ending::Interrupted,
                Ok(End::Stopped) => return Ending::Stopped,
                Ok(End::Broken(status)) => return Ending::Refused(status),
                Err(error) => return Ending::Unwritten(error),
            }
        }
    }

    pub(super) fn shared(&self) -> Shared<'_> {
        Shared { ledger: &self.ledger, sent: &self.sent, totals: &self.totals, progress: &self.progress }
    }

    /// One piece of work, over as many streams as it takes.
    async fn finish(&self, work: &Work, intake: &mut Intake) -> Result<End, WriteError> {
        let mut attempts = 0;
        let base = intake.position;
        loop {
            let before = self.totals.borrow().answers;
            let end = match work {
                Work::Pictures => self.pictures(intake).await?,
                Work::Listing(listing) => self.listing(listing, base, intake).await?,
            };
            self.totals.borrow_mut().end_stream(None);
            if *self.stop.borrow() {
                return Ok(End::Interrupted);
            }
            let End::Broken(status) = end else { return Ok(end) };
            if self.totals.borrow().answers > before {
                attempts = 0;
            }
            attempts += 1;
            if !may_pass(&status) || attempts > self.settings.retries {
                return Ok(End::Broken(status));
            }
            intake.again(&self.sent);
            let wait = wait(attempts, &status);
            self.progress.note(&format!(
                "the stream broke off ({}); going on in {} ({attempts} of {})",
                plain::line(status.message()),
                plain::duration(wait),
                self.settings.retries
            ));
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(End::Interrupted),
            }
        }
    }

    /// Whether nothing more is to be started.
    pub(super) fn is_halted(&self) -> bool {
        self.settings.config.failure_mode() == FailureMode::Stop && self.totals.borrow().failed > 0
    }
}

/// Whether another attempt may do better: the server is away or busy, or the connection broke.
fn may_pass(status: &Status) -> bool {
    // A status that came over the wire has no source.
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

/// How long to wait before attempt number `attempts`, from 1.
fn wait(attempts: u32, status: &Status) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(MAX_WAIT);
    let asked = status.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
    // Many clients of one server that went away should not all come back at once.
    doubled.max(asked.min(MAX_WAIT)).mul_f64(0.8 + 0.4 * fastrand::f64())
}
