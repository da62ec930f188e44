//! What a rule names: callers, and places where objects lie.

use crate::domain::{Caller, ObjectRef};

/// Longest caller or place in bytes: a SPIFFE id may have 2048.
const MAX_BYTES: usize = 2048;

/// Callers that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Callers {
    /// `*`: everyone, those without identity too.
    Everyone,
    /// `team-*`: everyone with an identity that begins so.
    BeginningWith(String),
    /// The one of that name.
    Named(String),
}

impl Callers {
    /// # Errors
    /// What is wrong with it and what to write.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let is_plain = |name: &str| !name.chars().any(|c| c == '*' || c.is_control() || c.is_whitespace());
        match text.strip_suffix('*') {
            _ if text.is_empty() => Err("is empty: write a caller's name, `*` or `anonymous`"),
            _ if text.len() > MAX_BYTES => Err("is longer than 2048 bytes"),
            Some("") => Ok(Self::Everyone),
            Some(start) if is_plain(start) => Ok(Self::BeginningWith(start.to_owned())),
            None if is_plain(text) => Ok(Self::Named(text.to_owned())),
            _ => Err("may have one `*`, at its end, and no spaces"),
        }
    }

    pub(super) fn hold(&self, caller: &Caller) -> bool {
        match self {
            Self::Everyone => true,
            // Whoever gave no identity has no name that could begin so.
            Self::BeginningWith(start) => !caller.is_anonymous() && caller.name().starts_with(start.as_str()),
            Self::Named(name) => caller.name() == name,
        }
    }

    /// Whether everyone whom `other` holds is held by this too.
    pub(super) fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everyone, _) => true,
            (Self::BeginningWith(start), Self::BeginningWith(longer)) => longer.starts_with(start.as_str()),
            (_, Self::Named(name)) => self.hold(&Caller::named(name.as_str())),
            _ => false,
        }
    }
}

/// Objects that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Objects {
    /// `s3://*`: all that the server can read.
    All,
    /// The keys of a bucket that begin with a prefix, taken literally; all keys when it is empty.
    Under { bucket: String, prefix: String },
}

impl Objects {
    /// # Errors
    /// What is wrong with it and what to write.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(address) = text.strip_prefix("s3://") else {
            return Err("is no place in S3: write `s3://BUCKET/PREFIX/`, `s3://BUCKET` or `s3://*`");
        };
        if address == "*" {
            return Ok(Self::All);
        }
        if text.len() > MAX_BYTES || text.chars().any(char::is_control) {
            return Err("is longer than 2048 bytes, or holds control characters");
        }
        let (bucket, prefix) = ObjectRef::split(address).unwrap_or((address, ""));
        if !is_bucket(bucket) {
            return Err("names no bucket (3 to 63 of a-z 0-9 . -, or the ARN of an access point)");
        }
        if prefix.ends_with('*') {
            return Err("ends in `*`: prefixes are taken literally, so leave it out");
        }
        Ok(Self::Under { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whether all keys that begin with `key` are held.
    pub(super) fn hold(&self, bucket: &str, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under { bucket: named, prefix } => bucket == named && key.starts_with(prefix.as_str()),
        }
    }

    /// Whether the prefix ends inside a name, and so holds `public-drafts/` beside `public/`.
    pub(super) fn ends_inside_a_name(&self) -> bool {
        matches!(self, Self::Under { prefix, .. } if !prefix.is_empty() && !prefix.ends_with('/'))
    }
}

/// Of names, those of general-purpose buckets. Old buckets in us-east-1 may have upper-case letters and underscores too.
fn is_bucket(name: &str) -> bool {
    if name.starts_with("arn:") {
        let resource = name.split_once(":accesspoint/").or_else(|| name.split_once("/accesspoint/"));
        let is_name = |access_point: &str| !access_point.is_empty() && !access_point.contains('/');
        return name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
            && resource.is_some_and(|(_, access_point)| is_name(access_point));
    }
    (3..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn callers_are_held_by_their_whole_name_or_its_beginning() {
        let hold = |pattern: &str, name: &str| Callers::parse(pattern).unwrap().hold(&Caller::named(name));
        for (pattern, name, held) in [
            ("*", "team-a", true),
            ("*", "anonymous", true),
            ("anonymous", "anonymous", true),
            ("anonymous", "team-a", false),
            ("a*", "anonymous", false),
            ("team-*", "team-a", true),
            ("team-*", "team-", true),
            ("team-*", "tea", false),
            ("team-a", "team-ab", false),
            ("spiffe://example.org/ns/shop/sa/*", "spiffe://example.org/ns/shop/sa/web", true),
            ("spiffe://example.org/ns/shop/sa/*", "spiffe://example.org/ns/shopping/sa/web", false),
        ] {
            assert_eq!(hold(pattern, name), held, "{pattern} {name}");
        }
        for wrong in ["", "*a", "a*b", "a**", "a b", "a\u{7}", "\n*"] {
            assert!(Callers::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rule_that_is_never_reached_is_known() {
        let cover = |one: &str, other: &str| Callers::parse(one).unwrap().cover(&Callers::parse(other).unwrap());
        for (one, other, covered) in [
            ("*", "anonymous", true),
            ("*", "a*", true),
            ("a*", "*", false),
            ("a*", "ab*", true),
            ("a*", "ab", true),
            ("ab", "a*", false),
            ("a*", "anonymous", false),
            ("a", "a", true),
        ] {
            assert_eq!(cover(one, other), covered, "{one} {other}");
        }
    }

    #[test]
    fn objects_are_held_by_bucket_and_literal_prefix() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        let outpost = "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-1/accesspoint/mine";
        let hold = |pattern: &str, bucket: &str, key: &str| Objects::parse(pattern).unwrap().hold(bucket, key);
        for (pattern, bucket, key, held) in [
            ("s3://*", "photos", "a.png", true),
            ("s3://photos", "photos", "a.png", true),
            ("s3://photos/", "photos", "a/b.png", true),
            ("s3://photos", "photos2", "a.png", false),
            ("s3://photos/public/", "photos", "public/a.png", true),
            ("s3://photos/public/", "photos", "public", false),
            ("s3://photos/public/", "photos", "Public/a.png", false),
            ("s3://photos/public/", "photos", "private/public/a.png", false),
            ("s3://photos/public/", "photos", "%70ublic/a.png", false),
            ("s3://photos/public", "photos", "public-drafts/a.png", true),
            ("s3://photos//", "photos", "a.png", false),
            ("s3://photos//", "photos", "/a.png", true),
            (&format!("s3://{arn}"), arn, "a.png", true),
            (&format!("s3://{arn}/public/"), arn, "public/a.png", true),
            (&format!("s3://{arn}/public/"), arn, "a.png", false),
            (&format!("s3://{arn}"), "mine", "a.png", false),
            (&format!("s3://{outpost}/a/"), outpost, "a/b", true),
        ] {
            assert_eq!(hold(pattern, bucket, key), held, "{pattern} {bucket} {key}");
        }
        for wrong in [
            "photos/public/",
            "s3://",
            "s3:///public/",
            "s3://ph",
            "s3://*/public/",
            "s3://photos-*/",
            "s3://photos/public/*",
            "s3://arn:aws:s3:eu-west-1:123456789012:mine/a",
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/",
            "s3://photos/a\nb",
        ] {
            assert!(Objects::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Objects::parse("s3://photos/public").unwrap().ends_inside_a_name());
        for whole in ["s3://photos", "s3://photos/", "s3://photos/public/", "s3://*"] {
            assert!(!Objects::parse(whole).unwrap().ends_inside_a_name(), "{whole}");
        }
    }

    proptest! {
        /// A prefix holds exactly the keys that begin with it, of its own bucket alone.
        #[test]
        fn a_prefix_holds_what_begins_with_it(
            bucket in "[a-z0-9]{3,8}", other in "[a-z0-9]{3,8}", prefix in "[a-z/.%]{0,6}", key in "[a-z/.%]{0,8}",
        ) {
            let place = Objects::parse(&format!("s3://{bucket}/{prefix}")).unwrap();
            let inside = format!("{prefix}{key}");
            prop_assert!(place.hold(&bucket, &inside));
            prop_assert_eq!(place.hold(&bucket, &key), key.starts_with(&prefix));
            prop_assert_eq!(place.hold(&other, &inside), bucket == other);
        }

        /// Whoever is held by a covered pattern is held by the one that covers it.
        #[test]
        fn what_covers_holds_more(one in "[ab]{0,2}\\*?", other in "[ab]{0,2}\\*?", name in "[ab]{1,4}") {
            if let (Ok(one), Ok(other)) = (Callers::parse(&one), Callers::parse(&other)) {
                let caller = Caller::named(name);
                prop_assert!(!(one.cover(&other) && other.hold(&caller)) || one.hold(&caller));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            let _ = (Callers::parse(&text), Objects::parse(&format!("s3://{text}")), Objects::parse(&text));
        }
    }
}
