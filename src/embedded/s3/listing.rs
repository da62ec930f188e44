use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Result,
    dto::{CommonPrefix, ETag, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass},
    s3_error,
};

use super::{
    files::{Files, failed},
    keys::MAX_KEY_BYTES,
};

/// Most entries in one answer.
const MAX_KEYS: usize = 1000;
/// What `encoding-type=url` leaves as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// One page of a bucket's keys, in the order of their bytes.
pub(super) fn list(files: &Files, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let bucket = files.bucket(&input.bucket)?;
    let max_keys = match input.max_keys.map(usize::try_from) {
        None => MAX_KEYS,
        Some(Ok(count)) => count.min(MAX_KEYS),
        Some(Err(_)) => return Err(s3_error!(InvalidArgument, "max-keys must not be negative")),
    };
    let mut page = Page {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
        after: after(&input)?,
        is_continued: input.continuation_token.is_some(),
        max_keys,
        entries: Vec::new(),
        is_truncated: false,
    };
    if max_keys > 0 {
        page.walk(&bucket, "")?;
    }
    page.into_output(files, &bucket, input)
}

/// The last entry of the page before, or where the caller wants to start. A token wins, as in S3.
fn after(input: &ListObjectsV2Input) -> S3Result<String> {
    let Some(token) = &input.continuation_token else { return Ok(input.start_after.clone().unwrap_or_default()) };
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// A key, or keys rolled up to a common prefix.
enum Entry {
    Key(String),
    Prefix(String),
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Prefix(text) => text,
        }
    }
}

struct Page {
    prefix: String,
    delimiter: Option<String>,
    after: String,
    /// `after` is the last entry of a page, which may be a common prefix, rather than a key of the caller's choice.
    is_continued: bool,
    max_keys: usize,
    entries: Vec<Entry>,
    is_truncated: bool,
}

impl Page {
    /// Takes the keys below `folder`, whose own key is `base`. Only one folder's names per level are held at a time,
    /// and folders that cannot hold a key of this page are not read.
    fn walk(&mut self, folder: &Path, base: &str) -> S3Result<()> {
        for name in names(folder)? {
            if self.is_truncated {
                return Ok(());
            }
            let key = format!("{base}{name}");
            if key.len() > MAX_KEY_BYTES {
                continue;
            }
            if !key.ends_with('/') {
                self.take(key);
            } else if self.may_hold(&key) {
                self.walk(&folder.join(&name), &key)?;
            }
        }
        Ok(())
    }

    /// Whether keys that begin with `base` can be on this page.
    fn may_hold(&self, base: &str) -> bool {
        let in_prefix = base.starts_with(&self.prefix) || self.prefix.starts_with(base);
        let is_ahead = base > self.after.as_str() || self.after.starts_with(base);
        in_prefix && is_ahead && !self.is_rolled_up(base)
    }

    /// Whether every key that begins with `base` is in the common prefix that was taken last.
    fn is_rolled_up(&self, base: &str) -> bool {
        match self.entries.last() {
            Some(Entry::Prefix(prefix)) => base.starts_with(prefix.as_str()),
            _ => false,
        }
    }

    fn take(&mut self, key: String) {
        let Some(rest) = key.strip_prefix(&self.prefix) else { return };
        let rolled_up = self.delimiter.as_deref().and_then(|delimiter| {
            let end = rest.find(delimiter)?.saturating_add(delimiter.len());
            Some(format!("{}{}", self.prefix, rest.get(..end)?))
        });
        let is_behind = key <= self.after || (self.is_continued && rolled_up.as_ref() == Some(&self.after));
        let entry = rolled_up.map_or(Entry::Key(key), Entry::Prefix);
        if is_behind || self.is_rolled_up(entry.text()) {
            return;
        }
        if self.entries.len() == self.max_keys {
            self.is_truncated = true;
        } else {
            self.entries.push(entry);
        }
    }

    fn into_output(self, files: &Files, bucket: &Path, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let is_url = input.encoding_type.as_ref().is_some_and(|kind| kind.as_str() == EncodingType::URL);
        let spell = |text: &str| if is_url { utf8_percent_encode(text, &PLAIN).to_string() } else { text.to_owned() };
        let last = self.entries.last().map(|entry| URL_SAFE_NO_PAD.encode(entry.text()));
        let next_continuation_token = last.filter(|_| self.is_truncated);
        let key_count = i32::try_from(self.entries.len()).ok();
        let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            match entry {
                Entry::Key(key) => contents.extend(describe(files, bucket, &input.bucket, key, &spell)?),
                Entry::Prefix(prefix) => common_prefixes.push(CommonPrefix { prefix: Some(spell(prefix)) }),
            }
        }
        Ok(ListObjectsV2Output {
            prefix: Some(spell(&self.prefix)),
            delimiter: self.delimiter.as_deref().map(spell),
            max_keys: i32::try_from(self.max_keys).ok(),
            key_count,
            is_truncated: Some(self.is_truncated),
            next_continuation_token,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            start_after: input.start_after.as_deref().map(spell),
            name: Some(input.bucket),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }
}

/// Names in a folder in the order their keys have: a folder sorts with its slash. Links and what is no file are left
/// out, as are names that are no UTF-8.
fn names(folder: &Path) -> S3Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(kind) = entry.file_type() else { continue };
        match entry.file_name().into_string() {
            Ok(name) if kind.is_dir() => names.push(format!("{name}/")),
            Ok(name) if kind.is_file() => names.push(name),
            _ => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What the listing tells of an object; `None` when it is gone by now.
fn describe(
    files: &Files,
    folder: &Path,
    bucket: &str,
    key: &str,
    spell: &dyn Fn(&str) -> String,
) -> S3Result<Option<Object>> {
    let path: PathBuf = folder.join(key);
    let Some(metadata) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file) else { return Ok(None) };
    // An unreadable file is listed without an ETag rather than failing the whole listing.
    let e_tag = files.open(bucket, key, None).ok().map(|object| ETag::Strong(object.etag));
    Ok(Some(Object {
        key: Some(spell(key)),
        e_tag,
        size: i64::try_from(metadata.len()).ok(),
        last_modified: Some(metadata.modified().map_err(failed)?.into()),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Default::default()
    }))
}
