//! What people name, turned into pictures one by one: nothing is walked or read further than it is taken.

use std::{
    io::{self, BufRead, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use tokio::sync::mpsc;
use tonic_types::pb;
use walkdir::WalkDir;

use super::failure;
use crate::cli::{
    plain,
    source::{Source, SourceError, split_object},
};

/// What the server decodes, by the ends of names.
const SUFFIXES: [&str; 5] = [".jpg", ".jpeg", ".png", ".gif", ".webp"];
/// Most bytes of a line of a manifest: a key has 1024, a path some thousands.
const MAX_MANIFEST_LINE: u64 = 64 * 1024;

/// A source as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// A file, a folder or, where there is none of the name, a glob.
    Path(PathBuf),
    /// One object.
    Object(Source),
    /// All pictures under a prefix.
    Listing(Listing),
    /// Sources on standard input.
    Manifest,
}

/// All pictures under a prefix of a bucket; the server lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Empty for the whole bucket.
    pub prefix: String,
}

impl Listing {
    /// `s3://BUCKET/PREFIX`, as the server names a listing that failed.
    pub fn name(&self) -> String {
        self.object(&self.prefix)
    }

    /// `s3://BUCKET/KEY` of a key in its bucket.
    pub fn object(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

impl FromStr for Spec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text == "-" {
            return Ok(Self::Manifest);
        }
        let Some(address) = text.strip_prefix("s3://") else {
            return Ok(match text.parse()? {
                Source::File(path) => Self::Path(path),
                object @ Source::Object { .. } => Self::Object(object),
            });
        };
        let (bucket, prefix) = split_object(address).unwrap_or((address, ""));
        if bucket.is_empty() {
            return Err(SourceError::IncompleteObject(plain::line(text)));
        }
        if prefix.is_empty() || prefix.ends_with('/') {
            return Ok(Self::Listing(Listing { bucket: bucket.to_owned(), prefix: prefix.to_owned() }));
        }
        Ok(Self::Object(text.parse()?))
    }
}

/// What a source turned out to be.
#[derive(Debug, Clone)]
pub enum Entry {
    /// One picture and the name it has in the results.
    Picture(String, Source),
    /// All pictures under a prefix.
    Listing(Listing),
    /// Nothing that can be asked for: its name and why.
    Failed(String, pb::Status),
}

/// Where sources come from and what is taken of them.
#[derive(Debug, Clone)]
pub struct Sources {
    /// As they are named.
    pub specs: Vec<Spec>,
    /// What names in a folder must end with; empty for those of pictures.
    pub suffixes: Vec<String>,
    /// A folder whose files are no sources: those that this run writes.
    pub except: Option<PathBuf>,
}

impl Sources {
    /// Starts turning sources into entries on a thread of its own, which is at most one entry ahead of who takes them.
    pub fn read(self) -> mpsc::Receiver<Entry> {
        let (entries, taken) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || self.each(&mut |entry| entries.blocking_send(entry).is_ok()));
        taken
    }

    /// How many entries there are, where that can be told without S3 and standard input. Walks folders: slow.
    pub fn count(&self) -> Option<u64> {
        if self.specs.iter().any(|spec| matches!(spec, Spec::Listing(_) | Spec::Manifest)) {
            return None;
        }
        let mut count = 0;
        self.each(&mut |_| {
            count += 1;
            true
        });
        Some(count)
    }

    /// Hands over entry after entry until it is told false.
    fn each(&self, take: &mut dyn FnMut(Entry) -> bool) {
        for spec in &self.specs {
            let go_on = match spec {
                Spec::Manifest => self.manifest(io::stdin().lock(), take),
                spec => self.expand(spec, take),
            };
            if !go_on {
                return;
            }
        }
    }

    fn manifest(&self, mut lines: impl BufRead, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut lines).take(MAX_MANIFEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return true,
                Ok(_) if line.len() as u64 == MAX_MANIFEST_LINE && !line.ends_with(b"\n") => {
                    let shown: String = String::from_utf8_lossy(&line).chars().take(100).collect();
                    let why = "the line is longer than 64 KiB: give one source a line";
                    if !skip_line(&mut lines) || !take(Entry::Failed(format!("{shown}..."), failure::invalid(why))) {
                        return false;
                    }
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    let why = format!("cannot read standard input: {error}");
                    return take(Entry::Failed("-".to_owned(), failure::invalid(&why)));
                }
            }
            if !self.named(&line, take) {
                return false;
            }
        }
    }

    /// One line of a manifest.
    fn named(&self, line: &[u8], take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return true;
        }
        match text.parse() {
            Ok(Spec::Manifest) => {
                let why = "a manifest cannot name standard input: for a file of that name write ./-";
                take(Entry::Failed(text.to_owned(), failure::invalid(why)))
            }
            Ok(spec) => self.expand(&spec, take),
            Err(error) => take(Entry::Failed(text.to_owned(), failure::of(&error))),
        }
    }

    fn expand(&self, spec: &Spec, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        match spec {
            Spec::Path(path) => self.path(path, take),
            Spec::Object(object) => take(Entry::Picture(object_name(object), object.clone())),
            Spec::Listing(listing) => take(Entry::Listing(listing.clone())),
            Spec::Manifest => true,
        }
    }

    /// What exists wins over what could be a glob.
    fn path(&self, path: &Path, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        match path.symlink_metadata() {
            Ok(_) if path.is_dir() => self.folder(path, take),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_glob(path) => self.glob(path, take),
            // A file that cannot be read says so when it is its turn.
            _ => take(picture(path)),
        }
    }

    fn glob(&self, pattern: &Path, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let name = pattern.display().to_string();
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let matches = match glob::glob_with(&name, options) {
            Ok(matches) => matches,
            Err(error) => return take(Entry::Failed(name, failure::invalid(&format!("is no glob: {error}")))),
        };
        let mut any = false;
        for found in matches {
            any = true;
            let go_on = match found {
                Ok(path) if path.is_dir() => self.folder(&path, take),
                Ok(path) => take(picture(&path)),
                Err(error) => take(unreadable(error.path(), error.error())),
            };
            if !go_on {
                return false;
            }
        }
        any || take(Entry::Failed(
            name.clone(),
            failure::no_pictures(&format!("no file matches {}", plain::line(&name))),
        ))
    }

    /// Pictures by their names, in the order of names; what is hidden is left out, as are links to folders.
    fn folder(&self, folder: &Path, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let mut any = false;
        let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
        for found in walk.filter_entry(|entry| entry.depth() == 0 || self.is_walked(entry)) {
            let entry = match found {
                Ok(entry) if entry.file_type().is_dir() || !self.is_picture(entry.path()) => continue,
                Ok(entry) => picture(entry.path()),
                Err(error) => walk_failed(folder, &error),
            };
            any = true;
            if !take(entry) {
                return false;
            }
        }
        let why = || format!("there is no picture in {}", plain::line(&folder.display().to_string()));
        any || take(Entry::Failed(folder.display().to_string(), failure::no_pictures(&why())))
    }

    fn is_walked(&self, entry: &walkdir::DirEntry) -> bool {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            return false;
        }
        let is_own = |own: &PathBuf| entry.path().canonicalize().is_ok_and(|path| path == *own);
        !entry.file_type().is_dir() || !self.except.as_ref().is_some_and(is_own)
    }

    /// A file, or a link to one, with the name of a picture.
    fn is_picture(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let named = match self.suffixes.as_slice() {
            [] => SUFFIXES.iter().any(|suffix| name.ends_with(suffix)),
            wanted => wanted.iter().any(|suffix| name.ends_with(&suffix.to_lowercase())),
        };
        // A link that leads nowhere is reported when it is read.
        named && !path.is_dir()
    }
}

/// Reads to the end of a line without keeping it. Answers whether that could be done.
fn skip_line(lines: &mut impl BufRead) -> bool {
    let mut piece = Vec::new();
    loop {
        piece.clear();
        match lines.take(MAX_MANIFEST_LINE).read_until(b'\n', &mut piece) {
            Ok(0) => return true,
            Ok(_) if piece.ends_with(b"\n") => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn is_glob(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn picture(path: &Path) -> Entry {
    match path.to_str() {
        Some(name) => Entry::Picture(name.to_owned(), Source::File(path.to_owned())),
        None => {
            let why = "the file's name is not UTF-8, so no result can name it: rename the file";
            Entry::Failed(path.display().to_string(), failure::invalid(why))
        }
    }
}

fn walk_failed(folder: &Path, error: &walkdir::Error) -> Entry {
    let path = error.path().unwrap_or(folder);
    match error.io_error() {
        Some(cause) => unreadable(path, cause),
        None => Entry::Failed(path.display().to_string(), failure::invalid(&plain::line(&error.to_string()))),
    }
}

fn unreadable(path: &Path, cause: &io::Error) -> Entry {
    let name = path.display().to_string();
    let cause = io::Error::new(cause.kind(), cause.to_string());
    Entry::Failed(name.clone(), failure::of(&SourceError::Unreadable { path: plain::line(&name), cause }))
}

/// `s3://BUCKET/KEY`, or a file's path.
fn object_name(source: &Source) -> String {
    match source {
        Source::Object { bucket, key } => format!("s3://{bucket}/{key}"),
        Source::File(path) => path.display().to_string(),
    }
}

#[cfg(test)]
#[cfg(feature = "embedded")]
#[path = "sources_tests.rs"]
mod tests;
