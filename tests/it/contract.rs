//! What the contract says of the service as a whole: capabilities, validation without a call, health.

use serde_json::json;
use sightline::proto::{AnalysisOptions, GetCapabilitiesRequest};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    bedrock::Reply,
    images::{Format, Scene},
    service::{Service, channel, content, describe, label, photo},
};

#[tokio::test]
async fn capabilities_are_those_in_force() {
    let service =
        Service::with(&["--max-image-bytes", "1MiB", "--max-pixels", "5000000", "--max-in-flight", "7"]).await;
    let found = service.client().get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
    assert_eq!((found.max_object_bytes, found.max_pixel_count, found.max_in_flight), (1 << 20, 5_000_000, 6));
    assert_eq!(found.media_types, ["image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/tiff"]);
    assert!(found.sensitivity_categories.contains(&"license-plate".to_owned()));
    let models: Vec<_> = found
        .models
        .iter()
        .map(|model| {
            (model.alias.as_str(), model.model_id.as_str(), model.max_edge, model.max_visual_tokens, model.is_default)
        })
        .collect();
    assert_eq!(
        models[..3],
        [
            ("default", "global.anthropic.claude-sonnet-5", 2576, 4784, true),
            ("fast", "global.anthropic.claude-haiku-5-5", 2576, 4784, false),
            ("precise", "global.anthropic.claude-opus-5", 2576, 4784, false),
        ]
    );
    assert!(models.contains(&("claude-3-sonnet", "anthropic.claude-3-sonnet-20240229-v1:0", 1568, 1568, false)));
    assert!(
        models.contains(&("nova-pro", "us.amazon.nova-pro-v1:0", 2048, 0, false)),
        "no rule of tokens is published"
    );
    assert!(!models.iter().any(|model| model.1.contains("nanodet")), "the detector is the embedded stack's");
    assert!(service.s3.requests().is_empty() && service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn every_listed_name_may_be_asked_for() {
    let service = Service::start().await;
    service.bedrock.revive("claude-3-sonnet");
    service.bedrock.answer_with(|_| Reply::tool(json!({"description": "x"})));
    let found = service.client().get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
    let names = found.models.into_iter().flat_map(|model| [model.alias, model.model_id]);
    for name in names.filter(|name| !name.is_empty()) {
        let mut request = content(&photo("rocket.jpg"), describe());
        request.options = Some(AnalysisOptions { model: name, ..Default::default() });
        service.analyze(request).await.unwrap();
    }
    assert!(service.bedrock.refusals().is_empty());
}

#[tokio::test]
async fn validate_only_measures_and_calls_no_model() {
    let service = Service::start().await;
    let mut request = content(&Scene::new(3000, 2000).encode(Format::Png), label());
    request.validate_only = true;
    let analysis = service.analyze(request).await.unwrap();
    let image = analysis.image.unwrap();
    let usage = analysis.usage.unwrap();
    let tokens = (image.model_width as u64).div_ceil(28) * (image.model_height as u64).div_ceil(28);
    assert_eq!(usage.image_token_count, tokens as i64);
    assert!(usage.input_token_count > usage.image_token_count, "the words cost too");
    assert_eq!(usage.model_call_count, 0);
    assert!(analysis.model.is_none() && analysis.labels.is_none());
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn health_answers_for_the_server_and_for_the_service() {
    let service = Service::start().await;
    let mut client = HealthClient::new(channel(service.running.address).await);
    for name in ["", "sightline.v1.ImageAnalysisService"] {
        let request = HealthCheckRequest { service: name.to_owned() };
        // A watch tells when it changes, so nothing is polled.
        let mut statuses = client.watch(request).await.unwrap().into_inner();
        loop {
            let status = statuses.message().await.unwrap().unwrap().status();
            if status == ServingStatus::Serving {
                break;
            }
            assert_eq!(status, ServingStatus::NotServing);
        }
    }
    let request = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(client.check(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_server_without_credentials_is_not_serving() {
    // A metadata address that refuses at once ends the chain; no variable and no file names a key.
    let environment = crate::command::without_aws();
    let server = crate::command::Server::start_unready(&["--listen", "127.0.0.1:0"], &environment).await;
    let mut client = HealthClient::new(channel(server.address).await);
    let status = client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::NotServing);
    let mut client = crate::support::service::connect(server.address).await;
    let outcome = client.analyze_image(content(&photo("rocket.jpg"), describe())).await;
    crate::support::service::assert_error(outcome.map(|_| ()), tonic::Code::FailedPrecondition, "CREDENTIALS_INVALID");
}
