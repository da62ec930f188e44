//! `sightline check`: says in words what is missing before anybody calls.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::plain;
use crate::{
    app::Upstream,
    check::{self, Finding},
    config::{Config, ServerArgs},
    domain::Location,
};

/// Arguments of `sightline check`: those of `serve`, and what to try.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Bucket that the server is to read, or an object in it; may be given more than once. A bucket is listed, and its first
    /// object read; of an object, only its beginning is.
    #[arg(long = "bucket", value_name = "BUCKET[/KEY]")]
    pub buckets: Vec<Location>,

    /// Ask the default model: one call with a small picture and one output token, which is paid for.
    #[arg(long)]
    pub call_model: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// Prints one line for each check as it is done, and answers 0 when nothing is missing, 1 otherwise.
///
/// # Errors
/// None; what does not work is a finding.
pub async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let mut report = Report::over(io::stdout(), &args.buckets);
    run_into(&mut report, &args).await;
    Ok(if report.is_anything_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn run_into(report: &mut Report<impl Write>, args: &CheckArgs) {
    let config = match args.server.config() {
        Ok(config) => config,
        Err(error) => {
            report.line("configuration", &Finding::Missing(error.to_string()));
            return;
        }
    };
    report.line("configuration", &Finding::Ok("reads well; `sightline config` prints it".to_owned()));
    report.line("policy", &policy(&config));
    if config.embedded.is_some() {
        let own = Finding::Skipped("--embedded brings its own S3, model and credentials".to_owned());
        report.line("AWS", &own);
        return;
    }
    let upstream = Upstream::connect(&config, None).await;
    let credentials = check::credentials(&upstream.clients).await;
    report.line("credentials", &credentials);
    report.line("region", &region(&upstream.clients.region));
    let unsigned = credentials.is_missing().then(|| Finding::Skipped("no credentials".to_owned()));
    for location in &args.buckets {
        let finding = match &unsigned {
            Some(skipped) => skipped.clone(),
            None => check::location(&*upstream.store, location).await,
        };
        report.line(&subject(location), &finding);
    }
    if args.buckets.is_empty() {
        report.line("bucket", &Finding::Skipped("name those to be read with --bucket BUCKET[/KEY]".to_owned()));
    }
    let model = config.models.default_model();
    let finding = match unsigned {
        Some(skipped) => skipped,
        None if args.call_model => check::model(&*upstream.model, model).await,
        None => Finding::Skipped(format!("{} was not asked: --call-model makes a call, which is paid for", model.id)),
    };
    report.line("model", &finding);
}

fn policy(config: &Config) -> Finding {
    let Some(file) = &config.policy else {
        return Finding::Skipped("none: every caller may do everything".to_owned());
    };
    let mut words = format!("{}, rules: {}", file.path.display(), file.policy.rule_count());
    for warning in file.policy.warnings() {
        words = format!("{words}; {warning}");
    }
    Finding::Ok(words)
}

fn region(region: &str) -> Finding {
    let is_named = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().any(|name| std::env::var_os(name).is_some());
    let remark = if is_named { "" } else { ", by a profile, the instance or default: no AWS_REGION is set" };
    Finding::Ok(format!("{region}{remark}"))
}

fn subject(location: &Location) -> String {
    format!("bucket {}", location.bucket)
}

/// The lines, one below the other.
struct Report<W> {
    out: W,
    width: usize,
    is_anything_missing: bool,
}

impl<W: Write> Report<W> {
    fn over(out: W, buckets: &[Location]) -> Self {
        let longest = buckets.iter().map(|location| subject(location).chars().count()).max();
        Self { out, width: longest.unwrap_or_default().max("configuration".len()), is_anything_missing: false }
    }

    fn line(&mut self, subject: &str, finding: &Finding) {
        self.is_anything_missing |= finding.is_missing();
        let (subject, width) = (plain::line(subject), self.width);
        // Of several lines, the others stand below the first.
        let words = plain::lines(finding.words()).replace('\n', &format!("\n{:9}{:width$}  ", "", ""));
        // A reader that has seen enough is no error.
        let _ = writeln!(self.out, "{:7}  {subject:width$}  {words}", finding.state());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_below_each_other_and_tell_whether_anything_is_missing() {
        let buckets = ["photos/a.png".parse().unwrap(), "a-much-longer-name".parse().unwrap()];
        let mut report = Report::over(Vec::new(), &buckets);
        report.line("configuration", &Finding::Ok("fine".to_owned()));
        report.line("model", &Finding::Skipped("not asked".to_owned()));
        assert!(!report.is_anything_missing);
        report.line("bucket a-much-longer-name", &Finding::Missing("one\ntwo \u{1b}[31m".to_owned()));
        assert!(report.is_anything_missing);
        insta::assert_snapshot!(String::from_utf8(report.out).unwrap(), @"
        ok       configuration              fine
        skipped  model                      not asked
        missing  bucket a-much-longer-name  one
                                            two \u{fffd}[31m
        ");
    }
}
