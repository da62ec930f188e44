//! What the tests of sharing stand on: a server that keeps results, callers that go on by themselves, and who paid.

use sightline::proto::{AnalysisOptions, AnalyzeImageRequest, CacheMode, GetCapabilitiesRequest, ImageAnalysis};
use tokio::task::JoinHandle;
use tonic::Status;

use super::{
    bedrock::Gate,
    models::{answer, model_of, usage_of, with},
    service::Service,
};

/// Flags of a server that keeps results.
pub const CACHE: [&str; 2] = ["--cache-bytes", "16MiB"];

/// A service that keeps results.
pub async fn keeping() -> Service {
    let service = Service::with(&CACHE).await;
    service.bedrock.answer_with(answer);
    service
}

/// The same with a model that answers only when the gate lets it.
pub async fn gated() -> (Service, Gate) {
    let (service, gate) = (Service::with(&CACHE).await, Gate::default());
    let held = gate.clone();
    service.bedrock.answer_with(move |request| answer(request).behind(&held));
    (service, gate)
}

impl Service {
    /// A call that goes on by itself, over the service's one connection.
    pub fn begin(
        &self,
        request: impl tonic::IntoRequest<AnalyzeImageRequest>,
    ) -> JoinHandle<Result<ImageAnalysis, Status>> {
        let (mut client, request) = (self.client(), request.into_request());
        tokio::spawn(async move {
            let response = client.analyze_image(request).await?;
            Ok(response.into_inner().analysis.expect("the analysis is always set"))
        })
    }

    /// Returns once the server has worked on all that was sent before: on one connection, what comes later is read later.
    pub async fn settled(&self) {
        for _ in 0..3 {
            self.client().get_capabilities(GetCapabilitiesRequest {}).await.expect("an answer");
        }
    }
}

/// The same request with another use of the cache.
pub fn mode(request: AnalyzeImageRequest, mode: CacheMode) -> AnalyzeImageRequest {
    with(request, AnalysisOptions { cache_mode: mode.into(), ..AnalysisOptions::default() })
}

/// Whether the model was asked for this one.
pub fn assert_paid(analysis: &ImageAnalysis, calls: i32) {
    assert_eq!((usage_of(analysis).model_call_count, model_of(analysis).cached), (calls, false));
    assert!(usage_of(analysis).input_token_count > 0);
}

/// Nothing was paid, and the picture is as large as ever.
pub fn assert_free(analysis: &ImageAnalysis) {
    let usage = usage_of(analysis);
    assert_eq!((usage.model_call_count, model_of(analysis).cached), (0, true));
    assert_eq!((usage.input_token_count, usage.output_token_count), (0, 0));
    assert!(usage.image_token_count > 0);
    assert_eq!(usage.estimated_cost_usd, Some(0.0));
}
