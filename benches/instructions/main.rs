//! Instructions of the paths that every request passes, each run once under callgrind: `scripts/check-instructions` counts
//! them and compares them with `baseline.json`. They need no quiet machine: the inputs are fixed and nothing is timed.
//!
//! The work is that of the library alone, on one thread, without files, network or random numbers. What a benchmark takes
//! is made outside of it and not counted.

#![allow(missing_docs, reason = "the macros write public items")]

mod answers;
mod questions;

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use sightline::{
    adapters::messages::{self, Body, HashedBody},
    answer::{self, Reading, Unreadable},
    domain::{BoundingBox, Frame, OversizePolicy, RawBox, Size, VisionTier},
    imaging::{self, ImageError, Limits, Plan, Target},
    pipeline::{ModelError, Question, Reply},
    prompt::{self, Prompt},
};

use answers::Written;
use questions::Asked;

const LIMITS: Limits = Limits { max_pixels: 100_000_000, max_memory: u64::MAX, safe_decoders: false };
const TARGET: Target = Target { tier: VisionTier::HIGH_RESOLUTION, oversize: OversizePolicy::Resize };
/// The bodies' pictures, in bytes.
const SMALL: usize = 20_000;
const MIDDLE: usize = 300_000;

/// A thousand boxes, every tenth over the edge and every seventh with swapped corners.
fn boxes() -> Vec<RawBox> {
    let place = |n: u32, step: u32, most: u32| f64::from(n * step % most);
    let raw = |n: u32| {
        let (x, y) = (place(n, 37, 1200), place(n, 53, 900));
        let width = if n.is_multiple_of(10) { 400.0 } else { 40.0 + place(n, 7, 30) };
        let (x1, x2) = if n.is_multiple_of(7) { (x + width, x) } else { (x, x + width) };
        RawBox { x1, y1: y, x2, y2: y + 25.5 }
    };
    (0..1000).map(raw).collect()
}

/// Sizes of pictures, from icons to panoramas; half of them must be reduced.
fn sizes() -> Vec<Size> {
    (1..=100).map(|n| Size::new(80 * n, 40 + 5900 * n % 6000)).collect()
}

#[library_benchmark]
#[bench::thousand(boxes())]
fn boxes_back(raw: Vec<RawBox>) -> Vec<BoundingBox> {
    let frame = black_box(Frame::new(Size::new(4032, 3024), Size::new(1270, 952)));
    raw.into_iter().filter_map(|raw| frame.locate(raw)).collect()
}

#[library_benchmark]
#[bench::hundred(sizes())]
fn model_sizes(sizes: Vec<Size>) -> u64 {
    let tokens = |size: &Size| imaging::visual_tokens(imaging::model_size(*size, black_box(TARGET.tier)));
    sizes.iter().map(tokens).sum()
}

#[library_benchmark]
#[bench::jpeg(include_bytes!("../../assets/photos/rocket.jpg"))]
#[bench::png(include_bytes!("../../assets/photos/chelsea.png"))]
fn plan(bytes: &[u8]) -> Result<Plan, ImageError> {
    Plan::of(black_box(bytes), &LIMITS, &TARGET)
}

#[library_benchmark]
#[bench::labels(questions::labels())]
#[bench::everything(questions::everything())]
#[bench::extraction(questions::extraction())]
fn prompts(asked: Asked) -> Prompt {
    prompt::build(&black_box(&asked).brief())
}

#[library_benchmark]
#[bench::small(questions::question(SMALL))]
#[bench::middle(questions::question(MIDDLE))]
fn body(question: Question) -> Body {
    messages::request(black_box(&question))
}

#[library_benchmark]
#[bench::small(messages::request(&questions::question(SMALL)))]
#[bench::middle(messages::request(&questions::question(MIDDLE)))]
fn hash(body: Body) -> HashedBody {
    black_box(body).hashed()
}

#[library_benchmark]
#[bench::labels(answers::response())]
fn response(body: String) -> Result<Reply, ModelError> {
    messages::reply(black_box(&body).as_bytes(), Some(prompt::TOOL_NAME), None)
}

#[library_benchmark]
#[bench::typical(answers::typical())]
#[bench::damaged(answers::damaged())]
#[bench::cut(answers::cut())]
fn read(written: Written) -> Result<Reading, Unreadable> {
    answer::read(&black_box(&written).answer())
}

library_benchmark_group!(name = frame, benchmarks = [boxes_back, model_sizes]);
library_benchmark_group!(name = picture, benchmarks = [plan]);
library_benchmark_group!(name = request, benchmarks = [prompts, body, hash]);
library_benchmark_group!(name = reply, benchmarks = [response, read]);

main!(library_benchmark_groups = [frame, picture, request, reply]);
