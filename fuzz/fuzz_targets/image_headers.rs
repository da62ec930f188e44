//! Any bytes as a file: reading its header and planning end, never panic and keep their promises.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::headers(data));
