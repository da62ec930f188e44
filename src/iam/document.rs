//! IAM's own document: what it holds and how it is written.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Most characters of a managed policy; whitespace does not count.
pub const MAX_MANAGED: usize = 6144;

/// Most characters of all inline policies of a role together; whitespace does not count.
pub const MAX_INLINE: usize = 10_240;

/// One value, or several: IAM takes both forms, and people read the short one better.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Values(Vec<String>);

impl Values {
    /// Adds a value that is not there yet.
    pub(super) fn add(&mut self, value: String) {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a value is a pattern rather than a name.
    pub(super) fn has_patterns(&self) -> bool {
        self.0.iter().any(|value| value.contains(['*', '?']))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<T: Into<String>> FromIterator<T> for Values {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut all = Self::default();
        values.into_iter().for_each(|value| all.add(value.into()));
        all
    }
}

impl From<String> for Values {
    fn from(value: String) -> Self {
        Self(vec![value])
    }
}

impl From<&str> for Values {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

/// Operators, the keys that they look at, and the values wanted there.
type Conditions = BTreeMap<&'static str, BTreeMap<&'static str, Values>>;

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<BTreeMap<&'static str, String>>,
    action: Values,
    #[serde(skip_serializing_if = "Values::is_empty")]
    resource: Values,
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    condition: Conditions,
}

impl Statement {
    /// Allows the actions on the resources.
    pub(super) fn allow(sid: &'static str, actions: &[&str], resource: Values) -> Self {
        let action = actions.iter().copied().collect();
        Self { sid, effect: "Allow", principal: None, action, resource, condition: Conditions::new() }
    }

    /// Lets a service of AWS take the role.
    pub(super) fn trust(sid: &'static str, service: &str) -> Self {
        let principal = Some(BTreeMap::from([("Service", service.to_owned())]));
        Self { principal, ..Self::allow(sid, &["sts:AssumeRole"], Values::default()) }
    }

    /// The same, where a key of the request has one of the values.
    pub(super) fn only_if(mut self, operator: &'static str, key: &'static str, values: impl Into<Values>) -> Self {
        self.condition.entry(operator).or_default().insert(key, values.into());
        self
    }
}

/// A policy of IAM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

impl Policy {
    pub(super) fn of(statement: Vec<Statement>) -> Self {
        Self { version: "2012-10-17", statement }
    }

    /// The document as JSON for people, ending with a newline. All of it is ASCII: IAM takes no other characters than those
    /// of Latin-1, but every escape.
    pub fn json(&self) -> String {
        // Plain data cannot fail to be written.
        ascii(&serde_json::to_string_pretty(self).unwrap_or_default()) + "\n"
    }

    /// Its length as IAM counts it: whitespace left out.
    pub fn size(&self) -> usize {
        let compact = ascii(&serde_json::to_string(self).unwrap_or_default());
        compact.chars().filter(|c| !c.is_ascii_whitespace()).count()
    }
}

/// JSON with everything outside ASCII escaped.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        match c {
            ' '..='~' | '\n' => text.push(c),
            _ => c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    text
}
