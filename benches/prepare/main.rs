//! Prepares picture files as the service does and says what that cost: CPU time of many runs in one process, memory of
//! one run in a fresh process. Holds the core alone: `cargo bench --no-default-features --bench prepare -- FILE...`;
//! `--help` names the flags.

#[path = "../pixels/cpu.rs"]
mod cpu;
mod measure;
mod memory;
mod options;
mod report;

use std::{
    error::Error,
    io::{self, BufRead as _, Write as _},
    path::Path,
    process::ExitCode,
};

use options::{Mode, Options};
use report::{Outcome, Report};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("prepare: {wrong}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(false) => ExitCode::SUCCESS,
        // A child crashed: the other files were still measured.
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("prepare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers every file; whether one crashed.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    if options.help || (options.files.is_empty() && !options.stdin) {
        println!("{}", options::USAGE);
        return Ok(false);
    }
    let mut crashed = false;
    if !options.json && options.mode != Mode::Once {
        println!("{}", report::HEADING);
    }
    let mut answer = |file: &Path| -> Result<(), Box<dyn Error>> {
        let report = report(file, options)?;
        crashed |= report.outcome == Outcome::Crashed;
        let line = if options.json { serde_json::to_string(&report)? } else { report.to_string() };
        // A caller that writes file after file waits for each answer.
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    };
    for file in &options.files {
        answer(file)?;
    }
    if options.stdin {
        for line in io::stdin().lock().lines() {
            answer(Path::new(&line?))?;
        }
    }
    Ok(crashed)
}

/// Prepares one file: in a fresh process first, which may crash, and then here.
fn report(file: &Path, options: &Options) -> Result<Report, Box<dyn Error>> {
    match options.mode {
        Mode::Once => Ok(measure::once(file, options)?),
        Mode::Times => Ok(measure::times(file, options)?),
        Mode::Both => {
            let fresh = measure::in_child(file, options)?;
            if !matches!(fresh.outcome, Outcome::AsIs | Outcome::New) || options.repeat == 0 {
                return Ok(fresh);
            }
            Ok(Report { peak: fresh.peak, ..measure::times(file, options)? })
        }
    }
}
