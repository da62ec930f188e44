//! Pictures in Amazon S3: one GetObject for each, and pages of a bucket's keys.

mod list;
#[cfg(feature = "lambda")]
mod results;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::{GetObjectError, GetObjectOutput, builders::GetObjectFluentBuilder},
    primitives::{ByteStream, ByteStreamError},
};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};

#[cfg(feature = "lambda")]
pub use self::results::S3Results;
use super::clients::{causes, is_credentials_failure};
use crate::{
    domain::ObjectRef,
    pipeline::{ImageStore, ListQuery, OpenObject, Page, StoreError},
};

/// An [`ImageStore`] over Amazon S3 or a server that speaks its protocol.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
}

impl S3Store {
    /// A store over `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl ImageStore for S3Store {
    async fn open(&self, object: &ObjectRef) -> Result<OpenObject, StoreError> {
        let request = self
            .client
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .set_if_match(object.expected_etag.as_deref().map(quoted))
            .set_expected_bucket_owner(object.expected_bucket_owner.clone());
        let output = send_get_object(request, &object.bucket).await.map_err(|error| meaning(&error, object))?;
        let etag = output.e_tag().map(|etag| etag.trim_matches('"').to_owned());
        // Some servers that speak S3 do not look at If-Match.
        if let (Some(expected), Some(found)) = (&object.expected_etag, &etag)
            && expected.trim_matches('"') != found
        {
            return Err(StoreError::Changed);
        }
        let version_id = output.version_id().filter(|id| *id != "null").map(str::to_owned);
        // A server that streams without a length names none.
        let size = output.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(OpenObject { size, etag, version_id, body: chunks(output.body) })
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        list::page(&self.client, query).await
    }
}

/// Sends a GetObject for `bucket`, by path or host as the bucket needs.
///
/// # Errors
/// The SDK's own.
pub async fn send_get_object(request: GetObjectFluentBuilder, bucket: &str) -> Result<GetObjectOutput, GetError> {
    if is_access_point(bucket) {
        return request.customize().config_override(by_host()).send().await;
    }
    request.send().await
}

fn is_access_point(bucket: &str) -> bool {
    bucket.starts_with("arn:")
}

/// An access point is named in the host name, whatever the endpoint.
fn by_host() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().force_path_style(false)
}

/// `If-Match` wants the quotes that S3's own events leave out.
fn quoted(etag: &str) -> String {
    format!("\"{}\"", etag.trim_matches('"'))
}

fn chunks(body: ByteStream) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let broken = |error: ByteStreamError| StoreError::Unavailable { detail: format!("body: {}", chain(&error)) };
    let chunks = stream::unfold(body, move |mut body| async move {
        let chunk = body.next().await?.map_err(broken);
        Some((chunk, body))
    });
    Box::pin(chunks)
}

/// Why a GetObject failed.
pub type GetError = Error<GetObjectError>;
type Error<E> = SdkError<E, HttpResponse>;

/// What an error of a GetObject means.
fn meaning(error: &GetError, object: &ObjectRef) -> StoreError {
    match meaning_of(error) {
        // S3 answers a wrong owner and a missing permission alike.
        StoreError::AccessDenied { .. } if object.expected_bucket_owner.is_some() && is_forbidden(error) => {
            StoreError::OwnerMismatch
        }
        meaning => meaning,
    }
}

fn is_forbidden<E>(error: &Error<E>) -> bool {
    matches!(error, SdkError::ServiceError(service) if service.raw().status().as_u16() == 403)
}

/// What an error of the SDK means. Codes first: S3 models few of its errors.
fn meaning_of<E>(error: &Error<E>) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(service) = error else { return without_answer(error) };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    match (code, status) {
        ("NoSuchBucket", _) => StoreError::BucketNotFound,
        // A version that only marks the deletion cannot be read: 405.
        ("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed", _) => StoreError::ObjectNotFound,
        ("InvalidObjectState", _) => StoreError::Archived,
        ("PreconditionFailed", _) | (_, 412) => StoreError::Changed,
        ("PermanentRedirect" | "IllegalLocationConstraintException" | "AuthorizationHeaderMalformed", _) | (_, 301) => {
            StoreError::WrongRegion
        }
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "RequestTimeTooSkewed",
            _,
        ) => StoreError::Credentials { detail: code.to_owned() },
        (_, 403) => StoreError::AccessDenied { code: or(code, "403") },
        (_, 404) => StoreError::ObjectNotFound,
        ("KMS.DisabledException" | "KMS.NotFoundException" | "KMS.KMSInvalidStateException", _) => {
            StoreError::AccessDenied { code: code.to_owned() }
        }
        // 307: a new bucket whose name has not travelled yet.
        (_, 307 | 429 | 500..=599) | ("SlowDown" | "RequestTimeout", _) => {
            StoreError::Unavailable { detail: format!("{status} {code}") }
        }
        _ => StoreError::Rejected { code: or(code, &status.to_string()) },
    }
}

/// No answer of the service: credentials that do not resolve, a connection that cannot be made or is silent.
fn without_answer<E: std::error::Error + 'static>(error: &Error<E>) -> StoreError {
    let detail = chain(error);
    if is_credentials_failure(error) {
        return StoreError::Credentials { detail };
    }
    // The SDK itself finds the bucket impossible before anything is sent.
    let unsent = matches!(error, SdkError::ConstructionFailure(_)) || is_endpoint_failure(error);
    if unsent { StoreError::Rejected { code: "InvalidBucket".to_owned() } } else { StoreError::Unavailable { detail } }
}

/// Whether the SDK found no endpoint for the bucket. Its error type is not public, but its name stands in the debug form.
fn is_endpoint_failure<E: std::error::Error + 'static>(error: &Error<E>) -> bool {
    causes(error).any(|cause| format!("{cause:?}").starts_with("ResolveEndpointError"))
}

fn or(code: &str, otherwise: &str) -> String {
    if code.is_empty() { otherwise.to_owned() } else { code.to_owned() }
}

/// An error with its causes, for the log. By their words alone: the debug form of some holds the whole response.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.join(": ").chars().take(500).collect()
}
