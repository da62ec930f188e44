//! From any text to a model.

use proptest::prelude::*;

use super::*;
use crate::domain::{Api, Coordinates, Strategy, VisionTier};

#[test]
fn a_known_name_is_found_behind_a_prefix_and_in_an_arn() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012";
    for (id, name) in [
        ("us.anthropic.claude-sonnet-5-20260630-v1:0", "claude-sonnet-5"),
        ("anthropic.claude-sonnet-5", "claude-sonnet-5"),
        (&format!("{arn}:inference-profile/eu.anthropic.claude-opus-4-6-v1"), "claude-opus-4-6"),
        (&format!("{arn}:foundation-model/anthropic.claude-3-sonnet-20240229-v1:0"), "claude-3-sonnet"),
        ("us.anthropic.claude-opus-5-5-v1:0", "claude-opus-5-5"),
        ("anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("apac.amazon.nova-lite-v1:0", "nova-lite"),
        ("us.amazon.nova-2-lite-v1:0:256k", "nova-2-lite"),
        ("eu.mistral.pixtral-large-2502-v1:0", "pixtral-large"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "llama4-scout"),
        (&format!("{arn}:custom-model/my_claude-sonnet-4-6"), "claude-sonnet-4-6"),
    ] {
        let model = built_in().resolve(id);
        assert_eq!((model.name.as_str(), model.id.as_str()), (name, id));
        assert!(model.is_familiar);
    }
}

#[test]
fn another_version_is_another_model() {
    for id in [
        "us.anthropic.claude-sonnet-5-7-20270101-v1:0",
        "anthropic.claude-sonnet-5.7",
        "anthropic.claude-sonnet-50",
        "anthropic.claude-opus-4-9-v1",
        "anthropic.xclaude-sonnet-5",
        "amazon.supernova-lite-v1:0",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "amazon.nova-lite-v2:0",
        "us.amazon.nova-2-lite-v2:0:256k",
        "global.anthropic.claude-opus-4-6-v2",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "",
    ] {
        let model = built_in().resolve(id);
        assert!(!model.is_familiar, "{id} is taken for {}", model.name);
        assert_eq!((model.name.as_str(), model.id.as_str()), (id, id));
    }
}

#[test]
fn an_unknown_model_gets_careful_defaults() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012";
    let other = |max_edge| VisionTier { max_edge, max_visual_tokens: None };
    for (id, api, coordinates, tier) in [
        ("anthropic.claude-next-v1:0", Api::Messages, Coordinates::Pixels, VisionTier::STANDARD),
        ("us.amazon.nova-premier-v1:0", Api::Converse, Coordinates::PerMille, other(1568)),
        ("google.gemma-3-27b-it", Api::Converse, Coordinates::Pixels, other(1568)),
        (&format!("{arn}:foundation-model/google.gemma-3-27b-it"), Api::Converse, Coordinates::Pixels, other(1568)),
        // It may be any Claude, none of which reduces a picture of this size.
        (&format!("{arn}:application-inference-profile/a1b2c3"), Api::Converse, Coordinates::Pixels, other(1092)),
        (&format!("{arn}:provisioned-model/a1b2c3"), Api::Converse, Coordinates::Pixels, other(1092)),
    ] {
        let model = built_in().resolve(id);
        assert_eq!((model.api, model.coordinates, model.tier), (api, coordinates, tier), "{id}");
        assert_eq!(model.strategies, [Strategy::AutoTool, Strategy::PromptedJson]);
        let (thinking, tokens) = if api == Api::Messages { ("always", 16_384) } else { ("off", 4096) };
        let said = (model.sampling.word(), model.thinking.word(), model.max_output_tokens);
        assert_eq!(said, ("none", thinking, tokens), "{id}");
        assert_eq!((model.prices, model.region.as_deref(), model.fallbacks.len()), (None, None, 0));
        assert!(!model.is_familiar && !model.has_ended && !model.is_detector);
    }
}

#[test]
fn an_id_of_the_operators_own_is_not_left_for_the_catalogues() {
    assert_eq!(built_in().resolve("global.anthropic.claude-sonnet-5").fallbacks, ["claude-sonnet-4-6"]);
    let european = built_in().resolve("eu.anthropic.claude-sonnet-5");
    assert_eq!(european.fallbacks, [""; 0], "a profile of a geography keeps data there");
    assert_eq!(european.prices, built_in().resolve("claude-sonnet-5").prices);
}

#[test]
fn the_longest_name_wins_and_further_names_count() {
    let catalog = under(
        r#"
        [models.house]
        id = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abcd1234"
        extends = "claude-sonnet-5"
        names = ["abcd1234", "house-claude-sonnet-5"]
        "#,
    );
    assert_eq!(catalog.resolve("arn:aws:bedrock:us-east-1:1:application-inference-profile/abcd1234").name, "house");
    assert_eq!(catalog.resolve("custom/house-claude-sonnet-5").name, "house");
    assert_eq!(catalog.resolve("custom/other-claude-sonnet-5").name, "claude-sonnet-5");
}

proptest! {
    #[test]
    fn whatever_is_named_has_a_usable_profile(text in "\\PC{0,80}|[a-z0-9.:/-]{0,60}", known in 0..22_usize, before in "[a-z.:/-]{0,12}", after in "[-.:a-z0-9]{0,12}") {
        let catalog = built_in();
        let inside = format!("{before}{}{after}", catalog.entries[known].profile.name);
        for name in [text, inside] {
            let model = catalog.resolve(&name);
            prop_assert!(!model.strategies.is_empty() && model.max_output_tokens > 0 && model.tier.max_edge >= 200);
            prop_assert!(model.is_familiar || model.id == name);
            prop_assert_eq!(&catalog.resolve(&model.id).id, &model.id);
        }
    }

    #[test]
    fn a_name_is_found_in_any_profile_with_any_date(known in 0..22_usize, prefix in "(us|eu|apac|jp|au|global|us-gov)\\.", date in "20[0-9]{6}", version in 1..10_u8) {
        let catalog = built_in();
        let name = catalog.entries[known].profile.name.clone();
        let id = format!("{prefix}vendor.{name}-{date}-v{version}:0");
        prop_assert_eq!(catalog.resolve(&id).name, name);
    }
}
