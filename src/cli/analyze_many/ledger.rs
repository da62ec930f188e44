//! What has been answered: which sources have a line, and how far each listing has come. The same knowledge serves a
//! stream that is taken up again and a run that is.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use serde::{Deserialize, de::IgnoredAny};
use tonic::Code;

use super::sources::Listing;

/// A name in 16 bytes: a run of millions of pictures need not keep their names.
pub type Fingerprint = (u64, u64);

/// Of a line of results what a later run needs.
#[derive(Debug, Deserialize)]
pub struct Head {
    /// The picture, or the listing that failed.
    pub source: String,
    /// The listing that it came from.
    pub listing: Option<String>,
    #[serde(rename = "resumeAfter", default)]
    resume_after: String,
    analysis: Option<IgnoredAny>,
    error: Option<Failed>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    #[serde(default)]
    code: i32,
}

impl Head {
    /// Reads a line.
    ///
    /// # Errors
    /// Text that is no result, in words.
    pub fn read(line: &str) -> Result<Self, String> {
        let head: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        match head.analysis.is_some() ^ head.error.is_some() {
            true => Ok(head),
            false => Err("neither an analysis nor an error".to_owned()),
        }
    }

    /// Whether it holds an error.
    pub fn is_failure(&self) -> bool {
        self.error.is_some()
    }

    /// Whether it holds an error that may have been gone a moment later.
    fn is_passing(&self) -> bool {
        let code = self.error.as_ref().map(|error| Code::from_i32(error.code));
        matches!(code, Some(Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted))
    }
}

#[derive(Debug, Clone, Copy)]
struct Last {
    line: u64,
    failed: bool,
}

/// How far a listing has come.
#[derive(Debug, Default)]
pub struct Reached {
    /// Every key up to this one has been answered.
    pub after: String,
    /// How many those are.
    pub below: u64,
    /// Keys behind `after` that have been answered too.
    above: BTreeSet<String>,
    /// Keys that failed, as long as that is to be mended.
    failed: BTreeSet<String>,
    /// Whether the last that was heard of it is that it failed as a whole, and not in the middle for a passing reason.
    failed_whole: bool,
}

impl Reached {
    /// Takes in an answer and the watermark that came with it.
    pub fn answered(&mut self, key: &str, resume_after: &str) {
        if key > self.after.as_str() {
            self.above.insert(key.to_owned());
        }
        if resume_after > self.after.as_str() {
            resume_after.clone_into(&mut self.after);
            let behind = self.above.split_off(resume_after);
            let below = std::mem::replace(&mut self.above, behind);
            self.below += below.len() as u64 + u64::from(self.above.remove(resume_after));
        }
    }
}

/// What has been answered, in this run and before it.
#[derive(Debug, Default)]
pub struct Ledger {
    hashers: [RandomState; 2],
    last: HashMap<Fingerprint, Last>,
    listings: HashMap<String, Reached>,
    /// Lines so far.
    lines: u64,
    /// Lines that were there before this run.
    earlier: u64,
    retry_failed: bool,
    /// Listings that this run has gone through to their ends.
    whole: Vec<Listing>,
}

impl Ledger {
    /// Nothing answered yet. With `retry_failed` an earlier failure counts as no answer.
    pub fn new(retry_failed: bool) -> Self {
        Self { retry_failed, ..Self::default() }
    }

    /// The name in short.
    pub fn fingerprint(&self, name: &str) -> Fingerprint {
        let [one, two] = &self.hashers;
        (one.hash_one(name), two.hash_one(name))
    }

    /// Takes in a line of an earlier run.
    pub fn read(&mut self, head: &Head) {
        self.answered(&head.source, head.is_failure());
        self.earlier = self.lines;
        let listing = head.listing.as_deref().and_then(|name| Some((name, key_in(name, &head.source)?)));
        let Some((name, key)) = listing else { return };
        let reached = self.listings.entry(name.to_owned()).or_default();
        // What the listing itself failed with is no object's answer.
        reached.failed_whole = head.source == name;
        if reached.failed_whole {
            let begun = !reached.after.is_empty() || !reached.above.is_empty();
            reached.failed_whole = !(begun && head.is_passing());
        } else {
            reached.answered(key, &head.resume_after);
            match head.is_failure() && self.retry_failed {
                true => reached.failed.insert(key.to_owned()),
                false => reached.failed.remove(key),
            };
        }
    }

    /// Takes in a line of this run.
    pub fn answered(&mut self, source: &str, failed: bool) {
        let last = Last { line: self.lines, failed };
        self.last.insert(self.fingerprint(source), last);
        self.lines += 1;
    }

    /// Takes in that a listing, which failed earlier perhaps, has come to its end, or to the most that was wanted of it.
    pub fn finished(&mut self, listing: &Listing, whole: bool) {
        self.last.remove(&self.fingerprint(&listing.name()));
        if whole {
            self.whole.push(listing.clone());
        }
    }

    /// Whether everything of a listing was part of one that this run has gone through. One that has a line of its own, a
    /// failure, is not to be left with it.
    pub fn is_within(&self, listing: &Listing) -> bool {
        if self.last.contains_key(&self.fingerprint(&listing.name())) {
            return false;
        }
        let mut others = self.whole.iter().filter(|other| other.bucket == listing.bucket);
        others.any(|other| listing.prefix.starts_with(&other.prefix))
    }

    /// Whether the source has its line, so that it is not asked for again.
    pub fn has(&self, source: &str) -> bool {
        let last = self.last.get(&self.fingerprint(source));
        last.is_some_and(|last| last.line >= self.earlier || !last.failed || !self.retry_failed)
    }

    /// How far a listing has come.
    pub fn reached(&mut self, listing: &Listing) -> &mut Reached {
        self.listings.entry(listing.name()).or_default()
    }

    /// Whether a listing failed in an earlier run and is not to be asked for again.
    pub fn is_left(&self, listing: &Listing) -> bool {
        !self.retry_failed && self.listings.get(&listing.name()).is_some_and(|reached| reached.failed_whole)
    }

    /// Keys of a listing that failed and that it will not come by again.
    pub fn take_failed(&mut self, listing: &Listing) -> Vec<String> {
        let reached = self.reached(listing);
        let failed = std::mem::take(&mut reached.failed);
        failed.into_iter().filter(|key| *key <= reached.after).collect()
    }

    /// Sources whose last line is an earlier run's failure.
    pub fn failed_earlier(&self) -> u64 {
        self.last.values().filter(|last| last.failed && last.line < self.earlier).count() as u64
    }

    /// Whether line `number` of an earlier run, from 0, is still the last word on its source.
    pub fn is_last(&self, source: &str, number: u64) -> bool {
        self.last.get(&self.fingerprint(source)).is_some_and(|last| last.line == number)
    }

    /// How many lines there were before this run.
    pub fn earlier(&self) -> u64 {
        self.earlier
    }
}

/// The key of an object that came from the listing; empty for the listing itself.
fn key_in<'a>(listing: &str, source: &'a str) -> Option<&'a str> {
    if listing == source {
        return Some("");
    }
    match listing.parse() {
        Ok(super::sources::Spec::Listing(listing)) => source.strip_prefix(&listing.object("")),
        _ => None,
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
