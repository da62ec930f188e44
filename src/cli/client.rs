//! The connection to a server.

use std::time::Duration;

use tokio_stream::Stream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{
    plain,
    tls::{self, ConnectArgs, TlsError, Token},
};
use crate::proto::{
    AnalyzeImageRequest, AnalyzeImageResponse, AnalyzeManyRequest, AnalyzeManyResponse, GetCapabilitiesRequest,
    image_analysis_service_client::ImageAnalysisServiceClient,
};

/// Most bytes of one message that this client sends or takes.
pub const MESSAGE_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of an object that this client reads.
const OBJECT_LIMIT_BYTES: u64 = 1 << 30;
/// The server that is asked when none is named.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";
/// A server on this machine answers at once and one far away within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection with a call on it is asked whether it still stands, and how long it may take to say so. A long
/// stream would otherwise wait for ever on one that a network has forgotten.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Capabilities are known without any work.
const CAPABILITIES_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an address.
    #[error("`{server}` is no server address: write http://HOST:PORT or https://HOST:PORT")]
    InvalidAddress {
        /// What was given.
        server: String,
    },
    /// TLS is asked for, and the files for it cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answers there.
    #[error("no server answers at {server} ({cause}): {HINT}")]
    Unreachable {
        /// What was given.
        server: String,
        /// The transport's reason.
        cause: String,
    },
}

#[cfg(feature = "embedded")]
const HINT: &str = "start one with `sightline serve --embedded`, name another with --server or SIGHTLINE_SERVER, \
                    or let `sightline analyze --embedded` start one for this call";
#[cfg(not(feature = "embedded"))]
const HINT: &str = "start one with `sightline serve`, or name another with --server or SIGHTLINE_SERVER";

/// Connects to `http://HOST:PORT`, or with TLS to `https://HOST:PORT`; without a scheme it is the former.
///
/// # Errors
/// An address that is none, files of certificates that cannot be used, or a server that does not answer within ten seconds.
pub async fn connect(server: &str, with: &ConnectArgs) -> Result<Channel, ConnectError> {
    let endpoint = endpoint(server).ok_or_else(|| ConnectError::InvalidAddress { server: plain::line(server) })?;
    let connected = if endpoint.uri().scheme_str() == Some("https") {
        let connector = with.connector()?;
        let connect = tower::service_fn(move |uri| tls::connect(connector.clone(), uri));
        endpoint.connect_with_connector(connect).await
    } else {
        endpoint.connect().await
    };
    connected.map_err(|error| ConnectError::Unreachable { server: plain::line(server), cause: root_cause(&error) })
}

fn endpoint(server: &str) -> Option<Endpoint> {
    let address = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(address).ok().filter(|endpoint| endpoint.uri().host().is_some())?;
    let endpoint = endpoint.user_agent(concat!("sightline-cli/", env!("CARGO_PKG_VERSION"))).ok()?.tcp_nodelay(true);
    let endpoint = endpoint.http2_keep_alive_interval(KEEP_ALIVE.0).keep_alive_timeout(KEEP_ALIVE.1);
    Some(endpoint.connect_timeout(CONNECT_TIMEOUT))
}

/// The innermost reason: tonic's own message is only `transport error`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    plain::line(&innermost.to_string())
}

/// The service at one server, with this client's limits.
#[derive(Debug, Clone)]
pub struct Client {
    service: ImageAnalysisServiceClient<Channel>,
    timeout: Duration,
    token: Option<Token>,
}

impl Client {
    /// A client that gives each analysis `timeout`.
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        let service = ImageAnalysisServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        Self { service, timeout, token: None }
    }

    /// The same, with a token to say who calls.
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.authorization());
        }
        request
    }

    /// Analyzes one image.
    ///
    /// # Errors
    /// The server's status, or the client's own when the time is up or the connection breaks.
    pub async fn analyze(&mut self, request: AnalyzeImageRequest) -> Result<AnalyzeImageResponse, Status> {
        let mut request = self.request(request);
        request.set_timeout(self.timeout);
        Ok(self.service.analyze_image(request).await?.into_inner())
    }

    /// Analyzes a stream of images. It has no time limit of its own; dropping the answer cancels it.
    ///
    /// # Errors
    /// The server's status when it takes no stream, or the client's own when the connection breaks.
    pub async fn analyze_many(
        &mut self,
        requests: impl Stream<Item = AnalyzeManyRequest> + Send + 'static,
    ) -> Result<Streaming<AnalyzeManyResponse>, Status> {
        Ok(self.service.analyze_many(self.request(requests)).await?.into_inner())
    }

    /// What the server and this client take, whichever is less.
    pub async fn limits(&mut self) -> Limits {
        let mut request = self.request(GetCapabilitiesRequest {});
        request.set_timeout(self.timeout.min(CAPABILITIES_TIMEOUT));
        // A server that does not tell refuses for itself.
        let told = self.service.get_capabilities(request).await.map(Response::into_inner).unwrap_or_default();
        let within =
            |limit: i64, own: u64| u64::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(own).min(own);
        Limits {
            message_bytes: within(told.max_message_bytes, MESSAGE_LIMIT_BYTES as u64),
            object_bytes: within(told.max_object_bytes, OBJECT_LIMIT_BYTES),
            max_in_flight: Some(told.max_in_flight).filter(|limit| *limit > 0).unwrap_or(i32::MAX),
        }
    }
}

/// How large things may be, in bytes, and how many there may be at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One request.
    pub message_bytes: u64,
    /// One object in S3.
    pub object_bytes: u64,
    /// Most items in progress on one stream, 1 or more.
    pub max_in_flight: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_there_says_how_to_start_a_server() {
        // Bound, and not listened on: no other test is given the port meanwhile.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        let error = connect(&address.to_string(), &ConnectArgs::default()).await.unwrap_err().to_string();
        assert!(error.contains("refused") && error.contains("`sightline serve"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        for server in ["", "http://", "a b", "http://exa mple:1"] {
            assert!(
                matches!(connect(server, &ConnectArgs::default()).await, Err(ConnectError::InvalidAddress { .. })),
                "{server:?}"
            );
        }
        let with = ConnectArgs { tls_ca: Some("/nonexistent".into()), ..ConnectArgs::default() };
        assert!(matches!(connect("https://host:1", &with).await, Err(ConnectError::Tls(_))));
    }
}
