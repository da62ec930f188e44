//! What objects are asked, checked before any of them is looked at.

use serde_json::{Value, json};

use super::{
    super::{Asked, Handler, Remedy},
    fault::Fault,
    field,
};
use crate::proto::{self, AnalysisOptions, AnalyzeImageRequest, image_source::Source, json as form};

/// Hex digits that tell one question from another in a key.
const DIGITS: usize = 16;

/// A checked question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) asked: Asked,
    /// Tells it from every other question: a digest of features, options and model.
    pub(super) digest: String,
}

impl Question {
    /// What the function is set up to ask.
    pub(super) fn of_the_function(handler: &Handler) -> Result<Self, Fault> {
        let wrong = |what: String| {
            let message = format!("{what} It is set by SIGHTLINE_FEATURES and SIGHTLINE_OPTIONS.");
            Fault::question(&message, Remedy::Operator)
        };
        Self::checked(handler, handler.asked().clone()).map_err(wrong)
    }

    /// What a job asks: as the function does, where the job's own arguments do not say otherwise.
    pub(super) fn of_a_job(handler: &Handler, arguments: &Value) -> Result<Self, Fault> {
        let [features, options] = [argument(arguments, "features")?, argument(arguments, "options")?];
        if features.is_none() && options.is_none() {
            return Self::of_the_function(handler);
        }
        let wrong = |what: String| {
            let message = format!("{what} It is set by the job's user arguments.");
            Fault::question(&message, Remedy::Nothing)
        };
        let empty = || Value::Object(serde_json::Map::new());
        let named = Asked::read(&features.clone().unwrap_or_else(empty), &options.clone().unwrap_or_else(empty));
        let named = named.map_err(|error| wrong(format!("The question is wrong: {error}.")))?;
        let usual = handler.asked().clone();
        let asked = Asked {
            features: if features.is_some() { named.features } else { usual.features },
            options: if options.is_some() { named.options } else { usual.options },
        };
        Self::checked(handler, asked).map_err(wrong)
    }

    fn checked(handler: &Handler, asked: Asked) -> Result<Self, String> {
        let any_object = proto::S3Object { bucket: "any".to_owned(), key: "any".to_owned(), ..Default::default() };
        let request = AnalyzeImageRequest {
            image: Some(proto::ImageSource { source: Some(Source::S3Object(any_object)) }),
            features: Some(asked.features.clone()),
            options: Some(asked.options.clone()),
            ..Default::default()
        };
        handler.service.check_here(request).map_err(|status| format!("The question is wrong: {}", status.message()))?;
        let model = handler.model_id(&asked.options.model);
        let model = model.ok_or_else(|| "The function does not list the model that is to be asked.".to_owned())?;
        let digest = digest(&asked, model).map_err(|error| format!("The question has no JSON form: {error}."))?;
        Ok(Self { asked, digest })
    }
}

/// A user argument, which is JSON in a text.
fn argument(arguments: &Value, name: &str) -> Result<Option<Value>, Fault> {
    let wrong = || {
        let message =
            format!("The user argument {name} is no JSON object in a text, such as \"{{\\\"text\\\":{{}}}}\".");
        Fault::question(&message, Remedy::Nothing)
    };
    match field(arguments, name) {
        Value::Null => Ok(None),
        Value::String(text) => {
            let value: Value = serde_json::from_str(text).map_err(|_| wrong())?;
            value.is_object().then_some(Some(value)).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

/// A digest of canonical JSON, in which fields have one order. The model goes by its id: its name may be given to another.
fn digest(asked: &Asked, model: &str) -> Result<String, form::JsonError> {
    let options = AnalysisOptions { model: String::new(), ..asked.options.clone() };
    let canonical = json!({
        "features": form::to_value("Features", &asked.features)?,
        "options": form::to_value("AnalysisOptions", &options)?,
        "model": model,
    });
    Ok(blake3::hash(canonical.to_string().as_bytes()).to_hex().chars().take(DIGITS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(features: Value, options: Value, model: &str) -> String {
        digest(&Asked::read(&features, &options).unwrap(), model).unwrap()
    }

    #[test]
    fn a_digest_is_of_what_is_asked_however_it_is_written() {
        let asked = digest_of(json!({"labels": {"maxResults": 5}, "text": {}}), json!({"languageCode": "ko"}), "m");
        assert_eq!(asked.len(), DIGITS);
        let same = digest_of(json!({"text": {}, "labels": {"max_results": 5}}), json!({"language_code": "ko"}), "m");
        assert_eq!(asked, same);
        let named = digest_of(
            json!({"text": {}, "labels": {"maxResults": 5}}),
            json!({"languageCode": "ko", "model": "n"}),
            "m",
        );
        assert_eq!(asked, named, "the model goes by its id");
        for other in [
            digest_of(json!({"labels": {"maxResults": 6}, "text": {}}), json!({"languageCode": "ko"}), "m"),
            digest_of(json!({"labels": {"maxResults": 5}, "text": {}}), json!({}), "m"),
            digest_of(json!({"labels": {"maxResults": 5}, "text": {}}), json!({"languageCode": "ko"}), "n"),
        ] {
            assert_ne!(asked, other);
        }
    }

    #[test]
    fn user_arguments_are_json_in_texts() {
        let arguments = json!({"features": "{\"text\":{}}", "Destination": "else"});
        assert_eq!(argument(&arguments, "features"), Ok(Some(json!({"text": {}}))));
        assert_eq!(argument(&arguments, "options"), Ok(None));
        assert_eq!(argument(&Value::Null, "options"), Ok(None));
        for wrong in [
            json!({"features": {"text": {}}}),
            json!({"features": "text"}),
            json!({"features": "[]"}),
            json!({"features": 1}),
        ] {
            let fault = argument(&wrong, "features").expect_err("no argument");
            assert_eq!((fault.failure.reason(), fault.remedy), ("QUESTION_INVALID", Remedy::Nothing));
        }
    }
}
