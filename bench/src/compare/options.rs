//! Flags of `compare`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::servers::Binaries;

/// What is measured, and for how long.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the server comes from
    #[command(flatten)]
    pub binaries: Binaries,
    /// Rounds; in every second one the servers take turns the other way round
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of each closed loop and of each open one
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Connections that calls are spread over
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Only parts whose name holds this: requests, memory, grpc, many, start, or a size such as 20k
    #[arg(long)]
    pub only: Option<String>,
    /// Leave the peer in Python out; it needs `bench/peer/setup`
    #[arg(long)]
    pub without_python: bool,
    /// A smoke run: one round of parts of a second. Its figures say nothing
    #[arg(long)]
    pub quick: bool,
    /// Write the figures as JSON there
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the tables between the markers of this document
    #[arg(long)]
    pub write: Option<PathBuf>,
}

impl Options {
    /// How long each loop takes.
    pub fn duration(&self) -> Duration {
        if self.quick { Duration::from_millis(400) } else { Duration::from_secs_f64(self.seconds.max(0.1)) }
    }

    /// How long each server is warmed.
    pub fn warm_up(&self) -> Duration {
        if self.quick { Duration::from_millis(100) } else { Duration::from_secs(1) }
    }

    /// How often each is measured.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    /// Whether a part is measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| part.contains(only.as_str()))
    }
}
