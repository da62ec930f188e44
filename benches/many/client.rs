//! The calls that are measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sightline::proto::{
    AnalyzeImageRequest, AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, AnalyzeManyResponse, Features,
    ImageSource, S3Listing, S3Object, analyze_many_request::Payload, image_analysis_service_client as generated,
    image_source::Source,
};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    catalogue::{BUCKET, Catalogue, PREFIX},
    check::{self, Check},
};

/// Ample for one message on one machine; a stream that is silent for longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The generated client.
pub type Client = generated::ImageAnalysisServiceClient<Channel>;

/// How the pictures are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// One message each.
    Items,
    /// One listing for all.
    Listing,
}

/// One connection to `address`. `window` replaces the library's HTTP/2 windows, which hold megabytes.
pub async fn connect(address: SocketAddr, window: Option<u32>) -> anyhow::Result<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window);
    Ok(Client::new(endpoint.connect().await.context("cannot connect to the server")?))
}

/// Analyzes the first `items` pictures over one stream and checks every answer.
pub async fn analyze_many(
    mut client: Client,
    catalogue: &Catalogue,
    items: usize,
    in_flight: usize,
    naming: Naming,
) -> anyhow::Result<()> {
    let mut check = Check::new(catalogue, items, naming == Naming::Listing);
    let mut responses = open(&mut client, items, in_flight, naming).await?;
    while let Some(message) = next(&mut responses).await? {
        check.take(message)?;
    }
    check.end()
}

/// Opens a stream over the first `items` pictures.
pub async fn open(
    client: &mut Client,
    items: usize,
    in_flight: usize,
    naming: Naming,
) -> anyhow::Result<Streaming<AnalyzeManyResponse>> {
    let config = AnalyzeManyConfig {
        features: Some(features()),
        max_in_flight: i32::try_from(in_flight)?,
        ..AnalyzeManyConfig::default()
    };
    let listing = S3Listing { bucket: BUCKET.to_owned(), prefix: PREFIX.to_owned(), ..S3Listing::default() };
    let (single, listings) = match naming {
        Naming::Items => (items, None),
        Naming::Listing => (0, Some(Payload::Listing(listing))),
    };
    let payloads = std::iter::once(Payload::Config(config)).chain(listings).chain((0..single).map(item));
    let requests = payloads.map(|payload| AnalyzeManyRequest { payload: Some(payload) });
    let responses = client.analyze_many(stream::iter(requests)).await.context("the stream did not open")?;
    Ok(responses.into_inner())
}

/// The next message; `None` after the last one of a stream that ended with OK.
pub async fn next(responses: &mut Streaming<AnalyzeManyResponse>) -> anyhow::Result<Option<AnalyzeManyResponse>> {
    let message = tokio::time::timeout(PATIENCE, responses.message()).await;
    message.context("the stream is silent")?.context("the stream failed")
}

/// Analyzes the first `items` pictures with as many calls, `in_flight` at once, and checks every answer.
pub async fn analyze_each(client: Client, catalogue: &Catalogue, items: usize, in_flight: usize) -> anyhow::Result<()> {
    let call = |index: usize| {
        let mut client = client.clone();
        async move {
            let request = AnalyzeImageRequest {
                image: Some(image(index)),
                features: Some(features()),
                ..AnalyzeImageRequest::default()
            };
            let response = client.analyze_image(request).await.context("a call failed")?.into_inner();
            check::analysis(&response.analysis.context("no analysis")?, catalogue.photo(index).len())
        }
    };
    stream::iter(0..items).map(call).buffer_unordered(in_flight).try_collect().await
}

fn item(index: usize) -> Payload {
    let item_id = Catalogue::key(index);
    Payload::Item(AnalyzeManyItem { item_id, image: Some(image(index)), ..AnalyzeManyItem::default() })
}

fn image(index: usize) -> ImageSource {
    let object = S3Object { bucket: BUCKET.to_owned(), key: Catalogue::key(index), ..S3Object::default() };
    ImageSource { source: Some(Source::S3Object(object)) }
}

fn features() -> Features {
    Features { description: Some(Default::default()), labels: Some(Default::default()), ..Features::default() }
}

/// How many results a stream has given when its reader stops.
pub const TAKEN: usize = 10;

/// Takes ten results of a stream over `items` pictures, then leaves the stream open without reading.
pub async fn stop_reading(
    client: &mut Client,
    catalogue: &Catalogue,
    items: usize,
    in_flight: usize,
) -> anyhow::Result<Streaming<AnalyzeManyResponse>> {
    let mut check = Check::new(catalogue, items, false);
    let mut responses = open(client, items, in_flight, Naming::Items).await?;
    while check.results() < TAKEN.min(items) {
        let message = next(&mut responses).await?;
        check.take(message.context("the stream ended early")?)?;
    }
    Ok(responses)
}
