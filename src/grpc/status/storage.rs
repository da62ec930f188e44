//! Objects that cannot be read.

use std::time::Duration;

use tonic::Code;
use tonic_types::pb;

use super::{Failure, credentials, image, shortened};
use crate::{domain::ObjectRef, pipeline::StoreError};

pub(super) fn failure(object: &ObjectRef, error: &StoreError) -> Failure {
    let name = format!("s3://{}/{}", object.bucket, object.key);
    let shown = shortened(&name, 200);
    match error {
        StoreError::ObjectNotFound => {
            let version = object.version_id.as_ref().map_or("", |_| " in the version asked for");
            let message = format!("There is no object {shown}{version}. Keys are taken literally, not URL-decoded.");
            Failure::new(Code::NotFound, "OBJECT_NOT_FOUND", message).resource("s3.Object", &name)
        }
        StoreError::BucketNotFound => {
            let message = format!("There is no bucket {}.", shortened(&object.bucket, 200));
            Failure::new(Code::NotFound, "BUCKET_NOT_FOUND", message).resource("s3.Bucket", &object.bucket)
        }
        StoreError::AccessDenied { code } => {
            let message = format!(
                "S3 denies the server access to {shown}. Its role needs s3:GetObject on the object; without s3:ListBucket on \
                 the bucket, S3 answers the same for a key that does not exist."
            );
            Failure::new(Code::PermissionDenied, "OBJECT_ACCESS_DENIED", message).with("s3_code", code)
        }
        StoreError::Changed => {
            let message = format!("The ETag of {shown} is not the expected one: the object has changed since.");
            Failure::new(Code::FailedPrecondition, "OBJECT_CHANGED", message).precondition(
                "ETAG",
                &name,
                "expected_etag differs",
            )
        }
        StoreError::OwnerMismatch => {
            let message = format!(
                "S3 denies access to {shown} with the expected bucket owner: another account owns the bucket, or the server's \
                 role lacks s3:GetObject."
            );
            Failure::new(Code::FailedPrecondition, "BUCKET_OWNER_MISMATCH", message).precondition(
                "BUCKET_OWNER",
                &name,
                "expected_bucket_owner differs",
            )
        }
        StoreError::Archived => {
            let message = format!("{shown} is archived. Restore it first.");
            Failure::new(Code::FailedPrecondition, "OBJECT_ARCHIVED", message).precondition(
                "STORAGE_CLASS",
                &name,
                "archived",
            )
        }
        StoreError::WrongRegion => {
            let message =
                format!("The bucket of {shown} lies in another AWS Region than the one the server reads from.");
            Failure::new(Code::FailedPrecondition, "BUCKET_REGION_MISMATCH", message).precondition(
                "REGION",
                &object.bucket,
                "the bucket lies in another Region",
            )
        }
        StoreError::TooLarge { actual, limit } => image::too_many_bytes(*actual, *limit),
        StoreError::Rejected { code } => {
            let message = format!("S3 refuses the request for {shown} ({code}). Check bucket, key and version_id.");
            Failure::new(Code::InvalidArgument, "FIELD_INVALID", message)
                .with("s3_code", code)
                .field("image.s3_object", code)
        }
        StoreError::Credentials { .. } => credentials(),
        StoreError::Unavailable { .. } => {
            let message = format!("S3 could not deliver {shown}. Try again.");
            Failure::new(Code::Unavailable, "STORAGE_UNAVAILABLE", message).retry_after(Duration::from_secs(1))
        }
    }
}

impl Failure {
    pub(super) fn resource(self, kind: &str, name: &str) -> Self {
        let info = pb::ResourceInfo {
            resource_type: kind.to_owned(),
            resource_name: shortened(name, 1100),
            ..pb::ResourceInfo::default()
        };
        self.detail("ResourceInfo", &info)
    }

    pub(super) fn field(self, field: &str, code: &str) -> Self {
        let violation = pb::bad_request::FieldViolation {
            field: field.to_owned(),
            description: format!("S3 answered {code}"),
            reason: "REFUSED_BY_S3".to_owned(),
            localized_message: None,
        };
        self.detail("BadRequest", &pb::BadRequest { field_violations: vec![violation] })
    }
}
