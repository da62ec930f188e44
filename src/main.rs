//! The `sightline` command.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use sightline::{
    adapters::{self, Clients},
    admin::{self, Admin},
    app::App,
    cli::{
        self, analyze::AnalyzeArgs, analyze_many::AnalyzeManyArgs, check::CheckArgs, health::HealthArgs,
        iam_policy::IamPolicyArgs, models::ModelsArgs,
    },
    config::{self, Config, ServerArgs},
    serve,
    telemetry::{self, LogFilter, Tracing},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Analyze many pictures, files and S3 objects, through a running server: a line of JSON for each.
    AnalyzeMany(Box<AnalyzeManyArgs>),
    /// Print the configuration that `serve` would run with, secrets redacted.
    Config(Box<ServerArgs>),
    /// Check what `serve` needs before anybody calls: configuration, credentials, buckets and model. Exit code 0 when all is
    /// well, 1 when something is missing.
    Check(Box<CheckArgs>),
    /// List the models that `serve` would offer, and what the catalogue says of each.
    Models(Box<ModelsArgs>),
    /// Print the least IAM policy that a server with these settings needs, or the Lambda function, or S3 Batch Operations.
    IamPolicy(Box<IamPolicyArgs>),
    /// Ask a server whether it is serving: exit code 0 when it is, 1 when not.
    Health(HealthArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let matches = config::without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let outcome = runtime.block_on(run(cli.command));
    // A picture that is still being decoded for a caller who has left must not hold the process.
    runtime.shutdown_background();
    outcome
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => run_server(&args).await,
        #[cfg(feature = "embedded")]
        Command::Demo(args) => cli::demo::run(args).await,
        Command::Analyze(args) => cli::analyze::run(*args).await,
        Command::AnalyzeMany(args) => cli::analyze_many::run(*args).await,
        Command::Config(args) => {
            let aws = match args.config()?.embedded {
                None => Some(adapters::connect(None, args.request_timeout).await),
                Some(_) => None,
            };
            print!("{}", configuration(&args, aws.as_ref())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(args) => cli::check::run(*args).await,
        Command::Models(args) => {
            let shown = cli::models::run(&args)?;
            // A reader that has seen enough, such as `head`, is no error.
            let _ = std::io::stdout().write_all(shown.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Command::IamPolicy(args) => {
            let made = cli::iam_policy::run(&args)?;
            for note in &made.notes {
                eprintln!("note: {note}.");
            }
            let _ = std::io::stdout().write_all(made.policy.json().as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Command::Health(args) => cli::health::run(args).await,
    }
}

/// The configuration in force, secrets redacted; with what `aws`'s own chain came to.
fn configuration(args: &ServerArgs, aws: Option<&Clients>) -> anyhow::Result<String> {
    let mut text = config::report(args, |name| std::env::var(name).ok())?;
    if let Some(clients) = aws {
        text.push_str(&format!("region = {}\ns3_path_style = {}\n", clients.region, clients.path_style));
    }
    Ok(text)
}

async fn run_server(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let endpoint = args.operations.collector().map_err(anyhow::Error::msg)?;
    let tracing = Tracing { endpoint, ratio: args.operations.trace_ratio };
    let telemetry = telemetry::start(&args.log, args.log_format, &tracing)?;
    let outcome = serve_all(args, telemetry.filter()).await;
    telemetry.finish().await;
    outcome
}

/// Serves gRPC and the admin port until the process is told to end.
async fn serve_all(args: &ServerArgs, filter: LogFilter) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    warn(&config);
    let admin_listener = match args.operations.admin_listen.0 {
        Some(address) => Some(admin::bind(address).await?),
        None => None,
    };
    let listener = serve::bind(config.listen).await?;
    #[cfg(feature = "embedded")]
    let stack = match &config.embedded {
        Some(folder) => Some(sightline::embedded::EmbeddedStack::start(folder.clone()).await?),
        None => None,
    };
    #[cfg(feature = "embedded")]
    let endpoints = stack.as_ref().map(sightline::app::endpoints);
    #[cfg(not(feature = "embedded"))]
    let endpoints = None;
    #[cfg(feature = "embedded")]
    if let Some(stack) = &stack {
        println!("{}", exports(stack));
    }
    let app = App::new(&config, endpoints.as_ref()).await?;
    let address = listener.local_addr().context("the listener has no address")?;
    tracing::info!(%address, model = config.models.default_model().id, "listening");
    let signal = serve::stop_signal().context("cannot listen for signals")?;
    let admin = match admin_listener {
        Some(listener) => Some(open_admin(listener, args, &app, filter)?),
        None => None,
    };
    serve::run(listener, app, signal).await?;
    if let Some((stop, ended)) = admin {
        // It answers until the last call is done: `/readyz` says that the server drains.
        let _ = stop.send(());
        let _ = ended.await;
    }
    #[cfg(feature = "embedded")]
    if let Some(stack) = stack {
        stack.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Begins to answer on the admin port. It ends once it is told to.
fn open_admin(
    listener: TcpListener,
    args: &ServerArgs,
    app: &App,
    filter: LogFilter,
) -> anyhow::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let address = listener.local_addr().context("the admin port has no address")?;
    let aws = args.config()?.embedded.is_none().then(|| app.clients());
    let config = configuration(args, aws)?;
    let admin = Admin { metrics: app.metrics().clone(), readiness: app.readiness().clone(), config, filter };
    let (stop, stopped) = oneshot::channel();
    let stopped = async move {
        // A dropped sender stops it as well.
        let _ = stopped.await;
    };
    tracing::info!(%address, "admin port open");
    Ok((stop, tokio::spawn(admin::serve(listener, admin, stopped))))
}

/// Says what works, but hardly as it was meant.
fn warn(config: &Config) {
    for warning in &config.access.warnings {
        tracing::warn!("{warning}");
    }
    if config.limits.max_in_flight_bytes / 4 < config.limits.max_image_bytes {
        tracing::warn!(
            "--max-in-flight-bytes is less than four times --max-image-bytes: the largest pictures are OVERLOADED while streams \
             are busy"
        );
    }
    for (name, model) in config.models.rows() {
        if !model.is_familiar {
            tracing::warn!(
                name,
                model = model.id,
                "the catalogue does not know the model: it is asked with careful defaults. Check the spelling (`sightline models` lists the names), or describe it in a file for --models"
            );
        }
    }
    for warning in config.policy.iter().flat_map(|file| file.policy.warnings()) {
        tracing::warn!("{warning}");
    }
    let default = config.models.default_model();
    if default.has_ended {
        let end_of_life = config.models.end_of_life(default).unwrap_or_default();
        tracing::warn!(model = default.id, end_of_life, "the default model has ended: choose another one with --model");
    }
}

/// What points an AWS SDK or the AWS command line at the embedded stack.
#[cfg(feature = "embedded")]
fn exports(stack: &sightline::embedded::EmbeddedStack) -> String {
    format!(
        "# S3 over {}, with a Bedrock endpoint beside it. For other programs on this machine:\n\
         export AWS_ENDPOINT_URL_S3={}\n\
         export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={}\n\
         export AWS_REGION={}\n\
         export AWS_ACCESS_KEY_ID={}\n\
         export AWS_SECRET_ACCESS_KEY={}",
        stack.folder().display(),
        stack.s3_endpoint(),
        stack.bedrock_endpoint(),
        stack.region(),
        stack.access_key_id(),
        stack.secret_access_key()
    )
}
