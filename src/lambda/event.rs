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
    Asked::read(features, options).map_err(|error| invalid(format!("The event's field {error}.")))
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
