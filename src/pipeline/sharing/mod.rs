//! Never pay twice: results are kept for a while, equal requests in flight share one, and a request that is repeated under
//! its own id is the same request.

mod flight;
mod ids;
mod key;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use serde_json::Value;

use super::{asking::Answered, error::AnalyzeError};
use crate::domain::{Size, Warning};
pub(super) use flight::{Begin, Flights, Landed};
pub(super) use ids::{Claimed, RequestIds};
pub(super) use key::{Key, both, of_bytes, of_content, of_result};

/// What a flight comes to.
pub(super) type Outcome = Result<Arc<Shared>, AnalyzeError>;

/// A result as all who want it get it.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) picture: PictureFacts,
    pub(super) answered: Answered,
}

/// What was found out about a picture while it was prepared.
#[derive(Debug, Clone)]
pub(super) struct PictureFacts {
    pub(super) media_type: &'static str,
    pub(super) size: Size,
    pub(super) exif_orientation: u8,
    pub(super) warnings: Vec<Warning>,
}

/// Kept results and those in the making.
pub(super) struct Sharing {
    pub(super) ids: RequestIds,
    results: Cache<Key, Arc<Shared>>,
}

/// What one request id and its bookkeeping take, in bytes; ids may take an eighth of what results do.
const ID_BYTES: u64 = 8 * 256;
/// What a result takes beside its texts, and each entry of its lists.
const ENTRY_BYTES: usize = 256;

impl Sharing {
    /// Keeps results of at most `bytes` together, each for `ttl`.
    pub(super) fn new(bytes: u64, ttl: Duration) -> Self {
        let results = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, shared: &Arc<Shared>| u32::try_from(shared.weight()).unwrap_or(u32::MAX))
            .time_to_live(ttl)
            .build();
        Self { ids: RequestIds::new((bytes / ID_BYTES).max(1), ttl), results }
    }

    /// The result that is kept under `key`.
    pub(super) fn kept(&self, key: &Key) -> Option<Arc<Shared>> {
        self.results.get(key)
    }

    /// Keeps a result.
    pub(super) fn keep(&self, key: Key, shared: Arc<Shared>) {
        self.results.insert(key, shared);
    }
}

impl Shared {
    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        let findings = &self.answered.findings;
        let labels = findings.labels.iter().flat_map(|labels| &labels.labels);
        let labels: usize = labels.map(|label| label.name.len() * 2 + (1 + label.instances.len()) * ENTRY_BYTES).sum();
        let lines: usize = findings.text.iter().map(|text| text.lines.len() * ENTRY_BYTES).sum();
        let sensitive: usize = findings.sensitivity.iter().map(|found| found.findings.len() * ENTRY_BYTES).sum();
        let values: usize =
            findings.extraction.iter().flatten().map(|(name, value)| name.len() + json_weight(value)).sum();
        let body = self.answered.body.as_ref().map_or(0, |body| body.len());
        // What was read of the answer is at most a few times as long as the answer.
        4 * ENTRY_BYTES + 3 * self.answered.raw.len() + body + labels + lines + sensitive + values
    }
}

/// About how many bytes a JSON value takes. A caller's schema may ask for many small objects, each of which is a tree node of
/// room for eleven entries.
fn json_weight(value: &Value) -> usize {
    const VALUE_BYTES: usize = 64;
    const NODE_BYTES: usize = 720;
    VALUE_BYTES
        + match value {
            Value::Object(fields) => {
                let inner: usize = fields.iter().map(|(name, value)| name.capacity() + json_weight(value)).sum();
                fields.len().div_ceil(6) * NODE_BYTES + inner
            }
            Value::Array(items) => items.iter().map(json_weight).sum(),
            Value::String(text) => text.capacity(),
            _ => 0,
        }
}
