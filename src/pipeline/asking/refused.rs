//! What the service has refused of requests to a model, remembered so that it is tried once and not in every call.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::{ModelProfile, Strategy, Thinking},
    pipeline::ports::{Part, ThinkingParameter},
};

/// Something that a request to a model is better without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Refused {
    /// A way of asking for JSON.
    Strategy(Strategy),
    /// The sampling temperature.
    Temperature,
    /// One of the things to say about thinking; another may be taken.
    Thinking(ThinkingParameter),
}

impl Refused {
    /// What a refusal of `part` means for a request that said `thinking`.
    pub(super) fn of(part: Part, thinking: ThinkingParameter) -> Self {
        match part {
            Part::Strategy(strategy) => Self::Strategy(strategy),
            Part::Temperature => Self::Temperature,
            Part::Thinking => Self::Thinking(thinking),
        }
    }
}

/// Refused parts by Bedrock id, for the life of the process. As many models as the operator lists.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, HashSet<Refused>>>);

impl Refusals {
    pub(super) fn of(&self, model: &str) -> HashSet<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default()
    }

    pub(super) fn remember(&self, model: &str, part: Refused) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(model.to_owned()).or_default().insert(part);
    }
}

/// The first strategy of `model` that is not refused. A caller's own schema is not given to a service that compiles each new
/// one for up to minutes. A model that refuses tools refuses to be forced to use one; prompted JSON is always possible.
pub(super) fn strategy(model: &ModelProfile, refused: &HashSet<Refused>, has_own_schema: bool) -> Strategy {
    let is_refused = |strategy: Strategy| {
        refused.contains(&Refused::Strategy(strategy))
            || (strategy == Strategy::NativeSchema && has_own_schema)
            || (strategy == Strategy::ForcedTool && refused.contains(&Refused::Strategy(Strategy::AutoTool)))
    };
    model.strategies.iter().copied().find(|strategy| !is_refused(*strategy)).unwrap_or(Strategy::PromptedJson)
}

/// What `model` is told about thinking: to leave it, else to keep it short, else nothing, as far as it takes it.
pub(super) fn thinking(model: &ModelProfile, refused: &HashSet<Refused>) -> ThinkingParameter {
    let steps: &[ThinkingParameter] = match model.thinking {
        Thinking::OffByDefault => &[],
        Thinking::Disable => &[ThinkingParameter::Disabled, ThinkingParameter::LowEffort],
        Thinking::Always => &[ThinkingParameter::LowEffort],
    };
    let taken = steps.iter().copied().find(|step| !refused.contains(&Refused::Thinking(*step)));
    taken.unwrap_or(ThinkingParameter::Unset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn a_model_that_will_not_stop_thinking_is_asked_to_keep_it_short() {
        use ThinkingParameter::{Disabled, LowEffort, Unset};
        let model = ModelProfile { thinking: Thinking::Disable, ..Catalog::built_in().unwrap().resolve("default") };
        let said = |refused: &[ThinkingParameter]| {
            thinking(&model, &refused.iter().map(|thinking| Refused::Thinking(*thinking)).collect())
        };
        assert_eq!([said(&[]), said(&[Disabled]), said(&[Disabled, LowEffort])], [Disabled, LowEffort, Unset]);
    }

    #[test]
    fn the_next_strategy_follows_and_prompted_json_is_always_left() {
        use Strategy::{AutoTool, ForcedTool, NativeSchema, PromptedJson};
        let mut model = Catalog::built_in().unwrap().resolve("default");
        model.strategies = vec![NativeSchema, ForcedTool, AutoTool];
        let next = |refused: &[Strategy], own| {
            strategy(&model, &refused.iter().map(|strategy| Refused::Strategy(*strategy)).collect(), own)
        };
        assert_eq!(next(&[], false), NativeSchema);
        assert_eq!(next(&[], true), ForcedTool);
        assert_eq!(next(&[NativeSchema], false), ForcedTool);
        assert_eq!(next(&[NativeSchema, ForcedTool], false), AutoTool);
        assert_eq!(next(&[NativeSchema, AutoTool], false), PromptedJson, "no tools at all");
        assert_eq!(next(&[NativeSchema, ForcedTool, AutoTool, PromptedJson], false), PromptedJson);
    }
}
