//! `sightline check`, the real binary, and the same checks at the start of a server.

use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    command::{Environment, aws_at, command, without_aws},
    support::{
        bedrock::{Bedrock, Gate, Reply},
        loopback::Port,
        models::SONNET_5,
        s3::{Failure, S3},
        service::{Service, channel, photo},
    },
};

/// The exit code, and the lines as state, subject and words.
struct Outcome {
    code: i32,
    lines: Vec<(String, String, String)>,
    text: String,
}

impl Outcome {
    /// The words about a subject; fails the test when its state is another one.
    fn of(&self, state: &str, subject: &str) -> &str {
        let line = self.lines.iter().find(|(_, of, _)| of == subject);
        let (found, _, words) = line.unwrap_or_else(|| panic!("no line about {subject}:\n{}", self.text));
        assert_eq!(found, state, "{subject}:\n{}", self.text);
        words
    }
}

async fn check(arguments: &[&str], environment: &Environment) -> Outcome {
    let mut command = command();
    command.arg("check").args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let parts = |line: &str| {
        let mut parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
        let mut part = || parts.next().unwrap_or_else(|| panic!("{line:?}\n{text}"));
        (part(), part(), part())
    };
    let lines = text.lines().filter(|line| !line.starts_with(' ')).map(parts).collect();
    Outcome { code: output.status.code().unwrap_or(-1), lines, text }
}

/// An S3 with a bucket of two pictures, and a Bedrock that says a word.
async fn aws() -> (S3, Bedrock, Environment) {
    let (s3, bedrock) = (S3::start().await, Bedrock::start().await);
    s3.put("photos", "a.png", photo("coffee.png"));
    s3.put("photos", "b.png", photo("coffee.png"));
    bedrock.answer_with(|_| Reply::text("Yes").usage(70, 1));
    let environment = aws_at(s3.endpoint(), bedrock.endpoint());
    (s3, bedrock, environment)
}

#[tokio::test]
async fn all_is_well() {
    let (s3, bedrock, environment) = aws().await;
    let outcome = check(&["--bucket", "photos", "--bucket", "s3://photos/b.png", "--call-model"], &environment).await;
    assert_eq!(outcome.code, 0, "{}", outcome.text);
    for subject in ["configuration", "credentials", "region", "bucket photos", "model"] {
        outcome.of("ok", subject);
    }
    outcome.of("skipped", "policy");
    assert!(outcome.of("ok", "region").contains("eu-west-1"));
    assert_eq!(s3.gets(), ["a.png", "b.png"]);
    let request = bedrock.only_request();
    assert_eq!((request.model_id.as_str(), &request.body["max_tokens"]), (SONNET_5, &json!(1)));
}

#[tokio::test]
async fn nothing_is_paid_for_unless_it_is_asked_for() {
    let (s3, bedrock, environment) = aws().await;
    let outcome = check(&[], &environment).await;
    assert_eq!(outcome.code, 0, "{}", outcome.text);
    assert!(outcome.of("skipped", "model").contains("--call-model"));
    assert!(outcome.of("skipped", "bucket").contains("--bucket"));
    assert_eq!((s3.requests().len(), bedrock.received_so_far()), (0, 0));
}

#[tokio::test]
async fn without_credentials_nothing_else_is_tried() {
    let outcome = check(&["--bucket", "photos", "--call-model"], &without_aws()).await;
    assert_eq!(outcome.code, 1);
    assert!(outcome.of("missing", "credentials").contains("AWS_PROFILE"), "{}", outcome.text);
    outcome.of("skipped", "bucket photos");
    outcome.of("skipped", "model");
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_said_with_what_to_do() {
    let (s3, _bedrock, environment) = aws().await;
    s3.create_bucket("empty");
    s3.put("locked", "a.png", photo("coffee.png"));
    s3.fault_lists("locked", Failure::ACCESS_DENIED);
    for key in ["denied.png", "far.png", "cold.png", "slow.png"] {
        s3.put("photos", key, photo("coffee.png"));
    }
    s3.fault("photos", "denied.png", Failure::ACCESS_DENIED);
    s3.fault("photos", "far.png", Failure::PERMANENT_REDIRECT);
    s3.fault("photos", "cold.png", Failure::INVALID_OBJECT_STATE);
    s3.fault("photos", "slow.png", Failure::SLOW_DOWN);
    for (location, state, words) in [
        ("locked", "missing", "s3:ListBucket"),
        ("locked/a.png", "ok", "may be read"),
        ("empty", "ok", "empty"),
        ("none", "missing", "no such bucket"),
        ("photos/none.png", "missing", "no object"),
        ("photos/denied.png", "missing", "s3:GetObject"),
        ("photos/far.png", "missing", "AWS_REGION"),
        ("photos/cold.png", "missing", "archived"),
        ("photos/slow.png", "missing", "cannot be reached or does not work"),
    ] {
        let outcome = check(&["--bucket", location], &environment).await;
        let subject = format!("bucket {}", location.split('/').next().unwrap());
        assert!(outcome.of(state, &subject).contains(words), "{location}:\n{}", outcome.text);
        assert_eq!(outcome.code, i32::from(state == "missing"), "{location}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_model_is_said_with_what_to_do() {
    let (_s3, bedrock, environment) = aws().await;
    for (reply, words) in [
        (Reply::denied(), "bedrock:InvokeModel"),
        (Reply::throttled(), "throttles"),
        (Reply::error(400, "ServiceQuotaExceededException", "tokens per day"), "quota"),
        (Reply::ended(), "--model"),
        (Reply::validation("The provided model identifier is invalid."), "check the id"),
        (Reply::error(403, "ExpiredTokenException", "expired"), "credentials"),
        (Reply::unavailable(), "cannot be reached or does not work"),
    ] {
        bedrock.push(reply);
        let outcome = check(&["--call-model"], &environment).await;
        assert_eq!(outcome.code, 1, "{}", outcome.text);
        let said = outcome.of("missing", "model");
        assert!(said.contains(words) && said.contains(SONNET_5) && said.contains("eu-west-1"), "{words}:\n{said}");
    }
    let outcome = check(&["--call-model", "--model", "anthropic.claude-sonnet-5"], &environment).await;
    assert!(outcome.of("missing", "model").contains("inference profile"), "{}", outcome.text);
    assert_eq!(bedrock.requests().len(), 8, "each was asked once");
}

#[tokio::test]
async fn endpoints_that_cannot_be_reached_are_named() {
    let nobody = Port::hold();
    let environment = aws_at(nobody.endpoint(), nobody.endpoint());
    let outcome = check(&["--bucket", "photos", "--call-model"], &environment).await;
    assert_eq!(outcome.code, 1);
    assert!(outcome.of("missing", "bucket photos").contains("AWS_ENDPOINT_URL_S3"), "{}", outcome.text);
    assert!(outcome.of("missing", "model").contains("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"), "{}", outcome.text);
}

#[tokio::test]
async fn a_policy_is_checked_and_a_broken_one_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[[rule]]\ncallers = [\"*\"]\nobjects = [\"s3://photos/public\"]\n").unwrap();
    let (_s3, _bedrock, environment) = aws().await;
    let outcome = check(&["--policy", path], &environment).await;
    assert_eq!(outcome.code, 0);
    let said = outcome.of("ok", "policy");
    assert!(said.contains("rules: 1") && said.contains("does not end in `/`"), "{said}");

    std::fs::write(&file, "[[rule]]\ncallers = []\nmodels = [\"gpt\"]\n").unwrap();
    let outcome = check(&["--policy", path], &environment).await;
    assert_eq!(outcome.code, 1);
    outcome.of("missing", "configuration");
    assert!(outcome.text.contains("line 2: ") && outcome.text.contains("line 3: "), "{}", outcome.text);
    let output = command().args(["serve", "--listen", "127.0.0.1:0", "--policy", path]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(path) && said.contains("line 2: ") && said.contains("line 3: "), "{said}");
}

#[tokio::test]
async fn a_server_that_checks_at_its_start_turns_serving_when_all_is_there() {
    let service = Service::with(&["--check-at-start", "photos/ready.png,photos"]).await;
    let mut health = HealthClient::new(channel(service.running.address).await);
    let mut states = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || states.message().await.unwrap().expect("a state").status();
    assert_eq!(next().await, ServingStatus::NotServing);
    service.s3.gets_received(2).await;
    service.s3.put("photos", "ready.png", photo("coffee.png"));
    assert_eq!(next().await, ServingStatus::Serving);
    assert_eq!(service.s3.lists().len(), 1, "and the bucket was listed");
}

#[tokio::test]
async fn a_server_that_asks_its_model_at_the_start_turns_serving_once_it_answers() {
    let (s3, bedrock, _environment) = aws().await;
    let gate = Gate::default();
    bedrock.push(Reply::denied().behind(&gate));
    let service = Service::over(s3, bedrock, &["--check-model-at-start"]).await;
    let mut health = HealthClient::new(channel(service.running.address).await);
    let mut states = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || states.message().await.unwrap().expect("a state").status();
    assert_eq!(next().await, ServingStatus::NotServing);
    gate.open();
    assert_eq!(next().await, ServingStatus::Serving);
    let asked: Vec<_> = service.bedrock.requests().iter().map(|request| request.body["max_tokens"].clone()).collect();
    assert_eq!(asked, [json!(1), json!(1)], "denied, then answered");
}
