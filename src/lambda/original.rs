//! The original's event, `{"prompt","Bucket","Key"}`: the model's own words about one picture; and its typed form.

use serde_json::Value;

use super::{
    Failure, Handler, Invocation,
    event::{OriginalEvent, TypedEvent},
};
use crate::{
    grpc::Extras,
    proto::{self, image_source::Source, json},
};

/// The original's parameters, each sent to models that take it. Its temperature of 0 is sent anyway.
const MAX_TOKENS: i32 = 4096;
const TOP_K: u32 = 250;
const TOP_P: f32 = 0.999;

/// The model's answer as a JSON string, byte for byte; or the whole body of its response.
pub(super) async fn words(handler: &Handler, event: OriginalEvent, invocation: &Invocation) -> Result<Value, Failure> {
    let OriginalEvent { bucket, key, prompt, options, full_response } = event;
    let features = proto::Features { prompt: Some(proto::PromptFeature { text: prompt }), ..Default::default() };
    let mut request = request(bucket, key, features, options, invocation);
    let options = request.options.get_or_insert_default();
    if options.max_output_tokens == 0 {
        options.max_output_tokens = MAX_TOKENS;
    }
    // The original asked the model in every invocation; a kept result has no body of a response either.
    options.set_cache_mode(proto::CacheMode::Off);
    options.include_raw_output = true;
    let extras = Extras { top_p: Some(TOP_P), top_k: Some(TOP_K), response_body: full_response };
    let analysis = handler.service.ask_here(&handler.caller, invocation.deadline, request, extras).await?;
    let words = if full_response {
        analysis.response_body.and_then(|body| serde_json::from_str(&body).ok())
    } else {
        // Not the answer that was read, which is trimmed.
        analysis.raw_output.map(Value::String)
    };
    words.ok_or_else(|| {
        tracing::error!("an analysis without the model's words");
        Failure::internal()
    })
}

/// The typed analysis in canonical proto3 JSON.
pub(super) async fn typed(handler: &Handler, event: TypedEvent, invocation: &Invocation) -> Result<Value, Failure> {
    let TypedEvent { bucket, key, asked } = event;
    let request = request(bucket, key, asked.features, asked.options, invocation);
    let analysis = handler.analyze(invocation.deadline, request).await?;
    json::to_value("ImageAnalysis", &analysis).map_err(|error| {
        tracing::error!(%error, "an analysis without a JSON form");
        Failure::internal()
    })
}

fn request(
    bucket: String,
    key: String,
    features: proto::Features,
    options: proto::AnalysisOptions,
    invocation: &Invocation,
) -> proto::AnalyzeImageRequest {
    let object = proto::S3Object { bucket, key, ..Default::default() };
    proto::AnalyzeImageRequest {
        request_id: invocation.request_id.clone(),
        image: Some(proto::ImageSource { source: Some(Source::S3Object(object)) }),
        features: Some(features),
        options: Some(options),
        ..Default::default()
    }
}
