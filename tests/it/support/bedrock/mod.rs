//! A Bedrock runtime on loopback: answers InvokeModel and Converse as the test scripts it, keeps every request, and
//! refuses what the real one refuses.

mod models;
mod pictures;
mod refusals;
mod reply;
mod request;
mod rules;
mod schemas;
mod selftest;
mod selftest_rules;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

pub use super::loopback::Gate;
use super::loopback::{Body, Counter, Gauge, Loopback, check_signature};
pub use models::{Facts, MODELS, Thinking};
pub use refusals::Part;
use refusals::Refused;
use reply::Outcome;
pub use reply::Reply;
pub use request::{Api, Asks, InvokeRequest, SentImage};

type Handler = Arc<dyn Fn(&InvokeRequest) -> Reply + Send + Sync>;

/// A running server. Dropping it ends it.
pub struct Bedrock {
    state: Arc<State>,
    server: Loopback,
}

#[derive(Default)]
struct State {
    replies: Mutex<VecDeque<Reply>>,
    handler: Mutex<Option<Handler>>,
    requests: Mutex<Vec<InvokeRequest>>,
    refusals: Mutex<Vec<String>>,
    refused: Mutex<Vec<Refused>>,
    revived: Mutex<Vec<String>>,
    received: Counter,
    abandoned: Counter,
    in_progress: Gauge,
}

impl Bedrock {
    /// Starts with nothing scripted: a request then gets a 500 that says so.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let server = Loopback::serve({
            let state = Arc::clone(&state);
            move |request| Arc::clone(&state).respond(request)
        })
        .await;
        Self { state, server }
    }

    /// Starts with `handler` answering every request that finds the queue empty.
    pub async fn answering(handler: impl Fn(&InvokeRequest) -> Reply + Send + Sync + 'static) -> Self {
        let bedrock = Self::start().await;
        bedrock.answer_with(handler);
        bedrock
    }

    /// The URL for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Adds an answer to the queue. The queue is used up before the handler is asked.
    pub fn push(&self, reply: Reply) {
        self.state.replies.lock().unwrap().push_back(reply);
    }

    /// Sets what answers when the queue is empty.
    pub fn answer_with(&self, handler: impl Fn(&InvokeRequest) -> Reply + Send + Sync + 'static) {
        *self.state.handler.lock().unwrap() = Some(Arc::new(handler));
    }

    /// From now on the service refuses a part of every request to `model`, which a part of its id names, with a message
    /// in its own words.
    pub fn refuse(&self, model: &str, part: Part, message: &str) {
        self.state.refused.lock().unwrap().push(Refused::new(model, part, message));
    }

    /// Turns the clock back to the days of a model that has ended, which a part of its id names.
    pub fn revive(&self, model: &str) {
        self.state.revived.lock().unwrap().push(model.to_owned());
    }

    /// Every request so far, the refused ones too, oldest first.
    pub fn requests(&self) -> Vec<InvokeRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The one request there was; fails the test when there were more or none.
    pub fn only_request(&self) -> InvokeRequest {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "model calls");
        requests.remove(0)
    }

    /// The requests for a model, which a part of its id names, oldest first.
    pub fn requests_to(&self, model: &str) -> Vec<InvokeRequest> {
        self.requests().into_iter().filter(|request| request.model_id.contains(model)).collect()
    }

    /// Why requests were refused by the server's own rules, oldest first. What a test told it to refuse, and models that
    /// have ended, are not among them.
    pub fn refusals(&self) -> Vec<String> {
        self.state.refusals.lock().unwrap().clone()
    }

    /// Returns once `count` requests have come in.
    pub async fn received(&self, count: usize) {
        self.state.received.reaches(count).await;
    }

    /// How many requests have come in so far.
    pub fn received_so_far(&self) -> usize {
        self.state.received.get()
    }

    /// The requests that are being answered now, and the most there were at once.
    pub fn in_progress(&self) -> &Gauge {
        &self.state.in_progress
    }

    /// Returns once the client has dropped `count` requests that [`Reply::hang`] or a gate kept waiting.
    pub async fn abandoned(&self, count: usize) {
        self.state.abandoned.reaches(count).await;
    }

    /// How many requests the client has dropped so far while [`Reply::hang`] or a gate kept them waiting.
    pub fn abandoned_so_far(&self) -> usize {
        self.state.abandoned.get()
    }
}

impl State {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Reply::error(400, "ValidationException", "The request body broke off.").into_response();
        };
        let Some((api, model_id)) = request::operation(&head.method, head.uri.path()) else {
            return self.refuse(Reply::error(404, "UnknownOperationException", "")).into_response();
        };
        if let Err(problem) = check_signature(&head.headers, "bedrock") {
            return self.refuse(Reply::error(403, "InvalidSignatureException", &problem)).into_response();
        }
        let request = match InvokeRequest::parse(api, model_id, head.headers, body) {
            Ok(request) => request,
            Err(problem) => return self.refuse(Reply::validation(&problem)).into_response(),
        };
        let _inside = self.in_progress.enter();
        self.requests.lock().unwrap().push(request.clone());
        self.received.increment();
        let reply = self.judge(&request).unwrap_or_else(|| self.scripted(&request));
        self.play(reply, &request).await
    }

    /// What the service says to a request without any model: that the model has ended, what the test told it to refuse, and
    /// what it always refuses.
    fn judge(&self, request: &InvokeRequest) -> Option<Reply> {
        let is_alive = |name: &str| self.revived.lock().unwrap().iter().any(|model| model.contains(name));
        if request.facts().is_some_and(|facts| facts.has_ended && !is_alive(facts.name)) {
            return Some(Reply::ended());
        }
        let refused = self.refused.lock().unwrap();
        if let Some(refused) = refused.iter().find(|refused| refused.applies(request)) {
            return Some(Reply::validation(refused.message()));
        }
        rules::check(request).err().map(|problem| self.refuse(Reply::validation(&problem)))
    }

    fn refuse(&self, reply: Reply) -> Reply {
        self.refusals.lock().unwrap().push(reply.message().to_owned());
        reply
    }

    fn scripted(&self, request: &InvokeRequest) -> Reply {
        if let Some(reply) = self.replies.lock().unwrap().pop_front() {
            return reply;
        }
        let handler = self.handler.lock().unwrap().clone();
        handler.map_or_else(
            || Reply::error(500, "InternalServerException", "The test scripted no answer for this request."),
            |handler| handler(request),
        )
    }

    async fn play(&self, mut reply: Reply, request: &InvokeRequest) -> Response<Body> {
        reply.fill_in(request);
        let waiting = self.abandoned.on_drop();
        if let Some(wait) = reply.waits() {
            wait.end().await;
        }
        if reply.outcome() == Outcome::Hang {
            std::future::pending::<()>().await;
        }
        waiting.answered();
        reply.into_response()
    }
}
