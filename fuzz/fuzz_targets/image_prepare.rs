//! Any bytes as a file, prepared: what is made can be decoded, is of the size that was said, and never takes more memory
//! than was promised.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline::imaging::{Cancel, Plan, fuzzing};
use sightline_fuzz::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(init: sightline_fuzz::abort_on_own_panics(), |data: &[u8]| {
    let Some(input) = fuzzing::Input::parse(data) else { return };
    let prepared = fuzzing::prepare(&input);
    let Ok(plan) = Plan::of(&input.bytes, &input.limits, &input.target) else { return };
    let (outcome, held) = sightline_fuzz::most_held(|| plan.run(&input.bytes, &Cancel::never()));
    assert_eq!(outcome.ok(), prepared, "preparing is deterministic");
    let promised = plan.peak_memory();
    assert!(held <= promised + sightline_fuzz::TOLERANCE, "{held} bytes were held, {promised} promised");
});
