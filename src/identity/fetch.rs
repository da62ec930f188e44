//! A document of a web server, of bounded size and within a bounded time.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, HttpConnectorSettings},
    orchestrator::HttpRequest,
};
use aws_smithy_types::byte_stream::ByteStream;

/// Most bytes of a document.
const MAX_BYTES: usize = 1 << 20;
/// Time for the connection, and for the beginning of the answer.
const STEP: Duration = Duration::from_secs(5);
/// Time for all of it.
const LONGEST: Duration = Duration::from_secs(10);

/// Gets documents by HTTP and HTTPS, with the system's certificate authorities.
#[derive(Debug)]
pub(super) struct Fetcher(Connector);

impl Fetcher {
    pub(super) fn new(is_tls: bool) -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(STEP).read_timeout(STEP).build();
        let builder = Connector::builder().connector_settings(settings);
        // Plain HTTP is for loopback alone, where no proxy stands between.
        let connector = if is_tls {
            let builder = builder.proxy_config(ProxyConfig::from_env());
            builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
        } else {
            builder.proxy_config(ProxyConfig::disabled()).build_http()
        };
        Self(connector)
    }

    /// The document. Redirects are not followed: they would lead to a place that nobody has named.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let document = tokio::time::timeout(LONGEST, self.get_at_leisure(url)).await;
        document.unwrap_or_else(|_| Err(format!("no answer within {} s", LONGEST.as_secs())))
    }

    async fn get_at_leisure(&self, url: &str) -> Result<Vec<u8>, String> {
        let request = HttpRequest::get(url).map_err(|error| error.to_string())?;
        let response = self.0.call(request).await.map_err(|error| cause(&error))?;
        if !response.status().is_success() {
            return Err(format!("the answer is HTTP {}", response.status().as_u16()));
        }
        let mut body = ByteStream::new(response.into_body());
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| cause(&error))?);
            if bytes.len() > MAX_BYTES {
                return Err(format!("the answer has more than {} MiB", MAX_BYTES >> 20));
            }
        }
        Ok(bytes)
    }
}

/// The innermost reason.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
