//! What a test tells the service to refuse.

use super::request::{Asks, InvokeRequest};

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    NativeSchema,
    ForcedTool,
    /// Tools of any kind.
    Tools,
    Temperature,
    /// Anything that is said about thinking or effort.
    Thinking,
}

impl Part {
    /// Whether a request holds it.
    pub fn is_in(self, request: &InvokeRequest) -> bool {
        match self {
            Self::NativeSchema => request.asks() == Asks::NativeSchema,
            Self::ForcedTool => request.asks() == Asks::ForcedTool,
            Self::Tools => !request.tools().is_empty(),
            Self::Temperature => request.temperature().is_some(),
            Self::Thinking => request.thinking().is_some() || request.effort().is_some(),
        }
    }

    /// The words in which services have refused it.
    pub fn messages(self) -> &'static [&'static str] {
        match self {
            Self::NativeSchema => &[
                "The model returned the following errors: output_config.format: Extra inputs are not permitted",
                "output_config: Extra inputs are not permitted",
                "This model doesn't support the outputConfig.textFormat field. Remove outputConfig.textFormat and try again.",
            ],
            Self::ForcedTool => &[
                "The model returned the following errors: tool_choice forces tool use is not compatible with this model.",
                "The model returned the following errors: Thinking may not be enabled when tool_choice forces tool use.",
                "This model doesn't support the toolConfig.toolChoice.tool field. Remove toolConfig.toolChoice.tool and try \
                 again.",
            ],
            Self::Tools => &[
                "This model doesn't support tool use.",
                "The model returned the following errors: tools: Extra inputs are not permitted",
            ],
            Self::Temperature => &[
                "The model returned the following errors: `temperature` is deprecated for this model.",
                "This model doesn't support the temperature field. Remove temperature and try again.",
            ],
            Self::Thinking => &[
                "The model returned the following errors: output_config.effort: Extra inputs are not permitted",
                "The model returned the following errors: thinking.type: Input tag 'disabled' found using 'type' does not \
                 match any of the expected tags: 'adaptive'",
            ],
        }
    }
}

/// A part that is refused to one model.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    model: String,
    part: Part,
    message: String,
}

impl Refused {
    pub(super) fn new(model: &str, part: Part, message: &str) -> Self {
        Self { model: model.to_owned(), part, message: message.to_owned() }
    }

    pub(super) fn applies(&self, request: &InvokeRequest) -> bool {
        request.model_id.contains(&self.model) && self.part.is_in(request)
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}
