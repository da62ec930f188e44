//! `sightline health`: asks a server whether it can work. Made for container health checks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{client, plain, status, tls::ConnectArgs};

/// Arguments of `sightline health`.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthArgs {
    /// Server to ask, as http://HOST:PORT or https://HOST:PORT. [default: the server on this machine that SIGHTLINE_LISTEN sets up, else
    /// http://127.0.0.1:50051]
    #[arg(long, env = "SIGHTLINE_SERVER", value_name = "URL")]
    pub server: Option<String>,

    /// How to connect to it. Health needs no token, but a server may ask for a certificate.
    #[command(flatten)]
    pub connect: ConnectArgs,

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

/// The server to ask: the one that is named, or the one that listens where `listen` says, in the same container say.
fn server(named: Option<&str>, listen: Option<&str>) -> String {
    match (named, listen.filter(|listen| !listen.is_empty())) {
        (Some(server), _) => server.to_owned(),
        (None, Some(listen)) => reachable(listen),
        (None, None) => client::DEFAULT_SERVER.to_owned(),
    }
}

/// Where a server that listens there is reached from its own machine: one that takes every address, on loopback.
fn reachable(listen: &str) -> String {
    // Not an address, but a host name and a port: that is one to connect to already.
    let Ok(address) = listen.parse::<SocketAddr>() else { return format!("http://{listen}") };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

async fn check(args: &HealthArgs) -> (bool, String) {
    let listen = std::env::var("SIGHTLINE_LISTEN").ok();
    let channel = match client::connect(&server(args.server.as_deref(), listen.as_deref()), &args.connect).await {
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

    async fn start(serving: bool) -> String {
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
        let connect = ConnectArgs::default();
        check(&HealthArgs { server: Some(server.to_owned()), connect, service: service.to_owned(), timeout }).await
    }

    #[test]
    fn the_server_is_the_named_one_or_where_this_machines_listens() {
        for (named, listen, wanted) in [
            (None, None, client::DEFAULT_SERVER),
            (None, Some(""), client::DEFAULT_SERVER),
            (None, Some("0.0.0.0:8080"), "http://127.0.0.1:8080"),
            (None, Some("[::]:8080"), "http://[::1]:8080"),
            (None, Some("127.0.0.1:7"), "http://127.0.0.1:7"),
            (None, Some("[fd00::5]:7"), "http://[fd00::5]:7"),
            (None, Some("10.0.0.3:50051"), "http://10.0.0.3:50051"),
            (None, Some("localhost:9"), "http://localhost:9"),
            (Some("http://other:1"), Some("0.0.0.0:8080"), "http://other:1"),
        ] {
            assert_eq!(server(named, listen), wanted, "{named:?} {listen:?}");
        }
    }

    #[tokio::test]
    async fn only_serving_is_healthy() {
        assert_eq!(ask(&start(true).await, "").await, (true, "SERVING".to_owned()));
        assert_eq!(ask(&start(false).await, "").await, (false, "NOT_SERVING".to_owned()));
    }

    #[tokio::test]
    async fn an_unknown_service_is_not_healthy() {
        let (healthy, line) = ask(&start(true).await, "no.such.Service").await;
        assert!(!healthy && line.contains("no.such.Service"), "{line}");
    }
}
