//! What the jobs need of the world beside the analysis: a place for results whose writes have conditions, and a look at an
//! object. The adapters implement it on S3.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

/// Where results are written, and where the objects lie that they are about.
#[async_trait]
pub trait ResultStore: Send + Sync + 'static {
    /// Writes one object whole, or not at all. Returns its ETag. An answer that is lost on the way may be repeated, so
    /// that [`ResultsError::Precondition`] can mean a write of one's own.
    ///
    /// # Errors
    /// [`ResultsError`], by what it means.
    async fn put(&self, key: &str, document: &Document, condition: &Condition) -> Result<String, ResultsError>;

    /// What is known of a result without reading it; `None` when there is none.
    ///
    /// # Errors
    /// [`ResultsError`], by what it means.
    async fn look(&self, key: &str) -> Result<Option<Facts>, ResultsError>;

    /// Reads an object of at most `max_bytes`; `None` when there is none. A larger one comes without its bytes.
    ///
    /// # Errors
    /// [`ResultsError`], by what it means.
    async fn get(&self, key: &str, max_bytes: u64) -> Result<Option<Stored>, ResultsError>;

    /// Takes an object away if it has this ETag. One that is not there, or has another, is no error.
    ///
    /// # Errors
    /// [`ResultsError`], by what it means.
    async fn delete(&self, key: &str, etag: &str) -> Result<(), ResultsError>;

    /// The ETag, without quotes, of the newest version of an object that is to be analyzed; `None` when that cannot be
    /// learned, for whatever reason: who reads the object will be told why.
    async fn etag_of(&self, bucket: &str, key: &str) -> Option<String>;
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// JSON.
    pub body: Bytes,
    /// Of a failure its reason, which can be seen without reading the document.
    pub reason: Option<String>,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object has this ETag.
    Is(String),
}

/// What is known of a result without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The reason of the failure that the document tells of; `None` of an analysis.
    pub reason: Option<String>,
}

/// A small object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// All of it; empty when it is larger than was asked for.
    pub body: Bytes,
    /// Its ETag.
    pub etag: String,
    /// When it was written, by the store's clock.
    pub modified: Option<SystemTime>,
}

/// Why a result could not be written or looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultsError {
    /// The object is there, or is another than the condition says.
    #[error("the condition does not hold")]
    Precondition,
    /// Another write of the same object is going on. Nothing was written.
    #[error("another write of the same object is going on")]
    Conflict,
    /// The object that the condition names is gone.
    #[error("there is no such object")]
    NotFound,
    /// The bucket does not exist, is another's, lies elsewhere or does not let the function write.
    #[error("the results cannot be written ({code})")]
    Refused {
        /// The store's code.
        code: String,
    },
    /// The function's own AWS credentials are missing or refused.
    #[error("AWS credentials: {detail}")]
    Credentials {
        /// What is wrong, for the log.
        detail: String,
    },
    /// Overload, a fault of the store, a broken connection.
    #[error("storage unavailable: {detail}")]
    Unavailable {
        /// What is wrong, for the log.
        detail: String,
    },
}
