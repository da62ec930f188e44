//! Clients that were made elsewhere, against the running server: grpcurl and Python. They come from
//! `scripts/test-tools`; where they are missing, these tests say that they skip.

use serde_json::Value;

use crate::{
    command::{Server, without_aws},
    support::{
        service::{BUCKET, Service},
        tools::{python_client, python_stream, require_tool, run, run_with_input},
    },
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

#[tokio::test]
async fn grpcurl_streams_items_from_its_standard_input() {
    let Some(grpcurl) = require_tool("grpcurl") else { return };
    let server = server().await;
    let input = r#"
        {"config": {"features": {"labels": {}}, "result_order": "RESULT_ORDER_AS_REQUESTED"}}
        {"item": {"item_id": "hall", "image": {"s3_object": {"bucket": "photos", "key": "summit.jpeg"}}}}
        {"item": {"item_id": "nothing", "image": {"s3_object": {"bucket": "photos", "key": "none.jpeg"}}}}
        {"item": {"item_id": "suit", "image": {"s3_object": {"bucket": "photos", "key": "astronaut.png"}},
                  "features": {"description": {}}}}
    "#;
    let (address, method) = (server.address.to_string(), format!("{SERVICE}/AnalyzeMany"));
    let streamed = run_with_input(&grpcurl, &["-plaintext", "-d", "@", &address, &method], input).await;
    assert_eq!(streamed.code, 0, "{}", streamed.stderr);
    let answers = serde_json::Deserializer::from_str(&streamed.stdout).into_iter::<Value>();
    let answers: Vec<Value> = answers.map(Result::unwrap).collect();
    assert_eq!(answers.len(), 4, "{}", streamed.stdout);
    let ids: Vec<_> = answers[..3].iter().map(|answer| answer["result"]["itemId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["hall", "nothing", "suit"]);
    for (index, answer) in answers[..3].iter().enumerate() {
        assert_eq!(answer["result"]["itemIndex"], index.to_string(), "a present zero is shown");
    }
    assert!(!answers[0]["result"]["analysis"]["labels"]["labels"].as_array().unwrap().is_empty());
    let error = &answers[1]["result"]["error"];
    assert_eq!((error["code"].as_i64(), error["details"][0]["reason"].as_str()), (Some(5), Some("OBJECT_NOT_FOUND")));
    assert!(answers[2]["result"]["analysis"]["description"]["text"].as_str().unwrap().contains("person"));
    let summary = &answers[3]["summary"];
    assert_eq!((summary["succeededCount"].as_str(), summary["failedCount"].as_str()), (Some("2"), Some("1")));
    assert!(summary["elapsed"].is_string() && summary["totalUsage"].is_object());
}

#[tokio::test]
async fn a_python_client_streams_five_hundred_items() {
    let service = Service::start().await;
    let keys: Vec<String> = (0..500).filter(|key| key % 100 != 7).map(|key| key.to_string()).collect();
    service.put_numbered(&keys);
    let Some(printed) = python_stream(&service.running.address.to_string(), BUCKET, 500).await else { return };
    let descriptions: Vec<String> = (0..495).map(|number| format!("picture {number}")).collect();
    assert_eq!(printed["descriptions"], serde_json::json!(descriptions));
    let missing = [7, 107, 207, 307, 407].map(|key| (format!("item-{key}"), "OBJECT_NOT_FOUND".into()));
    assert_eq!(printed["reasons"], Value::Object(missing.into_iter().collect()));
    assert_eq!(printed["summary"]["total_usage"]["input_token_count"], "49500");
}
