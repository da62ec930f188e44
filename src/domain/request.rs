//! What a caller asks: features, options and where the picture lies.

/// Most labels when the caller names no number.
pub const DEFAULT_MAX_LABELS: u32 = 50;

/// The kinds of sensitive information that are looked for when the caller names none.
pub const DEFAULT_SENSITIVITY_CATEGORIES: [&str; 10] = [
    "face",
    "government-id",
    "payment-card",
    "license-plate",
    "contact-details",
    "credentials",
    "medical-information",
    "financial-information",
    "confidential-document",
    "screen-content",
];

/// What a kind of [`DEFAULT_SENSITIVITY_CATEGORIES`] covers, in plain English; `None` of a caller's own kind.
pub fn sensitivity_meaning(category: &str) -> Option<&'static str> {
    Some(match category {
        "face" => "a person's face that someone who knows them could recognise",
        "government-id" => "an identity card, passport, driving licence, visa or permit, or the number of one",
        "payment-card" => "a credit, debit or gift card, or its number",
        "license-plate" => "the registration plate of a vehicle, when it can be read",
        "contact-details" => "a private person's postal address, e-mail address or telephone number",
        "credentials" => "a password, PIN, access key or token, or a code that signs someone in when it is scanned",
        "medical-information" => "a diagnosis, prescription, test result or other record of a person's health",
        "financial-information" => {
            "an account number, bank statement, payslip, tax form or bill of a person or company"
        }
        "confidential-document" => "a document that is marked confidential or internal, or plainly not for outsiders",
        "screen-content" => "a screen that shows private messages, personal data or an internal system",
        _ => return None,
    })
}

/// What to find out about a picture. All of it is answered by one model call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// A description in prose.
    pub description: bool,
    /// A verdict on sensitive information.
    pub sensitivity: Option<SensitivityRequest>,
    /// Labelled objects with boxes.
    pub labels: Option<LabelsRequest>,
    /// The text in the picture, with boxes.
    pub text: bool,
    /// The answer to a free prompt: the caller's own words.
    pub prompt: Option<String>,
    /// Values for a caller's own JSON Schema.
    pub extraction: Option<ExtractionRequest>,
}

impl Features {
    /// The prompt when it is all that is asked: it then goes to the model as it is, without a schema.
    pub fn prompt_alone(&self) -> Option<&str> {
        let others = self.description
            || self.sensitivity.is_some()
            || self.labels.is_some()
            || self.text
            || self.extraction.is_some();
        self.prompt.as_deref().filter(|_| !others)
    }

    /// Field names of what is asked, in the contract's order.
    pub fn names(&self) -> Vec<&'static str> {
        let asked = [
            (self.description, "description"),
            (self.sensitivity.is_some(), "sensitivity"),
            (self.labels.is_some(), "labels"),
            (self.text, "text"),
            (self.prompt.is_some(), "prompt"),
            (self.extraction.is_some(), "extraction"),
        ];
        asked.into_iter().filter_map(|(on, name)| on.then_some(name)).collect()
    }
}

/// How to judge sensitivity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SensitivityRequest {
    /// Kinds to look for, in kebab-case; empty means [`DEFAULT_SENSITIVITY_CATEGORIES`].
    pub categories: Vec<String>,
}

/// How to label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelsRequest {
    /// Most labels, 1 to 500.
    pub max_results: u32,
    /// Leave out what the model is less sure of, `[0, 1]`.
    pub min_confidence: Option<f32>,
    /// Look for these only; empty means whatever is there.
    pub vocabulary: Vec<String>,
}

impl Default for LabelsRequest {
    fn default() -> Self {
        Self { max_results: DEFAULT_MAX_LABELS, min_confidence: None, vocabulary: Vec::new() }
    }
}

/// What to extract.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractionRequest {
    /// A JSON Schema whose top is an object, checked before it comes here.
    pub schema: serde_json::Value,
    /// What the values mean, in prose; may be empty.
    pub instruction: String,
}

/// How to analyze.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bedrock model or inference-profile id; `None` means the server's default.
    pub model: Option<String>,
    /// BCP-47 language of all prose in the result.
    pub language: String,
    /// Most output tokens; `None` means a number fit for the features.
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature `[0, 1]`; `None` means 0 where the model takes one.
    pub temperature: Option<f32>,
    /// Nucleus sampling, `(0, 1]`; sent to models that take it beside a temperature, and to no others.
    pub top_p: Option<f32>,
    /// Most tokens to choose the next one from; sent to models that take it beside a temperature, and to no others.
    pub top_k: Option<u32>,
    /// What to do with a picture larger than the model sees.
    pub oversize: OversizePolicy,
    /// Whether the result holds the model's own answer.
    pub include_raw_output: bool,
    /// Whether the result holds the whole body of the response that the answer came in.
    pub include_response_body: bool,
    /// How the result cache is used.
    pub cache: CacheMode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: None,
            language: "en".to_owned(),
            max_output_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            oversize: OversizePolicy::Resize,
            include_raw_output: false,
            include_response_body: false,
            cache: CacheMode::ReadWrite,
        }
    }
}

/// What to do with a picture larger than the model sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OversizePolicy {
    /// Resize it to what the model sees.
    #[default]
    Resize,
    /// Refuse it, naming the size that would fit.
    Reject,
}

/// How a request uses the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// A kept result is taken, a new one kept.
    #[default]
    ReadWrite,
    /// The model is asked, and the result kept.
    Refresh,
    /// Neither.
    Off,
}

/// An object in Amazon S3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectRef {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Key, taken literally.
    pub key: String,
    /// Version; `None` means the newest.
    pub version_id: Option<String>,
    /// The ETag the object must have.
    pub expected_etag: Option<String>,
    /// The 12-digit account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
}

impl ObjectRef {
    /// The newest version of an object, whatever it is.
    pub fn newest(bucket: &str, key: String) -> Self {
        Self { bucket: bucket.to_owned(), key, version_id: None, expected_etag: None, expected_bucket_owner: None }
    }

    /// Bucket and key of `BUCKET/KEY`; `None` without a slash between. An access-point ARN holds slashes of its own:
    /// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/KEY`.
    pub fn split(address: &str) -> Option<(&str, &str)> {
        const RESOURCE: &str = "accesspoint/";
        let resource = if address.starts_with("arn:") { address.find(RESOURCE) } else { None };
        let name = resource.map_or(0, |at| at + RESOURCE.len());
        let slash = name + address.get(name..)?.find('/')?;
        Some((address.get(..slash)?, address.get(slash + 1..)?))
    }
}

/// A bucket, or an object in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Key, taken literally; `None` means the bucket as a whole.
    pub key: Option<String>,
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => write!(formatter, "{}/{key}", self.bucket),
            None => formatter.write_str(&self.bucket),
        }
    }
}

impl std::str::FromStr for Location {
    type Err = &'static str;

    /// Reads `BUCKET`, `BUCKET/KEY`, or either behind `s3://`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.strip_prefix("s3://").unwrap_or(text);
        let (bucket, key) = ObjectRef::split(address).unwrap_or((address, ""));
        if bucket.is_empty() {
            return Err("names no bucket: write BUCKET or BUCKET/KEY");
        }
        Ok(Self { bucket: bucket.to_owned(), key: Some(key.to_owned()).filter(|key| !key.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_alone_only_without_other_features() {
        let mut features = Features { prompt: Some("What is this?".into()), ..Default::default() };
        assert_eq!(features.prompt_alone(), Some("What is this?"));
        features.text = true;
        assert_eq!(features.prompt_alone(), None);
        assert_eq!(features.names(), ["text", "prompt"]);
    }

    #[test]
    fn a_location_is_a_bucket_or_an_object_in_it() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        for (text, bucket, key) in [
            ("photos", "photos", None),
            ("photos/", "photos", None),
            ("s3://photos/a/b.png", "photos", Some("a/b.png")),
            ("photos//a", "photos", Some("/a")),
            (arn, arn, None),
            (&format!("s3://{arn}/a/b.png"), arn, Some("a/b.png")),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!((location.bucket.as_str(), location.key.as_deref()), (bucket, key), "{text}");
        }
        for wrong in ["", "/key", "s3://"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
    }
}
