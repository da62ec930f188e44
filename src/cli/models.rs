//! `sightline models`: which models a server would offer, and what the catalogue says of each.

use std::io::IsTerminal as _;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::plain;
use crate::{
    catalog::{Models, Word},
    config::{ConfigError, ServerArgs},
    domain::{ModelProfile, Prices},
};

/// Which catalogue, and how to show it.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// Print JSON: an array with one object for each model, every field included.
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// The models that `serve` would offer with these settings, the default first, as text that ends with a newline.
///
/// # Errors
/// When there is no such configuration.
pub fn run(args: &ModelsArgs) -> Result<String, ConfigError> {
    let models = args.server.config()?.models;
    Ok(match args.json {
        true => json(&models),
        // One line a model for `grep`; a terminal shows no lines as long as that.
        false if !std::io::stdout().is_terminal() => lines(&models),
        false => table(&models, plain::width()),
    })
}

/// A model as the catalogue has it.
#[derive(Serialize)]
struct Row<'a> {
    /// What callers may say for it; `None` for a model that has its name alone.
    alias: Option<&'a str>,
    name: &'a str,
    id: &'a str,
    is_default: bool,
    api: &'static str,
    max_edge: u32,
    max_visual_tokens: Option<u32>,
    coordinates: &'static str,
    output: Vec<&'static str>,
    sampling: &'static str,
    thinking: &'static str,
    max_output_tokens: u32,
    region: Option<&'a str>,
    prices: Option<PriceList>,
    fallbacks: &'a [String],
    ended: bool,
    end_of_life: Option<&'a str>,
    detector: bool,
    familiar: bool,
}

/// US dollars per million tokens.
#[derive(Serialize)]
struct PriceList {
    input: f64,
    output: f64,
    cache_read: f64,
    cache_write: f64,
}

impl From<Prices> for PriceList {
    fn from(prices: Prices) -> Self {
        let Prices { input, output, cache_read, cache_write } = prices;
        Self { input, output, cache_read, cache_write }
    }
}

fn rows(models: &Models) -> Vec<Row<'_>> {
    models.rows().enumerate().map(|(index, (label, model))| row(models, label, model, index == 0)).collect()
}

fn row<'a>(models: &'a Models, label: &'a str, model: &'a ModelProfile, is_default: bool) -> Row<'a> {
    Row {
        alias: Some(label).filter(|label| *label != model.name && *label != model.id),
        name: &model.name,
        id: &model.id,
        is_default,
        api: model.api.word(),
        max_edge: model.tier.max_edge,
        max_visual_tokens: model.tier.max_visual_tokens,
        coordinates: model.coordinates.word(),
        output: model.strategies.iter().map(|strategy| strategy.word()).collect(),
        sampling: model.sampling.word(),
        thinking: model.thinking.word(),
        max_output_tokens: model.max_output_tokens,
        region: model.region.as_deref(),
        prices: model.prices.map(PriceList::from),
        fallbacks: &model.fallbacks,
        ended: model.has_ended,
        end_of_life: models.end_of_life(model),
        detector: model.is_detector,
        familiar: model.is_familiar,
    }
}

fn json(models: &Models) -> String {
    // Plain data cannot fail to be written.
    serde_json::to_string_pretty(&rows(models)).unwrap_or_default() + "\n"
}

impl Row<'_> {
    fn sees(&self) -> String {
        let tokens = self.max_visual_tokens.map_or(String::new(), |tokens| format!(", {tokens} tokens"));
        format!("{} px{tokens}", self.max_edge)
    }

    fn boxes(&self) -> &'static str {
        if self.coordinates == "pixels" { "pixels" } else { "0..1000" }
    }

    fn price(&self) -> String {
        self.prices.as_ref().map_or("?".to_owned(), |prices| format!("{} / {}", prices.input, prices.output))
    }

    /// Its names, its id, what is asked instead and what else there is to say, one below the other.
    fn description(&self) -> String {
        let alias = self.alias.map_or(String::new(), |alias| format!("{alias}: "));
        let mut lines = vec![format!("{alias}{}", self.name)];
        if self.id != self.name {
            lines.push(format!("  {}", self.id));
        }
        if !self.fallbacks.is_empty() {
            lines.push(format!("  else {}", self.fallbacks.join(", ")));
        }
        lines.extend(self.notes().iter().map(|note| format!("  {note}")));
        lines.join("\n")
    }

    fn notes(&self) -> Vec<String> {
        let end = self.end_of_life.unwrap_or_default();
        let said = [
            (self.ended, format!("ENDED {end}").trim_end().to_owned()),
            (!self.ended && !end.is_empty(), format!("ends {end}")),
            (!self.familiar, "not in the catalogue".to_owned()),
            (self.detector, "an object detector".to_owned()),
        ];
        let notes = said.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note);
        notes.chain(self.region.map(|region| format!("in {region}"))).collect()
    }
}

/// A row of a table for each model, in as many lines as it takes.
fn table(models: &Models, width: u16) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width).set_header(["Model", "Asked by", "Sees", "USD in / out"]);
    for row in rows(models) {
        table.add_row([
            plain::lines(&row.description()),
            format!("{}\n{}", row.api, row.output.join("\n")),
            format!("{}\n{}", row.sees().replace(", ", "\n"), row.boxes()),
            row.price(),
        ]);
    }
    format!(
        "{}\nUSD are per million tokens; docs/MODELS.md says what the rest means. --json has it all.\n",
        table.trim_fmt()
    )
}

/// A line for each model, in columns.
fn lines(models: &Models) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["ALIAS", "NAME", "ID", "API", "SEES", "BOXES", "OUTPUT", "USD IN/OUT", "FALLBACKS", "NOTES"]);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { plain::line(&text) };
    for row in rows(models) {
        table.add_row([
            or_dash(row.alias.unwrap_or_default().to_owned()),
            or_dash(row.name.to_owned()),
            or_dash(row.id.to_owned()),
            row.api.to_owned(),
            row.sees().replace(", ", "/").replace(' ', ""),
            row.boxes().to_owned(),
            row.output.join(","),
            row.price().replace(' ', ""),
            or_dash(row.fallbacks.join(",")),
            or_dash(row.notes().join(", ")),
        ]);
    }
    let shown = table.trim_fmt();
    shown.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
