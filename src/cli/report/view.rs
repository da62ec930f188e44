//! What a card of the page shows of one result. Everything here is text of a model or a server: bounded and without
//! control characters, but not yet escaped, which is the template's work.

use std::time::Duration;

use serde::Serialize;

use super::{
    super::{
        plain,
        values::{self, cut},
    },
    failure::Failure,
    overlay::{self, Mark},
    thumbnail::Thumbnail,
};
use crate::proto::{
    AnalyzeManyResult, ImageAnalysis, ImageInfo, Label, Usage, analyze_many_result::Outcome, sensitivity::Verdict,
};

/// Most characters of a text in prose.
const MAX_PROSE: usize = 8000;
/// Most characters of a name or a line.
const MAX_LINE: usize = 1100;
/// Most entries of a list.
const MAX_LIST: usize = 500;
/// Entries of a list that show at once; the rest unfolds.
const SHOWN_AT_ONCE: usize = 16;

/// One card.
#[derive(Serialize)]
pub(super) struct Card {
    name: String,
    /// Its place in the run, from 1.
    position: u64,
    /// `failed`, `sensitive`, `uncertain`, `clear` or `analyzed`: a class and what the filter compares.
    pub(super) state: &'static str,
    badge: &'static str,
    thumbnail: Option<Thumbnail>,
    /// Why there is no thumbnail.
    no_thumbnail: Option<String>,
    alt: String,
    marks: Vec<Mark>,
    pub(super) failure: Option<Failure>,
    #[serde(flatten)]
    facts: Facts,
}

/// What the analysis says; empty for a failed picture.
#[derive(Default, Serialize)]
struct Facts {
    reason: Option<String>,
    findings: Option<List<Finding>>,
    description: Option<String>,
    labels: Option<List<Chip>>,
    labels_truncated: bool,
    text: Option<List<String>>,
    answer: Option<String>,
    values: Option<String>,
    warnings: Option<List<Warning>>,
    feature_errors: Vec<FeatureError>,
    raw_output: Option<String>,
    picture: Option<String>,
    model: Option<String>,
    effort: Option<String>,
    /// For sorting.
    milliseconds: u64,
    tokens: i64,
}

/// A list that shows its first entries and unfolds the others.
#[derive(Serialize)]
struct List<T> {
    first: Vec<T>,
    more: Vec<T>,
    /// Entries beyond those.
    left_out: usize,
}

impl<T> List<T> {
    fn new<S>(all: &[S], of: impl Fn(&S) -> T) -> Self {
        let mut first: Vec<_> = all.iter().take(MAX_LIST).map(of).collect();
        // One more line takes no more room than the line that unfolds it.
        let at_once = if first.len() == SHOWN_AT_ONCE + 1 { SHOWN_AT_ONCE + 1 } else { SHOWN_AT_ONCE };
        let more = first.split_off(first.len().min(at_once));
        Self { first, more, left_out: all.len().saturating_sub(MAX_LIST) }
    }
}

#[derive(Serialize)]
struct Chip {
    name: String,
    /// Name in the requested language, where it is another one.
    display_name: Option<String>,
    confidence: Option<String>,
    /// Occurrences, from 2.
    times: Option<usize>,
    colour: Option<usize>,
}

#[derive(Serialize)]
struct Finding {
    category: String,
    detail: String,
}

#[derive(Serialize)]
struct Warning {
    code: String,
    message: String,
    times: usize,
}

#[derive(Serialize)]
struct FeatureError {
    feature: String,
    failure: Failure,
}

impl Card {
    /// A card for the result. The thumbnail is made only when `room` is left for it.
    pub(super) fn new(
        name: &str,
        position: u64,
        result: &AnalyzeManyResult,
        picture: Option<&[u8]>,
        room: bool,
    ) -> Self {
        let analysis = match &result.outcome {
            Some(Outcome::Analysis(analysis)) => Some(analysis),
            _ => None,
        };
        let failure = match &result.outcome {
            Some(Outcome::Analysis(_)) => None,
            Some(Outcome::Error(status)) => Some(Failure::new(status)),
            None => Some(Failure::without_outcome()),
        };
        let (thumbnail, no_thumbnail) = thumbnail(picture, analysis, room);
        let marks = analysis.zip(thumbnail.as_ref()).map(|(analysis, small)| overlay::marks(analysis, small));
        let (state, badge) = state(analysis);
        let name = line(name);
        Self {
            alt: alt(&name, analysis),
            name,
            position,
            state,
            badge,
            thumbnail,
            no_thumbnail,
            marks: marks.unwrap_or_default(),
            failure,
            facts: analysis.map(Facts::new).unwrap_or_default(),
        }
    }

    pub(super) fn has_thumbnail(&self) -> bool {
        self.thumbnail.is_some()
    }
}

/// The thumbnail, or why there is none.
fn thumbnail(
    picture: Option<&[u8]>,
    analysis: Option<&ImageAnalysis>,
    room: bool,
) -> (Option<Thumbnail>, Option<String>) {
    match picture {
        Some(_) if !room => (None, Some("No thumbnail: the report has as many as it holds.".to_owned())),
        Some(picture) => match Thumbnail::new(picture, analysis) {
            Ok(thumbnail) => (Some(thumbnail), None),
            Err(error) => (None, Some(line(&format!("No thumbnail: {error}")))),
        },
        // Nobody expects the picture of a call that failed.
        None => (None, analysis.map(|_| "No thumbnail: the picture itself was not at hand.".to_owned())),
    }
}

fn state(analysis: Option<&ImageAnalysis>) -> (&'static str, &'static str) {
    match analysis.map(|analysis| analysis.sensitivity.as_ref().map(|sensitivity| sensitivity.verdict())) {
        None => ("failed", "Failed"),
        Some(None) => ("analyzed", "Analyzed"),
        Some(Some(Verdict::Sensitive)) => ("sensitive", "Sensitive"),
        Some(Some(Verdict::NotSensitive)) => ("clear", "Not sensitive"),
        Some(Some(Verdict::Uncertain | Verdict::Unspecified)) => ("uncertain", "Uncertain: a person should look"),
    }
}

/// What a screen reader says in place of the picture.
fn alt(name: &str, analysis: Option<&ImageAnalysis>) -> String {
    let description = analysis.and_then(|analysis| analysis.description.as_ref());
    match description.map(|description| clipped(&description.text, 300)) {
        Some(text) if !text.is_empty() => format!("{name}: {text}"),
        _ => format!("The picture {name}"),
    }
}

impl Facts {
    fn new(analysis: &ImageAnalysis) -> Self {
        let sensitivity = analysis.sensitivity.as_ref();
        let findings = sensitivity.filter(|sensitivity| !sensitivity.findings.is_empty()).map(|sensitivity| {
            List::new(&sensitivity.findings, |finding| Finding {
                category: line(&finding.category),
                detail: line(&finding.detail),
            })
        });
        let usage = analysis.usage.unwrap_or_default();
        let total = analysis.timing.as_ref().and_then(|timing| timing.total);
        let total = total.and_then(|total| Duration::try_from(total).ok());
        Self {
            reason: sensitivity.and_then(|sensitivity| prose(&sensitivity.reason)),
            findings,
            description: analysis.description.as_ref().map(|it| prose(&it.text).unwrap_or_else(|| "none".to_owned())),
            labels: analysis.labels.as_ref().map(|labels| chips(analysis, &labels.labels)),
            labels_truncated: analysis.labels.as_ref().is_some_and(|labels| labels.truncated),
            text: analysis.text.as_ref().map(|text| List::new(&text.lines, |it| line(&it.text))),
            answer: analysis.answer.as_ref().map(|it| prose(&it.text).unwrap_or_else(|| "none".to_owned())),
            values: analysis.extraction.as_ref().map(|it| values::json(it.values.as_ref(), MAX_PROSE)),
            warnings: (!analysis.warnings.is_empty()).then(|| warnings(analysis)),
            feature_errors: analysis.feature_errors.iter().take(MAX_LIST).map(feature_error).collect(),
            raw_output: prose(&analysis.raw_output),
            picture: analysis.image.as_ref().map(picture),
            model: analysis.model.as_ref().map(|model| {
                let cached = if model.cached { " (cached)" } else { "" };
                line(&format!("{}{cached}", model.served))
            }),
            effort: analysis.usage.map(|usage| effort(&usage, total)),
            milliseconds: u64::try_from(total.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            tokens: usage.input_token_count.saturating_add(usage.output_token_count),
        }
    }
}

fn chips(analysis: &ImageAnalysis, labels: &[Label]) -> List<Chip> {
    let colours = overlay::colours(analysis);
    List::new(labels, |label| {
        let name = line(&label.name);
        let display_name = Some(line(&label.display_name)).filter(|other| !other.is_empty() && *other != name);
        Chip {
            name,
            display_name,
            confidence: percent(share(label.confidence)),
            times: Some(label.instances.len()).filter(|times| *times > 1),
            colour: colours.get(label.name.as_str()).copied(),
        }
    })
}

/// The warnings, equal ones together.
fn warnings(analysis: &ImageAnalysis) -> List<Warning> {
    let mut distinct: Vec<(&crate::proto::Warning, usize)> = vec![];
    for warning in analysis.warnings.iter().take(10 * MAX_LIST) {
        if let Some((_, times)) = distinct.iter_mut().find(|(other, _)| *other == warning) {
            *times += 1;
        } else if distinct.len() < MAX_LIST {
            distinct.push((warning, 1));
        }
    }
    List::new(&distinct, |(warning, times)| Warning {
        code: line(&warning.code),
        message: line(&warning.message),
        times: *times,
    })
}

fn feature_error(error: &crate::proto::FeatureError) -> FeatureError {
    let failure = error.error.as_ref().map_or_else(Failure::without_outcome, Failure::new);
    FeatureError { feature: line(&error.feature), failure }
}

fn picture(image: &ImageInfo) -> String {
    let bytes = plain::bytes(u64::try_from(image.size_bytes).unwrap_or(0));
    line(&format!("{}, {} × {}, {bytes}", image.media_type, image.width, image.height))
}

fn effort(usage: &Usage, total: Option<Duration>) -> String {
    let mut parts = vec![format!("{} + {} tokens", count(usage.input_token_count), count(usage.output_token_count))];
    parts.extend((usage.model_call_count != 1).then(|| format!("{} model calls", usage.model_call_count)));
    parts.extend(cost(usage));
    parts.extend(total.map(plain::duration));
    parts.join(", ")
}

/// The estimated cost, such as `about $0.0123`; nothing where no price is configured.
pub(super) fn cost(usage: &Usage) -> Option<String> {
    let cost = usage.estimated_cost_usd.filter(|cost| cost.is_finite())?;
    Some(if cost >= 1.0 { format!("about ${cost:.2}") } else { format!("about ${cost:.4}") })
}

/// A whole number with its thousands apart, such as `12,345`.
pub(super) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A confidence in `[0, 1]`; nothing where a server sent what is no number.
pub(super) fn share(confidence: Option<f32>) -> Option<f32> {
    confidence.filter(|share| share.is_finite()).map(|share| share.clamp(0.0, 1.0))
}

pub(super) fn percent(share: Option<f32>) -> Option<String> {
    share.map(|share| format!("{:.0}%", share * 100.0))
}

/// Harmless text on one line, with a bound.
pub(super) fn line(text: &str) -> String {
    clipped(text, MAX_LINE)
}

/// Harmless text of at most `most` characters on one line.
pub(super) fn clipped(text: &str, most: usize) -> String {
    plain::line(&cut(text.trim(), most))
}

/// Harmless text with its line breaks and with a bound; nothing when it is empty.
pub(super) fn prose(text: &str) -> Option<String> {
    let text = plain::lines(&cut(text.trim(), MAX_PROSE));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let shown = [0_i64, 7, 999, 1000, 1_234_567, -1000, i64::MIN].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,234,567", "-1,000", "-9,223,372,036,854,775,808"]);
    }

    #[test]
    fn a_confidence_that_is_no_number_is_none() {
        assert_eq!(percent(share(Some(f32::NAN))), None);
        assert_eq!(percent(share(Some(7.0))).as_deref(), Some("100%"));
    }

    #[test]
    fn a_cost_shows_only_where_a_price_is_known() {
        let usage = |estimated_cost_usd| Usage { estimated_cost_usd, ..Usage::default() };
        assert_eq!(cost(&usage(None)), None);
        assert_eq!(cost(&usage(Some(f64::NAN))), None);
        assert_eq!(cost(&usage(Some(0.01234))).as_deref(), Some("about $0.0123"));
        assert_eq!(cost(&usage(Some(12.345))).as_deref(), Some("about $12.35"));
    }
}
