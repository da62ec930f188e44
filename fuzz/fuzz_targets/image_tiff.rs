//! Any bytes as a TIFF, decoded by ours and by those of what is inside: never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::tiff(data));
