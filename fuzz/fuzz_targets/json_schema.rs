//! Any JSON as a caller's schema, and any JSON as a value for it: checking, adapting and validating end and never panic.
//! The first line is the schema, the rest the value.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sightline::answer::fuzzing::json_schema(data));
