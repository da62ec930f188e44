//! The contract, generated from `../proto/sightline/v1/image_analysis.proto`.
#![allow(dead_code, reason = "generated for others too")]
#![allow(clippy::all, reason = "generated code")]
#![allow(rustdoc::all, reason = "generated code")]

tonic::include_proto!("sightline.v1");
