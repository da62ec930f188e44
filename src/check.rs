//! What is missing before anybody calls: each thing that a server needs of AWS is tried once, and what is in the way is said
//! in words, with what to do.

use std::{future::Future, io::Cursor, time::Duration};

use bytes::Bytes;

use crate::{
    adapters::Clients,
    domain::{Location, ModelProfile, ObjectRef, Strategy},
    pipeline::{ImageStore, ListQuery, ModelError, PageStart, Question, StoreError, ThinkingParameter, VisionModel},
    prompt::Prompt,
};

/// Longest wait for one answer of S3 or of whatever gives credentials.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for a model, which may think before its first token.
const PATIENCE_WITH_MODELS: Duration = Duration::from_secs(60);
/// Edge of the picture that a model is shown, in pixels: models see little in one under 200.
const EDGE: u32 = 224;

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is there.
    Ok(String),
    /// It is not: what is in the way, and what to do.
    Missing(String),
    /// It was not tried.
    Skipped(String),
}

impl Finding {
    /// `ok`, `missing` or `skipped`.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Missing(_) => "missing",
            Self::Skipped(_) => "skipped",
        }
    }

    /// What is to be said.
    pub fn words(&self) -> &str {
        match self {
            Self::Ok(words) | Self::Missing(words) | Self::Skipped(words) => words,
        }
    }

    /// Whether something is missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Whether there are credentials to sign with. Whose they are is not asked.
pub async fn credentials(clients: &Clients) -> Finding {
    match within(PATIENCE, clients.check_credentials()).await {
        Some(Ok(())) => Finding::Ok("found".to_owned()),
        Some(Err(error)) => Finding::Missing(format!(
            "none found ({error}): give the server a role, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )),
        None => Finding::Missing(no_answer("whatever gives credentials", PATIENCE)),
    }
}

/// Whether the server may list and read there. With a key, that object is read; without one, the bucket is listed, and the
/// first object in it is read. Of an object, only its beginning is.
pub async fn location(store: &dyn ImageStore, location: &Location) -> Finding {
    let Location { bucket, key } = location;
    match key {
        Some(key) => read(store, bucket, key).await.unwrap_or_else(|missing| missing),
        None => listed(store, bucket).await.unwrap_or_else(|missing| missing),
    }
}

async fn listed(store: &dyn ImageStore, bucket: &str) -> Result<Finding, Finding> {
    let query = ListQuery { bucket: bucket.to_owned(), prefix: String::new(), from: PageStart::After(String::new()) };
    let page = within(PATIENCE, store.list(&query)).await.ok_or_else(|| Finding::Missing(no_answer("S3", PATIENCE)))?;
    let page = page.map_err(|error| match error {
        StoreError::AccessDenied { code } => Finding::Missing(format!(
            "S3 denies the listing ({code}): the server's role needs s3:ListBucket on the bucket itself; name an object as \
             BUCKET/KEY to check s3:GetObject alone"
        )),
        other => Finding::Missing(problem(&other)),
    })?;
    match page.keys.first() {
        Some(key) => read(store, bucket, key).await.map(|_| Finding::Ok(format!("may be listed, and {key} be read"))),
        None => Ok(Finding::Ok("may be listed; it is empty, so that s3:GetObject was not tried".to_owned())),
    }
}

async fn read(store: &dyn ImageStore, bucket: &str, key: &str) -> Result<Finding, Finding> {
    let object = ObjectRef::newest(bucket, key.to_owned());
    match within(PATIENCE, store.open(&object)).await {
        Some(Ok(opened)) => {
            let size = opened.size.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
            Ok(Finding::Ok(format!("{key} may be read{size}")))
        }
        Some(Err(StoreError::AccessDenied { code })) => Err(Finding::Missing(format!(
            "S3 denies {key} ({code}): the server's role needs s3:GetObject on the objects, and kms:Decrypt on the bucket's \
             key if it has one; without s3:ListBucket, S3 says the same of a key that does not exist"
        ))),
        Some(Err(StoreError::ObjectNotFound)) => {
            Err(Finding::Missing(format!("there is no object {key}: keys are taken literally, not URL-decoded")))
        }
        Some(Err(error)) => Err(Finding::Missing(problem(&error))),
        None => Err(Finding::Missing(no_answer("S3", PATIENCE))),
    }
}

fn problem(error: &StoreError) -> String {
    match error {
        StoreError::BucketNotFound => "there is no such bucket: check its name, and AWS_ENDPOINT_URL_S3".to_owned(),
        StoreError::WrongRegion => "the bucket lies in another Region: set AWS_REGION to the bucket's own".to_owned(),
        StoreError::Archived => "the object is archived: restore it, or name another one".to_owned(),
        StoreError::Credentials { detail } => {
            format!("S3 refuses the credentials ({detail}): renew them, or set the clock")
        }
        StoreError::Unavailable { detail } => format!(
            "S3 cannot be reached or does not work ({detail}): check the network, the Region and AWS_ENDPOINT_URL_S3"
        ),
        StoreError::Rejected { code } => format!("S3 refuses the request ({code}): check the names"),
        other => other.to_string(),
    }
}

/// Whether the model answers: one paid call, with a small picture and one output token.
pub async fn model(endpoint: &dyn VisionModel, model: &ModelProfile) -> Finding {
    let Some(question) = question(model) else {
        return Finding::Skipped("no picture could be made to show it".to_owned());
    };
    let region = endpoint.region(model);
    match within(PATIENCE_WITH_MODELS, endpoint.ask(&question)).await {
        None => Finding::Missing(no_answer("Bedrock", PATIENCE_WITH_MODELS)),
        // One token is no answer that could be used, but the model wrote it.
        Some(
            Ok(_)
            | Err(
                ModelError::Malformed { .. }
                | ModelError::Refused
                | ModelError::Filtered
                | ModelError::PictureUnseen { .. },
            ),
        ) => Finding::Ok(format!("{} answers in {region}", model.id)),
        Some(Err(error)) => Finding::Missing(format!("{} in {region}: {}", model.id, trouble(&error))),
    }
}

fn trouble(error: &ModelError) -> String {
    match error {
        ModelError::Throttled => {
            "Bedrock throttles the account now: try again, or have the account's quota of requests and \
                                  tokens per minute raised"
                .to_owned()
        }
        ModelError::QuotaExceeded => "a quota of the account is used up: wait, or have it raised".to_owned(),
        ModelError::NotEnabled { detail } => format!(
            "may not be invoked ({detail}): have access to the model granted in this Region, give the role \
             bedrock:InvokeModel on the profile and on the models behind it, and check the id"
        ),
        ModelError::ProfileRequired => {
            "can only be invoked through an inference profile: give --model the whole profile id, \
                                        whose prefix names where it runs (us., eu., apac., global., ...)"
                .to_owned()
        }
        ModelError::EndOfLife => {
            "Bedrock has no such model there: name a current one with --model, or its Region with \
                                  AWS_REGION"
                .to_owned()
        }
        ModelError::Credentials { detail } => {
            format!("Bedrock refuses the credentials ({detail}): renew them, or set the clock")
        }
        ModelError::Unavailable { detail, .. } => format!(
            "cannot be reached or does not work ({detail}): check the network, the Region and \
             AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
        ),
        other => format!("{other}; docs/AWS.md and docs/MODELS.md say what a model needs"),
    }
}

/// A question as small as they come.
fn question(model: &ModelProfile) -> Option<Question> {
    let mut picture = Cursor::new(Vec::new());
    let white = image::RgbImage::from_pixel(EDGE, EDGE, image::Rgb([255; 3]));
    white.write_to(&mut picture, image::ImageFormat::Png).ok()?;
    Some(Question {
        model: model.clone(),
        image: Bytes::from(picture.into_inner()),
        media_type: "image/png",
        prompt: Prompt { system: None, text: "Say one word.".to_owned(), schema: None },
        // Without effect, since there is no schema.
        strategy: Strategy::PromptedJson,
        max_output_tokens: 1,
        thinking: ThinkingParameter::Unset,
        correction: None,
        temperature: None,
        top_p: None,
        top_k: None,
        keeps_body: false,
        tags: Default::default(),
    })
}

async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(time, future).await.ok()
}

fn no_answer(of: &str, time: Duration) -> String {
    format!("no answer of {of} within {} s: check the network and the endpoints", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Catalog, imaging};

    #[test]
    fn the_picture_is_one_that_models_take() {
        let question = question(&Catalog::built_in().unwrap().resolve("default")).unwrap();
        let plan = imaging::MediaType::ALL.iter().find(|media_type| media_type.as_str() == question.media_type);
        assert!(plan.is_some() && question.image.starts_with(b"\x89PNG"));
        assert_eq!(image::load_from_memory(&question.image).unwrap().width(), EDGE);
    }
}
