//! S3 Batch Operations: every task is answered exactly once, by what a repeat of it could do.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    super::{Failure, Remedy},
    Jobs,
    fault::Fault,
    field, invalid,
    object::{Malformed, Target, bucket_of_arn},
    question::Question,
    work::{Done, Failures, Work},
};

/// Most tasks of one invocation. S3 sends one.
const MAX_TASKS: usize = 1000;
/// Most characters of what the job's report shows of a task.
const MAX_RESULT: usize = 1024;

/// A task that can be answered.
#[derive(Debug, PartialEq)]
struct Task<'a> {
    id: &'a str,
    target: Result<Target, Malformed>,
}

/// What the job's report says of a task.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Succeeded(String),
    TemporaryFailure(String),
    PermanentFailure(String),
}

impl Jobs<'_> {
    /// Answers an invocation of S3 Batch Operations.
    ///
    /// # Errors
    /// An event that cannot be answered task by task.
    pub(super) async fn batch(&self, event: &Value) -> Result<Value, Failure> {
        let version = field(event, "invocationSchemaVersion").as_str().unwrap_or_default();
        if !matches!(version, "1.0" | "2.0") {
            return Err(invalid("invocationSchemaVersion is neither 1.0 nor 2.0"));
        }
        let tasks = tasks(event)?;
        let question = Question::of_a_job(self.handler, field(field(event, "job"), "userArguments"));
        let answers = stream::iter(&tasks)
            .map(|task| self.answer(task, &question))
            .buffered(self.handler.concurrency())
            .collect::<Vec<_>>()
            .await;
        let results: Vec<_> = tasks.iter().zip(answers).map(|(task, answer)| result(task.id, answer)).collect();
        Ok(json!({
            "invocationSchemaVersion": version,
            "treatMissingKeysAs": "TemporaryFailure",
            "invocationId": field(event, "invocationId").as_str().unwrap_or_default(),
            "results": results,
        }))
    }

    async fn answer(&self, task: &Task<'_>, question: &Result<Question, Fault>) -> Answer {
        let outcome = match (&task.target, question) {
            (Err(malformed), _) => Err(Fault::malformed(malformed)),
            (_, Err(fault)) => Err(fault.clone()),
            (Ok(target), Ok(question)) => Work { jobs: self, question, failures: Failures::Reported }.on(target).await,
        };
        match outcome {
            Ok(Done::Result(key)) => Answer::Succeeded(self.location.address(&key)),
            Ok(Done::Ignored) => Answer::PermanentFailure("EVENT_INVALID: The object is a result itself.".to_owned()),
            Ok(Done::Failure { key, why }) => {
                Answer::PermanentFailure(format!("{why} (kept in {})", self.location.address(&key)))
            }
            Err(fault) => {
                let (reason, said) = (fault.failure.reason(), fault.words());
                tracing::warn!(reason, task = task.id, "a task of S3 Batch Operations failed");
                // The job's own thresholds stop a job whose function is set up wrong.
                match fault.remedy {
                    Remedy::Nothing => Answer::PermanentFailure(said),
                    Remedy::Retry | Remedy::Operator => Answer::TemporaryFailure(said),
                }
            }
        }
    }
}

/// The tasks of an event, each id once. One without an id cannot be answered: S3 repeats what has no answer.
fn tasks(event: &Value) -> Result<Vec<Task<'_>>, Failure> {
    let listed = field(event, "tasks").as_array().filter(|tasks| !tasks.is_empty());
    let listed = listed.ok_or_else(|| invalid("tasks is no list, or an empty one"))?;
    if listed.len() > MAX_TASKS {
        return Err(invalid(format!("it has more than {MAX_TASKS} tasks")));
    }
    let mut tasks: Vec<Task<'_>> = Vec::with_capacity(listed.len());
    let mut places = HashMap::new();
    for task in listed {
        let Some(id) = field(task, "taskId").as_str().filter(|id| !id.is_empty()) else {
            tracing::warn!("a task of S3 Batch Operations has no taskId");
            continue;
        };
        let target = target(task);
        match places.get(id).and_then(|place: &usize| tasks.get_mut(*place)) {
            None => {
                places.insert(id, tasks.len());
                tasks.push(Task { id, target });
            }
            Some(earlier) if earlier.target != target => {
                earlier.target = Err(Malformed::new("its taskId stands for two objects"));
            }
            Some(_) => {}
        }
    }
    match tasks.is_empty() {
        true => Err(invalid("no task has a taskId")),
        false => Ok(tasks),
    }
}

fn target(task: &Value) -> Result<Target, Malformed> {
    let text = |name: &str| match field(task, name) {
        Value::String(text) => Ok(Some(text.as_str())),
        Value::Null => Ok(None),
        _ => Err(Malformed::new(format!("{name} is no text"))),
    };
    let bucket = match (text("s3Bucket")?, text("s3BucketArn")?) {
        (Some(name), _) => name,
        (None, Some(arn)) => bucket_of_arn(arn)?,
        (None, None) => return Err(Malformed::new("s3Bucket and s3BucketArn are missing")),
    };
    let key = text("s3Key")?.ok_or_else(|| Malformed::new("s3Key is missing"))?;
    Target::encoded(bucket, key, text("s3VersionId")?, None)
}

/// A text in one line of at most `most` characters: people open the report as a table.
fn line(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

fn result(task_id: &str, answer: Answer) -> Value {
    let (code, said) = match answer {
        Answer::Succeeded(said) => ("Succeeded", said),
        Answer::TemporaryFailure(said) => ("TemporaryFailure", said),
        Answer::PermanentFailure(said) => ("PermanentFailure", said),
    };
    json!({"taskId": task_id, "resultCode": code, "resultString": line(&said, MAX_RESULT)})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tasks: Value) -> Value {
        json!({"invocationSchemaVersion": "1.0", "invocationId": "i", "job": {"id": "j"}, "tasks": tasks})
    }

    #[test]
    fn tasks_of_both_schemas_name_their_objects() {
        let arn = "arn:aws:s3:us-east-1:0123456788:amzn-s3-demo-bucket";
        let event = event(json!([
            {"taskId": "a", "s3Key": "customer+Image1%2B.jpg", "s3VersionId": "1", "s3BucketArn": arn},
            {"taskId": "b", "s3Key": "k", "s3VersionId": null, "s3Bucket": "amzn-s3-demo-bucket--usw2-az1--x-s3"},
        ]));
        let tasks = tasks(&event).unwrap();
        assert_eq!(tasks[0].target, Target::literal("amzn-s3-demo-bucket", "customer Image1+.jpg", Some("1"), None));
        assert_eq!(tasks[1].target, Target::literal("amzn-s3-demo-bucket--usw2-az1--x-s3", "k", None, None));
    }

    #[test]
    fn a_task_that_cannot_be_read_is_its_own_failure() {
        let good = json!({"taskId": "good", "s3Key": "k", "s3BucketArn": "arn:aws:s3:::photos"});
        let wrong = [
            json!({"taskId": "w", "s3Key": 7, "s3BucketArn": "arn:aws:s3:::photos"}),
            json!({"taskId": "w", "s3BucketArn": "arn:aws:s3:::photos"}),
            json!({"taskId": "w", "s3Key": "k"}),
            json!({"taskId": "w", "s3Key": "k", "s3BucketArn": ["arn:aws:s3:::photos"]}),
            json!({"taskId": "w", "s3Key": "k", "s3BucketArn": "photos"}),
            json!({"taskId": "w", "s3Key": "k", "s3Bucket": "../photos"}),
            json!({"taskId": "w", "s3Key": "k%", "s3Bucket": "photos"}),
            json!({"taskId": "w", "s3Key": "k", "s3Bucket": "photos", "s3VersionId": {"a": 1}}),
        ];
        for task in wrong {
            let event = event(json!([task, good]));
            let tasks = tasks(&event).unwrap();
            assert_eq!((tasks[0].id, tasks[1].id), ("w", "good"), "{event}");
            assert!(tasks[0].target.is_err() && tasks[1].target.is_ok(), "{event}");
        }
    }

    #[test]
    fn an_id_is_answered_once_and_stands_for_one_object() {
        let task = |id: &str, key: &str| json!({"taskId": id, "s3Key": key, "s3Bucket": "photos"});
        let event = event(json!([task("a", "k"), task("b", "k"), task("a", "k"), task("b", "l"), {"s3Key": "k"}, 7]));
        let tasks = tasks(&event).unwrap();
        assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), ["a", "b"]);
        assert!(tasks[0].target.is_ok() && tasks[1].target.is_err());
    }

    #[test]
    fn an_event_without_a_task_to_answer_is_refused() {
        for tasks_of in
            [json!(null), json!([]), json!({"taskId": "a"}), json!([{}]), json!(vec![json!({"taskId": "a"}); 1001])]
        {
            assert!(tasks(&event(tasks_of.clone())).is_err(), "{tasks_of}");
        }
    }

    #[test]
    fn what_a_report_shows_is_short_and_one_line() {
        let shown = result("a", Answer::PermanentFailure("é\r\n".repeat(1000)));
        let said = shown["resultString"].as_str().unwrap();
        assert_eq!(said.chars().count(), 1024);
        assert!(!said.contains(char::is_control));
    }
}
