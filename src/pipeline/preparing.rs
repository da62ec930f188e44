//! A picture's way through a worker: its plan, the memory that it will take, and the work itself.
//!
//! They are steps of their own, since callers bound and time them differently. One worker does all of them: dropping one in
//! between gives it back, and dropping the work while it goes on tells it to stop.

use bytes::Bytes;

use super::{admission::Worker, error::AnalyzeError};
use crate::imaging::{self, Cancel, ImageError, Plan, Prepared};

/// A picture whose plan is known, on its worker.
pub(super) struct Planned {
    worker: Worker,
    plan: Plan,
    bytes: Bytes,
}

/// A picture that has the memory it takes.
pub(super) struct Admitted(Planned);

/// Files up to this size are looked at where they are: a hundredth of a millisecond's work, less than it takes to hand it on.
const SMALL_BYTES: usize = 512 << 10;

/// The picture, when that takes no worker: a small file that goes on as it is. `None` for all else, also for what is wrong.
pub(super) fn at_once(bytes: &Bytes, limits: &imaging::Limits, target: &imaging::Target) -> Option<Prepared> {
    if bytes.len() > SMALL_BYTES {
        return None;
    }
    let plan = Plan::of(bytes, limits, target).ok().filter(Plan::is_done)?;
    plan.run(bytes, &Cancel::never()).ok()
}

/// Makes the plan, on the worker: it decodes nothing, but walks the whole file.
///
/// # Errors
/// What is wrong with the picture; [`AnalyzeError::Internal`] when a reader panics.
pub(super) async fn plan(
    worker: Worker,
    bytes: Bytes,
    limits: imaging::Limits,
    target: imaging::Target,
) -> Result<Planned, AnalyzeError> {
    let work = move || (Plan::of(&bytes, &limits, &target), bytes);
    let (worker, (plan, bytes)) = worker.step(work).await?;
    Ok(Planned { worker, plan: plan?, bytes })
}

impl Planned {
    /// Waits for the memory. A picture that goes on as it is takes none.
    ///
    /// # Errors
    /// [`AnalyzeError::Internal`] when the process is ending.
    pub(super) async fn admit(self) -> Result<Admitted, AnalyzeError> {
        let worker = self.worker.with_memory(self.plan.peak_memory()).await?;
        Ok(Admitted(Self { worker, ..self }))
    }
}

impl Admitted {
    /// Prepares the picture. Dropping this stops the work at its next step.
    ///
    /// # Errors
    /// As [`plan`].
    pub(super) async fn run(self) -> Result<Prepared, AnalyzeError> {
        let Planned { worker, plan, bytes } = self.0;
        until_dropped(worker, move |cancel| plan.run(&bytes, cancel)).await
    }
}

/// Work that is told to stop when nobody waits for it any more.
async fn until_dropped<T: Send + 'static>(
    worker: Worker,
    work: impl FnOnce(&Cancel) -> Result<T, ImageError> + Send + 'static,
) -> Result<T, AnalyzeError> {
    let cancel = Cancel::default();
    let _stop = StopOnDrop(cancel.clone());
    Ok(worker.run(move || work(&cancel)).await??)
}

struct StopOnDrop(Cancel);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        domain::{OversizePolicy, VisionTier},
        imaging::{Limits, Target},
        pipeline::{Admission, Stage, tests},
    };

    const LIMITS: Limits = Limits { max_pixels: 1 << 30, max_memory: 1 << 30, safe_decoders: false };
    const TARGET: Target =
        Target { tier: VisionTier { max_edge: 1568, max_visual_tokens: Some(1568) }, oversize: OversizePolicy::Resize };

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_to_stop_and_frees_its_worker() {
        let admission = Admission::new(&tests::limits(), Default::default());
        let (begun, has_begun) = oneshot::channel();
        let (stopped, has_stopped) = oneshot::channel();
        let worker = admission.worker().await.unwrap();
        let work = tokio::spawn(until_dropped(worker, move |cancel| {
            begun.send(()).unwrap();
            // As a decoder does between its rows.
            while cancel.check().is_ok() {
                std::thread::yield_now();
            }
            stopped.send(cancel.check()).unwrap();
            cancel.check()
        }));
        has_begun.await.unwrap();
        assert!(admission.worker().now_or_never().is_none(), "the only worker works");
        work.abort();
        assert_eq!(has_stopped.await.unwrap(), Err(ImageError::Cancelled));
        admission.worker().await.expect("a worker again");
    }

    #[tokio::test]
    async fn work_that_was_stopped_says_nothing_about_the_picture() {
        let worker = Admission::new(&tests::limits(), Default::default()).worker().await.unwrap();
        let stopped = until_dropped::<()>(worker, |_| Err(ImageError::Cancelled)).await;
        assert_eq!(stopped, Err(AnalyzeError::DeadlineExceeded { stage: Stage::Prepare }));
    }

    #[test]
    fn only_what_goes_on_as_it_is_takes_no_worker() {
        let small = tests::picture(1);
        assert_eq!(at_once(&small, &LIMITS, &TARGET), imaging::prepare(&small, &LIMITS, &TARGET).ok());
        assert!(at_once(&small, &LIMITS, &TARGET).is_some());
        for other in [tests::large_picture(), Bytes::from_static(b"no picture"), small.slice(..small.len() / 2)] {
            assert_eq!(at_once(&other, &LIMITS, &TARGET), None);
        }
    }

    #[tokio::test]
    async fn a_picture_is_prepared_as_in_one_go() {
        let admission = Admission::new(&tests::limits(), Default::default());
        for bytes in [tests::picture(1), tests::large_picture()] {
            let worker = admission.worker().await.unwrap();
            let planned = plan(worker, bytes.clone(), LIMITS, TARGET).await.unwrap();
            let prepared = planned.admit().await.unwrap().run().await.unwrap();
            assert_eq!(prepared, imaging::prepare(&bytes, &LIMITS, &TARGET).unwrap());
        }
    }

    #[tokio::test]
    async fn what_takes_more_than_all_memory_is_refused_before_it_waits() {
        let admission = Admission::new(&tests::limits(), Default::default());
        let limits = Limits { max_memory: 10_000, ..LIMITS };
        let worker = admission.worker().await.unwrap();
        let refused = plan(worker, tests::large_picture(), limits, TARGET).await.err();
        let is_by_memory =
            |error| matches!(error, AnalyzeError::Image(ImageError::TooMuchMemory { limit: 10_000, .. }));
        assert!(refused.clone().is_some_and(is_by_memory), "{refused:?}");
        admission.worker().now_or_never().expect("the worker is free").unwrap();
    }
}
