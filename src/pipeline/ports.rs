//! What the pipeline needs of the world: a place where pictures lie and a model that looks at them. The adapters
//! implement these on AWS.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{
    domain::{ModelProfile, ObjectRef, StopReason, Strategy, Usage},
    prompt::Prompt,
};

/// A place where pictures lie.
#[async_trait]
pub trait ImageStore: Send + Sync + 'static {
    /// Begins to read one object, with one GetObject, which may be repeated after a fault. Dropping what it answers ends
    /// the request.
    ///
    /// # Errors
    /// [`StoreError`], by what it means to the caller.
    async fn open(&self, object: &ObjectRef) -> Result<OpenObject, StoreError>;

    /// One page of the objects under a prefix, in the order of their keys' bytes.
    ///
    /// # Errors
    /// [`StoreError`], by what it means to the caller.
    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError>;
}

/// An object that is being read.
pub struct OpenObject {
    /// Its size in bytes, when the store announces one.
    pub size: Option<u64>,
    /// Its ETag, without quotes.
    pub etag: Option<String>,
    /// Its version, when the bucket is versioned.
    pub version_id: Option<String>,
    /// Its bytes, as they come. Nothing holds them to the announced size.
    pub body: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// Which page of which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Where the page begins.
    pub from: PageStart,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageStart {
    /// After this key; empty for the first of all.
    After(String),
    /// Where the page before ended, by its token.
    Token(String),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Keys, in order.
    pub keys: Vec<String>,
    /// Token of the next page; `None` on the last.
    pub next: Option<String>,
}

/// Why objects could not be read or listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such key, or no such version of it.
    #[error("no such object")]
    ObjectNotFound,
    /// No such bucket.
    #[error("no such bucket")]
    BucketNotFound,
    /// The store denies access, or hides that the key is missing.
    #[error("access denied ({code})")]
    AccessDenied {
        /// The store's code.
        code: String,
    },
    /// The object has another ETag than the expected one.
    #[error("the object has changed")]
    Changed,
    /// The bucket may belong to another account than the expected one.
    #[error("other bucket owner")]
    OwnerMismatch,
    /// The object is archived and must be restored first.
    #[error("the object is archived")]
    Archived,
    /// The bucket lies in another Region than the server reads from.
    #[error("the bucket lies in another region")]
    WrongRegion,
    /// The object is larger than the limit.
    #[error("{actual} bytes exceed the limit of {limit}")]
    TooLarge {
        /// Its size in bytes, or the least it has.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The store finds the request itself wrong, such as a malformed version id.
    #[error("the store refuses the request ({code})")]
    Rejected {
        /// The store's code.
        code: String,
    },
    /// The server's own AWS credentials are missing or refused.
    #[error("AWS credentials: {detail}")]
    Credentials {
        /// What is wrong, for the log.
        detail: String,
    },
    /// Overload, a fault of the store, a broken connection or body.
    #[error("storage unavailable: {detail}")]
    Unavailable {
        /// What is wrong, for the log.
        detail: String,
    },
}

/// A model that looks at pictures.
#[async_trait]
pub trait VisionModel: Send + Sync + 'static {
    /// Asks once; never repeats by itself. Dropping the future ends the request.
    ///
    /// # Errors
    /// [`ModelError`], by what it means to the caller and whether asking again may help.
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError>;

    /// AWS Region of the endpoint at which `model` is asked.
    fn region<'a>(&'a self, model: &'a ModelProfile) -> &'a str;
}

/// One call of a model.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model and how it must be spoken to.
    pub model: ModelProfile,
    /// The encoded picture.
    pub image: Bytes,
    /// Its media type, such as `image/jpeg`: that of the bytes.
    pub media_type: &'static str,
    /// The words.
    pub prompt: Prompt,
    /// How the model is asked for the prompt's schema; without effect when there is none.
    pub strategy: Strategy,
    /// Most output tokens, those for thinking included.
    pub max_output_tokens: u32,
    /// What is said about thinking.
    pub thinking: ThinkingParameter,
    /// An earlier answer of the model to the same question, and what is wrong with it.
    pub correction: Option<Correction>,
    /// Sampling temperature; `None` sends none.
    pub temperature: Option<f32>,
    /// Nucleus sampling; `None` sends none.
    pub top_p: Option<f32>,
    /// Most tokens to choose the next one from; `None` sends none.
    pub top_k: Option<u32>,
    /// Whether the reply is to hold the whole body of the response.
    pub keeps_body: bool,
    /// Cost-allocation tags.
    pub tags: BTreeMap<String, String>,
}

/// What a request says about thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThinkingParameter {
    /// Nothing.
    Unset,
    /// That it is to be off.
    Disabled,
    /// That it is to be short, for a model that always thinks.
    LowEffort,
}

/// An answer that could not be used, to be shown to the model that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// What the model wrote, cut to a bounded length; may be empty.
    pub answer: String,
    /// What is wrong with it and what to do, in words for the model.
    pub complaint: String,
}

/// A part of a request that some models refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// A way of asking for JSON.
    Strategy(Strategy),
    /// The sampling temperature, and what is sent beside it.
    Temperature,
    /// What is said about thinking.
    Thinking,
}

/// A model's answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What it wrote: the tool's input as JSON byte for byte, or its text.
    pub text: String,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// Tokens of this call.
    pub usage: Usage,
    /// Bedrock's request id.
    pub upstream_request_id: Option<String>,
    /// The whole body of the response, when the question asks for it.
    pub body: Option<Arc<str>>,
}

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Too many requests or tokens.
    #[error("throttled")]
    Throttled,
    /// A quota of the account is used up; asking again soon will not help.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The account has no access to the model, the role may not invoke it, or the service does not know the id.
    #[error("not enabled: {detail}")]
    NotEnabled {
        /// What is wrong, for the log.
        detail: String,
    },
    /// The model can only be invoked through an inference profile.
    #[error("needs an inference profile")]
    ProfileRequired,
    /// The model no longer exists.
    #[error("end of life")]
    EndOfLife,
    /// The model refused to answer.
    #[error("refused")]
    Refused,
    /// A guardrail or content filter stepped in.
    #[error("filtered")]
    Filtered,
    /// The service cannot read the picture.
    #[error("the picture cannot be read")]
    ImageUnreadable,
    /// The service refuses a part of the request, which may be left out.
    #[error("the service refuses {part:?}: {detail}")]
    PartRefused {
        /// Which.
        part: Part,
        /// It will refuse it in every request to this model, not just for what this one holds.
        lasting: bool,
        /// The model had begun to write: what it wrote may be paid for.
        may_be_billed: bool,
        /// What is wrong, for the log.
        detail: String,
    },
    /// The model answered without having seen the picture: its input tokens are far fewer than the picture's own.
    #[error("the model took {input_tokens} input tokens for a picture of {image_tokens}")]
    PictureUnseen {
        /// What the service counted.
        input_tokens: u64,
        /// The picture's own tokens.
        image_tokens: u64,
    },
    /// The model has failed so often that it is not asked for a while.
    #[error("not asked for {retry_after:?} after it failed again and again")]
    CircuitOpen {
        /// Time until it is asked again.
        retry_after: std::time::Duration,
    },
    /// The service finds the request wrong: a fault of this server or of the model's entry.
    #[error("the service refuses the request: {detail}")]
    Rejected {
        /// What is wrong, for the log.
        detail: String,
    },
    /// The service answered something that is no answer of a model.
    #[error("no model answer: {detail}")]
    Malformed {
        /// What is wrong, for the log.
        detail: String,
    },
    /// The server's own AWS credentials are missing or refused.
    #[error("AWS credentials: {detail}")]
    Credentials {
        /// What is wrong, for the log.
        detail: String,
    },
    /// A fault of the service, or it could not be reached.
    #[error("unavailable: {detail}")]
    Unavailable {
        /// What is wrong, for the log.
        detail: String,
        /// Whether asking again may help and is not known to be paid twice.
        retryable: bool,
    },
}

impl ModelError {
    /// Whether asking again may help and is not known to pay twice.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable { retryable: true, .. })
    }
}
