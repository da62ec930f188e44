//! What each caller has used up: a table that is bounded, since a rule for many names meets any number of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Semaphore;

use super::limits::{Limits, Spent, Throttle, Wall};
use crate::domain::Caller;

/// Most callers that are kept while they have nothing in work.
const MAX_IDLE: usize = 10_000;

/// What one caller has used up of its limits.
#[derive(Debug)]
pub(super) struct Account {
    limits: Limits,
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) places: Option<Arc<Semaphore>>,
    pub(super) spent: Arc<Spent>,
    /// When it was last looked up, by the table's own count.
    last_used: AtomicU64,
}

/// The accounts of all callers.
#[derive(Debug)]
pub(super) struct Accounts {
    table: Mutex<HashMap<Caller, Arc<Account>>>,
    /// Counts the look-ups.
    now: AtomicU64,
    most: usize,
    wall: Wall,
}

impl Accounts {
    pub(super) fn new(wall: Wall) -> Self {
        Self { table: Mutex::default(), now: AtomicU64::new(0), most: MAX_IDLE, wall }
    }

    /// The caller's account under these limits. What it has used up of a limit stays, unless that limit is another one now.
    pub(super) fn of(&self, caller: &Caller, limits: Limits) -> Arc<Account> {
        let now = self.now.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.get(caller);
        if let Some(account) = known.filter(|account| account.limits == limits) {
            account.last_used.store(now, Ordering::Relaxed);
            return Arc::clone(account);
        }
        let account = Arc::new(self.opened(limits, known.map(Arc::as_ref), now));
        if table.len() >= self.most && !table.contains_key(caller) {
            evict(&mut table, self.most);
        }
        table.insert(caller.clone(), Arc::clone(&account));
        account
    }

    fn opened(&self, limits: Limits, known: Option<&Account>, now: u64) -> Account {
        let throttle = limits.rate.map(|rate| {
            let same = known.and_then(|known| known.throttle.clone()).filter(|throttle| throttle.rate() == rate);
            same.unwrap_or_else(|| Arc::new(Throttle::new(rate)))
        });
        let places = limits.max_in_flight.map(|most| {
            let same = known.filter(|known| known.limits.max_in_flight == Some(most));
            let same = same.and_then(|known| known.places.clone());
            same.unwrap_or_else(|| Arc::new(Semaphore::new(most as usize)))
        });
        let spent = known.map(|known| Arc::clone(&known.spent));
        let spent = spent.unwrap_or_else(|| Arc::new(Spent::new(self.wall.clone())));
        Account { limits, throttle, places, spent, last_used: AtomicU64::new(now) }
    }
}

/// Forgets a tenth of the table, so that it is seldom done: of those that have nothing in work the ones that used up nothing
/// today and were seen the longest ago. Who has something in work stays; how much can be is bounded elsewhere.
fn evict(table: &mut HashMap<Caller, Arc<Account>>, most: usize) {
    let idle = table.iter().filter(|(_, account)| Arc::strong_count(account) == 1);
    let mut idle: Vec<_> = idle
        .map(|(caller, account)| (account.spent.today() > 0, account.last_used.load(Ordering::Relaxed), caller.clone()))
        .collect();
    idle.sort_unstable();
    for (_, _, caller) in idle.iter().take((most / 10).max(1)) {
        table.remove(caller);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::Usage, policy::Rate};

    fn accounts(most: usize) -> Accounts {
        Accounts { most, ..Accounts::new(Wall::of_the_system()) }
    }

    fn named(name: usize) -> Caller {
        Caller::named(name.to_string())
    }

    fn limits() -> Limits {
        Limits { rate: Some(Rate::of(1.0)), max_in_flight: Some(2), tokens_per_day: Some(100) }
    }

    fn spend(account: &Account, tokens: u64) {
        account.spent.charge(&Usage { output_tokens: tokens, ..Usage::default() });
    }

    #[test]
    fn every_caller_has_its_own() {
        let accounts = accounts(10);
        spend(&accounts.of(&named(1), limits()), 30);
        accounts.of(&named(1), limits()).throttle.as_ref().unwrap().pass().unwrap();
        let (one, other) = (accounts.of(&named(1), limits()), accounts.of(&named(2), limits()));
        assert_eq!((one.spent.today(), other.spent.today()), (30, 0));
        one.throttle.as_ref().unwrap().pass().unwrap_err();
        other.throttle.as_ref().unwrap().pass().unwrap();
    }

    #[test]
    fn what_is_used_up_of_a_limit_stays_until_that_limit_changes() {
        let accounts = accounts(10);
        let first = accounts.of(&named(1), limits());
        spend(&first, 30);
        first.throttle.as_ref().unwrap().pass().unwrap();
        let _place = Arc::clone(first.places.as_ref().unwrap()).try_acquire_owned().unwrap();

        let more_tokens = accounts.of(&named(1), Limits { tokens_per_day: Some(200), ..limits() });
        assert_eq!(more_tokens.spent.today(), 30);
        more_tokens.throttle.as_ref().unwrap().pass().unwrap_err();
        assert_eq!(more_tokens.places.as_ref().unwrap().available_permits(), 1);

        let faster = accounts.of(&named(1), Limits { rate: Some(Rate::of(5.0)), ..limits() });
        faster.throttle.as_ref().unwrap().pass().unwrap();
        let more_places = accounts.of(&named(1), Limits { max_in_flight: Some(3), ..limits() });
        assert_eq!(more_places.places.as_ref().unwrap().available_permits(), 3);
        let unlimited = accounts.of(&named(1), Limits { tokens_per_day: Some(1), ..Limits::default() });
        assert!(unlimited.throttle.is_none() && unlimited.places.is_none());
        assert_eq!(unlimited.spent.today(), 30);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_those_who_used_nothing_first() {
        let accounts = accounts(100);
        let busy = accounts.of(&named(0), limits());
        for name in 1..=20 {
            spend(&accounts.of(&named(name), limits()), 1);
        }
        for name in 100..1000 {
            accounts.of(&named(name), limits());
            assert!(accounts.table.lock().unwrap().len() <= 100, "at {name}");
        }
        for name in 1..=20 {
            assert_eq!(accounts.of(&named(name), limits()).spent.today(), 1, "{name} has used tokens today");
        }
        assert!(Arc::ptr_eq(&busy, &accounts.of(&named(0), limits())), "it has something in work");
    }

    #[test]
    fn those_who_have_something_in_work_are_never_forgotten() {
        let accounts = accounts(10);
        let held: Vec<_> = (0..30).map(|name| accounts.of(&named(name), limits())).collect();
        for (name, account) in held.iter().enumerate() {
            assert!(Arc::ptr_eq(account, &accounts.of(&named(name), limits())), "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_table_never_grows_beyond_its_bound(names in prop::collection::vec(0_usize..60, 0..200), most in 1_usize..40) {
            let accounts = accounts(most);
            for name in names {
                accounts.of(&named(name), limits());
                prop_assert!(accounts.table.lock().unwrap().len() <= most);
            }
        }
    }
}
