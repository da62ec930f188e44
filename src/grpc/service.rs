//! The handlers of `sightline.v1.ImageAnalysisService`.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{edge::Arrival, request, response, status};
use crate::{
    domain::{Analysis, DEFAULT_SENSITIVITY_CATEGORIES, ModelProfile},
    imaging::MediaType,
    pipeline::{AnalyzeError, Analyzer, Deadline, Job},
    proto::{self, image_analysis_service_server::ImageAnalysisService},
};

/// The service over one analyzer.
#[derive(Clone)]
pub struct Service {
    analyzer: Arc<Analyzer>,
    max_message_bytes: usize,
    max_request_time: Duration,
    cut_off: Option<watch::Receiver<bool>>,
}

impl Service {
    /// A service that answers within `max_request_time`, whatever a caller allows.
    pub fn new(analyzer: Arc<Analyzer>, max_message_bytes: usize, max_request_time: Duration) -> Self {
        Self { analyzer, max_message_bytes, max_request_time, cut_off: None }
    }

    /// The same service, whose calls in flight end with DRAINING once `cut_off` turns true.
    pub(super) fn until(self, cut_off: watch::Receiver<bool>) -> Self {
        Self { cut_off: Some(cut_off), ..self }
    }

    /// For a request that came past the edge, as in another transport.
    fn arriving_now(&self) -> Arrival {
        let at = Instant::now();
        Arrival { at, deadline: Deadline::at(at + self.max_request_time) }
    }

    /// Longest time for one call, whatever its caller allows.
    pub(super) fn max_request_time(&self) -> Duration {
        self.max_request_time
    }

    /// Resolves when calls in flight are to end.
    async fn cut_off(&self) {
        if let Some(mut cut_off) = self.cut_off.clone()
            && cut_off.wait_for(|cut| *cut).await.is_ok()
        {
            return;
        }
        // Without a sender nothing is cut off.
        std::future::pending().await
    }

    async fn answer(
        &self,
        request_id: &str,
        received: Instant,
        deadline: Deadline,
        message: proto::AnalyzeImageRequest,
    ) -> Result<Analysis, Outcome> {
        if message.features.as_ref().is_some_and(|features| features.extraction.is_some()) {
            return Err(Outcome::from(status::unimplemented("features.extraction")));
        }
        let validate_only = message.validate_only;
        let asked = request::asked(message).map_err(|violations| Outcome::from(status::invalid(&violations)))?;
        let job = Job {
            request_id: request_id.to_owned(),
            source: asked.source,
            features: asked.features,
            options: asked.options,
            tags: asked.tags,
            validate_only,
            received,
            deadline,
        };
        self.analyzer.analyze(job).await.map_err(Outcome::from)
    }
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

impl From<AnalyzeError> for Outcome {
    fn from(error: AnalyzeError) -> Self {
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
        let Arrival { at: received, deadline } = arrival.unwrap_or_else(|| self.arriving_now());
        let message = request.into_inner();
        let request_id = match message.request_id.as_str() {
            "" => uuid::Uuid::new_v4().to_string(),
            // Too long an id is refused below; the refusal need not repeat it.
            id => id.chars().take(128).collect(),
        };
        let unfinished = Unfinished { request_id: &request_id, received };
        let outcome = tokio::select! {
            outcome = self.answer(&request_id, received, deadline, message) => outcome,
            () = self.cut_off() => Err(Outcome::from(status::draining())),
        };
        std::mem::forget(unfinished);
        log(&request_id, received, &outcome);
        match outcome {
            Ok(analysis) => {
                Ok(Response::new(proto::AnalyzeImageResponse { analysis: Some(response::analysis(analysis)) }))
            }
            Err(outcome) => Err(outcome.failure.into_status(&request_id)),
        }
    }

    type AnalyzeManyStream = tokio_stream::Empty<Result<proto::AnalyzeManyResponse, Status>>;

    async fn analyze_many(
        &self,
        _request: Request<Streaming<proto::AnalyzeManyRequest>>,
    ) -> Result<Response<Self::AnalyzeManyStream>, Status> {
        Err(status::unimplemented("AnalyzeMany").into_status(""))
    }

    async fn get_capabilities(
        &self,
        _request: Request<proto::GetCapabilitiesRequest>,
    ) -> Result<Response<proto::GetCapabilitiesResponse>, Status> {
        let limits = self.analyzer.limits();
        let models = self.analyzer.models().iter().enumerate();
        Ok(Response::new(proto::GetCapabilitiesResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            max_message_bytes: i64::try_from(self.max_message_bytes).unwrap_or(i64::MAX),
            max_object_bytes: i64::try_from(limits.max_image_bytes).unwrap_or(i64::MAX),
            max_pixel_count: i64::try_from(limits.max_pixels).unwrap_or(i64::MAX),
            media_types: MediaType::ALL.iter().map(|media_type| media_type.as_str().to_owned()).collect(),
            max_in_flight: i32::try_from(limits.max_in_flight).unwrap_or(i32::MAX),
            sensitivity_categories: DEFAULT_SENSITIVITY_CATEGORIES.map(str::to_owned).to_vec(),
            models: models.map(|(index, model)| capabilities(model, index == 0)).collect(),
        }))
    }
}

fn capabilities(model: &ModelProfile, is_default: bool) -> proto::ModelCapabilities {
    proto::ModelCapabilities {
        alias: if is_default { ModelProfile::DEFAULT_ALIAS.to_owned() } else { String::new() },
        model_id: model.id.clone(),
        max_edge: i32::try_from(model.tier.max_edge).unwrap_or(i32::MAX),
        max_visual_tokens: i32::try_from(model.tier.max_visual_tokens).unwrap_or(i32::MAX),
        is_default,
    }
}

/// The line of a call whose caller has left, or that panicked: dropped with the call, unless it was forgotten because the call ended.
struct Unfinished<'a> {
    request_id: &'a str,
    received: Instant,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let (request_id, elapsed) = (self.request_id, self.received.elapsed());
        if std::thread::panicking() {
            tracing::error!(request_id, ?elapsed, "panicked");
        } else {
            tracing::info!(request_id, ?elapsed, "cancelled by the caller");
        }
    }
}

/// The one line a call leaves in the log: sizes, codes and times, never pixels, prompts or answers.
fn log(request_id: &str, received: Instant, outcome: &Result<Analysis, Outcome>) {
    let elapsed = received.elapsed();
    match outcome {
        Ok(analysis) => tracing::info!(
            request_id,
            ?elapsed,
            image_bytes = analysis.image.byte_count,
            image_size = %analysis.image.size,
            model = analysis.model.as_ref().map(|model| model.served.as_str()),
            input_tokens = analysis.usage.input_tokens,
            output_tokens = analysis.usage.output_tokens,
            warnings = analysis.warnings.len(),
            "analyzed"
        ),
        Err(Outcome { failure, cause }) => {
            let (code, reason) = failure.summary();
            let cause = cause.as_ref().map(tracing::field::display);
            match code {
                Code::Internal | Code::Unavailable | Code::ResourceExhausted => {
                    tracing::warn!(request_id, ?elapsed, ?code, reason, cause, "failed");
                }
                _ => tracing::info!(request_id, ?elapsed, ?code, reason, cause, "failed"),
            }
        }
    }
}
