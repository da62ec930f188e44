//! A run of many pictures as one HTML page that opens from disk: no network, no other file, readable without
//! JavaScript. What models and servers wrote is hostile: it reaches the page as escaped text only.

mod failure;
mod overlay;
mod thumbnail;
mod view;

use std::{
    collections::BTreeMap,
    error::Error as _,
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use minijinja::{Environment, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use uuid::Uuid;

use super::plain;
use crate::proto::{self, AnalyzeManyResult};
use view::Card;

/// Most thumbnails in one report.
pub const MAX_THUMBNAILS: usize = 2000;
/// Most pictures that a report shows one by one; further ones only count.
pub const MAX_CARDS: usize = 10_000;
/// Most kinds of failure that are counted one by one.
const MAX_KINDS: usize = 40;

/// What a report says of its maker, within this many bytes.
const MAKER: &str = r#"<meta name="generator" content="sightline "#;
const HEAD_BYTES: u64 = 4096;

/// `.html` turns the template engine's escaping on.
const PAGE: (&str, &str) = ("page.html", include_str!("page.html"));
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The page could not be put together: a defect of this program.
    #[error("cannot make the report: {0}")]
    Render(#[source] minijinja::Error),
    /// Something else is there.
    #[error("{0} is no report of this command, so it is not replaced: name another file, or remove it")]
    Foreign(String),
    /// The file could not be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        cause: io::Error,
    },
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Pictures answered with an analysis.
    pub succeeded: u64,
    /// Pictures answered with an error.
    pub failed: u64,
    /// Tokens, calls and cost of all of them.
    pub usage: proto::Usage,
    /// How long the run took.
    pub elapsed: Duration,
    /// Whether the run ended before every picture was answered.
    pub interrupted: bool,
}

/// Collects the results of a run.
pub struct Report {
    title: String,
    when: SystemTime,
    /// Names the page's own style and script to the browser; text in the page cannot know it beforehand.
    nonce: String,
    cards: Vec<Arc<Card>>,
    thumbnails: usize,
    /// Pictures without a thumbnail only because there are enough.
    no_room: u64,
    max_thumbnails: usize,
    max_cards: usize,
    counts: Counts,
}

/// How many pictures there are of each kind.
#[derive(Default, Serialize)]
struct Counts {
    added: u64,
    sensitive: u64,
    uncertain: u64,
    clear: u64,
    failed: u64,
    #[serde(skip)]
    failures: BTreeMap<String, u64>,
}

impl Report {
    /// An empty report with this heading, dated now.
    pub fn new(title: &str) -> Self {
        Self::dated(title, SystemTime::now())
    }

    /// An empty report with this heading and date.
    pub fn dated(title: &str, when: SystemTime) -> Self {
        Self {
            title: view::line(title),
            when,
            nonce: Uuid::new_v4().simple().to_string(),
            cards: vec![],
            thumbnails: 0,
            no_room: 0,
            max_thumbnails: MAX_THUMBNAILS,
            max_cards: MAX_CARDS,
            counts: Counts::default(),
        }
    }

    /// Adds the result for the picture that people know as `name`; `picture` is its encoded file, if it is at hand.
    /// Blocks while the picture is decoded and made small. The first [`MAX_THUMBNAILS`] pictures get a thumbnail, the
    /// first [`MAX_CARDS`] are shown; what comes after them counts.
    pub fn add(&mut self, name: &str, result: &AnalyzeManyResult, picture: Option<&[u8]>) {
        self.counts.added += 1;
        let shown = self.cards.len() < self.max_cards;
        let room = self.thumbnails < self.max_thumbnails;
        let card = Card::new(name, self.counts.added, result, picture.filter(|_| shown), room);
        self.counts.count(&card);
        self.thumbnails += usize::from(card.has_thumbnail());
        if shown {
            self.no_room += u64::from(picture.is_some() && !room);
            self.cards.push(Arc::new(card));
        }
    }

    /// Whether [`Self::write`] could do so now: there is nothing but an earlier report, and a new file can be made.
    ///
    /// # Errors
    /// As [`Self::write`], and a file that is no report.
    pub fn check(path: &Path) -> Result<(), ReportError> {
        if !is_replaceable(path).map_err(|cause| Cause::from(cause).at(path))? {
            return Err(ReportError::Foreign(plain::line(&path.display().to_string())));
        }
        let temporary = temporary(path);
        let tried = File::create_new(&temporary).and_then(|_| fs::remove_file(&temporary));
        tried.map_err(|cause| Cause::from(cause).at(path))
    }

    /// Writes the page. It appears whole or not at all: a file that is there is replaced only at the end.
    ///
    /// # Errors
    /// A folder that is missing or read-only, say, or no room on the disk.
    pub fn write(&self, path: &Path, totals: &Totals) -> Result<(), ReportError> {
        let temporary = temporary(path);
        let written = self.write_new(&temporary, totals).and_then(|()| Ok(fs::rename(&temporary, path)?));
        if written.is_err() {
            // The first error says more than a second one would.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(|cause| cause.at(path))
    }

    fn write_new(&self, path: &Path, totals: &Totals) -> Result<(), Cause> {
        let mut file = BufWriter::new(File::create_new(path)?);
        self.render(totals, &mut file)?;
        Ok(file.flush()?)
    }

    fn render(&self, totals: &Totals, to: impl io::Write) -> Result<(), minijinja::Error> {
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.add_template(PAGE.0, PAGE.1)?;
        // One card after the other becomes values of the template engine, so that the page is never in memory whole.
        let cards = self.cards.clone();
        let cards = Value::make_iterable(move || cards.clone().into_iter().map(|card| Value::from(Serde(&*card))));
        let not_shown = self.counts.added - self.cards.len() as u64;
        let page = context! {
            title => self.title.clone(),
            when => Serde(When::new(self.when)),
            nonce => self.nonce.clone(),
            style => Value::from_safe_string(STYLE.to_owned()),
            script => Value::from_safe_string(SCRIPT.to_owned()),
            totals => Serde(Shown::new(totals)),
            counts => Serde(&self.counts),
            is_judged => self.counts.sensitive + self.counts.uncertain + self.counts.clear > 0,
            failures => Serde(self.counts.by_size()),
            version => env!("CARGO_PKG_VERSION"),
            no_room => (self.no_room > 0).then(|| view::count(self.no_room)),
            not_shown => (not_shown > 0).then(|| view::count(not_shown)),
            card_count => self.cards.len(),
            cards => cards,
        };
        environment.get_template(PAGE.0)?.render_captured_to(page, to)?;
        Ok(())
    }
}

impl Counts {
    fn count(&mut self, card: &Card) {
        match card.state {
            "sensitive" => self.sensitive += 1,
            "uncertain" => self.uncertain += 1,
            "clear" => self.clear += 1,
            "failed" => self.failed += 1,
            _ => {}
        }
        let Some(failure) = &card.failure else { return };
        let is_known = self.failures.contains_key(failure.kind());
        let kind = if is_known || self.failures.len() < MAX_KINDS { failure.kind() } else { "other reasons" };
        *self.failures.entry(kind.to_owned()).or_default() += 1;
    }

    /// Kinds of failure with how many there are, the most frequent first.
    fn by_size(&self) -> Vec<(&str, String)> {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by(|(_, a), (_, b)| b.cmp(a));
        failures.into_iter().map(|(kind, times)| (kind.as_str(), view::count(*times))).collect()
    }
}

/// A moment for machines and for people.
#[derive(Serialize)]
struct When {
    machine: String,
    people: String,
}

impl When {
    fn new(when: SystemTime) -> Self {
        // The format knows no year before 1970 and none after 9999.
        let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let machine = humantime::format_rfc3339_seconds(when.clamp(SystemTime::UNIX_EPOCH, latest)).to_string();
        let people = machine.replace('T', " ");
        let people = people.get(..16).map(|minutes| format!("{minutes} UTC")).unwrap_or_default();
        Self { machine, people }
    }
}

/// The totals as text.
#[derive(Serialize)]
struct Shown {
    pictures: String,
    succeeded: String,
    failed: String,
    any_failed: bool,
    input_tokens: String,
    output_tokens: String,
    calls: String,
    cost: Option<String>,
    elapsed: String,
    interrupted: bool,
}

impl Shown {
    fn new(totals: &Totals) -> Self {
        let usage = &totals.usage;
        Self {
            pictures: view::count(totals.succeeded.saturating_add(totals.failed)),
            succeeded: view::count(totals.succeeded),
            failed: view::count(totals.failed),
            any_failed: totals.failed > 0,
            input_tokens: view::count(usage.input_token_count),
            output_tokens: view::count(usage.output_token_count),
            calls: view::count(usage.model_call_count),
            cost: view::cost(usage),
            elapsed: elapsed(totals.elapsed),
            interrupted: totals.interrupted,
        }
    }
}

/// A duration for people, such as `1 h 4 min`, `4 min 12 s` or `2.41 s`.
fn elapsed(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => plain::duration(duration),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Whether there is nothing, an empty file, or a page that names this program as its maker.
fn is_replaceable(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Ok(facts) if facts.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(facts) if !facts.is_file() => return Ok(false),
        facts => facts?,
    };
    let mut beginning = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut beginning)?;
    let maker = MAKER.as_bytes();
    Ok(beginning.is_empty() || beginning.windows(maker.len()).any(|piece| piece == maker))
}

/// A new name beside the target, so that renaming stays on one file system.
fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", Uuid::new_v4().simple()));
    path.with_file_name(name)
}

/// An error that does not know the file's name yet.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Render(#[from] minijinja::Error),
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl Cause {
    fn at(self, path: &Path) -> ReportError {
        let path = plain::line(&path.display().to_string());
        match self {
            Self::Write(cause) => ReportError::Write { path, cause },
            // The template engine hands on what the file answered.
            Self::Render(error) => match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
                Some(cause) => ReportError::Write { path, cause: io::Error::new(cause.kind(), cause.to_string()) },
                None => ReportError::Render(error),
            },
        }
    }
}

#[cfg(test)]
mod tests;
