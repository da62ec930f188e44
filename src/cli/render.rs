//! An analysis for people at a terminal.

use std::{collections::HashMap, time::Duration};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use tonic::Code;

use super::{boxes::Rect, plain, status, values};
use crate::proto::{
    self, BoundingBox, ImageAnalysis, Label, Timing, Usage, bounding_box::Adjustment, model_info::StopReason,
    sensitivity::Verdict,
};

/// Most rows of one list; the JSON form has them all.
const MAX_ROWS: usize = 100;
/// Most characters of extracted values; the JSON form has them all.
const MAX_VALUES: usize = 8000;
/// Columns of the terminal from which the size of a box is shown too.
const SIZE_COLUMN_FROM: u16 = 90;

/// The analysis as lines of at most `width` columns, with a newline at the end. Only features that were asked for show.
pub fn render(analysis: &ImageAnalysis, width: u16) -> String {
    let mut facts = Facts::default();
    picture(analysis, &mut facts);
    answers(analysis, &mut facts);
    let mut shown = facts.render(width);
    if let Some(labels) = &analysis.labels {
        shown.push_str(&labels_table(labels, width));
    }
    let mut facts = Facts::default();
    doubts(analysis, &mut facts);
    effort(analysis, &mut facts);
    shown.push_str(&facts.render(width));
    shown
}

/// Names and values, one below the other.
#[derive(Default)]
struct Facts(Vec<(&'static str, String)>);

impl Facts {
    fn add(&mut self, name: &'static str, value: impl AsRef<str>) {
        self.0.push((name, plain::lines(value.as_ref().trim_end())));
    }

    fn add_list(&mut self, name: &'static str, values: Vec<String>) {
        let more = values.len().saturating_sub(MAX_ROWS);
        let mut shown: Vec<_> = values.iter().take(MAX_ROWS).map(|value| plain::line(value)).collect();
        if more > 0 {
            shown.push(format!("and {more} more: see --json"));
        }
        if !shown.is_empty() {
            self.add(name, shown.join("\n"));
        }
    }

    fn render(self, width: u16) -> String {
        let mut table = table(presets::NOTHING, width);
        self.0.into_iter().for_each(|(name, value)| {
            table.add_row([name.to_owned(), value]);
        });
        if let Some(names) = table.column_mut(0) {
            names.set_padding((0, 2));
            // Names never wrap: all rows line up below each other, above and below the labels.
            names.set_constraint(ColumnConstraint::Absolute(Width::Fixed(13)));
        }
        if let Some(values) = table.column_mut(1) {
            values.set_padding((0, 0));
        }
        finish(&table)
    }
}

fn table(preset: &str, width: u16) -> Table {
    let mut table = Table::new();
    table.load_preset(preset).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}

fn finish(table: &Table) -> String {
    if table.is_empty() { String::new() } else { table.trim_fmt() + "\n" }
}

fn picture(analysis: &ImageAnalysis, facts: &mut Facts) {
    let Some(image) = &analysis.image else { return };
    let bytes = plain::bytes(u64::try_from(image.size_bytes).unwrap_or(0));
    let mut line = format!("{}, {} x {} pixels, {bytes}", image.media_type, image.width, image.height);
    if image.exif_orientation > 1 {
        line += &format!(", turned upright (EXIF orientation {})", image.exif_orientation);
    }
    if (image.model_width, image.model_height) != (image.width, image.height) && image.model_width > 0 {
        line += &format!("; the model saw {} x {}", image.model_width, image.model_height);
    }
    facts.add("Picture", line);
    if !image.version_id.is_empty() {
        facts.add("Version", &image.version_id);
    }
}

fn answers(analysis: &ImageAnalysis, facts: &mut Facts) {
    if let Some(description) = &analysis.description {
        facts.add("Description", &description.text);
    }
    if let Some(sensitivity) = &analysis.sensitivity {
        let verdict = match sensitivity.verdict() {
            Verdict::Sensitive => "YES",
            Verdict::NotSensitive => "no",
            Verdict::Uncertain | Verdict::Unspecified => "UNCERTAIN, a person should look",
        };
        facts.add("Sensitive", format!("{verdict}: {}", sensitivity.reason).trim_end_matches([' ', ':']));
        let findings = sensitivity.findings.iter();
        let findings = findings.map(|finding| {
            let place = place(finding.r#box.as_ref());
            format!("{}: {}{place}", finding.category, finding.detail)
        });
        facts.add_list("Found", findings.collect());
    }
    if let Some(text) = &analysis.text {
        let lines = text.lines.iter().map(|line| format!("{}{}", line.text, place(line.r#box.as_ref())));
        let lines: Vec<_> = lines.collect();
        if lines.is_empty() { facts.add("Text", "none") } else { facts.add_list("Text", lines) }
    }
    if let Some(answer) = &analysis.answer {
        facts.add("Answer", &answer.text);
    }
    if let Some(extraction) = &analysis.extraction {
        facts.add("Values", values::json(extraction.values.as_ref(), MAX_VALUES));
    }
}

fn place(bounding_box: Option<&BoundingBox>) -> String {
    Rect::of(bounding_box).map(|rect| format!(" at {rect}")).unwrap_or_default()
}

fn labels_table(labels: &proto::Labels, width: u16) -> String {
    if labels.labels.is_empty() {
        return "Labels       none\n".to_owned();
    }
    let rows: Vec<_> = labels.labels.iter().flat_map(label_rows).collect();
    let mut table = table(presets::UTF8_FULL_CONDENSED, width);
    // Numbers are never broken; what can be broken shares the rest.
    let columns = if width < SIZE_COLUMN_FROM { 4 } else { 5 };
    table.set_header(["Label", "Confidence", "Box in pixels", "Adjusted", "Size"].into_iter().take(columns));
    rows.iter().take(MAX_ROWS).for_each(|row| {
        table.add_row(row.iter().take(columns));
    });
    for column in table.column_iter_mut().filter(|column| matches!(column.index, 1 | 2 | 4)) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(confidence) = table.column_mut(1) {
        confidence.set_cell_alignment(CellAlignment::Right);
    }
    let mut shown = finish(&table);
    if rows.len() > MAX_ROWS {
        shown += &format!("and {} more: see --json\n", rows.len() - MAX_ROWS);
    }
    if labels.truncated {
        shown += "The model stopped before it had listed everything.\n";
    }
    shown
}

/// One row for each instance, the label's name on the first; one row for a label without a place.
fn label_rows(label: &Label) -> Vec<[String; 5]> {
    let name = plain::line(&label.name);
    let name = match plain::line(&label.display_name) {
        other if other.is_empty() || other == name => name,
        other => format!("{name} ({other})"),
    };
    if label.instances.is_empty() {
        return vec![[name, plain::percent(label.confidence), "no place".into(), String::new(), String::new()]];
    }
    let rows = label.instances.iter().enumerate().map(|(index, instance)| {
        let name = if index == 0 { name.clone() } else { String::new() };
        let rect = Rect::of(instance.r#box.as_ref());
        let adjustments = instance.r#box.iter().flat_map(BoundingBox::adjustments).map(adjustment);
        [
            name,
            plain::percent(instance.confidence.or(label.confidence)),
            rect.map_or_else(|| "-".to_owned(), |rect| rect.to_string()),
            adjustments.collect::<Vec<_>>().join(", "),
            rect.map_or_else(String::new, |rect| format!("{} x {}", rect.width(), rect.height())),
        ]
    });
    rows.collect()
}

fn adjustment(adjustment: Adjustment) -> &'static str {
    match adjustment {
        Adjustment::Rescaled => "rescaled",
        Adjustment::Clipped => "clipped",
        Adjustment::Reordered => "reordered",
        Adjustment::Unspecified => "unknown",
    }
}

fn doubts(analysis: &ImageAnalysis, facts: &mut Facts) {
    let errors = analysis.feature_errors.iter().map(|failed| {
        let error = failed.error.clone().unwrap_or_default();
        format!("{}: {}: {}", failed.feature, status::code_name(Code::from_i32(error.code)), error.message)
    });
    facts.add_list("Failed", errors.collect());
    let mut repeated: HashMap<_, usize> = HashMap::new();
    analysis.warnings.iter().for_each(|warning| *repeated.entry(warning).or_default() += 1);
    let mut warnings = vec![];
    for warning in &analysis.warnings {
        // The first of equal warnings stands for all.
        match repeated.remove(warning) {
            Some(1) => warnings.push(format!("{}: {}", warning.code, warning.message)),
            Some(times) => warnings.push(format!("{}: {} ({times} times)", warning.code, warning.message)),
            None => {}
        }
    }
    facts.add_list("Warnings", warnings);
}

fn effort(analysis: &ImageAnalysis, facts: &mut Facts) {
    if let Some(model) = &analysis.model {
        let mut line = model.served.clone();
        if model.requested != model.served {
            line += &format!(" instead of {}", model.requested);
        }
        let parts = [model.region.as_str(), stop_reason(model.stop_reason()), if model.cached { "cached" } else { "" }];
        parts.iter().filter(|part| !part.is_empty()).for_each(|part| line += &format!(", {part}"));
        if !model.prompt_version.is_empty() {
            line += &format!(", prompt {}", model.prompt_version);
        }
        facts.add("Model", plain::line(&line));
    }
    if let Some(usage) = &analysis.usage {
        facts.add("Usage", usage_line(usage));
    }
    if let Some(timing) = &analysis.timing {
        facts.add("Time", timing_line(timing));
    }
    if !analysis.raw_output.is_empty() {
        facts.add("Raw answer", &analysis.raw_output);
    }
}

fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::MaxTokens => "stopped at the most output tokens",
        StopReason::Refusal => "refused",
        StopReason::Filtered => "filtered",
        StopReason::EndTurn | StopReason::Unspecified => "",
    }
}

fn usage_line(usage: &Usage) -> String {
    let mut line = format!("{} input and {} output tokens", usage.input_token_count, usage.output_token_count);
    let parts = [
        (usage.image_token_count, "for the picture"),
        (usage.cache_read_token_count, "read from the cache"),
        (usage.cache_write_token_count, "written to the cache"),
    ];
    parts.iter().filter(|(count, _)| *count > 0).for_each(|(count, what)| line += &format!(", {count} {what}"));
    line += &match usage.model_call_count {
        1 => ", 1 model call".to_owned(),
        calls => format!(", {calls} model calls"),
    };
    usage.estimated_cost_usd.iter().for_each(|cost| line += &format!(", estimated cost ${cost:.4}"));
    line
}

fn timing_line(timing: &Timing) -> String {
    let parts = [
        ("waiting", timing.queue),
        ("fetch", timing.fetch),
        ("prepare", timing.prepare),
        ("model", timing.model),
        ("backoff", timing.backoff),
    ];
    let parts = parts.into_iter().map(|(name, spent)| (name, duration(spent)));
    let parts = parts.filter(|(_, spent)| !spent.is_zero());
    let parts: Vec<_> = parts.map(|(name, spent)| format!("{name} {}", plain::duration(spent))).collect();
    let total = plain::duration(duration(timing.total));
    if parts.is_empty() { total } else { format!("{total}: {}", parts.join(", ")) }
}

fn duration(value: Option<prost_types::Duration>) -> Duration {
    value.and_then(|value| Duration::try_from(value).ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
