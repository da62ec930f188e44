//! Several times of what the server can do: what becomes of the calls that are served and of those that are refused, of its
//! memory and its health, and how soon it is itself again.

mod figures;
pub mod options;
mod probe;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use figures::Figures;
use options::Options;

use crate::{
    load::{
        calls::{Call, Target, ensure_right, ensure_served},
        closed, open,
    },
    process, report,
    servers::{Kind, Setup},
    upstream::{Behaviour, Upstream},
};

/// Measures, prints and writes.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut upstream = Upstream::start()?;
    let setup = Setup::new(&options.binaries, upstream.addresses)?;
    upstream.behave(Behaviour { latency_ms: options.latency_ms, capacity: options.capacity })?;
    let figures = measure(&options, &setup).await?;
    let table = figures.table();
    println!("{table}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    if let Some(path) = &options.write {
        report::write(path, "overload", &table)?;
    }
    Ok(())
}

async fn measure(options: &Options, setup: &Setup) -> anyhow::Result<Figures> {
    let server = setup.start(Kind::Sightline).await?;
    let target = Target::connect(server.address, options.size, options.connections).await?;
    let done_a_second = can_do(options, &target).await.with_context(|| server.last_words())?;
    let calm_rate = done_a_second * options.calm;
    // Of what was asked for, nothing waits any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = open::run(&target, calm_rate, options.calm()).await?;
    ensure_served(&before).with_context(|| server.last_words())?;
    let calm_peak_mib = process::peak_mib(server.pid())?;
    eprintln!(
        "{done_a_second:.0} calls a second are what it can do; now {:.0} for {} s",
        done_a_second * options.times,
        options.seconds
    );
    process::reset_peak(server.pid())?;
    let probes = probe::start(server.address);
    let began = Instant::now();
    // What is asked for afterwards begins when the last of the many has begun, not when all of them have ended.
    let (during, after) = tokio::join!(open::run(&target, done_a_second * options.times, options.duration()), async {
        tokio::time::sleep(options.duration()).await;
        open::run(&target, calm_rate, options.calm()).await
    });
    let (during, after) = (during?, after?);
    let peak_mib = process::peak_mib(server.pid())?;
    let probes = probes.stop().await?;
    ensure_right(&during).with_context(|| server.last_words())?;
    ensure_right(&after).with_context(|| server.last_words())?;
    let end = began + options.duration();
    Figures::of(options, done_a_second, &before, &during, &after, end, (calm_peak_mib, peak_mib), &probes)
}

/// Calls a second with twice as many callers as the model has places: all that is to be had, and hardly a queue.
async fn can_do(options: &Options, target: &Target) -> anyhow::Result<f64> {
    let callers = options.capacity * 2;
    closed::run(target, callers, Duration::from_secs(1)).await?;
    let began = Instant::now();
    let calls: Vec<Call> = closed::run(target, callers, Duration::from_secs(5)).await?;
    let took = began.elapsed();
    ensure_right(&calls)?;
    let served = calls.iter().filter(|call| call.outcome.is_served()).count();
    anyhow::ensure!(served > 0, "no call was served");
    Ok(served as f64 / took.as_secs_f64())
}
