//! What both APIs have in common: the turns of a question, and what of a model's turn is its answer.

use crate::{domain::StopReason, pipeline::Question};

/// The turns of a question. The picture and the prompt's text begin the first.
pub(super) enum Turns<'a> {
    /// The caller's only.
    One,
    /// The caller's only, with what is wrong with the empty answer that it got before.
    OneWith {
        /// What is wrong.
        complaint: &'a str,
    },
    /// The caller's, the model's answer, and what is wrong with it.
    Three {
        /// What the model wrote.
        answer: &'a str,
        /// What is wrong.
        complaint: &'a str,
    },
}

/// The turns of `question`. The APIs take no turn without words.
pub(super) fn turns(question: &Question) -> Turns<'_> {
    match &question.correction {
        None => Turns::One,
        Some(correction) if correction.answer.trim().is_empty() => Turns::OneWith { complaint: &correction.complaint },
        Some(correction) => Turns::Three { answer: &correction.answer, complaint: &correction.complaint },
    }
}

/// What a model wrote in its turn, gathered block by block.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: String,
    /// The best input of a tool so far, and how good it is.
    input: Option<(Worth, String)>,
}

/// How likely an input is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It holds nothing: the model was cut off, or lost its way.
    Nothing,
    /// A tool that was not offered was called with it: models misspell names.
    OtherTool,
    /// The tool that was offered was called with it.
    OurTool,
}

impl Written {
    /// Adds a block of text.
    pub fn add_text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds the input of a call of a tool, as JSON. Of equally good ones the first stays.
    pub fn add_input(&mut self, input: String, is_ours: bool) {
        let is_empty = matches!(input.trim(), "" | "null" | "\"\"")
            || input
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .is_some_and(|rest| rest.trim().is_empty());
        let worth = match is_ours {
            _ if is_empty => Worth::Nothing,
            true => Worth::OurTool,
            false => Worth::OtherTool,
        };
        if self.input.as_ref().is_none_or(|(best, _)| *best < worth) {
            self.input = Some((worth, input));
        }
    }

    /// The answer: an input that holds something, else the text, else whatever there is.
    pub fn answer(self) -> String {
        match self.input {
            Some((worth, input)) if worth > Worth::Nothing || self.text.trim().is_empty() => unquoted(input),
            _ => self.text,
        }
    }
}

/// Some models write the input as a string that holds JSON.
fn unquoted(input: String) -> String {
    if !input.starts_with('"') {
        return input;
    }
    serde_json::from_str(&input).unwrap_or(input)
}

/// Both APIs name the reasons alike; what Converse's enum lacks, such as `refusal`, it keeps as a string.
pub(super) fn stop_reason(name: &str) -> StopReason {
    match name {
        "end_turn" | "tool_use" | "stop_sequence" => StopReason::EndTurn,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "refusal" => StopReason::Refusal,
        "guardrail_intervened" | "content_filtered" => StopReason::Filtered,
        _ => StopReason::Unknown,
    }
}
