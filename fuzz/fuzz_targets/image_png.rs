//! Any bytes as a PNG, decoded by ours: never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::png(data));
