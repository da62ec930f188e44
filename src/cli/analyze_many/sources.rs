//! What people name, turned into pictures one by one: nothing is walked or read further than it is taken.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use tokio::sync::mpsc;
use tonic_types::pb;
use walkdir::WalkDir;

use super::{failure, globs::Glob};
use crate::{
    cli::{
        plain,
        source::{Source, SourceError},
    },
    domain::ObjectRef,
};

/// What the server decodes, by the ends of names.
const SUFFIXES: [&str; 8] = [".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"];

/// A source as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// A file, a folder or, on a command line where there is none of the name, a glob.
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

impl Spec {
    /// The bucket that it names.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::Object(Source::Object { bucket, .. }) | Self::Listing(Listing { bucket, .. }) => Some(bucket),
            _ => None,
        }
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
        let (bucket, prefix) = ObjectRef::split(address).unwrap_or((address, ""));
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
                Spec::Path(path) => self.path(path, take),
                spec => self.expand(spec, take),
            };
            if !go_on {
                return;
            }
        }
    }

    pub(super) fn expand(&self, spec: &Spec, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        match spec {
            Spec::Path(path) if path.is_dir() => self.folder(path, take),
            // A file that cannot be read says so when it is its turn.
            Spec::Path(path) => take(picture(path)),
            Spec::Object(object) => take(Entry::Picture(object_name(object), object.clone())),
            Spec::Listing(listing) => take(Entry::Listing(listing.clone())),
            Spec::Manifest => true,
        }
    }

    /// What exists wins over what could be a glob.
    fn path(&self, path: &Path, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        match (path.symlink_metadata(), path.to_str()) {
            (Err(error), Some(text)) if error.kind() == io::ErrorKind::NotFound && Glob::is_one(text) => {
                self.glob(text, take)
            }
            _ => self.expand(&Spec::Path(path.to_owned()), take),
        }
    }

    /// Files by their names, in the order of names. As in a folder no link to another one is followed: it may lead back.
    fn glob(&self, pattern: &str, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let glob = match Glob::new(pattern) {
            Ok(glob) => glob,
            Err(error) => {
                let why = format!("there is no file {}, and as a glob it is broken: {error}", plain::line(pattern));
                return take(Entry::Failed(pattern.to_owned(), failure::invalid(&why)));
            }
        };
        let mut any = false;
        for found in glob.walk().into_iter().filter_entry(|entry| glob.is_walked(entry) && !self.is_own(entry)) {
            let entry = match found {
                Ok(entry) if glob.matches(&entry) && is_file(&entry) => picture(glob.named(&entry)),
                Err(error) if !is_missing(&error) => walk_failed(Path::new(pattern), &error),
                _ => continue,
            };
            any = true;
            if !take(entry) {
                return false;
            }
        }
        let why = || format!("no file matches {}: for what is in a folder add /* or /**/*", plain::line(pattern));
        any || take(Entry::Failed(pattern.to_owned(), failure::no_pictures(&why())))
    }

    /// Pictures by their names, in the order of names; what is hidden is left out, as are links to folders.
    fn folder(&self, folder: &Path, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let mut any = false;
        let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
        for found in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry) && !self.is_own(entry)) {
            let entry = match found {
                Ok(entry) if !self.is_picture(&entry) => continue,
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

    /// Whether it is the folder that this run writes into.
    fn is_own(&self, entry: &walkdir::DirEntry) -> bool {
        let is_own = |own: &PathBuf| entry.path().canonicalize().is_ok_and(|path| path == *own);
        entry.file_type().is_dir() && self.except.as_ref().is_some_and(is_own)
    }

    /// A file, or a link to one, with the name of a picture.
    fn is_picture(&self, entry: &walkdir::DirEntry) -> bool {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let named = match self.suffixes.as_slice() {
            [] => SUFFIXES.iter().any(|suffix| name.ends_with(suffix)),
            wanted => wanted.iter().any(|suffix| name.ends_with(&suffix.to_lowercase())),
        };
        named && is_file(entry)
    }
}

/// Whether it can be read to its end: no folder, pipe or device. A link that leads nowhere says so when it is read.
fn is_file(entry: &walkdir::DirEntry) -> bool {
    match entry.path_is_symlink() {
        true => entry.path().metadata().is_ok_and(|facts| facts.is_file()) || !entry.path().exists(),
        false => entry.file_type().is_file(),
    }
}

/// Whether a glob begins where there is nothing.
fn is_missing(error: &walkdir::Error) -> bool {
    let kind = error.io_error().map(io::Error::kind);
    error.depth() == 0 && matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Refuses a file that may never end or never begin, such as a pipe: reading it could not be stopped.
///
/// # Errors
/// A pipe or a device, in words.
pub async fn check_regular(source: &Source) -> Result<(), SourceError> {
    let Source::File(path) = source else { return Ok(()) };
    match tokio::fs::metadata(path).await {
        Ok(facts) if !facts.is_file() && !facts.is_dir() => {
            let why = "it is a pipe or a device: write what comes out of it into a file and name that";
            let path = plain::line(&path.display().to_string());
            Err(SourceError::Unreadable { path, cause: io::Error::other(why) })
        }
        // What else is wrong is told by whoever reads it.
        _ => Ok(()),
    }
}

fn picture(path: &Path) -> Entry {
    match path.to_str() {
        Some(name) => Entry::Picture(name.to_owned(), Source::File(path.to_owned())),
        None => {
            let why = "the file's name is not UTF-8, so no result can name it: rename the file";
            Entry::Failed(name_of(path), failure::invalid(why))
        }
    }
}

fn walk_failed(walked: &Path, error: &walkdir::Error) -> Entry {
    let path = error.path().unwrap_or(walked);
    let Some(cause) = error.io_error() else {
        return Entry::Failed(name_of(path), failure::invalid(&plain::line(&error.to_string())));
    };
    let (name, cause) = (name_of(path), io::Error::new(cause.kind(), cause.to_string()));
    Entry::Failed(name.clone(), failure::of(&SourceError::Unreadable { path: plain::line(&name), cause }))
}

fn name_of(path: &Path) -> String {
    told_apart(path.as_os_str().as_encoded_bytes())
}

/// Bytes as text, in which those that are not UTF-8 stay apart: one source must not take another one's line.
pub(super) fn told_apart(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
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
