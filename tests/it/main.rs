//! The one integration binary: `support` has what tests stand on, every other module tests one behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what must hold; a panic is a failed test"
)]

mod boxes;
mod browser;
mod check;
mod command;
mod command_many;
mod contract;
mod converse;
mod cost;
mod errors;
mod extraction;
mod fallbacks;
mod features;
mod iam_policy;
mod identity;
mod identity_tls;
#[cfg(feature = "lambda")]
mod lambda;
mod lambda_batch;
mod lambda_jobs;
mod layers;
mod many;
mod many_connection;
mod many_end;
mod many_listing;
mod many_mix;
mod many_pressure;
mod metrics_page;
mod models;
mod overload;
mod policy;
mod prompts;
mod proxies;
mod readme_ko;
mod request_ids;
mod rereads;
mod retries;
mod rolling_restart;
mod rotel;
mod scale;
mod sharing;
mod strangers;
mod strategies;
#[allow(dead_code, reason = "each behaviour uses its own part of the support")]
mod support;
mod telemetry;
mod time;
mod words;
