//! The service behind an AWS Lambda function: each invocation is one event, answered by the same pipeline as a call over gRPC.
//!
//! An event is the original's `{"prompt","Bucket","Key"}`, or what AWS's own engines send: S3 Batch Operations, S3 event
//! notifications, EventBridge and SQS. Whoever may invoke the function is IAM's matter; to a policy file they are the one
//! caller `lambda`.

mod event;
mod failure;
pub mod jobs;
mod original;
pub mod runtime;

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    adapters::Clients,
    app::App,
    config::FunctionArgs,
    domain::{Caller, Location},
    grpc::Service,
    metrics::Metrics,
    pipeline::Deadline,
    proto::{self, json},
};
pub use event::{Event, JobKind};
pub use failure::{Failure, Remedy};

/// Time between the answer and the moment at which Lambda ends the invocation.
const MARGIN: Duration = Duration::from_secs(1);

/// One invocation of the function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its id, the same when Lambda repeats an asynchronous invocation.
    pub request_id: String,
    /// When it must be answered: a second before Lambda ends it.
    pub deadline: Deadline,
    /// The same as a time of the clock.
    pub ends_at: SystemTime,
}

impl Invocation {
    /// An invocation that Lambda ends at `end`.
    pub fn new(request_id: String, end: SystemTime) -> Self {
        let ends_at = end.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH);
        // A clock that was set back makes no deadline that is days away: no invocation is longer than a day.
        let left = ends_at.duration_since(SystemTime::now()).unwrap_or_default().min(Duration::from_secs(24 * 3600));
        Self { request_id, deadline: Deadline::at(Instant::now() + left), ends_at }
    }
}

/// What objects of events are asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    /// What to find out.
    pub features: proto::Features,
    /// How.
    pub options: proto::AnalysisOptions,
}

impl Asked {
    /// Reads the contract's JSON forms.
    ///
    /// # Errors
    /// A field that they do not have, or a value that does not fit: the text names it.
    pub fn read(features: &Value, options: &Value) -> Result<Self, String> {
        let named = |name: &'static str| move |error: json::JsonError| format!("{name}: {error}");
        Ok(Self {
            features: json::from_value("Features", features).map_err(named("features"))?,
            options: json::from_value("AnalysisOptions", options).map_err(named("options"))?,
        })
    }
}

/// Answers events. One for the life of the process.
pub struct Handler {
    service: Service,
    clients: Clients,
    caller: Caller,
    results: Option<Location>,
    asked: Asked,
    concurrency: usize,
}

impl Handler {
    /// A handler over the application.
    ///
    /// # Errors
    /// Features or options that the contract does not know.
    pub fn new(app: &App, args: &FunctionArgs) -> Result<Self, String> {
        Ok(Self {
            service: app.service.clone(),
            clients: app.clients().clone(),
            caller: Caller::named("lambda"),
            results: args.results.clone(),
            asked: Asked::read(&args.features, &args.options)
                .map_err(|error| format!("SIGHTLINE_FEATURES or SIGHTLINE_OPTIONS: {error}"))?,
            concurrency: args.batch_concurrency as usize,
        })
    }

    /// Answers one event.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn handle(&self, event: Value, invocation: &Invocation) -> Result<Value, Failure> {
        match Event::read(event)? {
            Event::Original(asked) => original::words(self, asked, invocation).await,
            Event::Typed(asked) => original::typed(self, asked, invocation).await,
            Event::Job(kind, event) => jobs::handle(self, kind, event, invocation).await,
        }
    }

    /// Analyzes one picture as a call over gRPC would, within `deadline`.
    ///
    /// # Errors
    /// What the caller over gRPC would get.
    pub async fn analyze(
        &self,
        deadline: Deadline,
        request: proto::AnalyzeImageRequest,
    ) -> Result<proto::ImageAnalysis, Failure> {
        self.service.analyze_here(&self.caller, deadline, request).await.map_err(Failure::from)
    }

    /// The S3 client.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        &self.clients.s3
    }

    /// Where results are written; `None` when the function is told of no place.
    pub fn results(&self) -> Option<&Location> {
        self.results.as_ref()
    }

    /// What objects of events are asked.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The Bedrock id of the model that is asked for `name`, which may be empty; `None` when the function does not offer it.
    pub fn model_id(&self, name: &str) -> Option<&str> {
        let models = self.service.analyzer().models();
        let found = if name.is_empty() { Some(models.default_model()) } else { models.find(name) };
        found.map(|model| model.id.as_str())
    }

    /// Least time that a model call is tried with.
    pub fn min_model_time(&self) -> Duration {
        self.service.analyzer().limits().retry.min_call_time
    }

    /// Objects of one event in work at once, at least 1.
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        self.service.analyzer().metrics()
    }
}
