//! Which part of a request a model does not take, as the service words it.
//!
//! Messages come in three shapes: a path and what is wrong there (`output_config.format: Extra inputs are not permitted`,
//! `#/thinking: extraneous key [type] is not permitted`), a sentence that begins with the name of a parameter
//! (`` `temperature` is deprecated for this model. ``), and a sentence about the model (`This model doesn't support the
//! toolConfig.toolChoice.tool field`). What follows may hold the caller's own schema, so that only the beginning counts: a
//! property of that schema must not pass for a parameter.

use serde_json::Value;

use crate::{
    domain::Strategy,
    pipeline::{Part, Question, ThinkingParameter},
};

/// The part of `question` that a message of a `ValidationException` refuses, and whether the model always will. `None`
/// when it is about something else, or about a part that the question does not hold.
pub(super) fn refused_part(message: &str, question: &Question) -> Option<(Part, bool)> {
    let message = plain(message);
    let sent = Sent::of(question);
    if is_schema_too_much(&message) {
        return sent.any_strategy().map(|strategy| (Part::Strategy(strategy), false));
    }
    // Both a schema's fault and a model's: what it writes for the tool does not parse.
    if message.contains("invalid sequence as part of tooluse") {
        return sent.tools.then_some((Part::Strategy(Strategy::AutoTool), false));
    }
    if message.starts_with("thinking may not be enabled when tool_choice") {
        return sent.forced.then_some((Part::Strategy(Strategy::ForcedTool), true));
    }
    if let Some(about) = about_the_model(&message) {
        return sent.capability(about).or_else(|| sent.parameter(about, &message));
    }
    sent.parameter(&subject(&message), &message)
}

/// The message in lower case, without what Bedrock and the model's own API wrap around it.
fn plain(message: &str) -> String {
    let lower: String = message.trim().chars().take(MAX_MESSAGE).collect::<String>().to_ascii_lowercase();
    let inner = without_prefix(&lower, "the model returned the following errors:");
    let envelope = serde_json::from_str::<Value>(inner).ok();
    let inner = envelope.as_ref().and_then(|envelope| envelope.pointer("/error/message")?.as_str()).unwrap_or(inner);
    without_prefix(inner, "malformed input request:").to_owned()
}

/// Most characters of a message that are looked at.
const MAX_MESSAGE: usize = 4096;

fn without_prefix<'a>(text: &'a str, prefix: &str) -> &'a str {
    text.strip_prefix(prefix).unwrap_or(text).trim_start()
}

/// Whether the schema is more than the service compiles, which says nothing of another schema. It is said with the path of
/// the schema or without.
fn is_schema_too_much(message: &str) -> bool {
    let message = match message.split_once(": ") {
        Some((path, problem)) if !path.contains(' ') => problem,
        _ => message,
    };
    [
        "schema is too complex",
        "schemas contains too many",
        "the compiled grammar",
        "compiled grammar",
        "grammar compilation",
        "schema type '",
    ]
    .iter()
    .any(|words| message.starts_with(words))
        || (message.starts_with("for '") && message.contains("' type, propert"))
}

/// What a sentence says that the model does not take: `the effort parameter`, `tool use`.
fn about_the_model(message: &str) -> Option<&str> {
    let rest = ["this model ", "the model ", "the provided model "].iter().find_map(|who| message.strip_prefix(who))?;
    let verbs = ["doesn't support ", "doesn\u{2019}t support ", "does not support "];
    let what = verbs.iter().find_map(|verb| rest.strip_prefix(verb))?;
    Some(what.trim_start_matches("the "))
}

/// What a message begins with: a path, or a name in quotes or without.
fn subject(message: &str) -> String {
    if let Some(pointer) = message.strip_prefix('#') {
        return of_pointer(pointer);
    }
    let quote = message.chars().next().filter(|first| matches!(first, '`' | '"' | '\''));
    let name = match quote {
        Some(quote) => message.trim_start_matches(quote).split(quote).next(),
        None => message.split([':', ' ']).next(),
    };
    name.unwrap_or_default().to_owned()
}

/// `/output_config: extraneous key [format] is not permitted` as `output_config.format`.
fn of_pointer(pointer: &str) -> String {
    let (path, problem) = pointer.split_once(": ").unwrap_or((pointer, ""));
    let path = path.trim_matches(['/', ':', ' ']).replace('/', ".");
    let key = problem.strip_prefix("extraneous key [").and_then(|rest| rest.split(']').next());
    match key {
        Some(key) if path.is_empty() => key.to_owned(),
        Some(key) => format!("{path}.{key}"),
        None => path,
    }
}

/// The parts that a question holds.
struct Sent {
    native: bool,
    tools: bool,
    forced: bool,
    thinking: ThinkingParameter,
    temperature: bool,
    /// `top_p` or `top_k`.
    beside: bool,
}

impl Sent {
    fn of(question: &Question) -> Self {
        let strategy = question.prompt.schema.as_ref().map(|_| question.strategy);
        Self {
            native: strategy == Some(Strategy::NativeSchema),
            tools: matches!(strategy, Some(Strategy::ForcedTool | Strategy::AutoTool)),
            forced: strategy == Some(Strategy::ForcedTool),
            thinking: question.thinking,
            temperature: question.temperature.is_some(),
            beside: question.top_p.is_some() || question.top_k.is_some(),
        }
    }

    /// The strategy that carries the schema. Without tools at all for one in a tool: a schema that is too much for one
    /// choice of the tool is too much for the other.
    fn any_strategy(&self) -> Option<Strategy> {
        let native = self.native.then_some(Strategy::NativeSchema);
        native.or(self.tools.then_some(Strategy::AutoTool))
    }

    /// The part that a model lacks altogether, in the words of a sentence.
    fn capability(&self, what: &str) -> Option<(Part, bool)> {
        let begins = |words: &[&str]| words.iter().any(|word| what.starts_with(word));
        if begins(&["structured output", "response format", "response_format", "json_schema", "json schema"]) {
            return self.native.then_some((Part::Strategy(Strategy::NativeSchema), true));
        }
        if begins(&["tool use", "tool calling", "function calling", "tools"]) {
            return self.tools.then_some((Part::Strategy(Strategy::AutoTool), true));
        }
        if begins(&["effort", "extended thinking", "adaptive thinking", "reasoning"]) {
            return self.thinking().then_some((Part::Thinking, true));
        }
        None
    }

    fn thinking(&self) -> bool {
        self.thinking != ThinkingParameter::Unset
    }

    /// The part that a parameter, by its path in the request, belongs to.
    fn parameter(&self, path: &str, message: &str) -> Option<(Part, bool)> {
        let path = path.split(' ').next().unwrap_or_default().trim_end_matches([',', '.', ':']);
        let mut steps = path.split('.');
        let (first, second) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
        let strategy = |held: bool, strategy, lasting| held.then_some((Part::Strategy(strategy), lasting));
        match (first, second) {
            ("output_config" | "outputconfig", "effort") => self.thinking().then_some((Part::Thinking, true)),
            // A complaint about the schema itself says nothing of another schema.
            ("output_config" | "outputconfig" | "output_format", _) if self.native => {
                strategy(true, Strategy::NativeSchema, is_format_refused(path, message))
            }
            ("output_config" | "outputconfig", "") => {
                (self.thinking == ThinkingParameter::LowEffort).then_some((Part::Thinking, true))
            }
            ("thinking" | "adaptive" | "effort", _) => self.thinking().then_some((Part::Thinking, true)),
            ("tool_choice" | "toolchoice", _) | ("toolconfig", "toolchoice") if self.forced => {
                strategy(true, Strategy::ForcedTool, true)
            }
            ("tool_choice" | "toolchoice", _) | ("toolconfig", "toolchoice") => {
                strategy(self.tools, Strategy::AutoTool, true)
            }
            ("tools" | "toolconfig", _) => strategy(self.tools, Strategy::AutoTool, is_whole(path, message)),
            ("temperature", _) | ("inferenceconfig", "temperature") => {
                self.temperature.then_some((Part::Temperature, !is_out_of_range(message)))
            }
            // What is sent beside the temperature goes with it; that the model takes the temperature alone is not known by this.
            ("top_p" | "top_k" | "topp", _) | ("inferenceconfig", "topp") => {
                self.beside.then_some((Part::Temperature, false))
            }
            _ => None,
        }
    }
}

/// Whether the parameter itself is refused rather than what it holds, which may be the caller's.
fn is_whole(path: &str, message: &str) -> bool {
    !path.contains('.') || message.starts_with("this model ")
}

/// Whether a format of the answer is refused for what it is: a fault of one schema, or one that has passed by the next
/// request, must not switch it off for good.
fn is_format_refused(path: &str, message: &str) -> bool {
    let words = ["extra inputs", "extraneous key", "not permitted", "not support", "n't support", "n\u{2019}t support"];
    !path.contains(".schema") && !path.contains(".structure") && words.iter().any(|words| message.contains(words))
}

/// Whether the value is refused rather than the parameter.
fn is_out_of_range(message: &str) -> bool {
    ["input should be ", "range", " is not less ", " is not greater ", "expected "]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests;
