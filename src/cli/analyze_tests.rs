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
    assert_eq!(args.server.embedded, Some(None));
    let args = parse(&["--embedded=/tmp/buckets", "s3://photos/a.png"]).unwrap();
    assert_eq!(args.server.embedded, Some(Some(PathBuf::from("/tmp/buckets"))));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_a_server_is_asked() {
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/photos/coffee.png");
    for words in [
        ["no-such-file.png", "--annotate", "out.png"],
        [photo, "--annotate", "out.tiff"],
        [photo, "--annotate", photo],
        [photo, "--server", "http://"],
    ] {
        let failure = failure(&words).await;
        assert!(matches!(failure, Failure::Usage(_)), "{words:?}: {failure}");
    }
    let failure = failure(&[photo, "--server", "https://127.0.0.1:1", "--tls-ca", "/nonexistent"]).await;
    assert!(matches!(failure, Failure::Usage(_)) && failure.to_string().contains("--tls-ca"), "{failure}");
}

#[tokio::test]
async fn no_server_is_a_failure_that_says_what_to_do() {
    // Bound, and not listened on: no other test is given the port meanwhile.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    let failure = failure(&["s3://photos/a.png", "--server", &address]).await;
    assert!(matches!(&failure, Failure::Analysis(text) if text.contains("sightline serve")), "{failure}");
}

#[cfg(feature = "embedded")]
mod annotating {
    use std::{
        pin::Pin,
        sync::{Arc, Mutex},
    };

    use tokio_stream::{Stream, wrappers::TcpListenerStream};
    use tonic::{Request, Response, Status, Streaming};

    use super::*;
    use crate::{
        cli::{
            client,
            local::{Local, ephemeral},
        },
        proto::{
            AnalyzeManyRequest, AnalyzeManyResponse, GetCapabilitiesRequest, GetCapabilitiesResponse,
            image_analysis_service_server::{ImageAnalysisService, ImageAnalysisServiceServer},
        },
    };

    /// A server that keeps what it is asked and refuses it.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<AnalyzeImageRequest>>>);

    #[tonic::async_trait]
    impl ImageAnalysisService for Recorder {
        type AnalyzeManyStream = Pin<Box<dyn Stream<Item = Result<AnalyzeManyResponse, Status>> + Send>>;

        async fn analyze_image(
            &self,
            request: Request<AnalyzeImageRequest>,
        ) -> Result<Response<AnalyzeImageResponse>, Status> {
            self.0.lock().unwrap().push(request.into_inner());
            Err(Status::resource_exhausted("recorded"))
        }

        async fn analyze_many(
            &self,
            _: Request<Streaming<AnalyzeManyRequest>>,
        ) -> Result<Response<Self::AnalyzeManyStream>, Status> {
            Err(Status::unimplemented("not needed"))
        }

        async fn get_capabilities(
            &self,
            _: Request<GetCapabilitiesRequest>,
        ) -> Result<Response<GetCapabilitiesResponse>, Status> {
            Ok(Response::new(GetCapabilitiesResponse { max_object_bytes: 500_000, ..Default::default() }))
        }
    }

    /// What the server is asked for a source and what the command fails with.
    async fn asked(source: &str) -> (Vec<AnalyzeImageRequest>, String) {
        let recorder = Recorder::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = ImageAnalysisServiceServer::new(recorder.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        let args = parse(&[source, "--annotate", "unwritten.png"]).unwrap();
        let client = Client::new(client::connect(&address, &Default::default()).await.unwrap(), args.timeout);
        let server = Server { client, local: Some(Local::start(None, ephemeral()).await.unwrap()) };
        let output = Output::new(Path::new("unwritten.png")).unwrap();
        let failure = ask(&args, &server, Some(&output)).await.unwrap_err();
        server.close().await;
        let requests = recorder.0.lock().unwrap().clone();
        (requests, failure.to_string())
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_read_here_is_not_analyzed_either() {
        for (source, wanted) in [
            ("s3://photos/none.png", "cannot read s3://photos/none.png: NoSuchKey"),
            ("s3://nowhere/summit.jpeg", "cannot read s3://nowhere/summit.jpeg: NoSuchBucket"),
            ("s3://photos/astronaut.png", "s3://photos/astronaut.png is larger than"),
        ] {
            let (requests, failure) = asked(source).await;
            assert!(failure.starts_with(wanted), "{failure}");
            assert_eq!(requests, [], "{source}: nothing may be paid for");
        }
    }

    #[tokio::test]
    async fn the_server_is_told_to_analyze_what_was_read_here() {
        let (requests, failure) = asked("s3://photos/summit.jpeg").await;
        assert!(failure.contains("recorded"), "{failure}");
        let [AnalyzeImageRequest { image: Some(image), .. }] = &requests[..] else { panic!("{requests:?}") };
        let Some(image_source::Source::S3Object(object)) = &image.source else { panic!("{image:?}") };
        assert_eq!((object.bucket.as_str(), object.key.as_str()), ("photos", "summit.jpeg"));
        assert!(!object.expected_etag.is_empty());
    }

    #[test]
    fn the_advice_names_every_setting_of_s3() {
        for part in ["AWS_ENDPOINT_URL_S3", "AWS_REGION", "credentials", "`sightline serve --embedded` prints"] {
            assert!(S3_ADVICE.contains(part), "{part}");
        }
    }
}
