//! The few S3 calls that this client makes itself: a picture to draw on, and the demo's uploads.

use aws_sdk_s3::{Client, config::BehaviorVersion, error::DisplayErrorContext};
use bytes::{Bytes, BytesMut};

use super::plain;
use crate::proto::ImageInfo;

/// Why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// S3 or the way to it.
    #[error("cannot {action} {object}: {cause}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// The object.
        object: String,
        /// S3's answer.
        cause: String,
    },
    /// Other bytes than those analyzed.
    #[error("{object} is not the object that was analyzed: it changed in between")]
    Changed {
        /// The object.
        object: String,
    },
}

impl ObjectError {
    fn storage(action: &'static str, bucket: &str, key: &str, error: &dyn std::error::Error) -> Self {
        let cause = plain::line(&DisplayErrorContext(error).to_string());
        Self::Storage { action, object: name(bucket, key), cause }
    }
}

fn name(bucket: &str, key: &str) -> String {
    plain::line(&format!("s3://{bucket}/{key}"))
}

/// A client on the AWS SDK's default chain of credentials and regions; path-style when an endpoint is set by
/// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, as such endpoints seldom have a host name for each bucket.
pub async fn default_client() -> Client {
    let shared = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().any(|name| std::env::var_os(name).is_some());
    let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(endpoint);
    Client::from_conf(config.build())
}

/// The bytes of the object version that was analyzed.
///
/// # Errors
/// S3's own, or other bytes than those that were analyzed.
pub async fn read(client: &Client, bucket: &str, key: &str, analyzed: &ImageInfo) -> Result<Bytes, ObjectError> {
    let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let request = client.get_object().bucket(bucket).key(key).set_version_id(given(&analyzed.version_id));
    let answer = request.set_if_match(given(&analyzed.etag)).send().await;
    let mut object = answer.map_err(|error| ObjectError::storage("read", bucket, key, &error))?;
    let size = usize::try_from(analyzed.size_bytes).unwrap_or(0);
    let mut content = BytesMut::new();
    while let Some(chunk) = object.body.next().await {
        let chunk = chunk.map_err(|error| ObjectError::storage("read", bucket, key, &error))?;
        if content.len() + chunk.len() > size {
            return Err(ObjectError::Changed { object: name(bucket, key) });
        }
        content.extend_from_slice(&chunk);
    }
    if content.len() == size { Ok(content.freeze()) } else { Err(ObjectError::Changed { object: name(bucket, key) }) }
}

#[cfg(feature = "embedded")]
pub use embedded::{embedded_client, ensure_bucket, put};

#[cfg(feature = "embedded")]
mod embedded {
    use aws_sdk_s3::{
        config::{Config, Credentials, Region},
        primitives::ByteStream,
    };

    use super::{BehaviorVersion, Client, ObjectError};
    use crate::embedded::EmbeddedStack;

    /// A client of the embedded S3.
    pub fn embedded_client(stack: &EmbeddedStack) -> Client {
        let credentials = Credentials::new(stack.access_key_id(), stack.secret_access_key(), None, None, "embedded");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(stack.region().to_string()))
            .endpoint_url(stack.s3_endpoint().to_string())
            .credentials_provider(credentials)
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    /// Makes the bucket unless it is there.
    ///
    /// # Errors
    /// S3's own.
    pub async fn ensure_bucket(client: &Client, bucket: &str) -> Result<(), ObjectError> {
        if client.head_bucket().bucket(bucket).send().await.is_ok() {
            return Ok(());
        }
        let made = client.create_bucket().bucket(bucket).send().await;
        made.map_err(|error| ObjectError::storage("make the bucket of", bucket, "", &error)).map(|_| ())
    }

    /// Puts an object, replacing one of the same key.
    ///
    /// # Errors
    /// S3's own.
    pub async fn put(
        client: &Client,
        bucket: &str,
        key: &str,
        media_type: &str,
        content: &'static [u8],
    ) -> Result<(), ObjectError> {
        let body = ByteStream::from_static(content);
        let request = client.put_object().bucket(bucket).key(key).content_type(media_type).body(body);
        request.send().await.map_err(|error| ObjectError::storage("write", bucket, key, &error)).map(|_| ())
    }
}
