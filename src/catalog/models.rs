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
    /// and the default may be named.
    ///
    /// # Errors
    /// When the catalogue names no default and none is given.
    pub fn new(catalog: Catalog, default: Option<&str>, allowed: Option<&[String]>) -> Result<Self, CatalogError> {
        let default = catalog.resolve(default.unwrap_or(ModelProfile::DEFAULT_ALIAS));
        let mut rows = vec![(ModelProfile::DEFAULT_ALIAS.to_owned(), default.clone())];
        let names: Vec<String> = match allowed {
            Some(names) => names.to_vec(),
            None => catalog.entries.iter().map(|entry| entry.name.clone()).collect(),
        };
        rows.extend(names.iter().map(|name| (name.clone(), catalog.resolve(name))));
        Ok(Self { catalog, rows, default })
    }

    /// The model that is asked when a request names none.
    pub fn default_model(&self) -> &ModelProfile {
        &self.default
    }

    /// The model that a caller names by alias, name or id, if the server offers it.
    pub fn find(&self, name: &str) -> Option<&ModelProfile> {
        self.rows
            .iter()
            .find(|(alias, model)| alias == name || model.id == name || model.name == name)
            .map(|(_, model)| model)
    }

    /// Every name that callers may use and the model it stands for, the default first.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &ModelProfile)> {
        self.rows.iter().map(|(alias, model)| (alias.as_str(), model))
    }

    /// The models to ask instead of `model`, in order. The operator's catalogue decides, whatever callers may name.
    pub fn fallbacks_of(&self, model: &ModelProfile) -> Vec<ModelProfile> {
        model.fallbacks.iter().map(|name| self.catalog.resolve(name)).collect()
    }
}
