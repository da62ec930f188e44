use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    server: ServerArgs,
}

fn parse(flags: &[&str]) -> Result<ServerArgs, String> {
    let args = std::iter::once("sightline").chain(flags.iter().copied());
    Cli::try_parse_from(args).map(|cli| cli.server).map_err(|error| error.to_string())
}

#[test]
fn the_defaults() {
    let args = parse(&[]).unwrap();
    insta::assert_snapshot!(report(&args, |_| None).unwrap());
}

#[test]
fn secrets_are_redacted() {
    let args = parse(&["--model", "us.anthropic.claude-opus-4-8", "--allowed-models", "a,b"]).unwrap();
    let shown = report(&args, |name| match name {
        "AWS_ENDPOINT_URL_S3" => Some("http://user:hunter2@127.0.0.1:9000/x".to_owned()),
        "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" | "AWS_BEARER_TOKEN_BEDROCK" | "AWS_ACCESS_KEY_ID" => {
            Some("hunter2".to_owned())
        }
        "HTTPS_PROXY" => Some("alice:hunter2@proxy:3128".to_owned()),
        "AWS_REGION" => Some("eu-west-1".to_owned()),
        _ => None,
    })
    .unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!(shown.split("log_format").nth(1).unwrap());
}

#[test]
fn what_is_wrong_is_refused_with_the_flags_name() {
    for (flags, name) in [
        (["--listen", "nowhere"], "--listen"),
        (["--max-image-bytes", "0"], "--max-image-bytes"),
        (["--request-timeout", "0s"], "--request-timeout"),
        (["--request-timeout", "soon"], "--request-timeout"),
        (["--model", " "], "--model"),
        (["--max-model-attempts", "0"], "--max-model-attempts"),
    ] {
        let error = parse(&flags).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn the_default_model_stands_first_and_only_once() {
    let ids = |flags: &[&str]| {
        let models = parse(flags).unwrap().config().unwrap().models;
        models.rows().map(|(_, model)| model.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[])[0], "global.anthropic.claude-sonnet-5");
    assert_eq!(ids(&["--embedded"]), [ModelProfile::DETECTOR_ID]);
    assert_eq!(ids(&["--embedded", "--model", "x"]), ["x"]);
}
