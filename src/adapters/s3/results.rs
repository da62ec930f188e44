//! Results in Amazon S3: whole objects, written and deleted under conditions.

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
};

use super::{Error, by_host, chain, is_access_point, meaning_of, quoted};
use crate::{
    lambda::jobs::{Condition, Document, Facts, ResultStore, ResultsError, Stored},
    pipeline::StoreError,
};

/// Metadata of a document that tells of a failure: its reason.
const REASON: &str = "reason";

/// A [`ResultStore`] in one bucket of Amazon S3.
#[derive(Debug, Clone)]
pub struct S3Results {
    client: Client,
    bucket: String,
}

impl S3Results {
    /// A store in `bucket`, by its name or the ARN of an access point.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }
}

/// Sends a request by path or host, as the bucket needs.
macro_rules! send {
    ($bucket:expr, $request:expr) => {
        match is_access_point($bucket) {
            true => $request.customize().config_override(by_host()).send().await,
            false => $request.send().await,
        }
    };
}

#[async_trait]
impl ResultStore for S3Results {
    async fn put(&self, key: &str, document: &Document, condition: &Condition) -> Result<String, ResultsError> {
        let request = self.client.put_object().bucket(&self.bucket).key(key).content_type("application/json");
        let request = request.body(ByteStream::from(document.body.clone()));
        let request = match &document.reason {
            Some(reason) => request.metadata(REASON, reason),
            None => request,
        };
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Is(etag) => request.if_match(quoted(etag)),
        };
        let output = send!(&self.bucket, request).map_err(|error| meaning(&error))?;
        Ok(output.e_tag().unwrap_or_default().to_owned())
    }

    async fn look(&self, key: &str) -> Result<Option<Facts>, ResultsError> {
        let sent = send!(&self.bucket, self.client.head_object().bucket(&self.bucket).key(key));
        let output = match sent.map_err(|error| meaning(&error)) {
            Ok(output) => output,
            Err(ResultsError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let reason = output.metadata().and_then(|metadata| metadata.get(REASON)).cloned();
        Ok(Some(Facts { reason }))
    }

    async fn get(&self, key: &str, max_bytes: u64) -> Result<Option<Stored>, ResultsError> {
        match send!(&self.bucket, self.client.get_object().bucket(&self.bucket).key(key)) {
            Ok(output) => stored(output, max_bytes).await.map(Some),
            Err(error) => match meaning(&error) {
                ResultsError::NotFound => Ok(None),
                meaning => Err(meaning),
            },
        }
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<(), ResultsError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key).if_match(quoted(etag));
        match send!(&self.bucket, request).map_err(|error| meaning(&error)) {
            Ok(_) | Err(ResultsError::NotFound | ResultsError::Precondition) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn etag_of(&self, bucket: &str, key: &str) -> Option<String> {
        let output = send!(bucket, self.client.head_object().bucket(bucket).key(key)).ok()?;
        output.e_tag().map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
    }
}

async fn stored(output: GetObjectOutput, max_bytes: u64) -> Result<Stored, ResultsError> {
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    let etag = output.e_tag().unwrap_or_default().to_owned();
    let modified = output.last_modified().and_then(|time| std::time::SystemTime::try_from(*time).ok());
    // Only what announces that it is small is read at all.
    let body = match length {
        Some(length) if length <= max_bytes => output.body.collect().await.map(|body| body.into_bytes()),
        _ => Ok(bytes::Bytes::new()),
    };
    let body = body.map_err(|error| ResultsError::Unavailable { detail: format!("body: {}", chain(&error)) })?;
    Ok(Stored { body, etag, modified })
}

/// What an error of the SDK means for a result.
fn meaning<E>(error: &Error<E>) -> ResultsError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    if let SdkError::ServiceError(service) = error
        && service.raw().status().as_u16() == 409
    {
        return ResultsError::Conflict;
    }
    match meaning_of(error) {
        StoreError::Changed => ResultsError::Precondition,
        StoreError::ObjectNotFound => ResultsError::NotFound,
        StoreError::Unavailable { detail } => ResultsError::Unavailable { detail },
        StoreError::Credentials { detail } => ResultsError::Credentials { detail },
        StoreError::AccessDenied { code } | StoreError::Rejected { code } => ResultsError::Refused { code },
        StoreError::BucketNotFound => ResultsError::Refused { code: "NoSuchBucket".to_owned() },
        StoreError::WrongRegion => ResultsError::Refused { code: "PermanentRedirect".to_owned() },
        other => ResultsError::Refused { code: other.to_string() },
    }
}
