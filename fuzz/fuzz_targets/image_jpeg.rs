//! Any bytes as a JPEG, decoded by ours at every scale: never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::jpeg(data));
