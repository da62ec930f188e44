//! Converse, the operation of Amazon Bedrock that all vendors' models speak.

use std::collections::HashMap;

use aws_sdk_bedrockruntime::{
    Client,
    error::BuildError,
    operation::{
        RequestId,
        converse::{ConverseOutput, builders::ConverseFluentBuilder},
    },
    primitives::Blob,
    types::{
        ContentBlock, ConversationRole, ConverseOutput as Output, ImageBlock, ImageFormat, ImageSource,
        InferenceConfiguration, JsonSchemaDefinition, Message, OutputConfig, OutputFormat, OutputFormatStructure,
        OutputFormatType, SpecificToolChoice, SystemContentBlock, TokenUsage, Tool, ToolChoice, ToolConfiguration,
        ToolInputSchema, ToolSpecification,
    },
};
use serde_json::{Map, Value, json};

use super::{
    document,
    turns::{Turns, Written, stop_reason, turns},
};
use crate::{
    domain::{StopReason, Strategy, Usage},
    pipeline::{ModelError, Question, Reply, ThinkingParameter},
};

/// One call, ready to be sent.
///
/// # Errors
/// When a block lacks what the SDK requires, which a test of every kind of question rules out.
pub(super) fn request(client: &Client, question: &Question) -> Result<ConverseFluentBuilder, BuildError> {
    let limits = InferenceConfiguration::builder()
        .max_tokens(i32::try_from(question.max_output_tokens).unwrap_or(i32::MAX))
        .set_temperature(question.temperature)
        .set_top_p(question.top_p);
    let request = client
        .converse()
        .model_id(&question.model.id)
        .set_messages(Some(messages(question)?))
        .set_system(question.prompt.system.clone().map(|system| vec![SystemContentBlock::Text(system)]))
        .inference_config(limits.build())
        .set_request_metadata(metadata(question));
    let own = own_parameters(question);
    let request = request.set_additional_model_request_fields(own.as_ref().map(document::from_json));
    Ok(request.set_tool_config(tool_config(question)?).set_output_config(output_config(question)?))
}

/// What Converse has no parameters for: the model's own go along as they are. `top_k` is Claude's; other vendors' models name
/// it otherwise, with other ranges, or have none.
fn own_parameters(question: &Question) -> Option<Value> {
    let mut own = Map::new();
    match question.thinking {
        ThinkingParameter::Unset => {}
        ThinkingParameter::Disabled => drop(own.insert("thinking".to_owned(), json!({"type": "disabled"}))),
        ThinkingParameter::LowEffort => drop(own.insert("output_config".to_owned(), json!({"effort": "low"}))),
    }
    if let Some(top_k) = question.top_k.filter(|_| is_claude(question)) {
        own.insert("top_k".to_owned(), Value::from(top_k));
    }
    (!own.is_empty()).then_some(Value::Object(own))
}

fn is_claude(question: &Question) -> bool {
    question.model.id.contains("anthropic.claude")
}

fn metadata(question: &Question) -> Option<HashMap<String, String>> {
    let tags = &question.tags;
    (!tags.is_empty()).then(|| tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn messages(question: &Question) -> Result<Vec<Message>, BuildError> {
    // The formats are named as the media types' second halves.
    let format = ImageFormat::from(question.media_type.rsplit('/').next().unwrap_or_default());
    let source = ImageSource::Bytes(Blob::new(question.image.to_vec()));
    let picture = ImageBlock::builder().format(format).source(source).build()?;
    let mut first = vec![ContentBlock::Image(picture), text_block(&question.prompt.text)];
    let mut rest = Vec::new();
    match turns(question) {
        Turns::One => {}
        Turns::OneWith { complaint } => first.push(text_block(complaint)),
        Turns::Three { answer, complaint } => {
            rest.push(turn(ConversationRole::Assistant, vec![text_block(answer)])?);
            rest.push(turn(ConversationRole::User, vec![text_block(complaint)])?);
        }
    }
    rest.insert(0, turn(ConversationRole::User, first)?);
    Ok(rest)
}

fn turn(role: ConversationRole, content: Vec<ContentBlock>) -> Result<Message, BuildError> {
    Message::builder().role(role).set_content(Some(content)).build()
}

fn text_block(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

/// The tool whose input is the answer.
fn tool_config(question: &Question) -> Result<Option<ToolConfiguration>, BuildError> {
    let Some(schema) = &question.prompt.schema else { return Ok(None) };
    let choice = match question.strategy {
        Strategy::ForcedTool => Some(ToolChoice::Tool(SpecificToolChoice::builder().name(schema.name).build()?)),
        // What the model does unless told otherwise. Some models refuse any choice at all.
        Strategy::AutoTool => None,
        Strategy::NativeSchema | Strategy::PromptedJson => return Ok(None),
    };
    let tool = ToolSpecification::builder()
        .name(schema.name)
        .description(schema.description)
        .input_schema(ToolInputSchema::Json(document::from_json(&tool_input(question, &schema.schema))))
        .build()?;
    ToolConfiguration::builder().tools(Tool::ToolSpec(tool)).set_tool_choice(choice).build().map(Some)
}

/// The schema of the tool's input as the model takes it. At the top, Nova refuses every keyword but `type`, `properties` and
/// `required`; some models of other vendors refuse closed objects at any level. Nothing is lost: the service does not compile it.
fn tool_input(question: &Question, schema: &Value) -> Value {
    let mut input = if is_claude(question) { schema.clone() } else { opened(schema) };
    if let Value::Object(keywords) = &mut input {
        keywords.retain(|keyword, _| matches!(keyword.as_str(), "type" | "properties" | "required"));
    }
    input
}

/// The schema with all of its objects open. One that says what its further values are stays: only there the model reads it.
/// As deep as the prompt's schema, whose levels are bounded.
fn opened(schema: &Value) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let mut open = Map::new();
    for (keyword, value) in keywords {
        let value = match (keyword.as_str(), value) {
            ("additionalProperties", Value::Bool(_)) => continue,
            ("properties", Value::Object(properties)) => {
                Value::Object(properties.iter().map(|(name, schema)| (name.clone(), opened(schema))).collect())
            }
            ("anyOf", Value::Array(variants)) => variants.iter().map(opened).collect(),
            ("items" | "additionalProperties", schema) => opened(schema),
            _ => value.clone(),
        };
        open.insert(keyword.clone(), value);
    }
    Value::Object(open)
}

/// The schema that the service holds the model to.
fn output_config(question: &Question) -> Result<Option<OutputConfig>, BuildError> {
    let Some(schema) = question.prompt.schema.as_ref().filter(|_| question.strategy == Strategy::NativeSchema) else {
        return Ok(None);
    };
    let definition = JsonSchemaDefinition::builder()
        .name(schema.name)
        .description(schema.description)
        .schema(schema.schema.text())
        .build()?;
    let format = OutputFormat::builder()
        .r#type(OutputFormatType::JsonSchema)
        .structure(OutputFormatStructure::JsonSchema(definition))
        .build()?;
    Ok(Some(OutputConfig::builder().text_format(format).build()))
}

/// Reads the answer of one call: the input of the tool that was offered when there is one, else the text. Reasoning is no
/// answer. Without its body.
///
/// # Errors
/// [`ModelError::Malformed`] when it holds no message.
pub(super) fn reply(output: ConverseOutput, tool: Option<&str>) -> Result<Reply, ModelError> {
    let upstream_request_id = output.request_id().map(str::to_owned);
    let stop_reason = stop_reason(output.stop_reason.as_str());
    let usage = output.usage.as_ref().map(tokens).unwrap_or_default();
    let content = match output.output {
        Some(Output::Message(message)) => message.content,
        // A guardrail or a refusal may leave nothing of the answer.
        _ if matches!(stop_reason, StopReason::Filtered | StopReason::Refusal) => Vec::new(),
        _ => return Err(ModelError::Malformed { detail: "the answer holds no message".to_owned() }),
    };
    let mut written = Written::default();
    for block in content {
        match block {
            ContentBlock::Text(text) => written.add_text(&text),
            ContentBlock::ToolUse(call) => {
                written.add_input(document::to_json(&call.input).to_string(), tool == Some(call.name.as_str()));
            }
            _ => {}
        }
    }
    Ok(Reply { text: written.answer(), stop_reason, usage, upstream_request_id, body: None })
}

fn tokens(usage: &TokenUsage) -> Usage {
    let count = |tokens: i32| u64::try_from(tokens).unwrap_or_default();
    Usage {
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cache_read_tokens: count(usage.cache_read_input_tokens.unwrap_or_default()),
        cache_write_tokens: count(usage.cache_write_input_tokens.unwrap_or_default()),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests;
