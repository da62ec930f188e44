//! The figures, as a table and as JSON.

use std::{fmt, time::Duration};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

/// What one run took.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// From the call to the end of the stream; of an unread stream, until nothing more was asked upstream.
    pub wall_seconds: f64,
    /// CPU time of the server, for each model call.
    pub cpu_ms_per_item: f64,
    /// The same of the client and the upstreams, which share the machine.
    pub bench_cpu_ms_per_item: f64,
    /// Resident memory of the server before, after its first call.
    pub resting_mib: f64,
    /// Most resident memory meanwhile.
    pub peak_mib: f64,
    /// GetObject requests.
    pub s3_reads: usize,
    /// ListObjectsV2 requests.
    pub s3_pages: usize,
    /// InvokeModel requests.
    pub model_calls: usize,
    /// Most of them at once.
    pub most_model_calls: usize,
}

/// One scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub scenario: &'static str,
    /// Pictures.
    pub items: usize,
    /// How long the model took, in milliseconds.
    pub latency_ms: u64,
    /// The least time that it can take, where it is measured against the clock.
    pub ideal_seconds: Option<f64>,
    /// Every run.
    pub runs: Vec<Figures>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wall_seconds, cpu_ms_per_item, bench_cpu_ms_per_item, resting_mib, peak_mib, .. } = self;
        write!(
            f,
            "{wall_seconds:.2} s, {cpu_ms_per_item:.2} ms CPU each and {bench_cpu_ms_per_item:.2} ms outside the server, \
             {resting_mib:.0} MiB before and {peak_mib:.0} MiB at most, {} reads and {} model calls, {} at once",
            self.s3_reads, self.model_calls, self.most_model_calls
        )
    }
}

impl Row {
    /// A row without runs.
    pub fn new(scenario: &'static str, items: usize, latency: Duration) -> Self {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        Self { scenario, items, latency_ms, ideal_seconds: None, runs: Vec::new() }
    }

    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = values.get(middle).copied().unwrap_or_default();
        let is_even = values.len().is_multiple_of(2);
        let lower = if is_even { values.get(middle.wrapping_sub(1)).copied().unwrap_or(upper) } else { upper };
        (lower + upper) / 2.0
    }
}

/// A Markdown table of medians, and how the rows compare.
pub fn print_table(rows: &[Row]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "scenario",
        "pictures",
        "latency",
        "wall",
        "ideal",
        "ratio",
        "CPU each",
        "at rest",
        "peak",
        "S3 reads",
        "pages",
        "model calls",
        "at once",
    ]);
    for row in rows {
        let wall = row.median(|run| run.wall_seconds);
        table.add_row([
            row.scenario.to_owned(),
            row.items.to_string(),
            format!("{} ms", row.latency_ms),
            format!("{wall:.2} s"),
            row.ideal_seconds.map(|ideal| format!("{ideal:.0} s")).unwrap_or_default(),
            row.ideal_seconds.map(|ideal| format!("{:.3}", wall / ideal)).unwrap_or_default(),
            format!("{:.2} ms", row.median(|run| run.cpu_ms_per_item)),
            format!("{:.0} MiB", row.median(|run| run.resting_mib)),
            format!("{:.0} MiB", row.median(|run| run.peak_mib)),
            format!("{:.0}", row.median(|run| run.s3_reads as f64)),
            format!("{:.0}", row.median(|run| run.s3_pages as f64)),
            format!("{:.0}", row.median(|run| run.model_calls as f64)),
            format!("{:.0}", row.median(|run| run.most_model_calls as f64)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    let found = |name: &str| rows.iter().find(|row| row.scenario == name);
    if let (Some(stream), Some(unary)) = (found("short stream"), found("unary calls")) {
        let ratio = stream.median(|run| run.cpu_ms_per_item) / unary.median(|run| run.cpu_ms_per_item);
        println!("CPU of a picture, stream to unary call: {ratio:.2}");
    }
    if let (Some(short), Some(long)) = (found("short stream"), found("long stream")) {
        let ratio = long.median(|run| run.peak_mib) / short.median(|run| run.peak_mib);
        println!("Peak memory, {} to {} pictures: {ratio:.2}", long.items, short.items);
    }
    Ok(())
}

/// One JSON object a scenario.
pub fn print_json(rows: &[Row]) -> anyhow::Result<()> {
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}
