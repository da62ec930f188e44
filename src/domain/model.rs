//! What the service must know of a model before it calls it.
//!
//! Source: Anthropic's "Vision" and "Coordinates and bounding boxes" pages, Amazon Bedrock's model cards (2026-11).

/// The size rule of a family of models: a picture that exceeds either bound is reduced before the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisionTier {
    /// Longest edge in pixels, counted in whole 28-pixel patches.
    pub max_edge: u32,
    /// Most visual tokens, one for each 28x28 patch begun.
    pub max_visual_tokens: u32,
}

impl VisionTier {
    /// Claude 3 to 4.6.
    pub const STANDARD: Self = Self { max_edge: 1568, max_visual_tokens: 1568 };
    /// Claude 4.7 and later.
    pub const HIGH_RESOLUTION: Self = Self { max_edge: 2576, max_visual_tokens: 4784 };
}

/// What a model does about extended thinking, which eats output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// Off unless asked for: nothing is sent.
    OffByDefault,
    /// On unless switched off: it is switched off.
    Disable,
    /// Cannot be switched off.
    Always,
}

/// A model and how it must be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelProfile {
    /// Whole Bedrock model id, inference-profile id or ARN.
    pub id: String,
    /// How large a picture it sees.
    pub tier: VisionTier,
    /// Whether it takes `temperature`; newer models refuse the request that holds one.
    pub takes_temperature: bool,
    /// Whether it takes a forced tool choice.
    pub takes_forced_tool: bool,
    /// Its rule on thinking.
    pub thinking: Thinking,
    /// Most output tokens that it takes in a request.
    pub max_output_tokens: u32,
    /// Whether this version knows the model.
    pub is_familiar: bool,
    /// Whether it is an object detector that only speaks a language model's protocol.
    pub is_detector: bool,
}

/// One row of the built-in table: the part of an id that names a family, and how the family behaves.
struct Family {
    name: &'static str,
    tier: VisionTier,
    takes_temperature: bool,
    takes_forced_tool: bool,
    thinking: Thinking,
    max_output_tokens: u32,
}

/// Claude 3 takes 4096 output tokens, later models far more than any answer here needs.
const SHORT: u32 = 4096;
const LONG: u32 = 32_000;

const fn family(
    name: &'static str,
    tier: VisionTier,
    takes_temperature: bool,
    takes_forced_tool: bool,
    thinking: Thinking,
    max_output_tokens: u32,
) -> Family {
    Family { name, tier, takes_temperature, takes_forced_tool, thinking, max_output_tokens }
}

/// Longer names stand before their own beginnings: the first row that an id contains wins.
const FAMILIES: [Family; 15] = {
    use Thinking::{Always, Disable, OffByDefault};
    const STD: VisionTier = VisionTier::STANDARD;
    const HIGH: VisionTier = VisionTier::HIGH_RESOLUTION;
    [
        family("claude-sonnet-5-5", HIGH, false, false, Always, LONG),
        family("claude-opus-5-5", HIGH, false, false, Always, LONG),
        family("claude-haiku-5-5", HIGH, false, true, Disable, LONG),
        family("claude-fable-5", HIGH, false, false, Always, LONG),
        family("claude-sonnet-5", HIGH, false, true, Disable, LONG),
        family("claude-opus-5", HIGH, false, true, Disable, LONG),
        family("claude-opus-4-8", HIGH, false, true, OffByDefault, LONG),
        family("claude-opus-4-7", HIGH, false, true, OffByDefault, LONG),
        family("claude-opus-4-6", STD, true, true, OffByDefault, LONG),
        family("claude-sonnet-4-6", STD, true, true, OffByDefault, LONG),
        family("claude-opus-4-5", STD, true, true, OffByDefault, LONG),
        family("claude-sonnet-4-5", STD, true, true, OffByDefault, LONG),
        family("claude-haiku-4-5", STD, true, true, OffByDefault, LONG),
        family("claude-3", STD, true, true, OffByDefault, SHORT),
        family(ModelProfile::DETECTOR_ID, STD, true, true, OffByDefault, LONG),
    ]
};

impl ModelProfile {
    /// The model that is asked when neither the operator nor the caller names one.
    pub const DEFAULT_ID: &'static str = "global.anthropic.claude-sonnet-5";
    /// The alias of the model that is used when a request names none.
    pub const DEFAULT_ALIAS: &'static str = "default";
    /// The detector behind the embedded endpoint.
    pub const DETECTOR_ID: &'static str = "sightline.nanodet-416";

    /// The features that this model can never answer, by their field names: it is not asked for them.
    pub fn unsupported(&self) -> &'static [&'static str] {
        if self.is_detector { &["text"] } else { &[] }
    }

    /// The profile of a Bedrock id. A known name behind another prefix or inside an ARN is found; an unknown model gets
    /// what every Claude model takes: the smaller picture, no sampling parameters, the tool offered rather than forced.
    pub fn resolve(id: &str) -> Self {
        let known = FAMILIES.iter().find(|family| id.contains(family.name));
        let careful = family("", VisionTier::STANDARD, false, false, Thinking::OffByDefault, SHORT);
        let family = known.unwrap_or(&careful);
        Self {
            id: id.to_owned(),
            tier: family.tier,
            takes_temperature: family.takes_temperature,
            takes_forced_tool: family.takes_forced_tool,
            thinking: family.thinking,
            max_output_tokens: family.max_output_tokens,
            is_familiar: known.is_some(),
            is_detector: family.name == Self::DETECTOR_ID,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_model_sees_more_and_takes_no_temperature() {
        let model = ModelProfile::resolve(ModelProfile::DEFAULT_ID);
        assert_eq!(model.tier, VisionTier::HIGH_RESOLUTION);
        assert!(!model.takes_temperature && model.takes_forced_tool && model.is_familiar);
        assert_eq!(model.thinking, Thinking::Disable);
    }

    #[test]
    fn a_known_name_is_found_behind_any_prefix_and_inside_an_arn() {
        for id in [
            "anthropic.claude-3-sonnet-20240229-v1:0",
            "us.anthropic.claude-sonnet-4-6",
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        ] {
            let model = ModelProfile::resolve(id);
            assert!(model.is_familiar && model.takes_temperature, "{id}");
            assert_eq!(model.tier, VisionTier::STANDARD, "{id}");
        }
    }

    #[test]
    fn a_longer_name_is_not_taken_for_its_beginning() {
        assert_eq!(ModelProfile::resolve("global.anthropic.claude-sonnet-5-5").thinking, Thinking::Always);
        assert_eq!(ModelProfile::resolve("global.anthropic.claude-sonnet-5").thinking, Thinking::Disable);
    }

    #[test]
    fn an_unknown_model_gets_careful_defaults() {
        let model = ModelProfile::resolve("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc");
        assert!(!model.is_familiar && !model.takes_temperature && !model.takes_forced_tool);
        assert_eq!(model.tier, VisionTier::STANDARD);
    }
}
