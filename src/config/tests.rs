use clap::Parser;

use super::*;
use crate::domain::ModelProfile;

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
    let args = parse(&["--model", "us.anthropic.claude-opus-4-8", "--allowed-models", "fast,nova-pro"]).unwrap();
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
        (["--max-prepare-bytes", "0"], "--max-prepare-bytes"),
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
fn what_bounds_the_preparing_of_pictures_reaches_the_limits() {
    let limits = |flags: &[&str]| parse(flags).unwrap().config().unwrap().limits;
    let told = limits(&["--safe-decoders", "--max-prepare-bytes", "300MB"]);
    assert_eq!((told.safe_decoders, told.max_prepare_bytes), (true, 300_000_000));
    assert!(!limits(&[]).safe_decoders);
}

#[test]
fn the_limit_on_pictures_in_progress_adapts_unless_it_is_fixed() {
    let adapts = |flags: &[&str]| parse(flags).unwrap().config().unwrap().limits.adapts;
    assert!(adapts(&[]) && adapts(&["--in-flight-limit", "adaptive"]) && !adapts(&["--in-flight-limit", "fixed"]));
}

#[test]
fn the_default_model_stands_first_and_only_once() {
    let ids = |flags: &[&str]| {
        let models = parse(flags).unwrap().config().unwrap().models;
        models.rows().map(|(_, model)| model.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[])[0], "global.anthropic.claude-sonnet-5");
    assert_eq!(ids(&["--embedded"]), [ModelProfile::DETECTOR_ID]);
    assert_eq!(ids(&["--embedded", "--model", "own.x"]), ["own.x"]);
}

#[test]
fn a_name_that_nobody_knows_may_be_an_id_of_bedrocks_and_is_offered_as_one() {
    let models = parse(&["--model", "nova-pr"]).unwrap().config().unwrap().models;
    assert!(!models.default_model().is_familiar, "the log warns of it at the start");
}

/// A catalogue file that is gone with the test.
fn catalogue(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("models.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_catalogue_file_is_laid_over_the_built_in_one() {
    let text =
        "[aliases]\nhouse = \"eu.anthropic.claude-sonnet-5\"\n[models.claude-sonnet-5]\nregion = \"eu-central-1\"";
    let (_folder, path) = catalogue(text);
    let models = parse(&["--models", &path]).unwrap().config().unwrap().models;
    assert_eq!(models.default_model().region.as_deref(), Some("eu-central-1"));
    assert_eq!(models.find("house").unwrap().id, "eu.anthropic.claude-sonnet-5");
    let args = parse(&["--models", &path, "--model", "house", "--allowed-models", "fast"]).unwrap();
    let shown = report(&args, |_| None).unwrap();
    let lines: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("models = ")).take(3).collect();
    assert_eq!(
        lines,
        [
            &format!("models = {path}"),
            "model = eu.anthropic.claude-sonnet-5 (sees up to 2576 px an edge, 4784 visual tokens)",
            "allowed_models = fast",
        ]
    );
}

#[test]
fn a_wrong_catalogue_file_is_named_with_the_place() {
    let (folder, path) = catalogue("[models.x]\n  id = 3\n");
    let error = parse(&["--models", &path]).unwrap().config().unwrap_err().to_string();
    assert!(error.contains(&path) && error.contains("line 2, column 8: ") && error.contains("MODELS.md"), "{error}");
    let folder = folder.path().to_str().unwrap();
    for unreadable in ["/nonexistent/models.toml", folder] {
        let error = parse(&["--models", unreadable]).unwrap().config().unwrap_err().to_string();
        assert!(error.contains(unreadable) && error.contains("SIGHTLINE_MODELS"), "{error}");
    }
    let error = parse(&["--models", "/dev/zero"]).unwrap().config().unwrap_err().to_string();
    assert!(error.contains("1024 KiB"), "{error}");
}

#[test]
fn what_is_not_known_or_has_ended_is_said() {
    let model = |id: &str| {
        let shown = report(&parse(&["--model", id]).unwrap(), |_| None).unwrap();
        shown.lines().find(|line| line.starts_with("model = ")).unwrap().to_owned()
    };
    assert!(model("vendor.next").ends_with(", not in the catalogue)"), "{}", model("vendor.next"));
    assert!(model("claude-3-sonnet").ends_with(", has ended)"), "{}", model("claude-3-sonnet"));
}

fn access(flags: &[&str]) -> Result<Access, String> {
    let args = parse(flags)?;
    args.config().map(|config| config.access).map_err(|error| error.to_string())
}

#[test]
fn listening_elsewhere_than_on_loopback_needs_identities_or_a_flag_that_says_what_it_means() {
    for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.3:1", "[::ffff:10.0.0.3]:1"] {
        let error = access(&["--listen", listen]).unwrap_err();
        for word in ["--trusted-proxies", "--tls-client-ca", "--tokens", "--jwks", "--allow-anonymous", "its role"] {
            assert!(error.contains(word), "{error}");
        }
        // TLS alone tells nothing of the caller.
        let tls = ["--listen", listen, "--tls-cert", "c", "--tls-key", "k"];
        assert!(access(&tls).unwrap_err().contains("--allow-anonymous"));
        for identified in [
            vec!["--allow-anonymous"],
            vec!["--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"],
            vec!["--trusted-proxies", "127.0.0.1/32,::1"],
            vec!["--tokens", "t"],
            vec!["--jwks", "k", "--jwt-issuer", "i", "--jwt-audience", "a"],
        ] {
            let flags = [vec!["--listen", listen], identified].concat();
            assert!(access(&flags).is_ok(), "{flags:?}");
        }
    }
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let access = access(&["--listen", listen]).unwrap();
        assert!(access.sources.is_empty() && access.warnings.is_empty());
    }
}

#[test]
fn settings_that_need_others_say_which() {
    for (flags, given, missing) in [
        (vec!["--tls-cert", "c"], "--tls-cert", "--tls-key"),
        (vec!["--tls-key", "k"], "--tls-key", "--tls-cert"),
        (vec!["--tls-client-ca", "a"], "--tls-client-ca", "--tls-cert"),
        (vec!["--jwks", "k", "--jwt-issuer", "i"], "--jwks", "--jwt-audience"),
        (vec!["--jwks", "k", "--jwt-audience", "a"], "--jwks", "--jwt-issuer"),
        (vec!["--jwt-issuer", "i"], "--jwt-issuer", "--jwks"),
        (vec!["--jwt-audience", "a"], "--jwt-audience", "--jwks"),
    ] {
        assert_eq!(access(&flags), Err(format!("{given} needs {missing} too")));
    }
    for (flag, value) in [
        ("--trusted-proxies", "0.0.0.0/0"),
        ("--trusted-proxies", "sidecar"),
        ("--jwks", "http://issuer/keys"),
        ("--max-connections", "0"),
        ("--max-connection-streams", "100000"),
        ("--max-connection-age", "0s"),
    ] {
        assert!(access(&[flag, value]).unwrap_err().contains(flag));
    }
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let warnings = |flags: &[&str]| access(flags).unwrap().warnings;
    let tokens = ["--listen", "0.0.0.0:1", "--tokens", "t"];
    assert!(warnings(&tokens)[0].contains("plain text"));
    assert_eq!(warnings(&[&tokens[..], &["--tls-cert", "c", "--tls-key", "k"]].concat()).len(), 0);
    assert!(warnings(&["--listen", "0.0.0.0:1", "--allow-anonymous"])[0].contains("--allow-anonymous"));
}

#[test]
fn a_policy_is_checked_against_the_models_that_are_offered() {
    let (_folder, path) = catalogue("[[rule]]\ncallers = [\"*\"]\nmodels = [\"nova-pro\"]\ninline = true");
    let config = parse(&["--policy", &path]).unwrap().config().unwrap();
    let policy = config.policy.expect("a policy").policy;
    let caller = crate::domain::Caller::anonymous();
    assert!(policy.may_use(&caller, config.models.find("nova-pro").unwrap()));
    assert!(!policy.may_use(&caller, config.models.default_model()));
    let shown = report(&parse(&["--policy", &path]).unwrap(), |_| None).unwrap();
    assert!(shown.contains(&format!("policy = {path} (rules: 1)\n")), "{shown}");
    let error = parse(&["--policy", &path, "--allowed-models", "fast"]).unwrap().config().unwrap_err().to_string();
    assert!(error.contains(&path) && error.contains("line 3: ") && error.contains("nova-pro"), "{error}");
    for unreadable in ["/nonexistent/policy.toml", "/dev/null"] {
        let error = parse(&["--policy", unreadable]).unwrap().config().unwrap_err().to_string();
        assert!(error.contains(unreadable), "{error}");
    }
    let error = parse(&["--policy", "/dev/zero"]).unwrap().config().unwrap_err().to_string();
    assert!(error.contains("1024 KiB"), "{error}");
}
