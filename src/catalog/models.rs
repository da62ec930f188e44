//! What a server offers: the models that callers may name.

use super::{Catalog, CatalogError};
use crate::domain::ModelProfile;

/// The models that callers may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Models {
    catalog: Catalog,
    /// Alias or name, and the model; the first is the default.
    rows: Vec<(String, ModelProfile)>,
    default: ModelProfile,
}

impl Models {
    /// The models of `catalog`: with `default`, that one is used when a request names none; with `allowed`, only these
    /// and the default may be named. Without `allowed`, all but detectors.
    ///
    /// # Errors
    /// When the catalogue names no default and none is given.
    pub fn new(catalog: Catalog, default: Option<&str>, allowed: Option<&[String]>) -> Result<Self, CatalogError> {
        let has_default = catalog.aliases().any(|alias| alias == ModelProfile::DEFAULT_ALIAS);
        if default.is_none() && !has_default {
            return Err(CatalogError::NoDefault);
        }
        let default = catalog.resolve(default.unwrap_or(ModelProfile::DEFAULT_ALIAS));
        let offered: Vec<ModelProfile> = match allowed {
            Some(names) => names.iter().map(|name| catalog.resolve(name)).collect(),
            None => catalog.profiles().filter(|model| !model.is_detector).cloned().collect(),
        };
        let mut rows = vec![(ModelProfile::DEFAULT_ALIAS.to_owned(), default.clone())];
        for alias in catalog.aliases().filter(|alias| *alias != ModelProfile::DEFAULT_ALIAS) {
            let model = catalog.resolve(alias);
            // Without a list, an alias stands for whatever the operator gave it.
            if offered.contains(&model) || allowed.is_none() {
                rows.push((alias.to_owned(), model));
            }
        }
        for model in offered {
            // Under another id, it is the default that its name stands for.
            if allowed.is_some() || model.name != default.name {
                add(&mut rows, model);
            }
        }
        Ok(Self { catalog, rows, default })
    }

    /// The model that is asked when a request names none.
    pub fn default_model(&self) -> &ModelProfile {
        &self.default
    }

    /// The model that a caller names by alias, name or id, if the server offers it.
    pub fn find(&self, name: &str) -> Option<&ModelProfile> {
        let by = |matches: &dyn Fn(&str, &ModelProfile) -> bool| {
            self.rows.iter().find(|(alias, model)| matches(alias, model)).map(|(_, model)| model)
        };
        by(&|alias, _| alias == name)
            .or_else(|| by(&|_, model| model.id == name))
            .or_else(|| by(&|_, model| model.name == name))
    }

    /// Every name that callers may use and the model it stands for: the default first, then the other aliases, then by
    /// name the models that have none.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &ModelProfile)> {
        self.rows.iter().map(|(alias, model)| (alias.as_str(), model))
    }

    /// The models to ask instead of `model`, in order. The operator's catalogue decides, whatever callers may name; a
    /// model that the server offers under an id of its own is asked by that, and one that has ended is passed over. An id
    /// that is not the catalogue's own is asked in the Region of the model that names it: a profile is known in its own
    /// geography only.
    pub fn fallbacks_of(&self, model: &ModelProfile) -> Vec<ModelProfile> {
        let mut fallbacks: Vec<ModelProfile> = Vec::new();
        for name in &model.fallbacks {
            let mut other = self.find(name).cloned().unwrap_or_else(|| self.catalog.resolve(name));
            // An ARN says its own.
            if !self.catalog.has(name) && !other.id.starts_with("arn:") {
                other.region.clone_from(&model.region);
            }
            let is_new = |known: &ModelProfile| known.id != other.id || known.region != other.region;
            if !other.has_ended && is_new(model) && fallbacks.iter().all(is_new) {
                fallbacks.push(other);
            }
        }
        fallbacks
    }

    /// When the model's vendor or Bedrock ends it, as a date for people; `None` when the catalogue does not say.
    pub fn end_of_life(&self, model: &ModelProfile) -> Option<&str> {
        self.catalog.end_of_life(model)
    }
}

/// Adds a model by its name, or by its id where its name means another one already. One that callers can name already
/// is left out.
fn add(rows: &mut Vec<(String, ModelProfile)>, model: ModelProfile) {
    let is_named = rows.iter().any(|(alias, known)| *alias == model.name || known.name == model.name);
    if rows.iter().any(|(_, known)| *known == model) {
        return;
    }
    let name = if is_named { model.id.clone() } else { model.name.clone() };
    if !rows.iter().any(|(alias, known)| *alias == name || known.id == name) {
        rows.push((name, model));
    }
}
