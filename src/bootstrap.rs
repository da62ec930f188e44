//! The AWS Lambda function: the service without its listener. Lambda starts a file of this name.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use sightline::{
    app::App,
    config::{FunctionArgs, LogFormat, ServerArgs},
    lambda::{Handler, runtime},
    telemetry::{self, Tracing},
};

/// What CloudWatch is told when the filter of the log itself is wrong.
const DEFAULT_LOG: &str = "info";

fn main() -> anyhow::Result<ExitCode> {
    runtime::check_environment()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<ExitCode> {
    let handler = match start().await {
        Ok(handler) => handler,
        Err(error) => {
            // Without effect when the log has begun.
            begin_log(DEFAULT_LOG)?;
            let message = format!("{error:#}");
            tracing::error!(error = message, "the function cannot start");
            if let Err(error) = runtime::report_failed_start(&message).await {
                tracing::error!(error, "the failed start could not be reported to Lambda");
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    match runtime::run(handler).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "Lambda's runtime API failed");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Everything that is done once, before the first event. Nothing is sent: neither credentials nor models are asked for.
async fn start() -> anyhow::Result<Handler> {
    let mut args = ServerArgs::from_environment().map_err(wrong_variable)?;
    // Nobody connects: what they say of a listener and its callers is for a server of the same settings.
    args.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    args.access = args.access.without_identities();
    let function = FunctionArgs::from_environment().map_err(wrong_variable)?;
    begin_log(&args.log)?;
    let config = args.config()?;
    if config.embedded.is_some() {
        anyhow::bail!("SIGHTLINE_EMBEDDED has no part in a Lambda function: unset it");
    }
    let app = App::new(&config, None).await?;
    let handler = Handler::new(&app, &function).map_err(anyhow::Error::msg)?;
    tracing::info!(
        model = config.models.default_model().id,
        region = app.clients().region,
        features = names(&function.features),
        options = names(&function.options),
        results = function.results.map(|location| format!("s3://{location}")),
        batch_concurrency = function.batch_concurrency,
        "the function is ready"
    );
    Ok(handler)
}

/// The fields of an object. What they hold may be a prompt.
fn names(object: &serde_json::Value) -> String {
    let names: Vec<&str> = object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

/// Lines of JSON, whatever the server's setting: CloudWatch reads them. No traces: the environment is frozen between two
/// events, and with it what a collector should get.
fn begin_log(filter: &str) -> anyhow::Result<()> {
    telemetry::start(filter, LogFormat::Json, &Tracing { endpoint: None, ratio: 0.0 })?;
    Ok(())
}

/// What is wrong with a variable, in one line.
fn wrong_variable(error: clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let problem = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    anyhow::anyhow!("{problem} (from the environment, in which --some-setting is SIGHTLINE_SOME_SETTING)")
}
