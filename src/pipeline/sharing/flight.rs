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

use super::{Key, Outcome, Shared};
use crate::{
    pipeline::{
        admission::Worker,
        asking::{Claim, Ledger, Patience},
        deadline::Deadline,
        error::{AnalyzeError, Stage},
    },
    spans,
};

/// The flights of the process, by what they are about.
#[derive(Default)]
pub(in crate::pipeline) struct Flights(Mutex<HashMap<Key, Weak<Seat>>>);

/// Where those who want the same meet.
#[derive(Default)]
struct Seat {
    /// Whoever holds the lock begins the work, or finds it begun.
    begun: AsyncMutex<Begun>,
    /// How often it has failed. Who came before a failure shares it; who comes after it begins anew.
    failures: Arc<AtomicUsize>,
}

/// What was last begun.
#[derive(Default)]
struct Begun {
    flight: Option<Arc<Flight>>,
    /// What the preparing of the last one failed with, when that is the picture's fault.
    failed: Option<AnalyzeError>,
}

/// What preparing comes to.
pub(in crate::pipeline) enum Begin<W> {
    /// Work, and until when its caller waits for it.
    Work(W, Deadline),
    /// A result that was kept in the meantime.
    Kept(Arc<Shared>),
}

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
    /// Nobody waits here with a `worker` in hand, for whoever is before it may be waiting for one: `prepare` gets the worker if
    /// its turn comes at once.
    ///
    /// # Errors
    /// What `prepare` failed with, or that the deadline passed.
    pub(in crate::pipeline) async fn join<P, W, F>(
        &self,
        key: Option<Key>,
        deadline: Deadline,
        worker: Option<Worker>,
        prepare: impl FnOnce(Option<Worker>) -> P,
    ) -> Result<Landed, (AnalyzeError, Claim)>
    where
        P: Future<Output = Result<Begin<W>, AnalyzeError>>,
        W: FnOnce(Arc<Patience>, Arc<Ledger>) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let seat = key.map_or_else(Arc::default, |key| self.seat(key));
        let failures = seat.failures.load(Ordering::Acquire);
        let nothing = |error| (error, Claim::default());
        let (mut begun, worker) = match seat.begun.try_lock() {
            Ok(begun) => (begun, worker),
            Err(_) => {
                drop(worker);
                (deadline.bound(Stage::Prepare, seat.begun.lock()).await.map_err(nothing)?, None)
            }
        };
        let (ticket, deadline) = if let Some(ticket) = begun.flight.as_ref().and_then(|flight| flight.board(deadline)) {
            // What it holds, the picture's bytes, is not needed.
            drop(prepare);
            (ticket, deadline)
        } else if let Some(error) = begun.failure().filter(|_| seat.failures.load(Ordering::Acquire) > failures) {
            return Err(nothing(error));
        } else {
            // Dropped in here, the lock passes to the next, who begins anew: nothing was paid yet.
            *begun = Begun::default();
            let (work, deadline) = match prepare(worker).await {
                Ok(Begin::Work(work, deadline)) => (work, deadline),
                Ok(Begin::Kept(shared)) => return Ok(Landed { outcome: Ok(shared), claim: Claim::default() }),
                Err(error) => {
                    begun.failed = matches!(error, AnalyzeError::Image(_)).then(|| error.clone());
                    seat.failures.fetch_add(1, Ordering::AcqRel);
                    return Err(nothing(error));
                }
            };
            let ticket = Flight::begin(work, deadline, Arc::clone(&seat.failures));
            begun.flight = Some(Arc::clone(&ticket.flight));
            (ticket, deadline)
        };
        drop(begun);
        let landed = ticket.land(deadline).await;
        if let Some(key) = key {
            self.forget(key, &seat);
        }
        landed
    }

    /// Whether work about `key` is under way or being prepared.
    pub(in crate::pipeline) fn is_begun(&self, key: &Key) -> bool {
        self.lock().get(key).is_some_and(|seat| seat.strong_count() > 0)
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

impl Begun {
    /// What came of it for those who waited for it. What only says that the time of others was up is theirs alone.
    fn failure(&self) -> Option<AnalyzeError> {
        let of_flight = self.flight.as_ref().and_then(|flight| match &*flight.outcome.borrow() {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        });
        let is_theirs = |error: &AnalyzeError| {
            matches!(error, AnalyzeError::DeadlineExceeded { .. } | AnalyzeError::DeadlineTooShort { .. })
        };
        self.failed.clone().or(of_flight).filter(|error| !is_theirs(error))
    }
}

impl Flight {
    fn begin<W, F>(work: W, deadline: Deadline, failures: Arc<AtomicUsize>) -> Ticket
    where
        W: FnOnce(Arc<Patience>, Arc<Ledger>) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (patience, ledger) = (Arc::new(Patience::until(deadline)), Arc::new(Ledger::default()));
        let (sender, outcome) = watch::channel(None);
        let work = work(Arc::clone(&patience), Arc::clone(&ledger));
        let task = tokio::spawn(spans::carried(async move {
            let outcome = work.await;
            if outcome.is_err() {
                failures.fetch_add(1, Ordering::AcqRel);
            }
            sender.send_replace(Some(outcome));
        }));
        let flight = Self { outcome, task: task.abort_handle(), patience, ledger, aboard: AtomicUsize::new(1) };
        Ticket { flight: Arc::new(flight), has_left: false }
    }

    /// One more comes aboard, unless the flight has ended without a result or been left by all.
    fn board(self: &Arc<Self>, deadline: Deadline) -> Option<Ticket> {
        let is_lost = self.outcome.has_changed().is_err() && self.outcome.borrow().is_none();
        match &*self.outcome.borrow() {
            // A result is there for all who come, also after those who waited for it.
            Some(Ok(_)) => {
                self.aboard.fetch_add(1, Ordering::AcqRel);
                return Some(Ticket { flight: Arc::clone(self), has_left: false });
            }
            Some(Err(_)) => return None,
            None if is_lost => return None,
            None => {}
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
