//! Places whose number changes while they are taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Places to be taken, in turn by those who wait. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Places {
    permits: Arc<Semaphore>,
    count: Arc<Mutex<Count>>,
}

#[derive(Debug)]
struct Count {
    /// How many there are, taken ones included.
    there: usize,
    /// How many there are to be. Fewer than are taken is possible: those are gone when they are given back.
    wanted: usize,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    count: Arc<Mutex<Count>>,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(count)),
            count: Arc::new(Mutex::new(Count { there: count, wanted: count })),
        }
    }

    /// A place, if one is free.
    pub(super) fn try_take(&self) -> Option<Place> {
        Arc::clone(&self.permits).try_acquire_owned().ok().map(|permit| self.place(permit))
    }

    /// A place, in turn.
    pub(super) async fn take(&self) -> Result<Place, AcquireError> {
        Arc::clone(&self.permits).acquire_owned().await.map(|permit| self.place(permit))
    }

    /// Whether none is free.
    pub(super) fn are_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        lock(&self.count).there.saturating_sub(self.permits.available_permits())
    }

    /// How many there are to be.
    pub(super) fn wanted(&self) -> usize {
        lock(&self.count).wanted
    }

    /// From now on there are so many. Whoever has a place keeps it.
    pub(super) fn resize(&self, wanted: usize) {
        let mut count = lock(&self.count);
        count.wanted = wanted.min(Semaphore::MAX_PERMITS);
        if count.wanted > count.there {
            self.permits.add_permits(count.wanted - count.there);
            count.there = count.wanted;
        } else {
            count.there -= self.permits.forget_permits(count.there - count.wanted);
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { permit: Some(permit), count: Arc::clone(&self.count) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = lock(&self.count);
        if count.there > count.wanted
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            count.there -= 1;
        }
        // Else whoever waits next has it.
    }
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn fewer_places_are_fewer_once_they_are_given_back() {
        let places = Places::new(4);
        let mut held: Vec<_> = (0..4).map(|_| places.try_take().unwrap()).collect();
        places.resize(2);
        assert_eq!((places.taken(), places.wanted()), (4, 2));
        let mut waiting = Box::pin(places.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        held.truncate(2);
        assert!(waiting.as_mut().now_or_never().is_none(), "two are as many as there are");
        held.pop();
        let next = waiting.as_mut().now_or_never().expect("the turn of the one who waits").unwrap();
        assert!(places.are_full() && places.try_take().is_none());
        drop((next, held));
        assert_eq!(places.taken(), 0);
        let _both = [places.try_take().unwrap(), places.try_take().unwrap()];
        assert!(places.try_take().is_none());
    }

    #[tokio::test]
    async fn more_places_are_there_at_once() {
        let places = Places::new(1);
        let held = places.try_take().unwrap();
        let mut waiting = Box::pin(places.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        places.resize(3);
        let _second = waiting.as_mut().now_or_never().expect("there are more").unwrap();
        // Back to fewer than are taken, and to more before any of them is given back.
        places.resize(1);
        places.resize(2);
        drop(held);
        assert_eq!(places.taken(), 1);
        assert!(places.try_take().is_some());
        places.resize(0);
        assert!(places.try_take().is_none());
    }
}
