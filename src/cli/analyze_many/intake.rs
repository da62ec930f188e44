//! What is asked for next: sources that are new, one after the other, and what a lost stream left unanswered.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
};

use tokio::sync::{Semaphore, mpsc};
use tonic_types::pb;

use super::{
    failure,
    ledger::{Fingerprint, Ledger},
    progress::Progress,
    sources::{self, Entry, Listing},
    totals::Totals,
};
use crate::{
    cli::{
        plain,
        source::{Source, SourceError},
    },
    proto::{AnalyzeManyItem, AnalyzeManyRequest, analyze_many_request::Payload},
};

/// Most characters of an item's id.
const MAX_ITEM_ID: usize = 1024;
/// How many sources that were named twice are told one by one.
const MAX_TOLD: u64 = 5;

/// One source on its way to its line.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name in the results.
    pub name: String,
    /// The listing that it came from in an earlier run.
    pub listing: Option<String>,
    /// Its place among all sources, from 0.
    pub position: i64,
    /// The picture, or why there is none.
    pub picture: Result<Source, pb::Status>,
}

impl Job {
    /// The id under which the server knows it: its name, or the beginning of one that is too long and its place.
    fn item_id(&self) -> String {
        if self.name.chars().count() <= MAX_ITEM_ID {
            return self.name.clone();
        }
        let beginning: String = self.name.chars().take(MAX_ITEM_ID - 24).collect();
        format!("{beginning}... #{}", self.position)
    }

    /// The message to send, with the file's bytes.
    async fn request(&self, limit: u64) -> Result<AnalyzeManyRequest, pb::Status> {
        let source = self.picture.as_ref().map_err(Clone::clone)?;
        sources::check_regular(source).await.map_err(|error| failure::of(&error))?;
        let image = source.load(limit).await.map_err(|error| failure::of(&error))?;
        let item = AnalyzeManyItem { item_id: self.item_id(), image: Some(image), ..AnalyzeManyItem::default() };
        let request = AnalyzeManyRequest { payload: Some(Payload::Item(item)) };
        if prost::Message::encoded_len(&request) as u64 > limit {
            let (path, limit) = (plain::line(&self.name), plain::bytes(limit));
            return Err(failure::of(&SourceError::TooLarge { path, limit }));
        }
        Ok(request)
    }
}

/// Jobs that a stream has taken and not answered.
#[derive(Debug, Default)]
pub struct Sent {
    jobs: HashMap<String, Job>,
    positions: BTreeSet<i64>,
    /// Failures of this command's own that wait for their place in the order.
    held: BTreeMap<i64, (Job, pb::Status)>,
}

impl Sent {
    fn insert(&mut self, job: Job) {
        self.positions.insert(job.position);
        self.jobs.insert(job.item_id(), job);
    }

    /// The job that an answer is for.
    pub fn get(&self, item_id: &str) -> Option<Job> {
        self.jobs.get(item_id).cloned()
    }

    /// Takes a job out, whose line is written.
    pub fn settle(&mut self, job: &Job) {
        self.positions.remove(&job.position);
        self.jobs.remove(&job.item_id());
    }

    /// Keeps a failure until everything before it is answered.
    pub fn hold(&mut self, job: Job, error: pb::Status) {
        self.held.insert(job.position, (job, error));
    }

    /// The next failure that may be written: `in_order` only once everything before it is answered.
    pub fn release(&mut self, in_order: bool) -> Option<(Job, pb::Status)> {
        match in_order {
            true => self.held.remove(self.positions.first()?),
            false => self.held.pop_first().map(|(_, held)| held),
        }
    }

    /// How many are unanswered.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Everything that is still unanswered, in order.
    fn take(&mut self) -> Vec<Job> {
        let mut jobs: Vec<_> = std::mem::take(self).jobs.into_values().collect();
        jobs.sort_by_key(|job| job.position);
        jobs
    }
}

/// What the sending and the receiving half of a stream share. Neither holds a borrow while it waits.
pub struct Shared<'a> {
    /// What has been answered.
    pub ledger: &'a RefCell<Ledger>,
    /// What has been sent.
    pub sent: &'a RefCell<Sent>,
    /// Counts.
    pub totals: &'a RefCell<Totals>,
    /// Where notes go.
    pub progress: &'a Progress,
}

/// What comes next in the run.
pub enum Work {
    /// Pictures, up to the next listing or the end.
    Pictures,
    /// A listing.
    Listing(Listing),
}

/// The sources of a run, taken one by one.
pub struct Intake {
    entries: mpsc::Receiver<Entry>,
    again: VecDeque<Job>,
    listing: Option<Listing>,
    named: HashSet<Fingerprint>,
    /// Place of the next source.
    pub position: i64,
}

impl Intake {
    /// Over entries as they come.
    pub fn new(entries: mpsc::Receiver<Entry>) -> Self {
        Self { entries, again: VecDeque::new(), listing: None, named: HashSet::new(), position: 0 }
    }

    /// What is to be done next; `None` when everything has been asked for. May be called again without loss when it was
    /// dropped.
    pub async fn next_work(&mut self, shared: &Shared<'_>) -> Option<Work> {
        if self.again.is_empty() && self.listing.is_none() {
            let first = self.next(shared).await;
            self.again.extend(first);
        }
        if !self.again.is_empty() {
            return Some(Work::Pictures);
        }
        let listing = self.listing.take()?;
        let failed = shared.ledger.borrow_mut().take_failed(&listing);
        if failed.is_empty() {
            return Some(Work::Listing(listing));
        }
        for key in failed {
            let source = Source::Object { bucket: listing.bucket.clone(), key: key.clone() };
            let (name, position) = (listing.object(&key), self.take_place());
            self.again.push_back(Job { name, listing: Some(listing.name()), position, picture: Ok(source) });
        }
        self.listing = Some(listing);
        Some(Work::Pictures)
    }

    /// Takes back what a lost stream left unanswered.
    pub fn again(&mut self, sent: &RefCell<Sent>) {
        for job in sent.borrow_mut().take().into_iter().rev() {
            self.again.push_front(job);
        }
    }

    /// Sends until the next listing or the end, a file only once the stream takes it. Dropping this loses nothing: what is
    /// taken is in `sent` first. What cannot be sent goes to `failed`.
    pub async fn feed(
        &mut self,
        shared: &Shared<'_>,
        limit: u64,
        room: &Semaphore,
        requests: mpsc::Sender<AnalyzeManyRequest>,
        failed: mpsc::Sender<(Job, pb::Status)>,
    ) {
        loop {
            let (Ok(free), Ok(place)) = (requests.reserve().await, room.acquire().await) else { return };
            place.forget();
            let Some(job) = self.next(shared).await else { return };
            shared.sent.borrow_mut().insert(job.clone());
            match job.request(limit).await {
                Ok(request) => free.send(request),
                Err(error) => {
                    if failed.send((job, error)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The next job of this stream; `None` at a listing and at the end.
    async fn next(&mut self, shared: &Shared<'_>) -> Option<Job> {
        if let Some(job) = self.again.pop_front() {
            return Some(job);
        }
        while self.listing.is_none() {
            let (name, picture) = match self.entries.recv().await? {
                Entry::Picture(name, source) => (name, Ok(source)),
                Entry::Failed(name, error) => (name, Err(error)),
                Entry::Listing(listing) => {
                    self.take_listing(listing, shared);
                    continue;
                }
            };
            let position = self.take_place();
            if !self.is_first(&name, shared) {
                continue;
            }
            if !shared.ledger.borrow().has(&name) {
                return Some(Job { name, listing: None, position, picture });
            }
            skip(shared);
        }
        None
    }

    fn take_listing(&mut self, listing: Listing, shared: &Shared<'_>) {
        let name = listing.name();
        if !self.is_first(&name, shared) {
            return;
        }
        let (within, left) = {
            let ledger = shared.ledger.borrow();
            (ledger.is_within(&listing), ledger.is_left(&listing))
        };
        if within {
            repeated(&name, "lies within another listing and is gone through once", shared);
        } else if left {
            skip(shared);
        } else {
            self.listing = Some(listing);
        }
    }

    fn take_place(&mut self) -> i64 {
        let place = self.position;
        self.position += 1;
        place
    }

    /// Whether the name has not been named before.
    fn is_first(&mut self, name: &str, shared: &Shared<'_>) -> bool {
        let first = self.named.insert(shared.ledger.borrow().fingerprint(name));
        if !first {
            repeated(name, "is named more than once and sent once", shared);
        }
        first
    }
}

/// Counts a source that has been asked for in this run already.
fn repeated(name: &str, why: &str, shared: &Shared<'_>) {
    let mut totals = shared.totals.borrow_mut();
    totals.repeated += 1;
    shared.progress.update(&totals);
    if totals.repeated <= MAX_TOLD {
        shared.progress.note(&format!("note: {} {why}", plain::line(name)));
    }
}

/// Counts a source that has its line.
fn skip(shared: &Shared<'_>) {
    let mut totals = shared.totals.borrow_mut();
    totals.skipped += 1;
    shared.progress.update(&totals);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_id_is_the_name_or_short_enough_and_another_for_each() {
        let job = |name: &str, position| Job {
            name: name.into(),
            listing: None,
            position,
            picture: Err(pb::Status::default()),
        };
        assert_eq!(job("s3://p/사진.png", 3).item_id(), "s3://p/사진.png");
        assert_eq!(job(&"가".repeat(1024), 3).item_id(), "가".repeat(1024));
        let long = "가".repeat(1025);
        let (one, other) = (job(&long, 3).item_id(), job(&long, i64::MAX).item_id());
        assert!(one != other && one.chars().count() <= 1024 && other.chars().count() <= 1024);
    }

    #[test]
    fn a_failure_waits_for_its_place_where_order_matters() {
        let job = |position: i64| Job {
            name: position.to_string(),
            listing: None,
            position,
            picture: Err(pb::Status::default()),
        };
        let mut sent = Sent::default();
        (0..3).for_each(|position| sent.insert(job(position)));
        sent.hold(job(2), pb::Status::default());
        sent.hold(job(1), pb::Status::default());
        assert!(sent.release(true).is_none());
        sent.settle(&job(0));
        for position in [1, 2] {
            let (released, _) = sent.release(true).unwrap();
            assert_eq!(released.position, position);
            assert!(sent.release(true).is_none(), "not before its line is written");
            sent.settle(&released);
        }
        sent.insert(job(7));
        sent.insert(job(8));
        sent.hold(job(8), pb::Status::default());
        assert_eq!(sent.release(false).unwrap().0.position, 8);
        assert_eq!(sent.take().iter().map(|job| job.position).collect::<Vec<_>>(), [7, 8], "until they are settled");
    }
}
