//! Sightline: typed image analysis over gRPC, backed by Amazon S3 and vision models on Amazon Bedrock.
#![cfg_attr(test, allow(missing_docs))]

pub mod answer;
#[cfg(feature = "server")]
pub mod cli;
pub mod domain;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod imaging;
pub mod prompt;
#[cfg(feature = "server")]
pub mod proto;
