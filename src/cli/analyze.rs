//! `sightline analyze`: one picture, for people.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{
    annotate::{AnnotateError, Output, annotate},
    client::{self, Client, MESSAGE_LIMIT_BYTES},
    json,
    objects::{self, ObjectError},
    plain,
    render::render,
    request::RequestArgs,
    source::{Source, SourceError},
    status,
};
use crate::{
    app,
    proto::{AnalyzeImageRequest, AnalyzeImageResponse, ImageAnalysis, ImageSource, image_source},
};

/// Arguments of `sightline analyze`.
#[derive(Debug, Clone, clap::Args)]
pub struct AnalyzeArgs {
    /// The picture: a file, or s3://BUCKET/KEY for an object that the server reads (the key is taken literally).
    #[arg(value_name = "FILE | s3://BUCKET/KEY")]
    pub source: Source,

    /// What to find out, and how.
    #[command(flatten)]
    pub request: RequestArgs,

    /// Server to ask, as http://HOST:PORT.
    #[arg(long, env = "SIGHTLINE_SERVER", default_value = client::DEFAULT_SERVER, value_name = "URL",
          help_heading = "Server")]
    pub server: String,

    /// How long to wait for the answer, such as 30s or 2m.
    #[arg(long, env = "SIGHTLINE_TIMEOUT", default_value = "2m", value_parser = humantime::parse_duration,
          value_name = "TIME", help_heading = "Server")]
    pub timeout: Duration,

    /// Start a server with the embedded S3 and detector for this call, instead of connecting to --server. DIR's
    /// sub-folders are its buckets; without DIR, bucket `photos` holds the demo's pictures.
    #[cfg(feature = "embedded")]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, help_heading = "Server")]
    pub embedded: Option<Option<PathBuf>>,

    /// Print the response as JSON, as grpcurl does.
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Also draw what was found onto the picture and write it here, as .png or .jpg. An object in S3 is read by this
    /// command too, before the analysis.
    #[arg(long, value_name = "OUT", help_heading = "Output")]
    pub annotate: Option<PathBuf>,
}

/// What to do when `--annotate` cannot read its object.
const S3_ADVICE: &str = "--annotate reads the object here too, to draw on it; nothing was analyzed. Give this command the \
    server's S3: credentials and AWS_REGION as for any AWS tool, and AWS_ENDPOINT_URL_S3 for an S3 other than AWS's. \
    `sightline serve --embedded` prints the lines to export. Or leave --annotate out.";

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What was asked for cannot be: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not be done: exit code 1.
    #[error("{0}")]
    Analysis(String),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the command: the result goes to standard output, everything else to standard error. Answers 0 when the
/// picture was analyzed, 1 when that failed, 2 when the command line asks for what cannot be.
///
/// # Errors
/// None that is not printed and answered as an exit code.
pub async fn run(args: AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let failure = match analyze(&args).await {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(failure) => failure,
    };
    eprintln!("error: {failure}");
    Ok(ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 }))
}

async fn analyze(args: &AnalyzeArgs) -> Result<(), Failure> {
    // What is wrong with the command line is said before a server is bothered.
    let output = args.annotate.as_deref().map(|path| output(path, &args.source)).transpose()?;
    args.source.check(MESSAGE_LIMIT_BYTES as u64).await?;
    let server = Server::open(args).await?;
    let outcome = ask(args, &server, output.as_ref()).await;
    server.close().await;
    outcome
}

/// The file to write, which must not be the picture itself.
fn output(path: &Path, source: &Source) -> Result<Output, Failure> {
    let output = Output::new(path).map_err(|error| Failure::Usage(error.to_string()))?;
    // A file that is not there yet is nobody's.
    let same = |file: &PathBuf| file.canonicalize().is_ok_and(|file| path.canonicalize().is_ok_and(|out| out == file));
    if matches!(source, Source::File(file) if same(file)) {
        let shown = plain::line(&path.display().to_string());
        return Err(Failure::Usage(format!("--annotate would overwrite the picture itself: {shown}")));
    }
    Ok(output)
}

async fn ask(args: &AnalyzeArgs, server: &Server, output: Option<&Output>) -> Result<(), Failure> {
    let mut client = server.client.clone();
    let limits = client.limits().await;
    let mut image = args.source.load(limits.message_bytes).await?;
    // Before the call, which costs money and would be in vain without the picture to draw on.
    let canvas = match output {
        Some(output) => Some((output, server.content(&mut image, limits.object_bytes).await?)),
        None => None,
    };
    let response = call(&mut client, args.request.request(image), limits.message_bytes).await?;
    let analysis = response.analysis.clone().unwrap_or_default();
    print(args, &response, &analysis)?;
    if let Some((output, content)) = canvas {
        draw(content, analysis, output.clone()).await.map_err(|error| Failure::Analysis(error.to_string()))?;
        eprintln!("Annotated picture: {}", plain::line(&output.path().display().to_string()));
    }
    Ok(())
}

async fn call(client: &mut Client, request: AnalyzeImageRequest, limit: u64) -> Result<AnalyzeImageResponse, Failure> {
    let size = prost::Message::encoded_len(&request) as u64;
    if size > limit {
        let (size, limit) = (plain::bytes(size), plain::bytes(limit));
        let advice = "put the picture into S3 and pass s3://BUCKET/KEY";
        return Err(Failure::Usage(format!("the request has {size} and the server takes {limit}: {advice}")));
    }
    client.analyze(request).await.map_err(|error| Failure::Analysis(status::render(&error)))
}

fn print(args: &AnalyzeArgs, response: &AnalyzeImageResponse, analysis: &ImageAnalysis) -> Result<(), Failure> {
    if args.json {
        let json = json::response(response).map_err(|error| Failure::Analysis(error.to_string()))?;
        println!("{json}");
    } else {
        println!("{}", args.source.display());
        print!("{}", render(analysis, plain::width()));
    }
    Ok(())
}

/// Draws and writes off the async threads: a large picture takes a while.
pub(super) async fn draw(content: bytes::Bytes, analysis: ImageAnalysis, output: Output) -> Result<(), AnnotateError> {
    let drawing = tokio::task::spawn_blocking(move || output.write(&annotate(&content, &analysis)?));
    drawing.await.unwrap_or_else(|error| Err(AnnotateError::Decode(image::ImageError::IoError(error.into()))))
}

/// The server that is asked, and where the pictures are that it reads.
struct Server {
    client: Client,
    #[cfg(feature = "embedded")]
    local: Option<super::local::Local>,
}

impl Server {
    async fn open(args: &AnalyzeArgs) -> Result<Self, Failure> {
        #[cfg(feature = "embedded")]
        if let Some(folder) = &args.embedded {
            return Self::open_embedded(folder.clone(), args.timeout).await;
        }
        let channel = client::connect(&args.server).await.map_err(|error| match error {
            client::ConnectError::Unreachable { .. } => Failure::Analysis(error.to_string()),
            _ => Failure::Usage(error.to_string()),
        })?;
        Ok(Self {
            client: Client::new(channel, args.timeout),
            #[cfg(feature = "embedded")]
            local: None,
        })
    }

    #[cfg(feature = "embedded")]
    async fn open_embedded(folder: Option<PathBuf>, timeout: Duration) -> Result<Self, Failure> {
        use super::local::{Local, ephemeral};
        let failed = |error: anyhow::Error| Failure::Analysis(format!("{error:#}"));
        let local = Local::start(folder, ephemeral()).await.map_err(failed)?;
        match client::connect(&local.address().to_string()).await {
            Ok(channel) => Ok(Self { client: Client::new(channel, timeout), local: Some(local) }),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = local.stop().await;
                Err(Failure::Analysis(error.to_string()))
            }
        }
    }

    /// The bytes that are analyzed: those that are sent, or the object's, read here. The server is then told to analyze
    /// none but these.
    async fn content(&self, image: &mut ImageSource, limit: u64) -> Result<bytes::Bytes, Failure> {
        match &mut image.source {
            Some(image_source::Source::Content(content)) => Ok(content.clone()),
            Some(image_source::Source::S3Object(object)) => {
                let s3 = self.s3().await;
                let read = objects::read(&s3, &object.bucket, &object.key, limit).await;
                let read = read.map_err(|error| self.unreadable(&error))?;
                object.expected_etag = read.etag;
                Ok(read.content)
            }
            None => Err(Failure::Analysis("the request names no picture".to_owned())),
        }
    }

    fn unreadable(&self, error: &ObjectError) -> Failure {
        #[cfg(feature = "embedded")]
        if self.local.is_some() {
            return Failure::Analysis(error.to_string());
        }
        Failure::Analysis(format!("{error}\n{S3_ADVICE}"))
    }

    async fn s3(&self) -> aws_sdk_s3::Client {
        #[cfg(feature = "embedded")]
        if let Some(local) = &self.local {
            return app::s3_of(local.stack()).await;
        }
        app::s3_from_environment().await
    }

    async fn close(self) {
        #[cfg(feature = "embedded")]
        if let Some(local) = self.local
            && let Err(error) = local.stop().await
        {
            eprintln!("warning: {}", plain::line(&format!("{error:#}")));
        }
    }
}

#[cfg(test)]
#[path = "analyze_tests.rs"]
mod tests;
