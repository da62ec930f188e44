//! Any bytes as a WebP, decoded by both decoders: they agree on the transparency.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::webp(data));
