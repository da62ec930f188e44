//! Flags of `overload`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{pictures::Size, servers::Binaries};

/// What the server is asked to bear.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the server comes from
    #[command(flatten)]
    pub binaries: Binaries,
    /// Size of the pictures
    #[arg(long, value_enum, default_value_t = Size::Medium)]
    pub size: Size,
    /// Calls that the model works on at once; others wait there
    #[arg(long, default_value_t = 8)]
    pub capacity: usize,
    /// How long it works on each, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub latency_ms: u64,
    /// How many times of what can be done is asked for
    #[arg(long, default_value_t = 4.0)]
    pub times: f64,
    /// For how many seconds
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Of what can be done, the share that is asked for before and after
    #[arg(long, default_value_t = 0.5)]
    pub calm: f64,
    /// Seconds of calm before and after
    #[arg(long, default_value_t = 10.0)]
    pub calm_seconds: f64,
    /// Connections that calls are spread over
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Write the figures as JSON there
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the table between the markers of this document
    #[arg(long)]
    pub write: Option<PathBuf>,
}

impl Options {
    /// How long there is too much to do.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(1.0))
    }

    /// How long the calm before and after takes.
    pub fn calm(&self) -> Duration {
        Duration::from_secs_f64(self.calm_seconds.max(2.0))
    }
}
