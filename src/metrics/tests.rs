use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{catalog::Catalog, domain::WarningCode};

fn model() -> ModelProfile {
    Catalog::built_in().unwrap().resolve("default")
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// Everything counted once.
fn all() -> Metrics {
    let metrics = Metrics::default();
    let (model, caller) = (model(), Caller::named("team-a"));
    metrics.rpc_done("AnalyzeImage", "OK", Duration::from_millis(30));
    metrics.stream_item("OK");
    metrics.attempt(&model, AttemptOutcome::Throttled, Duration::from_secs(1));
    let usage = Usage { input_tokens: 1000, output_tokens: 20, cache_read_tokens: 3, ..Usage::default() };
    metrics.paid(&model, &caller, &usage.priced(model.prices.as_ref()));
    metrics.retried(&model);
    metrics.fell_back(&model);
    metrics.cache(CacheOutcome::Hit);
    metrics.shed(Shed::Bytes);
    metrics.answer_read(&[Warning::new(WarningCode::BoxesClipped, ""), Warning::new(WarningCode::ImageSmall, "")]);
    metrics.prepared(5000);
    metrics.caller_denied("CALLER_UNKNOWN");
    metrics.serving(true);
    metrics.watch_connections(|| 1);
    metrics.watch_in_flight(|| InFlight { analyses: 3, bytes: 4096 });
    metrics
}

#[test]
fn what_is_counted_is_scraped() {
    let text = all().scrape(Format::Prometheus);
    for (series, expected) in [
        (r#"sightline_rpc_requests_total{method="AnalyzeImage",code="OK"}"#, 1.0),
        (r#"sightline_rpc_duration_seconds_bucket{le="0.025",method="AnalyzeImage"}"#, 0.0),
        (r#"sightline_rpc_duration_seconds_bucket{le="0.05",method="AnalyzeImage"}"#, 1.0),
        (r#"sightline_stage_duration_seconds_count{stage="model"}"#, 1.0),
        (r#"sightline_stage_duration_seconds_count{stage="read"}"#, 0.0),
        (r#"sightline_model_attempts_total{model="claude-sonnet-5",outcome="throttled"}"#, 1.0),
        (r#"sightline_model_tokens_total{model="claude-sonnet-5",direction="cache_read"}"#, 3.0),
        (r#"sightline_caller_tokens_total{caller="team-a"}"#, 1023.0),
        (r#"sightline_estimated_cost_usd_total{model="claude-sonnet-5",caller="team-a"}"#, 0.002_200_6),
        ("sightline_in_flight", 3.0),
        ("sightline_in_flight_bytes", 4096.0),
        (r#"sightline_shed_total{reason="bytes"}"#, 1.0),
        (r#"sightline_shed_total{reason="streams"}"#, 0.0),
        (r#"sightline_box_adjustments_total{kind="clipped"}"#, 1.0),
        ("sightline_prepared_bytes_total", 5000.0),
        ("sightline_serving", 1.0),
        ("sightline_connections", 1.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
}

/// Name, type and help of each family in a scrape, and the labels of its series.
fn described(text: &str) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let mut found = BTreeMap::<String, (String, String, BTreeSet<String>)>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().1 = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let family = family.filter(|family| found.contains_key(*family)).unwrap_or(name);
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
            found.get_mut(family).unwrap_or_else(|| panic!("{line} is described")).2.extend(labels);
        }
    }
    found
}

#[test]
fn a_scrape_is_the_catalogue() {
    let found = described(&all().scrape(Format::Prometheus));
    let expected: BTreeMap<_, _> = CATALOGUE
        .iter()
        .map(|entry| {
            let labels = entry.labels.iter().map(|label| (*label).to_owned()).collect();
            (entry.name.to_owned(), (entry.kind.as_str().to_owned(), format!("{}.", entry.help), labels))
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn open_metrics_says_units_and_its_end() {
    let text = all().scrape(Format::OpenMetrics);
    assert!(text.contains("# TYPE sightline_rpc_requests counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    for entry in CATALOGUE {
        if let Some(unit) = entry.unit {
            assert!(text.contains(&format!("# UNIT {} {unit}\n", entry.family())), "{}", entry.name);
        }
    }
}

#[test]
fn a_usage_without_a_price_is_not_free() {
    let metrics = Metrics::default();
    metrics.paid(&model(), &Caller::anonymous(), &Usage { input_tokens: 5, ..Usage::default() }.priced(None));
    let text = metrics.scrape(Format::Prometheus);
    assert_eq!(value(&text, r#"sightline_caller_tokens_total{caller="anonymous"}"#), 5.0);
    assert!(!text.contains("sightline_estimated_cost_usd_total{"), "{text}");
}
