//! Whether a caller may do what it asks: held against the policy before anything is read or paid for, a kept result included.

use std::sync::Arc;

use tonic::Request;

use super::status::{self, Failure};
use crate::{
    domain::{Caller, ModelProfile, Options, Usage},
    pipeline::{
        Analyzer, Source,
        many::{self, ListingTask, Task},
    },
    policy::{Guard, Pass, Picture, Wanted},
};

/// One caller before the policy.
#[derive(Clone)]
pub(super) struct Permission {
    pub(super) caller: Caller,
    guard: Guard,
    analyzer: Arc<Analyzer>,
}

/// Who calls, as an identity source found out; without one, nobody in particular.
pub(super) fn caller_of<T>(request: &Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::anonymous)
}

impl Permission {
    pub(super) fn new(caller: Caller, guard: Guard, analyzer: Arc<Analyzer>) -> Self {
        Self { caller, guard, analyzer }
    }

    /// Whether the caller may do anything at all, such as opening a stream.
    pub(super) fn known(&self) -> Result<(), Failure> {
        self.guard.knows(&self.caller).map_err(|denied| self.counted(status::denied(&self.caller, &denied)))
    }

    /// Whether the caller may ask that model.
    pub(super) fn offers(&self, model: &ModelProfile) -> bool {
        self.guard.may_use(&self.caller, model)
    }

    /// Lets a single request in.
    pub(super) fn try_enter(&self, source: &Source, options: &Options) -> Result<Pass, Failure> {
        let entered = self.guard.try_enter(&self.caller, &self.wanted(picture(source), options));
        entered.map_err(|refused| self.counted(status::refused(&self.caller, &refused)))
    }

    /// Whether the caller may list that: each of the objects is an item of its own, and held against the policy again.
    pub(super) fn listing(&self, task: &ListingTask) -> Result<(), Failure> {
        let picture = Picture::Listing { bucket: &task.listing.bucket, prefix: &task.listing.prefix };
        let decision = self.guard.decide(&self.caller, &self.wanted(picture, &task.options));
        decision.map_err(|denied| self.counted(status::denied(&self.caller, &denied)))
    }

    fn counted(&self, failure: Failure) -> Failure {
        let (_, reason) = failure.summary();
        self.analyzer.metrics().caller_denied(reason);
        failure
    }

    fn wanted<'a>(&'a self, picture: Picture<'a>, options: &Options) -> Wanted<'a> {
        let models = self.analyzer.models();
        let model = match options.model.as_deref() {
            None => Some(models.default_model()),
            Some(name) => models.find(name),
        };
        Wanted { picture, model }
    }
}

fn picture(source: &Source) -> Picture<'_> {
    match source {
        Source::Object(object) => Picture::Object { bucket: &object.bucket, key: &object.key },
        Source::Content(_) => Picture::Inline,
    }
}

#[tonic::async_trait]
impl many::Gate<Failure> for Permission {
    async fn enter(&self, task: &Task) -> Result<Box<dyn many::Pass>, Failure> {
        let wanted = self.wanted(picture(&task.source), &task.options);
        match self.guard.enter(&self.caller, &wanted).await {
            Ok(pass) => Ok(Box::new(Item(pass))),
            Err(refused) => Err(self.counted(status::refused(&self.caller, &refused))),
        }
    }
}

/// The right of an item to be in work.
struct Item(Pass);

impl many::Pass for Item {
    fn charge(&self, usage: &Usage) {
        self.0.charge(usage);
    }
}
