//! The `sightline` command.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sightline::{
    app::App,
    cli::{self, analyze::AnalyzeArgs, health::HealthArgs},
    config::{self, ServerArgs},
    serve, telemetry,
};

/// Typed image analysis over gRPC: pictures in Amazon S3, vision models on Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Box<ServerArgs>),
    /// Analyze sample pictures without AWS, print the results and write pictures with the boxes drawn.
    #[cfg(feature = "embedded")]
    Demo(cli::demo::DemoArgs),
    /// Analyze one picture, a file or an S3 object, through a running server.
    Analyze(Box<AnalyzeArgs>),
    /// Print the configuration that `serve` would run with, secrets redacted.
    Config(Box<ServerArgs>),
    /// Ask a server whether it is serving: exit code 0 when it is, 1 when not.
    Health(HealthArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => run_server(&args).await,
        #[cfg(feature = "embedded")]
        Command::Demo(args) => cli::demo::run(args).await,
        Command::Analyze(args) => cli::analyze::run(*args).await,
        Command::Config(args) => {
            print!("{}", config::report(&args, |name| std::env::var(name).ok()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Health(args) => cli::health::run(args).await,
    }
}

async fn run_server(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    telemetry::start(&args.log, args.log_format).context("--log cannot be read")?;
    let config = args.config();
    let listener = serve::bind(config.listen).await?;
    #[cfg(feature = "embedded")]
    let stack = match &config.embedded {
        Some(folder) => Some(sightline::embedded::EmbeddedStack::start(folder.clone()).await?),
        None => None,
    };
    #[cfg(feature = "embedded")]
    let endpoints = stack.as_ref().map(serve::endpoints);
    #[cfg(not(feature = "embedded"))]
    let endpoints = None;
    let app = App::new(&config, endpoints.as_ref()).await;
    let address = listener.local_addr().context("the listener has no address")?;
    tracing::info!(%address, model = config.models.first().map(|model| model.id.as_str()), "listening");
    let signal = serve::stop_signal().context("cannot listen for signals")?;
    serve::run(listener, app, signal).await?;
    #[cfg(feature = "embedded")]
    if let Some(stack) = stack {
        stack.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}
