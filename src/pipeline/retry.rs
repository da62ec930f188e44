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
use crate::domain::Usage;

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

/// A reply and the time it took.
pub(super) struct Asked {
    pub(super) reply: Reply,
    pub(super) model_time: Duration,
    pub(super) backoff: Duration,
}

/// Asks `model` until it answers, the attempts are used up or the deadline is near. What was used up is added to `spent`,
/// also when there is no answer.
pub(super) async fn ask(
    model: &dyn VisionModel,
    question: &Question,
    policy: &RetryPolicy,
    deadline: Deadline,
    spent: &mut Usage,
) -> Result<Asked, AnalyzeError> {
    let (mut model_time, mut backoff) = (Duration::ZERO, Duration::ZERO);
    loop {
        let remaining = deadline.remaining();
        if remaining < policy.min_call_time {
            return Err(too_late(remaining, policy));
        }
        let started = Instant::now();
        spent.model_calls += 1;
        let outcome = deadline.bound(Stage::Model, model.ask(question)).await?;
        model_time += started.elapsed();
        let error = match outcome {
            Ok(reply) => {
                *spent += reply.usage;
                return Ok(Asked { reply, model_time, backoff });
            }
            Err(error) => error,
        };
        let calls = spent.model_calls;
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

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicU32, Ordering},
    };

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::{
        catalog::Catalog,
        domain::{Coordinates, Features, ModelProfile, Size, Strategy},
        pipeline::ports::{ModelError, ThinkingParameter},
        prompt,
    };

    const MODEL: &str = "global.anthropic.claude-sonnet-5";

    /// A model that always fails in the same way, and counts.
    struct Failing(ModelError, AtomicU32);

    #[async_trait]
    impl VisionModel for Failing {
        async fn ask(&self, _question: &Question) -> Result<Reply, ModelError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Err(self.0.clone())
        }

        fn region<'a>(&'a self, _model: &'a ModelProfile) -> &'a str {
            "eu-west-1"
        }
    }

    async fn calls(error: ModelError, policy: RetryPolicy, time: Duration) -> (u32, AnalyzeError) {
        let model = Failing(error, AtomicU32::new(0));
        let features = Features::default();
        let brief = prompt::Brief {
            features: &features,
            language: "en",
            size: Size::new(1, 1),
            coordinates: Coordinates::Pixels,
            strategy: Strategy::PromptedJson,
        };
        let question = Question {
            model: Catalog::built_in().unwrap().resolve(MODEL),
            image: Bytes::new(),
            media_type: "image/png",
            prompt: prompt::build(&brief),
            strategy: Strategy::PromptedJson,
            thinking: ThinkingParameter::Unset,
            correction: None,
            max_output_tokens: 1,
            temperature: None,
            tags: BTreeMap::new(),
        };
        let mut spent = Usage::default();
        let outcome = ask(&model, &question, &policy, Deadline::at(Instant::now() + time), &mut spent).await;
        let made = model.1.into_inner();
        assert_eq!(spent, Usage { model_calls: made, ..Usage::default() });
        (made, outcome.err().unwrap())
    }

    fn policy(base: Duration) -> RetryPolicy {
        RetryPolicy { max_attempts: 3, base, cap: base, min_call_time: Duration::from_millis(10) }
    }

    const PLENTY: Duration = Duration::from_secs(60);
    const AT_ONCE: Duration = Duration::from_micros(1);

    #[tokio::test]
    async fn only_what_may_help_is_asked_again() {
        let unavailable = |retryable| ModelError::Unavailable { detail: String::new(), retryable };
        for (error, expected) in [
            (ModelError::Throttled, 3),
            (unavailable(true), 3),
            (unavailable(false), 1),
            (ModelError::QuotaExceeded, 1),
            (ModelError::EndOfLife, 1),
            (ModelError::Rejected { detail: String::new() }, 1),
        ] {
            let (made, failure) = calls(error.clone(), policy(AT_ONCE), PLENTY).await;
            assert_eq!(made, expected, "{error:?}");
            assert_eq!(failure, AnalyzeError::Model { model: MODEL.into(), error, calls: expected });
        }
    }

    #[tokio::test]
    async fn no_wait_begins_that_the_deadline_leaves_no_time_for() {
        // Of a wait of up to a year, a minute is as good as nothing.
        let (made, failure) = calls(ModelError::Throttled, policy(Duration::from_secs(31_536_000)), PLENTY).await;
        assert_eq!(made, 1);
        assert!(matches!(failure, AnalyzeError::Model { error: ModelError::Throttled, .. }));
    }

    #[tokio::test]
    async fn a_call_is_not_begun_too_late() {
        let (made, failure) = calls(ModelError::Throttled, policy(AT_ONCE), Duration::from_millis(5)).await;
        assert_eq!(made, 0);
        assert!(matches!(failure, AnalyzeError::DeadlineTooShort { .. } | AnalyzeError::DeadlineExceeded { .. }));
    }
}
