//! What is written about one object: a line as `analyze-many` writes it, so that whatever reads the one reads the other.

use bytes::Bytes;

use super::{fault::Fault, object::Target, store::Document};
pub(super) use crate::cli::json::JsonError;
use crate::{
    cli::json,
    proto::{AnalyzeManyResult, ImageAnalysis, analyze_many_result::Outcome},
};

/// The document of an analysis.
pub(super) fn analysis(target: &Target, analysis: ImageAnalysis) -> Result<Document, JsonError> {
    line(target, Outcome::Analysis(analysis), None)
}

/// The document of a failure.
pub(super) fn failure(target: &Target, fault: &Fault) -> Result<Document, JsonError> {
    line(target, Outcome::Error(fault.failure.status().clone()), Some(fault.failure.reason().to_owned()))
}

fn line(target: &Target, outcome: Outcome, reason: Option<String>) -> Result<Document, JsonError> {
    let result =
        AnalyzeManyResult { item_id: target.key.clone(), outcome: Some(outcome), ..AnalyzeManyResult::default() };
    let mut line = json::line(&target.source(), None, &result)?;
    // A file of several of these is a file of lines.
    line.push('\n');
    Ok(Document { body: Bytes::from(line), reason })
}
