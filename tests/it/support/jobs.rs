//! Objects by the thousand before the real function: pictures that can be told apart, a model that says which one it saw,
//! and events as AWS writes them.

use std::{
    collections::HashMap,
    io::Cursor,
    sync::{Arc, Mutex},
};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use super::{
    bedrock::{Bedrock, InvokeRequest, Reply},
    lambda::Function,
    s3::S3,
};

/// Where the pictures lie.
pub const PHOTOS: &str = "photos";
/// Where results are written.
pub const RESULTS: &str = "results";
/// What their keys begin with.
pub const PREFIX: &str = "run/";

/// What the function stands on.
pub struct Stack {
    pub s3: S3,
    pub bedrock: Bedrock,
    paid: Arc<Mutex<HashMap<usize, usize>>>,
}

impl Stack {
    /// With a model that describes each picture by its number.
    pub async fn start() -> Self {
        Self::answering(|_, _| None).await
    }

    /// The same, where `instead` may answer otherwise: it is told the picture's number and how often it was asked before.
    pub async fn answering(instead: impl Fn(usize, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let s3 = S3::start().await;
        s3.create_bucket(PHOTOS);
        s3.create_bucket(RESULTS);
        let paid = Arc::new(Mutex::new(HashMap::new()));
        let (asked, answered) = (Mutex::new(HashMap::<usize, usize>::new()), Arc::clone(&paid));
        let bedrock = Bedrock::answering(move |request| {
            let number = number_in(request);
            let before = {
                let mut asked = asked.lock().unwrap();
                let times = asked.entry(number).or_default();
                *times += 1;
                *times - 1
            };
            instead(number, before).unwrap_or_else(|| {
                *answered.lock().unwrap().entry(number).or_default() += 1;
                Reply::tool(json!({"description": described(number)}))
            })
        })
        .await;
        Self { s3, bedrock, paid }
    }

    /// A function that describes what it is given, and writes results.
    pub async fn function(&self) -> Function {
        self.function_with(&[]).await
    }

    /// The same with more variables of the environment.
    pub async fn function_with(&self, more: &[(&str, &str)]) -> Function {
        let results = format!("s3://{RESULTS}/{PREFIX}");
        let mut environment =
            vec![("SIGHTLINE_RESULTS", results.as_str()), ("SIGHTLINE_FEATURES", r#"{"description":{}}"#)];
        environment.extend(more);
        Function::start(&self.s3, &self.bedrock, &environment).await
    }

    /// Stores picture `number` under a key; returns its ETag without quotes.
    pub fn put(&self, key: &str, number: usize) -> String {
        self.s3.put(PHOTOS, key, picture(number)).trim_matches('"').to_owned()
    }

    /// How often the model has answered about a picture.
    pub fn paid(&self, number: usize) -> usize {
        self.paid.lock().unwrap().get(&number).copied().unwrap_or_default()
    }

    /// The keys of all results, in order.
    pub fn results(&self) -> Vec<String> {
        self.s3.keys(RESULTS).into_iter().filter(|key| key.ends_with(".json")).collect()
    }

    /// The keys of all claims, in order.
    pub fn claims(&self) -> Vec<String> {
        self.s3.keys(RESULTS).into_iter().filter(|key| key.ends_with(".claim")).collect()
    }

    /// The one result of an object; fails the test when there are more or none.
    pub fn result_of(&self, key: &str) -> Value {
        let beginning = format!("{PREFIX}{PHOTOS}/{key}/");
        let found: Vec<_> = self.results().into_iter().filter(|result| result.starts_with(&beginning)).collect();
        assert_eq!(found.len(), 1, "results of {key}: {found:?}");
        self.document(&found[0])
    }

    /// What is written under a key of the results.
    pub fn document(&self, key: &str) -> Value {
        let object = self.s3.object(RESULTS, key).unwrap_or_else(|| panic!("no result {key}"));
        assert_eq!(object.content_type, "application/json");
        let text = std::str::from_utf8(&object.bytes).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        serde_json::from_str(text).unwrap()
    }
}

/// A small picture that says its number in its colour.
pub fn picture(number: usize) -> Vec<u8> {
    let [_, red, green, blue] = u32::try_from(number).unwrap().to_be_bytes();
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_pixel(16, 16, Rgb([red, green, blue])).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

fn number_in(request: &InvokeRequest) -> usize {
    let pixels =
        image::load_from_memory(&request.image().bytes).expect("the picture that the model was sent").to_rgb8();
    let Rgb([red, green, blue]) = *pixels.get_pixel(8, 8);
    u32::from_be_bytes([0, red, green, blue]) as usize
}

/// What the model says of a picture.
pub fn described(number: usize) -> String {
    format!("The picture with the number {number}.")
}

/// A key as S3's events and manifests write it.
pub fn encoded(key: &str) -> String {
    let escaped = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(escaped).collect()
}

/// An invocation of S3 Batch Operations in schema 1.0, with a task for each key and version, whose id is `task-` and its
/// place.
pub fn batch(objects: &[(&str, Option<&str>)]) -> Value {
    let task = |(at, (key, version)): (usize, &(&str, Option<&str>))| {
        json!({
            "taskId": format!("task-{at}"),
            "s3Key": encoded(key),
            "s3VersionId": version,
            "s3BucketArn": format!("arn:aws:s3:::{PHOTOS}"),
        })
    };
    json!({
        "invocationSchemaVersion": "1.0",
        "invocationId": "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo",
        "job": {"id": "f3cc4f60-61f6-4a2b-8a21-d07600c373ce"},
        "tasks": objects.iter().enumerate().map(task).collect::<Vec<_>>(),
    })
}

/// The answer to each task: its code and what is said.
pub fn answers(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let results = answer["results"].as_array().expect("results");
    results.iter().map(|result| (text(&result["resultCode"]), text(&result["resultString"]))).collect()
}

/// An S3 event notification about a new object.
pub fn s3_event(key: &str, etag: &str) -> Value {
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": PHOTOS,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": format!("arn:aws:s3:::{PHOTOS}"),
            },
            "object": {"key": encoded(key), "size": 1024, "eTag": etag, "sequencer": "0055AED6DCD90281E5"},
        },
    }]})
}

/// EventBridge's event about a new object.
pub fn event_bridge(key: &str, etag: &str) -> Value {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": [format!("arn:aws:s3:::{PHOTOS}")],
        "detail": {
            "version": "0",
            "bucket": {"name": PHOTOS},
            "object": {"key": key, "size": 5, "etag": etag, "sequencer": "617f08299329d189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    })
}

/// A batch of SQS messages: their ids, groups (of a FIFO queue) and bodies.
pub fn sqs(messages: &[(&str, Option<&str>, String)]) -> Value {
    let record = |(id, group, body): &(&str, Option<&str>, String)| {
        let queue = if group.is_some() { "pictures.fifo" } else { "pictures" };
        let mut attributes = json!({
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        });
        if let Some(group) = group {
            attributes["MessageGroupId"] = json!(group);
        }
        json!({
            "messageId": id,
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": body,
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:us-east-2:123456789012:{queue}"),
            "awsRegion": "us-east-2",
        })
    };
    json!({"Records": messages.iter().map(record).collect::<Vec<_>>()})
}

/// An SNS notification around an event.
pub fn sns(message: &Value) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "63a3f6b6-d533-4a47-aef9-fcf5cf758c76",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
        "Subject": "Amazon S3 Notification",
        "Message": message.to_string(),
        "Timestamp": "2012-03-29T05:12:16.901Z",
        "SignatureVersion": "1",
    })
}

/// The ids of the messages that are to come again.
pub fn again(answer: &Value) -> Vec<String> {
    let failures = answer["batchItemFailures"].as_array().expect("batchItemFailures");
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}
