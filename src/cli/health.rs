//! `sightline health`: asks a server whether it can work. Made for container health checks.

use std::{process::ExitCode, time::Duration};

use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{client, plain, status};

/// Arguments of `sightline health`.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthArgs {
    /// Server to ask, as http://HOST:PORT.
    #[arg(long, env = "SIGHTLINE_SERVER", default_value = client::DEFAULT_SERVER, value_name = "URL")]
    pub server: String,

    /// Service to ask for, such as sightline.v1.ImageAnalysisService; empty for the server as a whole.
    #[arg(long, env = "SIGHTLINE_HEALTH_SERVICE", default_value = "", value_name = "NAME")]
    pub service: String,

    /// How long to wait for the answer, such as 500ms or 3s.
    #[arg(long, env = "SIGHTLINE_HEALTH_TIMEOUT", default_value = "3s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// Prints one line, the server's state, and answers 0 when it is SERVING, 1 otherwise.
///
/// # Errors
/// None; a server that does not answer is a state too.
pub async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let (serving, line) = match tokio::time::timeout(args.timeout, check(&args)).await {
        Ok(outcome) => outcome,
        Err(_) => (false, format!("no answer within {}", humantime::format_duration(args.timeout))),
    };
    if serving {
        println!("{line}")
    } else {
        eprintln!("{line}")
    }
    Ok(if serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(args: &HealthArgs) -> (bool, String) {
    let channel = match client::connect(&args.server).await {
        Ok(channel) => channel,
        Err(error) => return (false, error.to_string()),
    };
    let mut request = Request::new(HealthCheckRequest { service: args.service.clone() });
    request.set_timeout(args.timeout);
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => {
            let state = ServingStatus::try_from(answer.into_inner().status).unwrap_or(ServingStatus::Unknown);
            (state == ServingStatus::Serving, state.as_str_name().to_owned())
        }
        Err(error) if error.code() == Code::NotFound => {
            (false, format!("the server knows no service `{}`", plain::line(&args.service)))
        }
        Err(error) => (false, status::render(&error)),
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::Server;

    use super::*;

    async fn server(serving: bool) -> String {
        let (reporter, service) = tonic_health::server::health_reporter();
        let state =
            if serving { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
        reporter.set_service_status("", state).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        address
    }

    async fn ask(server: &str, service: &str) -> (bool, String) {
        let timeout = Duration::from_secs(10);
        check(&HealthArgs { server: server.to_owned(), service: service.to_owned(), timeout }).await
    }

    #[tokio::test]
    async fn only_serving_is_healthy() {
        assert_eq!(ask(&server(true).await, "").await, (true, "SERVING".to_owned()));
        assert_eq!(ask(&server(false).await, "").await, (false, "NOT_SERVING".to_owned()));
    }

    #[tokio::test]
    async fn an_unknown_service_is_not_healthy() {
        let (healthy, line) = ask(&server(true).await, "no.such.Service").await;
        assert!(!healthy && line.contains("no.such.Service"), "{line}");
    }
}
