//! Why a feature has no result: for the caller, and for the model that is asked again.

use crate::domain::{MissingCause, MissingFeature};

/// Most violations of a schema that the model is shown.
const MOST_VIOLATIONS: usize = 10;

/// Longest text about one violation, in characters.
const LONGEST: usize = 300;

/// Why a feature could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such field, or it holds nothing.
    Absent,
    /// It is neither of the form that was asked for nor of any that stands for it.
    WrongForm,
    /// The values do not satisfy the caller's schema.
    Violations(Vec<String>),
}

impl Fault {
    /// The fault in words for the caller.
    fn describe(&self) -> String {
        match self {
            Self::Absent => "the model left it out".to_owned(),
            Self::WrongForm => "the model gave it in a form that cannot be read".to_owned(),
            Self::Violations(all) => {
                let first = all.first().map_or("", String::as_str);
                shortened(&format!("the values do not satisfy the schema: {first}"))
            }
        }
    }

    pub(super) fn missing(&self, name: &'static str) -> MissingFeature {
        MissingFeature { name, cause: MissingCause::Unreadable(self.describe()) }
    }

    /// What to tell a model that is to do better.
    pub(super) fn mistakes(&self, name: &str) -> Vec<String> {
        let (field, form) = wanted(name);
        match self {
            Self::Absent => vec![format!("`{field}` is missing. Write it as {form}.")],
            Self::WrongForm => vec![format!("`{field}` cannot be read. Write it as {form}.")],
            Self::Violations(all) => {
                let say =
                    |violation: &String| shortened(&format!("`{field}` does not satisfy its schema: {violation}"));
                all.iter().take(MOST_VIOLATIONS).map(say).collect()
            }
        }
    }
}

/// What to tell a model whose answer holds none of what was asked for.
pub(super) fn no_answer(features: &[&str]) -> Vec<String> {
    let fields: Vec<String> = features.iter().map(|name| format!("`{}`", wanted(name).0)).collect();
    vec![format!(
        "There is no JSON object with what was asked for. Write one object with the fields {}.",
        fields.join(", ")
    )]
}

/// A feature's field in the answer, and its form in words for a model.
fn wanted(feature: &str) -> (&str, &'static str) {
    match feature {
        "sensitivity" => (
            feature,
            "an object with `verdict` (sensitive, not_sensitive or uncertain), `reason` and the list `findings`",
        ),
        "labels" => (feature, "a list of objects with `name`, `display_name`, `confidence` and the list `instances`"),
        "text" => (feature, "an object with the list `lines`, each an object with `text` and `box`"),
        "prompt" => ("answer", "a string that is not empty"),
        "extraction" => (feature, "an object that satisfies its schema"),
        _ => (feature, "a string that is not empty"),
    }
}

/// At most [`LONGEST`] characters, none of them a control character.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.pop();
        short.push('…');
    }
    short
}
