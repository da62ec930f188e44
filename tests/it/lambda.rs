//! The Lambda function: the original's event word for word, its typed form, and everything that can be wrong, in the real
//! process before a runtime API on loopback.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    command::{clean_command, without_aws},
    support::{
        bedrock::{Bedrock, InvokeRequest, Reply},
        images::{Format, Scene},
        lambda::{Function, Invoke, LambdaError},
        models::{answer, scene},
        s3::{Failure, S3},
        service::photo,
    },
};

/// The guide's three events, as it prints them.
const GUIDE: [&str; 3] = [
    r#"{
    "prompt": "당신은 이미지 분석가입니다. 제공된 사진을 설명해주세요.",
    "Bucket": "YOUR_BUCKET_NAME",
    "Key": "YOUR_S3_OBJECT_KEY"
}"#,
    r#"{
    "prompt": "당신은 이미지 분석가입니다. 제공된 사진에는 민감한 정보를 포함하고 있는지 YES 또는 NO로 <result> 태그안에, 이유는 <reason> 태그안에 알려주세요. 설명과 이유는 필요하지 않습니다. ### 예시 ### <result>YES</result> <reason>민감한 내용이 감지되지 않았습니다.</reason>",
    "Bucket": "YOUR_BUCKET_NAME",
    "Key": "YOUR_S3_OBJECT_KEY"
}"#,
    r#"{
    "prompt": "당신은 이미지 분석가입니다. 제공된 사진의 객체들에 대한 레이블 정보와 객체에 대한 위치(TopLeft, TopRight, BottomRight, BottomLeft)를 픽셀 단위로 예시 형식에 맞게 배열안에 제공해주세요. 부가적인 정보 없이 배열만 제공하세요. \n ### 예시 형식 ### \n [{label: 건물, position: {TopLeft: {x: 0, y: 100}, TopRight: {x: 100, y: 100}, BottomRight: {x: 100, y: 0}, BottomLeft: {x: 0, y: 0}}}]",
    "Bucket": "YOUR_BUCKET_NAME", 
    "Key": "YOUR_S3_OBJECT_KEY"
}"#,
];

/// What the guide says that the model answered.
const ANSWERS: [&str; 3] = [
    "이 이미지는 AWS Summit Seoul 행사 현장을 보여주고 있습니다. 대형 강연장에 수많은 참가자들이 자리를 가득 메우고 있습니다. 대부분의 참가자들은 마스크를 착용하고 있는 모습입니다. 무대에는 발표자가 서 있고, 대형 스크린에는 AWS 관련 정보가 투영되어 있습니다. 천장에는 구름 모양의 조명이 설치되어 있어 분위기를 돋보이게 합니다. 이 행사는 AWS의 최신 서비스와 기술을 소개하고 참가자들과 정보를 공유하는 자리로 보입니다.",
    "<result>YES</result>\n<reason>이미지에는 많은 사람들이 모여 있어 개인 식별이 가능할 수 있습니다.</reason>",
    "[{label: 'stage', position: {TopLeft: {x: 1200, y: 400}, TopRight: {x: 1900, y: 400}, BottomRight: {x: 1900, y: 800}, BottomLeft: {x: 1200, y: 800}}}, {label: 'audience', position: {TopLeft: {x: 200, y: 600}, TopRight: {x: 1900, y: 600}, BottomRight: {x: 1900, y: 900}, BottomLeft: {x: 200, y: 900}}}, {label: 'screen', position: {TopLeft: {x: 1300, y: 200}, TopRight: {x: 1800, y: 200}, BottomRight: {x: 1800, y: 500}, BottomLeft: {x: 1300, y: 500}}}]",
];

const BUCKET: &str = "photos";
const KEY: &str = "2026/summit.jpeg";

/// What the function stands on, with a picture in S3.
async fn stack() -> (S3, Bedrock) {
    let (s3, bedrock) = (S3::start().await, Bedrock::start().await);
    s3.put(BUCKET, "scene.png", scene().encode(Format::Png));
    (s3, bedrock)
}

async fn function(environment: &[(&str, &str)]) -> (S3, Bedrock, Function) {
    let (s3, bedrock) = stack().await;
    let function = Function::start(&s3, &bedrock, environment).await;
    (s3, bedrock, function)
}

fn ask(prompt: &str) -> Value {
    json!({"prompt": prompt, "Bucket": BUCKET, "Key": "scene.png"})
}

fn with(mut event: Value, more: Value) -> Value {
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// What the model was sent, without the picture's bytes.
fn sent(request: &InvokeRequest) -> String {
    let mut body = request.body.clone();
    body["messages"][0]["content"][0]["source"]["data"] = json!(format!("({} bytes)", request.image().bytes.len()));
    serde_json::to_string_pretty(&json!({"model": request.model_id, "body": body})).unwrap()
}

async fn guide(environment: &[(&str, &str)], revived: Option<&str>) -> Vec<InvokeRequest> {
    let (s3, bedrock) = stack().await;
    if let Some(model) = revived {
        bedrock.revive(model);
    }
    s3.put(BUCKET, KEY, photo("summit.jpeg"));
    let function = Function::start(&s3, &bedrock, environment).await;
    for (event, published) in GUIDE.iter().zip(ANSWERS) {
        bedrock.push(Reply::text(published));
        let event = event.replace("YOUR_BUCKET_NAME", BUCKET).replace("YOUR_S3_OBJECT_KEY", KEY);
        let answered = function.run_raw(Invoke::text(event)).await.expect("an answer");
        assert_eq!(
            serde_json::from_slice::<Value>(&answered).unwrap(),
            json!(published),
            "a JSON string, word for word"
        );
    }
    assert_eq!(function.misdeeds(), Vec::<String>::new());
    bedrock.requests()
}

#[tokio::test]
async fn the_guides_three_events_give_what_it_promises() {
    let requests = guide(&[], None).await;
    assert_eq!(requests.len(), 3, "each asks the model once");
    for (request, event) in requests.iter().zip(GUIDE) {
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(request.user_text(), event["prompt"].as_str().unwrap(), "the prompt word for word");
        assert_eq!(request.image().media_type, "image/jpeg", "what it is, and not the guide's image/png");
        assert!(request.image().bytes.starts_with(b"\xff\xd8\xff"), "and that is what it is");
    }
    insta::assert_snapshot!("the_guides_first_event", sent(&requests[0]));
}

#[tokio::test]
async fn the_originals_own_model_gets_all_of_its_parameters() {
    let requests = guide(&[("SIGHTLINE_MODEL", "claude-3-sonnet")], Some("claude-3-sonnet")).await;
    insta::assert_snapshot!("the_guides_first_event_to_its_model", sent(&requests[0]));
}

#[tokio::test]
async fn each_model_gets_those_of_the_parameters_that_it_takes() {
    let (_s3, bedrock, function) = function(&[]).await;
    bedrock.answer_with(|_| Reply::text("A rectangle."));
    let mut table = String::new();
    for model in
        ["claude-sonnet-5", "claude-opus-5-5", "claude-sonnet-4-6", "claude-haiku-4-5", "nova-pro", "pixtral-large"]
    {
        let event = with(ask("What is it?"), json!({"options": {"model": model}}));
        assert_eq!(function.invoke(event).await, Ok(json!("A rectangle.")), "{model}");
        let request = bedrock.requests().pop().unwrap();
        let held = |name: &str| request.parameter(name).map_or("-".to_owned(), Value::to_string);
        let [temperature, top_p, top_k] = ["temperature", "top_p", "top_k"].map(held);
        table += &format!(
            "{model}: max_tokens {}, temperature {temperature}, top_p {top_p}, top_k {top_k}\n",
            request.max_tokens()
        );
    }
    assert_eq!(bedrock.refusals(), Vec::<String>::new(), "nothing that the service refuses");
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn the_answer_is_byte_for_byte_what_the_model_wrote() {
    let (_s3, bedrock, function) = function(&[]).await;
    for written in [
        "\n  ```json\n{\"a\": 1}\n```  \n",
        " \"quoted\" ",
        "\u{0} \u{7f} \u{202e} 한글 🖼️\u{feff}",
        "<b>&amp;</b>\r\n",
    ] {
        bedrock.push(Reply::text(written));
        assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!(written)));
    }
    let blocks = json!([
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "One, "}, {"type": "text", "text": "two. "},
    ]);
    bedrock.push(Reply::messages(blocks, "end_turn", Value::Null));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("One, two. ")), "all texts, and no thinking");
    bedrock.push(Reply::broken_off("Half a sen"));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("Half a sen")), "the original told nobody either");
}

#[tokio::test]
async fn a_full_response_is_the_models_whole_body_each_time_anew() {
    let (_s3, bedrock, function) = function(&[]).await;
    let event = with(ask("What is it?"), json!({"full_response": true}));
    let content = json!([{"type": "text", "text": " A rectangle. "}]);
    for count in 1..=2 {
        bedrock.push(Reply::messages(content.clone(), "end_turn", Value::Null));
        let body = function.invoke(event.clone()).await.expect("a body");
        assert_eq!((&body["type"], &body["content"]), (&json!("message"), &content));
        assert_eq!((&body["stop_reason"], &body["model"]), (&json!("end_turn"), &json!("claude-sonnet-5")));
        assert!(body["id"].as_str().unwrap().starts_with("msg_bdrk_") && body["usage"]["input_tokens"].is_u64());
        assert_eq!(bedrock.requests().len(), count, "a kept result has no body");
    }
    // Without it, the next event has the text alone again.
    bedrock.push(Reply::text("It is blue."));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("It is blue.")));
}

#[tokio::test]
async fn a_full_response_through_converse_is_converses() {
    let (_s3, bedrock, function) = function(&[("SIGHTLINE_MODEL", "nova-pro")]).await;
    bedrock.push(Reply::text("A rectangle."));
    let body = function.invoke(with(ask("What is it?"), json!({"full_response": true}))).await.expect("a body");
    let message = json!({"role": "assistant", "content": [{"text": "A rectangle."}]});
    assert_eq!((&body["output"]["message"], &body["stopReason"]), (&message, &json!("end_turn")));
    assert_eq!(body["metrics"], json!({"latencyMs": 1234}));
    assert!(body["usage"]["inputTokens"].is_u64());
}

#[tokio::test]
async fn features_make_a_typed_analysis() {
    let (_s3, bedrock, function) = function(&[]).await;
    bedrock.answer_with(answer);
    let features = json!({"description": {}, "sensitivity": {}, "labels": {"maxResults": 5}, "text": {}});
    let event = with(ask("Which colour is it?"), json!({"features": features, "options": {"includeRawOutput": true}}));
    let id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef";
    let mut analysis =
        function.run(Invoke { request_id: id.to_owned(), ..Invoke::new(&event) }).await.expect("an analysis");
    assert_eq!(analysis["requestId"], id, "Lambda's own id");
    assert!(analysis["rawOutput"].as_str().unwrap().contains("payment-card"));
    assert!(analysis["image"]["etag"].is_string());
    for changing in ["requestId", "rawOutput", "timing", "usage"] {
        analysis.as_object_mut().unwrap().remove(changing).expect(changing);
    }
    for (object, changing) in [("image", "etag"), ("image", "sizeBytes"), ("model", "upstreamRequestId")] {
        analysis[object].as_object_mut().unwrap().remove(changing).expect(changing);
    }
    insta::assert_snapshot!("a_typed_analysis", serde_json::to_string_pretty(&analysis).unwrap());
}

#[tokio::test]
async fn an_event_that_is_not_understood_asks_no_model() {
    let (s3, bedrock, function) = function(&[]).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let huge = with(ask("What is it?"), json!({"Key": "k".repeat(5 << 20)})).to_string();
    let long = ask(&"word ".repeat(100_000)).to_string();
    for (event, reason, said) in [
        // Lambda itself refuses what is no JSON.
        ("{", "InvalidRequestContentException", "JSON"),
        (&deep, "EVENT_INVALID", "recursion limit"),
        ("[1, 2]", "EVENT_UNKNOWN", "no JSON object"),
        ("null", "EVENT_UNKNOWN", "no JSON object"),
        ("{}", "EVENT_UNKNOWN", "Understood are"),
        (r#"{"key1": "value1"}"#, "EVENT_UNKNOWN", r#"{"prompt", "Bucket", "Key"}"#),
        (r#"{"prompt": "?", "Bucket": "photos"}"#, "EVENT_INVALID", "lacks the field Key"),
        (r#"{"Bucket": "photos", "Key": "scene.png"}"#, "EVENT_INVALID", "lacks the field prompt"),
        (
            r#"{"prompt": "?", "Bucket": "photos", "Key": "scene.png", "full_respnse": true}"#,
            "EVENT_INVALID",
            "full_respnse",
        ),
        (
            r#"{"prompt": " ", "Bucket": "photos", "Key": "scene.png"}"#,
            "FIELD_INVALID",
            "features.prompt.text is empty",
        ),
        (r#"{"prompt": "?", "Bucket": "", "Key": "scene.png"}"#, "FIELD_INVALID", "bucket is empty"),
        (
            r#"{"prompt": "?", "Bucket": "photos", "Key": "scene.png", "options": {"model": "gpt"}}"#,
            "MODEL_UNKNOWN",
            "gpt",
        ),
        (r#"{"Bucket": "photos", "Key": "scene.png", "features": {}}"#, "FIELD_INVALID", "asks for nothing"),
        (&huge, "FIELD_INVALID", "S3 keys have at most 1024"),
        (&long, "FIELD_INVALID", "features.prompt.text"),
    ] {
        let shown: String = event.chars().take(80).collect();
        let LambdaError { reason: found, message } = function.run(Invoke::text(event)).await.expect_err(&shown);
        assert_eq!(found, reason, "{shown}: {message}");
        assert!(message.contains(said) && message.len() < 1000, "{shown}: {message}");
    }
    assert_eq!((s3.requests().len(), bedrock.requests().len()), (0, 0));
    // And goes on.
    bedrock.push(Reply::text("A rectangle."));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("A rectangle.")));
    assert_eq!(function.misdeeds(), Vec::<String>::new());
}

#[tokio::test]
async fn an_error_has_its_reason_as_type() {
    let (s3, bedrock, function) =
        function(&[("SIGHTLINE_MAX_MODEL_ATTEMPTS", "1"), ("SIGHTLINE_MODEL", "claude-haiku-5-5")]).await;
    s3.put(BUCKET, "text.txt", "no picture");
    s3.fault(BUCKET, "secret.png", Failure::ACCESS_DENIED);
    let about = |key: &str| with(ask("What is it?"), json!({"Key": key}));
    let reason = async |event| {
        let outcome = function.invoke(event).await;
        let LambdaError { reason, message } = outcome.unwrap_err();
        (reason, message)
    };
    let missing = reason(about("2026/none.png")).await;
    assert_eq!(missing.0, "OBJECT_NOT_FOUND");
    assert_eq!(missing.1, "There is no object s3://photos/2026/none.png. Keys are taken literally, not URL-decoded.");
    let elsewhere = with(ask("?"), json!({"Bucket": "no-such-bucket"}));
    assert_eq!(reason(elsewhere).await.0, "BUCKET_NOT_FOUND");
    assert_eq!(reason(about("secret.png")).await.0, "OBJECT_ACCESS_DENIED");
    assert_eq!(reason(about("text.txt")).await.0, "IMAGE_UNSUPPORTED");
    assert_eq!(bedrock.requests().len(), 0);
    for (reply, expected) in [
        (Reply::throttled(), "MODEL_THROTTLED"),
        (Reply::unavailable(), "MODEL_UNAVAILABLE"),
        (Reply::denied(), "MODEL_NOT_ENABLED"),
        (Reply::refusal(), "MODEL_REFUSED"),
        (Reply::ended(), "MODEL_END_OF_LIFE"),
    ] {
        bedrock.push(reply);
        assert_eq!(reason(ask("What is it?")).await.0, expected);
    }
    bedrock.answer_with(|_| Reply::text(" "));
    assert_eq!(reason(ask("What is it?")).await.0, "MODEL_OUTPUT_INVALID");
}

#[tokio::test]
async fn what_no_longer_fits_is_refused_before_the_model_is_paid() {
    let (_s3, bedrock, function) = function(&[("SIGHTLINE_MIN_MODEL_TIME", "20s")]).await;
    let event = Invoke::new(&ask("What is it?"));
    let failure = function.run(event.clone().within(Duration::from_secs(20))).await.unwrap_err();
    assert_eq!((failure.reason.as_str(), bedrock.requests().len()), ("DEADLINE_TOO_SHORT", 0), "{}", failure.message);
    bedrock.push(Reply::text("A rectangle."));
    assert_eq!(function.run(event.within(Duration::from_secs(60))).await, Ok(json!("A rectangle.")));
}

#[tokio::test]
async fn a_silent_model_ends_with_a_reason_before_lambda_ends_the_invocation() {
    let (_s3, bedrock, function) = function(&[]).await;
    bedrock.push(Reply::hang());
    function.ready().await;
    let event = Invoke::new(&ask("What is it?")).within(Duration::from_secs(5));
    let failure = function.run(event).await.unwrap_err();
    assert_eq!(failure.reason, "DEADLINE_EXCEEDED", "{}", failure.message);
    bedrock.abandoned(1).await;
    bedrock.push(Reply::text("A rectangle."));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("A rectangle.")), "the environment lives on");
}

#[tokio::test]
async fn an_answer_that_lambda_does_not_take_is_an_error_that_says_so() {
    let (_s3, bedrock, function) = function(&[]).await;
    bedrock.push(Reply::text(&"a".repeat((6 << 20) + 1)));
    let failure = function.invoke(ask("What is it?")).await.unwrap_err();
    assert_eq!(failure.reason, "RESPONSE_TOO_LARGE");
    assert!(failure.message.contains("6291456 at most"), "{}", failure.message);
    let fits = "a".repeat((6 << 20) - 2);
    bedrock.push(Reply::text(&fits));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!(fits)));
    assert_eq!(function.misdeeds(), Vec::<String>::new());
}

/// Several environments at once, each with its own events, some of them repeated; answers go to whoever asked.
#[tokio::test]
async fn invocations_at_once_and_again_get_each_its_own_answer() {
    let (s3, bedrock) = stack().await;
    bedrock.answer_with(|request| Reply::text(&format!("About {}", request.user_text())));
    let functions = [Function::start(&s3, &bedrock, &[]).await, Function::start(&s3, &bedrock, &[]).await];
    let asked: Vec<(usize, Invoke)> = (0..24).map(|n| (n, Invoke::new(&ask(&format!("question {}", n / 2))))).collect();
    // Each event twice under two ids, and all of them once more under the same.
    let all = asked.iter().chain(asked.iter().rev()).map(|(n, invoke)| {
        let function = &functions[n % 2];
        async move { (*n, function.run(invoke.clone()).await) }
    });
    for (n, outcome) in futures_util::future::join_all(all).await {
        assert_eq!(outcome, Ok(json!(format!("About question {}", n / 2))));
    }
    for function in &functions {
        assert_eq!(function.misdeeds(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_process_that_is_killed_is_the_error_of_its_invocation() {
    let (_s3, bedrock, function) = function(&[]).await;
    bedrock.push(Reply::hang());
    let invoked = function.invoke(ask("What is it?"));
    let killed = async {
        bedrock.received(1).await;
        function.kill().await;
    };
    let (outcome, ()) = tokio::join!(invoked, killed);
    assert_eq!(outcome.unwrap_err().reason, "Runtime.ExitError");
}

#[tokio::test]
async fn a_wrong_setting_is_told_to_lambda_and_to_the_log() {
    for (name, value, said) in [
        ("SIGHTLINE_MAX_PIXELS", "none", "'none' for '--max-pixels"),
        ("SIGHTLINE_FEATURES", r#"{"colours":{}}"#, "colours"),
        ("SIGHTLINE_FEATURES", "labels", "no JSON object"),
        ("SIGHTLINE_OPTIONS", r#"{"model":7}"#, "options"),
        ("SIGHTLINE_RESULTS", "results", "s3://BUCKET/PREFIX"),
        ("SIGHTLINE_POLICY", "/nonexistent/policy.toml", "/nonexistent/policy.toml"),
        ("SIGHTLINE_LOG", "sightline=loud", "--log"),
        ("SIGHTLINE_EMBEDDED", "true", "SIGHTLINE_EMBEDDED"),
    ] {
        let (_s3, _bedrock, function) = function(&[(name, value)]).await;
        let (code, failure, log) = function.failed_start().await;
        let LambdaError { reason, message } = failure.expect("a report");
        assert_eq!((code, reason.as_str()), (1, "CONFIGURATION_INVALID"), "{name}: {message}");
        assert!(message.contains(said) && !message.contains('\n'), "{name}: {message}");
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let told = lines.iter().any(|line| line["level"] == "ERROR" && line["error"] == message.as_str());
        assert!(told, "{name}: {log}");
    }
}

#[tokio::test]
async fn the_settings_of_a_listener_have_no_part_in_it() {
    let server =
        [("SIGHTLINE_LISTEN", "0.0.0.0:50051"), ("SIGHTLINE_TLS_CERT", "/nonexistent"), ("SIGHTLINE_TLS_KEY", "/no")];
    let (_s3, bedrock, function) = function(&server).await;
    bedrock.push(Reply::text("A rectangle."));
    assert_eq!(function.invoke(ask("What is it?")).await, Ok(json!("A rectangle.")));
}

#[tokio::test]
async fn by_hand_it_says_what_it_is_for() {
    let output = clean_command(env!("CARGO_BIN_EXE_bootstrap")).envs(without_aws()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("AWS Lambda") && said.contains("sightline serve"), "{said}");
}

#[tokio::test]
async fn a_policy_holds_for_the_caller_lambda() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, "[[rule]]\ncallers = [\"lambda\"]\nobjects = [\"s3://photos/public/\"]\n").unwrap();
    let (s3, bedrock, function) = function(&[("SIGHTLINE_POLICY", path.to_str().unwrap())]).await;
    s3.put(BUCKET, "public/a.png", Scene::new(64, 64).encode(Format::Png));
    assert_eq!(function.invoke(ask("What is it?")).await.unwrap_err().reason, "CALLER_NOT_ALLOWED");
    bedrock.push(Reply::text("A rectangle."));
    let event = with(ask("What is it?"), json!({"Key": "public/a.png"}));
    assert_eq!(function.invoke(event).await, Ok(json!("A rectangle.")));
}

#[tokio::test]
async fn the_log_is_json_and_holds_no_prompt_and_no_answer() {
    let (_s3, bedrock, function) = function(&[("SIGHTLINE_LOG", "info,lambda_runtime=trace,sightline=debug")]).await;
    bedrock.push(Reply::text("The answer is a secret."));
    function.invoke(ask("The prompt is a secret.")).await.expect("an answer");
    function.invoke(with(ask("The prompt is a secret."), json!({"Key": "none"}))).await.expect_err("no object");
    function.invoke(with(ask("The prompt is a secret."), json!({"Buket": "?"}))).await.expect_err("no field");
    let log = function.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    for said in ["the function is ready", "analyzed", "failed"] {
        assert!(messages.contains(&said), "{said}: {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}
