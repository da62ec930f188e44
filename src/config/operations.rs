//! How the server is operated: the admin port, traces, and the pause before a drain.

use std::{fmt, net::SocketAddr, time::Duration};

use clap::Args;

/// The variable that OpenTelemetry's own SDKs read.
const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Settings of operation.
#[derive(Debug, Clone, Args)]
pub struct OperationsArgs {
    /// Address of the admin port, plain HTTP, or `off`: /healthz, /readyz, /metrics, /config, /log. It knows no callers: keep
    /// it on loopback or where only the cluster reaches it. The log's filter is changed from loopback alone.
    #[arg(long, env = "SIGHTLINE_ADMIN_LISTEN", default_value = "127.0.0.1:50052", value_name = "ADDR",
          value_parser = admin_address)]
    pub admin_listen: AdminAddress,

    /// Collector that traces go to, over OTLP gRPC: http://HOST:4317. [default: OTEL_EXPORTER_OTLP_ENDPOINT, else none]
    #[arg(long, env = "SIGHTLINE_OTLP_ENDPOINT", value_name = "URL", value_parser = otlp_endpoint)]
    pub otlp_endpoint: Option<OtlpEndpoint>,

    /// Share of the traces begun here that are sampled, 0 to 1. What a caller's traceparent says wins.
    #[arg(long, env = "SIGHTLINE_TRACE_RATIO", default_value = "1", value_name = "SHARE", value_parser = ratio)]
    pub trace_ratio: f64,

    /// Pause after SIGTERM, in which health says NOT_SERVING and calls are still served: as long as it takes until no client
    /// sends new ones here.
    #[arg(long, env = "SIGHTLINE_DRAIN_PAUSE", default_value = "0s", value_name = "TIME", value_parser = pause)]
    pub drain_pause: Duration,
}

/// Where the admin port listens, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminAddress(pub Option<SocketAddr>);

impl fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("off"),
        }
    }
}

/// The URL of an OTLP collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OperationsArgs {
    /// The collector: the flag's, else that of OpenTelemetry's own variable.
    ///
    /// # Errors
    /// What is wrong with the variable.
    pub fn collector(&self) -> Result<Option<OtlpEndpoint>, String> {
        let theirs = || std::env::var(OTEL_ENDPOINT).ok().filter(|value| !value.is_empty());
        match (&self.otlp_endpoint, theirs()) {
            (Some(endpoint), _) => Ok(Some(endpoint.clone())),
            (None, Some(url)) => otlp_endpoint(&url).map(Some).map_err(|error| format!("{OTEL_ENDPOINT}: {error}")),
            (None, None) => Ok(None),
        }
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    if text == "off" { Ok(AdminAddress(None)) } else { super::address(text).map(|address| AdminAddress(Some(address))) }
}

fn otlp_endpoint(text: &str) -> Result<OtlpEndpoint, String> {
    let url: http::Uri = text.trim().parse().map_err(|error| format!("{error}: write http://HOST:PORT"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(OtlpEndpoint(text.trim().to_owned())),
        (Some("https"), Some(_)) => Err(
            "https is not spoken to collectors: name one beside the server, http://HOST:4317, which sends on with TLS"
                .to_owned(),
        ),
        _ => Err("write http://HOST:PORT".to_owned()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err("must lie between 0 and 1".to_owned()) }
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if pause <= Duration::from_secs(3600) { Ok(pause) } else { Err("must be at most an hour".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_refused() {
        for text in ["", "collector:4317", "ftp://x", "https://collector:4317", "http://"] {
            assert!(otlp_endpoint(text).is_err(), "{text}");
        }
        for text in ["1.5", "-0.1", "NaN", "all"] {
            assert!(ratio(text).is_err(), "{text}");
        }
        assert!(pause("2h").is_err() && pause("0s").is_ok());
        assert!(admin_address("nowhere").is_err());
    }

    #[test]
    fn off_is_no_address() {
        assert_eq!(admin_address("off").unwrap().0, None);
        assert_eq!(admin_address("127.0.0.1:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(otlp_endpoint(" http://collector:4317 ").unwrap().as_str(), "http://collector:4317");
    }
}
