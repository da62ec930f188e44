//! Holds calls against the policy in force.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Denied, Limits, Policy, Wanted,
    accounts::{Account, Accounts},
    error::{Limit, LimitReached, Refused},
    limits::Wall,
};
use crate::domain::{Caller, ModelProfile, Usage};

/// When to come back after too many requests at once: when one of them ends, nobody knows.
const RETRY_IN_FLIGHT: Duration = Duration::from_millis(500);

/// The policy in force, and what callers have used up under it. Without a policy, everyone may do everything. One for the
/// life of the process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: ArcSwapOption<Policy>,
    accounts: Accounts,
}

/// The right of one call or item to be in work, held until its work is done.
#[derive(Debug)]
pub struct Pass {
    /// `None` when nothing of the caller is limited.
    account: Option<Arc<Account>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Guard {
    /// A guard with that policy.
    pub fn new(policy: Option<Policy>) -> Self {
        Self::by(policy, Wall::of_the_system())
    }

    /// By a time of day of one's own.
    pub(super) fn by(policy: Option<Policy>, wall: Wall) -> Self {
        let policy = ArcSwapOption::from_pointee(policy);
        Self(Arc::new(Inner { policy, accounts: Accounts::new(wall) }))
    }

    /// From now on, `policy` is in force. What callers have used up of limits that stay as they were stays used up.
    pub fn replace(&self, policy: impl Into<Arc<Policy>>) {
        self.0.policy.store(Some(policy.into()));
    }

    /// Whether the caller may do anything at all.
    ///
    /// # Errors
    /// [`Denied::NoRule`].
    pub fn knows(&self, caller: &Caller) -> Result<(), Denied> {
        self.limits_of(caller).map(|_| ())
    }

    /// Whether the caller may do that, its limits aside.
    ///
    /// # Errors
    /// [`Denied`], by what is not allowed.
    pub fn decide(&self, caller: &Caller, wanted: &Wanted<'_>) -> Result<(), Denied> {
        self.0.policy.load().as_ref().map_or(Ok(()), |policy| policy.decide(caller, wanted))
    }

    /// Whether the caller may ask that model.
    pub fn may_use(&self, caller: &Caller, model: &ModelProfile) -> bool {
        self.0.policy.load().as_ref().is_none_or(|policy| policy.may_use(caller, model))
    }

    /// Lets a single call in.
    ///
    /// # Errors
    /// [`Refused`], also when a limit is reached.
    pub fn try_enter(&self, caller: &Caller, wanted: &Wanted<'_>) -> Result<Pass, Refused> {
        self.decide(caller, wanted)?;
        let (limits, Some(account)) = self.account(caller)? else { return Ok(Pass::FREE) };
        account.check_tokens(limits)?;
        let place = account.try_place(limits)?;
        // Last, so that a call which is refused uses up nothing of its rate.
        if let Some(throttle) = &account.throttle {
            throttle.pass()?;
        }
        Ok(Pass { account: Some(account), _place: place })
    }

    /// Lets an item of a stream in, once its turn by rate and by what its caller has in work has come: a stream is slowed
    /// down rather than refused.
    ///
    /// # Errors
    /// [`Refused`]; of the limits, only that of a day is no matter of waiting.
    pub async fn enter(&self, caller: &Caller, wanted: &Wanted<'_>) -> Result<Pass, Refused> {
        self.decide(caller, wanted)?;
        let (limits, Some(account)) = self.account(caller)? else { return Ok(Pass::FREE) };
        // Nothing is gained by waiting for a turn that is of no use.
        account.check_tokens(limits)?;
        if let Some(throttle) = &account.throttle {
            throttle.wait().await;
        }
        // Whoever waits for its turn has no place that another request of its caller could take.
        let place = account.place(limits).await?;
        // Much may have happened since.
        self.decide(caller, wanted)?;
        account.check_tokens(limits)?;
        Ok(Pass { account: Some(account), _place: place })
    }

    fn limits_of(&self, caller: &Caller) -> Result<Limits, Denied> {
        self.0.policy.load().as_ref().map_or(Ok(Limits::default()), |policy| policy.limits_of(caller))
    }

    fn account(&self, caller: &Caller) -> Result<(Limits, Option<Arc<Account>>), Denied> {
        let limits = self.limits_of(caller)?;
        Ok((limits, limits.are_set().then(|| self.0.accounts.of(caller, limits))))
    }
}

impl Account {
    fn check_tokens(&self, limits: Limits) -> Result<(), LimitReached> {
        limits.tokens_per_day.map_or(Ok(()), |per_day| self.spent.check(per_day))
    }

    fn try_place(&self, limits: Limits) -> Result<Option<OwnedSemaphorePermit>, LimitReached> {
        let place = self.places.clone().map(|places| places.try_acquire_owned()).transpose();
        place.map_err(|_| too_many(limits))
    }

    async fn place(&self, limits: Limits) -> Result<Option<OwnedSemaphorePermit>, LimitReached> {
        let Some(places) = self.places.clone() else { return Ok(None) };
        // It is never closed.
        places.acquire_owned().await.map(Some).map_err(|_| too_many(limits))
    }
}

fn too_many(limits: Limits) -> LimitReached {
    let limit = Limit::InFlight(limits.max_in_flight.unwrap_or_default());
    LimitReached { limit, retry_after: RETRY_IN_FLIGHT }
}

impl Pass {
    const FREE: Self = Self { account: None, _place: None };

    /// Charges the caller with what its call used up, whether it succeeded or failed.
    pub fn charge(&self, usage: &Usage) {
        if let Some(account) = &self.account {
            account.spent.charge(usage);
        }
    }
}
