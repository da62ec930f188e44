//! The few S3 calls that this client makes itself: a picture to draw on, and the demo's uploads.

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use bytes::{Bytes, BytesMut};

use super::plain;
use crate::adapters;

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
    /// More bytes than any picture that the server reads.
    #[error("{object} is larger than the {limit} that the server reads")]
    TooLarge {
        /// The object.
        object: String,
        /// The limit, for people.
        limit: String,
    },
}

impl ObjectError {
    fn storage<E, R>(action: &'static str, bucket: &str, key: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let answer = [error.code(), error.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let cause = if answer.is_empty() { causes(error) } else { answer };
        Self::Storage { action, object: name(bucket, key), cause: plain::line(&cause) }
    }
}

/// An error that is no answer of S3, with what led to it: the SDK's own message is only `dispatch failure`.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes: Vec<_> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    causes.dedup();
    causes.join(": ")
}

fn name(bucket: &str, key: &str) -> String {
    plain::line(&format!("s3://{bucket}/{key}"))
}

/// An object as it was read.
#[derive(Debug)]
pub struct Object {
    /// All of its bytes.
    pub content: Bytes,
    /// Its ETag without quotes; empty when S3 told none.
    pub etag: String,
}

/// Reads the newest version of an object, of at most `limit` bytes.
///
/// # Errors
/// S3's own, or an object that is larger.
pub async fn read(client: &Client, bucket: &str, key: &str, limit: u64) -> Result<Object, ObjectError> {
    let answer = adapters::send_get_object(client.get_object().bucket(bucket).key(key), bucket).await;
    let mut object = answer.map_err(|error| ObjectError::storage("read", bucket, key, &error))?;
    let too_large = || ObjectError::TooLarge { object: name(bucket, key), limit: plain::bytes(limit) };
    let mut content = BytesMut::new();
    while let Some(chunk) = object.body.next().await {
        let cut_off = |error| ObjectError::Storage {
            action: "read",
            object: name(bucket, key),
            cause: plain::line(&causes(&error)),
        };
        let chunk = chunk.map_err(cut_off)?;
        if (content.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        content.extend_from_slice(&chunk);
    }
    let etag = object.e_tag.unwrap_or_default().trim_matches('"').to_owned();
    Ok(Object { content: content.freeze(), etag })
}

#[cfg(feature = "embedded")]
pub use embedded::{ensure_bucket, put};

#[cfg(feature = "embedded")]
mod embedded {
    use aws_sdk_s3::primitives::ByteStream;

    use super::{Client, ObjectError};

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

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::{
        app,
        embedded::{DEMO_BUCKET, DEMO_PHOTOS, EmbeddedStack},
    };

    #[tokio::test]
    async fn an_object_is_read_up_to_a_limit_and_errors_are_s3s_own() {
        let stack = EmbeddedStack::start(None).await.unwrap();
        let s3 = app::s3_of(&stack).await;
        let photo = &DEMO_PHOTOS[0];
        let length = photo.bytes.len() as u64;
        let object = read(&s3, DEMO_BUCKET, photo.name, length).await.unwrap();
        assert_eq!(object.content, photo.bytes);
        assert!(!object.etag.is_empty() && !object.etag.contains('"'), "{}", object.etag);
        let larger = read(&s3, DEMO_BUCKET, photo.name, length - 1).await;
        assert!(matches!(larger, Err(ObjectError::TooLarge { .. })), "{larger:?}");
        let missing = read(&s3, DEMO_BUCKET, "none.png", length).await.unwrap_err().to_string();
        assert!(missing.starts_with("cannot read s3://photos/none.png: NoSuchKey"), "{missing}");
        stack.stop().await;
        let silent = read(&s3, DEMO_BUCKET, photo.name, length).await.unwrap_err().to_string();
        assert!(silent.contains("refused"), "{silent}");
    }
}
