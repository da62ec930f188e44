//! `sightline analyze`: one picture, for people.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{
    annotate::{AnnotateError, Output, annotate},
    client::{Client, MESSAGE_LIMIT_BYTES},
    json,
    objects::{self, ObjectError},
    plain,
    render::render,
    request::RequestArgs,
    server::{OpenError, Server, ServerChoice},
    source::{Source, SourceError},
    status,
};
use crate::proto::{AnalyzeImageRequest, AnalyzeImageResponse, ImageAnalysis, ImageSource, image_source};

/// Arguments of `sightline analyze`.
#[derive(Debug, Clone, clap::Args)]
pub struct AnalyzeArgs {
    /// The picture: a file, or s3://BUCKET/KEY for an object that the server reads (the key is taken literally).
    #[arg(value_name = "FILE | s3://BUCKET/KEY")]
    pub source: Source,

    /// What to find out, and how.
    #[command(flatten)]
    pub request: RequestArgs,

    /// The server.
    #[command(flatten)]
    pub server: ServerChoice,

    /// How long to wait for the answer, such as 30s or 2m.
    #[arg(long, env = "SIGHTLINE_TIMEOUT", default_value = "2m", value_parser = humantime::parse_duration,
          value_name = "TIME", help_heading = "Server")]
    pub timeout: Duration,

    /// Check and measure everything, but do not call the model.
    #[arg(long)]
    pub validate_only: bool,

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

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        if error.is_usage() { Self::Usage(error.to_string()) } else { Self::Analysis(error.to_string()) }
    }
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
    let server = Server::open(&args.server, args.timeout).await?;
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
        Some(output) => Some((output, content(server, &mut image, limits.object_bytes).await?)),
        None => None,
    };
    let request = AnalyzeImageRequest { validate_only: args.validate_only, ..args.request.request(image) };
    let response = call(&mut client, request, limits.message_bytes).await?;
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

/// The bytes that are analyzed: those that are sent, or the object's, read here. The server is then told to analyze none
/// but these.
async fn content(server: &Server, image: &mut ImageSource, limit: u64) -> Result<bytes::Bytes, Failure> {
    match &mut image.source {
        Some(image_source::Source::Content(content)) => Ok(content.clone()),
        Some(image_source::Source::S3Object(object)) => {
            let s3 = server.s3().await;
            let read = objects::read(&s3, &object.bucket, &object.key, limit).await;
            let read = read.map_err(|error| unreadable(server, &error))?;
            object.expected_etag = read.etag;
            Ok(read.content)
        }
        None => Err(Failure::Analysis("the request names no picture".to_owned())),
    }
}

fn unreadable(server: &Server, error: &ObjectError) -> Failure {
    let advice = if server.is_own() { String::new() } else { format!("\n{S3_ADVICE}") };
    Failure::Analysis(format!("{error}{advice}"))
}
#[cfg(test)]
#[path = "analyze_tests.rs"]
mod tests;
