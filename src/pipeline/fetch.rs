//! Reading a picture: its size is known, or bounded, before its bytes are held.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;

use super::{
    Job, Source,
    admission::Slot,
    error::{AnalyzeError, Stage},
    ports::{ImageStore, OpenObject, StoreError},
};
use crate::domain::{ObjectRef, Timing};

/// The file as it was read.
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
    pub(super) version_id: Option<String>,
}

/// The bytes of the job's picture, at most `limit` of them, once there is room for them.
pub(super) async fn fetch(
    store: &dyn ImageStore,
    job: &Job,
    limit: u64,
    slot: &mut Slot,
    timing: &mut Timing,
) -> Result<Fetched, AnalyzeError> {
    match &job.source {
        Source::Content(bytes) if bytes.len() as u64 > limit => {
            Err(AnalyzeError::ContentTooLarge { actual: bytes.len() as u64, limit })
        }
        Source::Content(bytes) => {
            // An item of a stream was weighed before the next message was read.
            if !slot.is_weighed() {
                job.deadline.bound(Stage::Queue, slot.weigh(bytes.len() as u64)).await??;
            }
            Ok(Fetched { bytes: bytes.clone(), etag: None, version_id: None })
        }
        Source::Object(object) => read(store, job, object, limit, slot, timing).await,
    }
}

async fn read(
    store: &dyn ImageStore,
    job: &Job,
    object: &ObjectRef,
    limit: u64,
    slot: &mut Slot,
    timing: &mut Timing,
) -> Result<Fetched, AnalyzeError> {
    let failed = |error| AnalyzeError::Store { object: Box::new(object.clone()), error };
    let started = Instant::now();
    let opened = job.deadline.bound(Stage::Fetch, store.open(object)).await?.map_err(failed)?;
    let OpenObject { size, etag, version_id, body } = opened;
    if let Some(actual) = size.filter(|size| *size > limit) {
        return Err(failed(StoreError::TooLarge { actual, limit }));
    }
    let before = slot.waited();
    // A store that announces no size may send as much as the limit.
    job.deadline.bound(Stage::Queue, slot.weigh(size.unwrap_or(limit))).await??;
    let waited = slot.waited().saturating_sub(before);
    let bytes = job.deadline.bound(Stage::Fetch, collect(body, size, limit)).await?.map_err(failed)?;
    slot.lighten(bytes.len() as u64);
    timing.fetch = started.elapsed().saturating_sub(waited);
    Ok(Fetched { bytes, etag, version_id })
}

async fn collect(
    mut body: BoxStream<'static, Result<Bytes, StoreError>>,
    size: Option<u64>,
    limit: u64,
) -> Result<Bytes, StoreError> {
    let mut bytes = Vec::with_capacity(size.and_then(|size| usize::try_from(size).ok()).unwrap_or_default());
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let actual = (bytes.len() + chunk.len()) as u64;
        if actual > limit {
            return Err(StoreError::TooLarge { actual, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Bytes::from(bytes))
}
