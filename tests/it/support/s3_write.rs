//! What a client writes: conditional puts and deletes of whole objects, as general purpose buckets take them.

use std::time::SystemTime;

use aws_smithy_types::{DateTime, date_time::Format};
use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use super::{
    loopback::{Body, Ending, body},
    s3_wire::{Failure, Object},
};

/// What goes wrong with a request that writes, or with a look at what was written.
#[derive(Clone, Debug)]
pub enum WriteFault {
    /// It fails so, and changes nothing.
    Fails(Failure),
    /// It is done, and the connection breaks before the answer is through.
    LostAnswer,
    /// Nothing comes, and nothing is changed.
    Hang,
}

impl From<Failure> for WriteFault {
    fn from(failure: Failure) -> Self {
        Self::Fails(failure)
    }
}

/// A fault that a test plans: for requests of a method to a key.
pub(super) struct Planned {
    pub method: Method,
    pub bucket: String,
    pub key: String,
    pub fault: WriteFault,
    pub left: usize,
}

/// What becomes of the versions of a key.
pub(super) type Change = Result<Option<Object>, Failure>;

/// What a PUT leaves: the new object, or why not.
pub(super) fn put(there: Option<&Object>, headers: &HeaderMap, bytes: Bytes) -> Change {
    let condition = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (condition("if-none-match"), condition("if-match"), there) {
        (Some("*"), None, Some(_)) => return Err(Failure::PRECONDITION_FAILED),
        (Some("*") | None, None, _) => {}
        (None, Some(_), None) => return Err(Failure::NO_SUCH_KEY),
        (None, Some(wanted), Some(there)) if same(wanted, &there.etag) => {}
        (None, Some(_), Some(_)) => return Err(Failure::PRECONDITION_FAILED),
        _ => return Err(Failure::NOT_IMPLEMENTED),
    }
    let length = condition("content-length").and_then(|length| length.parse().ok());
    if length != Some(bytes.len()) {
        return Err(Failure::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header."));
    }
    let sum = condition("x-amz-checksum-crc32");
    if sum.is_some_and(|sum| sum != checksum(&bytes)) {
        return Err(Failure::new(400, "BadDigest", "The CRC32 you specified did not match the calculated checksum."));
    }
    let modified = DateTime::from(SystemTime::now()).fmt(Format::HttpDate).unwrap();
    let mut object = Object::new(bytes).header("last-modified", &modified);
    if let Some(content_type) = condition("content-type") {
        object = object.content_type(content_type);
    }
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-")) {
        object = object.header(name.as_str(), value.to_str().unwrap());
    }
    Ok(Some(object))
}

/// What a DELETE leaves: nothing, or why not.
pub(super) fn delete(there: Option<&Object>, headers: &HeaderMap) -> Change {
    let wanted = headers.get("if-match").and_then(|value| value.to_str().ok());
    match (wanted, there) {
        (Some(_), None) => Err(Failure::NO_SUCH_KEY),
        (Some(wanted), Some(there)) if !same(wanted, &there.etag) => Err(Failure::PRECONDITION_FAILED),
        _ => Ok(None),
    }
}

fn same(wanted: &str, etag: &str) -> bool {
    wanted == "*" || wanted.trim_matches('"') == etag.trim_matches('"')
}

fn checksum(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(crc32fast::hash(bytes).to_be_bytes())
}

/// The answer to a write that was done; `etag` of what is there now.
pub(super) fn done(etag: Option<&str>, lost: bool) -> Response<Body> {
    let mut builder = Response::builder().header("x-amz-request-id", "4442587FB7D0A2F9").header("server", "AmazonS3");
    builder = match etag {
        Some(etag) => builder.status(200).header("etag", etag),
        None => builder.status(204),
    };
    if lost {
        // A length that is promised and does not come is an answer that breaks.
        return builder.status(200).header("content-length", 64).body(body(Bytes::from("<"), Ending::Cut)).unwrap();
    }
    builder.body(body(Bytes::new(), Ending::Complete)).unwrap()
}
