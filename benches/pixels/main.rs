//! The steps of preparing a picture, one by one, in CPU time: `cargo bench --no-default-features --bench pixels`. Takes a
//! part of a name (`prepare/jpeg`), `--save-baseline NAME`, `--baseline NAME` and criterion's other flags.

mod cpu;
mod pictures;

use std::{hint::black_box, process::ExitCode, time::Duration};

use criterion::{
    BenchmarkId, Criterion, Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use pictures::Picture;
use sightline::{
    domain::{OversizePolicy, VisionTier},
    imaging::{self, ImageError, Limits, Plan, Target},
};

const LIMITS: Limits = Limits { max_pixels: 100_000_000, max_memory: u64::MAX, safe_decoders: false };
const TIERS: [(&str, VisionTier); 2] = [("standard", VisionTier::STANDARD), ("high", VisionTier::HIGH_RESOLUTION)];

/// A step of the work: the file's bytes in, what it was prepared for beside them, and any number out that keeps the work
/// from being optimised away.
type Step = fn(&[u8], &Target) -> Result<u64, ImageError>;

/// A group of benchmarks each: its name, whether the tier matters to it, and the step.
const STEPS: [(&str, bool, Step); 2] = [("plan", false, plan), ("prepare", true, prepare)];

fn plan(bytes: &[u8], target: &Target) -> Result<u64, ImageError> {
    Plan::of(bytes, &LIMITS, target).map(|plan| plan.peak_memory())
}

fn prepare(bytes: &[u8], target: &Target) -> Result<u64, ImageError> {
    imaging::prepare(bytes, &LIMITS, target).map(|prepared| prepared.image_tokens)
}

/// CPU time of this thread instead of the clock, which also runs while others have the processor.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        // `main` has seen it work.
        cpu::time().unwrap_or_default()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu::time().unwrap_or_default().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn main() -> ExitCode {
    let started = cpu::time().map_err(Into::into).and_then(|_| pictures::make());
    let pictures = match started {
        Ok(pictures) => pictures,
        Err(error) => {
            eprintln!("pixels: {error}");
            return ExitCode::FAILURE;
        }
    };
    let criterion = Criterion::default().with_measurement(CpuTime);
    // A run takes a tenth of a second: ten samples tell what there is to tell.
    let criterion = criterion.sample_size(10).warm_up_time(Duration::from_millis(300)).nresamples(1000);
    let mut criterion = criterion.measurement_time(Duration::from_secs(3)).configure_from_args();
    for (name, by_tier, step) in STEPS {
        group(&mut criterion, name, by_tier, step, &pictures);
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Measures a step on every picture, for every tier that makes a difference to it.
fn group(criterion: &mut Criterion<CpuTime>, name: &str, by_tier: bool, step: Step, pictures: &[Picture]) {
    let mut group = criterion.benchmark_group(name);
    for Picture { name, pixels, bytes } in pictures {
        if by_tier {
            group.throughput(Throughput::Elements(*pixels));
        }
        for (tier_name, tier) in TIERS.into_iter().take(if by_tier { TIERS.len() } else { 1 }) {
            let target = Target { tier, oversize: OversizePolicy::Resize };
            if let Err(error) = step(bytes, &target) {
                eprintln!("pixels: {name} cannot be measured: {error}");
                continue;
            }
            let id = if by_tier { BenchmarkId::new(*name, tier_name) } else { BenchmarkId::from_parameter(name) };
            group.bench_function(id, |bencher| bencher.iter(|| step(black_box(bytes), &target)));
        }
    }
    group.finish();
}
