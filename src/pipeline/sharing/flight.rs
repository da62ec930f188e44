//! Single flight: equal requests share one piece of work while it goes on.
//!
//! The first of them prepares it; the work itself runs in a task of its own, so that a caller who leaves does not end it for
//! the others. When the last one has left it is ended, and with it what it does upstream.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    task::AbortHandle,
};

use super::{Key, Outcome};
use crate::pipeline::{
    asking::{Claim, Ledger, Patience},
    deadline::Deadline,
    error::{AnalyzeError, Stage},
};

/// The flights of the process, by what they are about.
#[derive(Default)]
pub(in crate::pipeline) struct Flights(Mutex<HashMap<Key, Weak<Seat>>>);

/// Where those who want the same meet. Whoever holds the lock begins the work, or finds it begun.
#[derive(Default)]
struct Seat(AsyncMutex<Option<Arc<Flight>>>);

/// Work that was begun.
struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    task: AbortHandle,
    patience: Arc<Patience>,
    ledger: Arc<Ledger>,
    aboard: AtomicUsize,
}

/// What came of a flight for one of those aboard.
pub(in crate::pipeline) struct Landed {
    pub(in crate::pipeline) outcome: Outcome,
    /// What is this one's to pay.
    pub(in crate::pipeline) claim: Claim,
}

/// A place in a flight. Dropping the last one ends the flight.
struct Ticket {
    flight: Arc<Flight>,
    has_left: bool,
}

impl Flights {
    /// The outcome of the work about `key`, which `prepare` begins unless it is under way. `None` for a key is work that is
    /// not shared. `prepare` gives the work as a function of how long to go on and where to write what is used up.
    ///
    /// # Errors
    /// What `prepare` failed with, or that the deadline passed.
    pub(in crate::pipeline) async fn join<P, W, F>(
        &self,
        key: Option<Key>,
        deadline: Deadline,
        prepare: P,
    ) -> Result<Landed, (AnalyzeError, Claim)>
    where
        P: Future<Output = Result<(W, Deadline), AnalyzeError>>,
        W: FnOnce(Arc<Patience>, Arc<Ledger>) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let seat = key.map_or_else(Arc::default, |key| self.seat(key));
        let nothing = |error| (error, Claim::default());
        let mut begun = deadline.bound(Stage::Prepare, seat.0.lock()).await.map_err(nothing)?;
        let (ticket, deadline) = match begun.as_ref().and_then(|flight| flight.board(deadline)) {
            Some(ticket) => {
                // What it holds, the picture's bytes, is not needed.
                drop(prepare);
                (ticket, deadline)
            }
            None => {
                // Dropped in here, the lock passes to the next, who begins anew: nothing was paid yet.
                let (work, deadline) = prepare.await.map_err(nothing)?;
                let ticket = Flight::begin(work, deadline);
                *begun = Some(Arc::clone(&ticket.flight));
                (ticket, deadline)
            }
        };
        drop(begun);
        let landed = ticket.land(deadline).await;
        if let Some(key) = key {
            self.forget(key, &seat);
        }
        landed
    }

    fn seat(&self, key: Key) -> Arc<Seat> {
        let mut seats = self.lock();
        if let Some(seat) = seats.get(&key).and_then(Weak::upgrade) {
            return seat;
        }
        let seat = Arc::new(Seat::default());
        seats.insert(key, Arc::downgrade(&seat));
        // Those of callers who left in the middle.
        if seats.len().is_power_of_two() {
            seats.retain(|_, seat| seat.strong_count() > 0);
        }
        seat
    }

    /// Removes a seat that nobody else has.
    fn forget(&self, key: Key, seat: &Arc<Seat>) {
        let mut seats = self.lock();
        if Arc::strong_count(seat) == 1 && seats.get(&key).is_some_and(|known| known.as_ptr() == Arc::as_ptr(seat)) {
            seats.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Seat>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn begin<W, F>(work: W, deadline: Deadline) -> Ticket
    where
        W: FnOnce(Arc<Patience>, Arc<Ledger>) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (patience, ledger) = (Arc::new(Patience::until(deadline)), Arc::new(Ledger::default()));
        let (sender, outcome) = watch::channel(None);
        let work = work(Arc::clone(&patience), Arc::clone(&ledger));
        let task = tokio::spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some(outcome));
        });
        let flight = Self { outcome, task: task.abort_handle(), patience, ledger, aboard: AtomicUsize::new(1) };
        Ticket { flight: Arc::new(flight), has_left: false }
    }

    /// One more comes aboard, unless the flight has ended without a result or been left by all.
    fn board(self: &Arc<Self>, deadline: Deadline) -> Option<Ticket> {
        let is_lost = self.outcome.has_changed().is_err() && self.outcome.borrow().is_none();
        if is_lost || matches!(&*self.outcome.borrow(), Some(Err(_))) {
            return None;
        }
        let one_more = |aboard: usize| (aboard > 0).then_some(aboard + 1);
        self.aboard.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        self.patience.extend(deadline);
        Some(Ticket { flight: Arc::clone(self), has_left: false })
    }
}

impl Ticket {
    async fn land(mut self, deadline: Deadline) -> Result<Landed, (AnalyzeError, Claim)> {
        let mut outcome = self.flight.outcome.clone();
        let landed = deadline.bound(Stage::Model, outcome.wait_for(Option::is_some)).await;
        match landed.map(|outcome| outcome.ok().and_then(|outcome| outcome.clone())) {
            Ok(Some(outcome)) => Ok(Landed { outcome, claim: self.flight.ledger.claim() }),
            // The task panicked.
            Ok(None) => Err((lost(), self.flight.ledger.claim())),
            Err(error) if self.leaves_last() => {
                // It ends by itself, and so learns that its model kept silent.
                self.flight.patience.end();
                Err((error, self.flight.ledger.claim()))
            }
            Err(error) => Err((error, Claim::default())),
        }
    }

    /// Leaves; nobody comes aboard after the last.
    fn leaves_last(&mut self) -> bool {
        self.has_left = true;
        self.flight.aboard.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.has_left && self.leaves_last() && self.flight.outcome.borrow().is_none() {
            self.flight.task.abort();
        }
    }
}

fn lost() -> AnalyzeError {
    AnalyzeError::Internal { detail: "the work on the request was lost".to_owned() }
}
