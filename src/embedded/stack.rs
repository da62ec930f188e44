use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    DEMO_BUCKET, DEMO_PHOTOS, access_key::AccessKey, bedrock, detector::Detector, detector::DetectorError,
    http_server::HttpServer, s3,
};
use crate::domain::ModelProfile;

/// The Region both endpoints belong to.
const REGION: &str = "us-east-1";

/// The stack could not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder does not exist or cannot be reached.
    #[error("cannot use the folder {}: {source}; name an existing folder whose sub-folders are buckets", path.display())]
    Folder {
        /// The folder as it was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path names something that is no folder.
    #[error("{} is not a folder; name an existing folder whose sub-folders are buckets", path.display())]
    NotAFolder {
        /// The path as it was named.
        path: PathBuf,
    },
    /// The temporary folder could not be made or filled.
    #[error("cannot make a temporary folder: {0}; set TMPDIR to a folder with free space")]
    TemporaryFolder(#[source] io::Error),
    /// No loopback port could be opened.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[source] io::Error),
    /// The detector could not be loaded.
    #[error(transparent)]
    Detector(#[from] DetectorError),
}

/// An S3 server over a folder and a Bedrock runtime endpoint with a detector behind it, on free loopback ports.
/// Dropping it ends both at once; a temporary folder is removed.
pub struct EmbeddedStack {
    s3: HttpServer,
    bedrock: HttpServer,
    s3_endpoint: String,
    bedrock_endpoint: String,
    key: AccessKey,
    folder: PathBuf,
    temporary: Option<TempDir>,
}

impl EmbeddedStack {
    /// Starts the stack over `folder`, whose sub-folders are the buckets. `None` means a temporary folder, removed on
    /// drop, whose bucket [`DEMO_BUCKET`] holds [`DEMO_PHOTOS`].
    ///
    /// # Errors
    /// The folder is missing or is no folder, no port is free, or the detector cannot be loaded.
    pub async fn start(folder: Option<PathBuf>) -> Result<Self, EmbeddedError> {
        let (folder, temporary) = open_folder(folder).await?;
        let detector = Detector::load().await?;
        let key = AccessKey::random();
        let s3 =
            HttpServer::start(s3::service(folder.clone(), key.clone(), REGION)).await.map_err(EmbeddedError::Listen)?;
        let bedrock = HttpServer::start(bedrock::service(Arc::new(detector), key.clone(), REGION))
            .await
            .map_err(EmbeddedError::Listen)?;
        let (s3_endpoint, bedrock_endpoint) = (s3.endpoint(), bedrock.endpoint());
        Ok(Self { s3, bedrock, s3_endpoint, bedrock_endpoint, key, folder, temporary })
    }

    /// Where S3 answers, as `http://127.0.0.1:PORT`; it wants path-style requests.
    pub fn s3_endpoint(&self) -> &str {
        &self.s3_endpoint
    }

    /// Where the Bedrock runtime answers, as `http://127.0.0.1:PORT`.
    pub fn bedrock_endpoint(&self) -> &str {
        &self.bedrock_endpoint
    }

    /// The access key id both endpoints accept; made at start.
    pub fn access_key_id(&self) -> &str {
        &self.key.id
    }

    /// The secret that belongs to [`Self::access_key_id`]; made at start.
    pub fn secret_access_key(&self) -> &str {
        &self.key.secret
    }

    /// The AWS Region requests must be signed for.
    pub fn region(&self) -> &str {
        REGION
    }

    /// The only model the Bedrock endpoint knows.
    pub fn model_id(&self) -> &str {
        ModelProfile::DETECTOR_ID
    }

    /// The folder whose sub-folders are the buckets.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends both servers: requests under way may finish for a few seconds. A temporary folder is removed.
    pub async fn stop(self) {
        let Self { s3, bedrock, temporary, .. } = self;
        tokio::join!(s3.stop(), bedrock.stop());
        drop(temporary);
    }
}

impl fmt::Debug for EmbeddedStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStack")
            .field("s3_endpoint", &self.s3_endpoint)
            .field("bedrock_endpoint", &self.bedrock_endpoint)
            .field("key", &self.key)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

async fn open_folder(folder: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), EmbeddedError> {
    let Some(named) = folder else {
        let temporary = demo_folder().await.map_err(EmbeddedError::TemporaryFolder)?;
        let path = tokio::fs::canonicalize(temporary.path()).await.map_err(EmbeddedError::TemporaryFolder)?;
        return Ok((path, Some(temporary)));
    };
    match tokio::fs::canonicalize(&named).await {
        Ok(path) if path.is_dir() => Ok((path, None)),
        Ok(_) => Err(EmbeddedError::NotAFolder { path: named }),
        Err(source) => Err(EmbeddedError::Folder { path: named, source }),
    }
}

async fn demo_folder() -> io::Result<TempDir> {
    let temporary = tempfile::Builder::new().prefix("sightline-").tempdir()?;
    let bucket = temporary.path().join(DEMO_BUCKET);
    tokio::fs::create_dir(&bucket).await?;
    for photo in DEMO_PHOTOS {
        tokio::fs::write(bucket.join(photo.name), photo.bytes).await?;
    }
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_temporary_folder_goes_with_the_stack() {
        let stack = EmbeddedStack::start(None).await.unwrap();
        let folder = stack.folder().to_owned();
        assert!(folder.join("photos/summit.jpeg").is_file());
        stack.stop().await;
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_named_folder_stays_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let stack = EmbeddedStack::start(Some(folder.path().to_owned())).await.unwrap();
        stack.stop().await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_missing_folder_and_a_file_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere");
        let error = EmbeddedStack::start(Some(missing.clone())).await.unwrap_err();
        assert!(matches!(&error, EmbeddedError::Folder { path, .. } if *path == missing), "{error}");
        assert!(error.to_string().contains("nowhere"));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = EmbeddedStack::start(Some(file)).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::NotAFolder { .. }), "{error}");
    }

    #[tokio::test]
    async fn two_stacks_share_nothing_and_a_stopped_one_answers_no_more() {
        let (one, two) = (EmbeddedStack::start(None).await.unwrap(), EmbeddedStack::start(None).await.unwrap());
        assert_ne!(one.s3_endpoint(), two.s3_endpoint());
        assert_ne!(one.secret_access_key(), two.secret_access_key());
        assert!(!format!("{one:?}").contains(one.secret_access_key()));
        let address = one.bedrock_endpoint().trim_start_matches("http://").to_owned();
        one.stop().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        two.stop().await;
    }

    #[tokio::test]
    async fn idle_connections_do_not_hold_up_a_stop() {
        let stack = EmbeddedStack::start(None).await.unwrap();
        let client = crate::embedded::test_support::s3(&stack);
        client.list_buckets().send().await.unwrap();
        let address = stack.bedrock_endpoint().trim_start_matches("http://").to_owned();
        let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let begun = std::time::Instant::now();
        stack.stop().await;
        assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
