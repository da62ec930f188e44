//! What callers name: accounts, Regions, buckets, keys. Each is checked before it gets into a policy, where a stray character
//! would grant more than was meant.

use std::{fmt, str::FromStr};

use super::IamError;

/// A partition of AWS: `aws`, `aws-cn`, `aws-us-gov`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition(String);

impl Partition {
    /// The suffix of its services' names in conditions.
    pub(super) fn domain(&self) -> &'static str {
        if self.0 == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }
}

impl FromStr for Partition {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        let rest = text.strip_prefix("aws").filter(|rest| rest.is_empty() || rest.starts_with('-'));
        match rest.is_some_and(|rest| rest.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase())) {
            true => Ok(Self(text.to_owned())),
            false => Err(IamError::Partition { given: text.to_owned() }),
        }
    }
}

/// An account's number, of 12 digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

impl FromStr for Account {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        match text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(Self(text.to_owned())),
            false => Err(IamError::Account { given: text.to_owned() }),
        }
    }
}

/// A Region's code, such as `eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl FromStr for Region {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        let parts: Vec<&str> = text.split('-').collect();
        let is_region = match parts.as_slice() {
            [words @ .., number] if words.len() >= 2 && text.len() <= 32 => {
                let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
                words.iter().all(is_word) && matches!(number.as_bytes(), [b'1'..=b'9'])
            }
            _ => false,
        };
        if is_region { Ok(Self(text.to_owned())) } else { Err(IamError::Region { given: text.to_owned() }) }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {
        $(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }
        )*
    };
}
as_text!(Partition, Account, Region);

/// The parts of `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) partition: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads an ARN that names one thing: with no pattern, no variable and nothing that an ARN does not have.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let mut next = || parts.next();
        let arn = Self { partition: next()?, service: next()?, region: next()?, account: next()?, resource: next()? };
        let is_whole = !arn.partition.is_empty() && !arn.service.is_empty() && !arn.resource.is_empty();
        (is_whole && text.chars().all(is_plain)).then_some(arn)
    }
}

/// A bucket, or an access point that stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
}

impl Bucket {
    pub(super) fn is_access_point(&self) -> bool {
        self.name.starts_with("arn:")
    }

    /// Its ARN, for what is done to it as a whole.
    pub(super) fn arn(&self, partition: &Partition) -> String {
        if self.is_access_point() { self.name.clone() } else { format!("arn:{partition}:s3:::{}", self.name) }
    }

    /// The ARN of all objects in it whose key begins so.
    pub(super) fn objects(&self, partition: &Partition, prefix: &Prefix) -> String {
        let between = if self.is_access_point() { "/object/" } else { "/" };
        format!("{}{between}{}", self.arn(partition), prefix.pattern())
    }

    /// The partition that its ARN says; `None` for a name.
    pub(super) fn partition(&self) -> Option<&str> {
        Some(Arn::read(&self.name)?.partition)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Bucket {
    type Err = IamError;

    /// Reads a name or an access point's ARN, also behind `s3://`.
    fn from_str(text: &str) -> Result<Self, IamError> {
        let name = text.strip_prefix("s3://").unwrap_or(text);
        let wrong = |why| Err(IamError::Bucket { given: name.to_owned(), why });
        if name.starts_with("arn:") {
            let point = Arn::read(name).filter(|arn| arn.service == "s3");
            let point = point.and_then(|arn| arn.resource.strip_prefix("accesspoint/"));
            return match point.is_some_and(|point| !point.is_empty() && !point.contains(['/', ':'])) {
                true => Ok(Self { name: name.to_owned() }),
                false => {
                    wrong("of ARNs, only those of access points are known: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME")
                }
            };
        }
        if name.contains('/') {
            return wrong("a bucket's name has no slash: what keys begin with is given with --prefix");
        }
        if name.ends_with("-s3alias") || name.ends_with("--ol-s3") {
            return wrong("IAM knows no aliases: name the access point by its ARN");
        }
        if name.ends_with("--x-s3") || name.ends_with("--table-s3") {
            return wrong("directory and table buckets have permissions of their own kind, which are not known here");
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // Names of old buckets are longer and have other characters than those of today.
        match (3..=255).contains(&name.len()) && name.bytes().all(is_plain) {
            true => Ok(Self { name: name.to_owned() }),
            false => wrong("a bucket's name has 3 to 63 letters, digits, dots and hyphens"),
        }
    }
}

/// What keys begin with, taken literally.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// All keys that begin so, as IAM writes it. What would be a pattern or a variable in it stands for itself.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for c in self.0.chars() {
            match c {
                '*' | '?' | '$' => pattern.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
                _ => pattern.push(c),
            }
        }
        pattern + "*"
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Prefix {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        let wrong = |why| Err(IamError::Prefix { given: text.to_owned(), why });
        if text.starts_with("s3://") {
            return wrong("it begins within the bucket, such as photos/2026/");
        }
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return wrong("it has at most 1,024 bytes, and no control characters");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A place in S3: `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: Bucket,
    /// What its keys begin with; may be empty.
    pub prefix: Prefix,
}

impl FromStr for Place {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        let address = text.strip_prefix("s3://").ok_or_else(|| IamError::Place { given: text.to_owned() })?;
        let (bucket, prefix) = crate::domain::ObjectRef::split(address).unwrap_or((address, ""));
        Ok(Self { bucket: bucket.parse()?, prefix: prefix.parse()? })
    }
}

/// The ARN of a KMS key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    arn: String,
    region: String,
}

impl KmsKey {
    /// Its ARN.
    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    /// The service that may use it in our name: S3 in its own Region, where the bucket lies too.
    pub(super) fn via(&self, partition: &Partition) -> String {
        format!("s3.{}.{}", self.region, partition.domain())
    }

    pub(super) fn partition(&self) -> Option<&str> {
        Some(Arn::read(&self.arn)?.partition)
    }
}

impl FromStr for KmsKey {
    type Err = IamError;

    fn from_str(text: &str) -> Result<Self, IamError> {
        let wrong = |why| IamError::Key { given: text.to_owned(), why };
        const FORM: &str = "write its ARN: arn:aws:kms:REGION:ACCOUNT:key/ID";
        let arn = Arn::read(text).filter(|arn| arn.service == "kms").ok_or(wrong(FORM))?;
        if arn.resource.starts_with("alias/") {
            return Err(wrong("IAM knows no aliases of keys: write the ARN of the key itself, which ends in key/ID"));
        }
        let id = arn.resource.strip_prefix("key/").filter(|id| !id.is_empty() && !id.contains('/'));
        if id.is_none() || arn.region.parse::<Region>().is_err() || arn.account.parse::<Account>().is_err() {
            return Err(wrong(FORM));
        }
        Ok(Self { arn: text.to_owned(), region: arn.region.to_owned() })
    }
}
