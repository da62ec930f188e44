//! The walk over the objects under a prefix, page by page.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::pipeline::{
    Deadline, ImageStore, ListQuery, Page, PageStart, StoreError,
    error::{AnalyzeError, Stage},
};

/// Which objects under a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one; empty for all.
    pub start_after: String,
    /// Most objects; `None` for all.
    pub max_objects: Option<u64>,
    /// Only keys that end with one of these, compared without case.
    pub suffixes: Vec<String>,
}

/// Most pages in a row without a key: deleted objects of a versioned bucket make some.
const MAX_EMPTY_PAGES: u32 = 10_000;

/// A walk over a listing. Holds one page.
pub(super) struct Walk<'a> {
    store: &'a dyn ImageStore,
    listing: &'a Listing,
    page_timeout: Duration,
    /// Those of the listing, in lower case.
    suffixes: Vec<String>,
    keys: VecDeque<String>,
    /// Where the next page begins; `None` after the last.
    next: Option<PageStart>,
    /// The last key that was listed: a listing out of order has no watermark, and one that repeats itself no end.
    last: String,
    empty_pages: u32,
    listed: u64,
    taken: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(store: &'a dyn ImageStore, listing: &'a Listing, page_timeout: Duration) -> Self {
        let next = Some(PageStart::After(listing.start_after.clone()));
        let (keys, last) = (VecDeque::new(), listing.start_after.clone());
        let suffixes = listing.suffixes.iter().map(|suffix| suffix.to_lowercase()).collect();
        Self { store, listing, page_timeout, suffixes, keys, next, last, empty_pages: 0, listed: 0, taken: 0 }
    }

    /// The next key to analyze, `None` after the last.
    ///
    /// # Errors
    /// When a page cannot be had, and when a listing from the beginning holds nothing to analyze.
    pub(super) async fn next(&mut self) -> Result<Option<String>, AnalyzeError> {
        if self.listing.max_objects.is_some_and(|most| self.taken >= most) {
            return Ok(None);
        }
        loop {
            while let Some(key) = self.keys.pop_front() {
                self.check_order(&key)?;
                if self.takes(&key) {
                    self.taken += 1;
                    return Ok(Some(key));
                }
            }
            let Some(from) = self.next.take() else { return self.end() };
            self.turn(from).await?;
        }
    }

    fn takes(&self, key: &str) -> bool {
        let key = key.to_lowercase();
        self.suffixes.iter().any(|suffix| key.ends_with(suffix.as_str()))
    }

    async fn turn(&mut self, from: PageStart) -> Result<(), AnalyzeError> {
        let Listing { bucket, prefix, .. } = self.listing;
        let query = ListQuery { bucket: bucket.clone(), prefix: prefix.clone(), from };
        let deadline = Deadline::at(Instant::now() + self.page_timeout);
        let page = deadline.bound(Stage::List, self.store.list(&query)).await?;
        let failed = |error| AnalyzeError::Listing { bucket: bucket.clone(), prefix: prefix.clone(), error };
        let Page { keys, next } = page.map_err(failed)?;
        self.empty_pages = if keys.is_empty() { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > MAX_EMPTY_PAGES {
            return Err(failed(StoreError::Unavailable { detail: "one page after the other is empty".to_owned() }));
        }
        self.keys = keys.into();
        self.next = next.map(PageStart::Token);
        Ok(())
    }

    /// Every key must follow the one before, in the order of their bytes.
    fn check_order(&mut self, key: &str) -> Result<(), AnalyzeError> {
        let Listing { bucket, prefix, .. } = self.listing;
        if key <= self.last.as_str() || !key.starts_with(prefix.as_str()) {
            return Err(AnalyzeError::ListingUnordered { bucket: bucket.clone(), prefix: prefix.clone() });
        }
        key.clone_into(&mut self.last);
        self.listed += 1;
        Ok(())
    }

    /// A listing that goes on behind a key may well be at its end; one from the beginning that holds nothing is a mistake
    /// that the caller should hear of.
    fn end(&self) -> Result<Option<String>, AnalyzeError> {
        if self.taken > 0 || !self.listing.start_after.is_empty() {
            return Ok(None);
        }
        let Listing { bucket, prefix, .. } = self.listing.clone();
        Err(AnalyzeError::ListingEmpty { bucket, prefix, listed: self.listed })
    }
}
