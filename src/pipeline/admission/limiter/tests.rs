//! What the limit does in the situations that it is made for: simulated, from seeds, with nothing left to the clock.

mod world;

use super::*;
use world::{Kind, Upstream, World};

const SEEDS: std::ops::Range<u64> = 1..4;
const MOST: usize = 256;
/// 50 ms, nearly always. With 50 places behind the server that is 1,000 calls a second.
const EVEN: Kind = Kind { part: 1.0, mean: 0.05, spread: 0.1 };
const CAPACITY: f64 = 1000.0;
/// As many as come at once.
const UNLIMITED: Upstream = Upstream::Servers(100_000);

fn world(upstream: Upstream, kind: Kind, phases: &[(f64, f64, f64)]) -> World {
    World { upstream, kinds: vec![kind], phases: phases.to_vec(), most: MOST, adapts: true }
}

/// What both sides of the bottleneck look like: calls wait in turn behind it, or slow each other down.
fn bottlenecks() -> impl Iterator<Item = (Upstream, Kind, u64)> {
    let upstreams = [Upstream::Servers(50), Upstream::Cores(50.0)];
    let spreads = [0.1, 0.5];
    upstreams.into_iter().flat_map(move |upstream| {
        spreads.into_iter().flat_map(move |spread| SEEDS.map(move |seed| (upstream, Kind { spread, ..EVEN }, seed)))
    })
}

/// A minute of four times as many calls as there is capacity for.
#[test]
fn four_times_the_capacity_costs_those_who_are_served_little() {
    for (upstream, kind, seed) in bottlenecks() {
        let phases = [(0.0, 400.0, 1.0), (20.0, 4.0 * CAPACITY, 1.0), (80.0, 800.0, 1.0), (90.0, 0.0, 1.0)];
        let outcome = world(upstream, kind, &phases).run(seed);
        let name = format!("{upstream:?} {kind:?} {seed}");
        let (calm, loaded) = (outcome.p99(0.0, 20.0), outcome.p99(20.0, 80.0));
        assert_eq!(outcome.refused(0.0, 20.0), 0, "{name}");
        assert!(loaded <= 2.0 * calm, "{name}: p99 {loaded} after {calm}");
        let served = outcome.served(20.0, 80.0) as f64 / 60.0;
        assert!(served >= 0.9 * CAPACITY, "{name}: {served} a second");
        // Itself again within a second. By chance more come than there is capacity for, now and then.
        assert!(outcome.refused(81.0, 90.0) <= 15, "{name}: {}", outcome.refused(81.0, 90.0));
        assert!(outcome.p99(81.0, 90.0) <= 1.2 * calm.max(outcome.p99(80.0, 81.0)), "{name}");
        assert!(outcome.refused(80.0, 81.0) <= 50, "{name}: {}", outcome.refused(80.0, 81.0));
    }
}

/// The same where a hundredth of all calls is fewer than there are places: the first of the flood must not fill them. With calls
/// that take exactly as long as each other it is seen a moment later, now and then.
#[test]
fn a_flood_does_not_fill_the_places_that_a_small_capacity_leaves_free() {
    for seed in 0..20 {
        for (spread, most) in [(0.0, 2.6), (0.1, 2.3), (0.3, 2.0)] {
            let phases = [(0.0, 80.0, 1.0), (10.0, 640.0, 1.0), (70.0, 80.0, 1.0), (80.0, 0.0, 1.0)];
            let outcome = world(Upstream::Servers(8), Kind { spread, ..EVEN }, &phases).run(seed);
            let (calm, loaded) = (outcome.p99(0.0, 10.0), outcome.p99(10.0, 70.0));
            assert_eq!(outcome.refused(0.0, 10.0), 0, "{spread} {seed}");
            assert!(loaded <= most * calm, "{spread} {seed}: p99 {loaded} after {calm}");
            let served = outcome.served(10.0, 70.0) as f64 / 60.0;
            assert!(served >= 0.95 * 160.0, "{spread} {seed}: {served} a second");
            assert!(outcome.refused(71.0, 80.0) <= 10, "{spread} {seed}: {}", outcome.refused(71.0, 80.0));
        }
    }
}

/// What is usual was learned while calls waited for each other. A few seconds of calm are enough to learn better.
#[test]
fn what_was_learned_under_load_does_not_last() {
    for seed in 0..20 {
        let phases = [(0.0, 150.0, 1.0), (6.0, 80.0, 1.0), (16.0, 640.0, 1.0), (76.0, 0.0, 1.0)];
        let outcome = world(Upstream::Servers(8), Kind { spread: 0.3, ..EVEN }, &phases).run(seed);
        let (calm, loaded) = (outcome.p99(9.0, 16.0), outcome.p99(16.0, 76.0));
        assert!(loaded <= 2.0 * calm, "{seed}: p99 {loaded} after {calm}");
    }
}

/// Sixty calls within twenty milliseconds, every few seconds: they wait for each other, but there are places for them.
#[test]
fn a_burst_is_no_flood() {
    let bursts = (1..10).map(|burst| 5.0 * f64::from(burst));
    let bursts = bursts.flat_map(|at| [(at, 3000.0, 1.0), (at + 0.02, 40.0, 1.0)]);
    let phases: Vec<_> = [(0.0, 40.0, 1.0)].into_iter().chain(bursts).chain([(50.0, 0.0, 1.0)]).collect();
    for seed in 0..10 {
        for upstream in [Upstream::Servers(8), Upstream::Cores(8.0)] {
            for spread in [0.1, 0.5] {
                let outcome = world(upstream, Kind { spread, ..EVEN }, &phases).run(seed);
                assert_eq!(outcome.refused(0.0, 50.0), 0, "{upstream:?} {spread} {seed}");
            }
        }
    }
}

/// Without a limit that adapts, the same would cost them all the time that the fixed one stands for.
#[test]
fn the_same_with_a_fixed_limit_is_slow_for_all() {
    let phases = [(0.0, 400.0, 1.0), (20.0, 4.0 * CAPACITY, 1.0), (40.0, 0.0, 1.0)];
    let fixed = World { adapts: false, ..world(Upstream::Servers(50), EVEN, &phases) }.run(1);
    assert!(fixed.p99(20.0, 40.0) > 4.0 * fixed.p99(0.0, 20.0));
}

#[test]
fn answers_that_differ_a_hundredfold_shrink_nothing() {
    for seed in SEEDS {
        let kinds = vec![Kind { part: 0.9, mean: 0.05, spread: 0.5 }, Kind { part: 0.1, mean: 8.0, spread: 0.5 }];
        let phases = vec![(0.0, 200.0, 1.0), (300.0, 0.0, 1.0)];
        // About 170 in progress: two thirds of the limit.
        let outcome = World { upstream: UNLIMITED, kinds, phases, most: MOST, adapts: true }.run(seed);
        assert_eq!(outcome.refused(0.0, 300.0), 0, "seed {seed}");
        assert_eq!(outcome.least_limit(0.0, 300.0), MOST, "seed {seed}");
    }
}

/// Long answers of very different length, few a second, two thirds of the limit in use.
#[test]
fn chance_shrinks_nothing() {
    for seed in SEEDS {
        let long = Kind { part: 1.0, mean: 8.0, spread: 0.7 };
        let outcome = world(UNLIMITED, long, &[(0.0, 20.0, 1.0), (600.0, 0.0, 1.0)]).run(seed);
        assert_eq!(outcome.refused(0.0, 600.0), 0, "seed {seed}");
    }
}

#[test]
fn an_idle_server_keeps_its_limit_however_slow_its_calls_get() {
    for seed in SEEDS {
        let phases = [(0.0, 200.0, 1.0), (10.0, 200.0, 6.0), (30.0, 0.0, 1.0)];
        let outcome = world(UNLIMITED, EVEN, &phases).run(seed);
        assert_eq!(outcome.least_limit(0.0, 30.0), MOST, "seed {seed}");
    }
}

/// From one moment on a model takes three times as long, however many calls it gets.
#[test]
fn a_model_that_gets_slower_costs_a_moment() {
    for seed in SEEDS {
        let phases = [(0.0, 1000.0, 1.0), (20.0, 1000.0, 3.0), (80.0, 0.0, 1.0)];
        let outcome = world(UNLIMITED, Kind { spread: 0.3, ..EVEN }, &phases).run(seed);
        // 150 are in progress then.
        assert!(outcome.served(20.0, 25.0) >= 3 * 1000, "seed {seed}: {}", outcome.served(20.0, 25.0));
        assert_eq!(outcome.refused(25.0, 80.0), 0, "seed {seed}");
    }
}

/// The same, but it takes no more than 50 at once: a third of the capacity is left, and many more calls come.
#[test]
fn a_bottleneck_that_gets_slower_is_still_found() {
    for rate in [800.0, 4000.0] {
        for seed in SEEDS {
            let phases = [(0.0, 400.0, 1.0), (20.0, rate, 3.0), (80.0, 0.0, 1.0)];
            let outcome = world(Upstream::Servers(50), Kind { spread: 0.3, ..EVEN }, &phases).run(seed);
            let (calm, loaded) = (3.0 * outcome.p99(0.0, 20.0), outcome.p99(30.0, 80.0));
            assert!(loaded <= 2.0 * calm, "{rate} {seed}: p99 {loaded}, at best {calm}");
            let served = outcome.served(30.0, 80.0) as f64 / 50.0;
            assert!(served >= 0.9 * CAPACITY / 3.0, "{rate} {seed}: {served} a second");
        }
    }
}

#[test]
fn throttling_shrinks_the_limit_to_what_the_model_takes() {
    for seed in SEEDS {
        let phases = [(0.0, 300.0, 1.0), (20.0, 2000.0, 1.0), (80.0, 400.0, 1.0), (90.0, 0.0, 1.0)];
        let outcome = world(Upstream::Quota(500.0), EVEN, &phases).run(seed);
        assert_eq!(outcome.refused(0.0, 20.0), 0);
        let served = outcome.served(22.0, 80.0) as f64 / 58.0;
        assert!(served >= 0.9 * 500.0, "seed {seed}: {served} a second");
        // Four of five attempts would be turned away without a limit.
        let throttled = outcome.throttled(22.0, 80.0) as f64 / 58.0;
        assert!(throttled <= 350.0, "seed {seed}: {throttled} a second");
        assert_eq!(outcome.refused(81.0, 90.0), 0, "seed {seed}");
    }
}

/// A quota that somebody else uses up: no limit of ours would help, and what else there is to do goes on.
#[test]
fn throttling_that_is_not_of_our_making_does_not_starve_the_rest() {
    for seed in SEEDS {
        let dead = Kind { part: 0.5, mean: world::THROTTLED, spread: 0.0 };
        let kinds = vec![Kind { part: 0.5, ..EVEN }, dead];
        let phases = vec![(0.0, 800.0, 1.0), (60.0, 0.0, 1.0)];
        let outcome = World { upstream: UNLIMITED, kinds, phases, most: MOST, adapts: true }.run(seed);
        let served = outcome.served(0.0, 60.0) as f64 / 60.0;
        assert!(served >= 0.8 * 400.0, "seed {seed}: {served} a second");
    }
}

/// The first that the server ever sees is four times its capacity: it does not know how fast its calls could be.
#[test]
fn a_start_into_overload_finds_the_limit() {
    for (upstream, kind, seed) in bottlenecks() {
        let outcome = world(upstream, kind, &[(0.0, 4000.0, 1.0), (30.0, 0.0, 1.0)]).run(seed);
        let calm = world(upstream, kind, &[(0.0, 400.0, 1.0), (20.0, 0.0, 1.0)]).run(seed).p99(0.0, 20.0);
        let loaded = outcome.p99(5.0, 30.0);
        assert!(loaded <= 2.0 * calm, "{upstream:?} {kind:?} {seed}: p99 {loaded}, at best {calm}");
        let served = outcome.served(5.0, 30.0) as f64 / 25.0;
        assert!(served >= 0.85 * CAPACITY, "{upstream:?} {kind:?} {seed}: {served} a second");
    }
}

#[test]
fn a_cold_server_takes_all_that_it_has_room_for() {
    for seed in SEEDS {
        let long = Kind { part: 1.0, mean: 8.0, spread: 0.7 };
        // All come within half a second.
        let outcome = world(UNLIMITED, long, &[(0.0, 400.0, 1.0), (0.5, 0.0, 1.0), (60.0, 0.0, 1.0)]).run(seed);
        assert_eq!(outcome.refused(0.0, 60.0), 0, "seed {seed}");
    }
}

/// Whatever calls say, the limit stays within its bounds.
#[test]
fn the_limit_stays_within_its_bounds() {
    for (floor, most) in [(1, 1), (4, 2), (8, 8), (8, 256), (0, 0)] {
        let mut limiter = Limiter::new(floor, most);
        let mut random = fastrand::Rng::with_seed(7);
        let mut now = Duration::ZERO;
        let mut begun = Vec::new();
        for _ in 0..20_000 {
            now += Duration::from_millis(random.u64(0..40));
            let used = random.f64() * 1.5;
            match random.u32(0..5) {
                0 => limiter.refused(now),
                1 | 2 => begun.push(limiter.begin(now, used)),
                _ => {
                    let paused = Duration::from_millis(random.u64(0..50_000));
                    let kind = random.u64(0..300);
                    let ends = [End::Answered { kind, paused }, End::Silent { kind, paused }, End::Untold];
                    if let Some(begun) = begun.pop() {
                        limiter.ended(now, used, begun, random.u32(0..4), ends[random.usize(0..3)]);
                    }
                }
            }
            let (least, most) = (floor.clamp(1, most.max(1)), most.max(1));
            assert!((least..=most).contains(&limiter.limit()), "{} of {floor}..{most}", limiter.limit());
        }
    }
}

#[test]
fn kinds_are_bounded() {
    let mut classes = Classes::default();
    for kind in 0..10_000 {
        classes.take_in(Duration::from_millis(kind), kind, 0.1);
    }
    assert!(classes.count() <= 128);
}
