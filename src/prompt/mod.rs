//! Features to one prompt and one answer schema.
//!
//! The prompt asks for boxes as two corners: in absolute pixels, stating the exact size of the picture, or in thousandths
//! for models that know nothing else. The caller's own words (vocabulary, categories, an instruction, a free prompt beside
//! other features) go in as JSON strings, as data; but for the property `extraction` the schema depends on the set of
//! features alone, so no caller can change it. A free prompt that is all that is asked goes to the model as it is,
//! without a schema.

mod correction;
mod schema;

use serde_json::{Value, json};

use crate::domain::{
    Coordinates, DEFAULT_SENSITIVITY_CATEGORIES, ExtractionRequest, Features, LabelsRequest, SensitivityRequest, Size,
    Strategy, sensitivity_meaning,
};

pub use correction::complaint;
pub use schema::Schema;

/// Version of the prompts and the schema. Changes whenever either does.
pub const PROMPT_VERSION: &str = "2026-11.2";

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
    pub schema: Schema,
}

/// What a model of this kind is told and shown.
pub fn build(brief: &Brief<'_>) -> Prompt {
    let features = brief.features;
    if let Some(prompt) = features.prompt_alone() {
        return Prompt { system: None, text: prompt.to_owned(), schema: None };
    }
    let schema = AnswerSchema {
        name: TOOL_NAME,
        description: "Reports the analysis of the picture. Every field of the report itself is required.",
        schema: schema::for_features(features),
    };
    Prompt { system: Some(rules(brief, &schema.schema)), text: instructions(features), schema: Some(schema) }
}

/// How to answer and how to look; nothing of it is the caller's, but for what the schema holds of theirs.
fn rules(brief: &Brief<'_>, schema: &Schema) -> String {
    let report = match brief.strategy {
        Strategy::NativeSchema => include_str!("templates/report_native_schema.txt"),
        Strategy::ForcedTool => include_str!("templates/report_forced_tool.txt"),
        Strategy::AutoTool => include_str!("templates/report_auto_tool.txt"),
        Strategy::PromptedJson => include_str!("templates/report_prompted_json.txt"),
    };
    let coordinates = match brief.coordinates {
        Coordinates::Pixels => include_str!("templates/coordinates_pixels.txt"),
        Coordinates::PerMille => include_str!("templates/coordinates_per_mille.txt"),
    };
    let (width, height) = (brief.size.width.to_string(), brief.size.height.to_string());
    let coordinates = filled(coordinates.trim_end(), &[("width", &width), ("height", &height)]);
    let mut rules = filled(
        include_str!("templates/system.txt").trim_end(),
        &[("report", report.trim_end()), ("coordinates", &coordinates), ("language", brief.language)],
    );
    if brief.strategy == Strategy::PromptedJson {
        rules.push_str("\n\nThe JSON Schema of the answer: ");
        rules.push_str(&inert(schema));
    }
    rules
}

/// A template with a value in place of each `{name}`, in one pass: what stands in a value is left alone.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let room: usize = values.iter().map(|(_, value)| value.len()).sum();
    let mut text = String::with_capacity(template.len() + room);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let value = behind.split_once('}').and_then(|(name, rest)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, rest))
        });
        match value {
            Some((value, behind)) => {
                text.push_str(value);
                rest = behind;
            }
            None => {
                text.push('{');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
    text
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
        (features.extraction.is_some(), 2048),
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
        text.push_str(&filled(include_str!("templates/answer.txt"), &[("prompt", &inert(&json!(prompt)))]));
    }
    if let Some(request) = &features.extraction {
        text.push_str(&extraction(request));
    }
    text.truncate(text.trim_end().len());
    text
}

fn sensitivity(request: &SensitivityRequest) -> String {
    let kind = |category: &str| match sensitivity_meaning(category) {
        Some(meaning) => json!({"category": category, "meaning": meaning}),
        None => json!({"category": category}),
    };
    let kinds: Vec<Value> = if request.categories.is_empty() {
        DEFAULT_SENSITIVITY_CATEGORIES.into_iter().map(kind).collect()
    } else {
        request.categories.iter().map(|category| kind(category)).collect()
    };
    filled(include_str!("templates/sensitivity.txt"), &[("categories", &inert(&Value::from(kinds)))])
}

fn extraction(request: &ExtractionRequest) -> String {
    let mut text = include_str!("templates/extraction.txt").to_owned();
    if !request.instruction.trim().is_empty() {
        let instruction = inert(&json!(request.instruction));
        text.push_str(&filled(include_str!("templates/instruction.txt"), &[("instruction", &instruction)]));
    }
    text
}

fn labels(request: &LabelsRequest) -> String {
    let most = request.max_results.to_string();
    let mut text = filled(include_str!("templates/labels.txt"), &[("max_results", &most)]);
    if !request.vocabulary.is_empty() {
        let vocabulary = inert(&json!(request.vocabulary));
        text.push_str(&filled(include_str!("templates/vocabulary.txt"), &[("vocabulary", &vocabulary)]));
    }
    text
}

/// JSON on one line, whatever a reader takes for a line break, in which no angle bracket survives: data cannot pass for
/// lines or markup of the prompt.
fn inert(value: &Value) -> String {
    let json = value.to_string();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests;
