//! The least that a request can cost with the same libraries: GetObject, base64 between two halves of a body that are
//! ready, InvokeModel, the answer's JSON, behind tonic without a layer. Without AWS behind it, what gRPC alone costs.

use std::{path::PathBuf, pin::Pin};

use anyhow::Context as _;
use aws_sdk_bedrockruntime::primitives::Blob;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use futures_util::Stream;
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::proto::{
    AnalyzeImageRequest, AnalyzeImageResponse, AnalyzeManyRequest, AnalyzeManyResponse, Description,
    GetCapabilitiesRequest, GetCapabilitiesResponse, ImageAnalysis, ImageInfo, Usage,
    image_analysis_service_server::{ImageAnalysisService, ImageAnalysisServiceServer},
    image_source::Source,
};

const MODEL: &str = "global.anthropic.claude-sonnet-5";
const MEDIA_TYPE: &str = "image/jpeg";
const HEAD: &str = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1024,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":""#;

/// What stands around it.
#[derive(Debug, Args)]
pub struct Options {
    /// Bytes of the body to Bedrock around the picture: as many as the server's that it is compared with
    #[arg(long, default_value_t = 2000)]
    around: usize,
    /// The message that GetCapabilities answers, encoded
    #[arg(long)]
    capabilities: Option<PathBuf>,
}

struct Aws {
    s3: aws_sdk_s3::Client,
    bedrock: aws_sdk_bedrockruntime::Client,
}

struct Floor {
    aws: Option<Aws>,
    tail: String,
    capabilities: GetCapabilitiesResponse,
}

/// Serves on a free loopback port, which it says on standard error, until standard input ends.
pub async fn run(options: Options, with_aws: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let aws = if with_aws {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Some(Aws { s3: aws_sdk_s3::Client::from_conf(s3), bedrock: aws_sdk_bedrockruntime::Client::new(&config) })
    } else {
        None
    };
    let capabilities = match &options.capabilities {
        Some(path) => GetCapabilitiesResponse::decode(&*std::fs::read(path)?).context("no capabilities")?,
        None => GetCapabilitiesResponse::default(),
    };
    let floor = Floor { aws, tail: tail(options.around), capabilities };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ImageAnalysisServiceServer<Floor>>().await;
    eprintln!("{}", json!({"message": "listening", "address": address}));
    let ended = async {
        let mut ignored = Vec::new();
        let _ended = tokio::io::stdin().read_to_end(&mut ignored).await;
    };
    let server = Server::builder()
        .add_service(health_service)
        .add_service(ImageAnalysisServiceServer::new(floor))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    tokio::select! {
        outcome = server => outcome?,
        () = ended => {}
    }
    Ok(())
}

/// The end of a body that has `around` bytes beside the picture.
fn tail(around: usize) -> String {
    let written = |text: &str| {
        format!(
            r#""}}}},{{"type":"text","text":"{text}"}}]}}],"tools":[{{"name":"report_analysis","input_schema":{{"type":"object","properties":{{"description":{{"type":"string"}}}}}}}}],"tool_choice":{{"type":"tool","name":"report_analysis"}}}}"#
        )
    };
    let words = around.saturating_sub(HEAD.len() + written("").len());
    written(&"Describe the picture. ".chars().cycle().take(words).collect::<String>())
}

#[derive(Deserialize)]
struct Answer {
    content: Vec<Block>,
    usage: Tokens,
}

#[derive(Deserialize)]
struct Block {
    input: Report,
}

#[derive(Deserialize)]
struct Report {
    description: String,
}

#[derive(Deserialize)]
struct Tokens {
    input_tokens: i64,
    output_tokens: i64,
}

fn failed(error: impl std::error::Error) -> Status {
    Status::internal(error.to_string())
}

#[tonic::async_trait]
impl ImageAnalysisService for Floor {
    async fn analyze_image(
        &self,
        request: Request<AnalyzeImageRequest>,
    ) -> Result<Response<AnalyzeImageResponse>, Status> {
        let aws = self.aws.as_ref().ok_or_else(|| Status::unimplemented("gRPC alone"))?;
        let source = request.into_inner().image.and_then(|image| image.source);
        let Some(Source::S3Object(object)) = source else { return Err(Status::invalid_argument("no object")) };
        let output = aws.s3.get_object().bucket(object.bucket).key(object.key).send().await.map_err(failed)?;
        let etag = output.e_tag.unwrap_or_default();
        let picture = output.body.collect().await.map_err(failed)?.into_bytes();
        let mut body = String::with_capacity(HEAD.len() + picture.len().div_ceil(3) * 4 + self.tail.len());
        body.push_str(HEAD);
        STANDARD.encode_string(&picture, &mut body);
        body.push_str(&self.tail);
        let size_bytes = picture.len() as i64;
        drop(picture);
        let request = aws.bedrock.invoke_model().model_id(MODEL).content_type("application/json");
        let output = request.accept("application/json").body(Blob::new(body)).send().await.map_err(failed)?;
        let answer: Answer = serde_json::from_slice(output.body.as_ref()).map_err(failed)?;
        let report = answer.content.into_iter().next().ok_or_else(|| Status::internal("no content"))?.input;
        let image = ImageInfo { media_type: MEDIA_TYPE.to_owned(), size_bytes, etag, ..ImageInfo::default() };
        let usage = Usage {
            input_token_count: answer.usage.input_tokens,
            output_token_count: answer.usage.output_tokens,
            ..Usage::default()
        };
        let analysis = ImageAnalysis {
            image: Some(image),
            description: Some(Description { text: report.description }),
            usage: Some(usage),
            ..ImageAnalysis::default()
        };
        Ok(Response::new(AnalyzeImageResponse { analysis: Some(analysis) }))
    }

    type AnalyzeManyStream = Pin<Box<dyn Stream<Item = Result<AnalyzeManyResponse, Status>> + Send>>;

    async fn analyze_many(
        &self,
        _: Request<Streaming<AnalyzeManyRequest>>,
    ) -> Result<Response<Self::AnalyzeManyStream>, Status> {
        Err(Status::unimplemented("single calls alone"))
    }

    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        Ok(Response::new(self.capabilities.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json_of_the_length_that_was_asked_for() {
        let body = format!("{HEAD}AAAA{}", tail(3000));
        assert_eq!(body.len(), 3004);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["messages"][0]["content"][0]["source"]["data"], "AAAA");
    }
}
