//! What is asked.

use std::collections::BTreeMap;

use serde_json::json;
use sightline::{
    catalog::Catalog,
    domain::{Coordinates, ExtractionRequest, Features, LabelsRequest, SensitivityRequest, Size, Strategy},
    pipeline::{Question, ThinkingParameter},
    prompt::{self, Brief},
};

/// Features of a request.
pub struct Asked(Features);

impl Asked {
    /// The schema of a set of features is made once in a process: here, so that what is counted is a request as any other.
    fn again(features: Features) -> Self {
        let asked = Self(features);
        prompt::build(&asked.brief());
        asked
    }

    /// What the prompt is built of.
    pub fn brief(&self) -> Brief<'_> {
        Brief {
            features: &self.0,
            language: "en",
            size: Size::new(1270, 952),
            coordinates: Coordinates::Pixels,
            strategy: Strategy::ForcedTool,
        }
    }
}

/// The most common request.
pub fn labels() -> Asked {
    Asked::again(Features { description: true, labels: Some(LabelsRequest::default()), ..Features::default() })
}

/// All features but a schema of the caller's.
pub fn everything() -> Asked {
    let vocabulary = ["person", "dog", "car", "<sign>"].map(str::to_owned).to_vec();
    Asked::again(Features {
        description: true,
        sensitivity: Some(SensitivityRequest::default()),
        labels: Some(LabelsRequest { vocabulary, ..LabelsRequest::default() }),
        text: true,
        prompt: Some("How many people are there?".to_owned()),
        extraction: None,
    })
}

/// A schema of the caller's, which is made anew for each request.
pub fn extraction() -> Asked {
    let item = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 80}, "price": {"type": "number", "minimum": 0}},
        "required": ["name", "price"]
    });
    let schema = json!({
        "type": "object",
        "properties": {
            "shop": {"type": ["string", "null"], "description": "As it is printed."},
            "date": {"type": "string", "format": "date"},
            "currency": {"enum": ["EUR", "USD", "KRW"]},
            "items": {"type": "array", "items": item, "maxItems": 100}
        },
        "required": ["shop", "items"]
    });
    let instruction = "A receipt. Leave out the deposit.".to_owned();
    Asked::again(Features { extraction: Some(ExtractionRequest { schema, instruction }), ..Features::default() })
}

/// The question for all features about a picture of so many bytes.
pub fn question(image_bytes: usize) -> Question {
    // No byte is worth more to base64 or SHA-256 than another.
    let image: Vec<u8> = (0..=u8::MAX).cycle().take(image_bytes).collect();
    Question {
        model: Catalog::built_in().unwrap_or_else(|error| unreachable!("{error}")).resolve("claude-sonnet-5"),
        image: image.into(),
        media_type: "image/jpeg",
        prompt: prompt::build(&everything().brief()),
        strategy: Strategy::ForcedTool,
        max_output_tokens: 8192,
        thinking: ThinkingParameter::Disabled,
        correction: None,
        temperature: Some(0.2),
        top_p: None,
        top_k: None,
        keeps_body: false,
        tags: BTreeMap::new(),
    }
}
