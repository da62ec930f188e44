use std::{future::poll_fn, io, pin::Pin, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::Stream;
use http::HeaderMap;
use md5::{Digest, Md5};
use s3s::{
    S3Request, S3Result,
    checksum::ChecksumHasher,
    dto::{Checksum, ETagCondition, PutObjectInput, StreamingBlob},
    s3_error,
};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::{
    etag::{MAX_HASHED_BYTES, hex},
    files::{Files, failed},
};

/// Largest object one request may put, bytes.
const MAX_OBJECT_BYTES: u64 = 5 * 1024 * 1024 * 1024;
const TRAILER: &str = "x-amz-trailer";

/// Writes an object and gives its ETag. The bytes go to a temporary file first, so that an object is either the old or
/// the new one and a broken upload leaves nothing behind.
pub(super) async fn put(files: &Arc<Files>, request: S3Request<PutObjectInput>) -> S3Result<String> {
    let mut input = request.input;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let condition = (input.if_match.take(), input.if_none_match.take());
    Files::work(files, move |files| {
        files.bucket(&bucket)?;
        check_conditions(files, &bucket, &key, condition)
    })
    .await?;
    let body = input.body.take();
    let hasher = hasher(&input, &request.headers);
    let written = write(files, body, hasher).await?;
    check_sums(&input, request.trailing_headers.and_then(|trailers| trailers.take()), &written)?;
    let Written { path, md5, length, .. } = written;
    Files::work(files, move |files| {
        let place = files.make_place(&input.bucket, &input.key)?;
        path.persist(&place).map_err(|error| failed(error.error))?;
        files.etags.forget(&place);
        if length > MAX_HASHED_BYTES {
            return files.open(&input.bucket, &input.key, None).map(|object| object.etag);
        }
        Ok(hex(&md5))
    })
    .await
}

fn check_conditions(
    files: &Files,
    bucket: &str,
    key: &str,
    (if_match, if_none_match): (Option<ETagCondition>, Option<ETagCondition>),
) -> S3Result<()> {
    if if_match.is_none() && if_none_match.is_none() {
        return Ok(());
    }
    let there = files.open(bucket, key, None).ok();
    let is_this = |condition: &ETagCondition| match (condition, &there) {
        (_, None) => false,
        (ETagCondition::Any, Some(_)) => true,
        (ETagCondition::ETag(etag), Some(object)) => etag.value() == object.etag,
    };
    let holds = if_match.is_none_or(|wanted| is_this(&wanted)) && !if_none_match.is_some_and(|other| is_this(&other));
    let refused = || s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
    holds.then_some(()).ok_or_else(refused)
}

struct Written {
    path: TempPath,
    length: u64,
    md5: Vec<u8>,
    sums: Checksum,
}

async fn write(files: &Files, body: Option<StreamingBlob>, mut hasher: ChecksumHasher) -> S3Result<Written> {
    let (file, path) = temporary(files).map_err(failed)?.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let (mut md5, mut length) = (Md5::new(), 0_u64);
    if let Some(mut body) = body {
        while let Some(piece) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            let piece = piece.map_err(|_| s3_error!(IncompleteBody, "The request body did not arrive as announced"))?;
            length = length.saturating_add(piece.len() as u64);
            if length > MAX_OBJECT_BYTES {
                return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
            }
            md5.update(&piece);
            hasher.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
    }
    file.flush().await.map_err(failed)?;
    Ok(Written { path, length, md5: md5.finalize().to_vec(), sums: hasher.finalize() })
}

fn temporary(files: &Files) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sightline-upload-");
    // As any new file, by the user's own mask; temporary files are else for their maker only.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(files.root())
}

/// Computes the sums the client names in a header, as its algorithm, or as coming after the body.
fn hasher(input: &PutObjectInput, headers: &HeaderMap) -> ChecksumHasher {
    let algorithm = input.checksum_algorithm.as_ref().map(|name| name.as_str().to_ascii_lowercase());
    let trailer = headers.get(TRAILER).and_then(|names| names.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let is_named = |name: &str, given: bool| {
        let announced = trailer.split(',').any(|header| header.trim().strip_prefix("x-amz-checksum-") == Some(name));
        given || announced || algorithm.as_deref() == Some(name)
    };
    ChecksumHasher {
        crc32: is_named("crc32", input.checksum_crc32.is_some()).then(Default::default),
        crc32c: is_named("crc32c", input.checksum_crc32c.is_some()).then(Default::default),
        sha1: is_named("sha1", input.checksum_sha1.is_some()).then(Default::default),
        sha256: is_named("sha256", input.checksum_sha256.is_some()).then(Default::default),
        crc64nvme: is_named("crc64nvme", input.checksum_crc64nvme.is_some()).then(Default::default),
    }
}

fn check_sums(input: &PutObjectInput, trailers: Option<HeaderMap>, written: &Written) -> S3Result<()> {
    let trailers = trailers.unwrap_or_default();
    let sums = &written.sums;
    let pairs = [
        ("crc32", &input.checksum_crc32, &sums.checksum_crc32),
        ("crc32c", &input.checksum_crc32c, &sums.checksum_crc32c),
        ("sha1", &input.checksum_sha1, &sums.checksum_sha1),
        ("sha256", &input.checksum_sha256, &sums.checksum_sha256),
        ("crc64nvme", &input.checksum_crc64nvme, &sums.checksum_crc64nvme),
    ];
    for (name, header, computed) in pairs {
        let trailer = trailers.get(format!("x-amz-checksum-{name}")).and_then(|sum| sum.to_str().ok());
        let claimed = header.as_deref().or(trailer);
        if claimed.is_some() && claimed != computed.as_deref() {
            return Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."));
        }
    }
    let claimed = input.content_md5.as_deref();
    if claimed.is_some_and(|claimed| claimed != STANDARD.encode(&written.md5)) {
        return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    Ok(())
}
