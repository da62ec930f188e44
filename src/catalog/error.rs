//! Why a catalogue cannot be used.

use std::{fmt, ops::Range};

use crate::toml_text::{self, one_line};

/// Why a catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The file is too long to be one.
    #[error("it is longer than {} KiB, the most that a catalogue may have", super::MAX_BYTES / 1024)]
    TooLong,
    /// The file is no TOML, or says what it must not.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where in the file.
        place: Place,
        /// What is wrong and what to do, in one line that a terminal shows as it is.
        problem: String,
    },
    /// No model is named for requests that name none.
    #[error("no alias `default`: name a model for requests that name none under [aliases], or with --model")]
    NoDefault,
}

impl CatalogError {
    /// The error at a place of the file, given in bytes from its start.
    pub(super) fn at(text: &str, span: Range<usize>, problem: &str) -> Self {
        Self::Invalid { place: Place::of(text, span.start), problem: one_line(problem) }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Self { line: toml_text::line(text, offset), column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
