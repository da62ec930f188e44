//! What the service has refused of requests to a model, remembered so that it is tried once and not in every call.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::{ModelProfile, Strategy},
    pipeline::ports::Part,
};

/// Refused parts by Bedrock id, for the life of the process. As many models as the operator lists.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, HashSet<Part>>>);

impl Refusals {
    pub(super) fn of(&self, model: &str) -> HashSet<Part> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default()
    }

    pub(super) fn remember(&self, model: &str, part: Part) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(model.to_owned()).or_default().insert(part);
    }
}

/// The first strategy of `model` that is not refused. A caller's own schema is not given to a service that compiles each new
/// one for up to minutes. A model that refuses tools refuses to be forced to use one; prompted JSON is always possible.
pub(super) fn strategy(model: &ModelProfile, refused: &HashSet<Part>, has_own_schema: bool) -> Strategy {
    let is_refused = |strategy: Strategy| {
        refused.contains(&Part::Strategy(strategy))
            || (strategy == Strategy::NativeSchema && has_own_schema)
            || (strategy == Strategy::ForcedTool && refused.contains(&Part::Strategy(Strategy::AutoTool)))
    };
    model.strategies.iter().copied().find(|strategy| !is_refused(*strategy)).unwrap_or(Strategy::PromptedJson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn the_next_strategy_follows_and_prompted_json_is_always_left() {
        use Strategy::{AutoTool, ForcedTool, NativeSchema, PromptedJson};
        let mut model = Catalog::built_in().unwrap().resolve("default");
        model.strategies = vec![NativeSchema, ForcedTool, AutoTool];
        let next = |refused: &[Strategy], own| {
            strategy(&model, &refused.iter().map(|strategy| Part::Strategy(*strategy)).collect(), own)
        };
        assert_eq!(next(&[], false), NativeSchema);
        assert_eq!(next(&[], true), ForcedTool);
        assert_eq!(next(&[NativeSchema], false), ForcedTool);
        assert_eq!(next(&[NativeSchema, ForcedTool], false), AutoTool);
        assert_eq!(next(&[NativeSchema, AutoTool], false), PromptedJson, "no tools at all");
        assert_eq!(next(&[NativeSchema, ForcedTool, AutoTool, PromptedJson], false), PromptedJson);
    }
}
