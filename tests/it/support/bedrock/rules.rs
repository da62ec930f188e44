//! What the real service refuses with a 400, in its words: the shape of a body, the conversation, the parameters. Pictures
//! and schemas have rooms of their own.

use serde_json::Value;

use super::{
    models::{Facts, Sampling, Thinking, Vendor},
    pictures,
    request::{Api, Asks, InvokeRequest, array},
    schemas,
};

/// Why a request is refused.
pub(super) type Verdict = Result<(), String>;

/// Checks a request; the error is the message of the `ValidationException`.
pub fn check(request: &InvokeRequest) -> Verdict {
    let facts = request.facts();
    if let Some(facts) = facts {
        profile(request, facts)?;
    }
    match request.api {
        Api::Invoke => messages_shape(request, facts)?,
        Api::Converse => converse_shape(request, facts)?,
    }
    conversation(request, facts)?;
    if let Some(facts) = facts {
        parameters(request, facts).map_err(|problem| from_model(facts, problem))?;
    }
    schemas::check(request, facts)?;
    pictures::check(request).map_err(|problem| format!("The model returned the following errors: {problem}"))
}

/// Claude's own refusals are passed on by the service.
pub(super) fn from_model(facts: &Facts, problem: String) -> String {
    match facts.vendor {
        Vendor::Anthropic => format!("The model returned the following errors: {problem}"),
        _ => problem,
    }
}

fn malformed(problem: &str) -> String {
    format!("Malformed input request: #: {problem}, please reformat your input and try again.")
}

fn profile(request: &InvokeRequest, facts: &Facts) -> Verdict {
    let bare = ["anthropic.", "amazon.", "meta.", "mistral."].iter().any(|vendor| request.model_id.starts_with(vendor));
    if bare && facts.needs_profile {
        return Err(format!(
            "Invocation of model ID {} with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or \
             ARN of an inference profile that contains this model.",
            request.model_id
        ));
    }
    Ok(())
}

fn messages_shape(request: &InvokeRequest, facts: Option<&Facts>) -> Verdict {
    if facts.is_some_and(|facts| facts.vendor != Vendor::Anthropic) {
        return Err(malformed("extraneous key [anthropic_version] is not permitted"));
    }
    for key in ["anthropic_version", "max_tokens", "messages"] {
        if request.body.get(key).is_none() {
            return Err(malformed(&format!("required key [{key}] not found")));
        }
    }
    if request.body["anthropic_version"] != "bedrock-2023-05-31" {
        return Err("Invalid API version".to_owned());
    }
    for key in keys(&request.body) {
        match key {
            "model" | "stream" => return Err(malformed(&format!("extraneous key [{key}] is not permitted"))),
            "anthropic_version" | "max_tokens" | "messages" | "system" | "temperature" | "top_p" | "top_k"
            | "tools" | "tool_choice" | "thinking" | "output_config" | "stop_sequences" => {}
            _ => return Err(format!("The model returned the following errors: {key}: Extra inputs are not permitted")),
        }
    }
    Ok(())
}

fn converse_shape(request: &InvokeRequest, facts: Option<&Facts>) -> Verdict {
    let only = |value: &Value, at: &str, known: &[&str]| match keys(value).find(|key| !known.contains(key)) {
        Some(key) => Err(malformed(&format!("extraneous key [{at}{key}] is not permitted"))),
        None => Ok(()),
    };
    let top = [
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "outputConfig",
        "requestMetadata",
        "additionalModelRequestFields",
    ];
    only(&request.body, "", &top)?;
    only(&request.body["inferenceConfig"], "inferenceConfig.", &["maxTokens", "temperature", "topP", "stopSequences"])?;
    only(&request.body["toolConfig"], "toolConfig.", &["tools", "toolChoice"])?;
    only(&request.body["toolConfig"]["toolChoice"], "toolConfig.toolChoice.", &["auto", "any", "tool"])?;
    only(&request.body["outputConfig"], "outputConfig.", &["textFormat", "effort"])?;
    for message in array(&request.body["messages"]) {
        for block in array(&message["content"]) {
            only(block, "content.", &["text", "image"])?;
            if keys(block).count() != 1 {
                return Err(malformed("a ContentBlock has exactly one member"));
            }
        }
    }
    let claude: &[&str] = &["thinking", "output_config", "top_k"];
    let known = if facts.is_none_or(|facts| facts.vendor == Vendor::Anthropic) { claude } else { &[] };
    only(&request.body["additionalModelRequestFields"], "", known)?;
    if keys(&request.body["requestMetadata"]).count() > 16 {
        return Err("requestMetadata must have at most 16 entries.".to_owned());
    }
    Ok(())
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

fn conversation(request: &InvokeRequest, facts: Option<&Facts>) -> Verdict {
    let turns = &request.turns;
    if turns.first().is_none_or(|turn| turn.role != "user") {
        return Err(
            "A conversation must start with a user message. Try again with a conversation that starts with a user \
                    message."
                .to_owned(),
        );
    }
    if turns.windows(2).any(|pair| pair[0].role == pair[1].role) {
        return Err(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates \
                    between user and assistant roles and try again."
                .to_owned(),
        );
    }
    for (index, turn) in turns.iter().enumerate() {
        if turn.texts.is_empty() && turn.images == 0 {
            return Err(format!("The content field in the Message object at messages.{index} is empty."));
        }
        if turn.texts.iter().any(|text| text.trim().is_empty()) {
            return Err(match request.api {
                Api::Invoke => "messages: text content blocks must be non-empty".to_owned(),
                Api::Converse => format!(
                    "The text field in the ContentBlock object at messages.{index}.content.0 is blank. Add text to the text \
                     field, and try again."
                ),
            });
        }
        if turn.images > 0 && turn.role != "user" {
            return Err(format!("messages.{index}: image blocks are only allowed in user messages"));
        }
    }
    let ends_with_user = turns.last().is_some_and(|turn| turn.role == "user");
    match facts {
        Some(facts) if !facts.prefill && !ends_with_user => Err(from_model(
            facts,
            "This model does not support assistant message prefill. The conversation must end with a user message."
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn parameters(request: &InvokeRequest, facts: &Facts) -> Verdict {
    let has = |name: &str| request.parameter(name).is_some();
    for name in ["temperature", "top_p", "top_k"] {
        if facts.sampling == Sampling::None && has(name) {
            return Err(format!("`{name}` is deprecated for this model."));
        }
    }
    if facts.sampling == Sampling::OneOf && has("temperature") && has("top_p") {
        return Err(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.".to_owned()
        );
    }
    if request.temperature().is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err("temperature: range: 0..1".to_owned());
    }
    most_tokens(request, facts)?;
    thinking(request, facts)?;
    output_config(request, facts)
}

fn most_tokens(request: &InvokeRequest, facts: &Facts) -> Verdict {
    let (asked, most) = (request.max_tokens(), facts.max_tokens);
    match facts.vendor {
        Vendor::Anthropic if asked > most => Err(format!(
            "max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for {}",
            facts.name
        )),
        _ if asked > most => Err(format!(
            "The maximum tokens you requested exceeds the model limit of {most}. Try again with a maximum tokens value that \
             is lower than {most}."
        )),
        _ if asked == 0 => Err("max_tokens: Input should be greater than or equal to 1".to_owned()),
        _ => Ok(()),
    }
}

fn thinking(request: &InvokeRequest, facts: &Facts) -> Verdict {
    let (said, is_forced) = (request.thinking(), request.asks() == Asks::ForcedTool || request.forces_a_tool());
    match (facts.thinking, said) {
        (Thinking::Unknown, Some(_)) => return Err("thinking: Extra inputs are not permitted".to_owned()),
        (Thinking::Always, Some("disabled")) => {
            return Err(
                "thinking.type: Input tag 'disabled' found using 'type' does not match any of the expected tags: \
                        'adaptive'"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if is_forced && facts.vendor == Vendor::Anthropic && !facts.forced_tool {
        return Err("tool_choice forces tool use is not compatible with this model.".to_owned());
    }
    let thinks = match said {
        Some(kind) => kind != "disabled",
        None => facts.thinking == Thinking::On,
    };
    if thinks && is_forced {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    Ok(())
}

fn output_config(request: &InvokeRequest, facts: &Facts) -> Verdict {
    let has_format = request.native_schema().is_some();
    if facts.vendor != Vendor::Anthropic {
        return match has_format {
            true => Err(
                "This model doesn't support the outputConfig.textFormat field. Remove outputConfig.textFormat and try \
                     again."
                    .to_owned(),
            ),
            false => Ok(()),
        };
    }
    if facts.thinking == Thinking::Unknown && (has_format || request.effort().is_some()) {
        return Err("output_config: Extra inputs are not permitted".to_owned());
    }
    if has_format && !facts.native_schema {
        return Err("output_config.format: Extra inputs are not permitted".to_owned());
    }
    match request.effort() {
        None | Some("low" | "medium" | "high") => Ok(()),
        Some(_) => Err("output_config.effort: Input should be 'low', 'medium' or 'high'".to_owned()),
    }
}
