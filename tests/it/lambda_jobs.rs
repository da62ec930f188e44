//! Objects that AWS's engines name, in the real function: each has one result, and is paid for once.

use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    bedrock::{Gate, Reply},
    jobs::{
        PHOTOS, PREFIX, RESULTS, Stack, again, answers, batch, described, event_bridge, picture, s3_event, sns, sqs,
    },
    lambda::Invoke,
    s3::{Failure, Object, WriteFault},
};

fn totals(results: u64, failures: u64, ignored: u64) -> Value {
    json!({"results": results, "failures": failures, "ignored": ignored})
}

#[tokio::test]
async fn an_object_is_asked_about_once_whoever_tells_of_it_and_however_often() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    let key = "a b/사진+1.png";
    let etag = stack.put(key, 7);

    assert_eq!(function.invoke(s3_event(key, &etag)).await, Ok(totals(1, 0, 0)));
    let result = stack.result_of(key);
    assert_eq!(result["source"], format!("s3://{PHOTOS}/{key}"));
    assert_eq!((&result["itemId"], &result["analysis"]["image"]["etag"]), (&json!(key), &json!(etag)));
    assert_eq!(result["analysis"]["description"]["text"], described(7));
    let written = stack.s3.object(RESULTS, &stack.results()[0]).unwrap();

    assert_eq!(function.invoke(s3_event(key, &etag)).await, Ok(totals(1, 0, 0)));
    assert_eq!(function.invoke(event_bridge(key, &etag)).await, Ok(totals(1, 0, 0)));
    let messages =
        [("m1", None, s3_event(key, &etag).to_string()), ("m2", None, sns(&s3_event(key, &etag)).to_string())];
    // Two messages of one batch about one object: one of them may find the other at work.
    let mut left = again(&function.invoke(sqs(&messages)).await.unwrap());
    if !left.is_empty() {
        left = again(&function.invoke(sqs(&messages)).await.unwrap());
    }
    assert_eq!(left, Vec::<String>::new());
    let answer = function.invoke(batch(&[(key, None)])).await.unwrap();
    assert_eq!(answers(&answer), [("Succeeded".to_owned(), format!("s3://{RESULTS}/{}", stack.results()[0]))]);

    assert_eq!((stack.paid(7), stack.bedrock.requests().len()), (1, 1));
    let still = stack.s3.object(RESULTS, &stack.results()[0]).unwrap();
    assert_eq!((still.etag, stack.results().len(), stack.claims().len()), (written.etag, 1, 0));
    assert_eq!(function.misdeeds(), Vec::<String>::new());
}

#[tokio::test]
async fn batch_operations_have_an_answer_for_every_task() {
    let stack = Stack::answering(|number, _| (number == 3).then(Reply::refusal)).await;
    let function = stack.function().await;
    stack.put("good.png", 1);
    stack.s3.put_object(PHOTOS, "versions.png", Object::new(picture(2)).version("v1"));
    stack.s3.put_object(PHOTOS, "versions.png", Object::new("no picture").version("v2"));
    stack.put("refused.png", 3);
    stack.s3.put(PHOTOS, "text.txt", "no picture");
    let mut event = batch(&[
        ("good.png", None),
        ("versions.png", Some("v1")),
        ("versions.png", Some("v2")),
        ("refused.png", None),
        ("text.txt", None),
        ("missing.png", None),
        ("100%", None),
        ("../../up.png", None),
    ]);
    event["tasks"][6]["s3Key"] = json!("100%");
    event["tasks"].as_array_mut().unwrap().push(json!({"taskId": "task-8"}));

    let answer = function.invoke(event.clone()).await.unwrap();

    for field in ["invocationSchemaVersion", "invocationId"] {
        assert_eq!(answer[field], event[field]);
    }
    assert_eq!(answer["treatMissingKeysAs"], "TemporaryFailure");
    let ids: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| result["taskId"].clone()).collect();
    assert_eq!(ids, (0..9).map(|at| json!(format!("task-{at}"))).collect::<Vec<_>>());
    let said = answers(&answer);
    for (at, (code, beginning)) in [
        ("Succeeded", "s3://results/run/photos/good.png/"),
        ("Succeeded", "s3://results/run/photos/versions.png/v1-"),
        ("PermanentFailure", "IMAGE_UNSUPPORTED: "),
        ("PermanentFailure", "MODEL_REFUSED: "),
        ("PermanentFailure", "IMAGE_UNSUPPORTED: "),
        ("PermanentFailure", "OBJECT_NOT_FOUND: "),
        ("PermanentFailure", "EVENT_INVALID: "),
        ("PermanentFailure", "OBJECT_NOT_FOUND: "),
        ("PermanentFailure", "EVENT_INVALID: "),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(said[at].0 == code && said[at].1.starts_with(beginning), "{at}: {:?}", said[at]);
    }
    assert_eq!(stack.result_of("versions.png")["analysis"]["image"]["versionId"], "v1");
    // The model was asked about the refused one, and is not asked again.
    assert_eq!(stack.result_of("refused.png")["error"]["details"][0]["reason"], "MODEL_REFUSED");
    let again = answers(&function.invoke(batch(&[("refused.png", None)])).await.unwrap());
    assert!(again[0].0 == "PermanentFailure" && again[0].1.starts_with("MODEL_REFUSED"), "{again:?}");
    assert_eq!(stack.bedrock.requests().len(), 3);
    assert_eq!((stack.results().len(), stack.claims().len()), (3, 0));
}

#[tokio::test]
async fn a_job_may_ask_another_question_by_its_user_arguments() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    stack.put("k.png", 5);
    let event = |arguments: Value| {
        json!({
            "invocationSchemaVersion": "2.0",
            "invocationId": "i",
            "job": {"id": "j", "userArguments": arguments},
            "tasks": [{"taskId": "t", "s3Key": "k.png", "s3VersionId": null, "s3Bucket": PHOTOS}],
        })
    };
    let ask = async |arguments: Value| {
        let answer = function.invoke(event(arguments)).await.unwrap();
        assert_eq!(answer["invocationSchemaVersion"], "2.0");
        answers(&answer).remove(0)
    };
    for arguments in [json!(null), json!({}), json!({"features": "{\"description\":{}}"}), json!({"other": "x"})] {
        assert_eq!(ask(arguments).await.0, "Succeeded");
    }
    assert_eq!((stack.results().len(), stack.paid(5)), (1, 1));
    let korean = ask(json!({"options": "{\"languageCode\":\"ko\"}"})).await;
    assert_eq!((korean.0.as_str(), stack.results().len(), stack.paid(5)), ("Succeeded", 2, 2));
    for wrong in [
        json!({"features": "{"}),
        json!({"features": "{\"no\":{}}"}),
        json!({"features": "{}"}),
        json!({"features": {"description": {}}}),
        json!({"options": "{\"temperature\":7}"}),
        json!({"options": "{\"model\":\"nobody-has-it\"}"}),
    ] {
        let (code, said) = ask(wrong.clone()).await;
        assert!(code == "PermanentFailure" && said.starts_with("QUESTION_INVALID: "), "{wrong}: {code} {said}");
    }
    assert_eq!((stack.results().len(), stack.claims().len(), stack.paid(5)), (2, 0, 2));
}

#[tokio::test]
async fn a_message_comes_again_when_a_repeat_may_mend_it_and_only_then() {
    let stack = Stack::answering(|number, _| match number {
        2 => Some(Reply::throttled()),
        3 => Some(Reply::refusal()),
        _ => None,
    })
    .await;
    let function = stack.function_with(&[("SIGHTLINE_MAX_MODEL_ATTEMPTS", "1")]).await;
    let event = |key: &str, number| s3_event(key, &stack.put(key, number));
    let both = |one: Value, other: Value| json!({"Records": [one["Records"][0], other["Records"][0]]});
    let mut removed = event("removed.png", 9);
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    let messages = [
        ("good", None, event("1.png", 1).to_string()),
        ("throttled", None, event("2.png", 2).to_string()),
        ("refused", None, event("3.png", 3).to_string()),
        ("half", None, both(event("4.png", 4), s3_event("2.png", &stack.put("2.png", 2))).to_string()),
        ("bridge", None, event_bridge("5 %2B.png", &stack.put("5 %2B.png", 5)).to_string()),
        ("test", None, json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": PHOTOS}).to_string()),
        ("removed", None, removed.to_string()),
        ("nonsense", None, "hello".to_owned()),
        ("gone", None, s3_event("gone.png", "d41d8cd98f00b204e9800998ecf8427e").to_string()),
    ];

    let answer = function.invoke(sqs(&messages)).await.unwrap();

    assert_eq!(again(&answer), ["throttled", "half", "nonsense"]);
    let reason = |key: &str| stack.result_of(key)["error"]["details"][0]["reason"].clone();
    assert_eq!((reason("3.png"), reason("gone.png")), (json!("MODEL_REFUSED"), json!("OBJECT_NOT_FOUND")));
    for (key, number) in [("1.png", 1), ("4.png", 4), ("5 %252B.png", 5)] {
        assert_eq!(stack.result_of(key)["analysis"]["description"]["text"], described(number));
    }
    let asked = stack.bedrock.requests().len();
    let answer = function.invoke(sqs(&[messages[0].clone(), messages[2].clone(), messages[8].clone()])).await.unwrap();
    assert_eq!((again(&answer).len(), stack.bedrock.requests().len()), (0, asked), "nothing is asked again");
    assert_eq!((stack.results().len(), stack.claims().len()), (5, 0));
}

#[tokio::test]
async fn messages_of_a_fifo_queue_keep_their_order() {
    let stack = Stack::answering(|number, _| (number == 2).then(Reply::throttled)).await;
    let function = stack.function_with(&[("SIGHTLINE_MAX_MODEL_ATTEMPTS", "1")]).await;
    let message = |id, group, number: usize| {
        let key = format!("{number}.png");
        (id, Some(group), s3_event(&key, &stack.put(&key, number)).to_string())
    };
    let answer = function
        .invoke(sqs(&[
            message("a1", "a", 1),
            message("a2", "a", 2),
            message("b1", "b", 3),
            message("a3", "a", 4),
            message("b2", "b", 5),
        ]))
        .await
        .unwrap();
    assert_eq!(again(&answer), ["a2", "a3"]);
    assert_eq!([1, 3, 4, 5].map(|number| stack.paid(number)), [1, 1, 0, 1]);
}

#[tokio::test]
async fn an_asynchronous_event_fails_with_the_reason_so_that_lambda_repeats_it() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    // As often as the SDK asks.
    stack.s3.fault_times(3, PHOTOS, "2.png", Failure::SLOW_DOWN);
    let mut event = s3_event("1.png", &stack.put("1.png", 1));
    let other = s3_event("2.png", &stack.put("2.png", 2));
    event["Records"].as_array_mut().unwrap().insert(0, other["Records"][0].clone());
    let invoke = Invoke::new(&event);
    let error = function.run(invoke.clone()).await.expect_err("a store that is busy");
    assert_eq!(error.reason, "STORAGE_UNAVAILABLE");
    assert_eq!((stack.results().len(), stack.claims().len()), (1, 0), "the other one is done");
    // Lambda repeats it under its id.
    assert_eq!(function.run(invoke).await, Ok(totals(2, 0, 0)));
    assert_eq!((stack.paid(1), stack.paid(2)), (1, 1));
}

#[tokio::test]
async fn bytes_that_have_changed_since_their_event_are_given_up_and_a_job_takes_the_new_ones() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    let old = stack.put("k.png", 1);
    let new = stack.put("k.png", 2);
    assert_eq!(function.invoke(s3_event("k.png", &old)).await, Ok(totals(0, 1, 0)));
    assert_eq!(stack.result_of("k.png")["error"]["details"][0]["reason"], "OBJECT_CHANGED");
    let answer = function.invoke(batch(&[("k.png", None)])).await.unwrap();
    let [(code, address)] = answers(&answer).try_into().unwrap();
    assert_eq!((code.as_str(), address.contains(&new)), ("Succeeded", true), "{address}");
    // Late and out of order: nothing new.
    assert_eq!(function.invoke(s3_event("k.png", &new)).await, Ok(totals(1, 0, 0)));
    assert_eq!(function.invoke(s3_event("k.png", &old)).await, Ok(totals(0, 1, 0)));
    assert_eq!((stack.paid(1), stack.paid(2), stack.results().len()), (0, 1, 2));
}

#[tokio::test]
async fn two_invocations_at_once_do_not_both_pay() {
    let gate = Gate::default();
    let stack = Stack::start().await;
    let held = gate.clone();
    stack.bedrock.push(Reply::tool(json!({"description": "held"})).behind(&held));
    let (one, other) = (stack.function().await, stack.function().await);
    stack.put("k.png", 1);
    let event = batch(&[("k.png", None)]);
    let (first, ()) = tokio::join!(one.invoke(event.clone()), async {
        stack.bedrock.received(1).await;
        let second = answers(&other.invoke(event.clone()).await.unwrap());
        assert!(second[0].0 == "TemporaryFailure" && second[0].1.starts_with("IN_PROGRESS: "), "{second:?}");
        gate.open();
    });
    assert_eq!(answers(&first.unwrap())[0].0, "Succeeded");
    assert_eq!(answers(&other.invoke(event).await.unwrap())[0].0, "Succeeded");
    assert_eq!(stack.bedrock.requests().len(), 1);
    assert_eq!(stack.result_of("k.png")["analysis"]["description"]["text"], "held");
}

#[tokio::test]
async fn claims_hold_others_off_and_end() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    stack.put("k.png", 1);
    let event = || batch(&[("k.png", None)]);
    let code = async || answers(&function.invoke(event()).await.unwrap()).remove(0);
    assert_eq!(code().await.0, "Succeeded");
    let result = stack.results().remove(0);
    let claim = format!("{result}.claim");
    let kept = stack.s3.object(RESULTS, &result).unwrap();
    let until = |time: SystemTime| {
        let until = humantime::format_rfc3339_millis(time).to_string();
        Object::new(json!({"invocation": "i", "claim": "c", "until": until}).to_string())
            .header("last-modified", &now())
    };
    let hour = Duration::from_secs(3600);
    let old = "Thu, 01 Jan 2015 12:00:00 GMT";

    // What a killed invocation left behind a result of its own holds up nobody.
    stack.s3.put_object(RESULTS, &claim, until(SystemTime::now() + hour));
    assert_eq!(code().await.0, "Succeeded");
    assert_eq!(stack.claims(), [claim.as_str()], "the claim is another's");
    // Without a result, one that is good holds others off; so does one that cannot be read, for as long as an
    // invocation can last.
    for holds in [until(SystemTime::now() + hour), Object::new("nonsense").header("last-modified", &now())] {
        stack.s3.remove(RESULTS, &result);
        stack.s3.put_object(RESULTS, &claim, holds);
        let (code, said) = code().await;
        assert!(code == "TemporaryFailure" && said.starts_with("IN_PROGRESS: "), "{code} {said}");
    }
    for over in [
        until(SystemTime::now() - Duration::from_millis(10)),
        until(SystemTime::now() + hour).header("last-modified", old),
        Object::new("nonsense").header("last-modified", old),
        Object::new(vec![b' '; 100_000]).header("last-modified", old),
    ] {
        stack.s3.remove(RESULTS, &result);
        stack.s3.put_object(RESULTS, &claim, over.clone());
        assert_eq!(code().await.0, "Succeeded", "{over:?}");
        assert_eq!(stack.claims(), Vec::<String>::new(), "{over:?}");
    }
    // The process remembers what it was told about the same bytes.
    assert_eq!(stack.paid(1), 1);
    assert_eq!(stack.document(&result)["analysis"]["description"], document(&kept)["analysis"]["description"]);
}

fn document(object: &Object) -> Value {
    serde_json::from_slice(&object.bytes).unwrap()
}

fn now() -> String {
    aws_smithy_types::DateTime::from(SystemTime::now()).fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap()
}

#[tokio::test]
async fn a_lost_answer_of_s3_loses_and_doubles_nothing() {
    let stack = Stack::start().await;
    let function = stack.function_with(&[("SIGHTLINE_CACHE_BYTES", "0B")]).await;
    stack.put("k.png", 1);
    let event = || batch(&[("k.png", None)]);
    assert_eq!(answers(&function.invoke(event()).await.unwrap())[0].0, "Succeeded");
    let result = stack.results().remove(0);
    let claim = format!("{result}.claim");
    let mut paid = 1;
    for (method, key, faults) in [
        (Method::PUT, &claim, vec![WriteFault::LostAnswer]),
        (Method::PUT, &result, vec![WriteFault::LostAnswer]),
        (Method::PUT, &claim, vec![Failure::CONFLICT.into()]),
        (Method::PUT, &result, vec![Failure::CONFLICT.into(), Failure::CONFLICT.into(), WriteFault::LostAnswer]),
        (Method::PUT, &result, vec![Failure::SLOW_DOWN.into(), Failure::INTERNAL_ERROR.into()]),
        (Method::HEAD, &result, vec![Failure::SLOW_DOWN.into()]),
    ] {
        stack.s3.remove(RESULTS, &result);
        for fault in &faults {
            stack.s3.fault_method(1, method.clone(), RESULTS, key, fault.clone());
        }
        assert_eq!(answers(&function.invoke(event()).await.unwrap())[0].0, "Succeeded", "{method} {faults:?}");
        paid += 1;
        assert_eq!((stack.paid(1), stack.results().len(), stack.claims().len()), (paid, 1, 0), "{method} {faults:?}");
    }
}

#[tokio::test]
async fn an_invocation_that_runs_out_of_time_lets_go_before_it_ends() {
    let stack = Stack::answering(|_, before| (before == 0).then(Reply::hang)).await;
    let function = stack.function().await;
    stack.put("k.png", 1);
    let event = batch(&[("k.png", None)]);
    function.ready().await;
    let answer = function.run(Invoke::new(&event).within(Duration::from_secs(4))).await.expect("an answer in time");
    let said = answers(&answer);
    assert!(said[0].0 == "TemporaryFailure" && said[0].1.starts_with("DEADLINE_EXCEEDED: "), "{said:?}");
    stack.bedrock.abandoned(1).await;
    assert_eq!((stack.results().len(), stack.claims().len()), (0, 0));
    // No time to begin with.
    let answer = function.run(Invoke::new(&event).within(Duration::from_millis(1050))).await;
    if let Ok(answer) = answer {
        assert!(answers(&answer)[0].1.starts_with("DEADLINE_"), "{answer}");
        assert_eq!(answers(&function.invoke(event).await.unwrap())[0].0, "Succeeded");
    }
    assert!(stack.paid(1) <= 1);
}

#[tokio::test]
async fn what_somebody_must_set_up_is_no_objects_failure() {
    let stack = Stack::answering(|_, _| Some(Reply::denied())).await;
    let function = stack.function().await;
    let etag = stack.put("k.png", 1);
    let expect = async |reason: &str| {
        let said = answers(&function.invoke(batch(&[("k.png", None)])).await.unwrap());
        assert!(said[0].0 == "TemporaryFailure" && said[0].1.starts_with(&format!("{reason}: ")), "{said:?}");
        let event = function.invoke(s3_event("k.png", &etag)).await.expect_err("a fault of the set-up");
        let queue = function.invoke(sqs(&[("m", None, s3_event("k.png", &etag).to_string())])).await;
        assert_eq!([event.reason, queue.expect_err("no message can be done").reason], [reason, reason]);
    };
    expect("MODEL_NOT_ENABLED").await;
    stack.s3.fail_with(|request| (request.method == Method::PUT).then(|| Failure::ACCESS_DENIED.into()));
    expect("RESULTS_NOT_WRITABLE").await;
    // Without s3:ListBucket, S3 does not say that there is none.
    stack.s3.fail_with(|request| {
        (request.method == Method::HEAD && request.bucket == RESULTS).then(|| Failure::ACCESS_DENIED.into())
    });
    expect("RESULTS_NOT_WRITABLE").await;
    assert_eq!((stack.results().len(), stack.claims().len()), (0, 0));

    let unset = stack.function_with(&[("SIGHTLINE_RESULTS", "")]).await;
    for event in [batch(&[("k.png", None)]), s3_event("k.png", &etag), event_bridge("k.png", &etag)] {
        assert_eq!(unset.invoke(event).await.expect_err("no place").reason, "RESULTS_NOT_CONFIGURED");
    }
    let wrong = stack.function_with(&[("SIGHTLINE_FEATURES", "{}")]).await;
    assert_eq!(wrong.invoke(s3_event("k.png", &etag)).await.expect_err("no question").reason, "QUESTION_INVALID");
}

#[tokio::test]
async fn results_are_no_pictures() {
    let stack = Stack::start().await;
    let function = stack.function_with(&[("SIGHTLINE_RESULTS", "s3://photos/out/")]).await;
    let etag = stack.put("in/k.png", 1);
    assert_eq!(function.invoke(s3_event("in/k.png", &etag)).await, Ok(totals(1, 0, 0)));
    let keys = stack.s3.keys(PHOTOS);
    let result = keys.iter().find(|key| key.starts_with("out/photos/in/k.png/")).expect("the result");
    for key in [result.clone(), format!("{result}.claim")] {
        assert_eq!(function.invoke(s3_event(&key, "e")).await, Ok(totals(0, 0, 1)), "{key}");
    }
    assert_eq!(stack.s3.keys(PHOTOS).len(), 2);
}

#[tokio::test]
async fn hostile_events_are_answered_with_what_is_wrong() {
    let stack = Stack::start().await;
    let function = stack.function().await;
    let s3_of = |object: Value| {
        let mut event = s3_event("k", "e");
        event["Records"][0]["s3"]["object"] = object;
        event
    };
    let mut versions = batch(&[("k", None)]);
    versions["invocationSchemaVersion"] = json!("3.0");
    let mut no_tasks = batch(&[]);
    no_tasks["tasks"] = json!({"taskId": "t"});
    for event in [
        versions,
        no_tasks,
        batch(&[]),
        s3_of(json!(null)),
        s3_of(json!({"key": "%FF%FE"})),
        s3_of(json!({"key": "a%00b"})),
        s3_of(json!({"key": "100%"})),
        s3_of(json!({"key": ["k"]})),
        s3_of(json!({"key": "k".repeat(1025)})),
        s3_of(json!({"key": "k", "versionId": "\r\nx: y"})),
        json!({"detail-type": "Object Created", "source": "aws.s3", "detail": 7}),
        json!({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}),
    ] {
        let error = function.invoke(event.clone()).await.expect_err("no event");
        assert_eq!(error.reason, "EVENT_INVALID", "{event}: {}", error.message);
        assert!(error.message.len() < 1024);
    }
    assert_eq!(function.invoke(json!({"Records": []})).await.expect_err("nobody's event").reason, "EVENT_UNKNOWN");
    // Keys that mean to climb stay where results belong.
    for key in ["../../../etc/passwd", "/../x", "a/./b", "..", "x\r\ny", ".long/x"] {
        let etag = stack.put(key, 1);
        assert_eq!(function.invoke(s3_event(key, &etag)).await, Ok(totals(1, 0, 0)), "{key:?}");
    }
    for key in stack.results() {
        assert!(key.starts_with(&format!("{PREFIX}{PHOTOS}/")) && !key.contains("/../"), "{key}");
    }
    assert_eq!((stack.results().len(), function.misdeeds()), (6, Vec::new()));
}
