//! Events about objects: S3's own notifications and EventBridge's. Both invoke the function asynchronously: Lambda repeats
//! an invocation that fails.

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    super::{Failure, Remedy},
    Jobs,
    fault::Fault,
    field, invalid,
    object::{Malformed, Target},
    question::Question,
    work::{Done, Failures, Work},
};

/// Most records of one event. S3 sends one.
const MAX_RECORDS: usize = 1000;

/// A record of an event: an object, or nothing that is to be done.
pub(super) type Record = Result<Option<Target>, Malformed>;

/// How many objects came to what end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    results: u64,
    failures: u64,
    ignored: u64,
}

impl Jobs<'_> {
    /// Works on the objects of an S3 or EventBridge event.
    ///
    /// # Errors
    /// What is to be mended before, or by, a repeat; after every object was tried.
    pub(super) async fn notification(&self, event: &Value) -> Result<Value, Failure> {
        let records = records(event).map_err(|Malformed(what)| invalid(what))?;
        let question = Question::of_the_function(self.handler).map_err(|fault| fault.failure)?;
        let work = self.work_on_events(&question);
        let outcomes: Vec<_> = stream::iter(&records)
            .map(|record| record_done(&work, record))
            .buffered(self.handler.concurrency())
            .collect()
            .await;
        let mut totals = Totals::default();
        let mut worst: Option<Fault> = None;
        for outcome in outcomes {
            match outcome {
                Ok(Done::Result(_)) => totals.results += 1,
                Ok(Done::Failure { .. }) => totals.failures += 1,
                Ok(Done::Ignored) => totals.ignored += 1,
                // What somebody must mend is said rather than what passes.
                Err(fault) if worst.as_ref().is_none_or(|worst| worst.remedy == Remedy::Retry) => worst = Some(fault),
                Err(_) => {}
            }
        }
        match worst {
            Some(fault) => Err(fault.failure),
            None => Ok(json!({
                "results": totals.results, "failures": totals.failures, "ignored": totals.ignored,
            })),
        }
    }

    /// Events have no report: what fails for good is written too.
    pub(super) fn work_on_events<'a>(&'a self, question: &'a Question) -> Work<'a> {
        Work { jobs: self, question, failures: Failures::Written }
    }
}

/// Does what a record asks for.
pub(super) async fn record_done(work: &Work<'_>, record: &Record) -> Result<Done, Fault> {
    match record {
        Ok(Some(target)) => work.on(target).await,
        Ok(None) => Ok(Done::Ignored),
        Err(malformed) => Err(Fault::malformed(malformed)),
    }
}

/// What the records of an event ask for.
pub(super) fn records(event: &Value) -> Result<Vec<Record>, Malformed> {
    if field(event, "Event") == "s3:TestEvent" {
        return Ok(vec![Ok(None)]);
    }
    if event.get("detail-type").is_some() {
        return Ok(vec![event_bridge(event)]);
    }
    let records =
        field(event, "Records").as_array().ok_or_else(|| Malformed::new("it has neither Records nor detail-type"))?;
    if records.len() > MAX_RECORDS {
        return Err(Malformed::new(format!("it has more than {MAX_RECORDS} records")));
    }
    Ok(records.iter().map(s3_record).collect())
}

/// A record of an S3 event notification, whose key is URL-encoded. Versions of the event that S3 makes later add fields.
fn s3_record(record: &Value) -> Record {
    if field(record, "eventSource") != "aws:s3" {
        return Err(Malformed::new("a record's eventSource is not aws:s3"));
    }
    let name = text(field(record, "eventName"), "eventName")?.unwrap_or_default();
    // Events without a test are said without `s3:` in front; configurations have it.
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let (bucket, object) = (field(field(record, "s3"), "bucket"), field(field(record, "s3"), "object"));
    Target::encoded(
        required(field(bucket, "name"), "s3.bucket.name")?,
        required(field(object, "key"), "s3.object.key")?,
        text(field(object, "versionId"), "s3.object.versionId")?,
        text(field(object, "eTag"), "s3.object.eTag")?,
    )
    .map(Some)
}

/// An event of EventBridge, which writes keys as they are.
fn event_bridge(event: &Value) -> Record {
    if field(event, "source") != "aws.s3" {
        return Err(Malformed::new("its source is not aws.s3"));
    }
    if field(event, "detail-type") != "Object Created" {
        return Ok(None);
    }
    let (bucket, object) = (field(field(event, "detail"), "bucket"), field(field(event, "detail"), "object"));
    Target::literal(
        required(field(bucket, "name"), "detail.bucket.name")?,
        required(field(object, "key"), "detail.object.key")?,
        text(field(object, "version-id"), "detail.object.version-id")?,
        text(field(object, "etag"), "detail.object.etag")?,
    )
    .map(Some)
}

fn required<'a>(value: &'a Value, name: &str) -> Result<&'a str, Malformed> {
    text(value, name)?.ok_or_else(|| Malformed::new(format!("{name} is missing")))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<Option<&'a str>, Malformed> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err(Malformed::new(format!("{name} is no text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3_event(name: &str, object: Value) -> Value {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-2", "eventName": name,
            "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"}, "object": object},
        }]})
    }

    fn only(event: &Value) -> Record {
        let mut records = records(event).unwrap();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    #[test]
    fn keys_of_s3_are_encoded_and_those_of_eventbridge_are_not() {
        let object = json!({"key": "red+flower%2B.jpg", "size": 1, "eTag": "d41d", "sequencer": "0C0F"});
        let expected = Target::literal("photos", "red flower+.jpg", None, Some("d41d")).map(Some);
        assert_eq!(only(&s3_event("ObjectCreated:Put", object.clone())), expected);
        assert_eq!(only(&s3_event("s3:ObjectCreated:CompleteMultipartUpload", object)), expected);
        let event = json!({
            "version": "0", "detail-type": "Object Created", "source": "aws.s3",
            "detail": {"bucket": {"name": "photos"}, "object": {"key": "a+b%2B.jpg", "etag": "e", "version-id": "v"}},
        });
        assert_eq!(only(&event), Target::literal("photos", "a+b%2B.jpg", Some("v"), Some("e")).map(Some));
    }

    #[test]
    fn other_events_are_nothing_to_do() {
        for name in ["ObjectRemoved:Delete", "ObjectRestore:Post", "ObjectTagging:Put", ""] {
            assert_eq!(only(&s3_event(name, json!({"key": "k"}))), Ok(None), "{name}");
        }
        assert_eq!(only(&json!({"detail-type": "Object Deleted", "source": "aws.s3", "detail": {}})), Ok(None));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"});
        assert_eq!(only(&test), Ok(None));
        assert_eq!(records(&json!({"Records": []})), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_event_is_said() {
        for object in [json!({}), json!({"key": 7}), json!({"key": "%"}), json!({"key": "k", "eTag": [1]}), json!([])] {
            assert!(only(&s3_event("ObjectCreated:Put", object.clone())).is_err(), "{object}");
        }
        assert!(only(&json!({"Records": [{"eventSource": "aws:sns"}]})).is_err());
        assert!(only(&json!({"Records": [7]})).is_err());
        assert!(only(&json!({"detail-type": "Object Created", "source": "mine", "detail": {}})).is_err());
        for event in [json!({}), json!(7), json!({"Records": {}}), json!({"Records": vec![1; 1001]})] {
            assert!(records(&event).is_err(), "{event}");
        }
    }
}
