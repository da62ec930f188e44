//! The pipeline's ports on AWS.

mod bedrock;
mod clients;
mod messages;
mod s3;

pub use bedrock::BedrockModel;
pub use clients::{Clients, Endpoints, StaticCredentials, connect};
pub use s3::{GetError, S3Store, send_get_object};
