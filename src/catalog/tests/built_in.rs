//! The shipped file against the facts about each model, written down a second time.

use super::*;
use crate::domain::{Api, Coordinates, Prices, VisionTier};

/// Name, what it sees, ways to JSON by their first letters, sampling, thinking, most output tokens, price in and out.
const FACTS: [&str; 22] = [
    "claude-sonnet-5        high  fap   none        disable 128000 2/10",
    "claude-haiku-5-5       high  fap   none        disable 128000 0.1/0.5",
    "claude-opus-5          high  fap   none        disable 128000 5/25",
    "claude-sonnet-5-5      high  ap    none        always  128000 2/10",
    "claude-opus-5-5        high  ap    none        always  128000 4/20",
    "claude-fable-5-1       high  ap    none        always  128000 10/50",
    "claude-opus-4-8        high  fap   none        off     128000 5/25",
    "claude-opus-4-7        high  fap   none        off     128000 5/25",
    "claude-sonnet-4-6      std   nfap  temperature off      64000 3/15",
    "claude-opus-4-6        std   nfap  temperature off     128000 5/25",
    "claude-opus-4-5        std   nfap  one_of      off      64000 5/25",
    "claude-sonnet-4-5      std   nfap  one_of      off      64000 3/15",
    "claude-haiku-4-5       std   nfap  one_of      off      64000 1/5",
    "claude-3-sonnet        std   fap   all         off       4096 3/15",
    "nova-lite              2048  fap   all         off       5000 0.06/0.24",
    "nova-pro               2048  fap   all         off       5000 0.8/3.2",
    "nova-2-lite            2048  fap   all         off      64000 0.3/2.5",
    "llama4-maverick        1568  ap    all         off       8192 0.24/0.97",
    "llama4-scout           1568  ap    all         off       8192 0.17/0.66",
    "pixtral-large          1568  ap    all         off      16000 2/6",
    "qwen3-vl               1568  ap    all         off      32000 -",
    "sightline.nanodet-416  std   fap   temperature off      32000 0/0",
];

fn facts(model: &ModelProfile) -> String {
    let tier = match model.tier {
        VisionTier::HIGH_RESOLUTION => "high".to_owned(),
        VisionTier::STANDARD => "std".to_owned(),
        VisionTier { max_edge, max_visual_tokens } => {
            assert_eq!(max_visual_tokens, None, "{}", model.name);
            max_edge.to_string()
        }
    };
    let ways: String = model.strategies.iter().map(|strategy| &strategy.word()[..1]).collect();
    let price = model.prices.map_or("-".to_owned(), |prices| format!("{}/{}", prices.input, prices.output));
    let (sampling, thinking, tokens) = (model.sampling.word(), model.thinking.word(), model.max_output_tokens);
    format!("{} {tier} {ways} {sampling} {thinking} {tokens} {price}", model.name)
}

#[test]
fn every_shipped_model_is_as_the_facts_say() {
    let shipped: Vec<String> = built_in().profiles().map(facts).collect();
    let facts = FACTS.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(shipped, facts);
}

#[test]
fn vendors_differ_in_api_coordinates_and_profile() {
    for model in built_in().profiles() {
        let name = model.name.as_str();
        let is_claude = name.starts_with("claude");
        let speaks_messages = is_claude || model.is_detector;
        assert_eq!(model.api, if speaks_messages { Api::Messages } else { Api::Converse }, "{name}");
        let per_mille = name.starts_with("nova") || name.starts_with("qwen");
        assert_eq!(model.coordinates, if per_mille { Coordinates::PerMille } else { Coordinates::Pixels }, "{name}");
        let prefix = match name {
            "claude-3-sonnet" => "anthropic.",
            "nova-2-lite" => "global.amazon.",
            "qwen3-vl" => "qwen.",
            ModelProfile::DETECTOR_ID => ModelProfile::DETECTOR_ID,
            _ if is_claude => "global.anthropic.",
            _ => "us.",
        };
        assert!(model.id.starts_with(prefix), "{name}: {}", model.id);
        assert_eq!(model.has_ended, name == "claude-3-sonnet", "{name}");
        assert_eq!(model.is_detector, name == ModelProfile::DETECTOR_ID, "{name}");
        assert!(model.is_familiar && model.region.is_none(), "{name}");
        assert_eq!(built_in().resolve(&model.id), *model, "{name}: its own id");
        assert_eq!(built_in().resolve(name), *model, "{name}: its own name");
    }
}

#[test]
fn aliases_stand_for_models() {
    let named = |alias| built_in().resolve(alias).name;
    assert_eq!(["default", "fast", "precise"].map(named), ["claude-sonnet-5", "claude-haiku-5-5", "claude-opus-5"]);
}

#[test]
fn fallbacks_are_few_and_neither_ended_nor_detectors() {
    let catalog = built_in();
    for model in catalog.profiles() {
        assert!(model.fallbacks.len() <= 2, "{}", model.name);
        assert!(!model.is_detector || model.fallbacks.is_empty());
        for fallback in &model.fallbacks {
            let fallback = catalog.resolve(fallback);
            assert!(fallback.is_familiar && !fallback.has_ended && !fallback.is_detector, "{}", model.name);
            let (Some(own), Some(other)) = (model.prices, fallback.prices) else { panic!("{}", model.name) };
            // The cheapest fall back to the next cheapest, which costs more, but little.
            assert!(other.output <= own.output * 1.5 || other.output <= 5.0, "{} to {}", model.name, fallback.name);
        }
    }
    assert_eq!(catalog.resolve("default").fallbacks, ["claude-sonnet-4-6"]);
    assert_eq!(catalog.resolve("claude-3-sonnet").fallbacks, ["claude-sonnet-4-6"]);
}

#[test]
fn cache_prices_that_are_not_given_follow_from_the_input() {
    let prices = built_in().resolve("claude-3-sonnet").prices.unwrap();
    let Prices { cache_read, cache_write, .. } = prices;
    assert!((cache_read - 0.3).abs() < 1e-9 && (cache_write - 3.75).abs() < 1e-9, "{prices:?}");
    let nova = built_in().resolve("nova-lite").prices.unwrap();
    assert_eq!((nova.cache_read, nova.cache_write), (0.015, 0.0), "as given, 0 too");
}

/// The rows of docs/MODELS.md.
fn documented() -> String {
    let mut table = "| name | id | sees | boxes | ways to JSON | thinking | USD in / out | falls back to |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for model in built_in().profiles() {
        let tokens = model.tier.max_visual_tokens.map_or(String::new(), |tokens| format!(", {tokens} tokens"));
        let ways: Vec<_> = model.strategies.iter().map(|strategy| strategy.word()).collect();
        let price = model.prices.map_or("not known".to_owned(), |price| format!("{} / {}", price.input, price.output));
        let ModelProfile { name, id, tier, thinking, fallbacks, .. } = model;
        let (edge, boxes, thinking) = (tier.max_edge, model.coordinates.word(), thinking.word());
        let (ways, fallbacks) = (ways.join(", "), fallbacks.join(", "));
        let row =
            format!("| {name} | `{id}` | {edge} px{tokens} | {boxes} | {ways} | {thinking} | {price} | {fallbacks} |");
        table += &(row.replace("|  |", "| |") + "\n");
    }
    table
}

#[test]
fn the_documentation_has_the_shipped_models() {
    let text = include_str!("../../../docs/MODELS.md");
    assert!(text.contains(&documented()), "put this into docs/MODELS.md:\n{}", documented());
}

#[test]
fn the_documentation_has_every_field_and_its_example_works() {
    let text = include_str!("../../../docs/MODELS.md");
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let catalog = under(example);
    assert_eq!(catalog.resolve("default").name, "team-a");
    assert_eq!(catalog.resolve("sonnet-eu").region.as_deref(), Some("eu-central-1"));
    assert_eq!(catalog.resolve("nova-pro").prices.unwrap().output, 2.8);
    // The parser names all fields when one is wrong.
    let error = built_in().with_file("[models.x]\nwrong = 1").unwrap_err().to_string();
    let fields: Vec<_> = error.split("expected one of ").nth(1).unwrap().split(", ").collect();
    assert_eq!(fields.len(), 16, "{fields:?}");
    for field in fields {
        let name = field.trim_matches('`');
        assert!(text.contains(&format!("| `{name}`")) || text.contains(&format!("| `{name}.")), "{name}");
    }
}
