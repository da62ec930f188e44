//! Whether every picture was answered exactly once, and rightly.

use anyhow::{Context as _, bail, ensure};
use sightline::proto::{
    AnalyzeManyResponse, AnalyzeManyResult, AnalyzeManySummary, ImageAnalysis, analyze_many_response::Event,
    analyze_many_result::Outcome,
};

use crate::{
    bedrock::{DESCRIPTION, INPUT_TOKENS, LABELS, OUTPUT_TOKENS},
    catalogue::Catalogue,
};

/// Follows one stream.
pub struct Check<'a> {
    catalogue: &'a Catalogue,
    /// Whether the pictures came by a listing.
    listed: bool,
    answered: Vec<bool>,
    results: usize,
    /// All pictures before this one have been answered.
    watermark: usize,
    summary: Option<AnalyzeManySummary>,
}

impl<'a> Check<'a> {
    /// Expects the first `items` pictures of `catalogue`.
    pub fn new(catalogue: &'a Catalogue, items: usize, listed: bool) -> Self {
        Self { catalogue, listed, answered: vec![false; items], results: 0, watermark: 0, summary: None }
    }

    /// Takes one message of the stream.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, message: AnalyzeManyResponse) -> anyhow::Result<()> {
        ensure!(self.summary.is_none(), "a message after the summary: {message:?}");
        match message.event.context("a message without an event")? {
            Event::Result(result) => {
                let position = self.results;
                self.result(result).with_context(|| format!("result {position} of the stream"))
            }
            Event::Summary(summary) => {
                self.summary = Some(summary);
                Ok(())
            }
        }
    }

    fn result(&mut self, result: AnalyzeManyResult) -> anyhow::Result<()> {
        let index = usize::try_from(result.item_index.context("no item_index")?)?;
        ensure!(result.item_id == Catalogue::key(index), "item_index {index} has item_id {}", result.item_id);
        let answered = self.answered.get_mut(index).with_context(|| format!("{index} was not asked for"))?;
        ensure!(!std::mem::replace(answered, true), "{index} is answered twice");
        self.results += 1;
        while self.answered.get(self.watermark).is_some_and(|answered| *answered) {
            self.watermark += 1;
        }
        let resume_after = match (self.listed, self.watermark.checked_sub(1)) {
            (true, Some(last)) => Catalogue::key(last),
            _ => String::new(),
        };
        ensure!(result.resume_after == resume_after, "resume_after {:?}, not {resume_after:?}", result.resume_after);
        match result.outcome.context("no outcome")? {
            Outcome::Analysis(analysis) => {
                ensure!(analysis.request_id.ends_with(&format!(":{index}")), "request id {}", analysis.request_id);
                self::analysis(&analysis, self.catalogue.photo(index).len())
            }
            Outcome::Error(error) => bail!("it failed: {error:?}"),
        }
    }

    /// Results so far.
    pub fn results(&self) -> usize {
        self.results
    }

    /// The stream has ended with OK.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn end(self) -> anyhow::Result<()> {
        let missing = self.answered.iter().filter(|answered| !**answered).count();
        ensure!(missing == 0, "{missing} pictures were never answered");
        let summary = self.summary.context("there is no summary")?;
        let items = i64::try_from(self.answered.len())?;
        let usage = summary.total_usage.unwrap_or_default();
        let found = (summary.succeeded_count, summary.failed_count, i64::from(usage.model_call_count));
        ensure!(found == (items, 0, items), "succeeded, failed, model calls: {found:?}");
        let tokens = (usage.input_token_count, usage.output_token_count);
        ensure!(tokens == (items * INPUT_TOKENS, items * OUTPUT_TOKENS), "tokens: {tokens:?}");
        ensure!(summary.elapsed.is_some(), "the summary has no elapsed");
        Ok(())
    }
}

/// Whether this is the model's answer on a picture of `size` bytes.
///
/// # Errors
/// What is wrong with it.
pub fn analysis(analysis: &ImageAnalysis, size: usize) -> anyhow::Result<()> {
    let description = analysis.description.as_ref().map(|description| description.text.as_str());
    ensure!(description == Some(DESCRIPTION), "description: {description:?}");
    let labels = analysis.labels.iter().flat_map(|labels| &labels.labels);
    let boxes = labels.flat_map(|label| &label.instances).filter(|instance| instance.r#box.is_some()).count();
    ensure!(boxes == LABELS, "{boxes} boxes");
    let read = analysis.image.as_ref().map(|image| image.size_bytes);
    ensure!(read == Some(i64::try_from(size)?), "the picture has {size} bytes, not {read:?}");
    let calls = analysis.usage.as_ref().map(|usage| usage.model_call_count);
    ensure!(calls == Some(1), "model calls: {calls:?}");
    ensure!(analysis.feature_errors.is_empty() && analysis.warnings.is_empty(), "errors or warnings: {analysis:?}");
    Ok(())
}
