//! A server in front of something that serves only so fast, event by event, from a seed.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::super::*;

pub(super) const FLOOR: usize = 4;
/// The mean of a kind of call whose model takes none, whatever else there is.
pub(super) const THROTTLED: f64 = -1.0;
/// How long a call that was throttled stays: it tries again.
const PATIENCE: f64 = 0.3;

/// What is behind the server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Upstream {
    /// So many calls are worked on at once, the others wait in turn.
    Servers(usize),
    /// All calls share so many cores.
    Cores(f64),
    /// As many as come, but only so many a second: the others are throttled.
    Quota(f64),
}

/// One kind of call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Part of all calls.
    pub(super) part: f64,
    /// Seconds without load.
    pub(super) mean: f64,
    /// How much they differ: standard deviation by mean.
    pub(super) spread: f64,
}

pub(super) struct World {
    pub(super) upstream: Upstream,
    pub(super) kinds: Vec<Kind>,
    /// Calls a second from each moment on, and how many times slower the upstream is.
    pub(super) phases: Vec<(f64, f64, f64)>,
    pub(super) most: usize,
    pub(super) adapts: bool,
}

/// One call that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    at: f64,
    /// Seconds to the answer; `None` when it was refused.
    took: Option<f64>,
    throttled: bool,
}

#[derive(Default)]
pub(super) struct Outcome {
    calls: Vec<Done>,
    /// The limit over time.
    limits: Vec<(f64, usize)>,
}

#[derive(Clone, Copy)]
struct Call {
    at: f64,
    kind: usize,
    work: f64,
    begun: Begun,
    throttled: bool,
}

fn moment(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

struct Simulation<'a> {
    world: &'a World,
    random: fastrand::Rng,
    limiter: Limiter,
    now: f64,
    in_flight: usize,
    /// Of [`Upstream::Servers`]: who is served until when, by a number; and who waits.
    served: BinaryHeap<Reverse<(u64, u64)>>,
    /// All calls, by their number.
    begun: Vec<Call>,
    waiting: VecDeque<u64>,
    /// Of [`Upstream::Cores`]: what a call that was there from the beginning would have been given, and when others have enough.
    given: f64,
    shared: BinaryHeap<Reverse<(u64, u64)>>,
    tokens: f64,
    outcome: Outcome,
}

impl World {
    pub(super) fn run(&self, seed: u64) -> Outcome {
        let mut simulation = Simulation {
            world: self,
            random: fastrand::Rng::with_seed(seed),
            limiter: Limiter::new(FLOOR, self.most),
            now: 0.0,
            in_flight: 0,
            served: BinaryHeap::new(),
            begun: Vec::new(),
            waiting: Default::default(),
            given: 0.0,
            shared: BinaryHeap::new(),
            tokens: 0.0,
            outcome: Outcome::default(),
        };
        simulation.run();
        simulation.outcome
    }
}

impl Simulation<'_> {
    fn phase(&self) -> (f64, f64) {
        let mut now = (0.0, 1.0);
        for (from, rate, slow) in &self.world.phases {
            if *from <= self.now {
                now = (*rate, *slow);
            }
        }
        now
    }

    fn run(&mut self) {
        let end = self.world.phases.last().unwrap().0;
        let mut arrival = 0.0;
        while self.now < end {
            let departure = self.departure();
            if arrival <= departure {
                self.pass(arrival);
                self.arrive();
                let (rate, _) = self.phase();
                arrival = self.now + if rate > 0.0 { -(1.0 - self.random.f64()).ln() / rate } else { 0.05 };
            } else {
                self.pass(departure);
                self.depart();
            }
        }
    }

    fn departure(&self) -> f64 {
        match self.world.upstream {
            Upstream::Cores(_) => self.shared.peek().map_or(f64::INFINITY, |Reverse((nanos, _))| {
                self.now + (*nanos as f64 / 1e9 - self.given).max(0.0) / self.speed()
            }),
            _ => self.served.peek().map_or(f64::INFINITY, |Reverse((nanos, _))| *nanos as f64 / 1e9),
        }
    }

    /// Of one of those who share.
    fn speed(&self) -> f64 {
        let Upstream::Cores(cores) = self.world.upstream else { return 1.0 };
        (cores / self.shared.len().max(1) as f64).min(1.0)
    }

    fn pass(&mut self, to: f64) {
        let time = to - self.now;
        self.given += self.speed() * time;
        if let Upstream::Quota(rate) = self.world.upstream {
            self.tokens = (self.tokens + rate * time).min(rate / 10.0);
        }
        self.now = to;
    }

    fn used(&self) -> f64 {
        self.in_flight as f64 / self.limiter.limit() as f64
    }

    fn arrive(&mut self) {
        let (rate, slow) = self.phase();
        if rate == 0.0 {
            return;
        }
        let mut which = self.random.f64();
        let kind = self.world.kinds.iter().position(|kind| {
            which -= kind.part;
            which < 0.0
        });
        let kind = kind.unwrap_or(self.world.kinds.len() - 1);
        let Kind { mean, spread, .. } = self.world.kinds[kind];
        // Log-normal.
        let sigma = (1.0 + spread * spread).ln().sqrt();
        let normal: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        let work = mean * slow * (sigma * normal - sigma * sigma / 2.0).exp();
        let limit = if self.world.adapts { self.limiter.limit() } else { self.world.most };
        if self.outcome.limits.last().is_none_or(|(_, last)| *last != limit) {
            self.outcome.limits.push((self.now, limit));
        }
        if self.in_flight >= limit {
            self.limiter.refused(moment(self.now));
            self.outcome.calls.push(Done { at: self.now, took: None, throttled: false });
            return;
        }
        self.in_flight += 1;
        let used = self.used();
        let begun = self.limiter.begin(moment(self.now), used);
        let id = self.begun.len() as u64;
        self.begun.push(Call { at: self.now, kind, work, begun, throttled: false });
        match self.world.upstream {
            _ if mean == THROTTLED => self.throttle(id),
            Upstream::Servers(count) if self.served.len() >= count => self.waiting.push_back(id),
            Upstream::Servers(_) => self.serve(id, work),
            Upstream::Cores(_) => self.shared.push(Reverse((((self.given + work) * 1e9) as u64, id))),
            Upstream::Quota(_) if self.tokens < 1.0 => self.throttle(id),
            Upstream::Quota(_) => {
                self.tokens -= 1.0;
                self.serve(id, work);
            }
        }
    }

    /// Told at once that there are too many, it stays a while and then leaves.
    fn throttle(&mut self, id: u64) {
        self.begun[id as usize].throttled = true;
        self.serve(id, PATIENCE);
    }

    fn serve(&mut self, id: u64, time: f64) {
        self.served.push(Reverse((((self.now + time) * 1e9) as u64, id)));
    }

    fn depart(&mut self) {
        let id = match self.world.upstream {
            Upstream::Cores(_) => self.shared.pop().unwrap().0.1,
            _ => self.served.pop().unwrap().0.1,
        };
        if let Some(next) = self.waiting.pop_front() {
            let work = self.begun[next as usize].work;
            self.serve(next, work);
        }
        let call = self.begun[id as usize];
        let used = self.used();
        self.in_flight -= 1;
        let took = self.now - call.at;
        let throttled = call.throttled;
        let answered = End::Answered { kind: call.kind as u64, paused: Duration::ZERO };
        let end = if throttled { End::Untold } else { answered };
        self.limiter.ended(moment(self.now), used, call.begun, u32::from(throttled), end);
        self.outcome.calls.push(Done { at: call.at, took: Some(took), throttled });
    }
}

impl Outcome {
    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Done> {
        self.calls.iter().filter(move |done| (from..to).contains(&done.at))
    }

    pub(super) fn served(&self, from: f64, to: f64) -> usize {
        self.between(from, to).filter(|done| done.took.is_some() && !done.throttled).count()
    }

    pub(super) fn refused(&self, from: f64, to: f64) -> usize {
        self.between(from, to).filter(|done| done.took.is_none()).count()
    }

    pub(super) fn throttled(&self, from: f64, to: f64) -> usize {
        self.between(from, to).filter(|done| done.throttled).count()
    }

    pub(super) fn p99(&self, from: f64, to: f64) -> f64 {
        let mut times: Vec<_> =
            self.between(from, to).filter(|done| !done.throttled).filter_map(|done| done.took).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    }

    pub(super) fn least_limit(&self, from: f64, to: f64) -> usize {
        let before = self.limits.iter().take_while(|(at, _)| *at <= from).last();
        self.limits
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .chain(before)
            .map(|(_, limit)| *limit)
            .min()
            .unwrap()
    }
}
