//! What the Lambda function adds to the server's settings. It has no command line: all of it comes from the environment.

use clap::{Args, FromArgMatches as _};
use serde_json::{Map, Value};

use super::without_empty_variables;
use crate::domain::Location;

/// What objects of events are asked when the function is told nothing else, as JSON of the contract's `Features`.
const DEFAULT_FEATURES: &str = r#"{"description":{},"sensitivity":{},"labels":{}}"#;
/// Longest text of a setting that holds JSON, in bytes; Lambda allows 4 KiB for the whole environment.
const MAX_JSON_BYTES: usize = 64 << 10;

/// Settings of the Lambda function alone, beside those of the server.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct FunctionArgs {
    /// Where results of events and of S3 Batch Operations are written: s3://BUCKET/PREFIX.
    #[arg(long, env = "SIGHTLINE_RESULTS", value_name = "s3://BUCKET/PREFIX", value_parser = results)]
    pub results: Option<Location>,

    /// What objects of events are asked: JSON of the contract's `Features`.
    #[arg(long, env = "SIGHTLINE_FEATURES", default_value = DEFAULT_FEATURES, value_name = "JSON", value_parser = object)]
    pub features: Value,

    /// How objects of events are analyzed: JSON of the contract's `AnalysisOptions`.
    #[arg(long, env = "SIGHTLINE_OPTIONS", default_value = "{}", value_name = "JSON", value_parser = object)]
    pub options: Value,

    /// Objects of one event in work at once.
    #[arg(long, env = "SIGHTLINE_BATCH_CONCURRENCY", default_value_t = 8, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch_concurrency: u32,
}

impl FunctionArgs {
    /// The settings that the environment makes.
    ///
    /// # Errors
    /// When a variable holds nonsense.
    pub fn from_environment() -> Result<Self, clap::Error> {
        let command = without_empty_variables(Self::augment_args(clap::Command::new("bootstrap")));
        Self::from_arg_matches(&command.try_get_matches_from(["bootstrap"])?)
    }
}

fn results(text: &str) -> Result<Location, String> {
    let location: Location = text.trim().parse().map_err(str::to_owned)?;
    let prefix = location.key.as_deref().unwrap_or_default();
    if !text.trim().starts_with("s3://") || prefix.len() > 512 || prefix.starts_with('/') {
        return Err("write s3://BUCKET/PREFIX, with at most 512 bytes of prefix and no slash before it".to_owned());
    }
    Ok(location)
}

fn object(text: &str) -> Result<Value, String> {
    if text.len() > MAX_JSON_BYTES {
        return Err(format!("has {} bytes, more than {MAX_JSON_BYTES}", text.len()));
    }
    let fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("is no JSON object: {error}"))?;
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<FunctionArgs, String> {
        let command = FunctionArgs::augment_args(clap::Command::new("bootstrap"));
        let matches = command.try_get_matches_from(["bootstrap", &format!("--{name}={value}")]);
        FunctionArgs::from_arg_matches(&matches.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    #[test]
    fn results_lie_under_a_prefix_of_a_bucket() {
        let of = |text| read("results", text).map(|args| args.results.unwrap());
        let bucket = |key: Option<&str>| Location { bucket: "out".to_owned(), key: key.map(str::to_owned) };
        assert_eq!(of("s3://out"), Ok(bucket(None)));
        assert_eq!(of("s3://out/a/b/"), Ok(bucket(Some("a/b/"))));
        for wrong in ["out/a", "s3://", "s3:///a", "s3://out//a", &format!("s3://out/{}", "x".repeat(513))] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_place() {
        assert!(read("features", r#"{"text":{}}"#).is_ok());
        for wrong in ["", "[]", "{", "text", &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_JSON_BYTES))] {
            assert!(read("features", wrong).is_err(), "{wrong}");
        }
        assert!(read("options", "{\"model\":").unwrap_err().contains("line 1 column"), "where it is wrong");
        assert!(read("batch-concurrency", "0").is_err());
    }

    #[test]
    fn the_defaults_ask_for_what_most_want() {
        let command = FunctionArgs::augment_args(clap::Command::new("bootstrap")).mut_args(|arg| arg.env(None));
        let args = FunctionArgs::from_arg_matches(&command.get_matches_from(["bootstrap"])).unwrap();
        let names: Vec<_> = args.features.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["description", "labels", "sensitivity"]);
        assert_eq!((args.results, args.options, args.batch_concurrency), (None, serde_json::json!({}), 8));
    }
}
