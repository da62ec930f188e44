//! The command itself: the real binary, configured as people configure it.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use sightline::proto::ImageAnalysis;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{
    bedrock::{Bedrock, Reply},
    s3::S3,
    service::{assert_error, connect, content, describe, label, object, photo},
};

pub type Environment = Vec<(&'static str, String)>;

/// The binary, with none of the caller's own AWS or Sightline variables.
pub fn command() -> Command {
    clean_command(env!("CARGO_BIN_EXE_sightline"))
}

/// A binary of this crate without the settings of whoever runs the tests.
pub fn clean_command(binary: &str) -> Command {
    let mut command = Command::new(binary);
    let own = std::env::vars().map(|(name, _)| name);
    for name in own.filter(|name| name.starts_with("AWS_") || name.starts_with("SIGHTLINE_")) {
        command.env_remove(name);
    }
    // Many servers run at once, and only one of them could have the port.
    command.env("SIGHTLINE_ADMIN_LISTEN", "off");
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Nowhere to find credentials, and no waiting for a metadata service.
pub fn without_aws() -> Environment {
    let nowhere = || "/nonexistent".to_owned();
    vec![
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_CONFIG_FILE", nowhere()),
        ("AWS_SHARED_CREDENTIALS_FILE", nowhere()),
        ("AWS_REGION", "eu-west-1".to_owned()),
    ]
}

/// AWS at two endpoints, with a key for both.
pub fn aws_at(s3: String, bedrock: String) -> Environment {
    let mut environment = without_aws();
    environment.extend([
        ("AWS_ENDPOINT_URL_S3", s3),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock),
        ("AWS_ACCESS_KEY_ID", "AKID".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]);
    environment
}

/// `sightline serve` in a process of its own. Dropping it kills it.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    pub async fn start(flags: &[&str], environment: &Environment) -> Self {
        let mut child = command()
            .args(["serve", "--log-format", "json"])
            .args(flags)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = log.next_line().await.unwrap().expect("the server says where it listens");
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if entry["message"] == "listening" {
                // What follows is read on, so that the server never waits for a full pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
                return Self { address: entry["address"].as_str().unwrap().parse().unwrap(), child };
            }
        }
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    }

    /// The exit code, once the process has ended; none when a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}

async fn output(arguments: &[&str]) -> (i32, String, String) {
    let output = command().args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn assert_inside(analysis: &ImageAnalysis) {
    let image = analysis.image.as_ref().unwrap();
    let labels = &analysis.labels.as_ref().unwrap().labels;
    let boxes: Vec<_> =
        labels.iter().flat_map(|label| &label.instances).map(|instance| instance.r#box.clone().unwrap()).collect();
    assert!(!boxes.is_empty(), "the detector finds something");
    for place in boxes {
        let corners = place.pixels.unwrap();
        let (top_left, bottom_right) = (corners.top_left.unwrap(), corners.bottom_right.unwrap());
        assert!(0 <= top_left.x() && top_left.x() < bottom_right.x() && bottom_right.x() <= image.width);
        assert!(0 <= top_left.y() && top_left.y() < bottom_right.y() && bottom_right.y() <= image.height);
    }
}

#[tokio::test]
async fn awss_own_variables_point_the_server_anywhere() {
    let (s3, bedrock) = (S3::start().await, Bedrock::start().await);
    s3.put("photos", "summit.jpeg", photo("summit.jpeg"));
    bedrock.push(Reply::tool(json!({"description": "A hall."})));
    let mut environment = aws_at(s3.endpoint(), bedrock.endpoint());
    environment.extend([
        ("SIGHTLINE_LISTEN", "127.0.0.1:0".to_owned()),
        ("SIGHTLINE_MODEL", "us.anthropic.claude-haiku-4-5-20251001-v1:0".to_owned()),
    ]);
    let server = Server::start(&[], &environment).await;
    let mut client = connect(server.address).await;
    let analysis =
        client.analyze_image(object("summit.jpeg", describe())).await.unwrap().into_inner().analysis.unwrap();
    assert_eq!(analysis.description.unwrap().text, "A hall.");
    assert_eq!(analysis.model.unwrap().region, "eu-west-1");
    assert_eq!(bedrock.only_request().model_id, "us.anthropic.claude-haiku-4-5-20251001-v1:0");
    assert_eq!(s3.requests().pop().unwrap().bucket, "photos", "path style");
}

/// An endpoint that nobody listens on.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn endpoints_that_cannot_be_reached_are_unavailable() {
    let environment = aws_at(nobody(), nobody());
    let server = Server::start(&["--listen", "127.0.0.1:0"], &environment).await;
    let mut client = connect(server.address).await;
    let outcome = client.analyze_image(object("summit.jpeg", describe())).await;
    assert_error(outcome.map(|_| ()), tonic::Code::Unavailable, "STORAGE_UNAVAILABLE");
    let outcome = client.analyze_image(content(&photo("rocket.jpg"), describe())).await;
    let (_, details) = assert_error(outcome.map(|_| ()), tonic::Code::Unavailable, "MODEL_UNAVAILABLE");
    assert_eq!(
        details.info.metadata["model_call_count"], "6",
        "a connection that was never made is tried again, and so is that to the fallback"
    );
}

#[tokio::test]
async fn the_embedded_stack_answers_on_a_folder_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("photos");
    std::fs::create_dir(&bucket).unwrap();
    std::fs::write(bucket.join("회의 summit.png"), photo("summit.jpeg")).unwrap();
    let path = folder.path().to_str().unwrap();
    let mut server = Server::start(&["--listen", "127.0.0.1:0", "--embedded", path], &without_aws()).await;
    let mut client = connect(server.address).await;
    let request = object("회의 summit.png", label());
    let analysis = client.analyze_image(request).await.unwrap().into_inner().analysis.unwrap();
    assert_inside(&analysis);
    assert_eq!(analysis.model.as_ref().unwrap().served, "sightline.nanodet-416");
    assert!(analysis.warnings.iter().any(|warning| warning.code == "MODEL_IS_DETECTOR"));

    server.terminate().await;
    assert_eq!(server.ended().await, Some(0), "SIGTERM ends it cleanly");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["photos"], "the folder is left as it was");
}

#[tokio::test]
async fn every_feature_on_a_real_photo_without_aws() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--embedded"], &without_aws()).await;
    let mut client = connect(server.address).await;
    let features = sightline::proto::Features {
        description: Some(Default::default()),
        sensitivity: Some(Default::default()),
        text: Some(Default::default()),
        prompt: Some(sightline::proto::PromptFeature { text: "사진을 설명해주세요.".to_owned() }),
        ..label()
    };
    let analysis =
        client.analyze_image(object("astronaut.png", features)).await.unwrap().into_inner().analysis.unwrap();
    assert_inside(&analysis);
    assert!(analysis.description.unwrap().text.contains("person"));
    assert_eq!(analysis.sensitivity.unwrap().verdict(), sightline::proto::sensitivity::Verdict::Sensitive);
    assert!(analysis.answer.is_some());
    let unread: Vec<_> = analysis.feature_errors.iter().map(|error| error.feature.as_str()).collect();
    assert_eq!(unread, ["text"], "a detector reads no text and does not pretend to");
    let alone = sightline::proto::Features { text: Some(Default::default()), ..Default::default() };
    let outcome = client.analyze_image(object("astronaut.png", alone)).await;
    assert_error(outcome.map(|_| ()), tonic::Code::FailedPrecondition, "FEATURE_UNSUPPORTED");
}

#[tokio::test]
async fn people_analyze_files_and_objects_and_see_errors() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--embedded"], &without_aws()).await;
    let address = format!("http://{}", server.address);
    let (code, _, _) = output(&["health", "--server", &address]).await;
    assert_eq!(code, 0);
    let picture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png");
    let folder = tempfile::tempdir().unwrap();
    let annotated = folder.path().join("out.png");
    let arguments = [
        "analyze",
        picture.to_str().unwrap(),
        "--server",
        &address,
        "--json",
        "--annotate",
        annotated.to_str().unwrap(),
    ];
    let (code, json, errors) = output(&arguments).await;
    assert_eq!(code, 0, "{errors}");
    let answer: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answer["analysis"]["image"]["width"], 600);
    assert_eq!(image::open(&annotated).unwrap().width(), 600);
    let (code, _, errors) = output(&["analyze", "s3://photos/none.png", "--server", &address]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("OBJECT_NOT_FOUND"), "{errors}");
}

#[tokio::test]
async fn the_demo_prints_results_and_draws_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pictures");
    // A proxy that the environment names has no part in it.
    let command =
        command().args(["demo", "--out", out.to_str().unwrap()]).env("HTTP_PROXY", "http://127.0.0.1:9").output();
    let output = command.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in
        ["summit.jpeg", "astronaut.png", "grpcurl -plaintext", "person", "5 succeeded, 0 failed", out.to_str().unwrap()]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 5);
    assert_eq!(image::image_dimensions(out.join("summit-annotated.png")).unwrap(), (1280, 681));
}

#[tokio::test]
async fn the_demo_stays_up_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let mut child = command()
        .args(["demo", "--serve", "--listen", "127.0.0.1:0", "--out", out])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("a grpcurl command with the address");
        if let Some(rest) = line.trim().strip_prefix("grpcurl -plaintext 127.0.0.1:") {
            let port: u16 = rest.split_whitespace().next().unwrap().parse().unwrap();
            break SocketAddr::from(([127, 0, 0, 1], port));
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut client = connect(address).await;
    let analysis = client.analyze_image(object("coffee.png", label())).await.unwrap().into_inner().analysis.unwrap();
    assert_inside(&analysis);
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn help_documents_every_setting() {
    let output = command().args(["serve", "--help"]).env_remove("SIGHTLINE_ADMIN_LISTEN").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for name in
        ["SIGHTLINE_LISTEN", "SIGHTLINE_MODEL", "SIGHTLINE_MAX_IMAGE_BYTES", "SIGHTLINE_REQUEST_TIMEOUT", "--embedded"]
    {
        assert!(text.contains(name), "{name}");
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_configuration_is_printed_and_what_is_wrong_is_refused() {
    let output = command().arg("config").env("AWS_SECRET_ACCESS_KEY", "hunter2").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("AWS_SECRET_ACCESS_KEY = (set)") && !text.contains("hunter2"), "{text}");
    let output = command().arg("config").env("SIGHTLINE_MODELS", "/nonexistent.toml").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.toml"));
    for (value, said) in [("1", "true"), ("true", "true"), ("false", "false"), ("0", "false"), ("", "false")] {
        let output = command().arg("config").env("SIGHTLINE_SAFE_DECODERS", value).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("safe_decoders = {said}\n")), "{value}: {text}");
    }
    let output = command().arg("serve").env("SIGHTLINE_LISTEN", "nowhere").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--listen"));
}

#[tokio::test]
async fn models_are_listed_for_people_and_for_programs() {
    let (code, text, _) = output(&["models"]).await;
    assert_eq!(code, 0);
    assert!(text.lines().nth(1).unwrap().starts_with("default"), "{text}");
    assert!(text.lines().any(|line| line.contains("claude-3-sonnet") && line.contains("ENDED")), "{text}");
    let (code, text, _) = output(&["models", "--json", "--model", "precise", "--allowed-models", "fast"]).await;
    assert_eq!(code, 0);
    let models: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = models.as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["claude-opus-5", "claude-haiku-5-5"]);
}

#[tokio::test]
async fn a_catalogue_of_the_operators_own_decides_what_is_called() {
    let (s3, bedrock) = (S3::start().await, Bedrock::start().await);
    s3.put("photos", "summit.jpeg", photo("summit.jpeg"));
    bedrock.push(Reply::tool(json!({"description": "A hall."})));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.toml");
    let id = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6";
    let text =
        format!("[aliases]\ndefault = \"house\"\n[models.house]\nextends = \"claude-sonnet-5\"\nid = \"{id}\"\n");
    std::fs::write(&file, text).unwrap();
    let mut environment = aws_at(s3.endpoint(), bedrock.endpoint());
    environment.extend([("SIGHTLINE_MODELS", file.to_str().unwrap().to_owned())]);
    let server = Server::start(&["--listen", "127.0.0.1:0"], &environment).await;
    let mut client = connect(server.address).await;
    let analysis =
        client.analyze_image(object("summit.jpeg", describe())).await.unwrap().into_inner().analysis.unwrap();
    assert_eq!(analysis.model.unwrap().served, id);
    assert_eq!(analysis.image.unwrap().model_width, 1280, "seen in high resolution, as what it extends");
    let request = bedrock.only_request();
    assert_eq!(request.model_id, id);
    assert_eq!(request.body["thinking"]["type"], "disabled");
}

#[tokio::test]
async fn an_embedded_server_of_a_command_needs_none_of_the_servers_models() {
    let picture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png");
    let mut command = command();
    command.args(["analyze", "--embedded", "--labels", picture.to_str().unwrap()]);
    command.env("SIGHTLINE_MODELS", "/nonexistent.toml").env("SIGHTLINE_MODEL", "precise");
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
