//! Reading a picture: its size is known, or bounded, before its bytes are held.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Job, Source,
    admission::Slot,
    error::{AnalyzeError, Stage},
    ports::{ImageStore, OpenObject, StoreError},
};
use crate::{
    domain::{ObjectRef, Timing},
    spans,
};

/// The file as it was read.
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
    pub(super) version_id: Option<String>,
}

/// The longest that a store is kept waiting with an open answer. Stores drop readers that read nothing.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// The bytes of the job's picture, at most `limit` of them, once there is room for them.
pub(super) async fn fetch(
    store: &dyn ImageStore,
    job: &mut Job,
    limit: u64,
    slot: &mut Slot,
    timing: &mut Timing,
) -> Result<Fetched, AnalyzeError> {
    match &job.source {
        Source::Content(bytes) if bytes.len() as u64 > limit => {
            Err(AnalyzeError::ContentTooLarge { actual: bytes.len() as u64, limit })
        }
        Source::Content(bytes) => {
            let bytes = bytes.clone();
            // An item of a stream was weighed before the next message was read.
            if !slot.is_weighed() {
                weigh(job, slot, bytes.len() as u64).await?;
            }
            Ok(Fetched { bytes, etag: None, version_id: None })
        }
        Source::Object(object) => {
            let object = object.clone();
            let span = spans::fetch();
            let fetched = read(store, job, &object, limit, slot, timing).instrument(span.clone()).await;
            match &fetched {
                Ok(fetched) => spans::count(&span, "sightline.image.bytes", fetched.bytes.len() as u64),
                Err(error) => spans::failed(&span, error.kind()),
            }
            fetched
        }
    }
}

async fn read(
    store: &dyn ImageStore,
    job: &mut Job,
    object: &ObjectRef,
    limit: u64,
    slot: &mut Slot,
    timing: &mut Timing,
) -> Result<Fetched, AnalyzeError> {
    let started = Instant::now();
    let (mut opened, weight) = open(store, job, object, limit).await?;
    let mut waited = weigh(job, slot, weight).await?;
    if waited > STALE_AFTER {
        let (again, weight_now) = open(store, job, object, limit).await?;
        opened = again;
        if weight_now > weight {
            waited += weigh(job, slot, weight_now).await?;
        }
    }
    let OpenObject { size, etag, version_id, body } = opened;
    let bytes = job.deadline.bound(Stage::Fetch, collect(body, size, limit)).await?;
    let bytes = bytes.map_err(|error| AnalyzeError::Store { object: Box::new(object.clone()), error })?;
    slot.lighten(bytes.len() as u64);
    timing.fetch = started.elapsed().saturating_sub(waited);
    Ok(Fetched { bytes, etag, version_id })
}

/// The object, and what it weighs: a store that announces no size may send as much as the limit.
async fn open(
    store: &dyn ImageStore,
    job: &Job,
    object: &ObjectRef,
    limit: u64,
) -> Result<(OpenObject, u64), AnalyzeError> {
    let failed = |error| AnalyzeError::Store { object: Box::new(object.clone()), error };
    let opened = job.deadline.bound(Stage::Fetch, store.open(object)).await?.map_err(failed)?;
    match opened.size {
        Some(actual) if actual > limit => Err(failed(StoreError::TooLarge { actual, limit })),
        size => Ok((opened, size.unwrap_or(limit))),
    }
}

/// Waits for room; answers how long.
async fn weigh(job: &mut Job, slot: &mut Slot, bytes: u64) -> Result<Duration, AnalyzeError> {
    let started = Instant::now();
    job.queue(slot.waits(), slot.weigh(bytes)).await??;
    Ok(started.elapsed())
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
        if size.is_some_and(|announced| actual > announced) {
            return Err(StoreError::Unavailable { detail: "more bytes than announced".to_owned() });
        }
        if actual > limit {
            return Err(StoreError::TooLarge { actual, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Bytes::from(bytes))
}
