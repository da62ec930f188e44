//! The bucket: any number of keys, and a real photo behind each.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;

/// The only bucket.
pub const BUCKET: &str = "pictures";
/// What every key starts with.
pub const PREFIX: &str = "many/";

/// Keys and photos. The photos take turns over the keys.
#[derive(Debug)]
pub struct Catalogue {
    photos: Vec<Bytes>,
}

impl Catalogue {
    /// Reads files of `assets/photos`.
    pub fn read(names: &[String]) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos");
        let read = |name: &String| {
            let path = folder.join(name);
            std::fs::read(&path).map(Bytes::from).with_context(|| format!("cannot read {}", path.display()))
        };
        let photos = names.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!photos.is_empty(), "--photo names no file");
        Ok(Self { photos })
    }

    /// The key of the picture at `index`. In the order of the indices.
    pub fn key(index: usize) -> String {
        format!("{PREFIX}{index:08}.jpg")
    }

    /// The index of a key; `None` when it is none of ours.
    pub fn index(key: &str) -> Option<usize> {
        let digits = key.strip_prefix(PREFIX)?.strip_suffix(".jpg")?;
        if digits.len() == 8 { digits.parse().ok() } else { None }
    }

    /// The picture at `index`.
    pub fn photo(&self, index: usize) -> Bytes {
        self.photos.get(index % self.photos.len()).cloned().unwrap_or_default()
    }

    /// Mean size in bytes.
    pub fn mean_bytes(&self) -> usize {
        self.photos.iter().map(Bytes::len).sum::<usize>() / self.photos.len()
    }
}
