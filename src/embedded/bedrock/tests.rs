use std::time::{Duration, SystemTime};

use aws_sdk_bedrockruntime::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, invoke_model::InvokeModelError},
    primitives::Blob,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::MAX_BODY_BYTES;
use crate::embedded::{DEMO_PHOTOS, EmbeddedStack, test_support};

fn photo(name: &str) -> &'static [u8] {
    DEMO_PHOTOS.iter().find(|photo| photo.name == name).unwrap().bytes
}

fn image_block(media_type: &str, bytes: &[u8]) -> Value {
    let source = json!({ "type": "base64", "media_type": media_type, "data": STANDARD.encode(bytes) });
    json!({ "type": "image", "source": source })
}

fn body(content: Value) -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 4000,
        "messages": [{ "role": "user", "content": content }],
    })
}

fn summit() -> Value {
    body(json!([image_block("image/jpeg", photo("summit.jpeg")), { "type": "text", "text": "Label it." }]))
}

fn with_tool(mut body: Value) -> Value {
    let properties = json!({ "description": {}, "sensitivity": {}, "labels": {}, "text": {}, "answer": {} });
    body["tools"] = json!([{ "name": "record", "input_schema": { "type": "object", "properties": properties } }]);
    body["tool_choice"] = json!({ "type": "tool", "name": "record" });
    body
}

async fn invoke(client: &Client, model: &str, body: &Value) -> Result<Value, SdkError<InvokeModelError>> {
    let request = client.invoke_model().model_id(model).content_type("application/json");
    let output = request.body(Blob::new(body.to_string())).send().await?;
    assert!(output.request_id().is_some_and(|id| !id.is_empty()));
    Ok(serde_json::from_slice(output.body().as_ref()).unwrap())
}

/// Status, code and message of the error an invocation ends in.
async fn refusal(client: &Client, model: &str, body: &Value) -> (u16, String, String) {
    let error = invoke(client, model, body).await.unwrap_err();
    let status = error.raw_response().expect("an answer").status().as_u16();
    assert!(error.request_id().is_some(), "{error:?}");
    (status, error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_photo_and_a_forced_tool_give_a_tool_use_with_boxes_inside_the_picture() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let answer = invoke(&test_support::bedrock(&stack), stack.model_id(), &with_tool(summit())).await.unwrap();
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!((&answer["model"], &answer["stop_reason"]), (&json!(stack.model_id()), &json!("tool_use")));
    assert_eq!(answer["stop_sequence"], Value::Null);
    // 1280 x 681 is 46 x 25 patches; the text comes on top.
    let usage = &answer["usage"];
    assert!((1150..1250).contains(&usage["input_tokens"].as_u64().unwrap()), "{usage}");
    assert_eq!((&usage["cache_creation_input_tokens"], &usage["cache_read_input_tokens"]), (&json!(0), &json!(0)));
    let [block] = answer["content"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&block["type"], &block["name"]), (&json!("tool_use"), &json!("record")));
    assert!(block["id"].as_str().unwrap().starts_with("toolu_"));
    let input = &block["input"];
    assert!(input.get("text").is_none(), "a detector cannot read");
    assert_eq!(input["sensitivity"]["verdict"], "sensitive");
    let people = &input["labels"][0];
    assert_eq!(people["name"], "person");
    assert!(people["instances"].as_array().unwrap().len() >= 3);
    for instance in people["instances"].as_array().unwrap() {
        let at = |corner: &str| instance["box"][corner].as_f64().unwrap();
        assert!(0.0 <= at("x1") && at("x1") < at("x2") && at("x2") <= 1280.0, "{instance}");
        assert!(0.0 <= at("y1") && at("y1") < at("y2") && at("y2") <= 681.0, "{instance}");
    }
}

#[tokio::test]
async fn without_a_tool_it_says_what_it_is_and_what_it_sees() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let client = test_support::bedrock(&stack);
    let cup = body(json!([image_block("image/png", photo("coffee.png")), { "type": "text", "text": "What is it?" }]));
    let answer = invoke(&client, stack.model_id(), &cup).await.unwrap();
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("object detector") && text.contains("cup"), "{text}");
    assert_eq!(answer["stop_reason"], "end_turn");

    let mut short = cup.clone();
    short["max_tokens"] = json!(5);
    let answer = invoke(&client, stack.model_id(), &short).await.unwrap();
    assert_eq!((&answer["stop_reason"], &answer["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(5)));

    let mut declined = with_tool(cup);
    declined["tool_choice"] = json!({ "type": "none" });
    let answer = invoke(&client, stack.model_id(), &declined).await.unwrap();
    assert_eq!(answer["content"][0]["type"], "text");

    let nothing = invoke(&client, stack.model_id(), &body(json!("Hello"))).await.unwrap();
    assert!(nothing["content"][0]["text"].as_str().unwrap().contains("no picture"));
}

#[tokio::test]
async fn a_tool_answer_too_long_is_cut_and_says_so() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let mut request = with_tool(summit());
    request["max_tokens"] = json!(60);
    let answer = invoke(&test_support::bedrock(&stack), stack.model_id(), &request).await.unwrap();
    assert_eq!(answer["stop_reason"], "max_tokens");
    assert!(answer["usage"]["output_tokens"].as_u64().unwrap() <= 60);
}

#[tokio::test]
async fn wrong_bodies_are_refused_in_the_services_words() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let client = test_support::bedrock(&stack);
    let without = |key: &str| {
        let mut body = summit();
        body.as_object_mut().unwrap().remove(key);
        body
    };
    let with = |key: &str, value: Value| {
        let mut body = summit();
        body[key] = value;
        body
    };
    let mut wide = std::io::Cursor::new(Vec::new());
    RgbImage::new(8001, 1).write_to(&mut wide, ImageFormat::Png).unwrap();
    let jpeg = photo("summit.jpeg");
    let picture = |media_type, bytes: &[u8]| body(json!([image_block(media_type, bytes)]));
    let mismatch =
        "The image was specified using the image/png media type, but the image appears to be a image/jpeg image";
    let cases = [
        (without("anthropic_version"), "anthropic_version: Field required"),
        (without("max_tokens"), "max_tokens: Field required"),
        (without("messages"), "messages: Field required"),
        (with("anthropic_version", json!("2023-06-01")), "Invalid API version"),
        (with("max_tokens", json!(0)), "greater than or equal to 1"),
        (with("messages", json!([])), "at least one message"),
        (with("output_config", json!({})), "output_config: Extra inputs are not permitted"),
        (with("thinking", json!({ "type": "enabled" })), "does not support thinking"),
        (with("tool_choice", json!({ "type": "any" })), "while providing tools"),
        (json!(["no object"]), "Malformed input request"),
        (body(json!([{ "type": "document" }])), "Input tag 'document'"),
        (picture("image/png", jpeg), mismatch),
        (picture("image/bmp", jpeg), "media_type: Input should be"),
        (picture("image/jpeg", b"no picture at all"), "Could not process image"),
        (picture("image/jpeg", &jpeg[..200]), "Could not process image"),
        (picture("image/png", &vec![0; 3_932_161]), "image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes"),
        (picture("image/png", wide.get_ref()), "8000 pixels"),
    ];
    for (body, expected) in cases {
        let (status, code, message) = refusal(&client, stack.model_id(), &body).await;
        assert_eq!((status, code.as_str()), (400, "ValidationException"), "{message}");
        assert!(message.contains(expected), "{message:?} holds no {expected:?}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_told_so() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let text = "x".repeat(MAX_BODY_BYTES);
    let (status, code, message) = refusal(&test_support::bedrock(&stack), stack.model_id(), &body(json!(text))).await;
    assert_eq!((status, code.as_str()), (400, "ValidationException"));
    assert!(message.contains("20000000"), "{message}");
}

#[tokio::test]
async fn another_model_and_another_operation_are_not_found() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let client = test_support::bedrock(&stack);
    for model in [
        "global.anthropic.claude-sonnet-5",
        "arn:aws:bedrock:us-east-1:000000000000:inference-profile/sightline.nanodet-416",
    ] {
        let (status, code, message) = refusal(&client, model, &summit()).await;
        assert_eq!((status, code.as_str()), (404, "ResourceNotFoundException"), "{message}");
    }
    let error = client.converse().model_id(stack.model_id()).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
    assert!(error.message().unwrap().contains("only InvokeModel"), "{error:?}");
}

#[tokio::test]
async fn only_the_stacks_key_for_its_region_and_a_whole_signature_are_accepted() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let (id, secret, region) = (stack.access_key_id(), stack.secret_access_key(), stack.region());
    let cases = [
        (region, "AKIAAAAAAAAAAAAAAAAA", secret, "UnrecognizedClientException"),
        (region, id, "wrong", "InvalidSignatureException"),
        ("eu-west-1", id, secret, "InvalidSignatureException"),
    ];
    for (region, id, secret, expected) in cases {
        let client = test_support::bedrock_with(&stack, region, id, secret);
        let (status, code, message) = refusal(&client, stack.model_id(), &summit()).await;
        assert_eq!((status, code.as_str()), (403, expected), "{message}");
    }
}

mod signature {
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4::SigningParams,
    };
    use http::{Request, request::Parts};

    use super::{super::signature::Verifier, *};
    use crate::embedded::access_key::AccessKey;

    const PATH: &str = "/model/arn%3Aaws%3Ax%2Fsightline.nanodet-416/invoke";

    fn signed(key: &AccessKey, time: SystemTime, body: &[u8]) -> Parts {
        let identity = aws_credential_types::Credentials::new(&key.id, &key.secret, None, None, "test").into();
        let params = SigningParams::builder().identity(&identity).region("us-east-1").name("bedrock").time(time);
        let params = params.settings(SigningSettings::default()).build().unwrap().into();
        let headers = [("host", "127.0.0.1:1"), ("content-type", "application/json")];
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new("POST", PATH, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut request = Request::post(PATH).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts().0
    }

    #[test]
    fn any_change_to_what_was_signed_is_noticed() {
        let key = AccessKey::random();
        let (now, verifier) = (SystemTime::now(), Verifier { key: key.clone(), region: "us-east-1" });
        let parts = || signed(&key, now, b"{}");
        let code = |parts: &Parts, body: &[u8], now| verifier.verify(parts, body, now).map_err(|error| error.code);
        assert_eq!(code(&parts(), b"{}", now), Ok(()));
        assert_eq!(code(&parts(), b"{ }", now), Err("InvalidSignatureException"));
        let hour = Duration::from_secs(3600);
        assert_eq!(code(&parts(), b"{}", now + hour), Err("InvalidSignatureException"));
        assert_eq!(code(&parts(), b"{}", now - hour), Err("InvalidSignatureException"));

        let mut other_path = parts();
        other_path.uri = "/model/other/invoke".parse().unwrap();
        assert_eq!(code(&other_path, b"{}", now), Err("InvalidSignatureException"));
        let mut other_header = parts();
        other_header.headers.insert("content-type", "text/plain".parse().unwrap());
        assert_eq!(code(&other_header, b"{}", now), Err("InvalidSignatureException"));
        let mut unsigned = parts();
        unsigned.headers.remove("authorization");
        assert_eq!(code(&unsigned, b"{}", now), Err("MissingAuthenticationTokenException"));
        let mut undated = parts();
        undated.headers.remove("x-amz-date");
        assert_eq!(code(&undated, b"{}", now), Err("IncompleteSignatureException"));
    }

    #[test]
    fn an_authorization_that_is_none_is_incomplete() {
        let key = AccessKey::random();
        let verifier = Verifier { key: key.clone(), region: "us-east-1" };
        for header in ["", "Bearer abc", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b, Signature=c"] {
            let mut parts = signed(&key, SystemTime::now(), b"");
            parts.headers.insert("authorization", header.parse().unwrap());
            let error = verifier.verify(&parts, b"", SystemTime::now()).unwrap_err();
            assert_eq!(error.code, "IncompleteSignatureException", "{header}");
        }
    }
}
