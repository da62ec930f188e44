//! Where a picture is, as people write it: a file, or `s3://bucket/key`.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use bytes::Bytes;
use tokio::{fs::File, io::AsyncReadExt};

use super::plain;
use crate::{
    domain::ObjectRef,
    proto::{ImageSource, S3Object, image_source},
};

/// A picture to analyze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file here, sent inline.
    File(PathBuf),
    /// An object that the server reads itself.
    Object {
        /// Bucket name or access-point ARN.
        bucket: String,
        /// Object key, literally.
        key: String,
    },
}

/// Why a picture cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// `s3://` without a bucket and a key.
    #[error("`{0}` names no object: write s3://BUCKET/KEY")]
    IncompleteObject(String),
    /// An address the server would have to fetch.
    #[error("`{0}` is a web address, which is not fetched: download it first, or write s3://BUCKET/KEY")]
    WebAddress(String),
    /// Nothing there.
    #[error("there is no file {0}: check the path, or write s3://BUCKET/KEY for an object in S3")]
    Missing(String),
    /// A folder.
    #[error("{0} is a folder: name one picture in it")]
    Folder(String),
    /// Nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// More bytes than one request may hold.
    #[error("{path} is larger than the {limit} that one request may hold: put it into S3 and pass s3://BUCKET/KEY")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit, for people.
        limit: String,
    },
    /// The operating system's reason.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        cause: io::Error,
    },
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(address) = text.strip_prefix("s3://") {
            let object = ObjectRef::split(address).filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
            let (bucket, key) = object.ok_or_else(|| SourceError::IncompleteObject(plain::line(text)))?;
            return Ok(Self::Object { bucket: bucket.to_owned(), key: key.to_owned() });
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(SourceError::WebAddress(plain::line(text)));
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl Source {
    /// The picture as people know it, for titles.
    pub fn display(&self) -> String {
        match self {
            Self::File(path) => shown(path),
            Self::Object { bucket, key } => plain::line(&format!("s3://{bucket}/{key}")),
        }
    }

    /// Says early whether a file is missing, a folder or far too large. An object is for the server to find.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub async fn check(&self, limit: u64) -> Result<(), SourceError> {
        match self {
            Self::File(path) => measure(path, limit).await,
            Self::Object { .. } => Ok(()),
        }
    }

    /// The bytes of a file, at most `limit` of them; none of an object, which is the server's to read.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub async fn read(&self, limit: u64) -> Result<Bytes, SourceError> {
        match self {
            Self::File(path) => read(path, limit).await,
            Self::Object { .. } => Ok(Bytes::new()),
        }
    }

    /// The source as the contract has it, with the file's bytes, at most `limit` of them.
    ///
    /// # Errors
    /// A file that is missing, a folder, empty, larger than `limit` or not readable.
    pub async fn load(&self, limit: u64) -> Result<ImageSource, SourceError> {
        let source = match self {
            Self::File(path) => image_source::Source::Content(read(path, limit).await?),
            Self::Object { bucket, key } => image_source::Source::S3Object(S3Object {
                bucket: bucket.clone(),
                key: key.clone(),
                ..S3Object::default()
            }),
        };
        Ok(ImageSource { source: Some(source) })
    }
}

async fn measure(path: &Path, limit: u64) -> Result<(), SourceError> {
    let facts = tokio::fs::metadata(path).await.map_err(|cause| unreadable(path, cause))?;
    match facts.len() {
        _ if facts.is_dir() => Err(SourceError::Folder(shown(path))),
        length if length > limit => Err(too_large(path, limit)),
        _ => Ok(()),
    }
}

async fn read(path: &Path, limit: u64) -> Result<Bytes, SourceError> {
    measure(path, limit).await?;
    let file = File::open(path).await.map_err(|cause| unreadable(path, cause))?;
    let mut content = Vec::new();
    // The file may have grown, or be a pipe without a length.
    let mut bounded = file.take(limit.saturating_add(1));
    bounded.read_to_end(&mut content).await.map_err(|cause| unreadable(path, cause))?;
    match content.len() as u64 {
        0 => Err(SourceError::Empty(shown(path))),
        length if length > limit => Err(too_large(path, limit)),
        _ => Ok(Bytes::from(content)),
    }
}

fn shown(path: &Path) -> String {
    plain::line(&path.display().to_string())
}

fn too_large(path: &Path, limit: u64) -> SourceError {
    SourceError::TooLarge { path: shown(path), limit: plain::bytes(limit) }
}

fn unreadable(path: &Path, cause: io::Error) -> SourceError {
    match cause.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(shown(path)),
        _ => SourceError::Unreadable { path: shown(path), cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> (String, String) {
        match text.parse().unwrap() {
            Source::Object { bucket, key } => (bucket, key),
            Source::File(path) => panic!("{path:?} is a file"),
        }
    }

    #[test]
    fn a_key_is_taken_literally() {
        for key in ["a.png", "a b/c d.jpg", "x?versionId=3", "50%25.png", "/lead", "사진.jpg", "a//b"] {
            assert_eq!(object(&format!("s3://photos/{key}")), ("photos".to_owned(), key.to_owned()));
        }
    }

    #[test]
    fn an_access_point_keeps_its_own_slash() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        assert_eq!(object(&format!("s3://{arn}/a/b.png")), (arn.to_owned(), "a/b.png".to_owned()));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for text in ["s3://", "s3://photos", "s3://photos/", "s3:///key", "s3://arn:aws:s3:r:a:accesspoint/mine"] {
            assert!(matches!(text.parse::<Source>(), Err(SourceError::IncompleteObject(_))), "{text}");
        }
        assert!(matches!("https://host/a.png".parse::<Source>(), Err(SourceError::WebAddress(_))));
    }

    async fn error_of(path: &Path, limit: u64) -> String {
        Source::File(path.to_owned()).load(limit).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_file_is_sent_inline_up_to_the_limit() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/rocket.jpg");
        let length = std::fs::metadata(&path).unwrap().len();
        let loaded = Source::File(path.clone()).load(length).await.unwrap();
        assert_eq!(loaded.source, Some(image_source::Source::Content(std::fs::read(&path).unwrap().into())));
        assert!(error_of(&path, length - 1).await.contains("put it into S3"));
    }

    #[tokio::test]
    async fn each_way_a_file_fails_says_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(error_of(&folder.join("no/such.png"), 1).await.starts_with("there is no file"));
        assert!(error_of(folder, u64::MAX).await.ends_with("is a folder: name one picture in it"));
        assert!(error_of(Path::new("/dev/null"), 1).await.ends_with("is empty"));
    }
}
