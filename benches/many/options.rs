//! The flags.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum, builder::RangedU64ValueParser};

/// Measures AnalyzeMany against loopback upstreams and checks every answer. Needs Linux's /proc.
#[derive(Debug, Clone, Parser)]
#[command(name = "many", max_term_width = 110)]
pub struct Options {
    /// What to measure. [default: all]
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub scenario: Vec<Scenario>,

    /// Pictures of `items`, `listing`, `stream` and `unary`.
    #[arg(long, default_value_t = 1000, value_name = "COUNT", value_parser = count())]
    pub items: usize,

    /// Pictures of `long` and `unread`.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT", value_parser = count())]
    pub long_items: usize,

    /// Pictures in progress at once.
    #[arg(long, default_value_t = 64, value_name = "COUNT", value_parser = count())]
    pub in_flight: usize,

    /// How long the model takes in `items` and `listing`.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub latency: Duration,

    /// How long the model takes in `stream`, `unary`, `long` and `unread`.
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub short_latency: Duration,

    /// Runs of each scenario; the table shows medians.
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = count())]
    pub repeat: usize,

    /// Runs of `stream` and `unary`, in turn.
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = count())]
    pub pairs: usize,

    /// HTTP/2 window in bytes, of the stream and of the connection, of the client that stops reading.
    #[arg(long, default_value_t = 65_535, value_name = "BYTES")]
    pub window: u32,

    /// Files of assets/photos that S3 answers with, in turn.
    #[arg(
        long,
        value_name = "NAME,NAME",
        value_delimiter = ',',
        default_value = "astronaut.png,chelsea.png,coffee.png,rocket.jpg,summit.jpeg"
    )]
    pub photo: Vec<String>,

    /// The `sightline` binary to measure. [default: the one that cargo built beside this]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_sightline"), hide_default_value = true)]
    pub server: PathBuf,

    /// Print one JSON object a scenario, with every run, instead of the table.
    #[arg(long)]
    pub json: bool,

    /// Cargo passes this on.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A stream of single items, against the ideal time.
    Items,
    /// The same pictures by an S3 listing.
    Listing,
    /// A short stream, to compare with the next two.
    Stream,
    /// The same number of AnalyzeImage calls, run in turn with the short stream.
    Unary,
    /// A long stream, for its memory.
    Long,
    /// A client that takes ten results of a long stream and then stops reading.
    Unread,
}

impl Options {
    /// Whether `scenario` is wanted.
    pub fn wants(&self, scenario: Scenario) -> bool {
        self.scenario.is_empty() || self.scenario.contains(&scenario)
    }
}

fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}
