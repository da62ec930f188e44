//! Who calls.

use std::{fmt, sync::Arc};

/// A caller's name, as policies, logs and metrics know it: a SPIFFE id or DNS name of its certificate, the name beside its
/// token, or the subject of its JWT. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(Arc<str>);

impl Caller {
    /// The name of whoever gave no identity. No identity source may give it to anybody else.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// The caller of that name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// A caller without identity.
    pub fn anonymous() -> Self {
        Self::named(Self::ANONYMOUS)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether there is no identity.
    pub fn is_anonymous(&self) -> bool {
        self.name() == Self::ANONYMOUS
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
