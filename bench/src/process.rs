//! What the kernel counts for a process.

use std::fs;

use anyhow::Context as _;

/// Ticks of a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// CPU time in seconds, the user's and the kernel's.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read(pid, "stat")?;
    // The name before the last bracket may hold anything. utime and stime are fields 14 and 15, the state is 3.
    let fields = stat.rsplit_once(')').context("/proc/PID/stat has no name")?.1.split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS)
}

/// Resident memory in MiB.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// Most resident memory in MiB since the last [`reset_peak`].
pub fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

/// Starts the peak anew.
///
/// # Errors
/// When the kernel does not allow it.
pub fn reset_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the kernel does not reset the peak of memory")
}

fn status_mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = read(pid, "status")?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = value.and_then(|value| value.trim().strip_suffix("kB")).context("/proc/PID/status lacks a field")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}: this needs Linux, and the process alive"))
}
