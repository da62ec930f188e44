//! The policy that a server begins with.

use std::path::PathBuf;

use super::{ConfigError, ServerArgs, read_at_most};
use crate::{
    catalog::Models,
    policy::{MAX_BYTES, Policy, PolicyError},
};

/// A policy file as it was at the start.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it held.
    pub text: String,
    /// What that means.
    pub policy: Policy,
}

/// Reads a policy for a server that offers these models.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_policy(text: &str, models: &Models) -> Result<Policy, PolicyError> {
    Policy::read(text, |name| models.find(name).cloned())
}

/// The policy file that the settings name.
pub(super) fn load(args: &ServerArgs, models: &Models) -> Result<Option<PolicyFile>, ConfigError> {
    let Some(path) = args.policy.clone() else { return Ok(None) };
    let text =
        read_at_most(MAX_BYTES, &path).map_err(|error| ConfigError::PolicyUnreadable { path: path.clone(), error })?;
    match read_policy(&text, models) {
        Ok(policy) => Ok(Some(PolicyFile { path, text, policy })),
        Err(error) => Err(ConfigError::PolicyWrong { path, error }),
    }
}
