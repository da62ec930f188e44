//! The two text formats of a scrape.

use prometheus_client::{encoding::text, registry::Registry};

use super::catalogue::{CATALOGUE, Kind};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that a scraper's `Accept` asks for: OpenMetrics when it names it, else Prometheus' own, which everybody reads.
    pub fn accepted(accept: &str) -> Self {
        let names_it = |part: &str| {
            let mut pieces = part.split(';').map(str::trim);
            let is_type = pieces.next() == Some("application/openmetrics-text");
            is_type && !pieces.any(|piece| matches!(piece, "q=0" | "q=0.0"))
        };
        if accept.split(',').any(names_it) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The registry in this format.
    pub(super) fn write(self, registry: &Registry) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, registry);
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => in_prometheus_words(&text),
        }
    }
}

/// The older format names a counter with its `_total` in the lines that describe it too, and knows neither units nor an end.
fn in_prometheus_words(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let described = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word), Some(name), Some(rest)) if is_counter(name) => Some((word, name, rest)),
            _ => None,
        };
        match described {
            Some((word, name, rest)) => text.extend(["# ", word, " ", name, "_total ", rest, "\n"]),
            None => text.extend([line, "\n"]),
        }
    }
    text
}

fn is_counter(family: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.kind == Kind::Counter && entry.family() == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Prometheus),
            ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text; version=0.0.1", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-textual", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
