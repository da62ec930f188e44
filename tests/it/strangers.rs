//! Clients that were made elsewhere, against the running server: grpcurl and Python. They come from
//! `scripts/test-tools`; where they are missing, these tests say that they skip.

use serde_json::Value;

use crate::{
    command::{Server, without_aws},
    support::tools::{python_client, require_tool, run},
};

const SERVICE: &str = "sightline.v1.ImageAnalysisService";

async fn server() -> Server {
    Server::start(&["--listen", "127.0.0.1:0", "--embedded"], &without_aws()).await
}

#[tokio::test]
async fn grpcurl_lists_describes_calls_and_prints_error_details() {
    let Some(grpcurl) = require_tool("grpcurl") else { return };
    let server = server().await;
    let address = server.address.to_string();
    let list = run(&grpcurl, &["-plaintext", &address, "list"]).await;
    for service in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(list.stdout.contains(service), "{}{}", list.stdout, list.stderr);
    }
    for symbol in [SERVICE, "sightline.v1.BoundingBox", "google.rpc.ErrorInfo", "grpc.health.v1.HealthCheckRequest"] {
        let described = run(&grpcurl, &["-plaintext", &address, "describe", symbol]).await;
        assert_eq!(described.code, 0, "{symbol}: {}", described.stderr);
    }
    let method = format!("{SERVICE}/AnalyzeImage");
    let data =
        r#"{"image":{"s3_object":{"bucket":"photos","key":"summit.jpeg"}},"features":{"labels":{},"description":{}}}"#;
    let called = run(&grpcurl, &["-plaintext", "-d", data, &address, &method]).await;
    assert_eq!(called.code, 0, "{}", called.stderr);
    let answer: Value = serde_json::from_str(&called.stdout).unwrap();
    let instances = answer["analysis"]["labels"]["labels"][0]["instances"].as_array().unwrap();
    assert!(!instances.is_empty());
    for instance in instances {
        let corners = &instance["box"]["pixels"];
        let (left, right) = (corners["topLeft"]["x"].as_i64().unwrap(), corners["bottomRight"]["x"].as_i64().unwrap());
        let (top, bottom) = (corners["topLeft"]["y"].as_i64().unwrap(), corners["bottomRight"]["y"].as_i64().unwrap());
        assert!(0 <= left && left < right && right <= 1280 && 0 <= top && top < bottom && bottom <= 681, "{corners}");
    }
    let failed = run(&grpcurl, &["-plaintext", "-d", &data.replace("summit", "none"), &address, &method]).await;
    assert_eq!(failed.code, 64 + 5, "{}", failed.stderr);
    for part in ["OBJECT_NOT_FOUND", "google.rpc.ErrorInfo", "s3://photos/none.jpeg"] {
        assert!(failed.stderr.contains(part), "{}", failed.stderr);
    }
}

#[tokio::test]
async fn a_python_client_reads_answers_and_errors() {
    let server = server().await;
    let Some(printed) = python_client(&server.address.to_string(), "photos", "astronaut.png").await else { return };
    assert!(printed.is_object(), "{printed}");
}
