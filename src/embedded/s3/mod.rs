//! An S3 server over a folder: its sub-folders are the buckets, the files in them the objects. `s3s` speaks the
//! protocol and checks signatures; what is here maps S3's rules onto files.
//!
//! The folder stays what it is: no metadata files are written, so objects have no metadata of their own, and their
//! ETag is computed from the file. Nothing outside the folder is reached: keys that are no plain relative path are
//! refused, and symbolic links are not followed. Operations beyond those of one object or bucket, a listing
//! (ListObjectsV2) included, are answered with NotImplemented.

mod etag;
mod files;
mod keys;
mod listing;
mod upload;

use std::{io, path::PathBuf, sync::Arc};

use http::{HeaderValue, Request, Response};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use s3s::{
    Body, HttpError, S3, S3Request, S3Response, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::{
        Bucket, CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition,
        GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
        HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListObjectsV2Input,
        ListObjectsV2Output, PutObjectInput, PutObjectOutput, Range, StreamingBlob, Timestamp,
    },
    s3_error,
    service::S3ServiceBuilder,
};
use uuid::Uuid;

use self::files::{Files, Object};
use super::access_key::AccessKey;

/// The account that owns every bucket of the embedded S3.
pub const ACCOUNT_ID: &str = "000000000000";

/// Serves `folder` to whoever signs with `key`.
pub(super) fn service(
    folder: PathBuf,
    key: AccessKey,
    region: &'static str,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = HttpError, Future: Send> + Clone + Send {
    let mut builder = S3ServiceBuilder::new(FolderS3 { files: Arc::new(Files::new(folder)), region });
    builder.set_auth(OneKey(key));
    builder.set_access(OneOwner);
    let service = builder.build();
    service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            let mut response = service.call(request.map(Body::from)).await?;
            // S3 names every answer, and callers log the name.
            let id = Uuid::new_v4().simple().to_string().to_uppercase();
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert("x-amz-request-id", id);
            }
            Ok(response)
        }
    })
}

/// Knows the stack's key pair only.
struct OneKey(AccessKey);

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.id {
            return Ok(SecretKey::from(self.0.secret.as_str()));
        }
        Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
    }
}

/// Refuses unsigned requests and those that expect another owner.
struct OneOwner;

#[async_trait::async_trait]
impl S3Access for OneOwner {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let owners = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
        let stranger = owners.iter().any(|name| context.headers().get(*name).is_some_and(|owner| owner != ACCOUNT_ID));
        if context.credentials().is_none() || stranger {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        Ok(())
    }
}

/// S3's operations on files.
struct FolderS3 {
    files: Arc<Files>,
    region: &'static str,
}

#[async_trait::async_trait]
impl S3 for FolderS3 {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let region = self.region;
        let found = Files::work(&self.files, Files::buckets).await?;
        let bucket = |(name, created): (String, Timestamp)| Bucket {
            name: Some(name),
            creation_date: Some(created),
            bucket_region: Some(region.to_owned()),
        };
        let buckets = Some(found.into_iter().map(bucket).collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, ..Default::default() }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        Files::work(&self.files, move |files| files.bucket(&request.input.bucket)).await?;
        let bucket_region = Some(self.region.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        Files::work(&self.files, move |files| files.bucket(&request.input.bucket)).await?;
        // us-east-1 is told by an empty answer.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let location = Some(format!("/{}", request.input.bucket));
        Files::work(&self.files, move |files| files.create_bucket(&request.input.bucket)).await?;
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let content_type = Some(keys::content_type(&input.key).to_owned());
        let (bucket, key, version) = (input.bucket, input.key, input.version_id);
        let object = Files::work(&self.files, move |files| files.open(&bucket, &key, version.as_deref())).await?;
        check_conditions(&object, input.if_match, input.if_none_match)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(object.length).ok(),
            content_type,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let content_type = Some(keys::content_type(&input.key).to_owned());
        let (bucket, key, version) = (input.bucket, input.key, input.version_id);
        let object = Files::work(&self.files, move |files| files.open(&bucket, &key, version.as_deref())).await?;
        check_conditions(&object, input.if_match, input.if_none_match)?;
        let (start, length, content_range) = slice(input.range, object.length)?;
        let failed = |error: io::Error| s3_error!(error, InternalError);
        let body = files::stream(object.file, start, length).await.map_err(failed)?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(body)),
            content_length: i64::try_from(length).ok(),
            content_range,
            content_type,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let etag = upload::put(&self.files, request).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        Files::work(&self.files, move |files| files.delete(&request.input.bucket, &request.input.key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let output = Files::work(&self.files, move |files| listing::list(files, request.input)).await?;
        Ok(S3Response::new(output))
    }
}

fn check_conditions(
    object: &Object,
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<()> {
    let is_this = |condition: ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if if_match.is_some_and(|condition| !is_this(condition)) {
        return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
    }
    if if_none_match.is_some_and(is_this) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// Start and length of what is asked, and the header that names it when it is not the whole.
fn slice(range: Option<Range>, whole: u64) -> S3Result<(u64, u64, Option<String>)> {
    let Some(range) = range else { return Ok((0, whole, None)) };
    let part = range.check(whole)?;
    let named = format!("bytes {}-{}/{whole}", part.start, part.end.saturating_sub(1));
    Ok((part.start, part.end.saturating_sub(part.start), Some(named)))
}

#[cfg(test)]
mod tests;
