//! An operator's file over the shipped one.

use super::*;
use crate::domain::{Api, Strategy, VisionTier};

#[test]
fn an_entry_of_the_same_name_is_overridden_field_by_field() {
    let catalog = under(
        "[models.claude-sonnet-5]\nid = \"eu.anthropic.claude-sonnet-5\"\nfallbacks = []\nregion = \"eu-central-1\"",
    );
    let shipped = built_in().resolve("claude-sonnet-5");
    let expected = ModelProfile {
        id: "eu.anthropic.claude-sonnet-5".to_owned(),
        region: Some("eu-central-1".to_owned()),
        fallbacks: Vec::new(),
        ..shipped
    };
    assert_eq!(catalog.resolve("default"), expected);
    let back = catalog.with_file("[models.claude-sonnet-5]\nregion = \"\"\n").unwrap();
    assert_eq!(back.resolve("default").region, None);
    assert_eq!(back.resolve("default").id, "eu.anthropic.claude-sonnet-5");
}

#[test]
fn a_new_entry_stands_on_another_one_or_on_careful_defaults() {
    let catalog = under(
        r#"
        [models.team-a]
        extends = "team"
        id = "arn:aws:bedrock:us-east-1:1:application-inference-profile/a"
        [models.team]
        extends = "claude-3-sonnet"
        id = "arn:aws:bedrock:us-east-1:1:application-inference-profile/t"
        ended = false
        output = ["prompted_json"]
        [models.bare]
        id = "anthropic.claude-next"
        "#,
    );
    let team = catalog.resolve("team-a");
    assert_eq!(team.strategies, [Strategy::PromptedJson]);
    assert_eq!((team.max_output_tokens, team.has_ended, team.is_familiar), (4096, false, true));
    assert_eq!(team.fallbacks, ["claude-sonnet-4-6"]);
    assert_eq!(catalog.end_of_life(&team), Some("2026-07-30"));
    let bare = catalog.resolve("bare");
    assert_eq!((bare.api, bare.tier, bare.is_familiar), (Api::Messages, VisionTier::STANDARD, true));
    let names: Vec<_> = catalog.profiles().map(|model| model.name.as_str()).skip(built_in().entries.len()).collect();
    assert_eq!(names, ["team-a", "team", "bare"], "in the file's order");
}

#[test]
fn aliases_are_overridden_and_may_name_ids() {
    let catalog = under("[aliases]\ndefault = \"nova-lite\"\nhouse = \"us.anthropic.claude-opus-5\"");
    assert_eq!(catalog.resolve("default").name, "nova-lite");
    assert_eq!(catalog.resolve("house").id, "us.anthropic.claude-opus-5");
    assert_eq!(catalog.resolve("fast").name, "claude-haiku-5-5");
    assert_eq!(catalog.aliases().collect::<Vec<_>>()[0], "default");
}

#[test]
fn replace_leaves_the_files_own_models_and_the_detector() {
    let catalog = under(
        r#"
        replace = true
        [aliases]
        default = "claude-sonnet-5"
        [models.claude-sonnet-5]
        [models.house]
        extends = "claude-opus-5"
        id = "eu.anthropic.claude-opus-5"
        "#,
    );
    let names: Vec<_> = catalog.profiles().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["claude-sonnet-5", ModelProfile::DETECTOR_ID, "house"]);
    assert_eq!(catalog.aliases().collect::<Vec<_>>(), ["default"]);
    // What is gone is no fallback any more, and no longer known.
    assert_eq!(catalog.resolve("claude-sonnet-5").fallbacks, [""; 0]);
    assert!(!catalog.resolve("claude-haiku-4-5").is_familiar);
    assert_eq!(catalog.resolve("house").thinking.word(), "disable");
}

#[test]
fn an_empty_file_changes_nothing() {
    assert_eq!(under("# nothing\n"), built_in());
}
