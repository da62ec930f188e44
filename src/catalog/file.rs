//! A catalogue file: TOML, read strictly. What it says is checked value by value; whether its names lead anywhere is the
//! catalogue's matter.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    CatalogError, MAX_BYTES, MAX_ENTRIES,
    check::{self, Checker},
};
use crate::domain::{Api, Coordinates, Prices, Sampling, Strategy, Thinking, VisionTier};

/// A file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    aliases: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    models: BTreeMap<Spanned<String>, WrittenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenEntry {
    pub(super) extends: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) names: Option<Vec<Spanned<String>>>,
    pub(super) api: Option<Spanned<String>>,
    pub(super) image: Option<WrittenImage>,
    pub(super) coordinates: Option<Spanned<String>>,
    pub(super) output: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) sampling: Option<Spanned<String>>,
    pub(super) thinking: Option<Spanned<String>>,
    pub(super) max_output_tokens: Option<Spanned<i64>>,
    pub(super) region: Option<Spanned<String>>,
    pub(super) prices: Option<WrittenPrices>,
    pub(super) fallbacks: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) ended: Option<bool>,
    pub(super) end_of_life: Option<Spanned<String>>,
    pub(super) detector: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenImage {
    pub(super) max_edge: Spanned<i64>,
    pub(super) max_visual_tokens: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPrices {
    pub(super) input: Spanned<f64>,
    pub(super) output: Spanned<f64>,
    pub(super) cache_read: Option<Spanned<f64>>,
    pub(super) cache_write: Option<Spanned<f64>>,
}

/// A text of the file and where it stands there.
pub(super) type Marked = Spanned<String>;

/// A file whose values are sound, in its own order.
pub(super) struct File {
    /// Only the models of this file are to be in the catalogue.
    pub(super) replace: bool,
    pub(super) aliases: Vec<(Marked, Marked)>,
    pub(super) models: Vec<(Marked, Fields)>,
}

/// What an entry says; what it leaves out comes from elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) extends: Option<Marked>,
    pub(super) id: Option<String>,
    pub(super) names: Option<Vec<String>>,
    pub(super) api: Option<Api>,
    pub(super) tier: Option<VisionTier>,
    pub(super) coordinates: Option<Coordinates>,
    pub(super) strategies: Option<Vec<Strategy>>,
    pub(super) sampling: Option<Sampling>,
    pub(super) thinking: Option<Thinking>,
    pub(super) max_output_tokens: Option<u32>,
    /// Empty means the server's own.
    pub(super) region: Option<String>,
    pub(super) prices: Option<Prices>,
    pub(super) fallbacks: Option<Vec<Marked>>,
    pub(super) has_ended: Option<bool>,
    pub(super) end_of_life: Option<String>,
    pub(super) is_detector: Option<bool>,
}

impl Fields {
    /// These fields over those of `below`; what neither says stays unsaid.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            extends: self.extends.or(below.extends),
            id: self.id.or(below.id),
            names: self.names.or(below.names),
            api: self.api.or(below.api),
            tier: self.tier.or(below.tier),
            coordinates: self.coordinates.or(below.coordinates),
            strategies: self.strategies.or(below.strategies),
            sampling: self.sampling.or(below.sampling),
            thinking: self.thinking.or(below.thinking),
            max_output_tokens: self.max_output_tokens.or(below.max_output_tokens),
            region: self.region.or(below.region),
            prices: self.prices.or(below.prices),
            fallbacks: self.fallbacks.or(below.fallbacks),
            has_ended: self.has_ended.or(below.has_ended),
            end_of_life: self.end_of_life.or(below.end_of_life),
            is_detector: self.is_detector.or(below.is_detector),
        }
    }
}

/// Reads a file.
pub(super) fn read(text: &str) -> Result<File, CatalogError> {
    if text.len() > MAX_BYTES {
        return Err(CatalogError::TooLong);
    }
    let written: Written = toml::from_str(text)
        .map_err(|error| CatalogError::at(text, error.span().unwrap_or_default(), error.message()))?;
    let check = Checker { text };
    let mut models = Vec::new();
    for (name, entry) in in_file_order(written.models) {
        check.count(&name, models.len() + 1, MAX_ENTRIES, "models")?;
        check.name(&name)?;
        models.push((name, check::fields(&check, entry)?));
    }
    let mut aliases = Vec::new();
    for (alias, target) in in_file_order(written.aliases) {
        check.count(&alias, aliases.len() + 1, MAX_ENTRIES, "aliases")?;
        check.name(&alias)?;
        aliases.push((alias, target));
    }
    Ok(File { replace: written.replace, aliases, models })
}

/// The parser sorts keys; people expect the order they wrote.
fn in_file_order<V>(table: BTreeMap<Marked, V>) -> Vec<(Marked, V)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}
