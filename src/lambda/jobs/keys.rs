//! Where the result of an object lies: a key that follows from the object's bucket, key and bytes and from what was asked,
//! and from nothing else, so that whoever works on it finds what others wrote.

use std::fmt::Write as _;

use super::object::{MAX_KEY_BYTES, Target};

/// What a key ends in.
pub(super) const RESULT: &str = ".json";
/// What the key of a claim adds to that of its result.
pub(super) const CLAIM: &str = ".claim";
/// The place of results whose object's key is too long to stand in theirs.
const LONG: &str = ".long";
/// Longest version id that stands in a key as it is.
const MAX_ID: usize = 64;

/// The bucket and the prefix under which results lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResultsLocation {
    /// Bucket name or access-point ARN.
    pub(super) bucket: String,
    /// What every result's key begins with; may be empty, and has at most 512 bytes.
    pub(super) prefix: String,
}

/// Keys of what is written for one object and one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// The document.
    pub(super) result: String,
    /// The right to work on it.
    pub(super) claim: String,
}

impl ResultsLocation {
    /// The keys for an object whose bytes `id` tells from all others of its key, and the question's `digest`.
    pub(super) fn keys(&self, target: &Target, id: &str, digest: &str) -> Keys {
        let Self { prefix, .. } = self;
        let (bucket, id) = (segment(&target.bucket), safe_id(id));
        let mut result = format!("{prefix}{bucket}/{}/{id}-{digest}{RESULT}", path(&target.key));
        if result.len() + CLAIM.len() > MAX_KEY_BYTES {
            let hash = blake3::hash(target.key.as_bytes()).to_hex();
            let bucket = if bucket.len() > 255 { blake3::hash(bucket.as_bytes()).to_hex().to_string() } else { bucket };
            result = format!("{prefix}{bucket}/{LONG}/{hash}/{id}-{digest}{RESULT}");
        }
        let claim = format!("{result}{CLAIM}");
        Keys { result, claim }
    }

    /// Whether an object is one of the results themselves.
    pub(super) fn holds(&self, target: &Target) -> bool {
        let Target { bucket, key, .. } = target;
        let claim = key.strip_suffix(CLAIM).unwrap_or(key);
        *bucket == self.bucket && key.starts_with(&self.prefix) && claim.ends_with(RESULT)
    }

    /// `s3://BUCKET/KEY` of a result.
    pub(super) fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// A key as a path below another: segments that tools take for `here` and `up` mean nothing any more, and no two keys
/// become one.
fn path(key: &str) -> String {
    let segments: Vec<_> = key.split('/').enumerate().map(|(at, part)| safe_segment(part, at == 0)).collect();
    segments.join("/")
}

/// A name as one segment.
fn segment(name: &str) -> String {
    safe_segment(name, true).replace('/', "%2F")
}

fn safe_segment(segment: &str, is_first: bool) -> String {
    let is_dots = !segment.is_empty() && segment.bytes().all(|byte| byte == b'.');
    let hides = is_dots || (is_first && segment == LONG);
    let mut safe = String::with_capacity(segment.len());
    for c in segment.chars() {
        if c.is_control() || c == '%' || c == '\\' || (hides && c == '.') {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(safe, "%{byte:02X}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Version ids and ETags as they are when they are as AWS makes them, else their hash.
fn safe_id(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !id.is_empty() && id.len() <= MAX_ID && id.chars().all(is_plain) {
        return id.to_owned();
    }
    blake3::hash(id.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "0123456789abcdef";

    fn location(prefix: &str) -> ResultsLocation {
        ResultsLocation { bucket: "results".to_owned(), prefix: prefix.to_owned() }
    }

    fn result(key: &str, id: &str) -> String {
        let target = Target::literal("photos", key, None, None).unwrap();
        location("out/").keys(&target, id, DIGEST).result
    }

    #[test]
    fn a_result_lies_under_its_objects_key() {
        let etag = "9bb58f26192e4ba00f01e2e7b136bbd8-12";
        assert_eq!(result("a b/사진.png", etag), format!("out/photos/a b/사진.png/{etag}-{DIGEST}.json"));
        let target = Target::literal("photos", "k", None, None).unwrap();
        assert_eq!(location("").keys(&target, "v1", DIGEST).claim, format!("photos/k/v1-{DIGEST}.json.claim"));
    }

    #[test]
    fn no_key_climbs_out_of_the_prefix() {
        for (key, expected) in [
            ("../../x", "out/photos/%2E%2E/%2E%2E/x/"),
            ("./a", "out/photos/%2E/a/"),
            ("...", "out/photos/%2E%2E%2E/"),
            ("/a//b", "out/photos//a//b/"),
            (".long/x", "out/photos/%2Elong/x/"),
            ("a/.long", "out/photos/a/.long/"),
            ("a\nb\\c%2E", "out/photos/a%0Ab%5Cc%252E/"),
            (".a/b..c", "out/photos/.a/b..c/"),
        ] {
            assert_eq!(result(key, "e"), format!("{expected}e-{DIGEST}.json"), "{key:?}");
        }
        assert!(result("k", "../../x").starts_with("out/photos/k/"), "{}", result("k", "../../x"));
        assert!(!result("k", "../../x").contains(".."));
        let point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        let target = Target::literal(point, "k", None, None).unwrap();
        let key = location("out/").keys(&target, "e", DIGEST).result;
        assert_eq!(key, format!("out/arn:aws:s3:eu-west-1:123456789012:accesspoint%2Fmine/k/e-{DIGEST}.json"));
    }

    #[test]
    fn the_results_themselves_are_known() {
        let out = location("out/");
        for (bucket, key, holds) in [
            ("results", "out/photos/k/e-0.json", true),
            ("results", "out/photos/k/e-0.json.claim", true),
            ("results", "out/picture.png", false),
            ("results", "in/k.json", false),
            ("photos", "out/k.json", false),
        ] {
            assert_eq!(out.holds(&Target::literal(bucket, key, None, None).unwrap()), holds, "{bucket} {key}");
        }
    }

    proptest! {
        #[test]
        fn keys_fit_s3_and_differ_as_their_objects_do(
            keys in proptest::collection::hash_set("([a-c./%\\\\\u{1}é]{1,12}|[.a]{1,4}/[ab]{700,1000})", 2..8),
        ) {
            let results: HashSet<String> = keys.iter().map(|key| result(key, "e")).collect();
            prop_assert_eq!(results.len(), keys.len());
            for key in results {
                prop_assert!(key.len() + CLAIM.len() <= MAX_KEY_BYTES && key.starts_with("out/photos/"));
                prop_assert!(!key.split('/').any(|part| part == ".." || part == "."));
            }
        }
    }
}
