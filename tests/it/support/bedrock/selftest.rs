//! The support is tested too, with the official SDK as its client: what it gets wrong, every other test gets wrong.

use std::sync::Arc;

use aws_sdk_bedrockruntime::{
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata as _, SdkError},
    operation::{RequestId as _, invoke_model::InvokeModelError},
    primitives::Blob,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    Api, Asks, Bedrock, Gate, Part, Reply,
    selftest_rules::{SONNET_4_6, SONNET_5, message, sent},
};
use crate::support::images::{Format, Scene, find_rectangle};

fn bedrock_client(bedrock: &Bedrock) -> aws_sdk_bedrockruntime::Client {
    let config = aws_sdk_bedrockruntime::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::for_tests())
        .endpoint_url(bedrock.endpoint())
        .region(Region::from_static("us-east-1"))
        .retry_config(RetryConfig::disabled());
    aws_sdk_bedrockruntime::Client::from_conf(config.build())
}

async fn invoke(bedrock: &Bedrock, model: &str, body: Value) -> Result<Value, SdkError<InvokeModelError>> {
    let call = bedrock_client(bedrock).invoke_model().model_id(model).body(Blob::new(body.to_string()));
    let output = call.content_type("application/json").send().await?;
    Ok(serde_json::from_slice(output.body.as_ref()).expect("JSON"))
}

#[tokio::test]
async fn bedrock_answers_the_queue_then_the_handler_and_keeps_what_it_was_sent() {
    let bedrock = Bedrock::answering(|request| {
        Reply::tool(find_rectangle(&request.image().bytes).expect("the rectangle").as_box())
    })
    .await;
    bedrock.push(Reply::text("first"));
    let scene = Scene::new(320, 200);
    let mut body = message(&scene.encode(Format::Jpeg), "image/jpeg");
    body["tools"] = json!([{"name": "report", "input_schema": {"type": "object"}}]);
    body["tool_choice"] = json!({"type": "tool", "name": "report"});
    let model = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-sonnet-4-6";

    let first = invoke(&bedrock, model, body.clone()).await.expect("the queue's answer");
    let second = invoke(&bedrock, model, body).await.expect("the handler's answer");

    assert_eq!(first["content"][0]["text"], "first");
    assert_eq!(second["model"], "claude-sonnet-4-6");
    assert_eq!(second["content"][0]["name"], "report");
    assert_eq!(second["content"][0]["input"], json!({"x1": 40, "y1": 62, "x2": 140, "y2": 100}));
    let request = &bedrock.requests()[1];
    assert_eq!(request.model_id, model);
    assert_eq!(request.user_text(), "Where is it?");
    assert_eq!(request.forced_schema(), Some(json!({"type": "object"})));
    assert_eq!(request.image().bytes, scene.encode(Format::Jpeg));
    assert!(bedrock.refusals().is_empty());
}

#[tokio::test]
async fn bedrock_errors_reach_the_sdk_by_name() {
    let bedrock = Bedrock::start().await;
    let reply = Reply::error(429, "ThrottlingException", "Too many requests, please wait before trying again.");
    let request_id = reply.request_id().to_owned();
    bedrock.push(reply);
    let body = message(&Scene::new(64, 64).encode(Format::Png), "image/png");

    let error = invoke(&bedrock, SONNET_4_6, body).await.expect_err("throttled").into_service_error();

    assert!(error.is_throttling_exception(), "{error:?}");
    assert_eq!(error.message(), Some("Too many requests, please wait before trying again."));
    assert_eq!(error.request_id(), Some(request_id.as_str()));
}

#[tokio::test]
async fn bedrock_conversation_is_seen_and_answered_as_the_sdk_has_it() {
    use aws_sdk_bedrockruntime::types as sdk;
    let bedrock = Bedrock::answering(|_| Reply::tool(json!({"x": [1, "a", null]}))).await;
    let image = sdk::ImageBlock::builder()
        .format(sdk::ImageFormat::Png)
        .source(sdk::ImageSource::Bytes(Blob::new(Scene::new(280, 56).encode(Format::Png))))
        .build();
    let turn = sdk::Message::builder()
        .role(sdk::ConversationRole::User)
        .content(sdk::ContentBlock::Image(image.expect("an image")))
        .content(sdk::ContentBlock::Text("Where is it?".to_owned()))
        .build();
    let schema = aws_smithy_types::Document::Object(
        [("type".to_owned(), aws_smithy_types::Document::String("object".to_owned()))].into(),
    );
    let tool =
        sdk::ToolSpecification::builder().name("report").input_schema(sdk::ToolInputSchema::Json(schema)).build();
    let choice = sdk::SpecificToolChoice::builder().name("report").build().expect("a choice");
    let tools = sdk::ToolConfiguration::builder()
        .tools(sdk::Tool::ToolSpec(tool.expect("a tool")))
        .tool_choice(sdk::ToolChoice::Tool(choice))
        .build();
    let call = bedrock_client(&bedrock)
        .converse()
        .model_id("us.amazon.nova-pro-v1:0")
        .messages(turn.expect("a turn"))
        .system(sdk::SystemContentBlock::Text("Be brief.".to_owned()))
        .inference_config(sdk::InferenceConfiguration::builder().max_tokens(7).temperature(0.5).build())
        .tool_config(tools.expect("tools"))
        .request_metadata("team", "search");
    let output = call.clone().send().await.expect("an answer");

    let usage = output.usage().expect("usage");
    // 10 by 2 patches, then 45 bytes of words and schema.
    assert_eq!(usage.input_tokens(), 20 + 10);
    let message = output.output().and_then(|output| output.as_message().ok()).expect("a message");
    let used = message.content()[0].as_tool_use().expect("a tool call");
    assert_eq!(used.name(), "report");
    assert_eq!(*output.stop_reason(), sdk::StopReason::ToolUse);
    let request = bedrock.only_request();
    assert_eq!((request.api, request.asks(), request.max_tokens()), (Api::Converse, Asks::ForcedTool, 7));
    assert_eq!((request.system_text().as_str(), request.user_text().as_str()), ("Be brief.", "Where is it?"));
    assert_eq!((request.temperature(), request.turns[0].images), (Some(0.5), 1));
    assert_eq!((request.forced_schema(), request.tags().len()), (Some(json!({"type": "object"})), 1));
    assert!(bedrock.refusals().is_empty());

    bedrock.push(Reply::refusal());
    let refused = call.clone().send().await.expect("an answer");
    assert_eq!(refused.stop_reason().as_str(), "refusal");
    bedrock.push(Reply::throttled());
    let error = call.send().await.expect_err("throttled").into_service_error();
    assert!(error.is_throttling_exception(), "{error:?}");
}

#[tokio::test]
async fn bedrock_answers_in_the_way_it_was_asked() {
    let bedrock = Bedrock::answering(|_| Reply::tool(json!({"a": 1}))).await;
    let tools = || ("tools", json!([{"name": "report", "input_schema": {"type": "object"}}]));
    let format =
        json!({"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}}});
    for (changes, kind) in [
        (vec![], "text"),
        (vec![("output_config", format)], "text"),
        (vec![tools()], "tool_use"),
        (vec![tools(), ("tool_choice", json!({"type": "any"}))], "tool_use"),
    ] {
        let answer = invoke(&bedrock, SONNET_4_6, sent(SONNET_4_6, &changes).body).await.expect("an answer");
        let block = &answer["content"][0];
        assert_eq!(block["type"], kind, "{answer}");
        let stop_reason = if kind == "text" { "end_turn" } else { "tool_use" };
        assert_eq!((&answer["stop_reason"], answer["usage"]["output_tokens"].is_u64()), (&json!(stop_reason), true));
        let written = if kind == "text" { block["text"] == r#"{"a":1}"# } else { block["input"] == json!({"a": 1}) };
        assert!(written, "{answer}");
    }
}

#[tokio::test]
async fn bedrock_refuses_what_it_is_told_to_and_what_has_ended() {
    let bedrock = Bedrock::answering(|_| Reply::text("accepted")).await;
    let message = Part::Temperature.messages()[0];
    bedrock.refuse("claude-sonnet-4-6", Part::Temperature, message);
    let warm = sent(SONNET_4_6, &[("temperature", 0.into())]).body;
    let error = invoke(&bedrock, SONNET_4_6, warm.clone()).await.expect_err("refused").into_service_error();
    assert_eq!((error.is_validation_exception(), error.message()), (true, Some(message)));
    invoke(&bedrock, SONNET_4_6, sent(SONNET_4_6, &[]).body).await.expect("without it");
    invoke(&bedrock, "us.anthropic.claude-haiku-4-5", warm.clone()).await.expect("another model");

    let old = "anthropic.claude-3-sonnet-20240229-v1:0";
    let error = invoke(&bedrock, old, warm.clone()).await.expect_err("ended").into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    bedrock.revive(old);
    invoke(&bedrock, old, warm).await.expect("in its days");
    assert!(bedrock.refusals().is_empty(), "what a test asked for is no mistake of the service's");
    assert_eq!(bedrock.requests_to("claude-3-sonnet").len(), 2);

    invoke(&bedrock, SONNET_5, sent(SONNET_5, &[("temperature", 0.into())]).body).await.expect_err("deprecated");
    assert_eq!(bedrock.refusals().len(), 1);
}

#[tokio::test]
async fn bedrock_without_a_signature_is_refused() {
    let bedrock = Bedrock::answering(|_| Reply::text("accepted")).await;
    let config = aws_sdk_bedrockruntime::Config::builder()
        .allow_no_auth()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(bedrock.endpoint())
        .region(Region::from_static("us-east-1"));
    let client = aws_sdk_bedrockruntime::Client::from_conf(config.build());

    let unsigned = client.invoke_model().model_id(SONNET_5).body(Blob::new("{}")).send().await;

    assert_eq!(unsigned.expect_err("unsigned").into_service_error().code(), Some("InvalidSignatureException"));
    assert!(bedrock.requests().is_empty());
}

#[tokio::test]
async fn bedrock_can_hang_cut_and_wait() {
    let bedrock = Bedrock::start().await;
    let body = message(&Scene::new(64, 64).encode(Format::WebP), "image/webp");

    bedrock.push(Reply::hang());
    tokio::select! {
        answer = invoke(&bedrock, SONNET_5, body.clone()) => panic!("answered: {answer:?}"),
        () = bedrock.received(1) => assert_eq!(bedrock.abandoned_so_far(), 0),
    }
    bedrock.abandoned(1).await;

    bedrock.push(Reply::cut());
    let error = invoke(&bedrock, SONNET_5, body.clone()).await.expect_err("half a body");
    assert!(!matches!(error, SdkError::ServiceError(_)), "{error:?}");

    let gate = Arc::new(Notify::new());
    bedrock.push(Reply::text("late").delayed(&gate));
    let mut call = Box::pin(invoke(&bedrock, SONNET_5, body));
    tokio::select! {
        answer = &mut call => panic!("answered too early: {answer:?}"),
        () = bedrock.received(3) => gate.notify_one(),
    }
    assert_eq!(call.await.expect("the answer")["content"][0]["text"], "late");
}

#[tokio::test]
async fn bedrock_counts_those_at_once_and_a_gate_lets_them_through() {
    let gate = Gate::default();
    let held = gate.clone();
    let bedrock = Bedrock::answering(move |_| Reply::text("late").behind(&held)).await;
    let body = message(&Scene::new(64, 64).encode(Format::Png), "image/png");
    let calls = async {
        let call = || invoke(&bedrock, SONNET_5, body.clone());
        let outcomes = tokio::join!(call(), call(), call());
        [outcomes.0, outcomes.1, outcomes.2].map(|outcome| outcome.expect("the answer"))
    };
    let script = async {
        bedrock.in_progress().is(3).await;
        gate.let_through(1);
        bedrock.in_progress().is(2).await;
        gate.open();
    };
    tokio::join!(calls, script);
    invoke(&bedrock, SONNET_5, body).await.expect("an open gate");
    assert_eq!((bedrock.in_progress().now(), bedrock.in_progress().peak()), (0, 3));
    assert_eq!(bedrock.abandoned_so_far(), 0);
}
