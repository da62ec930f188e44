//! Any bytes as a model's answer: reading ends, never panics and keeps its promises.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sightline::answer::fuzzing::answer_reader(data));
