//! What travels: the object's address, the object, and an error as the real service would send it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri};
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;

use super::loopback::{Body, Counter, Ending, body};

/// What a request's address names.
#[derive(Clone, Debug)]
pub struct Target {
    pub bucket: String,
    /// Empty when the bucket itself is meant.
    pub key: String,
    pub version_id: Option<String>,
}

impl Target {
    /// Reads a path-style address; `None` when it names no bucket.
    pub fn parse(uri: &Uri) -> Option<Self> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let path = uri.path().strip_prefix('/')?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let mut parameters = uri.query().unwrap_or_default().split('&');
        let version_id = parameters.find_map(|pair| pair.strip_prefix("versionId=")).and_then(decode);
        let target = Self { bucket: decode(bucket)?, key: decode(key)?, version_id };
        (!target.bucket.is_empty()).then_some(target)
    }
}

/// A stored object.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Bytes,
    /// With its quotes, as S3 sends it.
    pub etag: String,
    pub content_type: String,
    pub version_id: Option<String>,
    headers: Vec<(String, String)>,
}

impl Object {
    /// An object whose ETag is the MD5 of its bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            bytes,
            etag: format!("\"{digest}\""),
            content_type: "binary/octet-stream".to_owned(),
            version_id: None,
            headers: Vec::new(),
        }
    }

    /// Says that it is of this media type, true or not.
    pub fn content_type(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    /// Gives it a version.
    pub fn version(mut self, id: &str) -> Self {
        self.version_id = Some(id.to_owned());
        self
    }

    /// Adds a header to the answer, such as `content-encoding`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What goes wrong with a request for a key.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails so.
    Fails(Failure),
    /// Nothing comes, not even headers.
    Hang,
    /// Headers and half the body come, then nothing.
    HangInBody,
    /// Headers with the whole length and half the body, then the connection breaks.
    Cut,
    /// All of it comes, in chunks and without a Content-Length.
    WithoutLength,
    /// The bytes come again and again, without a Content-Length.
    Endless,
    /// The checksum in the headers is not that of the body.
    WrongChecksum,
}

/// An error answer.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    status: u16,
    code: &'static str,
    message: &'static str,
    /// More elements of the XML.
    more: &'static str,
}

impl Failure {
    pub const ACCESS_DENIED: Self = Self::new(403, "AccessDenied", "Access Denied");
    pub const BAD_MAX_KEYS: Self =
        Self::new(400, "InvalidArgument", "Provided max-keys not an integer or within range");
    pub const BAD_TOKEN: Self = Self::new(400, "InvalidArgument", "The continuation token provided is incorrect");
    pub const INTERNAL_ERROR: Self =
        Self::new(500, "InternalError", "We encountered an internal error. Please try again.");
    pub const INVALID_OBJECT_STATE: Self = Self {
        more: "<StorageClass>GLACIER</StorageClass>",
        ..Self::new(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    };
    pub const NO_SUCH_BUCKET: Self = Self::new(404, "NoSuchBucket", "The specified bucket does not exist");
    pub const NO_SUCH_KEY: Self = Self::new(404, "NoSuchKey", "The specified key does not exist.");
    pub const NO_SUCH_VERSION: Self = Self::new(404, "NoSuchVersion", "The specified version does not exist.");
    pub const NOT_IMPLEMENTED: Self =
        Self::new(501, "NotImplemented", "A header you provided implies functionality that is not implemented");
    pub const PERMANENT_REDIRECT: Self = Self {
        more: "<Endpoint>s3.eu-central-1.amazonaws.com</Endpoint>",
        ..Self::new(
            301,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all \
             future requests to this endpoint.",
        )
    };
    pub const PRECONDITION_FAILED: Self = Self {
        more: "<Condition>If-Match</Condition>",
        ..Self::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    };
    pub const CONFLICT: Self = Self {
        more: "<Condition>If-None-Match</Condition>",
        ..Self::new(
            409,
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this resource.",
        )
    };
    pub const SLOW_DOWN: Self = Self::new(503, "SlowDown", "Please reduce your request rate.");

    /// Any other error.
    pub const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, more: "" }
    }

    /// As an answer to this method: one to a HEAD has no body, and so no code.
    pub(super) fn answers(self, method: &http::Method, bucket: &str, key: &str) -> Response<Body> {
        let response = self.response(bucket, key);
        match *method == http::Method::HEAD {
            true => response.map(|_| body(Bytes::new(), Ending::Complete)),
            false => response,
        }
    }

    pub(super) fn response(self, bucket: &str, key: &str) -> Response<Body> {
        let Self { status, code, message, more } = self;
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}\
             <BucketName>{}</BucketName><Key>{}</Key><RequestId>4442587FB7D0A2F9</RequestId><HostId>aGVsbG8=</HostId>\
             </Error>",
            escape(bucket),
            escape(key),
        );
        let mut builder = Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header("content-type", "application/xml")
            .header("content-length", xml.len())
            .header("x-amz-request-id", "4442587FB7D0A2F9")
            .header("server", "AmazonS3");
        if status == 301 {
            builder = builder.header("x-amz-bucket-region", "eu-central-1");
        }
        builder.body(body(xml.into(), Ending::Complete)).unwrap()
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Fails(failure)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The object's headers alone, as a HEAD has them.
pub(super) fn head_response(object: &Object) -> Response<Body> {
    object_response(object, None, &Counter::default()).map(|_| body(Bytes::new(), Ending::Complete))
}

/// The object, with what `fault` does to its body.
pub(super) fn object_response(object: &Object, fault: Option<&Fault>, abandoned: &Counter) -> Response<Body> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let mut set = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    };
    set("etag", &object.etag);
    set("content-type", &object.content_type);
    set("last-modified", "Wed, 01 Jul 2026 12:00:00 GMT");
    set("accept-ranges", "bytes");
    set("x-amz-request-id", "4442587FB7D0A2F9");
    set("server", "AmazonS3");
    if let Some(id) = &object.version_id {
        set("x-amz-version-id", id);
    }
    if matches!(fault, Some(Fault::WrongChecksum)) {
        set("x-amz-checksum-crc32", "3q2+7w==");
    }
    if !matches!(fault, Some(Fault::WithoutLength | Fault::Endless)) {
        set("content-length", &object.bytes.len().to_string());
    }
    for (name, value) in &object.headers {
        set(name, value);
    }
    let half = object.bytes.slice(..object.bytes.len() / 2);
    let body = match fault {
        Some(Fault::Cut) => body(half, Ending::Cut),
        Some(Fault::HangInBody) => body(half, Ending::Hang(abandoned.on_drop())),
        Some(Fault::Endless) => body(object.bytes.clone(), Ending::Endless),
        _ => body(object.bytes.clone(), Ending::Complete),
    };
    response.map(|()| body)
}
