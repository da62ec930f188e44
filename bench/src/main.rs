//! What a request costs, beside the least that it can cost on the same machine; see README.md.

mod compare;
mod floor;
mod load;
mod overload;
mod pictures;
mod process;
mod proto;
mod report;
mod servers;
mod stats;
mod upstream;

use clap::Parser;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what a request costs, and how the server behaves when there are too many.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
enum Command {
    /// Runs everything in turn: the server, the floor, a bare gRPC server and the peer in Python; prints the tables.
    Compare(compare::options::Options),
    /// Asks for several times of what the server can do, and says what becomes of the calls.
    Overload(overload::options::Options),
    /// Calls a running server: closed loop, open loop or streams.
    Load(load::options::Options),
    /// S3, Bedrock and a collector of traces on loopback, at next to no cost; ends with its standard input.
    Upstream,
    /// The least that a request can cost: the AWS SDKs behind a bare tonic service; ends with its standard input.
    Floor(floor::Options),
    /// tonic with health, and nothing behind it; ends with its standard input.
    Bare(floor::Options),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Compare(options) => compare::run(options).await,
            Command::Overload(options) => overload::run(options).await,
            Command::Load(options) => load::run(options).await,
            Command::Upstream => upstream::run().await,
            Command::Floor(options) => floor::run(options, true).await,
            Command::Bare(options) => floor::run(options, false).await,
        }
    });
    // Loopback servers and the thread that reads standard input have no end of their own.
    runtime.shutdown_background();
    outcome
}
