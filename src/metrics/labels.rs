//! Label sets, and names whose number is bounded.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use prometheus_client::encoding::EncodeLabelSet;

/// The name that stands for all others.
pub(super) const OTHER: &str = "other";
/// The longest name that is a label, in bytes.
const LONGEST: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Rpc {
    pub(super) method: &'static str,
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Method {
    pub(super) method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Code {
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StageName {
    pub(super) stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Attempt {
    pub(super) model: Arc<str>,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Tokens {
    pub(super) model: Arc<str>,
    pub(super) direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallerName {
    pub(super) caller: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Cost {
    pub(super) model: Arc<str>,
    pub(super) caller: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Model {
    pub(super) model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeName {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AdjustmentKind {
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Version {
    pub(super) version: &'static str,
}

/// The first names that come, up to a number; all others are [`OTHER`]. A known name costs no allocation.
#[derive(Debug)]
pub(super) struct Names {
    known: RwLock<HashMap<Box<str>, Arc<str>>>,
    most: usize,
    other: Arc<str>,
}

impl Names {
    pub(super) fn at_most(most: usize) -> Self {
        Self { known: RwLock::default(), most, other: Arc::from(OTHER) }
    }

    /// The label for `name`, escaped as the formats want it.
    pub(super) fn label(&self, name: &str) -> Arc<str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = known.get(name) {
            return Arc::clone(label);
        }
        if known.len() >= self.most || name.len() > LONGEST {
            return Arc::clone(&self.other);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Others may have come in between.
        if known.len() >= self.most && !known.contains_key(name) {
            return Arc::clone(&self.other);
        }
        Arc::clone(known.entry(name.into()).or_insert_with(|| escaped(name).into()))
    }
}

/// A certificate may name its owner with quotes or line ends in it, and the client library writes labels as they are.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '\\' => escaped.push_str(r"\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str(r"\n"),
            char if char.is_control() => escaped.push('?'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_labels_and_all_others_are_one() {
        let names = Names::at_most(2);
        assert_eq!(
            [names.label("a"), names.label("b"), names.label("c")].map(|label| label.to_string()),
            ["a", "b", OTHER]
        );
        assert!(Arc::ptr_eq(&names.label("a"), &names.label("a")), "a known name is not made again");
        assert_eq!(&*Names::at_most(2).label(&"x".repeat(LONGEST + 1)), OTHER);
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        assert_eq!(&*Names::at_most(2).label("a\"} 1\nb\\\r"), "a\\\"} 1\\nb\\\\?");
    }
}
