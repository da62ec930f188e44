//! The catalogue and what of it the server offers.

use std::{io, path::PathBuf};

use super::{ServerArgs, read_at_most};
use crate::{
    catalog::{Catalog, CatalogError, MAX_BYTES, Models},
    domain::ModelProfile,
    policy::PolicyError,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of the catalogue cannot be read.
    #[error("cannot read the catalogue {}, which --models or SIGHTLINE_MODELS names: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The file of the catalogue is wrong.
    #[error("the catalogue {} is wrong: {error}; docs/MODELS.md says what may stand in it", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and how.
        error: CatalogError,
    },
    /// The catalogue as a whole cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It is not clear who may call.
    #[error(transparent)]
    Access(#[from] super::AccessError),
    /// The policy file cannot be read.
    #[error("cannot read the policy {}, which --policy or SIGHTLINE_POLICY names: {error}", path.display())]
    PolicyUnreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The policy file is wrong.
    #[error("the policy {} is wrong; docs/POLICY.md says what may stand in it\n{error}", path.display())]
    PolicyWrong {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, a line each.
        error: PolicyError,
    },
}

/// The models that the server offers. An embedded stack has the detector and nothing else, unless told otherwise.
pub(super) fn offered(args: &ServerArgs, is_embedded: bool) -> Result<Models, ConfigError> {
    let mut catalog = Catalog::built_in()?;
    if let Some(path) = &args.models {
        let text =
            read_at_most(MAX_BYTES, path).map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?;
        catalog = catalog.with_file(&text).map_err(|error| ConfigError::Wrong { path: path.clone(), error })?;
    }
    let default = args.model.as_deref().or(is_embedded.then_some(ModelProfile::DETECTOR_ID));
    let allowed = args.allowed_models.as_deref().or(if is_embedded { Some(&[]) } else { None });
    Ok(Models::new(catalog, default, allowed)?)
}
