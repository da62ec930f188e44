//! Figures in a document, between markers.

use std::{fs, path::Path};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

/// Puts `text` between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->` of the document.
///
/// # Errors
/// When the document does not have both.
pub fn write(path: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let document = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let written = between(&document, name, text).with_context(|| {
        format!("{} lacks the lines <!-- {name}: begin --> and <!-- {name}: end -->", path.display())
    })?;
    Ok(fs::write(path, written)?)
}

fn between(document: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{}\n{end}{after}", text.trim_end()))
}

/// A Markdown table, the first columns of words, the others of figures.
pub fn table(words: usize, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header.iter().copied()).add_rows(rows);
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A figure with `digits` behind the point, or a dash.
pub fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn figures_go_between_their_own_markers() {
        let document = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n";
        let expected = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n";
        assert_eq!(between(document, "x", "new\n").as_deref(), Some(expected));
        assert_eq!(between(expected, "z", "new"), None);
    }
}
