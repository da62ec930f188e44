//! The pipeline's ports on AWS.

mod bedrock;
mod clients;
mod converse;
mod document;
mod errors;
pub mod messages;
mod refusal;
mod response_body;
mod s3;
#[cfg(test)]
mod test_loopback;
mod trace;
mod turns;

pub use bedrock::BedrockModel;
pub use clients::{Clients, Endpoints, StaticCredentials, connect};
#[cfg(feature = "lambda")]
pub use s3::S3Results;
pub use s3::{GetError, S3Store, send_get_object};
