//! What callers may do: the rules of a file, and what they allow each call.
//!
//! The service's own role reads many buckets and uses every model; a policy says which caller may have which part of that,
//! and how much of it. The first rule that names a caller decides. docs/POLICY.md describes the file.

mod accounts;
mod error;
mod file;
mod guard;
mod limits;
mod pattern;

pub use error::{Denied, Limit, LimitReached, Mistake, PolicyError, Refused};
pub use guard::{Guard, Pass};
pub use limits::{Limits, Rate};

use crate::domain::{Caller, ModelProfile};
use pattern::{Callers, Objects};

/// Longest policy file in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Who may do what, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    rules: Vec<Rule>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    callers: Vec<Callers>,
    objects: Vec<Objects>,
    /// Whether pictures in the request are taken.
    inline: bool,
    /// `None` means every model that the server offers.
    models: Option<Vec<ModelProfile>>,
    limits: Limits,
}

/// What a caller wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted<'a> {
    /// Which picture.
    pub picture: Picture<'a>,
    /// The model that is to be asked; `None` when the server offers none of that name, which is said elsewhere. Its
    /// fallbacks are asked in its place whatever the rule says: the operator's catalogue decides about them.
    pub model: Option<&'a ModelProfile>,
}

/// A picture, or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture<'a> {
    /// One object.
    Object {
        /// Bucket name or access-point ARN.
        bucket: &'a str,
        /// Key, taken literally.
        key: &'a str,
    },
    /// Every object under a prefix.
    Listing {
        /// Bucket name or access-point ARN.
        bucket: &'a str,
        /// Prefix of the keys, taken literally.
        prefix: &'a str,
    },
    /// The bytes of the request.
    Inline,
}

impl Policy {
    /// Reads a policy file. `offered` looks a model up by alias, name or id among those that the server offers.
    ///
    /// # Errors
    /// Everything that is wrong with it, and where.
    pub fn read(text: &str, offered: impl Fn(&str) -> Option<ModelProfile>) -> Result<Self, PolicyError> {
        file::read(text, &offered)
    }

    /// What works, but hardly as it was meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many rules it has.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Whether the caller may do that, its limits aside.
    ///
    /// # Errors
    /// [`Denied`], by what is not allowed.
    pub fn decide(&self, caller: &Caller, wanted: &Wanted<'_>) -> Result<(), Denied> {
        self.rule_for(caller)?.allow(wanted)
    }

    /// Whether the caller may ask that model.
    pub fn may_use(&self, caller: &Caller, model: &ModelProfile) -> bool {
        self.rule_for(caller).is_ok_and(|rule| rule.offers(model))
    }

    /// What the caller may use up.
    ///
    /// # Errors
    /// [`Denied::NoRule`] when no rule names it.
    pub fn limits_of(&self, caller: &Caller) -> Result<Limits, Denied> {
        self.rule_for(caller).map(|rule| rule.limits)
    }

    fn rule_for(&self, caller: &Caller) -> Result<&Rule, Denied> {
        let names = |rule: &&Rule| rule.callers.iter().any(|callers| callers.hold(caller));
        self.rules.iter().find(names).ok_or(Denied::NoRule)
    }
}

impl Rule {
    fn allow(&self, wanted: &Wanted<'_>) -> Result<(), Denied> {
        match wanted.picture {
            // A listing lies within an allowed prefix when all keys that begin with its own do.
            Picture::Object { bucket, key: start } | Picture::Listing { bucket, prefix: start } => {
                if !self.objects.iter().any(|objects| objects.hold(bucket, start)) {
                    return Err(Denied::ObjectNotAllowed { bucket: bucket.to_owned() });
                }
            }
            Picture::Inline if !self.inline => return Err(Denied::InlineNotAllowed),
            Picture::Inline => {}
        }
        match wanted.model {
            Some(model) if !self.offers(model) => Err(Denied::ModelNotAllowed { model: model.id.clone() }),
            _ => Ok(()),
        }
    }

    fn offers(&self, model: &ModelProfile) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }
}

#[cfg(test)]
mod tests;
