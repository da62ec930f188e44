//! The file or stream of results: one line an outcome, whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::{
    failure,
    ledger::{Head, Ledger},
    progress::Progress,
};
use crate::{
    cli::{json, plain},
    proto::{AnalyzeManyResult, analyze_many_result::Outcome},
};

/// Most bytes of a line that is read back: a message has at most 64 MiB, and JSON writes a byte as up to six.
const MAX_LINE: u64 = 512 << 20;
/// How every line of this command begins.
const BEGINNING: &[u8] = br#"{"source":""#;

/// Why results cannot be written where they are to go.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// There is something already.
    #[error("{0} holds something already: go on where it ends with --resume, or name another file")]
    Exists(String),
    /// Nothing that can be read again.
    #[error("{0} is no file, so --resume cannot go on in it")]
    NotAFile(String),
    /// Two commands on one file.
    #[error("{0} is being written by another analyze-many")]
    Locked(String),
    /// A line that no run of this command wrote.
    #[error("{path}, line {number}, is no result ({cause}): --resume continues a file of this command only")]
    Broken {
        /// The file.
        path: String,
        /// From 1.
        number: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// The operating system's reason.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        cause: io::Error,
    },
}

/// Where results go.
pub struct Lines {
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Whether results and progress meet on one terminal.
    is_terminal: bool,
}

impl Lines {
    /// Standard output.
    pub fn to_stdout() -> Self {
        Self { sink: Arc::new(Mutex::new(Box::new(io::stdout()))), is_terminal: io::stdout().is_terminal() }
    }

    /// A file that must not hold anything yet; something that is no file, such as a pipe, is written to as it is.
    ///
    /// # Errors
    /// A file that exists, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, LinesError> {
        let mut options = OpenOptions::new();
        match path.metadata() {
            Ok(facts) if facts.is_file() && facts.len() > 0 => return Err(LinesError::Exists(shown(path))),
            Ok(facts) if !facts.is_file() => options.write(true),
            _ => options.append(true).create(true),
        };
        let file = options.open(path).map_err(|cause| failed("write", path, cause))?;
        lock(&file, path)?;
        Ok(Self::to_file(file))
    }

    /// A file that is continued, and what it holds; an empty one when there is none.
    ///
    /// # Errors
    /// A file that cannot be read and written, or that holds a line that is no result.
    pub fn resume(path: &Path, retry_failed: bool) -> Result<(Self, Ledger), LinesError> {
        if path.metadata().is_ok_and(|facts| !facts.is_file()) {
            return Err(LinesError::NotAFile(shown(path)));
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(|cause| failed("open", path, cause))?;
        lock(&file, path)?;
        let mut ledger = Ledger::new(retry_failed);
        let mut whole = 0;
        let mut torn = false;
        for_each_line(&file, path, &mut |_, line, ended| {
            match head(line) {
                Ok(head) => ledger.read(&head),
                Err(_) if !ended && is_cut_off(line) => {
                    torn = true;
                    return Ok(());
                }
                Err(cause) => return Err(cause),
            }
            if !ended {
                writeln!(&file).map_err(|error| error.to_string())?;
            }
            whole += line.len() as u64 + 1;
            Ok(())
        })?;
        if torn {
            file.set_len(whole).map_err(|cause| failed("shorten", path, cause))?;
        }
        file.seek(SeekFrom::End(0)).map_err(|cause| failed("read", path, cause))?;
        Ok((Self::to_file(file), ledger))
    }

    fn to_file(file: File) -> Self {
        Self { sink: Arc::new(Mutex::new(Box::new(file))), is_terminal: false }
    }

    /// Writes one line, in one write, off the async threads: whoever reads slowly holds up the run and not the process.
    ///
    /// # Errors
    /// A full disk, or a pipe that nobody reads any more.
    pub async fn write(&self, mut line: String, progress: &Arc<Progress>) -> io::Result<()> {
        line.push('\n');
        let (sink, progress, together) = (Arc::clone(&self.sink), Arc::clone(progress), self.is_terminal);
        let write = move || {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let mut write = || sink.write_all(line.as_bytes()).and_then(|()| sink.flush());
            if together { progress.aside(write) } else { write() }
        };
        tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(error.into()))
    }
}

/// The line of a result. An error detail that this binary does not know is left out rather than the result, and one
/// without an outcome is an error: it could not be read again.
///
/// # Errors
/// A contract that does not fit itself.
pub fn format(source: &str, listing: Option<&str>, result: &AnalyzeManyResult) -> Result<String, json::JsonError> {
    let mut result = result.clone();
    result.outcome.get_or_insert_with(|| Outcome::Error(failure::without_outcome()));
    if let Ok(line) = json::line(source, listing, &result) {
        return Ok(line);
    }
    match &mut result.outcome {
        Some(Outcome::Error(error)) => error.details.clear(),
        Some(Outcome::Analysis(analysis)) => {
            let errors = analysis.feature_errors.iter_mut().filter_map(|failed| failed.error.as_mut());
            errors.for_each(|error| error.details.clear());
        }
        None => {}
    }
    json::line(source, listing, &result)
}

/// One line of an earlier run.
pub struct Earlier {
    /// What it is about.
    pub head: Head,
    /// Its number, from 0.
    pub number: u64,
    line: String,
}

impl Earlier {
    /// All of it.
    ///
    /// # Errors
    /// A line that does not fit the contract.
    pub fn result(&self) -> Result<AnalyzeManyResult, json::JsonError> {
        json::result(&self.line)
    }
}

/// Reads the first `count` lines of a file again, on a thread of its own and no further ahead than they are taken. A file
/// that cannot be read any more ends early.
pub fn reread(path: PathBuf, count: u64) -> mpsc::Receiver<Earlier> {
    let (lines, taken) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let Ok(file) = File::open(&path) else { return };
        // An error only ends the reading.
        let _ = for_each_line(&file, &path, &mut |number, line, _| {
            let earlier = Earlier { head: head(line)?, number, line: String::from_utf8_lossy(line).into_owned() };
            let wanted = number < count && lines.blocking_send(earlier).is_ok();
            if wanted { Ok(()) } else { Err(String::new()) }
        });
    });
    taken
}

fn head(line: &[u8]) -> Result<Head, String> {
    Head::read(std::str::from_utf8(line).map_err(|error| error.to_string())?)
}

/// Whether a rest without a line end can be of a run that was killed while it wrote. Anything else is somebody else's.
fn is_cut_off(rest: &[u8]) -> bool {
    BEGINNING.starts_with(rest) || rest.starts_with(BEGINNING)
}

/// Takes a line.
type Each<'a> = dyn FnMut(u64, &[u8], bool) -> Result<(), String> + 'a;

/// Hands over each line with its number, from 0, and whether it ends as a line does.
fn for_each_line(file: &File, path: &Path, each: &mut Each<'_>) -> Result<(), LinesError> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(|cause| failed("read", path, cause))? == 0 {
            break;
        }
        let ended = line.ends_with(b"\n");
        let too_long = || LinesError::Broken {
            path: shown(path),
            number: number + 1,
            cause: format!("longer than {}", plain::bytes(MAX_LINE)),
        };
        if !ended && line.len() as u64 == MAX_LINE {
            return Err(too_long());
        }
        let outcome = each(number, line.strip_suffix(b"\n").unwrap_or(&line), ended);
        outcome.map_err(|cause| LinesError::Broken {
            path: shown(path),
            number: number + 1,
            cause: plain::line(&cause),
        })?;
    }
    Ok(())
}

/// Keeps a second command off the file, where the file system can.
fn lock(file: &File, path: &Path) -> Result<(), LinesError> {
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(LinesError::Locked(shown(path))),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path, cause: io::Error) -> LinesError {
    LinesError::Io { action, path: shown(path), cause }
}

fn shown(path: &Path) -> String {
    plain::line(&PathBuf::from(path).display().to_string())
}

#[cfg(test)]
#[cfg(feature = "embedded")]
#[path = "lines_tests.rs"]
mod tests;
