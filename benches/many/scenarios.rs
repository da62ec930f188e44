//! What is measured. Every run has a server of its own, warmed by one call.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    catalogue::Catalogue,
    client::{self, Client, Naming},
    options::{Options, Scenario},
    report::{Figures, Row},
    server::{self, Server},
    upstream::Upstreams,
};

/// A stream that is not read has come to rest when nothing was asked upstream for this long.
const REST: Duration = Duration::from_secs(2);
/// By then it must have.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// What one run does.
#[derive(Debug, Clone, Copy)]
enum Work {
    Stream(Naming),
    Unary,
    Unread,
}

/// Everything that is wanted, in the table's order.
pub async fn run(options: &Options) -> anyhow::Result<Vec<Row>> {
    let bench = Bench { options, upstreams: Upstreams::start(Catalogue::read(&options.photo)?).await? };
    let mean = bench.upstreams.state.catalogue.mean_bytes() / 1024;
    eprintln!("photos: {mean} KiB on average; {} in flight", options.in_flight);
    let mut rows = Vec::new();
    for (scenario, name, naming) in
        [(Scenario::Items, "items", Naming::Items), (Scenario::Listing, "listing", Naming::Listing)]
    {
        if options.wants(scenario) {
            let waves = u32::try_from(options.items.div_ceil(options.in_flight))?;
            let mut row = Row::new(name, options.items, options.latency);
            row.ideal_seconds = Some((options.latency * waves).as_secs_f64());
            bench.repeat(&mut row, Work::Stream(naming)).await?;
            rows.push(row);
        }
    }
    rows.extend(bench.peers().await?);
    for (scenario, name, work) in [
        (Scenario::Long, "long stream", Work::Stream(Naming::Items)),
        (Scenario::Unread, "unread stream", Work::Unread),
    ] {
        if options.wants(scenario) {
            let mut row = Row::new(name, options.long_items, options.short_latency);
            bench.repeat(&mut row, work).await?;
            rows.push(row);
        }
    }
    Ok(rows)
}

struct Bench<'a> {
    options: &'a Options,
    upstreams: Upstreams,
}

impl Bench<'_> {
    async fn repeat(&self, row: &mut Row, work: Work) -> anyhow::Result<()> {
        for _ in 0..self.options.repeat {
            self.once(row, work).await?;
        }
        Ok(())
    }

    /// A stream, then the same pictures by single calls, again and again: what disturbs the machine disturbs both.
    async fn peers(&self) -> anyhow::Result<impl Iterator<Item = Row>> {
        let Options { items, short_latency, pairs, .. } = *self.options;
        let stream = (Scenario::Stream, "short stream", Work::Stream(Naming::Items));
        let peers = [stream, (Scenario::Unary, "unary calls", Work::Unary)];
        let wanted = peers.into_iter().filter(|(scenario, ..)| self.options.wants(*scenario));
        let mut rows: Vec<_> = wanted.map(|(_, name, work)| (Row::new(name, items, short_latency), work)).collect();
        for _ in 0..pairs {
            for (row, work) in &mut rows {
                self.once(row, *work).await?;
            }
        }
        Ok(rows.into_iter().map(|(row, _)| row))
    }

    async fn once(&self, row: &mut Row, work: Work) -> anyhow::Result<()> {
        let latency = Duration::from_millis(row.latency_ms);
        eprintln!("{}: {} pictures, latency {latency:?}, run {}", row.scenario, row.items, row.runs.len() + 1);
        let figures = self.measure(work, row.items, latency).await;
        let figures = figures.with_context(|| format!("scenario {}", row.scenario))?;
        eprintln!("  {figures}");
        row.runs.push(figures);
        Ok(())
    }

    async fn measure(&self, work: Work, items: usize, latency: Duration) -> anyhow::Result<Figures> {
        let Options { in_flight, window, .. } = *self.options;
        let state = &self.upstreams.state;
        let server = Server::start(&self.options.server, &self.upstreams)?;
        let window = matches!(work, Work::Unread).then_some(window);
        let mut client = client::connect(server.address, window).await?;
        state.reset(Duration::ZERO, items);
        client::analyze_each(client.clone(), &state.catalogue, 1, 1).await.context("the first call")?;
        state.reset(latency, items);
        server.reset_peak();
        let (resting_mib, cpu, own_cpu) = (server.resident_mib()?, server.cpu_seconds()?, server::cpu_seconds("self")?);
        let began = Instant::now();
        let mut settled = None;
        match work {
            Work::Stream(naming) => {
                client::analyze_many(client, &state.catalogue, items, in_flight, naming).await?;
            }
            Work::Unary => client::analyze_each(client, &state.catalogue, items, in_flight).await?,
            Work::Unread => settled = Some(self.unread(&mut client, items).await?),
        }
        let wall = settled.unwrap_or_else(|| began.elapsed());
        let (reads, calls) = (state.reads.load(Relaxed), state.calls.load(Relaxed));
        if !matches!(work, Work::Unread) {
            ensure!((reads, calls) == (items, items), "{reads} S3 reads and {calls} model calls for {items} pictures");
            ensure!(state.most_calls() <= in_flight, "{} model calls at once", state.most_calls());
        }
        Ok(Figures {
            wall_seconds: wall.as_secs_f64(),
            cpu_ms_per_item: (server.cpu_seconds()? - cpu) * 1000.0 / calls.max(1) as f64,
            bench_cpu_ms_per_item: (server::cpu_seconds("self")? - own_cpu) * 1000.0 / calls.max(1) as f64,
            resting_mib,
            peak_mib: server.peak_mib()?,
            s3_reads: reads,
            s3_pages: state.pages.load(Relaxed),
            model_calls: calls,
            most_model_calls: state.most_calls(),
        })
    }

    /// Reads ten results, then nothing, and waits until nothing more is asked upstream. Returns how long that took.
    async fn unread(&self, client: &mut Client, items: usize) -> anyhow::Result<Duration> {
        let state = &self.upstreams.state;
        let began = Instant::now();
        let _open = client::stop_reading(client, &state.catalogue, items, self.options.in_flight).await?;
        let asked = || (state.reads.load(Relaxed), state.calls.load(Relaxed));
        let (mut last, mut changed) = (asked(), Instant::now());
        while changed.elapsed() < REST {
            ensure!(began.elapsed() < REST_LIMIT, "the stream works on without a reader: {last:?} reads and calls");
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = asked();
            if now != last {
                (last, changed) = (now, Instant::now());
            }
        }
        Ok(changed - began)
    }
}
