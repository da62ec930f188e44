//! The flags of `sightline analyze-many`, and what of them can be checked before anything is done.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::sources::Spec;
use crate::{
    cli::{plain, report::Report, request::RequestArgs, server::ServerChoice},
    proto::{AnalyzeManyConfig, FailureMode, ResultOrder},
};

/// Arguments of `sightline analyze-many`.
#[derive(Debug, Clone, clap::Args)]
pub struct AnalyzeManyArgs {
    /// Pictures: a file, a folder, a quoted glob such as 'photos/**/*.jpg', s3://BUCKET/KEY, every picture of
    /// s3://BUCKET/PREFIX/ or s3://BUCKET, or - for such sources on standard input, one a line, without globs. A key is
    /// taken literally.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<Spec>,

    /// What to find out, and how.
    #[command(flatten)]
    pub request: RequestArgs,

    /// In folders and listings take only what ends with this, in any case, such as .jpg. Repeat for more. [default: .jpg
    /// .jpeg .png .gif .webp .bmp .tif .tiff]
    #[arg(long = "suffix", value_name = "SUFFIX", help_heading = "Sources")]
    pub suffixes: Vec<String>,

    /// Most pictures of each S3 listing.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..), help_heading = "Sources")]
    pub max_objects: Option<i64>,

    /// The server.
    #[command(flatten)]
    pub server: ServerChoice,

    /// Most pictures in progress at once; the server may allow fewer.
    #[arg(long, default_value_t = 16, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..),
          help_heading = "Server")]
    pub max_in_flight: i32,

    /// How long one picture may take, such as 30s or 2m; without it the server's own limit.
    #[arg(long, env = "SIGHTLINE_TIMEOUT", value_parser = item_timeout, value_name = "TIME", help_heading = "Server")]
    pub timeout: Option<Duration>,

    /// How often in a row to connect again when the server goes away, before giving up. Any answer starts anew.
    #[arg(long, default_value_t = 5, value_name = "COUNT", help_heading = "Server")]
    pub retries: u32,

    /// Write the results here instead of to standard output. A file that is there is only continued, with --resume.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,

    /// Go on where the file of --out ends: ask for what has no line in it yet, and go on with listings that broke off.
    /// Give the same sources and flags again.
    #[arg(long, requires = "out", help_heading = "Output")]
    pub resume: bool,

    /// With --resume, ask again for what failed, whole listings too.
    #[arg(long, requires = "resume", help_heading = "Output")]
    pub retry_failed: bool,

    /// Write the results in the order of the sources. A slow picture holds back those behind it.
    #[arg(long, help_heading = "Output")]
    pub in_order: bool,

    /// Start nothing more once a picture has failed.
    #[arg(long, help_heading = "Output")]
    pub stop_on_failure: bool,

    /// Also draw what was found onto each picture and write it into this folder. Objects in S3 are read by this command
    /// too.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub annotate: Option<PathBuf>,

    /// Also write a page for people, as .html: every picture with what was found on it, totals and errors. Replaces an
    /// earlier report of that name, and nothing else.
    #[arg(long, value_name = "OUT", help_heading = "Output")]
    pub report: Option<PathBuf>,

    /// No progress and no summary on standard error; errors still.
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

impl AnalyzeManyArgs {
    /// The settings of every stream of the run, with at most `limit` items in progress.
    pub(super) fn config(&self, limit: i32) -> AnalyzeManyConfig {
        let order = if self.in_order { ResultOrder::AsRequested } else { ResultOrder::AsCompleted };
        let failure = if self.stop_on_failure { FailureMode::Stop } else { FailureMode::Continue };
        AnalyzeManyConfig {
            features: Some(self.request.features()),
            options: Some(self.request.options()),
            max_in_flight: self.max_in_flight.min(limit),
            result_order: order.into(),
            failure_mode: failure.into(),
            item_timeout: self.timeout.and_then(|time| time.try_into().ok()),
        }
    }

    /// What the report is about.
    pub(super) fn title(&self) -> String {
        let first = match self.sources.first() {
            Some(Spec::Path(path)) => path.display().to_string(),
            Some(Spec::Object(object)) => object.display(),
            Some(Spec::Listing(listing)) => listing.name(),
            Some(Spec::Manifest) | None => "standard input".to_owned(),
        };
        match self.sources.len() {
            0 | 1 => first,
            count => format!("{first} and {} more", count - 1),
        }
    }

    /// What can be said about the command line before a server is bothered.
    pub(super) fn check(&self) -> Result<(), String> {
        let manifests = self.sources.iter().filter(|spec| matches!(spec, Spec::Manifest)).count();
        if manifests > 1 {
            return Err("standard input can be read once: name - one time".to_owned());
        }
        if self.out.as_ref().is_some_and(|out| out.as_os_str() == "-") {
            return Err("--out - would be a file named -: results go to standard output without --out".to_owned());
        }
        self.check_report()?;
        let Some(folder) = &self.annotate else { return Ok(()) };
        let same =
            |path: &PathBuf| path.canonicalize().is_ok_and(|path| folder.canonicalize().is_ok_and(|f| f == path));
        if self.sources.iter().any(|spec| matches!(spec, Spec::Path(path) if same(path))) {
            let shown = plain::line(&folder.display().to_string());
            return Err(format!("--annotate {shown} is a source too: name another folder"));
        }
        Ok(())
    }

    /// What looks like a slip, though it can be meant: `--embedded DIR` instead of `--embedded=DIR`.
    #[cfg(feature = "embedded")]
    pub(super) fn slip(&self) -> Option<String> {
        let Some(None) = self.server.embedded else { return None };
        let buckets: Vec<_> = self.sources.iter().filter_map(Spec::bucket).collect();
        let folder = self.sources.iter().find_map(|spec| match spec {
            Spec::Path(path) if buckets.iter().any(|bucket| path.join(bucket).is_dir()) => Some(path),
            _ => None,
        })?;
        let shown = plain::line(&folder.display().to_string());
        Some(format!("warning: {shown} is a source; to serve its sub-folders as buckets write --embedded={shown}"))
    }

    /// Whether the report can be written at the end, and over nothing but an earlier one: by then everything is paid for.
    fn check_report(&self) -> Result<(), String> {
        let Some(report) = &self.report else { return Ok(()) };
        let shown = plain::line(&report.display().to_string());
        if !report.extension().is_some_and(|e| e.eq_ignore_ascii_case("html") || e.eq_ignore_ascii_case("htm")) {
            return Err(format!("--report {shown} is no name of a page: name it .html"));
        }
        if report.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            return Err(format!("--report {shown} lies in a folder that is missing: make it first"));
        }
        if self.out.as_ref().is_some_and(|out| is_same(out, report)) {
            return Err(format!("--report {shown} is the file of --out too: name another one"));
        }
        Report::check(report).map_err(|error| format!("--report: {error}"))
    }
}

/// Whether two names lead to one file, which need not be there yet.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    let places = |path: &Path| [place(path), path.canonicalize().ok()];
    let others = places(other);
    places(one).iter().flatten().any(|place| others.contains(&Some(place.clone())))
}

fn item_timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        args: AnalyzeManyArgs,
    }

    #[test]
    fn a_folder_of_buckets_beside_embedded_looks_like_a_slip() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("photos")).unwrap();
        let path = folder.path().to_str().unwrap();
        let slip = |words: &[&str]| Words::parse_from([&["sightline"], words].concat()).args.slip();
        assert!(slip(&["--embedded", path, "s3://photos/"]).unwrap().contains(&format!("write --embedded={path}")));
        assert!(slip(&["--embedded", path, "s3://photos/a.png"]).is_some());
        assert!(slip(&["--embedded", path, "s3://others/"]).is_none());
        assert!(slip(&[&format!("--embedded={path}"), path, "s3://photos/"]).is_none());
        assert!(slip(&[path, "s3://photos/"]).is_none());
    }
}
