//! The analysis to the response message.

use std::time::Duration;

use super::{status, structs};
use crate::{
    domain::{
        Adjustment, Analysis, BoundingBox, DetectedText, Findings, ImageFacts, Label, LabelInstance, Labels,
        MissingFeature, ModelFacts, SensitiveFinding, Sensitivity, Size, StopReason, TextLine, Timing, Usage, Verdict,
        Warning,
    },
    proto,
};

/// The wire form of an analysis.
pub(super) fn analysis(analysis: Analysis) -> proto::ImageAnalysis {
    let Findings { description, sensitivity: verdict, labels: found, text: lines, answer, extraction: values, missing } =
        analysis.findings;
    proto::ImageAnalysis {
        request_id: analysis.request_id,
        image: Some(image(analysis.image)),
        description: description.map(|text| proto::Description { text }),
        sensitivity: verdict.map(sensitivity),
        labels: found.map(labels),
        text: lines.map(text),
        answer: answer.map(|text| proto::Answer { text }),
        extraction: values.map(extraction),
        feature_errors: missing.into_iter().map(feature_error).collect(),
        model: analysis.model.map(model),
        usage: Some(usage(analysis.usage)),
        timing: Some(timing(analysis.timing)),
        warnings: analysis.warnings.into_iter().map(warning).collect(),
        raw_output: analysis.raw_output.unwrap_or_default(),
    }
}

fn extraction(values: serde_json::Map<String, serde_json::Value>) -> proto::Extraction {
    proto::Extraction { values: Some(structs::from_json(values)) }
}

fn feature_error(missing: MissingFeature) -> proto::FeatureError {
    let MissingFeature { name, cause } = missing;
    proto::FeatureError { feature: name.to_owned(), error: Some(status::missing_feature(name, &cause)) }
}

/// Pixels as the contract's `int32`: every size is bounded far below by the pixel limit.
fn pixels(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A count as the contract's `int64`: none comes near its bound.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn image(facts: ImageFacts) -> proto::ImageInfo {
    let Size { width, height } = facts.size;
    proto::ImageInfo {
        media_type: facts.media_type.to_owned(),
        width: pixels(width),
        height: pixels(height),
        exif_orientation: facts.exif_orientation.into(),
        size_bytes: count(facts.byte_count),
        model_width: pixels(facts.model_size.width),
        model_height: pixels(facts.model_size.height),
        etag: facts.etag.unwrap_or_default(),
        version_id: facts.version_id.unwrap_or_default(),
    }
}

fn sensitivity(sensitivity: Sensitivity) -> proto::Sensitivity {
    use proto::sensitivity::Verdict as Wire;
    let verdict = match sensitivity.verdict {
        Verdict::Sensitive => Wire::Sensitive,
        Verdict::NotSensitive => Wire::NotSensitive,
        Verdict::Uncertain => Wire::Uncertain,
    };
    proto::Sensitivity {
        verdict: verdict.into(),
        reason: sensitivity.reason,
        findings: sensitivity.findings.into_iter().map(finding).collect(),
    }
}

fn finding(finding: SensitiveFinding) -> proto::SensitiveFinding {
    let SensitiveFinding { category, detail, bounding_box } = finding;
    proto::SensitiveFinding { category, detail, r#box: bounding_box.as_ref().map(bounding_box_message) }
}

fn labels(labels: Labels) -> proto::Labels {
    proto::Labels { labels: labels.labels.into_iter().map(label).collect(), truncated: labels.truncated }
}

fn label(label: Label) -> proto::Label {
    let Label { name, display_name, confidence, instances } = label;
    proto::Label { name, display_name, confidence, instances: instances.iter().map(instance).collect() }
}

fn instance(instance: &LabelInstance) -> proto::LabelInstance {
    proto::LabelInstance { r#box: Some(bounding_box_message(&instance.bounding_box)), confidence: instance.confidence }
}

fn text(text: DetectedText) -> proto::DetectedText {
    let full_text = text.full_text();
    proto::DetectedText { text: full_text, lines: text.lines.into_iter().map(line).collect() }
}

fn line(line: TextLine) -> proto::TextLine {
    proto::TextLine { text: line.text, r#box: line.bounding_box.as_ref().map(bounding_box_message) }
}

fn bounding_box_message(placed: &BoundingBox) -> proto::BoundingBox {
    use proto::bounding_box::Adjustment as Wire;
    let point = |x, y| Some(proto::PixelPoint { x: Some(pixels(x)), y: Some(pixels(y)) });
    let normalized = placed.normalized();
    let adjustments = placed.adjustments().iter().map(|adjustment| match adjustment {
        Adjustment::Reordered => Wire::Reordered.into(),
        Adjustment::Rescaled => Wire::Rescaled.into(),
        Adjustment::Clipped => Wire::Clipped.into(),
    });
    proto::BoundingBox {
        pixels: Some(proto::PixelCorners {
            top_left: point(placed.left(), placed.top()),
            top_right: point(placed.right(), placed.top()),
            bottom_right: point(placed.right(), placed.bottom()),
            bottom_left: point(placed.left(), placed.bottom()),
        }),
        normalized: Some(proto::NormalizedBox {
            left: Some(normalized.left),
            top: Some(normalized.top),
            width: Some(normalized.width),
            height: Some(normalized.height),
        }),
        adjustments: adjustments.collect(),
    }
}

fn model(facts: ModelFacts) -> proto::ModelInfo {
    use proto::model_info::StopReason as Wire;
    let stop_reason = match facts.stop_reason {
        StopReason::EndTurn => Wire::EndTurn,
        StopReason::MaxTokens => Wire::MaxTokens,
        StopReason::Refusal => Wire::Refusal,
        StopReason::Filtered => Wire::Filtered,
        StopReason::Unknown => Wire::Unspecified,
    };
    proto::ModelInfo {
        requested: facts.requested,
        served: facts.served,
        region: facts.region,
        prompt_version: facts.prompt_version.to_owned(),
        stop_reason: stop_reason.into(),
        upstream_request_id: facts.upstream_request_id.unwrap_or_default(),
        cached: facts.cached,
    }
}

/// The wire form of a usage.
pub(super) fn usage(usage: Usage) -> proto::Usage {
    proto::Usage {
        input_token_count: count(usage.input_tokens),
        output_token_count: count(usage.output_tokens),
        cache_read_token_count: count(usage.cache_read_tokens),
        cache_write_token_count: count(usage.cache_write_tokens),
        image_token_count: count(usage.image_tokens),
        model_call_count: i32::try_from(usage.model_calls).unwrap_or(i32::MAX),
        estimated_cost_usd: usage.cost_usd(),
    }
}

fn timing(timing: Timing) -> proto::Timing {
    proto::Timing {
        total: Some(duration(timing.total)),
        queue: Some(duration(timing.queue)),
        fetch: Some(duration(timing.fetch)),
        prepare: Some(duration(timing.prepare)),
        model: Some(duration(timing.model)),
        backoff: Some(duration(timing.backoff)),
    }
}

/// A duration of a request, which is far from the type's bounds.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn warning(warning: Warning) -> proto::Warning {
    proto::Warning { code: warning.code.as_str().to_owned(), message: warning.message }
}
