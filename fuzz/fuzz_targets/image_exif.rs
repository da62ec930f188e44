//! Any bytes as an EXIF block in every type that carries one: it is no damage and means the same in each.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| sightline::imaging::fuzzing::exif(data));
