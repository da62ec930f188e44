//! The ids that callers gave their requests: one that is used again must mean the same request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::{policy::EvictionPolicy, sync::Cache};

use super::Key;
use crate::pipeline::error::AnalyzeError;

/// The ids in use and those whose results are kept.
#[derive(Clone)]
pub(in crate::pipeline) struct RequestIds {
    in_flight: Arc<Mutex<HashMap<String, (Key, usize)>>>,
    kept: Cache<String, Key>,
}

/// The use of an id, until it is dropped.
pub(in crate::pipeline) struct Claimed {
    ids: RequestIds,
    id: String,
    content: Key,
    is_kept: bool,
}

impl RequestIds {
    /// Ids of results that are kept for `ttl`, at most `capacity` of them.
    pub(in crate::pipeline) fn new(capacity: u64, ttl: Duration) -> Self {
        let kept = Cache::builder()
            .max_capacity(capacity)
            .time_to_live(ttl)
            // A new id counts more than one that was often used.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { in_flight: Arc::default(), kept }
    }

    /// Uses `id` for a request of this content.
    ///
    /// # Errors
    /// [`AnalyzeError::RequestIdReused`] when the id is or was used for another.
    pub(in crate::pipeline) fn claim(&self, id: &str, content: Key) -> Result<Claimed, AnalyzeError> {
        let mut in_flight = self.lock();
        let kept = self.kept.get(id);
        let known = in_flight.get(id).map(|(content, _)| *content).or(kept);
        if known.is_some_and(|known| known != content) {
            return Err(AnalyzeError::RequestIdReused);
        }
        in_flight.entry(id.to_owned()).or_insert((content, 0)).1 += 1;
        Ok(Claimed { ids: self.clone(), id: id.to_owned(), content, is_kept: kept.is_some() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Key, usize)>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// Whether the result of the same request is kept: this one repeats it.
    pub(in crate::pipeline) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The result is kept, and the id with it.
    pub(in crate::pipeline) fn keep(&self) {
        self.ids.kept.insert(self.id.clone(), self.content);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut in_flight = self.ids.lock();
        let left = in_flight.get_mut(&self.id).map_or(0, |(_, users)| {
            *users = users.saturating_sub(1);
            *users
        });
        if left == 0 {
            in_flight.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_means_one_request_while_it_is_used_or_its_result_is_kept() {
        let ids = RequestIds::new(100, Duration::from_secs(60));
        let first = ids.claim("a", [1; 32]).unwrap();
        let repeated = ids.claim("a", [1; 32]).unwrap();
        assert_eq!(ids.claim("a", [2; 32]).err(), Some(AnalyzeError::RequestIdReused));
        drop(first);
        assert!(ids.claim("a", [2; 32]).is_err(), "still used by the second");
        drop(repeated);
        let other = ids.claim("a", [2; 32]).expect("a request that failed leaves its id free");
        other.keep();
        drop(other);
        assert!(ids.claim("a", [1; 32]).is_err() && ids.claim("a", [2; 32]).is_ok());
    }
}
