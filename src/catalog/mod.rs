//! Which models there are and how each must be spoken to: data, not code.
//!
//! `models.toml` has the models that this version ships; an operator's file is laid over it. `docs/MODELS.md` says what
//! may stand in one.

mod check;
mod error;
mod file;
mod ids;
mod layers;
mod models;
mod words;

use crate::domain::ModelProfile;
pub use error::{CatalogError, Place};
use layers::Layers;
pub use models::Models;
pub use words::Word;

/// Longest catalogue file in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Most models, and most aliases, of a catalogue file.
pub const MAX_ENTRIES: usize = 1000;

/// The models that this version ships.
const BUILT_IN: &str = include_str!("models.toml");

/// The models that this version, or its operator, knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    layers: Layers,
    entries: Vec<Entry>,
    aliases: Vec<(String, String)>,
}

/// A model of the catalogue.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    profile: ModelProfile,
    /// Further parts of ids that mean this model.
    names: Vec<String>,
    /// When its vendor or Bedrock ends it, for people.
    end_of_life: Option<String>,
}

impl Catalog {
    /// The catalogue that this version ships.
    ///
    /// # Errors
    /// When the shipped file is broken, which a test rules out.
    pub fn built_in() -> Result<Self, CatalogError> {
        Self { layers: Layers::default(), entries: Vec::new(), aliases: Vec::new() }.with_file(BUILT_IN)
    }

    /// This catalogue with an operator's file laid over it.
    ///
    /// # Errors
    /// What is wrong with the file and where.
    pub fn with_file(mut self, text: &str) -> Result<Self, CatalogError> {
        self.layers.add(text, file::read(text)?)?;
        (self.entries, self.aliases) = self.layers.build();
        Ok(self)
    }

    /// The profile of an alias, of a name of the catalogue, or of any Bedrock id or ARN. A known name behind another prefix
    /// or inside an ARN is found, and keeps the id as it was written; an unknown model gets careful defaults.
    ///
    /// An id that is not the catalogue's own has no fallbacks and no Region: those of the catalogue might lead out of the
    /// geography, or past the access rules, that it was chosen for.
    pub fn resolve(&self, name: &str) -> ModelProfile {
        let name = self.meant_by(name);
        match (self.entry(name), self.held_by(name)) {
            (Some(known), _) => known.profile.clone(),
            (None, Some(known)) => {
                ModelProfile { id: name.to_owned(), region: None, fallbacks: Vec::new(), ..known.profile.clone() }
            }
            (None, None) => ids::careful(name),
        }
    }

    /// What an alias stands for; any other name itself.
    fn meant_by<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| alias == name).map_or(name, |(_, name)| name)
    }

    /// The entry of this name, or else of this id.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let named = self.entries.iter().find(|entry| entry.profile.name == name);
        named.or_else(|| self.entries.iter().find(|entry| entry.profile.id == name))
    }

    /// Whether an alias, a name or an id means an entry, not just a model like it.
    fn has(&self, name: &str) -> bool {
        self.entry(self.meant_by(name)).is_some()
    }

    /// The model with the longest name that the id holds.
    fn held_by(&self, id: &str) -> Option<&Entry> {
        let mut best: Option<(&Entry, usize)> = None;
        for entry in &self.entries {
            for name in std::iter::once(&entry.profile.name).chain(&entry.names) {
                let is_longer = best.is_none_or(|(_, length)| name.len() > length);
                if is_longer && ids::holds(id, name) && !ids::is_other_version(id, &entry.profile.id, name) {
                    best = Some((entry, name.len()));
                }
            }
        }
        best.map(|(entry, _)| entry)
    }

    /// The names of all models, and the profile of each, in the catalogue's order.
    fn profiles(&self) -> impl Iterator<Item = &ModelProfile> {
        self.entries.iter().map(|entry| &entry.profile)
    }

    /// The aliases, the default first.
    fn aliases(&self) -> impl Iterator<Item = &str> {
        let is_default = |alias: &&str| *alias == ModelProfile::DEFAULT_ALIAS;
        let all = || self.aliases.iter().map(|(alias, _)| alias.as_str());
        all().filter(is_default).chain(all().filter(move |alias| !is_default(alias)))
    }

    /// When the model's vendor or Bedrock ends it, as a date for people.
    fn end_of_life(&self, model: &ModelProfile) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.profile.name == model.name)?;
        entry.end_of_life.as_deref()
    }
}

#[cfg(test)]
mod tests;
