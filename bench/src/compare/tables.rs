//! Tables of medians, each beside its ratio to the floor: the median of the rounds' own ratios.

use super::figures::{Figures, Grpc, Many, Memory, Request, Start, middle};
use crate::{
    pictures::Size,
    report::{figure, table},
    servers::Kind,
    stats::median,
};

/// All tables, in Markdown.
pub fn of(figures: &Figures) -> String {
    let machine = &figures.machine;
    let mut text = format!(
        "{} cores ({}), shared by the server, its callers, S3, Bedrock and the collector; load average before: {}; \
         {} rounds of {} s.{}\n",
        machine.cores,
        machine.processor,
        machine.load_before,
        machine.rounds,
        machine.seconds,
        if machine.server_args.is_empty() {
            String::new()
        } else {
            format!(" Further arguments of the server: `{}`.", machine.server_args.join(" "))
        }
    );
    let parts: [(bool, &str, fn(&Figures) -> String); 5] = [
        (figures.requests.is_empty(), "Single calls", requests),
        (figures.memory.is_empty(), "Memory of a 3.5 MB picture in flight", memory),
        (figures.grpc.is_empty(), "gRPC alone", grpc),
        (figures.many.is_empty(), "A picture of a stream beside a single call", many),
        (figures.start.is_empty(), "Start", start),
    ];
    for (is_empty, title, part) in parts {
        if !is_empty {
            text.push_str(&format!("\n**{title}**\n\n{}\n", part(figures)));
        }
    }
    text
}

/// A figure and its ratio.
fn beside(value: Option<f64>, digits: usize, ratio: Option<f64>) -> [String; 2] {
    [figure(value, digits), figure(ratio, 2)]
}

fn requests(figures: &Figures) -> String {
    let mut rows = Vec::new();
    for size in Size::ALL {
        for latency in [0, 50] {
            for kind in [Kind::Floor, Kind::Sightline, Kind::Python] {
                let is_it = |one: &Request| one.size == size && one.latency_ms == latency && one.kind == kind;
                if figures.requests.iter().any(is_it) {
                    rows.push(request_row(figures, size, latency, kind));
                }
            }
        }
    }
    let header = [
        "picture",
        "model",
        "server",
        "CPU us",
        "ratio",
        "half rate: CPU us",
        "ratio",
        "p50 ms",
        "more",
        "p99 ms",
        "ratio",
        "calls/s",
        "ratio",
        "peak MiB",
        "ratio",
    ];
    table(3, &header, rows)
}

fn request_row(figures: &Figures, size: Size, latency: u64, kind: Kind) -> Vec<String> {
    let all = &figures.requests;
    let of = |kind: Kind| move |one: &Request| one.size == size && one.latency_ms == latency && one.kind == kind;
    let value = |of_one: fn(&Request) -> f64| middle(all, of(kind), of_one);
    let compared = |of_one: fn(&Request) -> f64, with: fn(f64, f64) -> f64| {
        let pairs = all.iter().filter(|one| of(kind)(one)).filter_map(|one| {
            let floor = all.iter().find(|floor| of(Kind::Floor)(floor) && floor.round == one.round)?;
            Some(with(of_one(one), of_one(floor)))
        });
        median(pairs)
    };
    let ratio = |of_one: fn(&Request) -> f64| compared(of_one, |one, floor| one / floor);
    let mut row = vec![size.name().to_owned(), format!("{latency} ms"), kind.name().to_owned()];
    row.extend(beside(value(|one| one.cpu_us), 0, ratio(|one| one.cpu_us)));
    row.extend(beside(value(|one| one.open_cpu_us), 0, ratio(|one| one.open_cpu_us)));
    row.extend(beside(value(|one| one.p50_ms), 2, compared(|one| one.p50_ms, |one, floor| one - floor)));
    row.extend(beside(value(|one| one.p99_ms), 2, ratio(|one| one.p99_ms)));
    row.extend(beside(value(|one| one.rate), 0, ratio(|one| one.rate)));
    row.extend(beside(value(|one| one.peak_mib), 0, ratio(|one| one.peak_mib)));
    row
}

fn memory(figures: &Figures) -> String {
    let rows = [Kind::Floor, Kind::Sightline].map(|kind| {
        let value = |of_one: fn(&Memory) -> f64| middle(&figures.memory, |one| one.kind == kind, of_one);
        vec![
            kind.name().to_owned(),
            figure(value(|one| one.in_flight as f64), 0),
            figure(value(|one| one.rest_mib), 1),
            figure(value(|one| one.peak_mib), 1),
            figure(value(Memory::each_mib), 2),
        ]
    });
    table(1, &["server", "in flight", "at rest MiB", "peak MiB", "each MiB"], rows)
}

fn grpc(figures: &Figures) -> String {
    let mut rows = Vec::new();
    for method in ["Check", "GetCapabilities"] {
        for kind in [Kind::Bare, Kind::Sightline] {
            let of = |kind: Kind| move |one: &Grpc| one.method == method && one.kind == kind;
            let value = |of_one: fn(&Grpc) -> f64| middle(&figures.grpc, of(kind), of_one);
            let ratio = |of_one: fn(&Grpc) -> f64| {
                let pairs = figures.grpc.iter().filter(|one| of(kind)(one)).filter_map(|one| {
                    let bare = figures.grpc.iter().find(|bare| of(Kind::Bare)(bare) && bare.round == one.round)?;
                    Some(of_one(one) / of_one(bare))
                });
                median(pairs)
            };
            let mut row = vec![method.to_owned(), kind.name().to_owned()];
            row.extend(beside(value(|one| one.cpu_us), 1, ratio(|one| one.cpu_us)));
            row.extend(beside(value(|one| one.p50_ms), 3, ratio(|one| one.p50_ms)));
            row.extend(beside(value(|one| one.rate), 0, ratio(|one| one.rate)));
            rows.push(row);
        }
    }
    table(2, &["method", "server", "CPU us", "ratio", "p50 ms", "ratio", "calls/s", "ratio"], rows)
}

fn many(figures: &Figures) -> String {
    let of_size = |size: Size| move |one: &Many| one.size == size;
    let measured = Size::ALL.into_iter().filter(|size| figures.many.iter().any(of_size(*size)));
    let rows = measured.map(|size| {
        let value = |of_one: fn(&Many) -> f64| middle(&figures.many, of_size(size), of_one);
        vec![
            size.name().to_owned(),
            figure(value(|one| one.unary_cpu_us), 0),
            figure(value(|one| one.stream_cpu_us), 0),
            figure(value(|one| one.stream_cpu_us / one.unary_cpu_us), 2),
        ]
    });
    table(1, &["picture", "single call: CPU us", "stream: CPU us", "ratio"], rows)
}

fn start(figures: &Figures) -> String {
    let of_kind = |kind: Kind| move |one: &Start| one.kind == kind;
    let rows = [Kind::Floor, Kind::Sightline].map(|kind| {
        let value = |of_one: fn(&Start) -> f64| middle(&figures.start, of_kind(kind), of_one);
        vec![kind.name().to_owned(), figure(value(|one| one.serving_ms), 0), figure(value(|one| one.idle_mib), 1)]
    });
    table(1, &["server", "SERVING after ms", "idle MiB"], rows)
}
