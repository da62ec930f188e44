//! What callers may do: a policy file in front of a real server, whose callers have no identity here.

use std::{path::PathBuf, sync::Arc};

use sha2::{Digest as _, Sha256};
use sightline::proto::{AnalysisOptions, AnalyzeImageRequest, GetCapabilitiesRequest, ImageAnalysis};
use tonic::{Code, Request, Status};
use tonic_types::pb;

use crate::support::{
    bedrock::{Gate, Reply},
    images::Format,
    many::{
        Collected, answer_by_number, assert_failed, describing, inline, item, listing, picture, reason_of, stored,
        under,
    },
    models::{answer, model_of, scene, to, usage_of, warns, with},
    service::{BUCKET, Details, Service, assert_error, content, describe, label, object},
    sharing::{CACHE, assert_free, assert_paid},
};

/// A server with a policy, which may be replaced.
struct Policed {
    service: Service,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Policed {
    /// In front of a model that answers, and a bucket with pictures in `public/` and `private/`.
    async fn start(policy: &str) -> Self {
        Self::with(policy, &[]).await
    }

    async fn with(policy: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, policy).unwrap();
        let flags = [&["--policy", file.to_str().unwrap()], flags].concat();
        let service = Service::with(&flags).await;
        service.bedrock.answer_with(answer);
        for key in ["public/a.png", "public/b.png", "private/a.png"] {
            service.s3.put(BUCKET, key, scene().encode(Format::Png));
        }
        Self { service, file, _folder: folder }
    }

    /// Writes another policy and has the server look at it; answers whether it is in force.
    fn replace(&self, policy: &str) -> bool {
        let followed = self.service.policy.as_ref().expect("a policy");
        let before = followed.get();
        std::fs::write(&self.file, policy).unwrap();
        // The server looks by itself too, and may have been first.
        followed.check_now();
        !Arc::ptr_eq(&before, &followed.get())
    }

    async fn analyze(&self, request: AnalyzeImageRequest) -> Result<ImageAnalysis, Status> {
        self.service.analyze(request).await
    }

    /// Nothing was read, listed or asked.
    fn assert_untouched(&self) {
        assert!(self.service.s3.requests().is_empty(), "{:?}", self.service.s3.requests());
        assert_eq!(self.service.bedrock.received_so_far(), 0);
    }
}

const PUBLIC: &str = r#"
[[rule]]
callers = ["team-a"]
objects = ["s3://*"]
inline = true

[[rule]]
callers = ["anonymous"]
objects = ["s3://photos/public/"]
models = ["default", "nova-pro"]
"#;

/// Everything is allowed, under these limits.
fn limited(limits: &str) -> String {
    format!("[[rule]]\ncallers = [\"*\"]\nobjects = [\"s3://photos\"]\ninline = true\n{limits}")
}

fn assert_not_allowed<T: std::fmt::Debug>(outcome: Result<T, Status>, what: &str) -> Details {
    let (_, details) = assert_error(outcome, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    assert_eq!((details.info.metadata["caller"].as_str(), details.info.metadata["what"].as_str()), ("anonymous", what));
    details
}

fn assert_limited<T: std::fmt::Debug>(outcome: Result<T, Status>, limit: &str) -> std::time::Duration {
    let (status, details) = assert_error(outcome, Code::ResourceExhausted, "CALLER_LIMIT_REACHED");
    assert_eq!(details.info.metadata["limit"], limit);
    let quota: pb::QuotaFailure = details.get("QuotaFailure").expect("a QuotaFailure");
    assert_eq!(quota.violations[0].subject, "caller:anonymous");
    let retry: pb::RetryInfo = details.get("RetryInfo").expect("a RetryInfo");
    let delay = std::time::Duration::try_from(retry.retry_delay.expect("a delay")).unwrap();
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("a pushback");
    assert_eq!(pushback.to_str().unwrap(), delay.as_millis().to_string());
    delay
}

#[tokio::test]
async fn what_a_rule_does_not_name_is_denied_before_anything_is_read_or_asked() {
    let policed = Policed::start(PUBLIC).await;
    let details = assert_not_allowed(policed.analyze(object("private/a.png", label())).await, "object");
    assert_eq!(details.info.metadata["bucket"], "photos");
    assert_not_allowed(policed.analyze(object("publicity.png", label())).await, "object");
    assert_not_allowed(policed.analyze(object("public%2Fa.png", label())).await, "object");
    assert_not_allowed(policed.analyze(content(&scene().encode(Format::Png), label())).await, "inline");
    let details = assert_not_allowed(policed.analyze(to("fast", object("public/a.png", label()))).await, "model");
    assert!(details.info.metadata["model"].contains("haiku"), "{:?}", details.info.metadata);
    let validation = AnalyzeImageRequest { validate_only: true, ..object("private/a.png", label()) };
    assert_not_allowed(policed.analyze(validation).await, "object");
    let unknown = policed.analyze(to("no-such-model", object("public/a.png", label()))).await;
    assert_error(unknown, Code::InvalidArgument, "MODEL_UNKNOWN");
    policed.assert_untouched();

    policed.analyze(object("public/a.png", label())).await.unwrap();
    let analysis = policed.analyze(to("nova-pro", object("public/b.png", label()))).await.unwrap();
    assert!(model_of(&analysis).served.contains("nova-pro"));
}

#[tokio::test]
async fn a_caller_that_no_rule_names_may_do_nothing() {
    let policed =
        Policed::start("[[rule]]\ncallers = [\"team-*\", \"anon*\"]\nobjects = [\"s3://*\"]\ninline = true").await;
    assert_not_allowed(policed.analyze(object("public/a.png", label())).await, "service");
    assert_not_allowed(policed.service.client().get_capabilities(GetCapabilitiesRequest {}).await, "service");
    let stream = policed.service.many(vec![describing(), item(stored("a", "public/a.png"))]).await;
    assert_not_allowed(stream.end, "service");
    policed.assert_untouched();
}

#[tokio::test]
async fn capabilities_list_the_models_that_the_caller_may_ask() {
    let policed = Policed::start(PUBLIC).await;
    let aliases = async || -> Vec<String> {
        let answer = policed.service.client().get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
        answer.models.into_iter().map(|model| model.alias).collect()
    };
    assert_eq!(aliases().await, ["default", "nova-pro"]);
    assert!(policed.replace(&limited("")));
    assert!(aliases().await.len() > 10);
}

#[tokio::test]
async fn an_item_or_listing_that_is_denied_fails_alone() {
    let policed = Policed::start(PUBLIC).await;
    let answers = policed
        .service
        .many(vec![
            describing(),
            item(stored("denied", "private/a.png")),
            item(inline("inline", &scene().encode(Format::Png))),
            listing(under("public")),
            listing(under("")),
            item(stored("allowed", "public/a.png")),
        ])
        .await;
    answers.assert_whole(5);
    for (id, what) in
        [("denied", "object"), ("inline", "inline"), ("s3://photos/public", "object"), ("s3://photos/", "object")]
    {
        let (_, details) = assert_failed(answers.of(id), Code::PermissionDenied, "CALLER_NOT_ALLOWED");
        assert_eq!(details.info.metadata["what"], what, "{id}");
    }
    assert_eq!(reason_of(answers.of("allowed")), "");
    assert!(policed.service.s3.lists().is_empty(), "no page was fetched");
    assert_eq!(policed.service.s3.gets(), ["public/a.png"]);

    let answers = policed.service.many(vec![describing(), listing(under("public/"))]).await;
    answers.assert_whole(2);
    assert_eq!(answers.summary().succeeded_count, 2);
}

#[tokio::test]
async fn the_objects_of_a_listing_are_held_against_the_policy_that_is_in_force_when_they_begin() {
    let policed = Policed::start(&limited("max_in_flight = 1")).await;
    let gate = Gate::default();
    let held = gate.clone();
    policed.service.bedrock.answer_with(move |request| answer(request).behind(&held));
    let talk = policed.service.talk().await;
    talk.send_all([describing(), listing(under("public/"))]);
    policed.service.bedrock.received(1).await;
    assert!(policed.replace("[[rule]]\ncallers = [\"*\"]\nobjects = [\"s3://photos/private/\"]"));
    gate.open();
    let answers = talk.finish().await;
    answers.assert_whole(2);
    assert_eq!(reason_of(answers.of("public/a.png")), "", "what had begun is finished");
    assert_eq!(reason_of(answers.of("public/b.png")), "CALLER_NOT_ALLOWED");
}

#[tokio::test]
async fn a_single_request_over_its_rate_is_refused_and_a_stream_is_slowed_down() {
    let policed = Policed::start(&limited("requests_per_second = 0.01\nburst = 2")).await;
    for _ in 0..2 {
        policed.analyze(object("public/a.png", label())).await.unwrap();
    }
    let reads = policed.service.s3.gets().len();
    let delay = assert_limited(policed.analyze(object("public/a.png", label())).await, "requests_per_second");
    assert!((1..=100).contains(&delay.as_secs()), "{delay:?}");
    assert_eq!(policed.service.s3.gets().len(), reads);

    assert!(policed.replace(&limited("requests_per_second = 100\nburst = 1")));
    policed.service.bedrock.answer_with(answer_by_number);
    let items = (0..5).map(|number| item(inline(&number.to_string(), &picture(number))));
    let answers = policed.service.many(std::iter::once(describing()).chain(items).collect()).await;
    assert_eq!(answers.assert_whole(5).summary().succeeded_count, 5);
}

#[tokio::test]
async fn a_request_too_many_at_once_is_refused_and_an_item_waits() {
    let policed = Policed::start(&limited("max_in_flight = 2")).await;
    let gate = Gate::default();
    let held = gate.clone();
    policed.service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
    let calls = [1, 2].map(|number| policed.service.begin(content(&picture(number), describe())));
    policed.service.bedrock.received(2).await;
    assert_limited(policed.analyze(content(&picture(3), describe())).await, "max_in_flight");
    let streaming = {
        let items = (10..20).map(|number| item(inline(&number.to_string(), &picture(number))));
        let mut talk = policed.service.talk().await;
        talk.send_all(std::iter::once(describing()).chain(items));
        talk.half_close();
        tokio::spawn(talk.finish())
    };
    policed.service.settled().await;
    gate.open();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let answers: Collected = streaming.await.unwrap();
    assert_eq!(answers.assert_whole(10).summary().succeeded_count, 10);
    assert_eq!(policed.service.bedrock.in_progress().peak(), 2);
    policed.analyze(content(&picture(3), describe())).await.expect("all of them have ended");
}

#[tokio::test]
async fn tokens_of_a_day_are_charged_for_answers_and_for_failures_that_used_some() {
    let policed = Policed::with(&limited("tokens_per_day = 330"), &CACHE).await;
    let service = &policed.service;
    service.bedrock.answer_with(answer_by_number);
    let ask = |number| policed.analyze(content(&picture(number), describe()));
    let validation = AnalyzeImageRequest { validate_only: true, ..content(&picture(1), describe()) };
    for _ in 0..5 {
        policed.analyze(validation.clone()).await.expect("what is not called costs nothing");
    }
    // 100 input and 10 output tokens each; kept results cost nothing.
    assert_eq!(usage_of(&ask(1).await.unwrap()).input_token_count, 100);
    for _ in 0..5 {
        assert_free(&ask(1).await.unwrap());
    }
    service.bedrock.push(Reply::refusal().usage(100, 10));
    assert_error(ask(2).await, Code::FailedPrecondition, "MODEL_REFUSED");
    ask(3).await.expect("220 tokens are not 330");
    let delay = assert_limited(ask(4).await, "tokens_per_day");
    assert!(delay.as_secs() <= 24 * 3600 && !delay.is_zero(), "{delay:?}");
    assert_limited(ask(1).await, "tokens_per_day");

    let answers = service.many(vec![describing(), item(inline("a", &picture(5)))]).await;
    answers.assert_whole(1);
    assert_failed(answers.of("a"), Code::ResourceExhausted, "CALLER_LIMIT_REACHED");

    // Those of a stream's items count too, and what is used up stays when the limit is raised.
    assert!(policed.replace(&limited("tokens_per_day = 331")));
    service.many(vec![describing(), item(inline("a", &picture(5)))]).await.assert_whole(1);
    assert_limited(ask(6).await, "tokens_per_day");
}

#[tokio::test]
async fn another_policy_comes_into_force_without_a_restart_and_a_broken_one_does_not() {
    let policed = Policed::start(PUBLIC).await;
    policed.analyze(object("public/a.png", label())).await.unwrap();
    assert!(!policed.replace("[[rule]]\ncallers = 3"));
    policed.analyze(object("public/a.png", label())).await.expect("the one before stays in force");
    assert!(policed.replace("[[rule]]\ncallers = [\"anonymous\"]\nobjects = [\"s3://photos/private/\"]"));
    assert_not_allowed(policed.analyze(object("public/a.png", label())).await, "object");
    policed.analyze(object("private/a.png", label())).await.unwrap();
    assert!(policed.replace(PUBLIC));
    policed.analyze(object("public/a.png", label())).await.unwrap();
}

/// The same picture lies under both keys, so that the result of one is that of the other.
#[tokio::test]
async fn who_may_not_read_an_object_gets_no_kept_result_of_it() {
    let policed = Policed::with(&limited(""), &CACHE).await;
    let named = |id: &str, key: &str| AnalyzeImageRequest { request_id: id.to_owned(), ..object(key, label()) };
    assert_paid(&policed.analyze(named("r-1", "private/a.png")).await.unwrap(), 1);
    assert_free(&policed.analyze(named("r-1", "private/a.png")).await.unwrap());
    assert!(policed.replace(PUBLIC));
    let reads = policed.service.s3.gets().len();
    assert_not_allowed(policed.analyze(named("r-1", "private/a.png")).await, "object");
    assert_not_allowed(policed.analyze(named("r-2", "private/a.png")).await, "object");
    let answers = policed.service.many(vec![describing(), item(stored("a", "private/a.png"))]).await;
    assert_failed(answers.of("a"), Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    assert_eq!(policed.service.s3.gets().len(), reads);
    assert_free(&policed.analyze(named("r-3", "public/a.png")).await.unwrap());
}

#[tokio::test]
async fn a_fallback_of_an_allowed_model_is_asked_in_its_place() {
    let rule = "[[rule]]\ncallers = [\"anonymous\"]\nobjects = [\"s3://photos\"]\nmodels = [\"default\"]";
    let policed = Policed::with(rule, &["--max-model-attempts", "1"]).await;
    policed.service.bedrock.push(Reply::throttled());
    let analysis = policed.analyze(object("public/a.png", label())).await.unwrap();
    assert!(warns(&analysis, "MODEL_FALLBACK"));
    let named = AnalysisOptions { model: model_of(&analysis).served.clone(), ..AnalysisOptions::default() };
    assert_not_allowed(policed.analyze(with(object("public/a.png", label()), named)).await, "model");
}

/// Identity and policy together: the name comes from a token, and a header of who is no trusted proxy gives none.
#[tokio::test]
async fn a_policy_decides_by_the_name_that_an_identity_gives() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    let entry = |caller: &str, token: &str| {
        let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[token]]\ncaller = \"{caller}\"\nsha256 = \"{digest}\"\n")
    };
    std::fs::write(&tokens, entry("team-a", "correct-horse") + &entry("team-b", "battery-staple")).unwrap();
    let flags = ["--tokens", tokens.to_str().unwrap(), "--allow-anonymous"];
    let policed = Policed::with(PUBLIC, &flags).await;
    let private = |header: Option<(&'static str, &str)>| {
        let mut request = Request::new(object("private/a.png", describe()));
        if let Some((name, value)) = header {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        let mut client = policed.service.client();
        async move { client.analyze_image(request).await }
    };
    let denied = |outcome: Result<_, Status>| {
        let (_, details) = assert_error(outcome, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
        (details.info.metadata["caller"].clone(), details.info.metadata["what"].clone())
    };
    let pair = |caller: &str, what: &str| (caller.to_owned(), what.to_owned());
    assert_eq!(denied(private(None).await), pair("anonymous", "object"));
    let forged = ("x-forwarded-client-cert", "URI=team-a");
    assert_eq!(denied(private(Some(forged)).await), pair("anonymous", "object"));
    let unnamed = ("authorization", "Bearer battery-staple");
    assert_eq!(denied(private(Some(unnamed)).await), pair("team-b", "service"));
    policed.assert_untouched();
    private(Some(("authorization", "Bearer correct-horse"))).await.expect("team-a may read everything");
    let scrape = policed.service.scrape();
    assert!(scrape.contains("sightline_caller_denied_total{reason=\"CALLER_NOT_ALLOWED\"} 3"), "{scrape}");
    assert!(scrape.contains("sightline_caller_tokens_total{caller=\"team-a\"}"), "{scrape}");
    assert!(scrape.contains("sightline_connections 1\n"), "{scrape}");
}
