//! Traces arrive at a receiver of OTLP that others wrote: Rotel, which prints every span it gets.

use std::process::Stdio;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tonic::Request;

use crate::support::{
    bedrock::{Bedrock, Reply},
    loopback::{PATIENCE, Port},
    process::Process,
    s3::S3,
    service::{BUCKET, connect, describe, object, photo},
    tools::require_packaged,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Rotel, and where it listens. It takes no port 0.
async fn rotel() -> Option<(Child, BufReader<tokio::process::ChildStdout>, Port)> {
    let program = require_packaged("rotel/rotel-agent")?;
    let (grpc, http) = (Port::hold(), Port::hold());
    let mut child = Command::new(&program)
        .args(["start", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
        .args(["--otlp-grpc-endpoint", &grpc.address().to_string()])
        .args(["--otlp-http-endpoint", &http.address().to_string()])
        // What it would pass on goes nowhere.
        .args(["--exporter", "otlp", "--otlp-exporter-endpoint", "http://127.0.0.1:9"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let listens = async {
        while TcpStream::connect(grpc.address()).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "Rotel has ended");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, listens).await.expect("Rotel listens");
    Some((child, said, grpc))
}

/// A field of a span as Rotel prints it.
fn field<'a>(span: &'a str, name: &str) -> &'a str {
    let value = span.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {span}"))
}

#[tokio::test]
async fn a_trace_arrives_at_a_real_receiver_under_its_callers_span() {
    let Some((mut child, mut said, port)) = rotel().await else { return };
    let s3 = S3::start().await;
    s3.put(BUCKET, "rocket.jpg", photo("rocket.jpg"));
    let bedrock = Bedrock::answering(|_| Reply::tool(json!({"description": "A rocket."})).usage(900, 20)).await;
    let server = Process::start(&s3, &bedrock, &["--otlp-endpoint", &port.endpoint()]).await;
    let mut request = Request::new(object("rocket.jpg", describe()));
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-01").parse().unwrap());
    connect(server.address).await.analyze_image(request).await.unwrap();
    // Its end sends what it still holds.
    server.stop().await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let mut text = String::new();
    timeout(PATIENCE, said.read_to_string(&mut text)).await.expect("Rotel ends").unwrap();
    timeout(PATIENCE, child.wait()).await.expect("Rotel ends").unwrap();
    let spans: Vec<&str> = text.split("Span #").skip(1).collect();
    let named = |name: &str| {
        let found = spans.iter().find(|span| field(span, "Name").starts_with(name));
        *found.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let call = named("sightline.v1.ImageAnalysisService/AnalyzeImage");
    assert_eq!((field(call, "Trace ID"), field(call, "Parent ID")), (TRACE, PARENT));
    for child in ["fetch", "prepare", "chat "] {
        assert_eq!(field(named(child), "Trace ID"), TRACE);
        assert_eq!(field(named(child), "Parent ID"), field(call, "ID"), "{child}");
    }
    assert!(named("chat ").contains("gen_ai.usage.input_tokens: Int(900)"), "{text}");
}
