//! Preparing a file, and what it costs.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use sightline::imaging::{Cancel, Encoded, ImageError, Limits, Plan, Prepared, Target};

use super::{
    cpu, memory,
    options::Options,
    report::{Cpu, Outcome, Peak, Report},
};

/// Prepares a file once and measures the memory that takes. The process must be fresh.
///
/// # Errors
///
/// The prepared bytes cannot be written, or `/proc` not be read.
pub fn once(file: &Path, options: &Options) -> io::Result<Report> {
    memory::reset_peak();
    let start = memory::now()?;
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Report::unreadable(file, &error)),
    };
    let before = cpu::time()?;
    let result = prepare(&bytes, &options.limits, &options.target);
    let spent = cpu::time()?.saturating_sub(before);
    let end = memory::now()?;
    let over_start = end.peak.saturating_sub(start.resident);
    let code = end.code.saturating_sub(start.code);
    let besides = (bytes.len() as u64).saturating_add(code);
    let peak = Peak { over_start, code, beside_file: over_start.saturating_sub(besides) };
    let report = finished(file, &bytes, result, options)?;
    Ok(Report { peak: Some(peak), cpu_ms: Some(Cpu::of(&[spent])), ..report })
}

/// Prepares a file many times and measures the CPU time of each.
///
/// # Errors
///
/// The prepared bytes cannot be written, or `/proc` not be read.
pub fn times(file: &Path, options: &Options) -> io::Result<Report> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Report::unreadable(file, &error)),
    };
    let run = || -> io::Result<(Duration, _)> {
        let before = cpu::time()?;
        let result = prepare(&bytes, &options.limits, &options.target);
        Ok((cpu::time()?.saturating_sub(before), result))
    };
    if options.repeat > 1 {
        // Faults in code and memory that every later run finds in place.
        run()?;
    }
    let (first, result) = run()?;
    let mut spent = vec![first];
    for _ in 1..options.repeat {
        spent.push(run()?.0);
    }
    let report = finished(file, &bytes, result, options)?;
    Ok(Report { cpu_ms: Some(Cpu::of(&spent)), ..report })
}

/// Prepares a file once in a process of its own.
///
/// # Errors
///
/// The process cannot be started.
pub fn in_child(file: &Path, options: &Options) -> Result<Report, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(options.for_child()).arg(file).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    match serde_json::from_slice(&output.stdout) {
        Ok(report) if output.status.success() => Ok(report),
        _ => Ok(Report::crashed(file, &output.status.to_string())),
    }
}

/// What became of the bytes, with the plan's bound on its memory once there was a plan.
struct Run {
    plan_peak_memory: Option<u64>,
    result: Result<Prepared, ImageError>,
}

/// `imaging::prepare` in its two steps, for the plan's own figure.
fn prepare(bytes: &[u8], limits: &Limits, target: &Target) -> Run {
    match Plan::of(bytes, limits, target) {
        Ok(plan) => Run { plan_peak_memory: Some(plan.peak_memory()), result: plan.run(bytes, &Cancel::never()) },
        Err(error) => Run { plan_peak_memory: None, result: Err(error) },
    }
}

/// Writes the result where it was asked for, and reports it without figures.
fn finished(file: &Path, bytes: &[u8], run: Run, options: &Options) -> io::Result<Report> {
    let report = match &run.result {
        Err(error) => Report::refused(file, error),
        Ok(prepared) => {
            let encoded = match &prepared.encoded {
                Encoded::AsIs => bytes,
                Encoded::New(encoded) => encoded,
            };
            let extension = prepared.media_type.extension();
            let out = options.out.as_ref().map(|folder| out_path(folder, file, &options.tier, extension));
            if let Some(out) = &out {
                out.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(out, encoded)?;
            }
            let outcome = if prepared.encoded == Encoded::AsIs { Outcome::AsIs } else { Outcome::New };
            Report::prepared(file, outcome, prepared, encoded.len(), out)
        }
    };
    Ok(Report { bytes: Some(bytes.len()), plan_peak_memory: run.plan_peak_memory, ..report })
}

/// `photo.png` becomes `photo.png.standard.jpg`.
fn out_path(folder: &Path, file: &Path, tier: &str, extension: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    folder.join(format!("{name}.{tier}.{extension}"))
}
