use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream::try_unfold};
use s3s::{S3Error, S3Result, dto::Timestamp, path::check_bucket_name, s3_error};
use tokio::io::AsyncReadExt;

use super::{
    etag::Etags,
    keys::{self, BadKey},
};

const CHUNK: usize = 64 * 1024;
/// Length of the version ids S3 makes.
const VERSION_ID_LENGTH: usize = 32;

/// The folder. Its methods block.
pub(super) struct Files {
    root: PathBuf,
    pub etags: Etags,
}

/// An open object.
pub(super) struct Object {
    pub file: File,
    pub length: u64,
    pub modified: SystemTime,
    pub etag: String,
}

impl Files {
    /// `root` must be canonical: links above the folder are the user's own way to name it.
    pub fn new(root: PathBuf) -> Self {
        Self { root, etags: Etags::default() }
    }

    /// Runs file work off the async threads.
    pub async fn work<T: Send + 'static>(
        files: &Arc<Self>,
        work: impl FnOnce(&Self) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let files = Arc::clone(files);
        tokio::task::spawn_blocking(move || work(&files)).await.map_err(|error| s3_error!(error, InternalError))?
    }

    /// Where uploads are written before they take their place: top-level files are no objects, so nobody sees them.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names and creation times of the buckets, by name. Folders whose names S3 does not allow are none.
    pub fn buckets(&self) -> S3Result<Vec<(String, Timestamp)>> {
        let mut buckets = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_bucket_name(&name) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let metadata = entry.metadata().map_err(failed)?;
                let created = metadata.created().or_else(|_| metadata.modified()).map_err(failed)?;
                buckets.push((name, created.into()));
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(buckets)
    }

    /// The bucket's folder.
    pub fn bucket(&self, name: &str) -> S3Result<PathBuf> {
        let missing = || s3_error!(NoSuchBucket, "The specified bucket does not exist");
        if !check_bucket_name(name) {
            return Err(missing());
        }
        let path = self.root.join(name);
        match kind(&path)? {
            Some(metadata) if metadata.is_dir() => Ok(path),
            Some(_) | None => Err(missing()),
        }
    }

    pub fn create_bucket(&self, name: &str) -> S3Result<()> {
        if !check_bucket_name(name) {
            return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
        }
        match fs::create_dir(self.root.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(s3_error!(BucketAlreadyOwnedByYou, "Your previous request to create the named bucket succeeded"))
            }
            made => made.map_err(failed),
        }
    }

    /// Opens an object and tells its ETag.
    pub fn open(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Object> {
        let bucket = self.bucket(bucket)?;
        check_version(version)?;
        let missing = || s3_error!(NoSuchKey, "The specified key does not exist.");
        let path = find(&bucket, key)?.ok_or_else(missing)?;
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
            opened => opened.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        let (length, modified) = (metadata.len(), metadata.modified().map_err(failed)?);
        let etag = self.etags.of(&path, &mut file, length, modified).map_err(failed)?;
        Ok(Object { file, length, modified, etag })
    }

    /// Removes an object; that it is not there is no error. Folders stay.
    pub fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let bucket = self.bucket(bucket)?;
        let Some(path) = find(&bucket, key)? else { return Ok(()) };
        self.etags.forget(&path);
        match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed),
        }
    }

    /// Makes the folders above a new object and gives its place.
    pub fn make_place(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let taken = || s3_error!(InvalidArgument, "A folder cannot hold both an object and objects below its name");
        let mut path = self.bucket(bucket)?;
        let relative = keys::path(key).map_err(refused)?;
        let mut parts = relative.components().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let is_last = parts.peek().is_none();
            match kind(&path)? {
                Some(metadata) if metadata.is_dir() == is_last => return Err(taken()),
                None if !is_last => match fs::create_dir(&path) {
                    // Another upload may have made it meanwhile.
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(path)
    }
}

/// The file of an object; `None` when there is none.
fn find(bucket: &Path, key: &str) -> S3Result<Option<PathBuf>> {
    let relative = match keys::path(key) {
        Err(BadKey::NoFile) => return Ok(None),
        path => path.map_err(refused)?,
    };
    let mut path = bucket.to_owned();
    let mut parts = relative.components().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let is_last = parts.peek().is_none();
        match kind(&path)? {
            Some(metadata) if (if is_last { metadata.is_file() } else { metadata.is_dir() }) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(path))
}

/// What lies at a path; a symbolic link, wherever it points, is refused rather than followed.
fn kind(path: &Path) -> S3Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            Err(s3_error!(AccessDenied, "Symbolic links in the folder are not followed"))
        }
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Ok(None),
            _ => Err(failed(error)),
        },
    }
}

/// Buckets have no versions: `null` names the only one there is.
fn check_version(version: Option<&str>) -> S3Result<()> {
    let well_formed = |version: &str| {
        version.len() == VERSION_ID_LENGTH && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match version {
        None | Some("null") => Ok(()),
        Some(version) if well_formed(version) => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
    }
}

fn refused(reason: BadKey) -> S3Error {
    match reason {
        BadKey::LeadsElsewhere => s3_error!(InvalidArgument, "The key leads out of the bucket's folder"),
        BadKey::NoFile => s3_error!(InvalidArgument, "A folder cannot hold an object with an empty name part"),
    }
}

pub(super) fn failed(error: io::Error) -> S3Error {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            s3_error!(error, AccessDenied, "The operating system does not permit it")
        }
        _ => s3_error!(error, InternalError, "The file system reported an error"),
    }
}

/// `length` bytes of a file from `start`, piece by piece. A file that became shorter ends in an error, so that the
/// reader does not take a part for the whole.
pub(super) async fn stream(
    mut file: File,
    start: u64,
    length: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static> {
    file.seek(SeekFrom::Start(start))?;
    let file = tokio::fs::File::from_std(file);
    Ok(try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = BytesMut::zeroed(most);
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof));
        }
        chunk.truncate(read);
        Ok(Some((chunk.freeze(), (file, left.saturating_sub(read as u64)))))
    }))
}
