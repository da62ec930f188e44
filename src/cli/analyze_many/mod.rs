//! `sightline analyze-many`: many pictures over one connection, a line of JSON for each.
//!
//! [`sources`] turns what people name into pictures one by one, [`intake`] leaves out what is answered, [`streams`] sends
//! and receives, [`answers`] finds the source of an answer, [`lines`] writes, [`ledger`] remembers, so that a lost
//! stream or a killed run goes on with nothing lost or repeated. [`session`] is the run over all of it.

mod answers;
pub mod args;
mod failure;
mod globs;
mod intake;
mod ledger;
mod lines;
mod manifest;
mod names;
mod pictures;
mod progress;
mod session;
pub mod sources;
mod streams;
mod totals;

use std::{cell::RefCell, io, process::ExitCode, sync::Arc, time::Duration};

pub use args::AnalyzeManyArgs;
use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::{
    intake::Intake,
    ledger::Ledger,
    lines::Lines,
    pictures::Pictures,
    progress::Progress,
    session::{Ending, Session, Settings, WriteError},
    sources::{Sources, Spec},
    totals::Totals,
};
use super::{
    plain,
    report::{self, Report},
    server::Server,
    source::Source,
    status,
};
use crate::serve;

/// A signal told the run to stop.
const INTERRUPTED: u8 = 130;
/// The command line asks for what cannot be.
const USAGE: u8 = 2;
/// Longest wait for the server's capabilities.
const CALL_TIME: Duration = Duration::from_secs(30);

/// Runs the command: results go to standard output or `--out`, everything else to standard error. Answers 0 when every
/// picture was analyzed, 1 when one failed, 2 when the command line asks for what cannot be, 130 when it was told to stop.
///
/// # Errors
/// None that is not printed and answered as an exit code.
pub async fn run(args: AnalyzeManyArgs) -> anyhow::Result<ExitCode> {
    let (lines, ledger) = match prepare(&args) {
        Ok(ready) => ready,
        Err(error) => return Ok(failed(&error, USAGE)),
    };
    // From here on a first signal ends the run well, and a second one at once.
    let (stopping, stop) = watch::channel(false);
    match serve::stop_signal() {
        Ok(signal) => tokio::spawn(async move {
            signal.await;
            // Without a receiver the run is over.
            let _ = stopping.send(true);
            stopping.closed().await;
        }),
        Err(error) => return Ok(failed(&format!("cannot listen for signals: {error}"), 1)),
    };
    let server = match unless_stopped(&stop, Server::open(&args.server, CALL_TIME)).await {
        Some(Ok(server)) => server,
        Some(Err(error)) => return Ok(failed(&error.to_string(), if error.is_usage() { USAGE } else { 1 })),
        None => return Ok(stopped_early(&args)),
    };
    let code = with_server(&args, &server, lines, ledger, stop).await;
    server.close().await;
    Ok(code)
}

/// What comes of it, or nothing when the run is told to stop first.
async fn unless_stopped<T>(stop: &watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = stop.clone();
    tokio::select! {
        done = work => Some(done),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

fn stopped_early(args: &AnalyzeManyArgs) -> ExitCode {
    if !args.quiet {
        progress::tell("stopped before anything was asked for");
    }
    ExitCode::from(INTERRUPTED)
}

fn failed(error: &str, code: u8) -> ExitCode {
    progress::tell(&format!("error: {error}"));
    ExitCode::from(code)
}

/// What is wrong with the command line is said before a server is bothered.
fn prepare(args: &AnalyzeManyArgs) -> Result<(Lines, Ledger), String> {
    args.check()?;
    #[cfg(feature = "embedded")]
    if let Some(warning) = args.slip() {
        progress::tell(&warning);
    }
    if let Some(folder) = &args.annotate {
        let shown = || plain::line(&folder.display().to_string());
        pictures::prepare(folder).map_err(|error| format!("--annotate {}: cannot write there: {error}", shown()))?;
    }
    let opened = match &args.out {
        Some(path) if args.resume => Lines::resume(path, args.retry_failed),
        Some(path) => Lines::create(path).map(|lines| (lines, Ledger::new(false))),
        None => Ok((Lines::to_stdout(), Ledger::new(false))),
    };
    opened.map_err(|error| error.to_string())
}

async fn with_server(
    args: &AnalyzeManyArgs,
    server: &Server,
    lines: Lines,
    ledger: Ledger,
    stop: watch::Receiver<bool>,
) -> ExitCode {
    let mut client = server.client.clone();
    let Some(limits) = unless_stopped(&stop, client.limits()).await else { return stopped_early(args) };
    let progress = Progress::start(args.quiet);
    let sources = Sources {
        specs: args.sources.clone(),
        suffixes: args.suffixes.clone(),
        except: args.annotate.as_ref().and_then(|folder| folder.canonicalize().ok()),
    };
    count(&sources, &progress);
    let session = Session {
        settings: Settings {
            config: args.config(limits.max_in_flight),
            message_bytes: limits.message_bytes,
            retries: args.retries,
            suffixes: args.suffixes.clone(),
            max_objects: args.max_objects,
        },
        client,
        ledger: RefCell::new(ledger),
        sent: RefCell::default(),
        totals: RefCell::default(),
        pictures: Pictures::new(
            args.annotate.clone(),
            args.report.as_ref().map(|_| Report::new(&args.title())),
            server,
            limits.object_bytes,
            &progress,
        ),
        progress: Arc::clone(&progress),
        lines,
        stop: stop.clone(),
    };
    tell_of_stop(stop, &progress);
    let ending = session.run(Intake::new(sources.read())).await;
    let reported = report(args, &session, &ending).await;
    progress.finish();
    match (end(&session, &ending), reported) {
        (_, Err(error)) => failed(&error, 1),
        (code, Ok(())) => code,
    }
}

/// Finishes the pictures, those of earlier runs too, and writes the report.
async fn report(args: &AnalyzeManyArgs, session: &Session<'_>, ending: &Ending) -> Result<(), String> {
    let is_complete = matches!(ending, Ending::Complete);
    let mut whole = Totals::default();
    if session.pictures.is_wanted() {
        add_earlier(args, session, is_complete, &mut whole).await;
    }
    session.pictures.finish().await;
    let Some(path) = &args.report else { return Ok(()) };
    whole.include(&session.totals.borrow());
    let totals = report::Totals {
        succeeded: whole.succeeded,
        failed: whole.failed,
        usage: whole.usage(),
        elapsed: session.progress.elapsed(),
        interrupted: !is_complete,
    };
    session.pictures.write_report(path, totals).await?;
    session.progress.note(&format!("report: {}", plain::line(&path.display().to_string())));
    Ok(())
}

/// Results of earlier runs on the same file that are still the last word on their sources. Their pictures are left out
/// when somebody waits for the end.
async fn add_earlier(args: &AnalyzeManyArgs, session: &Session<'_>, pictures: bool, whole: &mut Totals) {
    let earlier = session.ledger.borrow().earlier();
    let Some(path) = args.out.clone().filter(|_| earlier > 0) else { return };
    let mut lines = lines::reread(path, earlier);
    while let Some(line) = lines.recv().await {
        let name = &line.head.source;
        if !session.ledger.borrow().is_last(name, line.number) {
            continue;
        }
        let Ok(result) = line.result() else { continue };
        whole.add(&result);
        let picture = match name.parse() {
            Ok(Spec::Object(object)) => Some(object),
            Ok(Spec::Path(path)) => Some(Source::File(path)),
            _ => None,
        };
        session.pictures.offer_again(name, picture.as_ref().filter(|_| pictures), result).await;
    }
}

/// Finds out how many there are while the first are under way.
fn count(sources: &Sources, progress: &Arc<Progress>) {
    if progress.is_shown() {
        let (sources, progress) = (sources.clone(), Arc::clone(progress));
        tokio::task::spawn_blocking(move || {
            if let Some(count) = sources.count() {
                progress.expect(count);
            }
        });
    }
}

fn tell_of_stop(mut stop: watch::Receiver<bool>, progress: &Arc<Progress>) {
    let progress = Arc::clone(progress);
    tokio::spawn(async move {
        if stop.wait_for(|stop| *stop).await.is_ok() {
            progress.note(
                "stopping: pictures in progress are waited for, a listing is cancelled; once more to end at once",
            );
        }
    });
}

/// The last words, and the exit code.
fn end(session: &Session<'_>, ending: &Ending) -> ExitCode {
    let (totals, progress) = (session.totals.borrow(), &session.progress);
    let failed_earlier = session.ledger.borrow().failed_earlier();
    if matches!(ending, Ending::Unwritten(WriteError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    progress.note(&totals.summary(progress.elapsed(), failed_earlier));
    match session.pictures.undrawn() {
        0 => {}
        count => progress.note(&format!("{count} not drawn, as warned above")),
    }
    match ending {
        Ending::Complete if totals.failed + failed_earlier == 0 => ExitCode::SUCCESS,
        Ending::Complete => ExitCode::FAILURE,
        Ending::Interrupted => {
            progress.note("stopped before the end: the same command with --out and --resume goes on");
            ExitCode::from(INTERRUPTED)
        }
        Ending::Stopped => {
            progress.note("stopped after the first failure: the same command with --out and --resume goes on");
            ExitCode::FAILURE
        }
        Ending::Refused(error) => {
            let hint = match totals.done() {
                0 if is_strange(error) => "\nIs it a Sightline server that answers there? --server names another one.",
                // The next attempt would not do better.
                0 => "",
                _ => "\nThe same command with --out and --resume goes on.",
            };
            failed(&format!("{}{hint}", status::render(error)), 1)
        }
        Ending::Unwritten(error) => failed(&error.to_string(), 1),
    }
}

/// Whether no Sightline server speaks so: all that one says bears its name.
fn is_strange(error: &Status) -> bool {
    let own = error.get_error_details().error_info().is_some_and(|info| info.domain == "sightline");
    !own && error.code() != Code::Unavailable
}
