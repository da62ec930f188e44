//! A Lambda runtime API on loopback, with the real `bootstrap` before it: it hands out one invocation at a time, takes answers
//! and errors as the real one does, and ends the process at an invocation's deadline.

use std::{
    collections::{HashMap, VecDeque},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    bedrock::Bedrock,
    loopback::{Body, Ending, Loopback, PATIENCE, body},
    s3::S3,
};
use crate::command::{aws_at, clean_command};

/// What the real API takes of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 6 << 20;
const VERSION: &str = "/2018-06-01/runtime/";

/// One execution environment: the process and its own runtime API. Dropping it kills the process.
pub struct Function {
    state: Arc<State>,
    _server: Loopback,
    log: Arc<Mutex<Vec<String>>>,
    exit: watch::Receiver<Option<i32>>,
    kill: Arc<Notify>,
    reading: JoinHandle<()>,
    _watching: JoinHandle<()>,
}

/// An error of an invocation, as whoever invokes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaError {
    /// The `errorType`.
    pub reason: String,
    /// The `errorMessage`.
    pub message: String,
}

impl LambdaError {
    fn new(reason: &str, message: &str) -> Self {
        Self { reason: reason.to_owned(), message: message.to_owned() }
    }
}

/// One invocation to come.
#[derive(Clone, Debug)]
pub struct Invoke {
    /// The event's text.
    pub event: String,
    /// The same for one that is repeated.
    pub request_id: String,
    /// From now on.
    pub time: Duration,
}

impl Invoke {
    /// With an id of its own and half a minute.
    pub fn new(event: &Value) -> Self {
        Self::text(event.to_string())
    }

    /// The same with a text that may be no JSON.
    pub fn text(event: impl Into<String>) -> Self {
        let request_id = uuid::Uuid::new_v4().to_string();
        Self { event: event.into(), request_id, time: Duration::from_secs(30) }
    }

    /// With another time until the deadline.
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }
}

type Outcome = Result<Bytes, LambdaError>;

struct Waiting {
    invoke: Invoke,
    ends: SystemTime,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    queue: Mutex<VecDeque<Waiting>>,
    queued: Notify,
    running: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    /// What the process did against the rules of the API.
    misdeeds: Mutex<Vec<String>>,
    failed_start: Mutex<Option<LambdaError>>,
    /// How often the next invocation was asked for.
    asked: watch::Sender<usize>,
}

impl Function {
    /// Starts `bootstrap` before `s3` and `bedrock`, with variables of the environment.
    pub fn start(s3: &S3, bedrock: &Bedrock, environment: &[(&str, &str)]) -> impl Future<Output = Self> {
        let aws = aws_at(s3.endpoint(), bedrock.endpoint());
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        async move {
            let state = Arc::new(State::default());
            let server = Loopback::serve({
                let state = Arc::clone(&state);
                move |request| Arc::clone(&state).respond(request)
            })
            .await;
            let api = server.endpoint().trim_start_matches("http://").to_owned();
            let mut child = clean_command(env!("CARGO_BIN_EXE_bootstrap"))
                .envs(aws)
                .env("AWS_LAMBDA_RUNTIME_API", api)
                .env("AWS_LAMBDA_FUNCTION_NAME", "sightline")
                .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
                .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
                .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
                .envs(environment)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let log = Arc::<Mutex<Vec<String>>>::default();
            let (kept, mut lines) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()).lines());
            let reading = tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    kept.lock().unwrap().push(line);
                }
            });
            let (ended, exit) = watch::channel(None);
            let kill = Arc::new(Notify::new());
            let (killed, watched) = (Arc::clone(&kill), Arc::clone(&state));
            let watching = tokio::spawn(async move {
                let code = tokio::select! {
                    status = child.wait() => status.unwrap().code().unwrap_or(-1),
                    () = killed.notified() => {
                        child.kill().await.unwrap();
                        -9
                    }
                };
                let exited = || LambdaError::new("Runtime.ExitError", &format!("exit status {code}"));
                // Whoever comes later finds the exit code.
                ended.send_replace(Some(code));
                watched.fail_all(exited);
            });
            Self { state, _server: server, log, exit, kill, reading, _watching: watching }
        }
    }

    /// Invokes with an event and waits for what comes of it.
    pub async fn invoke(&self, event: Value) -> Result<Value, LambdaError> {
        self.run(Invoke::new(&event)).await
    }

    /// The same with more than the event.
    pub async fn run(&self, invoke: Invoke) -> Result<Value, LambdaError> {
        let bytes = self.run_raw(invoke).await?;
        Ok(serde_json::from_slice(&bytes).expect("an answer is JSON"))
    }

    /// The answer byte for byte.
    pub async fn run_raw(&self, invoke: Invoke) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let (id, time) = (invoke.request_id.clone(), invoke.time);
        if serde_json::from_str::<&RawValue>(&invoke.event).is_err() {
            let message = "Could not parse the event as JSON";
            return Err(LambdaError::new("InvalidRequestContentException", message));
        }
        if self.exit.borrow().is_some() {
            return Err(LambdaError::new("Runtime.ExitError", "the process has ended"));
        }
        let ends = SystemTime::now() + time;
        self.state.queue.lock().unwrap().push_back(Waiting { invoke, ends, answer });
        self.state.queued.notify_one();
        match timeout(time, outcome).await {
            Ok(outcome) => outcome.expect("the API answers everybody"),
            Err(_) => {
                self.state.running.lock().unwrap().remove(&id);
                self.kill.notify_one();
                Err(LambdaError::new("Sandbox.Timedout", &format!("Task timed out after {time:?}")))
            }
        }
    }

    /// Returns once the process has asked for its first invocation.
    pub async fn ready(&self) {
        let mut asked = self.state.asked.subscribe();
        let came = timeout(PATIENCE, asked.wait_for(|count| *count > 0)).await;
        assert!(came.is_ok(), "the function does not start: {}", self.log());
    }

    /// Kills the process, as Lambda does when it takes an environment away.
    pub async fn kill(&self) {
        self.kill.notify_one();
        self.exit_code().await;
    }

    /// The exit code, once the process has ended.
    pub async fn exit_code(&self) -> i32 {
        let mut exit = self.exit.clone();
        let ended = timeout(PATIENCE, exit.wait_for(Option::is_some)).await;
        ended.expect("the process ends").unwrap().unwrap()
    }

    /// The error of a start that failed, and the whole log, once the process has ended.
    pub async fn failed_start(mut self) -> (i32, Option<LambdaError>, String) {
        let code = self.exit_code().await;
        (&mut self.reading).await.unwrap();
        let log = self.log.lock().unwrap().join("\n");
        (code, self.state.failed_start.lock().unwrap().clone(), log)
    }

    /// What the process did against the rules of the API, so far.
    pub fn misdeeds(&self) -> Vec<String> {
        self.state.misdeeds.lock().unwrap().clone()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill.notify_one();
    }
}

impl State {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (head, incoming) = request.into_parts();
        let path = head.uri.path().strip_prefix(VERSION).unwrap_or_default().to_owned();
        let steps: Vec<&str> = path.split('/').collect();
        if (&head.method, steps.as_slice()) == (&Method::GET, &["invocation", "next"]) {
            return self.next().await;
        }
        let Ok(bytes) = incoming.collect().await.map(http_body_util::Collected::to_bytes) else {
            return self.refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "the body broke off");
        };
        let names_its_error = head.headers.contains_key("lambda-runtime-function-error-type");
        match (head.method, steps.as_slice()) {
            (Method::POST, ["invocation", id, "response"]) => self.response(id, bytes),
            (Method::POST, ["invocation", id, "error"]) if names_its_error => match error(&bytes) {
                Some(error) => self.end(id, Err(error)),
                None => self.refuse(StatusCode::BAD_REQUEST, "InvalidErrorShape", "no errorType and errorMessage"),
            },
            (Method::POST, ["init", "error"]) if names_its_error => {
                *self.failed_start.lock().unwrap() = error(&bytes);
                accepted()
            }
            (method, _) => {
                self.refuse(StatusCode::FORBIDDEN, "UnknownOperation", &format!("{method} {path} without its headers"))
            }
        }
    }

    async fn next(&self) -> Response<Body> {
        self.asked.send_modify(|count| *count += 1);
        if !self.running.lock().unwrap().is_empty() {
            return self.refuse(StatusCode::FORBIDDEN, "InvalidStateTransition", "the last invocation has no answer");
        }
        let Waiting { invoke, ends, answer } = loop {
            let next = self.queue.lock().unwrap().pop_front();
            match next {
                // Whoever invoked has given up.
                Some(waiting) if waiting.answer.is_closed() => {}
                Some(waiting) => break waiting,
                None => self.queued.notified().await,
            }
        };
        self.running.lock().unwrap().insert(invoke.request_id.clone(), answer);
        let ends = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", invoke.request_id)
            .header("lambda-runtime-deadline-ms", ends.to_string())
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:sightline")
            .header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            )
            .header("content-length", invoke.event.len())
            .body(body(invoke.event.into(), Ending::Complete))
            .unwrap()
    }

    fn response(&self, id: &str, bytes: Bytes) -> Response<Body> {
        if bytes.len() > MAX_RESPONSE_BYTES {
            let message = "Response payload size exceeded maximum allowed payload size (6291556 bytes).";
            self.end(id, Err(LambdaError::new("Function.ResponseSizeTooLarge", message)));
            return self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message);
        }
        self.end(id, Ok(bytes))
    }

    fn end(&self, id: &str, outcome: Outcome) -> Response<Body> {
        let Some(answer) = self.running.lock().unwrap().remove(id) else {
            return self.refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
        };
        // Whoever invoked may have given up.
        let _ = answer.send(outcome);
        accepted()
    }

    fn fail_all(&self, error: impl Fn() -> LambdaError) {
        let running: Vec<_> = self.running.lock().unwrap().drain().map(|(_, answer)| answer).collect();
        let queued: Vec<_> = self.queue.lock().unwrap().drain(..).map(|waiting| waiting.answer).collect();
        for answer in running.into_iter().chain(queued) {
            let _ = answer.send(Err(error()));
        }
    }

    fn refuse(&self, status: StatusCode, reason: &str, message: &str) -> Response<Body> {
        self.misdeeds.lock().unwrap().push(format!("{reason}: {message}"));
        answer(status, &json!({"errorType": reason, "errorMessage": message}))
    }
}

fn error(bytes: &[u8]) -> Option<LambdaError> {
    let error: Value = serde_json::from_slice(bytes).ok()?;
    Some(LambdaError::new(error["errorType"].as_str()?, error["errorMessage"].as_str()?))
}

fn accepted() -> Response<Body> {
    answer(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn answer(status: StatusCode, json: &Value) -> Response<Body> {
    let bytes = Bytes::from(json.to_string());
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.headers_mut().insert("content-length", bytes.len().into());
    response.map(|()| body(bytes, Ending::Complete))
}
