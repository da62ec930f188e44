//! Why a call is not let in, and why a policy cannot be used.

use std::{fmt, time::Duration};

/// Something that a caller's rule does not allow. It never says what others may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No rule names the caller.
    #[error("no rule names the caller")]
    NoRule,
    /// The object, or the prefix of a listing, lies outside what the caller may read.
    #[error("an object or prefix of bucket {bucket}")]
    ObjectNotAllowed {
        /// The bucket that was asked for.
        bucket: String,
    },
    /// The caller may not send pictures in its requests.
    #[error("an inline picture")]
    InlineNotAllowed,
    /// The caller may not ask the model.
    #[error("model {model}")]
    ModelNotAllowed {
        /// The Bedrock id of the model that was asked for.
        model: String,
    },
}

/// What of a caller is limited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Requests and items begun.
    RequestsPerSecond(f64),
    /// Requests and items in work at once.
    InFlight(u32),
    /// Tokens on a day, UTC.
    TokensPerDay(u64),
}

impl Limit {
    /// Its name in the policy file.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond(_) => "requests_per_second",
            Self::InFlight(_) => "max_in_flight",
            Self::TokensPerDay(_) => "tokens_per_day",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestsPerSecond(most) => write!(formatter, "{most} requests per second"),
            Self::InFlight(most) => write!(formatter, "{most} requests in flight"),
            Self::TokensPerDay(most) => write!(formatter, "{most} tokens a day"),
        }
    }
}

/// A caller has used up what it may.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{limit} are used up")]
pub struct LimitReached {
    /// Which limit.
    pub limit: Limit,
    /// When it is worth coming back.
    pub retry_after: Duration,
}

/// Why a call is not let in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It is not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is allowed, but not now.
    #[error(transparent)]
    Limit(#[from] LimitReached),
}

/// Everything that is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Lines(.mistakes))]
pub struct PolicyError {
    /// In the order of the file; never empty.
    pub mistakes: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, from 1; `None` when it is the file as a whole.
    pub line: Option<usize>,
    /// What is wrong and what to do, in one line that a terminal shows as it is.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.problem),
            None => formatter.write_str(&self.problem),
        }
    }
}

/// One mistake behind the other, of very many the first.
struct Lines<'a>(&'a [Mistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 50;
        for (index, mistake) in self.0.iter().take(SHOWN).enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(formatter, "{between}{mistake}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(formatter, "\nand {more} more"),
        }
    }
}
