//! A manifest of a thousand objects, worked on by three functions that are killed, invoked twice at once and out of order,
//! over an S3 and a Bedrock that fail: it ends with one right result an object.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
};

use crate::support::{
    bedrock::Reply,
    jobs::{PHOTOS, PREFIX, RESULTS, Stack, batch, described, picture},
    lambda::{Function, Invoke, LambdaError},
    s3::{Failure, Fault, Object, S3Request, WriteFault},
};

const OBJECTS: usize = 1000;
const FUNCTIONS: usize = 3;
/// Most repeats of a task.
const REPEATS: usize = 60;

/// What is wrong with an object, or goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Nothing,
    Missing,
    Text,
    Refused,
    BodyBreaks,
    SourceBusy,
    SourceUnseen,
    ClaimConflicts,
    ClaimAnswerLost,
    ResultAnswerLost,
    ResultBusy,
    ResultConflicts,
    ResultUnseen,
    ClaimStays,
    ThrottledOnce,
    ThrottledLong,
    ModelFaulty,
    AnswerBreaks,
    /// Killed while the model works.
    KilledAsking,
    /// Killed with the model's answer in hand.
    KilledWriting,
}

fn fate(number: usize) -> Fate {
    match (number % 50, number % 250) {
        (0, _) => Fate::Missing,
        (1, _) => Fate::Text,
        (2, _) => Fate::Refused,
        (3, _) => Fate::BodyBreaks,
        (4, _) => Fate::SourceBusy,
        (5, _) => Fate::SourceUnseen,
        (6, _) => Fate::ClaimConflicts,
        (7, _) => Fate::ClaimAnswerLost,
        (8, _) => Fate::ResultAnswerLost,
        (9, _) => Fate::ResultBusy,
        (10, _) => Fate::ResultConflicts,
        (11, _) => Fate::ResultUnseen,
        (12, _) => Fate::ClaimStays,
        (13, _) => Fate::ThrottledOnce,
        (14, _) => Fate::ThrottledLong,
        (15, _) => Fate::ModelFaulty,
        (16, _) => Fate::AnswerBreaks,
        (_, 30) => Fate::KilledAsking,
        (_, 31) => Fate::KilledWriting,
        _ => Fate::Nothing,
    }
}

fn key(number: usize) -> String {
    format!("folder {}/bild-{number:04}+ü.png", number % 7)
}

/// Every third object has versions, and its newest one is no picture.
fn version(number: usize) -> Option<&'static str> {
    number.is_multiple_of(3).then_some("L4kqtJlcpXroDTDmpUMLUo")
}

/// The number in a key of an object, its result or its claim.
fn number_of(key: &str) -> Option<usize> {
    key.split_once("bild-")?.1.get(..4)?.parse().ok()
}

/// The faults of S3 but for those of bodies: what becomes of the `before`th request of its kind about an object.
fn s3_fault(request: &S3Request, fate: Fate, before: usize) -> Option<WriteFault> {
    let kind = match (request.bucket.as_str(), request.key.ends_with(".claim")) {
        (PHOTOS, _) => "source",
        (_, true) => "claim",
        (_, false) => "result",
    };
    let fault = |times: usize, fault: WriteFault| (before < times).then_some(fault);
    match (fate, kind, request.method.as_str()) {
        (Fate::SourceBusy, "source", "GET") => fault(2, Failure::SLOW_DOWN.into()),
        (Fate::SourceUnseen, "source", "HEAD") => fault(1, Failure::ACCESS_DENIED.into()),
        (Fate::ClaimConflicts, "claim", "PUT") => fault(1, Failure::CONFLICT.into()),
        (Fate::ClaimAnswerLost, "claim", "PUT") => fault(1, WriteFault::LostAnswer),
        (Fate::ResultAnswerLost, "result", "PUT") => fault(1, WriteFault::LostAnswer),
        (Fate::ResultBusy, "result", "PUT") => fault(2, Failure::INTERNAL_ERROR.into()),
        (Fate::ResultConflicts, "result", "PUT") => fault(2, Failure::CONFLICT.into()),
        (Fate::ResultUnseen, "result", "HEAD") => fault(3, Failure::SLOW_DOWN.into()),
        (Fate::ClaimStays, "claim", "DELETE") => fault(1, Failure::ACCESS_DENIED.into()),
        (Fate::KilledWriting, "result", "PUT") => fault(1, WriteFault::Hang),
        _ => None,
    }
}

/// What the model says instead of its answer, when it was asked `before` times about the picture.
fn model_fault(fate: Fate, before: usize) -> Option<Reply> {
    let fault = |times: usize, reply: fn() -> Reply| (before < times).then(reply);
    match fate {
        Fate::Refused => Some(Reply::refusal()),
        Fate::ThrottledOnce => fault(1, Reply::throttled),
        Fate::ThrottledLong => fault(4, Reply::throttled),
        Fate::ModelFaulty => fault(1, Reply::unavailable),
        Fate::AnswerBreaks => fault(1, Reply::cut),
        Fate::KilledAsking => fault(1, Reply::hang),
        _ => None,
    }
}

/// The manifest's objects, and everything that goes wrong with them. Tells of those whose function is to be killed.
async fn prepared() -> (Stack, broadcast::Sender<usize>, Arc<Mutex<HashMap<usize, usize>>>) {
    let (kill, _) = broadcast::channel(64);
    let asked = Arc::new(Mutex::new(HashMap::new()));
    let (killed, count) = (kill.clone(), Arc::clone(&asked));
    let stack = Stack::answering(move |number, before| {
        *count.lock().unwrap().entry(number).or_default() = before + 1;
        if fate(number) == Fate::KilledAsking && before == 0 {
            killed.send(number).unwrap();
        }
        model_fault(fate(number), before)
    })
    .await;
    for number in 0..OBJECTS {
        let object = match fate(number) {
            Fate::Missing => continue,
            Fate::Text => Object::new("no picture"),
            _ => Object::new(picture(number)),
        };
        match version(number) {
            None => drop(stack.s3.put_object(PHOTOS, &key(number), object)),
            Some(id) => {
                stack.s3.put_object(PHOTOS, &key(number), object.version(id));
                stack.s3.put_object(PHOTOS, &key(number), Object::new("newer").version("newer"));
            }
        }
        if fate(number) == Fate::BodyBreaks {
            stack.s3.fault_times(1, PHOTOS, &key(number), Fault::Cut);
        }
    }
    let seen = Mutex::new(HashMap::<(Method, String), usize>::new());
    let killed = kill.clone();
    stack.s3.fail_with(move |request| {
        let number = number_of(&request.key)?;
        let before = {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry((request.method.clone(), request.key.clone())).or_default();
            *times += 1;
            *times - 1
        };
        let fault = s3_fault(request, fate(number), before);
        if matches!(fault, Some(WriteFault::Hang)) {
            killed.send(number).unwrap();
        }
        fault
    });
    (stack, kill, asked)
}

/// Tasks of one invocation, and how often they were repeated.
#[derive(Clone)]
struct Work {
    numbers: Vec<usize>,
    repeats: usize,
}

impl Work {
    fn event(&self) -> Value {
        let keys: Vec<_> = self.numbers.iter().map(|number| (key(*number), version(*number))).collect();
        let objects: Vec<_> = keys.iter().map(|(key, version)| (key.as_str(), *version)).collect();
        let mut event = batch(&objects);
        for (task, number) in event["tasks"].as_array_mut().unwrap().iter_mut().zip(&self.numbers) {
            task["taskId"] = json!(number.to_string());
        }
        event
    }

    /// What is killed has little time, so that its claim ends soon.
    fn time(&self) -> Duration {
        let is_killed = |number: &usize| matches!(fate(*number), Fate::KilledAsking | Fate::KilledWriting);
        Duration::from_secs(if self.repeats == 0 && self.numbers.iter().any(is_killed) { 5 } else { 60 })
    }
}

/// What S3 Batch Operations knows of a job: open invocations, and the last answer to each task.
struct Job {
    queue: mpsc::UnboundedSender<Work>,
    open: Mutex<usize>,
    answers: Mutex<HashMap<usize, (String, String)>>,
    kills: Mutex<usize>,
}

impl Job {
    fn send(&self, work: Work) {
        *self.open.lock().unwrap() += 1;
        self.queue.send(work).unwrap();
    }

    /// Repeats what has failed for now, after a pause, as S3 does.
    fn repeat(self: &Arc<Self>, work: Work) {
        assert!(work.repeats < REPEATS, "repeated {REPEATS} times: {:?}", work.numbers);
        *self.open.lock().unwrap() += 1;
        let job = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(250)).await;
            job.queue.send(Work { repeats: work.repeats + 1, ..work }).unwrap();
        });
    }

    fn answered(self: &Arc<Self>, work: Work, outcome: Result<Value, LambdaError>) {
        match outcome {
            Err(error) => {
                assert!(error.reason.starts_with("Runtime.") || error.reason == "Sandbox.Timedout", "{error:?}");
                self.repeat(work);
            }
            Ok(answer) => {
                let results = answer["results"].as_array().unwrap();
                assert_eq!(results.len(), work.numbers.len(), "every task once");
                let mut later = Vec::new();
                for (result, number) in results.iter().zip(&work.numbers) {
                    assert_eq!(result["taskId"], number.to_string());
                    let text = |name: &str| result[name].as_str().unwrap().to_owned();
                    let (code, said) = (text("resultCode"), text("resultString"));
                    assert!(said.chars().count() <= 1024);
                    if code == "TemporaryFailure" {
                        later.push(*number);
                        continue;
                    }
                    let earlier = self.answers.lock().unwrap().insert(*number, (code.clone(), said));
                    assert!(earlier.is_none_or(|(earlier, _)| earlier == code), "{number} had another answer");
                }
                if !later.is_empty() {
                    self.repeat(Work { numbers: later, repeats: work.repeats });
                }
            }
        }
        *self.open.lock().unwrap() -= 1;
    }
}

/// Works on the queue with one function after the other, each of which may be killed, until nothing is open.
async fn environment(
    stack: Arc<Stack>,
    job: Arc<Job>,
    queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Work>>>,
    mut kill: broadcast::Receiver<usize>,
) {
    let mut function = started(&stack).await;
    while *job.open.lock().unwrap() > 0 {
        let next = async { queue.lock().await.recv().await };
        // Others may finish what is open meanwhile.
        let Ok(work) = tokio::time::timeout(Duration::from_millis(100), next).await else { continue };
        let work = work.expect("the job keeps the queue open");
        let invoke = Invoke::new(&work.event()).within(work.time());
        let outcome = {
            let run = function.run(invoke);
            tokio::pin!(run);
            loop {
                tokio::select! {
                    outcome = &mut run => break outcome,
                    told = kill.recv() => {
                        if work.numbers.contains(&told.unwrap()) {
                            *job.kills.lock().unwrap() += 1;
                            function.kill().await;
                        }
                    }
                }
            }
        };
        if outcome.is_err() {
            assert_eq!(function.misdeeds(), Vec::<String>::new());
            function = started(&stack).await;
        }
        job.answered(work, outcome);
    }
    assert_eq!(function.misdeeds(), Vec::<String>::new());
}

async fn started(stack: &Stack) -> Function {
    // A result that the process remembers would hide a second call of the model.
    stack.function_with(&[("SIGHTLINE_CACHE_BYTES", "0B"), ("SIGHTLINE_MAX_MODEL_ATTEMPTS", "2")]).await
}

/// Runs invocations until each task has its answer.
async fn run(stack: &Arc<Stack>, kill: &broadcast::Sender<usize>, works: Vec<Work>) -> Arc<Job> {
    let (queue, taken) = mpsc::unbounded_channel();
    let job = Job { queue, open: Mutex::new(0), answers: Mutex::default(), kills: Mutex::default() };
    let job = Arc::new(job);
    works.into_iter().for_each(|work| job.send(work));
    let taken = Arc::new(tokio::sync::Mutex::new(taken));
    let mut environments = JoinSet::new();
    for _ in 0..FUNCTIONS {
        environments.spawn(environment(Arc::clone(stack), Arc::clone(&job), Arc::clone(&taken), kill.subscribe()));
    }
    while let Some(ended) = environments.join_next().await {
        ended.unwrap();
    }
    job
}

/// The manifest in another order than the keys', in invocations of one to ten tasks, every fifth of which comes twice at
/// once. What gets a function killed comes alone.
fn invocations() -> Vec<Work> {
    let order: Vec<_> = (0..OBJECTS).map(|at| at * 387 % OBJECTS).collect();
    let is_killed = |number: &usize| matches!(fate(*number), Fate::KilledAsking | Fate::KilledWriting);
    let (killed, others): (Vec<_>, Vec<_>) = order.into_iter().partition(is_killed);
    let mut works: Vec<_> = killed.into_iter().map(|number| Work { numbers: vec![number], repeats: 0 }).collect();
    let mut rest = others.as_slice();
    while !rest.is_empty() {
        let (numbers, more) = rest.split_at(rest.len().min(1 + works.len() % 10));
        let work = Work { numbers: numbers.to_vec(), repeats: 0 };
        if works.len().is_multiple_of(5) {
            works.push(work.clone());
        }
        works.push(work);
        rest = more;
    }
    works
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_a_thousand_objects_ends_with_one_right_result_each() {
    let (stack, kill, asked) = prepared().await;
    let stack = Arc::new(stack);
    let job = run(&stack, &kill, invocations()).await;

    let kills = *job.kills.lock().unwrap();
    assert!(kills >= 8, "{kills} functions were killed");
    let answers = job.answers.lock().unwrap().clone();
    for number in 0..OBJECTS {
        check(&stack, number, answers.get(&number).unwrap_or_else(|| panic!("no answer to {number}")));
    }
    let with_result = (0..OBJECTS).filter(|number| !matches!(fate(*number), Fate::Missing | Fate::Text)).count();
    assert_eq!(stack.results().len(), with_result, "nothing beside the results");
    let claims: Vec<_> = stack.claims().iter().map(|claim| fate(number_of(claim).unwrap())).collect();
    assert!(claims.iter().all(|fate| *fate == Fate::ClaimStays), "{claims:?}");
    assert_eq!(stack.bedrock.refusals(), Vec::<String>::new());

    // The model is asked once more than it must be only where its answer was lost, or its function killed.
    let lost = paid_beyond_one(&stack);
    assert!(lost.iter().all(|(number, paid)| fate(*number) == Fate::KilledWriting && *paid == 2), "{lost:?}");
    assert!(lost.len() <= 4, "{lost:?}");
    let asked_about = asked.lock().unwrap().clone();
    for (number, times) in &asked_about {
        let most = match fate(*number) {
            Fate::ThrottledLong => 5,
            Fate::ThrottledOnce | Fate::ModelFaulty | Fate::AnswerBreaks => 2,
            Fate::KilledAsking | Fate::KilledWriting => 2,
            _ => 1,
        };
        assert!(*times <= most, "{number} {:?}: asked {times} times", fate(*number));
    }

    // A repeat of a part of it changes nothing, and asks nothing.
    let written: Vec<_> = stack.results().iter().map(|key| stack.s3.object(RESULTS, key).unwrap().etag).collect();
    let again = (0..OBJECTS).filter(|number| number.is_multiple_of(7)).collect::<Vec<_>>();
    let works = again.chunks(20).map(|numbers| Work { numbers: numbers.to_vec(), repeats: 0 }).collect();
    let repeated = run(&stack, &kill, works).await;
    for number in again {
        check(&stack, number, &repeated.answers.lock().unwrap()[&number]);
    }
    let still: Vec<_> = stack.results().iter().map(|key| stack.s3.object(RESULTS, key).unwrap().etag).collect();
    assert_eq!(still, written);
    assert_eq!(*asked.lock().unwrap(), asked_about);
}

fn paid_beyond_one(stack: &Stack) -> Vec<(usize, usize)> {
    (0..OBJECTS).map(|number| (number, stack.paid(number))).filter(|(_, paid)| *paid > 1).collect()
}

/// The answer to a task and the document of its object are that object's.
fn check(stack: &Stack, number: usize, (code, said): &(String, String)) {
    let key = key(number);
    let reason = match fate(number) {
        Fate::Missing => Some("OBJECT_NOT_FOUND"),
        Fate::Text => Some("IMAGE_UNSUPPORTED"),
        Fate::Refused => Some("MODEL_REFUSED"),
        _ => None,
    };
    match reason {
        None => assert!(code == "Succeeded" && said.starts_with("s3://results/run/photos/"), "{number}: {code} {said}"),
        Some(reason) => assert!(code == "PermanentFailure" && said.starts_with(reason), "{number}: {code} {said}"),
    }
    if matches!(fate(number), Fate::Missing | Fate::Text) {
        return;
    }
    let document = stack.result_of(&key);
    assert_eq!(document["source"], format!("s3://{PHOTOS}/{key}"));
    assert_eq!(document["itemId"], key);
    if fate(number) == Fate::Refused {
        assert_eq!(document["error"]["details"][0]["reason"], "MODEL_REFUSED");
        return;
    }
    let etag = Object::new(picture(number)).etag;
    let analysis = &document["analysis"];
    assert_eq!(analysis["image"]["etag"], etag.trim_matches('"'), "{number}");
    assert_eq!(analysis["image"]["versionId"].as_str(), version(number), "{number}");
    assert_eq!(analysis["description"]["text"], described(number), "{number}");
    let id = version(number).unwrap_or(etag.trim_matches('"'));
    assert!(said.starts_with(&format!("s3://{RESULTS}/{PREFIX}{PHOTOS}/{key}/{id}-")), "{number}: {said}");
}
