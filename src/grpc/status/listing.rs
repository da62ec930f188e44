//! Objects that cannot be listed.

use tonic::Code;

use super::{Failure, shortened, storage};
use crate::{domain::ObjectRef, pipeline::StoreError};

pub(super) fn failure(bucket: &str, prefix: &str, error: &StoreError) -> Failure {
    let shown = shortened(&format!("s3://{bucket}/{prefix}"), 200);
    match error {
        StoreError::AccessDenied { code } => {
            let message = format!(
                "S3 denies the server to list {shown}. Its role needs s3:ListBucket on the bucket itself, beside s3:GetObject \
                 on the objects."
            );
            Failure::new(Code::PermissionDenied, "BUCKET_ACCESS_DENIED", message).with("s3_code", code)
        }
        StoreError::Rejected { code } => {
            let message = format!("S3 refuses to list {shown} ({code}). Check bucket, prefix and start_after.");
            Failure::new(Code::InvalidArgument, "FIELD_INVALID", message).with("s3_code", code).field("listing", code)
        }
        // The bucket is missing or elsewhere, S3 is not available, the server has no credentials: as for an object.
        other => storage::failure(&ObjectRef::newest(bucket, prefix.to_owned()), other),
    }
}

pub(super) fn unordered(bucket: &str, prefix: &str) -> Failure {
    let name = format!("s3://{bucket}/{prefix}");
    let message = format!(
        "The store does not list {} in the order of keys, as directory buckets of S3 Express do not: no listing can go on \
         where it ended. Send the objects as items.",
        shortened(&name, 200)
    );
    Failure::new(Code::FailedPrecondition, "LISTING_UNORDERED", message).precondition(
        "KEY_ORDER",
        &name,
        "keys are listed in another order, twice, or without the prefix",
    )
}

pub(super) fn empty(bucket: &str, prefix: &str, listed: u64) -> Failure {
    let name = format!("s3://{bucket}/{prefix}");
    let shown = shortened(&name, 200);
    let message = match listed {
        0 => format!("There is no object under {shown}. Prefixes are taken literally, not URL-decoded."),
        _ => format!("None of the {listed} objects under {shown} has one of the suffixes that were asked for."),
    };
    Failure::new(Code::NotFound, "LISTING_EMPTY", message)
        .with("listed_count", listed.to_string())
        .resource("s3.Prefix", &name)
}
