//! What is said of a file: a JSON object, or a row for people.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sightline::{
    domain::Size,
    imaging::{ImageError, Prepared},
};

/// Above the rows for people.
pub const HEADING: &str = "\
| file                     | original  | prepared  | type       |     bytes |  best ms | median ms | peak MiB | beside | plan |
|--------------------------|-----------|-----------|------------|-----------|----------|-----------|----------|--------|------|";

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The file's own bytes are what the model gets.
    AsIs,
    /// Encoded anew.
    New,
    /// Not prepared, for a reason that the library gave.
    Refused,
    /// The child process ended without an answer.
    Crashed,
    /// The file could not be read from the disk.
    Unreadable,
}

/// Why there is nothing prepared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// `unsupported`, `corrupt`, `too_many_pixels`, `oversize`, `too_much_memory`, `crashed`, `unreadable` or `other`.
    pub kind: String,
    /// What an unsupported file looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<String>,
    /// The library's own words.
    pub message: String,
}

/// CPU time in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cpu {
    /// Of the fastest run.
    pub best: f64,
    /// Of the run in the middle.
    pub median: f64,
    /// Of all, in their order.
    pub runs: Vec<f64>,
}

/// Memory in bytes that one run in a fresh process took at most.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Peak {
    /// Over what the process had before it read the file.
    pub over_start: u64,
    /// Of that, pages of files: code that was first used.
    pub code: u64,
    /// `over_start` without code and without the file's own bytes.
    pub beside_file: u64,
}

/// A file, what became of it, and what that cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// As it was named.
    pub file: PathBuf,
    /// Of the file.
    pub bytes: Option<usize>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not prepared.
    pub error: Option<Failure>,
    /// Media type of the file.
    pub source_type: Option<String>,
    /// Media type of the prepared bytes.
    pub media_type: Option<String>,
    /// Width and height of the upright original.
    pub original: Option<[u32; 2]>,
    /// Width and height as prepared.
    pub size: Option<[u32; 2]>,
    /// Prepared bytes.
    pub output_bytes: Option<usize>,
    /// Where they were written.
    pub out: Option<PathBuf>,
    /// Visual tokens the model counts.
    pub image_tokens: Option<u64>,
    /// 1 to 8, or 0 for none.
    pub exif_orientation: Option<u8>,
    /// Codes of the warnings.
    pub warnings: Vec<String>,
    /// What `Plan::peak_memory` says, in bytes.
    pub plan_peak_memory: Option<u64>,
    /// CPU time.
    pub cpu_ms: Option<Cpu>,
    /// Memory.
    pub peak: Option<Peak>,
}

impl Cpu {
    /// Of at least one run.
    pub fn of(spent: &[Duration]) -> Self {
        let runs: Vec<f64> = spent.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let median = f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2));
        Self { best: at(0), median, runs }
    }
}

impl Report {
    /// A file that was prepared.
    pub fn prepared(file: &Path, outcome: Outcome, prepared: &Prepared, bytes: usize, out: Option<PathBuf>) -> Self {
        let edges = |size: Size| [size.width, size.height];
        Self {
            source_type: Some(prepared.source_type.to_string()),
            media_type: Some(prepared.media_type.to_string()),
            original: Some(edges(prepared.frame.original())),
            size: Some(edges(prepared.frame.model())),
            output_bytes: Some(bytes),
            out,
            image_tokens: Some(prepared.image_tokens),
            exif_orientation: Some(prepared.exif_orientation),
            warnings: prepared.warnings.iter().map(|warning| warning.code.as_str().to_owned()).collect(),
            ..Self::bare(file, outcome, None)
        }
    }

    /// A file that the library refused.
    pub fn refused(file: &Path, error: &ImageError) -> Self {
        let (kind, detected) = match error {
            ImageError::Unsupported { detected } => ("unsupported", Some(detected.clone())),
            ImageError::Corrupt { .. } => ("corrupt", None),
            ImageError::TooManyPixels { .. } => ("too_many_pixels", None),
            ImageError::Oversize { .. } => ("oversize", None),
            ImageError::TooMuchMemory { .. } => ("too_much_memory", None),
            _ => ("other", None),
        };
        let failure = Failure { kind: kind.to_owned(), detected, message: error.to_string() };
        Self::bare(file, Outcome::Refused, Some(failure))
    }

    /// A file on which the child process ended without an answer; `status` says how.
    pub fn crashed(file: &Path, status: &str) -> Self {
        let failure = Failure { kind: "crashed".to_owned(), detected: None, message: status.to_owned() };
        Self::bare(file, Outcome::Crashed, Some(failure))
    }

    /// A file that is not there, or is none.
    pub fn unreadable(file: &Path, error: &io::Error) -> Self {
        let failure = Failure { kind: "unreadable".to_owned(), detected: None, message: error.to_string() };
        Self::bare(file, Outcome::Unreadable, Some(failure))
    }

    fn bare(file: &Path, outcome: Outcome, error: Option<Failure>) -> Self {
        Self {
            file: file.to_owned(),
            bytes: None,
            outcome,
            error,
            source_type: None,
            media_type: None,
            original: None,
            size: None,
            output_bytes: None,
            out: None,
            image_tokens: None,
            exif_orientation: None,
            warnings: Vec::new(),
            plan_peak_memory: None,
            cpu_ms: None,
            peak: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "| {name:24} | ")?;
        if let Some(error) = &self.error {
            return write!(f, "{}: {}", error.kind, error.message);
        }
        let edges = |size: Option<[u32; 2]>| size.map_or(String::new(), |[width, height]| format!("{width}x{height}"));
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
        let mib = |bytes: Option<u64>| number(bytes.map(|bytes| bytes as f64 / 1_048_576.0));
        write!(
            f,
            "{:9} | {:9} | {:10} | {:9} | {:>8} | {:>9} | {:>8} | {:>6} | {:>4} |",
            edges(self.original),
            edges(self.size),
            self.media_type.as_deref().unwrap_or_default(),
            self.output_bytes.unwrap_or_default(),
            number(self.cpu_ms.as_ref().map(|cpu| cpu.best)),
            number(self.cpu_ms.as_ref().map(|cpu| cpu.median)),
            mib(self.peak.map(|peak| peak.over_start)),
            mib(self.peak.map(|peak| peak.beside_file)),
            mib(self.plan_peak_memory),
        )
    }
}
