//! Reads the Messages body, with the complaints Claude on Bedrock has about a wrong one.

use serde_json::{Map, Value};

use super::{ServiceError, picture::Picture};

/// Keys of a body; any other is refused, as Claude does.
const KEYS: [&str; 13] = [
    "anthropic_beta",
    "anthropic_version",
    "max_tokens",
    "messages",
    "metadata",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
const VERSION: &str = "bedrock-2023-05-31";
/// An estimate, there being no tokenizer: English has about this many characters per token.
pub(super) const CHARACTERS_PER_TOKEN: usize = 4;

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct MessagesRequest {
    /// The first picture in it.
    pub picture: Option<Picture>,
    /// Everything else that matters for the answer.
    pub asked: Asked,
}

/// What is asked about the picture.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Pictures in the request.
    pub pictures: usize,
    /// Most output tokens.
    pub max_tokens: u64,
    /// Visual tokens by the published rule, text estimated.
    pub input_tokens: u64,
    /// The tool to use.
    pub tool: Option<Tool>,
}

/// A tool as far as its input is concerned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// Its name.
    pub name: String,
    /// Properties of its input schema.
    pub properties: Vec<String>,
}

impl MessagesRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, ServiceError> {
        let malformed =
            |_| ServiceError::validation("Malformed input request, please reformat your input and try again.");
        let body: Map<String, Value> = serde_json::from_slice(body).map_err(malformed)?;
        if let Some(unknown) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(ServiceError::validation(format!("{unknown}: Extra inputs are not permitted")));
        }
        match required(&body, "anthropic_version")?.as_str() {
            Some(VERSION) => {}
            _ => return Err(ServiceError::validation("Invalid API version")),
        }
        let max_tokens = required(&body, "max_tokens")?.as_u64().filter(|tokens| *tokens > 0);
        let at_least =
            || ServiceError::validation("max_tokens: Input should be a valid integer greater than or equal to 1");
        let max_tokens = max_tokens.ok_or_else(at_least)?;
        check_thinking(&body)?;
        let tool = chosen_tool(&body)?;
        let mut content = Content::default();
        content.read_messages(required(&body, "messages")?)?;
        if let Some(first) = &content.picture {
            first.check_among(content.pictures)?;
        }
        let instructions =
            [body.get("system"), body.get("tools")].into_iter().flatten().map(text_length).sum::<usize>();
        let text = (instructions + content.characters).div_ceil(CHARACTERS_PER_TOKEN) as u64;
        let input_tokens = content.visual_tokens.saturating_add(text);
        let asked = Asked { pictures: content.pictures, max_tokens, input_tokens, tool };
        Ok(Self { picture: content.picture, asked })
    }
}

fn required<'a>(body: &'a Map<String, Value>, key: &str) -> Result<&'a Value, ServiceError> {
    body.get(key).ok_or_else(|| ServiceError::validation(format!("{key}: Field required")))
}

fn check_thinking(body: &Map<String, Value>) -> Result<(), ServiceError> {
    match body.get("thinking").map(|thinking| thinking.get("type").and_then(Value::as_str)) {
        None | Some(Some("disabled")) => Ok(()),
        Some(_) => Err(ServiceError::validation("thinking: This model does not support thinking")),
    }
}

/// The tool that `tool_choice` leads to: the named one, else the first one, which is also what `auto` comes to because
/// a tool's schema is the only question a detector can answer.
fn chosen_tool(body: &Map<String, Value>) -> Result<Option<Tool>, ServiceError> {
    let tools = match body.get("tools") {
        None => Vec::new(),
        Some(Value::Array(tools)) => tools.iter().enumerate().map(read_tool).collect::<Result<_, _>>()?,
        Some(_) => return Err(ServiceError::validation("tools: Input should be a valid list")),
    };
    let Some(choice) = body.get("tool_choice") else { return Ok(tools.into_iter().next()) };
    if tools.is_empty() {
        return Err(ServiceError::validation("tool_choice: may only be specified while providing tools"));
    }
    match choice.get("type").and_then(Value::as_str) {
        Some("auto" | "any") => Ok(tools.into_iter().next()),
        Some("none") => Ok(None),
        Some("tool") => {
            let missing = || ServiceError::validation("tool_choice.tool.name: Field required");
            let name = choice.get("name").and_then(Value::as_str).ok_or_else(missing)?;
            let unknown = || ServiceError::validation(format!("Tool '{name}' not found in provided tools"));
            tools.into_iter().find(|tool| tool.name == name).map(Some).ok_or_else(unknown)
        }
        _ => Err(ServiceError::validation("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")),
    }
}

fn read_tool((index, tool): (usize, &Value)) -> Result<Tool, ServiceError> {
    let missing = |what: &str| ServiceError::validation(format!("tools.{index}.custom.{what}: Field required"));
    let name = tool.get("name").and_then(Value::as_str).ok_or_else(|| missing("name"))?;
    let schema = tool.get("input_schema").ok_or_else(|| missing("input_schema"))?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        let message = format!("tools.{index}.custom.input_schema.type: Input should be 'object'");
        return Err(ServiceError::validation(message));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default();
    Ok(Tool { name: name.to_owned(), properties })
}

/// Characters of all the strings in a value, names included.
fn text_length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(text_length).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.chars().count() + text_length(value)).sum(),
        _ => 1,
    }
}

/// What the messages hold, added up.
#[derive(Default)]
struct Content {
    picture: Option<Picture>,
    pictures: usize,
    visual_tokens: u64,
    characters: usize,
}

impl Content {
    fn read_messages(&mut self, messages: &Value) -> Result<(), ServiceError> {
        let wrong = || ServiceError::validation("messages: Input should be a valid list");
        let messages = messages.as_array().ok_or_else(wrong)?;
        if messages.is_empty() {
            return Err(ServiceError::validation("messages: at least one message is required"));
        }
        for (index, message) in messages.iter().enumerate() {
            let place = format!("messages.{index}");
            if !matches!(message.get("role").and_then(Value::as_str), Some("user" | "assistant")) {
                let message = format!("{place}.role: Input should be 'user' or 'assistant'");
                return Err(ServiceError::validation(message));
            }
            match message.get("content") {
                Some(Value::String(text)) => self.characters += text.chars().count(),
                Some(Value::Array(blocks)) => self.read_blocks(blocks, &place)?,
                Some(_) => {
                    return Err(ServiceError::validation(format!("{place}.content: Input should be a valid list")));
                }
                None => return Err(ServiceError::validation(format!("{place}.content: Field required"))),
            }
        }
        Ok(())
    }

    fn read_blocks(&mut self, blocks: &[Value], place: &str) -> Result<(), ServiceError> {
        for (index, block) in blocks.iter().enumerate() {
            let place = format!("{place}.content.{index}");
            match block.get("type").and_then(Value::as_str) {
                Some("image") => self.read_image(block, &place)?,
                Some("text" | "tool_use" | "tool_result" | "thinking" | "redacted_thinking") => {
                    self.characters += text_length(block);
                }
                Some(other) => {
                    let message = format!("{place}: Input tag '{other}' does not match any of the expected tags");
                    return Err(ServiceError::validation(message));
                }
                None => return Err(ServiceError::validation(format!("{place}.type: Field required"))),
            }
        }
        Ok(())
    }

    fn read_image(&mut self, block: &Value, place: &str) -> Result<(), ServiceError> {
        let missing = || ServiceError::validation(format!("{place}.image.source: Field required"));
        let picture = Picture::parse(block.get("source").ok_or_else(missing)?, place)?;
        self.visual_tokens = self.visual_tokens.saturating_add(picture.visual_tokens());
        self.pictures += 1;
        self.picture.get_or_insert(picture);
        Ok(())
    }
}
