//! The process's own memory, CPU time and start, read from `/proc` at each scrape. Elsewhere than on Linux there are none.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::catalogue::{CPU_TIME, Entry, RESIDENT_MEMORY, START_TIME};

/// Linux shows times of processes in hundredths of a second, whatever its clock's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc` when it is asked.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        if let Some(bytes) = resident_bytes(&read("self/status")) {
            write(&mut encoder, &RESIDENT_MEMORY, &ConstGauge::new(bytes))?;
        }
        let stat = read("self/stat");
        if let Some(seconds) = cpu_seconds(&stat) {
            write(&mut encoder, &CPU_TIME, &ConstCounter::new(seconds))?;
        }
        if let Some(seconds) = start_seconds(&stat, &read("stat")) {
            write(&mut encoder, &START_TIME, &ConstGauge::new(seconds))?;
        }
        Ok(())
    }
}

fn write(encoder: &mut DescriptorEncoder<'_>, entry: &Entry, metric: &impl EncodeMetric) -> fmt::Result {
    let unit = entry.unit.map(|unit| Unit::Other(unit.to_owned()));
    let help = format!("{}.", entry.help);
    metric.encode(encoder.encode_descriptor(entry.stem(), &help, unit.as_ref(), metric.metric_type())?)
}

/// `VmRSS:     1234 kB`
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}

/// The fields of `/proc/self/stat` from the third on. The second is the program's name, which may hold anything.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split_ascii_whitespace())
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The 14th and the 15th field.
    let mut times = fields(stat)?.skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    // The 22nd field, since the system's start.
    let ticks: u64 = fields(stat)?.nth(19)?.parse().ok()?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<u64>().ok()? as f64 + ticks as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000 200 18446744073709551615";

    #[test]
    fn what_proc_says_is_read() {
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t   20 kB\n"), Some(20 * 1024));
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(start_seconds(STAT, "cpu 1\nbtime 1000\n"), Some(1123.45));
    }

    #[test]
    fn what_is_no_proc_is_nothing() {
        for text in ["", "VmRSS: x kB", "7 (a) S 1", "VmRSS: 99999999999999999999 kB"] {
            assert_eq!(
                (resident_bytes(text), cpu_seconds(text), start_seconds(text, text)),
                (None, None, None),
                "{text}"
            );
        }
    }
}
