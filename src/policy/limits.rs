//! What one caller may use up: requests per second, requests at once, tokens a day.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

use super::error::{Limit, LimitReached};
use crate::domain::Usage;

/// What one caller may use up. Every caller that a rule names has all of it for itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Requests and items begun; `None` for as many as it likes.
    pub rate: Option<Rate>,
    /// Most requests and items in work at once.
    pub max_in_flight: Option<u32>,
    /// Tokens of answers on one day, UTC: input, output, and what went through the prompt cache.
    pub tokens_per_day: Option<u64>,
}

impl Limits {
    /// Whether anything is limited.
    pub(super) fn are_set(&self) -> bool {
        *self != Self::default()
    }
}

/// How fast requests may come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: f64,
    /// Most at once after a silence.
    pub burst: NonZeroU32,
}

impl Rate {
    /// With the burst of one second, at least one.
    pub(super) fn of(per_second: f64) -> Self {
        // Saturates: the bounds of a rate lie far inside.
        let burst = NonZeroU32::new(per_second.ceil() as u32).unwrap_or(NonZeroU32::MIN);
        Self { per_second, burst }
    }
}

/// Tokio's own clock, which tests can stop.
#[derive(Debug, Clone)]
struct Monotonic(Instant);

impl Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Duration>>;

/// Lets requests through at a rate.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Rate,
    limiter: Limiter,
    clock: Monotonic,
    /// Those who wait do so in turn.
    turn: tokio::sync::Mutex<()>,
}

impl Throttle {
    pub(super) fn new(rate: Rate) -> Self {
        let clock = Monotonic(Instant::now());
        let period = Duration::from_secs_f64(1.0 / rate.per_second.max(f64::MIN_POSITIVE));
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(rate.burst)).allow_burst(rate.burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { rate, limiter, clock, turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Lets one request through, if it may now.
    pub(super) fn pass(&self) -> Result<(), LimitReached> {
        self.limiter.check().map_err(|not_until| LimitReached {
            limit: Limit::RequestsPerSecond(self.rate.per_second),
            retry_after: not_until.wait_time_from(self.clock.now()),
        })
    }

    /// Lets one item of a stream through, once it may.
    pub(super) async fn wait(&self) {
        let _turn = self.turn.lock().await;
        while let Err(LimitReached { retry_after, .. }) = self.pass() {
            tokio::time::sleep(retry_after).await;
        }
    }
}

/// The time of day, which tests set.
#[derive(Clone)]
pub(super) struct Wall(pub(super) Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Wall {
    pub(super) fn of_the_system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// The day, UTC, and the time until it ends.
    fn day(&self) -> (u64, Duration) {
        const DAY: u64 = 24 * 3600;
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (day, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
        (day, Duration::from_secs(DAY - second))
    }
}

impl std::fmt::Debug for Wall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Wall")
    }
}

/// The tokens that one caller used up on one day.
#[derive(Debug)]
pub(super) struct Spent {
    wall: Wall,
    /// The day and its tokens.
    today: Mutex<(u64, u64)>,
}

impl Spent {
    pub(super) fn new(wall: Wall) -> Self {
        Self { wall, today: Mutex::default() }
    }

    /// The tokens of today, and the time until the day ends.
    fn on<T>(&self, look: impl FnOnce(&mut u64, Duration) -> T) -> T {
        let (day, rest) = self.wall.day();
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is put back brings no new tokens.
        if day > today.0 {
            *today = (day, 0);
        }
        look(&mut today.1, rest)
    }

    /// Whether the caller has anything left. What calls in flight will cost is not known: they may go over it.
    pub(super) fn check(&self, per_day: u64) -> Result<(), LimitReached> {
        self.on(|used, retry_after| match *used < per_day {
            true => Ok(()),
            false => Err(LimitReached { limit: Limit::TokensPerDay(per_day), retry_after }),
        })
    }

    pub(super) fn charge(&self, usage: &Usage) {
        let tokens = usage.all_input_tokens().saturating_add(usage.output_tokens);
        self.on(|used, _| *used = used.saturating_add(tokens));
    }

    pub(super) fn today(&self) -> u64 {
        self.on(|used, _| *used)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate { per_second, burst: NonZeroU32::new(burst).unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_its_rate() {
        let throttle = Throttle::new(rate(2.0, 3));
        for _ in 0..3 {
            throttle.pass().unwrap();
        }
        let reached = throttle.pass().unwrap_err();
        assert_eq!(reached.retry_after, Duration::from_millis(500));
        assert_eq!(reached.limit, Limit::RequestsPerSecond(2.0));
        tokio::time::advance(Duration::from_millis(499)).await;
        throttle.pass().unwrap_err();
        tokio::time::advance(Duration::from_millis(1)).await;
        throttle.pass().unwrap();
        throttle.pass().unwrap_err();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let passed = (0..10).filter(|_| throttle.pass().is_ok()).count();
        assert_eq!(passed, 3, "a silence brings the burst back and no more");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_come_in_turn_at_the_rate() {
        let (throttle, began) = (Arc::new(Throttle::new(rate(4.0, 1))), Instant::now());
        let mut waiting = Vec::new();
        for number in 0..8 {
            let (throttle, (told, tell)) = (Arc::clone(&throttle), tokio::sync::oneshot::channel());
            waiting.push((number, tell));
            tokio::spawn(async move {
                throttle.wait().await;
                told.send(began.elapsed()).unwrap();
            });
            // It has asked for its turn before the next one does.
            tokio::task::yield_now().await;
        }
        for (number, tell) in waiting {
            let waited = tell.await.unwrap();
            assert_eq!(waited.as_millis() / 10, u128::from(number * 250_u32) / 10, "number {number}");
        }
    }

    #[test]
    fn a_rate_without_a_burst_has_that_of_a_second() {
        assert_eq!(Rate::of(20.0), rate(20.0, 20));
        assert_eq!(Rate::of(2.5), rate(2.5, 3));
        assert_eq!(Rate::of(0.001), rate(0.001, 1));
    }

    /// A clock in seconds, and tokens counted by it.
    fn spent(at: u64) -> (Arc<AtomicU64>, Spent) {
        let seconds = Arc::new(AtomicU64::new(at));
        let read = Arc::clone(&seconds);
        let now = move || UNIX_EPOCH + Duration::from_secs(read.load(Ordering::Relaxed));
        (seconds, Spent::new(Wall(Arc::new(now))))
    }

    fn tokens(input: u64, output: u64, read: u64, written: u64) -> Usage {
        Usage {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: read,
            cache_write_tokens: written,
            image_tokens: 1_000_000,
            ..Usage::default()
        }
    }

    #[test]
    fn tokens_of_a_day_are_used_up_until_the_day_ends() {
        let midnight = 20_000 * 24 * 3600;
        let (clock, spent) = spent(midnight - 10);
        spent.check(100).unwrap();
        spent.charge(&tokens(60, 20, 10, 9));
        spent.check(100).unwrap();
        // It may go over: what a call costs is known when it is over.
        spent.charge(&tokens(500, 0, 0, 0));
        let reached = spent.check(100).unwrap_err();
        assert_eq!((reached.limit, reached.retry_after), (Limit::TokensPerDay(100), Duration::from_secs(10)));
        spent.check(1000).unwrap();
        clock.store(midnight, Ordering::Relaxed);
        spent.check(100).unwrap();
        spent.charge(&tokens(100, 0, 0, 0));
        assert_eq!(spent.check(100).unwrap_err().retry_after, Duration::from_secs(24 * 3600));
        clock.store(midnight - 10, Ordering::Relaxed);
        spent.check(100).expect_err("a clock that is put back brings nothing");
    }

    proptest! {
        /// Over any stretch of time, no more pass than the burst and what the rate brings.
        #[test]
        fn never_more_than_the_rate(
            per_second in 1_u32..50, burst in 1_u32..20, steps in prop::collection::vec(0_u64..400, 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let throttle = Throttle::new(rate(f64::from(per_second), burst));
                let began = Instant::now();
                let mut passed = 0;
                for step in steps {
                    tokio::time::advance(Duration::from_millis(step)).await;
                    while throttle.pass().is_ok() {
                        passed += 1;
                    }
                    let most = f64::from(burst) + began.elapsed().as_secs_f64() * f64::from(per_second);
                    // The period is rounded to nanoseconds.
                    prop_assert!(f64::from(passed) <= most + 1e-3, "{passed} of {most}");
                    prop_assert!(f64::from(passed) > most.min(f64::from(burst)) - 1.0);
                }
                Ok(())
            })?;
        }

        #[test]
        fn what_is_charged_adds_up(charges in prop::collection::vec((0_u64..1000, 0_u64..1000), 0..20), most in 1_u64..20_000) {
            let (_, spent) = spent(1_000_000);
            for (input, output) in &charges {
                spent.charge(&tokens(*input, *output, 0, 0));
            }
            let sum: u64 = charges.iter().map(|(input, output)| input + output).sum();
            prop_assert_eq!((spent.today(), spent.check(most).is_ok()), (sum, sum < most));
        }
    }
}
