//! Prepares files and shows the most memory that each took beside what was promised of it.
//!
//! `cargo run --release --example peak_memory -- FILE...`

use sightline::domain::{OversizePolicy, VisionTier};
use sightline::imaging::{Cancel, Limits, Plan, Target};
use sightline_fuzz::{Counting, TOLERANCE, most_held};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let mut are_kept = true;
    for path in std::env::args().skip(1) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let name = path.rsplit('/').next().unwrap_or_default();
        for (tier, safe_decoders) in [VisionTier::STANDARD, VisionTier::HIGH_RESOLUTION]
            .into_iter()
            .flat_map(|tier| [(tier, false), (tier, true)])
        {
            let limits = Limits { max_pixels: 200_000_000, max_memory: u64::MAX, safe_decoders };
            let target = Target { tier, oversize: OversizePolicy::Resize };
            let plan = match Plan::of(&bytes, &limits, &target) {
                Ok(plan) => plan,
                Err(error) => {
                    println!("{name}: {error}");
                    break;
                }
            };
            let (outcome, held) = most_held(|| plan.run(&bytes, &Cancel::never()).err());
            let promised = plan.peak_memory();
            let is_kept = held <= promised + TOLERANCE;
            are_kept &= is_kept;
            println!(
                "{} {name:32} {:5} safe={safe_decoders:5} held {:9} promised {:9} kB, {:5.2} times {}",
                if is_kept { "  " } else { "!!" },
                tier.max_edge,
                held / 1000,
                promised / 1000,
                promised as f64 / held.max(1) as f64,
                outcome.map(|error| error.to_string()).unwrap_or_default()
            );
        }
    }
    std::process::exit(i32::from(!are_kept));
}
