//! The service under test: the real server on a real socket, in front of the S3 and the Bedrock on loopback, and real
//! gRPC clients of it.

use std::sync::Arc;

use clap::Parser as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use sightline::{
    adapters::{Endpoints, StaticCredentials},
    app::App,
    config::ServerArgs,
    metrics::{Format, Metrics},
    policy::Policy,
    proto::{
        AnalyzeImageRequest, Features, ImageAnalysis, ImageSource, S3Object,
        image_analysis_service_client::ImageAnalysisServiceClient, image_source::Source,
    },
    reload::Reloaded,
    serve::{self, Running},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::pb;
use tower::util::BoxCloneService;

use super::{bedrock::Bedrock, loopback::Port, s3::S3};

pub const BUCKET: &str = "photos";

pub type Client = ImageAnalysisServiceClient<Channel>;

/// A running service. Dropping it ends all three servers.
pub struct Service {
    pub s3: S3,
    pub bedrock: Bedrock,
    pub running: Running,
    /// The policy file, when a flag names one.
    pub policy: Option<Arc<Reloaded<Policy>>>,
    metrics: Arc<Metrics>,
    client: Client,
    /// Also after the server has ended, so that who looks for it finds nobody.
    _port: Port,
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    server: ServerArgs,
}

impl Service {
    /// With the defaults of `sightline serve`, but for the cache: it is off unless the flags say otherwise, since tests ask
    /// the same again and again.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With flags of `sightline serve`.
    pub async fn with(flags: &[&str]) -> Self {
        let (s3, bedrock) = (S3::start().await, Bedrock::start().await);
        s3.create_bucket(BUCKET);
        Self::over(s3, bedrock, flags).await
    }

    /// In front of an S3 and a Bedrock that are there already.
    pub async fn over(s3: S3, bedrock: Bedrock, flags: &[&str]) -> Self {
        let endpoints = Endpoints {
            s3: s3.endpoint(),
            bedrock: bedrock.endpoint(),
            region: "eu-west-1".to_owned(),
            credentials: StaticCredentials { access_key_id: "AKID".to_owned(), secret_access_key: "secret".to_owned() },
        };
        let flags_say_tls = flags.contains(&"--tls-cert");
        let uncached: &[&str] = if flags.contains(&"--cache-bytes") { &[] } else { &["--cache-bytes", "0B"] };
        let port = Port::hold();
        let listen = port.address().to_string();
        let flags = ["sightline", "--listen", &listen].into_iter().chain(uncached.iter().chain(flags).copied());
        let config = Flags::parse_from(flags).server.config().unwrap();
        let app = App::new(&config, Some(&endpoints)).await.unwrap();
        let (policy, metrics) = (app.policy().cloned(), app.metrics().clone());
        let running = serve::start(config.listen, app).await.unwrap();
        // A server that speaks TLS answers no client of this kind.
        let client = if flags_say_tls { connect_lazily(running.address) } else { connect(running.address).await };
        Self { s3, bedrock, running, policy, metrics, client, _port: port }
    }

    /// The service's metrics as Prometheus' text.
    pub fn scrape(&self) -> String {
        self.metrics.scrape(Format::Prometheus)
    }

    /// A client on a connection of the service's own.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client on a connection of its own.
    pub async fn another_client(&self) -> Client {
        connect(self.running.address).await
    }

    /// Stores a picture in [`BUCKET`] and asks about it.
    pub async fn analyze_bytes(&self, bytes: &[u8], features: Features) -> Result<ImageAnalysis, Status> {
        self.s3.put(BUCKET, "picture", bytes.to_vec());
        self.analyze(object("picture", features)).await
    }

    /// Asks with a time limit, which the server alone keeps.
    pub async fn analyze_within(&self, millis: u64, message: AnalyzeImageRequest) -> Result<ImageAnalysis, Status> {
        analyze_within(TcpStream::connect(self.running.address).await.unwrap(), millis, message).await
    }

    /// Asks, and takes the analysis out of the response.
    pub async fn analyze(
        &self,
        request: impl tonic::IntoRequest<AnalyzeImageRequest>,
    ) -> Result<ImageAnalysis, Status> {
        let response = self.client().analyze_image(request).await?;
        Ok(response.into_inner().analysis.expect("the analysis is always set"))
    }
}

/// See [`untimed`].
pub type Untimed = ImageAnalysisServiceClient<
    BoxCloneService<http::Request<tonic::body::Body>, http::Response<hyper::body::Incoming>, hyper::Error>,
>;

/// A client that tells the server its time limit and does not keep it itself. A channel does: its timer runs out a moment after
/// the server's, and on a busy machine before the server's answer has come.
pub async fn untimed(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Untimed {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let send = tower::service_fn(move |request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    Untimed::with_origin(BoxCloneService::new(send), http::Uri::from_static("http://sightline"))
}

/// Asks with a time limit for the server alone, over a connection of its own.
pub async fn analyze_within(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    millis: u64,
    message: AnalyzeImageRequest,
) -> Result<ImageAnalysis, Status> {
    let response = untimed(stream).await.analyze_image(within(millis, message)).await?;
    Ok(response.into_inner().analysis.expect("the analysis is always set"))
}

pub async fn channel(address: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub async fn connect(address: std::net::SocketAddr) -> Client {
    Client::new(channel(address).await)
}

fn connect_lazily(address: std::net::SocketAddr) -> Client {
    Client::new(Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy())
}

/// A request about an object in [`BUCKET`].
pub fn object(key: &str, features: Features) -> AnalyzeImageRequest {
    let object = S3Object { bucket: BUCKET.to_owned(), key: key.to_owned(), ..S3Object::default() };
    from(Source::S3Object(object), features)
}

/// A request about inline bytes.
pub fn content(bytes: &[u8], features: Features) -> AnalyzeImageRequest {
    from(Source::Content(bytes.to_vec().into()), features)
}

pub fn from(source: Source, features: Features) -> AnalyzeImageRequest {
    AnalyzeImageRequest {
        image: Some(ImageSource { source: Some(source) }),
        features: Some(features),
        ..AnalyzeImageRequest::default()
    }
}

/// A request with a time limit, as a client sends one.
fn within(millis: u64, message: AnalyzeImageRequest) -> Request<AnalyzeImageRequest> {
    let mut request = Request::new(message);
    request.set_timeout(std::time::Duration::from_millis(millis));
    request
}

pub fn describe() -> Features {
    Features { description: Some(Default::default()), ..Features::default() }
}

pub fn label() -> Features {
    Features { labels: Some(Default::default()), ..Features::default() }
}

pub fn prompt(text: &str) -> Features {
    Features { prompt: Some(sightline::proto::PromptFeature { text: text.to_owned() }), ..Features::default() }
}

/// A photo that ships with the project.
pub fn photo(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos").join(name)).unwrap()
}

/// The details of a status by the name of their message, and its one `ErrorInfo`.
pub struct Details {
    pub info: pb::ErrorInfo,
    pub all: Vec<prost_types::Any>,
}

impl Details {
    pub fn of(status: &Status) -> Self {
        let all = pb::Status::decode(status.details()).expect("google.rpc.Status").details;
        let infos: Vec<_> = all.iter().filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo")).collect();
        assert_eq!(infos.len(), 1, "exactly one ErrorInfo: {status:?}");
        let info = pb::ErrorInfo::decode(infos[0].value.as_slice()).unwrap();
        Self { info, all }
    }

    /// The detail of this message, such as `RetryInfo`.
    pub fn get<M: prost::Message + Default>(&self, name: &str) -> Option<M> {
        let found = self.all.iter().find(|detail| detail.type_url.ends_with(&format!("google.rpc.{name}")))?;
        Some(M::decode(found.value.as_slice()).unwrap())
    }
}

/// Checks code, reason and domain of an error.
pub fn assert_error<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, reason: &str) -> (Status, Details) {
    let status = outcome.expect_err("an error");
    let details = Details::of(&status);
    assert_eq!((status.code(), details.info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(details.info.domain, "sightline");
    assert!(!status.message().is_empty() && status.message().len() < 1024);
    (status, details)
}
