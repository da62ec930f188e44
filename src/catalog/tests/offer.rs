//! What callers may name.

use super::*;

fn offer(default: Option<&str>, allowed: Option<&[&str]>) -> Models {
    let allowed: Option<Vec<String>> = allowed.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    Models::new(built_in(), default, allowed.as_deref()).unwrap()
}

fn rows(models: &Models) -> Vec<(&str, &str)> {
    models.rows().map(|(name, model)| (name, model.id.as_str())).collect()
}

#[test]
fn without_a_list_all_but_the_detector_can_be_named() {
    let models = offer(None, None);
    let names: Vec<_> = models.rows().map(|(name, _)| name).collect();
    assert_eq!(names[..4], ["default", "fast", "precise", "claude-sonnet-5-5"]);
    assert_eq!(names.len(), built_in().entries.len() - 1, "each model once");
    assert!(models.find(ModelProfile::DETECTOR_ID).is_none());
    assert_eq!(models.find("claude-sonnet-5"), Some(models.default_model()));
    assert!(models.find("eu.anthropic.claude-sonnet-5").is_none(), "only what is listed");
}

#[test]
fn every_row_can_be_named_and_no_name_twice() {
    for models in [
        offer(None, None),
        offer(Some("us.anthropic.claude-opus-4-8"), None),
        offer(Some("fast"), Some(&["fast", "claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5", "own.x", "own.x"])),
        offer(Some("own.x"), Some(&[])),
    ] {
        for (name, model) in models.rows() {
            assert_eq!(models.find(name), Some(model));
            assert_eq!(models.find(&model.id).map(|found| &found.id), Some(&model.id));
        }
        let mut names: Vec<_> = models.rows().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        assert_eq!(models.rows().next().unwrap(), ("default", models.default_model()));
    }
}

#[test]
fn a_default_by_another_id_takes_its_names_place() {
    let models = offer(Some("us.anthropic.claude-opus-4-8"), None);
    assert_eq!(models.find("claude-opus-4-8").unwrap().id, "us.anthropic.claude-opus-4-8");
    assert!(models.find("global.anthropic.claude-opus-4-8").is_none());
    assert_eq!(models.find("claude-sonnet-5").unwrap().id, "global.anthropic.claude-sonnet-5");
}

#[test]
fn a_list_restricts() {
    let models = offer(None, Some(&["precise", "claude-haiku-4-5", "eu.anthropic.claude-sonnet-5", "own.model"]));
    assert_eq!(
        rows(&models),
        [
            ("default", "global.anthropic.claude-sonnet-5"),
            ("precise", "global.anthropic.claude-opus-5"),
            ("claude-haiku-4-5", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ("eu.anthropic.claude-sonnet-5", "eu.anthropic.claude-sonnet-5"),
            ("own.model", "own.model"),
        ]
    );
    assert!(models.find("fast").is_none() && models.find("claude-haiku-5-5").is_none());
    let by_name = offer(None, Some(&["claude-opus-5"]));
    assert_eq!(rows(&by_name)[1].0, "precise", "an alias of what is allowed is allowed");
    assert_eq!(rows(&offer(None, Some(&["default"]))).len(), 1);
}

#[test]
fn fallbacks_are_other_living_models_by_the_servers_own_ids() {
    let models = offer(None, Some(&["us.anthropic.claude-sonnet-4-6"]));
    let fallbacks = |models: &Models, name: &str| {
        models.fallbacks_of(models.find(name).unwrap()).into_iter().map(|model| model.id).collect::<Vec<_>>()
    };
    assert_eq!(fallbacks(&models, "claude-sonnet-5"), ["us.anthropic.claude-sonnet-4-6"]);
    assert_eq!(
        fallbacks(&offer(None, None), "claude-opus-5"),
        ["global.anthropic.claude-opus-4-8", "global.anthropic.claude-opus-4-7"]
    );
    let catalog = under(
        "[models.claude-sonnet-5]\nfallbacks = [\"default\", \"claude-3-sonnet\", \"nova-lite\", \"us.amazon.nova-lite-v1:0\"]",
    );
    let models = Models::new(catalog, None, None).unwrap();
    assert_eq!(
        fallbacks(&models, "claude-sonnet-5"),
        ["us.amazon.nova-lite-v1:0"],
        "not itself, not the dead, not twice"
    );
}

#[test]
fn a_fallback_that_is_a_bare_id_is_asked_in_the_region_of_the_model_that_names_it() {
    let arn = "arn:aws:bedrock:eu-west-3:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1";
    let catalog = under(&format!(
        r#"
        [models.sonnet-eu]
        extends = "claude-sonnet-5"
        id = "eu.anthropic.claude-sonnet-5"
        region = "eu-central-1"
        fallbacks = ["eu.anthropic.claude-sonnet-4-6", "nova-lite", "global.anthropic.claude-opus-5", "{arn}"]
        "#
    ));
    for allowed in [None, Some(vec!["eu.anthropic.claude-sonnet-4-6".to_owned()])] {
        let models = Models::new(catalog.clone(), Some("sonnet-eu"), allowed.as_deref()).unwrap();
        let fallbacks = models.fallbacks_of(models.default_model());
        let regions: Vec<_> = fallbacks.iter().map(|model| (model.id.as_str(), model.region.as_deref())).collect();
        assert_eq!(
            regions,
            [
                ("eu.anthropic.claude-sonnet-4-6", Some("eu-central-1")),
                ("us.amazon.nova-lite-v1:0", None),
                ("global.anthropic.claude-opus-5", None),
                (arn, None),
            ],
            "entries of the catalogue have Regions of their own, and so have ARNs"
        );
    }
}

#[test]
fn end_of_life_is_told() {
    let models = offer(Some("claude-3-sonnet"), None);
    assert!(models.default_model().has_ended);
    assert_eq!(models.end_of_life(models.default_model()), Some("2026-07-30"));
    assert_eq!(models.end_of_life(&built_in().resolve("claude-opus-5")), None);
}
