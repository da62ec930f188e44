//! Flags of `load`.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};

use crate::pictures::Size;

/// How calls follow one another.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Way {
    /// Every caller calls again when it has its answer.
    Closed,
    /// At a rate, whether there are answers or not.
    Open,
    /// One AnalyzeMany stream.
    Stream,
}

/// What is called, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// The server
    pub address: SocketAddr,
    /// How calls follow one another
    #[arg(long, value_enum, default_value_t = Way::Closed)]
    pub way: Way,
    /// Size of the pictures
    #[arg(long, value_enum, default_value_t = Size::Medium)]
    pub size: Size,
    /// Callers of the closed loop; of a stream, pictures in progress at once
    #[arg(long, default_value_t = 16)]
    pub callers: usize,
    /// Calls a second of the open loop
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// How long, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Pictures of a stream
    #[arg(long, default_value_t = 1000)]
    pub items: usize,
    /// Connections that the calls are spread over
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
}

impl Options {
    /// How long.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.0))
    }
}
