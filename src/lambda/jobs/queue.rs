//! Messages of Amazon SQS that hold events: those that must come again are named, the others are done.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    super::{Failure, Remedy},
    Jobs,
    fault::Fault,
    field, invalid,
    notification::{Record, record_done, records},
    object::Malformed,
    question::Question,
    work::Work,
};

/// Most messages of one batch, which is Lambda's own limit.
const MAX_MESSAGES: usize = 10_000;
/// Most bytes of a message, which is SQS's own limit.
const MAX_BODY: usize = 1 << 20;

/// A message.
struct Message<'a> {
    id: &'a str,
    records: Result<Vec<Record>, Malformed>,
}

impl Jobs<'_> {
    /// Works on the messages of a batch, at most as many at once as objects may be in work; messages of one group of a FIFO
    /// queue one after the other. Answers those that are to come again.
    ///
    /// # Errors
    /// When no message can be done before the function is set up otherwise, or the event is none.
    pub(super) async fn queue(&self, event: &Value) -> Result<Value, Failure> {
        let groups = groups(event)?;
        let count: usize = groups.iter().map(Vec::len).sum();
        let question = Question::of_the_function(self.handler).map_err(|fault| fault.failure)?;
        let work = self.work_on_events(&question);
        let outcomes: Vec<_> = stream::iter(&groups)
            .map(|group| group_done(&work, group))
            .buffered(self.handler.concurrency())
            .collect()
            .await;
        let failed: Vec<_> = outcomes.into_iter().flatten().collect();
        // An alarm on the function's errors is to know of it.
        if failed.len() == count
            && let Some((_, Some(fault))) =
                failed.iter().find(|(_, fault)| fault.as_ref().is_some_and(|fault| fault.remedy == Remedy::Operator))
        {
            return Err(fault.failure.clone());
        }
        let failures: Vec<_> = failed.iter().map(|(id, _)| json!({"itemIdentifier": id})).collect();
        Ok(json!({"batchItemFailures": failures}))
    }
}

/// A message that is to come again, and why; one behind it in its group has no reason of its own.
type Again<'a> = (&'a str, Option<Fault>);

/// Works on messages in their order, until one fails: those behind it must stay behind it.
async fn group_done<'a>(work: &Work<'_>, group: &[Message<'a>]) -> Vec<Again<'a>> {
    for (at, message) in group.iter().enumerate() {
        if let Err(fault) = message_done(work, message).await {
            let reason = fault.failure.reason();
            tracing::warn!(id = message.id, reason, "a message is to come again");
            let behind = group.iter().skip(at + 1).map(|message| (message.id, None));
            return std::iter::once((message.id, Some(fault))).chain(behind).collect();
        }
    }
    Vec::new()
}

async fn message_done(work: &Work<'_>, message: &Message<'_>) -> Result<(), Fault> {
    let records = message.records.as_ref().map_err(Fault::malformed)?;
    // Every record is tried: the message comes again for those that fail, and finds the others done.
    let mut failed = Ok(());
    for record in records {
        if let Err(fault) = record_done(work, record).await {
            failed = Err(fault);
        }
    }
    failed
}

/// The messages by their group, in their order; without one, each message is its own.
fn groups(event: &Value) -> Result<Vec<Vec<Message<'_>>>, Failure> {
    let listed = field(event, "Records").as_array().ok_or_else(|| invalid("Records is no list"))?;
    if listed.len() > MAX_MESSAGES {
        return Err(invalid(format!("it has more than {MAX_MESSAGES} messages")));
    }
    let mut groups: Vec<Vec<Message<'_>>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for record in listed {
        // Without an id nothing can be said of a message but of the batch.
        let id = field(record, "messageId").as_str().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| invalid("a message has no messageId"))?;
        let message = Message { id, records: body(field(record, "body")) };
        let is_fifo = field(record, "eventSourceARN").as_str().is_some_and(|arn| arn.ends_with(".fifo"));
        let group = field(field(record, "attributes"), "MessageGroupId").as_str().filter(|_| is_fifo);
        match group.and_then(|group| groups.get_mut(*places.get(group)?)) {
            Some(group) => group.push(message),
            None => {
                places.extend(group.map(|group| (group, groups.len())));
                groups.push(vec![message]);
            }
        }
    }
    Ok(groups)
}

/// What a message's body asks for: an event of S3 or EventBridge, as it is or as the message of an SNS notification.
fn body(body: &Value) -> Result<Vec<Record>, Malformed> {
    let event = parsed(body.as_str().ok_or_else(|| Malformed::new("the body is no text"))?)?;
    match (field(&event, "Type"), field(&event, "Message")) {
        (Value::String(kind), Value::String(message)) if kind == "Notification" => records(&parsed(message)?),
        _ => records(&event),
    }
}

fn parsed(text: &str) -> Result<Value, Malformed> {
    if text.len() > MAX_BODY {
        return Err(Malformed::new(format!("the body has more than {MAX_BODY} bytes")));
    }
    serde_json::from_str(text).map_err(|_| Malformed::new("the body is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::jobs::object::Target;

    fn s3_event(key: &str) -> Value {
        json!({"Records": [{
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "photos"}, "object": {"key": key, "eTag": "e"}},
        }]})
    }

    fn only_target(text: String) -> Target {
        let records = body(&Value::String(text)).unwrap();
        let [Ok(Some(target))] = records.as_slice() else { panic!("{records:?}") };
        target.clone()
    }

    #[test]
    fn a_body_is_an_event_or_an_envelope_around_one() {
        let expected = Target::literal("photos", "a b", None, Some("e")).unwrap();
        let event = s3_event("a+b").to_string();
        assert_eq!(only_target(event.clone()), expected);
        let envelope = json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn", "Message": event});
        assert_eq!(only_target(envelope.to_string()), expected);
        let bridge = json!({
            "detail-type": "Object Created", "source": "aws.s3",
            "detail": {"bucket": {"name": "photos"}, "object": {"key": "a b", "etag": "e"}},
        });
        assert_eq!(only_target(bridge.to_string()), expected);
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}).to_string();
        assert_eq!(body(&Value::String(test)), Ok(vec![Ok(None)]));
    }

    #[test]
    fn a_body_that_is_no_event_is_said() {
        let twice =
            json!({"Type": "Notification", "Message": json!({"Type": "Notification", "Message": "{}"}).to_string()});
        let deep = "[".repeat(100_000);
        for text in ["", "hello", "{}", "7", &deep, &twice.to_string(), &"x".repeat(MAX_BODY + 1)] {
            assert!(body(&Value::String(text.to_owned())).is_err(), "{:.40}", text);
        }
        assert!(body(&json!({"Records": []})).is_err());
    }

    #[test]
    fn messages_of_a_group_stay_together_and_in_order() {
        let record = |id: &str, group: Option<&str>, queue: &str| {
            json!({
                "messageId": id, "body": "{}", "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:us-east-2:123456789012:{queue}"),
                "attributes": group.map_or(json!({}), |group| json!({"MessageGroupId": group})),
            })
        };
        let event = json!({"Records": [
            record("1", Some("a"), "q.fifo"), record("2", Some("b"), "q.fifo"), record("3", Some("a"), "q.fifo"),
            // A standard queue has groups for fairness, which ask for no order.
            record("4", Some("a"), "q"), record("5", None, "q"), record("6", None, "q"),
        ]});
        let groups = groups(&event).unwrap();
        let ids: Vec<Vec<_>> = groups.iter().map(|group| group.iter().map(|message| message.id).collect()).collect();
        assert_eq!(ids, [vec!["1", "3"], vec!["2"], vec!["4"], vec!["5"], vec!["6"]]);
    }

    #[test]
    fn a_batch_that_cannot_be_answered_is_refused() {
        for records in [json!(null), json!({}), json!([{"body": "{}"}]), json!([7]), json!(vec![1; 10_001])] {
            assert!(groups(&json!({"Records": records})).is_err());
        }
    }
}
