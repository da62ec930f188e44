//! What one `AnalyzeMany` stream costs: time against the ideal, memory and CPU of the server, which runs in a process of
//! its own between a loopback S3 and a loopback Bedrock that cost next to nothing. Every answer is checked; a wrong one
//! ends the run. `cargo bench --bench many -- --help` names the flags, docs/PERFORMANCE.md the figures.

mod bedrock;
mod catalogue;
mod check;
mod client;
mod options;
mod report;
mod s3;
mod scenarios;
mod server;
mod upstream;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    let options = options::Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let rows = runtime.block_on(scenarios::run(&options));
    // The loopback servers have no end of their own.
    runtime.shutdown_background();
    if options.json { report::print_json(&rows?) } else { report::print_table(&rows?) }
}
