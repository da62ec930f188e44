//! Calls, each of them checked: as fast as N callers can, at a rate, or over a stream.

pub mod calls;
pub mod closed;
pub mod open;
pub mod options;
pub mod streams;

use std::time::Duration;

use calls::{Call, Outcome, Target};
use options::{Options, Way};

use crate::stats::Latencies;

/// Calls a running server and prints what came of it.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let target = Target::connect(options.address, options.size, options.connections).await?;
    let calls = match options.way {
        Way::Closed => closed::run(&target, options.callers, options.duration()).await?,
        Way::Open => open::run(&target, options.rate, options.duration()).await?,
        Way::Stream => {
            let took = streams::run(&target, options.items, options.callers).await?;
            println!("{} pictures in {:.3} s", options.items, took.as_secs_f64());
            return Ok(());
        }
    };
    print(&calls, options.duration())
}

fn print(calls: &[Call], duration: Duration) -> anyhow::Result<()> {
    let of = |is_it: fn(&Outcome) -> bool| {
        Latencies::of(calls.iter().filter(|call| is_it(&call.outcome)).map(|call| call.latency))
    };
    let (served, refused) = (of(Outcome::is_served)?, of(Outcome::is_refused)?);
    for (name, latencies) in [("served", &served), ("refused", &refused)] {
        println!(
            "{name}: {} calls, {:.1} a second, p50 {:.3} ms, p99 {:.3} ms",
            latencies.count(),
            latencies.count() as f64 / duration.as_secs_f64(),
            latencies.ms(0.5),
            latencies.ms(0.99)
        );
    }
    calls::ensure_right(calls)
}
