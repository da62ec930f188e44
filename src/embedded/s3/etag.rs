use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use md5::{Digest, Md5};

/// Most files whose ETag is remembered; then remembering starts anew.
const CAPACITY: usize = 10_000;
const CHUNK: usize = 64 * 1024;
/// Largest file that is read for its ETag, bytes. S3 too has no MD5 of what came in many parts.
pub(super) const MAX_HASHED_BYTES: u64 = 64 * 1024 * 1024;
/// Part size S3's own tools use, bytes.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// ETags of files, computed again when a file's length or time changes.
#[derive(Default)]
pub(super) struct Etags(Mutex<HashMap<PathBuf, Known>>);

struct Known {
    length: u64,
    modified: SystemTime,
    etag: String,
}

impl Etags {
    /// The ETag S3 gives an object put in one piece: the MD5 of its bytes in hexadecimal. Reads the file from where it
    /// stands unless it is remembered. A file over [`MAX_HASHED_BYTES`] gets an ETag in the shape of one put in parts,
    /// made from its length and time.
    pub fn of(&self, path: &Path, file: &mut File, length: u64, modified: SystemTime) -> io::Result<String> {
        if length > MAX_HASHED_BYTES {
            let facts = format!("{length} {modified:?}");
            return Ok(format!("{}-{}", hex(&Md5::digest(facts)), length.div_ceil(PART_BYTES)));
        }
        let same = |known: &&Known| known.length == length && known.modified == modified;
        let known =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).filter(same).map(|k| k.etag.clone());
        if let Some(etag) = known {
            return Ok(etag);
        }
        let etag = hash(file)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CAPACITY {
            all.clear();
        }
        all.insert(path.to_owned(), Known { length, modified, etag: etag.clone() });
        Ok(etag)
    }

    /// Forgets a file whose content was replaced: within the clock's grain its time may be the same.
    pub fn forget(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

fn hash(file: &mut File) -> io::Result<String> {
    let mut hasher = Md5::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
