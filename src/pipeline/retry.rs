//! The one place where a model is asked again.
//!
//! Retried are throttling, a model that is not ready, a fault of the service and a broken connection; never silence, for
//! what a model works on is billed. The wait is exponential with full jitter, and no retry starts that the
//! deadline leaves no time for.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    deadline::Deadline,
    error::{AnalyzeError, Stage},
    ports::{Question, Reply, VisionModel},
};

/// How often and how patiently a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Most calls for one request, at least 1.
    pub max_attempts: u32,
    /// Longest first wait; each further one may be twice as long.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
    /// A call is not tried with less time left than this.
    pub min_call_time: Duration,
}

/// A reply and what it took.
pub(super) struct Asked {
    pub(super) reply: Reply,
    pub(super) calls: u32,
    pub(super) model_time: Duration,
    pub(super) backoff: Duration,
}

/// Asks `model` until it answers, the attempts are used up or the deadline is near.
pub(super) async fn ask(
    model: &dyn VisionModel,
    question: &Question,
    policy: &RetryPolicy,
    deadline: Deadline,
) -> Result<Asked, AnalyzeError> {
    let (mut calls, mut model_time, mut backoff) = (0, Duration::ZERO, Duration::ZERO);
    loop {
        let remaining = deadline.remaining();
        if remaining < policy.min_call_time {
            return Err(too_late(remaining, policy));
        }
        let started = Instant::now();
        calls += 1;
        let outcome = deadline.bound(Stage::Model, model.ask(question)).await?;
        model_time += started.elapsed();
        let error = match outcome {
            Ok(reply) => return Ok(Asked { reply, calls, model_time, backoff }),
            Err(error) => error,
        };
        let wait = jittered(policy, calls);
        let in_time = deadline.remaining() > wait + policy.min_call_time;
        if !error.is_retryable() || calls >= policy.max_attempts || !in_time {
            return Err(AnalyzeError::Model { model: question.model.id.clone(), error, calls });
        }
        tracing::info!(model = question.model.id, %error, calls, ?wait, "asking the model again");
        let paused = Instant::now();
        deadline.bound(Stage::Backoff, tokio::time::sleep(wait)).await?;
        backoff += paused.elapsed();
    }
}

fn too_late(remaining: Duration, policy: &RetryPolicy) -> AnalyzeError {
    if remaining.is_zero() {
        AnalyzeError::DeadlineExceeded { stage: Stage::Model }
    } else {
        AnalyzeError::DeadlineTooShort { remaining, needed: policy.min_call_time }
    }
}

/// Full jitter: anything between nothing and the exponential bound.
fn jittered(policy: &RetryPolicy, calls: u32) -> Duration {
    let bound = policy.base.saturating_mul(2_u32.saturating_pow(calls.saturating_sub(1))).min(policy.cap);
    bound.mul_f64(fastrand::f64())
}
