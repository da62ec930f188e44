//! One call, and whether its answer is right.

use std::{
    net::SocketAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, ensure};
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    pictures::Size,
    proto::{
        AnalyzeImageRequest, AnalyzeImageResponse, Features, ImageAnalysis, ImageSource, S3Object,
        image_analysis_service_client::ImageAnalysisServiceClient, image_source::Source,
    },
    servers::{TOKEN, connect},
    upstream::{BUCKET, DESCRIPTION},
};

/// Ample for one answer; a call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The generated client.
pub type Client = ImageAnalysisServiceClient<Channel>;

/// Who is called, for pictures of which size.
#[derive(Debug, Clone)]
pub struct Target {
    clients: Vec<Client>,
    size: Size,
}

impl Target {
    /// `connections` to `address`.
    pub async fn connect(address: SocketAddr, size: Size, connections: usize) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..connections.max(1) {
            clients.push(Client::new(connect(address).await?));
        }
        Ok(Self { clients, size })
    }

    /// The client of caller `number`.
    pub fn client(&self, number: usize) -> anyhow::Result<Client> {
        self.clients.get(number % self.clients.len().max(1)).cloned().context("no connection")
    }

    /// A picture that nobody has asked for yet.
    pub fn picture(&self) -> ImageSource {
        picture(self.size)
    }
}

/// The numbers of a run are not those of the run before, so that no result of it is found in a cache.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    AtomicU64::new(now.as_secs() << 28)
});

/// A picture that nobody has asked for yet.
pub fn picture(size: Size) -> ImageSource {
    let key = size.key(NEXT.fetch_add(1, Relaxed));
    let object = S3Object { bucket: BUCKET.to_owned(), key, ..S3Object::default() };
    ImageSource { source: Some(Source::S3Object(object)) }
}

/// What is asked of every picture.
pub fn features() -> Features {
    Features { description: Some(Default::default()), ..Features::default() }
}

/// `message` as the caller sends it.
pub fn authorized<T>(message: T) -> Request<T> {
    static BEARER: LazyLock<Option<MetadataValue<tonic::metadata::Ascii>>> =
        LazyLock::new(|| format!("Bearer {TOKEN}").parse().ok());
    let mut request = Request::new(message);
    if let Some(bearer) = BEARER.clone() {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// What became of a call.
#[derive(Debug)]
pub enum Outcome {
    /// It was answered, rightly.
    Served,
    /// It was refused.
    Refused {
        /// With this code.
        code: Code,
        /// The refusal says when to come again.
        has_retry_info: bool,
    },
    /// The answer is wrong.
    Wrong(String),
}

impl Outcome {
    /// Answered rightly.
    pub fn is_served(&self) -> bool {
        matches!(self, Self::Served)
    }

    /// Refused.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Call {
    /// When it was to begin.
    pub began: Instant,
    /// From then to its end.
    pub latency: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// Analyzes one picture.
pub async fn analyze(mut client: Client, image: ImageSource, began: Instant) -> Call {
    let request =
        AnalyzeImageRequest { image: Some(image), features: Some(features()), ..AnalyzeImageRequest::default() };
    let answer = tokio::time::timeout(PATIENCE, client.analyze_image(authorized(request))).await;
    let latency = began.elapsed();
    let outcome = match answer {
        Err(_) => Outcome::Wrong("no answer".to_owned()),
        Ok(Err(status)) => refused(&status),
        Ok(Ok(response)) => outcome(response.into_inner()),
    };
    Call { began, latency, outcome }
}

fn refused(status: &Status) -> Outcome {
    let has_retry_info = status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
    match status.code() {
        code @ (Code::Unavailable | Code::ResourceExhausted) => Outcome::Refused { code, has_retry_info },
        code => Outcome::Wrong(format!("{code:?}: {}", status.message())),
    }
}

fn outcome(response: AnalyzeImageResponse) -> Outcome {
    let checked = response.analysis.context("no analysis").and_then(|analysis| check(&analysis));
    match checked {
        Ok(()) => Outcome::Served,
        Err(error) => Outcome::Wrong(format!("{error:#}")),
    }
}

/// Whether this is the model's answer.
///
/// # Errors
/// What is wrong with it.
pub fn check(analysis: &ImageAnalysis) -> anyhow::Result<()> {
    let description = analysis.description.as_ref().map(|description| description.text.as_str());
    ensure!(description == Some(DESCRIPTION), "description: {description:?}");
    let cached = analysis.model.as_ref().is_some_and(|model| model.cached);
    ensure!(!cached, "the answer comes out of the cache");
    ensure!(analysis.feature_errors.is_empty() && analysis.warnings.is_empty(), "errors or warnings: {analysis:?}");
    Ok(())
}

/// Fails with the first wrong answer.
pub fn ensure_right(calls: &[Call]) -> anyhow::Result<()> {
    match calls.iter().find_map(|call| if let Outcome::Wrong(why) = &call.outcome { Some(why) } else { None }) {
        Some(why) => anyhow::bail!("a wrong answer: {why}"),
        None => Ok(()),
    }
}

/// Fails with the first answer that is wrong or refused.
pub fn ensure_served(calls: &[Call]) -> anyhow::Result<()> {
    ensure_right(calls)?;
    match calls.iter().find(|call| !call.outcome.is_served()) {
        Some(call) => anyhow::bail!("a call was refused: {:?}", call.outcome),
        None => Ok(()),
    }
}
