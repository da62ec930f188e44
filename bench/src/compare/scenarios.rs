//! The scenarios: who is called how, and what is read off.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use prost::Message as _;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    figures::{Figures, Grpc, Many, Memory, Request, Start},
    options::Options,
};
use crate::{
    load::{
        calls::{Client, Target, analyze, authorized, ensure_served},
        closed, open, streams,
    },
    pictures::{Picture, Size},
    process,
    proto::GetCapabilitiesRequest,
    servers::{Kind, Server, Setup, connect, peer},
    stats::Latencies,
    upstream::{Behaviour, Upstream},
};

/// Large pictures that are held at once.
const HELD: usize = 16;
/// Starts of each server.
const STARTS: usize = 5;

/// Learns from the server how long its body is beside the picture and what it says of itself, for the others to be alike.
pub async fn acquaint(setup: &mut Setup, upstream: &mut Upstream) -> anyhow::Result<()> {
    let server = setup.start(Kind::Sightline).await?;
    let target = Target::connect(server.address, Size::Small, 1).await?;
    let call = analyze(target.client(0)?, target.picture(), Instant::now()).await;
    ensure_served(&[call]).with_context(|| server.last_words())?;
    let asked = upstream.behave(Behaviour::default())?;
    let picture = Picture::of(Size::Small)?.len().div_ceil(3) * 4;
    setup.around =
        usize::try_from(asked.last_body_bytes)?.checked_sub(picture).context("the body lacks its picture")?;
    let capabilities = target.client(0)?.get_capabilities(authorized(GetCapabilitiesRequest {})).await?;
    setup.keep_capabilities(&capabilities.into_inner().encode_to_vec())
}

/// All that `options` want.
pub async fn run(
    options: &Options,
    setup: &Setup,
    upstream: &mut Upstream,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    for size in Size::ALL {
        for latency_ms in [0, 50] {
            if options.wants(&format!("requests {} {latency_ms}ms", size.folder())) {
                requests(options, setup, upstream, size, latency_ms, &mut figures.requests).await?;
            }
        }
    }
    for round in 0..options.rounds() {
        for kind in turns(round, &[Kind::Floor, Kind::Sightline]) {
            if options.wants("memory") {
                figures.memory.push(memory(setup, upstream, kind, round).await?);
            }
        }
        upstream.behave(Behaviour::default())?;
        for kind in turns(round, &[Kind::Bare, Kind::Sightline]) {
            if options.wants("grpc") {
                figures.grpc.extend(grpc(options, setup, kind, round).await?);
            }
        }
        for size in [Size::Small, Size::Medium] {
            if options.wants(&format!("many {}", size.folder())) {
                figures.many.push(many(options, setup, size, round).await?);
            }
        }
    }
    for _ in 0..if options.quick { 1 } else { STARTS } {
        for kind in [Kind::Floor, Kind::Sightline] {
            if options.wants("start") {
                figures.start.push(start(setup, kind).await?);
            }
        }
    }
    Ok(())
}

/// The other way round in every second round.
fn turns(round: usize, kinds: &[Kind]) -> Vec<Kind> {
    let mut kinds = kinds.to_vec();
    if round % 2 == 1 {
        kinds.reverse();
    }
    kinds
}

/// Callers that keep the server busy.
fn callers(size: Size, latency_ms: u64) -> usize {
    match (size, latency_ms) {
        (Size::Large, 0) => 8,
        (Size::Large, _) => 16,
        (_, 0) => 16,
        (Size::Small, _) => 96,
        (Size::Medium, _) => 64,
    }
}

async fn requests(
    options: &Options,
    setup: &Setup,
    upstream: &mut Upstream,
    size: Size,
    latency_ms: u64,
    figures: &mut Vec<Request>,
) -> anyhow::Result<()> {
    upstream.behave(Behaviour { latency_ms, capacity: 0 })?;
    let callers = callers(size, latency_ms);
    let rate = {
        let floor = setup.start(Kind::Floor).await?;
        let target = Target::connect(floor.address, size, options.connections).await?;
        closed::run(&target, callers, options.warm_up()).await?;
        rate(&closed::run(&target, callers, options.duration()).await?, options.duration()) / 2.0
    };
    let with_python = size == Size::Medium && !options.without_python && peer().join(".venv").exists();
    let kinds =
        if with_python { vec![Kind::Floor, Kind::Sightline, Kind::Python] } else { vec![Kind::Floor, Kind::Sightline] };
    for round in 0..options.rounds() {
        for kind in turns(round, &kinds) {
            let server = setup.start(kind).await?;
            let measured = request(options, &server, size, callers, rate).await;
            let figure = measured.with_context(|| format!("{}: {}", kind.name(), server.last_words()))?;
            eprintln!(
                "{} at {latency_ms} ms, round {round}, {}: {:.0} us, {:.0} calls/s, p50 {:.2} ms, p99 {:.2} ms",
                size.name(),
                kind.name(),
                figure.cpu_us,
                figure.rate,
                figure.p50_ms,
                figure.p99_ms
            );
            figures.push(Request { latency_ms, round, ..figure });
        }
    }
    Ok(())
}

async fn request(options: &Options, server: &Server, size: Size, callers: usize, rate: f64) -> anyhow::Result<Request> {
    let target = Target::connect(server.address, size, options.connections).await?;
    ensure_served(&closed::run(&target, callers, options.warm_up()).await?)?;
    let before = server.cpu_seconds()?;
    let began = Instant::now();
    let calls = closed::run(&target, callers, options.duration()).await?;
    let took = began.elapsed();
    let cpu = server.cpu_seconds()? - before;
    ensure_served(&calls)?;
    let peak_mib = process::peak_mib(server.pid())?;
    // The peer does not come near the floor's rate: it is asked for half of its own.
    let own = self::rate(&calls, took);
    let open_rate = if server.kind == Kind::Python { own / 2.0 } else { rate };
    let before = server.cpu_seconds()?;
    let opened = open::run(&target, open_rate, options.duration()).await?;
    let open_cpu = server.cpu_seconds()? - before;
    ensure_served(&opened)?;
    let latencies = Latencies::of(opened.iter().map(|call| call.latency))?;
    Ok(Request {
        size,
        latency_ms: 0,
        kind: server.kind,
        round: 0,
        cpu_us: cpu / calls.len() as f64 * 1e6,
        rate: own,
        open_rate,
        open_cpu_us: open_cpu / opened.len() as f64 * 1e6,
        p50_ms: latencies.ms(0.5),
        p99_ms: latencies.ms(0.99),
        peak_mib,
    })
}

fn rate(calls: &[crate::load::calls::Call], took: Duration) -> f64 {
    calls.len() as f64 / took.as_secs_f64()
}

/// Large pictures while the model takes a second.
async fn memory(setup: &Setup, upstream: &mut Upstream, kind: Kind, round: usize) -> anyhow::Result<Memory> {
    upstream.behave(Behaviour::default())?;
    let server = setup.start(kind).await?;
    let target = Target::connect(server.address, Size::Large, HELD).await?;
    let small = Target::connect(server.address, Size::Small, HELD).await?;
    ensure_served(&closed::run(&small, HELD, Duration::from_millis(200)).await?)?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    upstream.behave(Behaviour { latency_ms: 1000, capacity: 0 })?;
    let rest_mib = process::resident_mib(server.pid())?;
    process::reset_peak(server.pid())?;
    ensure_served(&closed::run(&target, HELD, Duration::from_millis(1500)).await?)?;
    let peak_mib = process::peak_mib(server.pid())?;
    Ok(Memory { kind, round, in_flight: HELD, rest_mib, peak_mib })
}

/// Calls with nothing behind them, one after another on each of several connections.
async fn grpc(options: &Options, setup: &Setup, kind: Kind, round: usize) -> anyhow::Result<Vec<Grpc>> {
    let server = setup.start(kind).await?;
    let mut figures = Vec::new();
    for method in ["Check", "GetCapabilities"] {
        alone(options, &server, method, options.warm_up()).await?;
        let before = server.cpu_seconds()?;
        let began = Instant::now();
        let latencies = alone(options, &server, method, options.duration()).await?;
        let (took, count) = (began.elapsed().as_secs_f64(), latencies.len() as f64);
        let cpu_us = (server.cpu_seconds()? - before) / count * 1e6;
        let p50_ms = Latencies::of(latencies)?.ms(0.5);
        figures.push(Grpc { method, kind, round, cpu_us, rate: count / took, p50_ms });
    }
    Ok(figures)
}

async fn alone(
    options: &Options,
    server: &Server,
    method: &'static str,
    duration: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + duration;
    let callers = (0..options.connections.max(1) * 4).map(|_| {
        let address = server.address;
        tokio::spawn(async move {
            let channel = connect(address).await?;
            let (mut health, mut client) = (HealthClient::new(channel.clone()), Client::new(channel));
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                if method == "Check" {
                    health.check(HealthCheckRequest::default()).await?;
                } else {
                    let answer = client.get_capabilities(authorized(GetCapabilitiesRequest {})).await?.into_inner();
                    anyhow::ensure!(!answer.models.is_empty(), "there are no models");
                }
                latencies.push(began.elapsed());
            }
            anyhow::Ok(latencies)
        })
    });
    let latencies = try_join_all(callers).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(latencies.into_iter().flatten().collect())
}

/// As many pictures over one stream as by single calls, on one connection each.
async fn many(options: &Options, setup: &Setup, size: Size, round: usize) -> anyhow::Result<Many> {
    let server = setup.start(Kind::Sightline).await?;
    let target = Target::connect(server.address, size, 1).await?;
    let warm = closed::run(&target, HELD, options.warm_up()).await?;
    ensure_served(&warm)?;
    let mut costs = [0.0; 2];
    for (turn, cost) in costs.iter_mut().enumerate() {
        let before = server.cpu_seconds()?;
        // In every second round the stream comes first.
        let count = if (turn + round) % 2 == 0 {
            let calls = closed::run(&target, HELD, options.duration()).await?;
            ensure_served(&calls)?;
            calls.len()
        } else {
            let a_second = warm.len() as f64 / options.warm_up().as_secs_f64();
            let items = (a_second * options.duration().as_secs_f64()).max(1.0) as usize;
            streams::run(&target, items, HELD).await?;
            items
        };
        *cost = (server.cpu_seconds()? - before) / count as f64 * 1e6;
    }
    if round % 2 == 1 {
        costs.reverse();
    }
    let [unary_cpu_us, stream_cpu_us] = costs;
    Ok(Many { size, round, stream_cpu_us, unary_cpu_us })
}

async fn start(setup: &Setup, kind: Kind) -> anyhow::Result<Start> {
    let server = setup.start(kind).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle_mib = process::resident_mib(server.pid())?;
    Ok(Start { kind, serving_ms: server.serving_after.as_secs_f64() * 1e3, idle_mib })
}
