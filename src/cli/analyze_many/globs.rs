//! Globs: a walk that is no deeper and no wider than the pattern, through no link to a folder.

use std::path::{Path, is_separator};

use glob::{MatchOptions, Pattern, PatternError};
use walkdir::{DirEntry, WalkDir};

const META: [char; 3] = ['*', '?', '['];
/// As in a shell.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A pattern, apart from the folder in which it begins.
pub struct Glob {
    /// With its separator; empty for the working folder.
    base: String,
    whole: Pattern,
    /// One for each folder on the way, up to a `**` or the last one, which is for files.
    folders: Vec<Pattern>,
    /// How deep the walk goes.
    depth: usize,
    /// Whether `**` enters hidden folders: the pattern names one somewhere.
    hidden: bool,
}

impl Glob {
    /// Whether it can be read as one.
    pub fn is_one(text: &str) -> bool {
        text.contains(META)
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// One that is broken, such as `a[b`.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let first = text.find(META).unwrap_or(text.len());
        let base = text.split_at(first).0;
        let (base, rest) = text.split_at(base.rfind(is_separator).map_or(0, |at| at + 1));
        let whole = Pattern::new(rest)?;
        let parts: Vec<_> = rest.split(is_separator).collect();
        let before = parts.iter().position(|part| *part == "**").unwrap_or(parts.len() - 1);
        let folders = parts.iter().take(before).map(|part| Pattern::new(part)).collect::<Result<_, _>>()?;
        let depth = if parts.contains(&"**") { usize::MAX } else { parts.len() };
        let hidden = parts.iter().any(|part| part.starts_with('.'));
        Ok(Self { base: base.to_owned(), whole, folders, depth, hidden })
    }

    /// Everything where it begins, in the order of names; [`Self::is_walked`] says where it is of use to go on.
    pub fn walk(&self) -> WalkDir {
        let base = if self.base.is_empty() { "." } else { &self.base };
        WalkDir::new(base).max_depth(self.depth).sort_by_file_name()
    }

    /// Whether it can match, or be a folder on the way to what does.
    pub fn is_walked(&self, entry: &DirEntry) -> bool {
        let Some(level) = entry.depth().checked_sub(1).filter(|_| entry.file_type().is_dir()) else { return true };
        let name = entry.file_name().to_string_lossy();
        match self.folders.get(level) {
            Some(folder) => folder.matches_with(&name, OPTIONS),
            None => self.hidden || !name.starts_with('.'),
        }
    }

    /// Whether the pattern is of this name.
    pub fn matches(&self, entry: &DirEntry) -> bool {
        let path = self.named(entry);
        path.strip_prefix(&self.base).is_ok_and(|rest| self.whole.matches_with(&rest.to_string_lossy(), OPTIONS))
    }

    /// The path as the pattern begins it.
    pub fn named<'a>(&self, entry: &'a DirEntry) -> &'a Path {
        let path = entry.path();
        if self.base.is_empty() { path.strip_prefix(".").unwrap_or(path) } else { path }
    }
}
