use clap::Parser;

use super::*;
use crate::catalog::Catalog;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ModelsArgs,
}

fn offered(flags: &[&str]) -> Models {
    let flags = std::iter::once("sightline").chain(flags.iter().copied());
    Cli::parse_from(flags).args.server.config().unwrap().models
}

#[test]
fn the_table_for_a_terminal() {
    let shown = table(&offered(&[]), 100);
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_line_for_each_model() {
    let shown = lines(&offered(&["--model", "claude-3-sonnet", "--allowed-models", "fast,nova-pro,own.model"]));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_narrow_terminal_wraps() {
    let shown = table(&offered(&["--allowed-models", "claude-3-sonnet"]), 60);
    assert!(shown.lines().filter(|line| line.starts_with('│')).all(|line| line.chars().count() <= 60), "{shown}");
}

#[test]
fn json_has_every_field() {
    let text =
        "[models.house]\nextends = \"claude-sonnet-5\"\nid = \"eu.anthropic.claude-sonnet-5\"\nregion = \"eu-west-1\"";
    let catalog = Catalog::built_in().unwrap().with_file(text).unwrap();
    let models = Models::new(catalog, Some("house"), Some(&[])).unwrap();
    insta::assert_snapshot!(json(&models));
}

#[test]
fn an_embedded_stack_offers_its_detector() {
    let shown = lines(&offered(&["--embedded"]));
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("sightline.nanodet-416") && shown.contains("an object detector"), "{shown}");
}
