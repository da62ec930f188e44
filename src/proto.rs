//! The contract, generated from `proto/sightline/v1/image_analysis.proto` when the crate is built.
#![allow(missing_docs, reason = "documented in the .proto file, from which the comments are copied")]
#![allow(clippy::all, reason = "generated code")]

pub mod json;
pub mod structs;

tonic::include_proto!("sightline.v1");

/// The serialized `FileDescriptorSet` of the contract, of `google.rpc`'s error details and of all they import.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sightline_descriptors.bin"));
