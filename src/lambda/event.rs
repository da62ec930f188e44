//! Which event an invocation brings. Nothing is guessed: a field that is not understood is an error that says what is.

use serde_json::{Map, Value};

use super::{Asked, Failure};
use crate::proto;

/// An event, read as far as it says who has to answer it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The original's: a prompt about an object, answered in the model's own words.
    Original(OriginalEvent),
    /// The same with the contract's features, answered by a typed analysis.
    Typed(TypedEvent),
    /// Objects that one of AWS's engines names.
    Job(JobKind, Value),
}

/// Which of AWS's engines sends an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// S3 Batch Operations.
    Batch,
    /// An S3 event notification.
    Notification,
    /// EventBridge.
    EventBridge,
    /// SQS.
    Queue,
}

/// A prompt about an object.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginalEvent {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Key, taken literally.
    pub key: String,
    /// The instruction to the model.
    pub prompt: String,
    /// How; mostly the defaults.
    pub options: proto::AnalysisOptions,
    /// Whether the answer is the whole body of the model's response.
    pub full_response: bool,
}

/// Features of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedEvent {
    /// Bucket name or access-point ARN.
    pub bucket: String,
    /// Key, taken literally.
    pub key: String,
    /// What to find out, and how.
    pub asked: Asked,
}

/// The fields of an event of the original's kind.
const FIELDS: [&str; 6] = ["Bucket", "Key", "prompt", "features", "options", "full_response"];

/// What is understood, for those whose event is not.
const UNDERSTOOD: &str = r#"{"prompt", "Bucket", "Key"} with optional "full_response", "features" and "options"; events of S3 Batch Operations, S3, EventBridge and SQS"#;

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// `EVENT_UNKNOWN` or `EVENT_INVALID`, saying what is understood.
    pub fn read(event: Value) -> Result<Self, Failure> {
        let Value::Object(fields) = event else {
            return Err(unknown("The event is no JSON object."));
        };
        match kind(&fields) {
            Some(kind) => Ok(Self::Job(kind, Value::Object(fields))),
            None if fields.contains_key("Records") => {
                Err(unknown("The event's Records are none of S3 or SQS, or there are none."))
            }
            None => asked(fields),
        }
    }
}

fn kind(fields: &Map<String, Value>) -> Option<JobKind> {
    if fields.contains_key("invocationSchemaVersion") {
        return Some(JobKind::Batch);
    }
    if fields.contains_key("detail-type") {
        return Some(JobKind::EventBridge);
    }
    if fields.get("Event").is_some_and(|event| event == "s3:TestEvent") {
        return Some(JobKind::Notification);
    }
    match fields.get("Records")?.get(0)?.get("eventSource")?.as_str()? {
        "aws:s3" => Some(JobKind::Notification),
        "aws:sqs" => Some(JobKind::Queue),
        _ => None,
    }
}

fn asked(mut fields: Map<String, Value>) -> Result<Event, Failure> {
    if !FIELDS.iter().any(|name| fields.contains_key(*name)) {
        return Err(unknown("The event is of no kind that this function knows."));
    }
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(invalid(format!("The event's field {} is not understood.", shown(name))));
    }
    let (bucket, key) = (required(&mut fields, "Bucket")?, required(&mut fields, "Key")?);
    let full_response = match fields.remove("full_response") {
        None => false,
        Some(Value::Bool(full)) => full,
        Some(_) => return Err(invalid("The event's field full_response must be true or false.".to_owned())),
    };
    let options = fields.remove("options").unwrap_or_else(|| Value::Object(Map::new()));
    let Some(features) = fields.remove("features") else {
        let prompt = required(&mut fields, "prompt")?;
        let Asked { options, .. } = read(&Value::Object(Map::new()), &options)?;
        return Ok(Event::Original(OriginalEvent { bucket, key, prompt, options, full_response }));
    };
    if full_response {
        let message = "The event's field full_response goes with a prompt alone; beside features, ask for \
                       \"options\": {\"includeRawOutput\": true}.";
        return Err(invalid(message.to_owned()));
    }
    let mut asked = read(&features, &options)?;
    if fields.contains_key("prompt") {
        let text = required(&mut fields, "prompt")?;
        if asked.features.prompt.is_some() {
            return Err(invalid("The event has a prompt twice: as a field and in its features.".to_owned()));
        }
        asked.features.prompt = Some(proto::PromptFeature { text });
    }
    Ok(Event::Typed(TypedEvent { bucket, key, asked }))
}

fn read(features: &Value, options: &Value) -> Result<Asked, Failure> {
    // What is wrong may be a name of any length.
    let short = |error: String| error.chars().take(200).collect::<String>();
    Asked::read(features, options).map_err(|error| invalid(format!("The event's field {}.", short(error))))
}

fn required(fields: &mut Map<String, Value>, name: &str) -> Result<String, Failure> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(format!("The event's field {name} must be a string."))),
        None => Err(invalid(format!("The event lacks the field {name}."))),
    }
}

/// A name of the event's own, as far as a message repeats it.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!("{short:?}")
}

fn unknown(problem: &str) -> Failure {
    Failure::of_the_event("EVENT_UNKNOWN", format!("{problem} Understood are {UNDERSTOOD}."))
}

fn invalid(problem: String) -> Failure {
    Failure::of_the_event("EVENT_INVALID", format!("{problem} Understood are {UNDERSTOOD}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(more: Value) -> Value {
        let mut event = json!({"prompt": "What is this?", "Bucket": "photos", "Key": "a.jpg"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    #[test]
    fn the_originals_event_is_read_word_for_word() {
        let expected = OriginalEvent {
            bucket: "photos".to_owned(),
            key: "a.jpg".to_owned(),
            prompt: "What is this?".to_owned(),
            options: proto::AnalysisOptions::default(),
            full_response: false,
        };
        assert_eq!(Event::read(with(json!({}))), Ok(Event::Original(expected.clone())));
        let full = Event::Original(OriginalEvent { full_response: true, ..expected.clone() });
        assert_eq!(Event::read(with(json!({"full_response": true}))), Ok(full));
        let options = proto::AnalysisOptions { model: "nova-pro".to_owned(), ..Default::default() };
        let by_nova = Event::Original(OriginalEvent { options, ..expected });
        assert_eq!(Event::read(with(json!({"options": {"model": "nova-pro"}}))), Ok(by_nova));
    }

    #[test]
    fn features_make_it_typed_with_the_prompt_among_them() {
        let typed = |event| match Event::read(event) {
            Ok(Event::Typed(typed)) => typed.asked,
            other => panic!("{other:?}"),
        };
        let asked = typed(with(json!({"features": {"labels": {"maxResults": 3}}, "options": {"language_code": "ko"}})));
        assert_eq!(asked.features.prompt.unwrap().text, "What is this?");
        assert_eq!((asked.features.labels.unwrap().max_results, asked.options.language_code.as_str()), (3, "ko"));
        let alone = typed(json!({"Bucket": "photos", "Key": "a.jpg", "features": {"text": {}}}));
        assert!(alone.features.text.is_some() && alone.features.prompt.is_none());
    }

    #[test]
    fn engines_are_known_by_what_they_send() {
        for (event, kind) in [
            (json!({"invocationSchemaVersion": "1.0", "tasks": []}), JobKind::Batch),
            (json!({"Records": [{"eventSource": "aws:s3"}]}), JobKind::Notification),
            (json!({"Records": [{"eventSource": "aws:sqs"}]}), JobKind::Queue),
            (json!({"detail-type": "Object Created", "source": "aws.s3"}), JobKind::EventBridge),
            (json!({"Service": "Amazon S3", "Event": "s3:TestEvent"}), JobKind::Notification),
        ] {
            assert_eq!(Event::read(event.clone()), Ok(Event::Job(kind, event)));
        }
    }

    #[test]
    fn what_is_not_understood_is_said_with_what_is() {
        for (event, reason, said) in [
            (json!([]), "EVENT_UNKNOWN", "no JSON object"),
            (json!("text"), "EVENT_UNKNOWN", "no JSON object"),
            (json!({}), "EVENT_UNKNOWN", "no kind"),
            (json!({"key1": "value1"}), "EVENT_UNKNOWN", "no kind"),
            (json!({"Records": []}), "EVENT_UNKNOWN", "Records"),
            (json!({"Records": [{"eventSource": "aws:kinesis"}]}), "EVENT_UNKNOWN", "Records"),
            (json!({"Bucket": "photos", "Key": "a.jpg"}), "EVENT_INVALID", "lacks the field prompt"),
            (json!({"prompt": "?", "Key": "a.jpg"}), "EVENT_INVALID", "lacks the field Bucket"),
            (json!({"prompt": "?", "Bucket": "photos"}), "EVENT_INVALID", "lacks the field Key"),
            (with(json!({"Key": 7})), "EVENT_INVALID", "Key must be a string"),
            (with(json!({"Key": null})), "EVENT_INVALID", "Key must be a string"),
            (with(json!({"prompts": "?"})), "EVENT_INVALID", r#"field "prompts" is not understood"#),
            (with(json!({"key": "b.jpg"})), "EVENT_INVALID", r#"field "key" is not understood"#),
            (with(json!({"full_response": "true"})), "EVENT_INVALID", "must be true or false"),
            (with(json!({"features": {"colours": {}}})), "EVENT_INVALID", "colours"),
            (with(json!({"features": []})), "EVENT_INVALID", "features"),
            (with(json!({"options": {"modle": "x"}})), "EVENT_INVALID", "modle"),
            (with(json!({"features": {"prompt": {"text": "?"}}})), "EVENT_INVALID", "prompt twice"),
            (with(json!({"features": {"text": {}}, "full_response": true})), "EVENT_INVALID", "includeRawOutput"),
        ] {
            let failure = Event::read(event.clone()).unwrap_err();
            assert_eq!(failure.reason(), reason, "{event}: {failure}");
            assert!(failure.message().contains(said), "{event}: {failure}");
            assert!(failure.message().contains(r#"{"prompt", "Bucket", "Key"}"#), "{event}: {failure}");
        }
    }

    #[test]
    fn a_message_repeats_no_more_than_a_few_letters_of_an_event() {
        let failure = Event::read(with(json!({"x".repeat(100_000): 1}))).unwrap_err();
        assert!(failure.message().len() < 600, "{}", failure.message().len());
        let long = json!({"features": {"y".repeat(100_000): 1}, "Bucket": "b", "Key": "k"});
        assert!(Event::read(long).unwrap_err().message().len() < 600);
    }
}
