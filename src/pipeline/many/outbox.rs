//! Answers on their way out: their order, and how far a listing has been answered.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{Order, driver::Finished};

/// Answers that wait to be handed over. The stream's seats bound how many there are.
pub(super) struct Outbox<R> {
    order: Order,
    /// In the order in which they were done.
    done: VecDeque<Finished<R>>,
    /// By index, when the order is that of the requests.
    held_back: BTreeMap<u64, Finished<R>>,
    next_index: u64,
}

impl<R> Outbox<R> {
    pub(super) fn new(order: Order) -> Self {
        Self { order, done: VecDeque::new(), held_back: BTreeMap::new(), next_index: 0 }
    }

    pub(super) fn put(&mut self, finished: Finished<R>) {
        match self.order {
            Order::AsCompleted => self.done.push_back(finished),
            Order::AsRequested => {
                self.held_back.insert(finished.item.item_index, finished);
            }
        }
    }

    pub(super) fn has_next(&self) -> bool {
        !self.done.is_empty() || self.held_back.contains_key(&self.next_index)
    }

    pub(super) fn next(&mut self) -> Option<Finished<R>> {
        if let Some(finished) = self.done.pop_front() {
            return Some(finished);
        }
        let finished = self.held_back.remove(&self.next_index)?;
        self.next_index += 1;
        Some(finished)
    }
}

/// How far a listing has been answered: a key such that it and every listed key before it has been.
#[derive(Debug)]
pub(super) struct Watermark(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    reached: String,
    /// Items that were begun and lie behind `reached`, in the order of the listing. Items that are never begun are not
    /// among them, so the watermark stays before these.
    open: VecDeque<Mark>,
}

#[derive(Debug)]
struct Mark {
    item_index: u64,
    key: String,
    is_answered: bool,
    _lead: Option<OwnedSemaphorePermit>,
}

impl Watermark {
    /// A listing that begins after this key.
    pub(super) fn new(start_after: String) -> Self {
        Self(Mutex::new(Marks { reached: start_after, open: VecDeque::new() }))
    }

    /// The item at this index, with this key, is the next of the listing. `lead` is given back when the watermark has
    /// passed it.
    pub(super) fn begun(&self, item_index: u64, key: &str, lead: Option<OwnedSemaphorePermit>) {
        let mark = Mark { item_index, key: key.to_owned(), is_answered: false, _lead: lead };
        self.marks(|marks| marks.open.push_back(mark));
    }

    /// The item at this index is being answered. Answers the watermark from then on.
    pub(super) fn answered(&self, item_index: u64) -> String {
        self.marks(|marks| {
            if let Ok(at) = marks.open.binary_search_by_key(&item_index, |mark| mark.item_index)
                && let Some(mark) = marks.open.get_mut(at)
            {
                mark.is_answered = true;
            }
            while marks.open.front().is_some_and(|mark| mark.is_answered)
                && let Some(mark) = marks.open.pop_front()
            {
                marks.reached = mark.key;
            }
            marks.reached.clone()
        })
    }

    fn marks<T>(&self, work: impl FnOnce(&mut Marks) -> T) -> T {
        // The marks are whole between any two statements.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
