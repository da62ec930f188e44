//! docs/METRICS.md is the catalogue of metrics: every entry has its row, and every row its entry.

use std::{fs, path::Path};

use sightline::metrics::{CATALOGUE, Entry};

/// The row of an entry, up to what it is good for.
fn row(entry: &Entry) -> String {
    let cell = |text: &str| if text.is_empty() { "|".to_owned() } else { format!("| {text} ") };
    let labels: Vec<_> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
    let (unit, labels) = (entry.unit.unwrap_or_default(), labels.join(", "));
    let (unit, labels) = (cell(unit), cell(&labels));
    format!(
        "| `{}` | {} {} {} | {} | ",
        entry.name,
        entry.kind.as_str(),
        unit.trim_end(),
        labels.trim_end(),
        entry.help
    )
}

#[test]
fn the_page_is_the_catalogue() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md")).unwrap();
    for entry in CATALOGUE {
        let row = row(entry);
        assert!(page.lines().any(|line| line.starts_with(&row)), "docs/METRICS.md has no row that begins\n{row}");
    }
    let named = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for name in named {
        assert!(
            CATALOGUE.iter().any(|entry| entry.name == name),
            "docs/METRICS.md has a row for {name}, which is no metric"
        );
    }
}
