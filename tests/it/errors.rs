//! Every row of the error table, at a real client: code, reason and details.

use serde_json::json;
use sightline::proto::{
    AnalysisOptions, AnalyzeImageRequest, AnalyzeImageResponse, ExtractionFeature, Features, LabelsFeature,
    OversizePolicy, S3Object, image_source::Source,
};
use tonic::Code;
use tonic_types::pb;

use crate::support::{
    bedrock::Reply,
    images::{Format, Scene},
    s3::{Failure, Fault, Object},
    service::{BUCKET, Details, Service, assert_error, channel, content, describe, from, label, object, photo},
};

fn s3_object(request: &mut AnalyzeImageRequest) -> &mut sightline::proto::S3Object {
    match request.image.as_mut().unwrap().source.as_mut().unwrap() {
        Source::S3Object(object) => object,
        Source::Content(_) => panic!("an object"),
    }
}

/// An id that is not the catalogue's own, which therefore has no fallbacks.
const NO_FALLBACK: &str = "us.anthropic.claude-sonnet-5";

#[tokio::test]
async fn invalid_fields_are_listed_all_at_once() {
    let service = Service::start().await;
    let mut request = AnalyzeImageRequest {
        features: Some(Features {
            labels: Some(LabelsFeature { max_results: 501, min_confidence: Some(2.0), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    request.options = Some(AnalysisOptions { oversize_policy: 99, ..Default::default() });
    let (_, details) = assert_error(service.analyze(request).await, Code::InvalidArgument, "FIELD_INVALID");
    let violations = details.get::<pb::BadRequest>("BadRequest").unwrap().field_violations;
    let mut fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["features.labels.max_results", "features.labels.min_confidence", "image", "options.oversize_policy"]
    );
    assert!(violations.iter().all(|violation| !violation.description.is_empty() && !violation.reason.is_empty()));
    assert!(service.s3.requests().is_empty() && service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn what_is_no_picture_is_refused_with_its_type() {
    let service = Service::start().await;
    for (bytes, detected) in [
        (&b"%PDF-1.7 ..."[..], "application/pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"8BPS\0\x01\0\0\0\0\0\0", "image/vnd.adobe.photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
    ] {
        service.s3.put_object(BUCKET, "a.png", Object::new(bytes.to_vec()).content_type("image/png"));
        let (_, details) = assert_error(
            service.analyze(object("a.png", describe())).await,
            Code::InvalidArgument,
            "IMAGE_UNSUPPORTED",
        );
        assert_eq!(details.info.metadata["detected"], detected);
        assert_eq!(
            details.info.metadata["supported"],
            "image/jpeg, image/png, image/gif, image/webp, image/bmp, image/tiff"
        );
    }
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn damaged_and_empty_pictures_are_refused() {
    let service = Service::start().await;
    for format in Format::ALL {
        let file = Scene::new(120, 90).encode(format);
        let outcome = service.analyze_bytes(&file[..file.len() * 2 / 3], describe()).await;
        assert_error(outcome, Code::InvalidArgument, "IMAGE_CORRUPT");
    }
    let (_, details) =
        assert_error(service.analyze_bytes(b"", describe()).await, Code::InvalidArgument, "IMAGE_UNSUPPORTED");
    assert_eq!(details.info.metadata["detected"], "empty");
    assert!(service.bedrock.requests().is_empty(), "nobody pays for a broken picture");
}

#[tokio::test]
async fn too_many_bytes_are_refused_before_they_are_read() {
    let service = Service::with(&["--max-image-bytes", "1000"]).await;
    service.s3.put(BUCKET, "big", vec![0xff; 1001]);
    let (_, details) =
        assert_error(service.analyze(object("big", describe())).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
    assert_eq!((details.info.metadata["actual"].as_str(), details.info.metadata["limit"].as_str()), ("1001", "1000"));
    // A body without a length, and one without an end, are cut while they are read.
    for fault in [Fault::WithoutLength, Fault::Endless] {
        service.s3.fault(BUCKET, "big", fault);
        assert_error(service.analyze(object("big", describe())).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
    }
    assert_error(service.analyze(content(&[0xff; 1001], describe())).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
}

#[tokio::test]
async fn too_many_pixels_are_refused_with_the_size_that_fits() {
    let service = Service::with(&["--max-pixels", "10000"]).await;
    let file = Scene::new(200, 100).encode(Format::Png);
    let (_, details) =
        assert_error(service.analyze_bytes(&file, describe()).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
    let metadata = details.info.metadata;
    assert_eq!((metadata["actual"].as_str(), metadata["limit"].as_str()), ("20000", "10000"));
    assert_eq!((metadata["actual_size"].as_str(), metadata["fits"].as_str()), ("200x100", "141x70"));
}

#[tokio::test]
async fn a_picture_that_takes_more_memory_than_there_is_is_refused_and_one_that_takes_none_is_not() {
    let service = Service::with(&["--max-prepare-bytes", "100KB"]).await;
    let file = Scene::new(3200, 2400).encode(Format::Png);
    let (_, details) =
        assert_error(service.analyze_bytes(&file, describe()).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
    let metadata = details.info.metadata;
    assert_eq!((metadata["limit"].as_str(), metadata["unit"].as_str()), ("100000", "bytes of memory"));
    assert!(metadata["actual"].parse::<u64>().unwrap() > 100_000, "{metadata:?}");
    assert!(service.bedrock.requests().is_empty());
    service.bedrock.push(Reply::tool(json!({"description": "A hall."})));
    let as_it_is = Scene::new(640, 480).encode(Format::Png);
    service.analyze_bytes(&as_it_is, describe()).await.expect("it goes to the model as it is");
}

#[tokio::test]
async fn the_reject_policy_names_the_size_that_would_fit() {
    let service = Service::with(&["--model", "global.anthropic.claude-sonnet-4-6"]).await;
    let file = Scene::new(1920, 1080).encode(Format::Png);
    let mut request = content(&file, describe());
    request.options = Some(AnalysisOptions { oversize_policy: OversizePolicy::Reject.into(), ..Default::default() });
    let (_, details) = assert_error(service.analyze(request).await, Code::InvalidArgument, "IMAGE_TOO_LARGE");
    assert_eq!(
        (details.info.metadata["actual"].as_str(), details.info.metadata["fits"].as_str()),
        ("1920x1080", "1456x819")
    );
}

#[tokio::test]
async fn every_refusal_of_s3_has_its_own_reason() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "key", photo("rocket.jpg"));
    for (failure, code, reason, detail) in [
        (Failure::NO_SUCH_KEY, Code::NotFound, "OBJECT_NOT_FOUND", "ResourceInfo"),
        (Failure::NO_SUCH_VERSION, Code::NotFound, "OBJECT_NOT_FOUND", "ResourceInfo"),
        (Failure::NO_SUCH_BUCKET, Code::NotFound, "BUCKET_NOT_FOUND", "ResourceInfo"),
        (Failure::ACCESS_DENIED, Code::PermissionDenied, "OBJECT_ACCESS_DENIED", "ErrorInfo"),
        (Failure::PRECONDITION_FAILED, Code::FailedPrecondition, "OBJECT_CHANGED", "PreconditionFailure"),
        (Failure::INVALID_OBJECT_STATE, Code::FailedPrecondition, "OBJECT_ARCHIVED", "PreconditionFailure"),
        (Failure::PERMANENT_REDIRECT, Code::FailedPrecondition, "BUCKET_REGION_MISMATCH", "PreconditionFailure"),
        (Failure::SLOW_DOWN, Code::Unavailable, "STORAGE_UNAVAILABLE", "RetryInfo"),
        (Failure::INTERNAL_ERROR, Code::Unavailable, "STORAGE_UNAVAILABLE", "RetryInfo"),
    ] {
        service.s3.fault(BUCKET, "key", failure);
        let (status, details) = assert_error(service.analyze(object("key", describe())).await, code, reason);
        assert!(details.all.iter().any(|found| found.type_url.ends_with(detail)), "{reason}: {:?}", details.all);
        if reason == "OBJECT_ACCESS_DENIED" {
            assert!(status.message().contains("s3:GetObject") && status.message().contains("s3:ListBucket"));
        }
    }
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_and_keys_taken_literally() {
    let service = Service::start().await;
    let mut request = object("key", describe());
    s3_object(&mut request).bucket = "elsewhere".to_owned();
    let (_, details) = assert_error(service.analyze(request).await, Code::NotFound, "BUCKET_NOT_FOUND");
    assert_eq!(details.get::<pb::ResourceInfo>("ResourceInfo").unwrap().resource_name, "elsewhere");
    for key in ["a b+c%20d/한국 사진 (1).png", "../up", "x//y", "?q=1&versionId=2#f", "%"] {
        service.s3.put(BUCKET, key, photo("rocket.jpg"));
        service.bedrock.push(Reply::tool(json!({"description": "x"})));
        service.analyze(object(key, describe())).await.unwrap();
        assert_eq!(service.s3.requests().pop().unwrap().key, key);
    }
}

#[tokio::test]
async fn version_etag_and_owner_are_asked_for() {
    let service = Service::start().await;
    service.s3.set_owner(BUCKET, "111122223333");
    let etag = service.s3.put_object(BUCKET, "key", Object::new(photo("rocket.jpg")).version("v1"));
    service.s3.put_object(BUCKET, "key", Object::new(photo("summit.jpeg")).version("v2"));
    service.bedrock.answer_with(|_| Reply::tool(json!({"description": "x"})));

    // The ETag with the quotes of the API and without them, as in S3's events.
    for etag in [etag.as_str(), etag.trim_matches('"')] {
        let mut request = object("key", describe());
        let named = s3_object(&mut request);
        named.version_id = "v1".to_owned();
        named.expected_etag = etag.to_owned();
        named.expected_bucket_owner = "111122223333".to_owned();
        let image = service.analyze(request).await.unwrap().image.unwrap();
        assert_eq!((image.width, image.version_id.as_str()), (640, "v1"));
    }
    let mut changed = object("key", describe());
    s3_object(&mut changed).expected_etag = etag;
    assert_error(service.analyze(changed).await, Code::FailedPrecondition, "OBJECT_CHANGED");
    let mut other = object("key", describe());
    s3_object(&mut other).expected_bucket_owner = "999999999999".to_owned();
    assert_error(service.analyze(other).await, Code::FailedPrecondition, "BUCKET_OWNER_MISMATCH");
}

#[tokio::test]
async fn a_body_that_breaks_or_lies_is_storage_unavailable() {
    let service = Service::start().await;
    service.s3.put(BUCKET, "key", photo("rocket.jpg"));
    for fault in [Fault::Cut, Fault::WrongChecksum] {
        service.s3.fault(BUCKET, "key", fault);
        assert_error(service.analyze(object("key", describe())).await, Code::Unavailable, "STORAGE_UNAVAILABLE");
    }
    service.s3.fault_times(1, BUCKET, "key", Failure::SLOW_DOWN);
    service.bedrock.push(Reply::tool(json!({"description": "x"})));
    service.analyze(object("key", describe())).await.expect("one SlowDown is tried again");
}

#[tokio::test]
async fn every_refusal_of_bedrock_has_its_own_reason() {
    let service = Service::with(&["--max-model-attempts", "1", "--model", NO_FALLBACK]).await;
    let on_demand = "Invocation of model ID anthropic.claude-sonnet-5 with on-demand throughput isn\u{2019}t supported. Retry \
                     your request with the ID or ARN of an inference profile that contains this model.";
    let sent = "SECRET-PROMPT";
    for (status, exception, message, code, reason, detail) in [
        (429, "ThrottlingException", sent, Code::ResourceExhausted, "MODEL_THROTTLED", "QuotaFailure"),
        (400, "ServiceQuotaExceededException", sent, Code::ResourceExhausted, "MODEL_THROTTLED", "RetryInfo"),
        (403, "AccessDeniedException", sent, Code::FailedPrecondition, "MODEL_NOT_ENABLED", "Help"),
        (400, "ValidationException", on_demand, Code::FailedPrecondition, "INFERENCE_PROFILE_REQUIRED", "Help"),
        (404, "ResourceNotFoundException", sent, Code::FailedPrecondition, "MODEL_END_OF_LIFE", "Help"),
        (429, "ModelNotReadyException", sent, Code::Unavailable, "MODEL_UNAVAILABLE", "RetryInfo"),
        (500, "InternalServerException", sent, Code::Unavailable, "MODEL_UNAVAILABLE", "RetryInfo"),
        (503, "ServiceUnavailableException", sent, Code::Unavailable, "MODEL_UNAVAILABLE", "RetryInfo"),
        (408, "ModelTimeoutException", sent, Code::Unavailable, "MODEL_UNAVAILABLE", "RetryInfo"),
        (400, "ValidationException", sent, Code::Internal, "MODEL_REQUEST_REJECTED", "ErrorInfo"),
        (403, "ExpiredTokenException", sent, Code::FailedPrecondition, "CREDENTIALS_INVALID", "Help"),
    ] {
        service.bedrock.push(Reply::error(status, exception, message));
        let (status, details) =
            assert_error(service.analyze(content(&photo("rocket.jpg"), describe())).await, code, reason);
        assert!(details.all.iter().any(|found| found.type_url.ends_with(detail)), "{exception}: {:?}", details.all);
        assert!(!status.message().contains(sent) && !String::from_utf8_lossy(status.details()).contains(sent));
        let pushback = status.metadata().get("grpc-retry-pushback-ms");
        assert_eq!(pushback.is_some(), reason == "MODEL_THROTTLED", "{exception}");
    }
    assert_eq!(service.bedrock.requests().len(), 11, "one attempt each");
}

#[tokio::test]
async fn what_the_service_says_in_words_alone_is_understood() {
    let service = Service::with(&["--max-model-attempts", "1", "--model", NO_FALLBACK]).await;
    for (message, code, reason) in [
        ("Could not process image", Code::InvalidArgument, "IMAGE_CORRUPT"),
        ("The provided model identifier is invalid.", Code::FailedPrecondition, "MODEL_NOT_ENABLED"),
        ("This model version has reached the end of its life.", Code::FailedPrecondition, "MODEL_END_OF_LIFE"),
        ("Output blocked by content filtering policy", Code::FailedPrecondition, "CONTENT_FILTERED"),
    ] {
        service.bedrock.push(Reply::validation(message));
        assert_error(service.analyze(content(&photo("rocket.jpg"), describe())).await, code, reason);
    }
    for (original, code, reason) in
        [(503, Code::Unavailable, "MODEL_UNAVAILABLE"), (400, Code::Internal, "MODEL_REQUEST_REJECTED")]
    {
        let body = json!({"message": "the model failed", "originalStatusCode": original});
        service.bedrock.push(Reply::json(424, body).header("x-amzn-errortype", "ModelErrorException"));
        assert_error(service.analyze(content(&photo("rocket.jpg"), describe())).await, code, reason);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_paid_for_twice() {
    let service = Service::start().await;
    service.bedrock.push(Reply::cut());
    let outcome = service.analyze(content(&photo("rocket.jpg"), describe())).await;
    assert_error(outcome, Code::Unavailable, "MODEL_UNAVAILABLE");
    assert_eq!(service.bedrock.requests().len(), 1, "an answer that breaks off has been paid for");
}

#[tokio::test]
async fn an_access_point_that_the_endpoint_cannot_have_is_refused() {
    let service = Service::start().await;
    let mut request = object("key", describe());
    s3_object(&mut request).bucket = "arn:aws:s3:nowhere".to_owned();
    let (_, details) = assert_error(service.analyze(request).await, Code::InvalidArgument, "FIELD_INVALID");
    assert!(details.get::<pb::BadRequest>("BadRequest").is_some());
}

#[tokio::test]
async fn refusals_and_filters_of_the_model_are_no_answers() {
    let service = Service::start().await;
    let refusal = Reply::messages(json!([]), "refusal", json!({"input_tokens": 9, "output_tokens": 0}));
    service.bedrock.push(refusal);
    assert_error(
        service.analyze(content(&photo("rocket.jpg"), describe())).await,
        Code::FailedPrecondition,
        "MODEL_REFUSED",
    );
    let body = json!({"content": [{"type": "text", "text": "Blocked."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1}, "amazon-bedrock-guardrailAction": "INTERVENED"});
    service.bedrock.push(Reply::json(200, body));
    assert_error(
        service.analyze(content(&photo("rocket.jpg"), describe())).await,
        Code::FailedPrecondition,
        "CONTENT_FILTERED",
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_the_models_fault() {
    let service = Service::start().await;
    for (reply, calls) in [
        (Reply::text("I cannot tell."), "2"),
        (Reply::tool(json!({"labels": 7})), "2"),
        (Reply::json(200, json!({"unexpected": true})), "1"),
    ] {
        let asked = service.bedrock.requests().len();
        service.bedrock.push(reply.clone());
        if calls == "2" {
            service.bedrock.push(reply);
        }
        let (_, details) = assert_error(
            service.analyze(content(&photo("rocket.jpg"), label())).await,
            Code::Internal,
            "MODEL_OUTPUT_INVALID",
        );
        assert_eq!(details.info.metadata["model_call_count"], calls);
        assert_eq!(
            (service.bedrock.requests().len() - asked).to_string(),
            calls,
            "what can be mended is asked again once"
        );
    }
}

#[tokio::test]
async fn throttling_is_tried_again_and_counted() {
    let service = Service::with(&["--model", NO_FALLBACK]).await;
    service.bedrock.push(Reply::error(429, "ThrottlingException", "Too many tokens"));
    service.bedrock.push(Reply::error(503, "ServiceUnavailableException", "busy"));
    service.bedrock.push(Reply::tool(json!({"description": "x"})));
    let analysis = service.analyze(content(&photo("rocket.jpg"), describe())).await.unwrap();
    assert_eq!(analysis.usage.unwrap().model_call_count, 3);
    for _ in 0..3 {
        service.bedrock.push(Reply::error(429, "ThrottlingException", "Too many tokens"));
    }
    let outcome = service.analyze(content(&photo("rocket.jpg"), describe())).await;
    let (_, details) = assert_error(outcome, Code::ResourceExhausted, "MODEL_THROTTLED");
    assert_eq!(details.info.metadata["model_call_count"], "3");
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_refused_before_anything_is_read() {
    let service = Service::start().await;
    let features = Features { extraction: Some(ExtractionFeature::default()), ..Default::default() };
    let outcome = service.analyze(content(&photo("rocket.jpg"), features)).await;
    let (_, details) = assert_error(outcome, Code::InvalidArgument, "FIELD_INVALID");
    let violations = details.get::<pb::BadRequest>("BadRequest").unwrap().field_violations;
    assert_eq!(violations[0].field, "features.extraction.json_schema");
    assert!(service.bedrock.requests().is_empty());
}

#[tokio::test]
async fn a_model_that_is_not_listed_is_unknown() {
    let service = Service::start().await;
    let mut request = content(&photo("rocket.jpg"), describe());
    request.options = Some(AnalysisOptions { model: "gpt".to_owned(), ..Default::default() });
    assert_error(service.analyze(request).await, Code::InvalidArgument, "MODEL_UNKNOWN");
}

#[tokio::test]
async fn one_request_too_many_is_overloaded_at_once() {
    let service = Service::with(&["--max-in-flight", "1"]).await;
    service.bedrock.push(Reply::hang());
    let mut client = service.client();
    let first = tokio::spawn(async move { client.analyze_image(content(&photo("rocket.jpg"), describe())).await });
    service.bedrock.received(1).await;
    let outcome = service.analyze(content(&photo("rocket.jpg"), describe())).await;
    let (_, details) = assert_error(outcome, Code::Unavailable, "OVERLOADED");
    assert!(details.get::<pb::RetryInfo>("RetryInfo").unwrap().retry_delay.is_some());
    first.abort();
}

#[tokio::test]
async fn a_message_over_the_limit_is_out_of_range() {
    let service = Service::with(&["--max-message-bytes", "2000"]).await;
    let outcome = service.analyze(content(&[0xff; 4000], describe())).await;
    assert_error(outcome, Code::OutOfRange, "MESSAGE_TOO_LARGE");
}

/// Calls a method by its path, with a message that need not be the method's own.
async fn call(service: &Service, path: &'static str, message: S3Object) -> Result<(), tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel(service.running.address).await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<S3Object, AnalyzeImageResponse>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(tonic::Request::new(message), path, codec).await.map(|_| ())
}

#[tokio::test]
async fn errors_of_the_transport_carry_details_too() {
    let service = Service::start().await;
    for path in ["/sightline.v1.ImageAnalysisService/Nothing", "/sightline.v1.Other/AnalyzeImage"] {
        assert_error(call(&service, path, S3Object::default()).await, Code::Unimplemented, "NOT_IMPLEMENTED");
    }
    // Field 1 of the method's own message is a message; this is text, and no message's bytes.
    let stranger = S3Object { bucket: "~~~~".to_owned(), ..S3Object::default() };
    let outcome = call(&service, "/sightline.v1.ImageAnalysisService/AnalyzeImage", stranger).await;
    assert_error(outcome, Code::InvalidArgument, "REQUEST_MALFORMED");
}

#[tokio::test]
async fn errors_of_one_request_carry_its_id() {
    let service = Service::start().await;
    let mut request = from(Source::Content(b"nothing".to_vec().into()), describe());
    request.request_id = "req-1".to_owned();
    let status = service.analyze(request).await.unwrap_err();
    let info: pb::RequestInfo = Details::of(&status).get("RequestInfo").unwrap();
    assert_eq!(info.request_id, "req-1");
}
