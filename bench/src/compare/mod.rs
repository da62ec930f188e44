//! Everything in turn: rounds in which each server is measured once, fresh, the order turned from round to round.

mod figures;
pub mod options;
mod scenarios;
mod tables;

use figures::{Figures, Machine};
use options::Options;

use crate::{
    report,
    servers::Setup,
    upstream::{Behaviour, Upstream},
};

/// Measures, prints and writes.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut upstream = Upstream::start()?;
    let mut setup = Setup::new(&options.binaries, upstream.addresses)?;
    upstream.behave(Behaviour::default())?;
    scenarios::acquaint(&mut setup, &mut upstream).await?;
    let mut figures = Figures { machine: Machine::this(&options), around: setup.around, ..Figures::default() };
    let outcome = scenarios::run(&options, &setup, &mut upstream, &mut figures).await;
    // What was measured before a fault is shown, but not published.
    let tables = tables::of(&figures);
    println!("{tables}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    outcome?;
    if let Some(path) = &options.write {
        report::write(path, "floor", &tables)?;
    }
    Ok(())
}
