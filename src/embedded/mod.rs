//! The laptop stack: an S3 server over a folder and a Bedrock runtime endpoint with an object detector behind it, both
//! on loopback. The ordinary AWS SDK clients are pointed at them, so the product's own path runs unchanged, without an
//! AWS account.
//!
//! Nothing here is a stand-in that makes answers up: the pictures are really looked at. What differs from AWS is said
//! where it differs: no bucket versions, no object metadata, one model that detects objects and cannot read or reason.

mod access_key;
mod bedrock;
mod composer;
mod detector;
mod http_server;
mod photos;
mod s3;
mod stack;
#[cfg(test)]
mod test_support;

pub use detector::DetectorError;
pub use photos::{DEMO_BUCKET, DEMO_PHOTOS, DemoPhoto};
pub use s3::ACCOUNT_ID;
pub use stack::{EmbeddedError, EmbeddedStack};
