//! What a run has come to, and the words for it.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::failure;
use crate::proto::{AnalyzeManyResult, Usage, analyze_many_result::Outcome};

/// Counts of one run.
#[derive(Debug, Default)]
pub struct Totals {
    /// Pictures answered with an analysis.
    pub succeeded: u64,
    /// Sources answered with an error, or that could not be sent.
    pub failed: u64,
    /// The failed ones by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Sources that had their line already.
    pub skipped: u64,
    /// Sources that were named more than once, the first time not counted.
    pub repeated: u64,
    /// Sources that the server did not start after a failure.
    pub aborted: u64,
    /// Answers of the server, those to what had its line already too.
    pub answers: u64,
    finished: Usage,
    running: Usage,
}

impl Totals {
    /// Counts a result that has been written.
    pub fn add(&mut self, result: &AnalyzeManyResult) {
        match &result.outcome {
            Some(Outcome::Analysis(analysis)) => {
                self.succeeded += 1;
                add(&mut self.running, analysis.usage.as_ref());
            }
            Some(Outcome::Error(error)) => self.fail(&failure::reason(error)),
            None => self.fail("UNKNOWN"),
        }
    }

    fn fail(&mut self, reason: &str) {
        self.failed += 1;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    /// Ends a stream. Its summary counts what failed items used, too.
    pub fn end_stream(&mut self, usage: Option<Usage>) {
        let counted = std::mem::take(&mut self.running);
        add(&mut self.finished, Some(&usage.unwrap_or(counted)));
    }

    /// Adds what another run has come to.
    pub fn include(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        add(&mut self.finished, Some(&other.usage()));
    }

    /// Usage of all streams.
    pub fn usage(&self) -> Usage {
        let mut usage = self.finished;
        add(&mut usage, Some(&self.running));
        usage
    }

    /// Pictures that have been answered.
    pub fn done(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// The end of a run in words, without a trailing newline.
    pub fn summary(&self, elapsed: Duration, failed_earlier: u64) -> String {
        let elapsed = if elapsed < Duration::from_secs(60) {
            crate::cli::plain::duration(elapsed)
        } else {
            humantime::format_duration(Duration::from_secs(elapsed.as_secs())).to_string()
        };
        let mut text =
            format!("{} in {elapsed}: {} succeeded, {} failed", results(self.done()), self.succeeded, self.failed);
        for (reason, count) in &self.reasons {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {count} {reason}");
        }
        let notes = [
            (self.aborted, "not started after the failure"),
            (self.skipped, "answered already, left out"),
            (failed_earlier, "failed in an earlier run (--retry-failed asks again)"),
            (self.repeated, "named more than once, sent once"),
        ];
        for (count, note) in notes.iter().filter(|(count, _)| *count > 0) {
            let _ = write!(text, "\n{count} {note}");
        }
        let usage = self.usage();
        let _ = write!(
            text,
            "\n{} input and {} output tokens in {} model {}",
            usage.input_token_count + usage.cache_read_token_count + usage.cache_write_token_count,
            usage.output_token_count,
            usage.model_call_count,
            if usage.model_call_count == 1 { "call" } else { "calls" },
        );
        if let Some(cost) = usage.estimated_cost_usd {
            let _ = write!(text, ", about ${cost:.4}");
        }
        text
    }
}

fn results(count: u64) -> String {
    if count == 1 { "1 result".to_owned() } else { format!("{count} results") }
}

/// Adds up; a server's numbers are not trusted to fit.
fn add(sum: &mut Usage, more: Option<&Usage>) {
    let Some(more) = more else { return };
    sum.input_token_count = sum.input_token_count.saturating_add(more.input_token_count);
    sum.output_token_count = sum.output_token_count.saturating_add(more.output_token_count);
    sum.cache_read_token_count = sum.cache_read_token_count.saturating_add(more.cache_read_token_count);
    sum.cache_write_token_count = sum.cache_write_token_count.saturating_add(more.cache_write_token_count);
    sum.image_token_count = sum.image_token_count.saturating_add(more.image_token_count);
    sum.model_call_count = sum.model_call_count.saturating_add(more.model_call_count);
    if let Some(cost) = more.estimated_cost_usd {
        sum.estimated_cost_usd = Some(sum.estimated_cost_usd.unwrap_or_default() + cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::analyze_many::failure, proto::ImageAnalysis};

    #[test]
    fn the_summary_says_everything_in_words() {
        let usage = |tokens| Usage { input_token_count: tokens, model_call_count: 1, ..Usage::default() };
        let of = |outcome| AnalyzeManyResult { outcome: Some(outcome), ..AnalyzeManyResult::default() };
        let mut totals = Totals { skipped: 4, repeated: 1, aborted: 2, ..Totals::default() };
        totals.add(&of(Outcome::Analysis(ImageAnalysis { usage: Some(usage(100)), ..Default::default() })));
        totals.add(&of(Outcome::Error(failure::no_pictures("none"))));
        totals.add(&of(Outcome::Error(failure::no_pictures("none"))));
        assert_eq!(totals.usage().input_token_count, 100);
        // The server has counted what failed items cost, too.
        totals.end_stream(Some(Usage { estimated_cost_usd: Some(0.5), ..usage(150) }));
        totals.end_stream(None);
        insta::assert_snapshot!(totals.summary(Duration::from_secs(125), 3), @r"
        3 results in 2m 5s: 1 succeeded, 2 failed
          2 SOURCE_EMPTY
        2 not started after the failure
        4 answered already, left out
        3 failed in an earlier run (--retry-failed asks again)
        1 named more than once, sent once
        150 input and 0 output tokens in 1 model call, about $0.5000
        ");
    }
}
