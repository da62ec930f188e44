//! `sightline iam-policy`, the real binary: what it prints, says and refuses; and the files made with it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sightline::catalog::{Catalog, Models};

use crate::{
    command::command,
    support::models::{SONNET_4_6, SONNET_5},
};

/// Exit code, standard output and standard error.
async fn iam_policy(arguments: &[&str]) -> (i32, String, String) {
    let mut command = command();
    command.arg("iam-policy").args(arguments).env("AWS_REGION", "us-east-1");
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

async fn policy(arguments: &[&str]) -> Value {
    let (code, text, said) = iam_policy(arguments).await;
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// All resources of the statements whose Sid begins so.
fn resources(policy: &Value, sid: &str) -> Vec<String> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let wanted = statements.filter(|statement| statement["Sid"].as_str().unwrap().starts_with(sid));
    wanted
        .flat_map(|statement| match &statement["Resource"] {
            Value::String(one) => vec![one.clone()],
            several => several.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect(),
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The commands of the page, each with the file that it writes.
fn commands_of(page: &str) -> Vec<(Vec<String>, String)> {
    let joined = page.replace("\\\n", " ");
    let commands = joined.lines().filter_map(|line| line.strip_prefix("sightline iam-policy "));
    commands
        .map(|line| {
            let (arguments, file) = line.split_once(" > ").unwrap_or_else(|| panic!("{line}: where to?"));
            (arguments.split_whitespace().map(str::to_owned).collect(), file.trim().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_files_are_what_the_command_prints() {
    let folder = root().join("deploy/iam");
    let commands = commands_of(&std::fs::read_to_string(folder.join("README.md")).unwrap());
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    let mut made: Vec<String> = commands.iter().map(|(_, file)| file.clone()).collect();
    files.sort();
    made.sort();
    assert_eq!(files, made, "every file has its command in deploy/iam/README.md");
    for (arguments, file) in commands {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, text, said) = iam_policy(&arguments).await;
        assert_eq!(code, 0, "{file}: {said}");
        let path = folder.join(&file);
        // As with snapshots: the files are written anew when that is asked for.
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, text, "{file} is not what `sightline iam-policy {}` prints", arguments.join(" "));
    }
}

#[tokio::test]
async fn every_model_that_may_be_asked_is_allowed_with_its_fallbacks_and_no_other() {
    let profile = |id: &str| format!("arn:aws:bedrock:us-east-1:111122223333:inference-profile/{id}");
    let base = ["--bucket", "photos", "--account", "111122223333"];
    let one = policy(&[&base[..], &["--allowed-models", "claude-sonnet-5"]].concat()).await;
    assert_eq!(resources(&one, "InvokeProfiles"), [profile(SONNET_5), profile(SONNET_4_6)]);
    let models = ["--model", "claude-sonnet-4-6", "--allowed-models", "us.amazon.nova-lite-v1:0"];
    let two = policy(&[&base[..], &models[..]].concat()).await;
    let wanted = [profile(SONNET_4_6), profile(SONNET_5), profile("us.amazon.nova-lite-v1:0")];
    let found = resources(&two, "InvokeProfiles");
    assert!(wanted.iter().all(|arn| found.contains(arn)), "{found:?}");
    let all = resources(&policy(&base).await, "Invoke");
    let catalogue = Models::new(Catalog::built_in().unwrap(), None, None).unwrap();
    for (name, model) in catalogue.rows() {
        assert!(all.iter().any(|arn| arn.ends_with(&format!("/{}", model.id))), "{name}");
    }
    assert!(!all.iter().any(|arn| arn.contains("nanodet")), "{all:?}");
}

#[tokio::test]
async fn the_default_policy_can_be_attached() {
    let (code, text, said) = iam_policy(&["--bucket", "photos", "--account", "111122223333"]).await;
    assert_eq!((code, said.as_str()), (0, ""));
    let size = text.chars().filter(|c| !c.is_whitespace()).count();
    assert!(size <= 6144, "{size} characters");
}

#[tokio::test]
async fn a_catalogue_of_the_operators_own_decides_the_models_and_their_regions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.toml");
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1b2c3d4e5f6";
    let text = format!(
        "[aliases]\ndefault = \"house\"\n[models.house]\nextends = \"claude-sonnet-5\"\nid = \"{arn}\"\nfallbacks = [\"tokyo\"]\n\
         [models.tokyo]\nextends = \"claude-sonnet-4-6\"\nid = \"jp.anthropic.claude-sonnet-4-6\"\nregion = \"ap-northeast-1\"\nfallbacks = []\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--bucket", "photos", "--account", "111122223333", "--models", file, "--allowed-models", "house"];
    let (code, text, said) = iam_policy(&arguments).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("does not show in its ARN"), "{said}");
    let policy: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(resources(&policy, "InvokeApplicationProfiles"), [arn]);
    let tokyo = "arn:aws:bedrock:ap-northeast-1:111122223333:inference-profile/jp.anthropic.claude-sonnet-4-6";
    assert_eq!(resources(&policy, "InvokeProfiles"), [tokyo]);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_and_nothing_is_printed() {
    for (arguments, code, words) in [
        (&[][..], 1, "--bucket"),
        (&["--bucket", "photos/2026"], 2, "--prefix"),
        (&["--bucket", "photos", "--account", "12"], 2, "12 digits"),
        (&["--bucket", "photos", "--region", "everywhere"], 2, "no Region"),
        (&["--bucket", "photos", "--results", "results/"], 2, "s3://BUCKET/PREFIX"),
        (&["--bucket", "photos", "--kms-key", "alias/mine"], 2, "arn:aws:kms"),
        (&["--bucket", "photos", "--results-kms-key", "arn:aws:kms:us-east-1:111122223333:key/k"], 2, "--results"),
        (&["--bucket", "photos", "--allowed-models", "*"], 1, "sightline models"),
        (&["--bucket", "photos", "--models", "/nonexistent.toml"], 1, "/nonexistent.toml"),
        (&["--for", "batch-operations"], 1, "--function"),
        (&["--for", "somebody"], 2, "batch-operations-trust"),
    ] {
        let (found, text, said) = iam_policy(arguments).await;
        assert_eq!((found, text.as_str()), (code, ""), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn help_says_what_there_is() {
    let (code, text, _) = iam_policy(&["--help"]).await;
    assert_eq!(code, 0);
    // The server's own settings follow, which have a snapshot of their own.
    let (own, _) = text.split_once("      --listen ").expect("the server's settings");
    insta::assert_snapshot!(own.trim_end());
}
