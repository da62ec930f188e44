//! Sightline: typed image analysis over gRPC, backed by Amazon S3 and vision models on Amazon Bedrock.
//!
//! Two tiers. The **core** does no I/O and knows no clock, no network and no service; `--no-default-features` builds it
//! alone:
//! - [`domain`]: the vocabulary and the geometry between a picture and what a model saw of it.
//! - [`imaging`]: untrusted bytes to an upright picture of the model's own size.
//! - [`catalog`]: which models there are and how each must be spoken to, as data.
//! - [`json_schema`]: a caller's own schema: checked, made small enough for a model, held against an answer.
//! - [`prompt`]: features to a prompt and an answer schema.
//! - [`answer`]: a model's words to a typed analysis.
//!
//! The **server** does all the rest:
//! - [`pipeline`]: the use case for one picture, and for many of one stream; owns its ports, the retries, the deadline and
//!   the admission.
//! - [`identity`]: who calls; [`reload`]: files that are read again when they change.
//! - [`adapters`]: the ports on AWS.
//! - [`grpc`]: the transport and the one map from error to status, over the generated [`proto`].
//! - [`policy`]: which caller may do what, and how much of it; [`check`]: what is missing before anybody calls; [`iam`]: the
//!   least leave that the server needs of AWS.
//! - [`embedded`]: S3 over a folder and a Bedrock endpoint with a real detector, for running without AWS.
//! - [`lambda`]: the same service behind an AWS Lambda function, the binary `bootstrap`.
//! - [`metrics`] and [`spans`]: what is counted and what is traced, each in one place.
//! - [`config`], [`telemetry`], [`admin`], [`app`] (the only place that names all concrete types), [`serve`], [`cli`].
//!
//! What always holds: a box is inside the upright picture and never empty; a feature is answered if and only if it was
//! asked for and could be read; what was changed is said; every error has one code and one reason; dropping a request
//! drops what it does upstream.

pub mod answer;
pub mod catalog;
pub mod domain;
pub mod imaging;
pub mod json_schema;
pub mod prompt;
mod toml_text;

#[cfg(feature = "server")]
pub mod adapters;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod check;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod iam;
#[cfg(feature = "server")]
pub mod identity;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod pipeline;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod proto;
#[cfg(feature = "server")]
pub mod reload;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod spans;
#[cfg(feature = "server")]
pub mod telemetry;
