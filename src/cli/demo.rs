//! `sightline demo`: everything at once, on this machine, with nothing else installed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;

use super::{
    analyze,
    annotate::Output,
    client::{self, Client},
    demo_stream, guide,
    local::{Local, ephemeral},
    objects, plain,
    render::render,
    request::RequestArgs,
    source::Source,
    status,
};
use crate::{
    app,
    embedded::{DEMO_BUCKET, DEMO_PHOTOS, DemoPhoto},
    proto::ImageAnalysis,
};

/// Where the server listens with `--serve`.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50051);
/// The detector needs a fraction of a second, on a slow machine some.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `sightline demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Folder for the annotated pictures; made when missing.
    #[arg(long, env = "SIGHTLINE_DEMO_OUT", default_value = "sightline-demo", value_name = "DIR")]
    pub out: PathBuf,

    /// Stay up afterwards, until Ctrl-C, so that other clients can call the server.
    #[arg(long)]
    pub serve: bool,

    /// Where the server listens with --serve; 127.0.0.1:50051 unless given. Without --serve it takes any free port.
    #[arg(long, value_name = "ADDRESS", requires = "serve")]
    pub listen: Option<SocketAddr>,
}

/// Runs the demo and answers 0; 1 when a box lies outside its picture.
///
/// # Errors
/// What could not be started, called or written.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    heading("Starting an S3 server, a Bedrock endpoint with an object detector, and the gRPC server, in this process");
    let listen = if args.serve { args.listen.unwrap_or(LISTEN) } else { ephemeral() };
    let local = Local::start(None, listen).await?;
    println!("S3       {}", local.stack().s3_endpoint());
    println!("Bedrock  {}", local.stack().bedrock_endpoint());
    println!("gRPC     {}", local.address());
    let outcome = show(&args, &local).await;
    let outcome = match outcome {
        Ok(()) if args.serve => stay_up(&local).await,
        outcome => outcome,
    };
    let stopped = local.stop().await;
    match outcome {
        Err(error) if error.is::<guide::OutsideError>() => {
            eprintln!("error: {error}");
            Ok(ExitCode::FAILURE)
        }
        outcome => outcome.and(stopped).map(|()| ExitCode::SUCCESS),
    }
}

async fn show(args: &DemoArgs, local: &Local) -> anyhow::Result<()> {
    upload(local).await?;
    tokio::fs::create_dir_all(&args.out).await.with_context(|| format!("cannot make {}", args.out.display()))?;
    let channel = client::connect(&local.address().to_string(), &super::tls::ConnectArgs::default()).await?;
    let mut client = Client::new(channel, TIMEOUT);
    let analyses = analyze_photos(&mut client, &args.out).await?;
    if let Some((_, sample)) = analyses.iter().find(|(name, _)| *name == guide::PICTURE) {
        heading("The original guide's sample picture: its published boxes and ours");
        print!("{}", guide::comparison(sample));
        println!("Every box of ours lies inside the picture.");
    }
    ask_in_korean(&mut client).await?;
    heading(
        "All photos again over one connection, AnalyzeMany with a listing of the bucket: nothing is paid for twice",
    );
    demo_stream::stream_photos(&mut client).await?;
    let folder = tokio::fs::canonicalize(&args.out).await.unwrap_or_else(|_| args.out.clone());
    heading("Done");
    println!("Annotated pictures: {}", folder.display());
    print!("{}", farewell(args.serve.then(|| local.address())));
    Ok(())
}

async fn upload(local: &Local) -> anyhow::Result<()> {
    heading(&format!("Putting {} photos into the S3 bucket `{DEMO_BUCKET}`", DEMO_PHOTOS.len()));
    let s3 = app::s3_of(local.stack()).await;
    objects::ensure_bucket(&s3, DEMO_BUCKET).await?;
    for photo in &DEMO_PHOTOS {
        objects::put(&s3, DEMO_BUCKET, photo.name, media_type(photo.name), photo.bytes).await?;
        println!("s3://{DEMO_BUCKET}/{}  {}", photo.name, plain::bytes(photo.bytes.len() as u64));
    }
    Ok(())
}

fn media_type(name: &str) -> &'static str {
    if name.ends_with(".png") { "image/png" } else { "image/jpeg" }
}

async fn analyze_photos(client: &mut Client, out: &Path) -> anyhow::Result<Vec<(&'static str, ImageAnalysis)>> {
    heading("Asking over gRPC for what the original guide asks: a description, sensitive information, labels");
    let mut analyses = vec![];
    for photo in &DEMO_PHOTOS {
        println!("\ns3://{DEMO_BUCKET}/{}", photo.name);
        let analysis = ask(client, photo.name, &RequestArgs::default()).await?;
        print!("{}", render(&analysis, plain::width()));
        guide::all_inside(&analysis, photo.name)?;
        println!("Annotated    {}", annotate(photo, &analysis, out).await?.display());
        analyses.push((photo.name, analysis));
    }
    Ok(analyses)
}

async fn ask(client: &mut Client, key: &str, features: &RequestArgs) -> anyhow::Result<ImageAnalysis> {
    let source = Source::Object { bucket: DEMO_BUCKET.to_owned(), key: key.to_owned() };
    let request = features.request(source.load(0).await?);
    let response = client.analyze(request).await.map_err(|error| anyhow!(status::render(&error)))?;
    response.analysis.context("the server answered without an analysis")
}

async fn annotate(photo: &DemoPhoto, analysis: &ImageAnalysis, out: &Path) -> anyhow::Result<PathBuf> {
    let stem = Path::new(photo.name).file_stem().unwrap_or_default().to_string_lossy();
    let path = out.join(format!("{stem}-annotated.png"));
    let output = Output::new(&path)?;
    analyze::draw(Bytes::from_static(photo.bytes), analysis.clone(), output).await?;
    Ok(path)
}

async fn ask_in_korean(client: &mut Client) -> anyhow::Result<()> {
    heading("The guide's first prompt, word for word");
    println!("{}\n", guide::PROMPT);
    let prompt = RequestArgs { prompt: Some(guide::PROMPT.to_owned()), ..RequestArgs::default() };
    let analysis = ask(client, guide::PICTURE, &prompt).await?;
    print!("{}", render(&analysis, plain::width()));
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// What to do next. Without an address the demo's server is gone, so one has to be started first.
fn farewell(address: Option<SocketAddr>) -> String {
    let server = address.unwrap_or(LISTEN);
    let start = match address {
        Some(_) => "The server stays up until Ctrl-C; with grpcurl, in another terminal:\n".to_owned(),
        None => "To call it yourself with grpcurl, first start the server in another terminal:\n\n  \
                 sightline serve --embedded     (or: cargo run --release -- serve --embedded)\n"
            .to_owned(),
    };
    let call = |data: &str, method: &str| {
        format!("  grpcurl -plaintext -d '{data}' {server} \\\n    sightline.v1.ImageAnalysisService/{method}\n")
    };
    let picture = format!(r#""image":{{"s3_object":{{"bucket":"{DEMO_BUCKET}","key":"{}"}}}}"#, guide::PICTURE);
    let three = call(
        &format!(r#"{{{picture},"features":{{"description":{{}},"sensitivity":{{}},"labels":{{}}}}}}"#),
        "AnalyzeImage",
    );
    let prompt =
        call(&format!(r#"{{{picture},"features":{{"prompt":{{"text":"{}"}}}}}}"#, guide::PROMPT), "AnalyzeImage");
    let capabilities = call("{}", "GetCapabilities");
    format!(
        "\n{start}\n  grpcurl -plaintext {server} describe sightline.v1.ImageAnalysisService\n{capabilities}{three}{prompt}\
         \nThe answers above come from a small object detector (80 kinds of everyday objects) that runs in this \
         process,\nnot from Claude: it reads no text, follows no instructions and judges only whether people are \
         visible.\n\nWith Claude on Amazon Bedrock the same server needs no flag, only AWS:\n  \
         - credentials and a Region, where the AWS SDK looks for them (AWS_PROFILE, AWS_REGION, a role, ...)\n  \
         - s3:GetObject on the bucket of your pictures\n  \
         - bedrock:InvokeModel on the inference profile and on the models behind it, with access to them granted\n\n  \
         AWS_REGION=us-east-1 sightline serve\n  \
         sightline analyze s3://YOUR_BUCKET/YOUR_KEY\n"
    )
}

async fn stay_up(local: &Local) -> anyhow::Result<()> {
    println!("\nServing on {}. Ctrl-C stops it.", local.address());
    stop_signal().await.context("cannot wait for Ctrl-C")?;
    println!("Stopping.");
    Ok(())
}

/// Ctrl-C, or what a service manager sends.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_the_real_address() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7777));
        insta::assert_snapshot!(farewell(Some(address)));
        let farewell = farewell(None);
        assert!(farewell.contains("sightline serve --embedded") && farewell.contains(" 127.0.0.1:50051 "));
    }

    #[test]
    fn the_requests_in_the_commands_are_the_contract() {
        let pool = prost_reflect::DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        let message = pool.get_message_by_name("sightline.v1.AnalyzeImageRequest").unwrap();
        let farewell = farewell(None);
        let bodies: Vec<_> = farewell.split('\'').filter(|part| part.starts_with('{')).collect();
        assert_eq!(bodies.len(), 3);
        for body in bodies {
            let mut reader = serde_json::Deserializer::from_str(body);
            prost_reflect::DynamicMessage::deserialize(message.clone(), &mut reader).unwrap();
        }
    }
}
