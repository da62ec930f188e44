//! Which object an event means, in the event's own words: hostile until it is checked.

use percent_encoding::percent_decode_str;

/// Most bytes of an S3 key.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// An object that is to be analyzed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Bucket name, or the ARN of an access point.
    pub(super) bucket: String,
    /// The key as S3 has it.
    pub(super) key: String,
    /// What the event says of its bytes.
    pub(super) version: Version,
}

/// What an event says of the bytes that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// The version of this id.
    Id(String),
    /// Those with this ETag, without quotes.
    Etag(String),
    /// Nothing: whatever is newest.
    Newest,
}

/// What is wrong with an event or a part of it, to be shown to whoever reads the report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) String);

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Target {
    /// The object of an event that writes keys as they are.
    pub(super) fn literal(
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        etag: Option<&str>,
    ) -> Result<Self, Malformed> {
        check_bucket(bucket)?;
        check_key(key)?;
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), version: version(version_id, etag)? })
    }

    /// The object of an event that URL-encodes keys.
    pub(super) fn encoded(
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        etag: Option<&str>,
    ) -> Result<Self, Malformed> {
        Self::literal(bucket, &decoded(key)?, version_id, etag)
    }

    /// `s3://BUCKET/KEY`.
    pub(super) fn source(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// The bucket of an ARN such as `arn:aws:s3:::photos`. Of an access point the ARN itself is the name to read by.
pub(super) fn bucket_of_arn(arn: &str) -> Result<&str, Malformed> {
    if !arn.starts_with("arn:") {
        return Err(Malformed::new("s3BucketArn is no ARN"));
    }
    if arn.contains(":accesspoint/") {
        return Ok(arn);
    }
    Ok(arn.rsplit(':').next().unwrap_or_default())
}

/// Undoes the URL encoding of S3's events and manifests, once.
fn decoded(key: &str) -> Result<String, Malformed> {
    // An escape is three bytes at most.
    if key.len() > 3 * MAX_KEY_BYTES {
        return Err(Malformed::new(format!("the key has more than {MAX_KEY_BYTES} bytes")));
    }
    let mut escapes = key.split('%');
    escapes.next();
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return Err(Malformed::new("the key is not URL-encoded: a % in it begins no escape; write it as %25"));
    }
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Malformed::new("the key is not UTF-8 once it is URL-decoded"))
}

fn check_key(key: &str) -> Result<(), Malformed> {
    match key.len() {
        0 => Err(Malformed::new("the key is empty")),
        length if length > MAX_KEY_BYTES => {
            Err(Malformed::new(format!("the key has {length} bytes; S3 keys have at most {MAX_KEY_BYTES}")))
        }
        _ if key.contains('\0') => Err(Malformed::new("the key holds a NUL, which no S3 key can")),
        _ => Ok(()),
    }
}

fn check_bucket(bucket: &str) -> Result<(), Malformed> {
    let is_arn =
        bucket.starts_with("arn:") && bucket.len() <= 2048 && bucket.bytes().all(|byte| byte.is_ascii_graphic());
    let is_name = (3..=255).contains(&bucket.len())
        && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
        && bucket.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match is_arn || is_name {
        true => Ok(()),
        false => Err(Malformed::new("the bucket is no bucket name and no ARN")),
    }
}

fn version(id: Option<&str>, etag: Option<&str>) -> Result<Version, Malformed> {
    // The version `null` is whatever was written last without one.
    let id = id.filter(|id| !id.is_empty() && *id != "null");
    let etag = etag.map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
    for (name, value) in [("version id", id), ("ETag", etag)] {
        let is_fit = |text: &str| text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if value.is_some_and(|value| !is_fit(value)) {
            return Err(Malformed::new(format!("the {name} is not of at most 1024 visible ASCII characters")));
        }
    }
    Ok(match (id, etag) {
        (Some(id), _) => Version::Id(id.to_owned()),
        (None, Some(etag)) => Version::Etag(etag.to_owned()),
        (None, None) => Version::Newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(encoded: &str) -> Result<String, String> {
        Target::encoded("photos", encoded, None, None).map(|target| target.key).map_err(|malformed| malformed.0)
    }

    #[test]
    fn keys_are_decoded_once() {
        for (encoded, expected) in [
            ("a/b.png", "a/b.png"),
            ("a+b%2Bc.png", "a b+c.png"),
            ("%EC%82%AC%EC%A7%84.png", "사진.png"),
            ("100%2525", "100%25"),
            ("..%2F..%2Fetc", "../../etc"),
            ("a%0Ab", "a\nb"),
        ] {
            assert_eq!(key(encoded).as_deref(), Ok(expected), "{encoded}");
        }
    }

    #[test]
    fn what_is_no_key_is_said() {
        let long = "%41".repeat(1025);
        let longest = "%41".repeat(1024);
        assert_eq!(key(&longest).map(|key| key.len()), Ok(1024));
        for (encoded, part) in [
            ("", "empty"),
            ("a%00b", "NUL"),
            ("100%", "%25"),
            ("%4", "%25"),
            ("%zz", "%25"),
            ("%é1", "%25"),
            ("%FF%FE", "UTF-8"),
            (long.as_str(), "1024 bytes"),
        ] {
            let error = key(encoded).expect_err(encoded);
            assert!(error.contains(part), "{encoded}: {error}");
        }
    }

    #[test]
    fn a_version_counts_more_than_an_etag_and_null_is_none() {
        let version = |id, etag| Target::literal("photos", "k", id, etag).map(|target| target.version);
        assert_eq!(version(Some("v1"), Some("e")), Ok(Version::Id("v1".into())));
        assert_eq!(version(Some("null"), Some("\"e-2\"")), Ok(Version::Etag("e-2".into())));
        assert_eq!(version(Some(""), Some("")), Ok(Version::Newest));
        assert!(version(Some("a\r\nb"), None).is_err());
        assert!(version(None, Some(&"e".repeat(1025))).is_err());
    }

    #[test]
    fn buckets_come_out_of_their_arns() {
        for (arn, bucket) in [
            ("arn:aws:s3:::photos", Ok("photos")),
            ("arn:aws:s3:us-east-1:0123456788:photos", Ok("photos")),
            ("arn:aws-cn:s3:::photos", Ok("photos")),
            (
                "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine",
                Ok("arn:aws:s3:eu-west-1:123456789012:accesspoint/mine"),
            ),
        ] {
            assert_eq!(bucket_of_arn(arn), bucket);
        }
        assert!(bucket_of_arn("photos").is_err());
        for bucket in ["", "ab", "a/b", "-ab", "a b", "ab\0c"] {
            assert!(Target::literal(bucket, "k", None, None).is_err(), "{bucket:?}");
        }
    }
}
