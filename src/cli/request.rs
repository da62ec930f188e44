//! What to find out, as flags.

use super::schema::{self, Schema};
use crate::proto::{
    self, AnalysisOptions, AnalyzeImageRequest, DescriptionFeature, ExtractionFeature, Features, ImageSource,
    LabelsFeature, OversizePolicy, PromptFeature, SensitivityFeature, TextFeature,
};

/// How the server's kept results are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CacheMode {
    /// Take a kept result, keep a new one.
    ReadWrite,
    /// Ask the model, and keep the result.
    Refresh,
    /// Ask the model, and keep nothing.
    Off,
}

/// The flags that say what to find out, and how. With no feature flag: description, sensitivity and labels.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RequestArgs {
    /// Describe the picture. [default with --sensitivity and --labels when no feature is asked for]
    #[arg(long, help_heading = "Features")]
    pub description: bool,

    /// Judge whether the picture shows sensitive information, and why.
    #[arg(long, help_heading = "Features")]
    pub sensitivity: bool,

    /// Name the objects in the picture and locate them.
    #[arg(long, help_heading = "Features")]
    pub labels: bool,

    /// Read the text in the picture.
    #[arg(long, help_heading = "Features")]
    pub text: bool,

    /// Ask this about the picture, in your own words.
    #[arg(long, value_name = "TEXT", help_heading = "Features")]
    pub prompt: Option<String>,

    /// Extract values by the JSON Schema in this file. Its top has "type": "object"; it is checked here first.
    #[arg(long, value_name = "SCHEMA.json", value_parser = schema::read, help_heading = "Features")]
    pub extract: Option<Schema>,

    /// What the values of --extract mean, in your own words.
    #[arg(long, value_name = "TEXT", requires = "extract", help_heading = "Feature details")]
    pub extract_instruction: Option<String>,

    /// Kind of sensitive information to look for, such as face or license-plate. Repeat for more; without it the
    /// server's own list. Implies --sensitivity.
    #[arg(long = "category", value_name = "KIND", help_heading = "Feature details")]
    pub categories: Vec<String>,

    /// Most labels to answer, up to 500; the server's default is 50. Implies --labels.
    #[arg(long, value_name = "COUNT", help_heading = "Feature details")]
    pub max_labels: Option<i32>,

    /// Leave out labels that the model is less sure of than this, 0 to 1. Implies --labels.
    #[arg(long, value_name = "SHARE", help_heading = "Feature details")]
    pub min_confidence: Option<f32>,

    /// Look for this object only, by name in any language. Repeat for more. Implies --labels.
    #[arg(long, value_name = "NAME", help_heading = "Feature details")]
    pub vocabulary: Vec<String>,

    /// Model alias or Bedrock id; without it the server's default.
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    pub model: Option<String>,

    /// Language of the answer's prose, such as ko; without it English.
    #[arg(long, env = "SIGHTLINE_LANGUAGE", value_name = "CODE", help_heading = "Model")]
    pub language: Option<String>,

    /// Most output tokens; without it a number that fits the features.
    #[arg(long, value_name = "COUNT", help_heading = "Model")]
    pub max_output_tokens: Option<i32>,

    /// Sampling temperature, 0 to 1, on models that take one.
    #[arg(long, value_name = "VALUE", help_heading = "Model")]
    pub temperature: Option<f32>,

    /// Refuse a picture larger than the model sees, instead of resizing it.
    #[arg(long, help_heading = "Model")]
    pub reject_oversize: bool,

    /// What to do with earlier results for the same picture and question: take one and keep a new one (read-write, the
    /// default), ask again and keep the new one (refresh), or neither (off).
    #[arg(long, value_name = "MODE", hide_possible_values = true, help_heading = "Model")]
    pub cache: Option<CacheMode>,

    /// Show the model's own answer too.
    #[arg(long)]
    pub raw: bool,
}

impl RequestArgs {
    /// The request for one picture.
    pub fn request(&self, image: ImageSource) -> AnalyzeImageRequest {
        AnalyzeImageRequest {
            image: Some(image),
            features: Some(self.features()),
            options: Some(self.options()),
            ..AnalyzeImageRequest::default()
        }
    }

    /// What to find out.
    pub fn features(&self) -> Features {
        let own_words = self.prompt.is_some() || self.extract.is_some();
        let named = [self.description, self.sensitivity, self.labels, self.text, own_words];
        let default = !named.contains(&true);
        let sensitivity = default || self.sensitivity || !self.categories.is_empty();
        let labels = default || self.labels || self.details_labels();
        Features {
            description: (default || self.description).then_some(DescriptionFeature {}),
            sensitivity: sensitivity.then(|| SensitivityFeature { categories: self.categories.clone() }),
            labels: labels.then(|| LabelsFeature {
                max_results: self.max_labels.unwrap_or_default(),
                min_confidence: self.min_confidence,
                vocabulary: self.vocabulary.clone(),
            }),
            text: self.text.then_some(TextFeature {}),
            prompt: self.prompt.clone().map(|text| PromptFeature { text }),
            extraction: self.extract.as_ref().map(|schema| ExtractionFeature {
                json_schema: Some(schema.message()),
                instruction: self.extract_instruction.clone().unwrap_or_default(),
            }),
        }
    }

    fn details_labels(&self) -> bool {
        self.max_labels.is_some() || self.min_confidence.is_some() || !self.vocabulary.is_empty()
    }

    /// How to find it out.
    pub fn options(&self) -> AnalysisOptions {
        let oversize = if self.reject_oversize { OversizePolicy::Reject } else { OversizePolicy::Unspecified };
        let cache = match self.cache {
            None => proto::CacheMode::Unspecified,
            Some(CacheMode::ReadWrite) => proto::CacheMode::ReadWrite,
            Some(CacheMode::Refresh) => proto::CacheMode::Refresh,
            Some(CacheMode::Off) => proto::CacheMode::Off,
        };
        AnalysisOptions {
            model: self.model.clone().unwrap_or_default(),
            language_code: self.language.clone().unwrap_or_default(),
            max_output_tokens: self.max_output_tokens.unwrap_or_default(),
            temperature: self.temperature,
            oversize_policy: oversize.into(),
            include_raw_output: self.raw,
            cache_mode: cache.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RequestArgs,
    }

    fn request(line: &str) -> AnalyzeImageRequest {
        let words = std::iter::once("sightline").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args.request(ImageSource::default())
    }

    fn asked(line: &str) -> Vec<&'static str> {
        let features = request(line).features.unwrap();
        let asked = [
            (features.description.is_some(), "description"),
            (features.sensitivity.is_some(), "sensitivity"),
            (features.labels.is_some(), "labels"),
            (features.text.is_some(), "text"),
            (features.prompt.is_some(), "prompt"),
            (features.extraction.is_some(), "extraction"),
        ];
        asked.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
    }

    fn schema_file() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/ticket.schema.json")
    }

    #[test]
    fn an_extraction_carries_the_file_and_the_instruction() {
        let line = format!("--extract {} --extract-instruction gates", schema_file());
        let extraction = request(&line).features.unwrap().extraction.unwrap();
        assert_eq!(extraction.instruction, "gates");
        assert!(extraction.json_schema.unwrap().fields.contains_key("properties"));
        let words = ["sightline", "--extract-instruction", "gates"];
        assert!(Line::try_parse_from(words).is_err(), "an instruction without a schema");
    }

    #[test]
    fn without_a_feature_the_original_three_are_asked_for() {
        assert_eq!(asked(""), ["description", "sensitivity", "labels"]);
        assert_eq!(asked("--max-labels 5 --raw"), ["description", "sensitivity", "labels"]);
    }

    #[test]
    fn a_feature_asks_for_itself_alone_and_a_detail_for_its_feature() {
        assert_eq!(asked("--text"), ["text"]);
        assert_eq!(asked("--prompt why"), ["prompt"]);
        assert_eq!(asked(&format!("--extract {}", schema_file())), ["extraction"]);
        assert_eq!(asked("--text --category face"), ["sensitivity", "text"]);
        assert_eq!(asked("--description --vocabulary cat"), ["description", "labels"]);
    }

    #[test]
    fn every_option_reaches_the_request() {
        let request = request(
            "--max-labels 7 --min-confidence 0 --vocabulary cat --vocabulary dog --category face --model m --language ko \
             --max-output-tokens 9 --temperature 0 --reject-oversize --cache refresh --raw",
        );
        insta::assert_snapshot!(format!("{request:#?}"));
    }
}
