//! The handlers of `sightline.v1.ImageAnalysisService`.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status, Streaming};

use super::{
    edge::Arrival,
    log::{self, Call, Unfinished},
    many::{self, Results},
    permission::{Permission, caller_of},
    request, response, status,
};
use crate::{
    domain::{Analysis, Caller, DEFAULT_SENSITIVITY_CATEGORIES, ModelProfile, Options},
    imaging::MediaType,
    pipeline::{AnalyzeError, Analyzer, Deadline, Failed, Job},
    policy::Guard,
    proto::{self, image_analysis_service_server::ImageAnalysisService},
};

/// The service over one analyzer.
#[derive(Clone)]
pub struct Service {
    analyzer: Arc<Analyzer>,
    guard: Guard,
    max_message_bytes: usize,
    max_request_time: Duration,
    draining: Option<watch::Receiver<bool>>,
    cut_off: Option<watch::Receiver<bool>>,
}

impl Service {
    /// A service that lets callers do what `guard` allows, and answers within `max_request_time`, whatever a caller allows.
    pub fn new(analyzer: Arc<Analyzer>, guard: Guard, max_message_bytes: usize, max_request_time: Duration) -> Self {
        Self { analyzer, guard, max_message_bytes, max_request_time, draining: None, cut_off: None }
    }

    /// The same service, whose streams take nothing more in once `draining` turns true, and whose calls in flight end with
    /// DRAINING once `cut_off` does.
    pub(super) fn until(self, draining: watch::Receiver<bool>, cut_off: watch::Receiver<bool>) -> Self {
        Self { draining: Some(draining), cut_off: Some(cut_off), ..self }
    }

    /// What does the work.
    pub(crate) fn analyzer(&self) -> &Arc<Analyzer> {
        &self.analyzer
    }

    /// What `caller` may do here.
    pub(super) fn permission(&self, caller: Caller) -> Permission {
        Permission::new(caller, self.guard.clone(), Arc::clone(&self.analyzer))
    }

    /// For a request that came past the edge, as in another transport.
    pub(super) fn arriving_now(&self) -> Arrival {
        let at = Instant::now();
        Arrival { at, deadline: Deadline::at(at + self.max_request_time) }
    }

    /// Longest time for one call, whatever its caller allows.
    pub(super) fn max_request_time(&self) -> Duration {
        self.max_request_time
    }

    /// Resolves when streams are to take nothing more in.
    pub(super) async fn draining(&self) {
        told(self.draining.clone()).await;
    }

    /// Resolves when calls in flight are to end.
    pub(super) async fn cut_off(&self) {
        told(self.cut_off.clone()).await;
    }

    /// One analysis, with its line in the log.
    pub(super) async fn analyze(
        &self,
        arrival: Arrival,
        caller: &Caller,
        message: proto::AnalyzeImageRequest,
        extras: Extras,
    ) -> Result<Analysis, Status> {
        let received = arrival.at;
        let request_id = match message.request_id.as_str() {
            "" => uuid::Uuid::new_v4().to_string(),
            // Too long an id is refused below; the refusal need not repeat it.
            id => id.chars().take(128).collect(),
        };
        let unfinished = Unfinished { request_id: &request_id, caller, received };
        let outcome = tokio::select! {
            outcome = self.answer(&request_id, caller, arrival, message, extras) => outcome,
            () = self.cut_off() => Err(Outcome::from(status::draining())),
        };
        std::mem::forget(unfinished);
        let call = Call { request_id: &request_id, caller, elapsed: received.elapsed() };
        match outcome {
            Ok(analysis) => {
                log::analyzed(&call, &analysis);
                Ok(analysis)
            }
            Err(Outcome { failure, cause }) => {
                log::failed(&call, &failure, cause.as_ref());
                Err(failure.into_status(Some(&request_id)))
            }
        }
    }

    async fn answer(
        &self,
        request_id: &str,
        caller: &Caller,
        Arrival { at: received, deadline }: Arrival,
        message: proto::AnalyzeImageRequest,
        extras: Extras,
    ) -> Result<Analysis, Outcome> {
        let (validate_only, is_callers_id) = (message.validate_only, !message.request_id.is_empty());
        // Before anything else: a call that finds no place costs next to nothing, and of its caller's rate nothing at all.
        let slot = self.analyzer.admission().try_enter().map_err(Failed::from)?;
        let mut asked = request::checked(message)?;
        extras.add_to(&mut asked.options);
        let pass = self.permission(caller.clone()).try_enter(&asked.source, &asked.options)?;
        let job = Job {
            request_id: request_id.to_owned(),
            caller: caller.clone(),
            is_callers_id,
            source: asked.source,
            features: asked.features,
            options: asked.options,
            tags: asked.tags,
            validate_only,
            received,
            deadline,
        };
        let outcome = self.analyzer.analyze_in(slot, job).await;
        // What a validation tells is what a call would use up.
        if !validate_only {
            pass.charge(outcome.as_ref().map_or_else(|failed| &failed.usage, |analysis| &analysis.usage));
        }
        outcome.map_err(Outcome::from)
    }
}

/// What a request from within the process may ask beside the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Extras {
    /// Nucleus sampling, as [`Options::top_p`].
    pub(crate) top_p: Option<f32>,
    /// As [`Options::top_k`].
    pub(crate) top_k: Option<u32>,
    /// As [`Options::include_response_body`].
    pub(crate) response_body: bool,
}

impl Extras {
    fn add_to(self, options: &mut Options) {
        options.top_p = self.top_p;
        options.top_k = self.top_k;
        options.include_response_body = self.response_body;
    }
}

/// Resolves once the value is true.
async fn told(receiver: Option<watch::Receiver<bool>>) {
    if let Some(mut receiver) = receiver
        && receiver.wait_for(|told| *told).await.is_ok()
    {
        return;
    }
    // Without a sender nobody is told anything.
    std::future::pending().await
}

/// A failure and what the log may know of it.
struct Outcome {
    failure: status::Failure,
    cause: Option<AnalyzeError>,
}

impl From<status::Failure> for Outcome {
    fn from(failure: status::Failure) -> Self {
        Self { failure, cause: None }
    }
}

impl From<Failed> for Outcome {
    fn from(Failed { error, .. }: Failed) -> Self {
        Self { failure: status::failure(&error), cause: Some(error) }
    }
}

#[tonic::async_trait]
impl ImageAnalysisService for Service {
    async fn analyze_image(
        &self,
        request: Request<proto::AnalyzeImageRequest>,
    ) -> Result<Response<proto::AnalyzeImageResponse>, Status> {
        let arrival = request.extensions().get::<Arrival>().copied();
        let arrival = arrival.unwrap_or_else(|| self.arriving_now());
        let caller = caller_of(&request);
        let analysis = self.analyze(arrival, &caller, request.into_inner(), Extras::default()).await?;
        Ok(Response::new(proto::AnalyzeImageResponse { analysis: Some(response::analysis(analysis)) }))
    }

    type AnalyzeManyStream = Results;

    async fn analyze_many(
        &self,
        request: Request<Streaming<proto::AnalyzeManyRequest>>,
    ) -> Result<Response<Results>, Status> {
        let caller = caller_of(&request);
        many::open(self, &caller, request).map(Response::new).map_err(|failure| turned_away(&caller, failure))
    }

    async fn get_capabilities(
        &self,
        request: Request<proto::GetCapabilitiesRequest>,
    ) -> Result<Response<proto::GetCapabilitiesResponse>, Status> {
        let permission = self.permission(caller_of(&request));
        permission.known().map_err(|failure| turned_away(&permission.caller, failure))?;
        let limits = self.analyzer.limits();
        let models = self.analyzer.models();
        Ok(Response::new(proto::GetCapabilitiesResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            max_message_bytes: i64::try_from(self.max_message_bytes).unwrap_or(i64::MAX),
            max_object_bytes: response::count(limits.max_image_bytes),
            max_pixel_count: response::count(limits.max_pixels),
            media_types: MediaType::ALL.iter().map(|media_type| media_type.as_str().to_owned()).collect(),
            max_in_flight: i32::try_from(self.analyzer.admission().stream_slots()).unwrap_or(i32::MAX),
            sensitivity_categories: DEFAULT_SENSITIVITY_CATEGORIES.map(str::to_owned).to_vec(),
            models: models
                .rows()
                .enumerate()
                .filter(|(_, (_, model))| permission.offers(model))
                .map(|(row, (alias, model))| capabilities(alias, model, row == 0))
                .collect(),
        }))
    }
}

/// The status of a call that is refused before it has an id.
fn turned_away(caller: &Caller, failure: status::Failure) -> Status {
    log::failed(&Call { request_id: "", caller, elapsed: Duration::ZERO }, &failure, None);
    failure.into_status(None)
}

fn capabilities(alias: &str, model: &ModelProfile, is_default: bool) -> proto::ModelCapabilities {
    let pixels = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    proto::ModelCapabilities {
        alias: alias.to_owned(),
        model_id: model.id.clone(),
        max_edge: pixels(model.tier.max_edge),
        max_visual_tokens: pixels(model.tier.max_visual_tokens.unwrap_or_default()),
        is_default,
    }
}
