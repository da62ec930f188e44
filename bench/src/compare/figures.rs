//! What was measured.

use std::fs;

use serde::Serialize;

use super::options::Options;
use crate::{pictures::Size, servers::Kind, stats::median};

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Where.
    pub machine: Machine,
    /// Bytes of the body to Bedrock around the picture.
    pub around: usize,
    /// Single calls.
    pub requests: Vec<Request>,
    /// Memory of pictures in flight.
    pub memory: Vec<Memory>,
    /// Calls with nothing behind them.
    pub grpc: Vec<Grpc>,
    /// Streams beside single calls.
    pub many: Vec<Many>,
    /// Starts.
    pub start: Vec<Start>,
}

/// The machine, and how the run was made.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    /// Its processor.
    pub processor: String,
    /// Its cores, which all processes of the run share.
    pub cores: usize,
    /// The load average of the last minute when the run began.
    pub load_before: String,
    /// Rounds.
    pub rounds: usize,
    /// Seconds of a loop.
    pub seconds: f64,
    /// The server's further arguments.
    pub server_args: Vec<String>,
}

impl Machine {
    /// This one.
    pub fn this(options: &Options) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            rounds: options.rounds(),
            seconds: options.duration().as_secs_f64(),
            server_args: options.binaries.server_args.clone(),
        }
    }
}

/// One server in one round of single calls.
#[derive(Debug, Serialize)]
pub struct Request {
    /// Of which size.
    pub size: Size,
    /// How long the model took.
    pub latency_ms: u64,
    /// Which server.
    pub kind: Kind,
    /// Counted from 0.
    pub round: usize,
    /// CPU time of the server for a call of the closed loop, in microseconds.
    pub cpu_us: f64,
    /// Calls of the closed loop a second.
    pub rate: f64,
    /// Calls a second of the open loop: half of what the floor did.
    pub open_rate: f64,
    /// CPU time of the server for a call of the open loop, in microseconds.
    pub open_cpu_us: f64,
    /// Latency of the open loop.
    pub p50_ms: f64,
    /// Latency of the open loop.
    pub p99_ms: f64,
    /// Most resident memory of the closed loop.
    pub peak_mib: f64,
}

/// One server that holds large pictures while the model works.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Which server.
    pub kind: Kind,
    /// Counted from 0.
    pub round: usize,
    /// Pictures in flight.
    pub in_flight: usize,
    /// Resident before, after a call.
    pub rest_mib: f64,
    /// Most resident meanwhile.
    pub peak_mib: f64,
}

impl Memory {
    /// Of one picture in flight.
    pub fn each_mib(&self) -> f64 {
        (self.peak_mib - self.rest_mib) / self.in_flight as f64
    }
}

/// One server in one round of calls with nothing behind them.
#[derive(Debug, Serialize)]
pub struct Grpc {
    /// Which method.
    pub method: &'static str,
    /// Which server.
    pub kind: Kind,
    /// Counted from 0.
    pub round: usize,
    /// CPU time of the server for a call, in microseconds.
    pub cpu_us: f64,
    /// Calls a second.
    pub rate: f64,
    /// Latency.
    pub p50_ms: f64,
}

/// The server in one round over a stream and by single calls.
#[derive(Debug, Serialize)]
pub struct Many {
    /// Of which size.
    pub size: Size,
    /// Counted from 0.
    pub round: usize,
    /// CPU time of the server for a picture of a stream, in microseconds.
    pub stream_cpu_us: f64,
    /// And for a single call, as many at once.
    pub unary_cpu_us: f64,
}

/// One start.
#[derive(Debug, Serialize)]
pub struct Start {
    /// Which server.
    pub kind: Kind,
    /// From its start until health says SERVING.
    pub serving_ms: f64,
    /// Resident memory a second later.
    pub idle_mib: f64,
}

/// The median of `figure` over those of `all` that `is_it` picks.
pub fn middle<T>(all: &[T], is_it: impl Fn(&T) -> bool, figure: impl Fn(&T) -> f64) -> Option<f64> {
    median(all.iter().filter(|one| is_it(one)).map(figure))
}
