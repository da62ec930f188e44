//! Everything that is wrong with a request, collected before any of it is said.

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Full path, such as `features.labels.max_results`.
    pub(super) field: String,
    /// Stable cause in UPPER_SNAKE_CASE.
    pub(super) reason: &'static str,
    /// What is wrong and what to do.
    pub(super) description: String,
}

/// Collects violations.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    pub(super) fn add(&mut self, field: impl Into<String>, reason: &'static str, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), reason, description: description.into() });
    }

    pub(super) fn required(&mut self, field: &str, description: &str) {
        self.add(field, "REQUIRED", description);
    }

    /// Checks a text's length in characters.
    pub(super) fn check_length(&mut self, field: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if length > most {
            self.add(field, "TOO_LONG", format!("has {length} characters; at most {most} are taken"));
        }
    }

    pub(super) fn check_count(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.add(field, "TOO_MANY", format!("has {count} entries; at most {most} are taken"));
        }
    }

    /// Checks a fraction.
    pub(super) fn check_fraction(&mut self, field: &str, value: Option<f32>) {
        if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            self.add(field, "OUT_OF_RANGE", "must lie in [0, 1]");
        }
    }

    /// The violations with their paths below `parent`.
    pub(super) fn below(self, parent: &str) -> Self {
        let below = |violation: Violation| Violation { field: format!("{parent}.{}", violation.field), ..violation };
        Self(self.0.into_iter().map(below).collect())
    }

    /// `value` when nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Violation>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}
