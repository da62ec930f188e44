//! Features to one prompt and one answer schema.
//!
//! The prompt states the exact size of the picture and asks for absolute pixels as two corners. The caller's own words
//! (vocabulary, categories, a free prompt beside other features) go in as JSON strings, as data; the schema depends on
//! the set of features alone, so no caller can change it. A free prompt that is all that is asked goes to the model as
//! it is, without a schema.

mod correction;
mod schema;

use serde_json::Value;

use crate::domain::{
    Coordinates, DEFAULT_SENSITIVITY_CATEGORIES, Features, LabelsRequest, SensitivityRequest, Size, Strategy,
};

pub use correction::complaint;

/// Version of the prompts and the schema. Changes whenever either does.
pub const PROMPT_VERSION: &str = "2026-11.1";

/// Name of the tool that a model calls to answer.
pub const TOOL_NAME: &str = "report_analysis";

/// Everything a model is told beside the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The rules. `None` when the caller's prompt goes to the model as it is.
    pub system: Option<String>,
    /// The text that follows the picture.
    pub text: String,
    /// The shape of the answer. `None` when the answer is plain text.
    pub schema: Option<AnswerSchema>,
}

/// What is asked, and of which kind of model.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// What to find out.
    pub features: &'a Features,
    /// BCP-47 language of all prose.
    pub language: &'a str,
    /// The size at which the model sees the picture, in pixels.
    pub size: Size,
    /// The frame in which the model writes boxes.
    pub coordinates: Coordinates,
    /// How the model is asked for JSON.
    pub strategy: Strategy,
}

/// The shape of the answer, as a tool's input or as a native output schema.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSchema {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// JSON Schema of its input: only what Bedrock's models take (no bounds, no lengths, every object closed).
    pub schema: Value,
}

/// What a model of this kind is told and shown.
pub fn build(brief: &Brief<'_>) -> Prompt {
    let Brief { features, language, size, .. } = *brief;
    if let Some(prompt) = features.prompt_alone() {
        return Prompt { system: None, text: prompt.to_owned(), schema: None };
    }
    let system = include_str!("templates/system.txt")
        .replace("{width}", &size.width.to_string())
        .replace("{height}", &size.height.to_string())
        .replace("{language}", language);
    let schema = AnswerSchema {
        name: TOOL_NAME,
        description: "Reports the analysis of the picture. Every field is required.",
        schema: schema::for_features(features),
    };
    Prompt { system: Some(system.trim_end().to_owned()), text: instructions(features), schema: Some(schema) }
}

/// Output tokens that are enough for `features`. Bedrock reserves quota for all of them when the call starts.
pub fn output_budget(features: &Features) -> u32 {
    let labels = features.labels.as_ref().map_or(0, |labels| 1024 + 60 * labels.max_results.min(500));
    let parts = [
        (features.description, 1024),
        (features.sensitivity.is_some(), 1024),
        (features.labels.is_some(), labels),
        (features.text, 4096),
        (features.prompt.is_some(), 4096),
    ];
    parts.into_iter().filter_map(|(asked, tokens)| asked.then_some(tokens)).sum()
}

fn instructions(features: &Features) -> String {
    let mut text = String::from("Analyze the picture. Fill these fields:\n");
    if features.description {
        text.push_str(include_str!("templates/description.txt"));
    }
    if let Some(request) = &features.sensitivity {
        text.push_str(&sensitivity(request));
    }
    if let Some(request) = &features.labels {
        text.push_str(&labels(request));
    }
    if features.text {
        text.push_str(include_str!("templates/text.txt"));
    }
    if let Some(prompt) = &features.prompt {
        text.push_str(&include_str!("templates/answer.txt").replace("{prompt}", &json(&Value::from(prompt.as_str()))));
    }
    text.truncate(text.trim_end().len());
    text
}

fn sensitivity(request: &SensitivityRequest) -> String {
    let categories: Value = if request.categories.is_empty() {
        Value::from(DEFAULT_SENSITIVITY_CATEGORIES.to_vec())
    } else {
        Value::from(request.categories.clone())
    };
    include_str!("templates/sensitivity.txt").replace("{categories}", &json(&categories))
}

fn labels(request: &LabelsRequest) -> String {
    let mut text = include_str!("templates/labels.txt").replace("{max_results}", &request.max_results.to_string());
    if !request.vocabulary.is_empty() {
        let vocabulary = json(&Value::from(request.vocabulary.clone()));
        text.push_str(&include_str!("templates/vocabulary.txt").replace("{vocabulary}", &vocabulary));
    }
    text
}

/// JSON on one line in which no angle bracket survives, so that data cannot pass for markup of the prompt.
fn json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests;
