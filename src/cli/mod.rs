//! What people run: the commands that talk to the service as any other gRPC client does, over the generated types.

pub mod analyze;
pub mod analyze_many;
pub mod annotate;
pub mod boxes;
mod canvas;
pub mod check;
pub mod client;
#[cfg(feature = "embedded")]
pub mod demo;
#[cfg(feature = "embedded")]
mod demo_stream;
#[cfg(feature = "embedded")]
mod guide;
pub mod health;
pub mod iam_policy;
pub mod json;
#[cfg(feature = "embedded")]
pub mod local;
pub mod models;
pub mod objects;
pub mod plain;
pub mod render;
pub mod report;
pub mod request;
pub mod schema;
pub mod server;
pub mod source;
pub mod status;
pub mod tls;
mod values;
