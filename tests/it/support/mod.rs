//! What the tests stand on: an S3 and a Bedrock runtime on loopback that answer as scripted and refuse what the real
//! ones refuse, and generated pictures whose content is known.

pub mod bedrock;
pub mod collector;
pub mod images;
#[cfg(feature = "lambda")]
pub mod jobs;
pub mod lambda;
pub mod loopback;
pub mod many;
pub mod models;
pub mod pages;
pub mod process;
pub mod proxies;
pub mod s3;
mod s3_list;
mod s3_wire;
mod s3_write;
mod selftest;
mod selftest_writes;
pub mod service;
pub mod sharing;
pub mod sources;
pub mod tls;
pub mod tools;
