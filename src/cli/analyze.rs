//! `sightline analyze`: one picture, for people.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{
    annotate::{AnnotateError, Output, annotate},
    client::{self, Client, MESSAGE_LIMIT_BYTES},
    json, objects, plain,
    render::render,
    request::RequestArgs,
    source::{Source, SourceError},
    status,
};
use crate::proto::{AnalyzeImageRequest, AnalyzeImageResponse, ImageAnalysis, ImageInfo, ImageSource, image_source};

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

    /// Also draw what was found onto the picture and write it here, as .png or .jpg.
    #[arg(long, value_name = "OUT", help_heading = "Output")]
    pub annotate: Option<PathBuf>,
}

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
    let limit = client.message_limit().await;
    let request = args.request.request(args.source.load(limit).await?);
    let image = request.image.clone().unwrap_or_default();
    let response = call(&mut client, request, limit).await?;
    let analysis = response.analysis.clone().unwrap_or_default();
    print(args, &response, &analysis)?;
    if let Some(output) = output {
        let content = server.content(&image, &analysis.image.clone().unwrap_or_default()).await?;
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

    /// The bytes that were analyzed: those that were sent, or the object's.
    async fn content(&self, image: &ImageSource, analyzed: &ImageInfo) -> Result<bytes::Bytes, Failure> {
        match &image.source {
            Some(image_source::Source::Content(content)) => Ok(content.clone()),
            Some(image_source::Source::S3Object(object)) => {
                let s3 = self.s3().await;
                let read = objects::read(&s3, &object.bucket, &object.key, analyzed).await;
                read.map_err(|error| Failure::Analysis(error.to_string()))
            }
            None => Err(Failure::Analysis("the request names no picture".to_owned())),
        }
    }

    async fn s3(&self) -> aws_sdk_s3::Client {
        #[cfg(feature = "embedded")]
        if let Some(local) = &self.local {
            return objects::embedded_client(local.stack());
        }
        objects::default_client().await
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
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: AnalyzeArgs,
    }

    fn parse(words: &[&str]) -> Result<AnalyzeArgs, clap::Error> {
        Line::try_parse_from(std::iter::once(&"sightline").chain(words)).map(|line| line.args)
    }

    async fn failure(words: &[&str]) -> Failure {
        analyze(&parse(words).unwrap()).await.unwrap_err()
    }

    #[test]
    fn the_source_is_checked_on_the_command_line() {
        assert!(parse(&["s3://photos"]).unwrap_err().to_string().contains("s3://BUCKET/KEY"));
        assert!(parse(&[]).is_err());
        assert_eq!(parse(&["a.png", "--timeout", "90s"]).unwrap().timeout, Duration::from_secs(90));
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn embedded_takes_its_folder_after_an_equals_sign_only() {
        let args = parse(&["--embedded", "s3://photos/a.png"]).unwrap();
        assert_eq!(args.embedded, Some(None));
        let args = parse(&["--embedded=/tmp/buckets", "s3://photos/a.png"]).unwrap();
        assert_eq!(args.embedded, Some(Some(PathBuf::from("/tmp/buckets"))));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_before_a_server_is_asked() {
        let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/photos/coffee.png");
        for words in [
            ["no-such-file.png", "--annotate", "out.png"],
            [photo, "--annotate", "out.tiff"],
            [photo, "--annotate", photo],
            [photo, "--server", "https://example.com"],
        ] {
            let failure = failure(&words).await;
            assert!(matches!(failure, Failure::Usage(_)), "{words:?}: {failure}");
        }
    }

    #[tokio::test]
    async fn no_server_is_a_failure_that_says_what_to_do() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let failure = failure(&["s3://photos/a.png", "--server", &address]).await;
        assert!(matches!(&failure, Failure::Analysis(text) if text.contains("sightline serve")), "{failure}");
    }
}
