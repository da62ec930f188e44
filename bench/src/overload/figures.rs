//! What became of calls, memory and health.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{options::Options, probe::Probes};
use crate::{
    load::calls::{Call, Outcome},
    report::{figure, table},
    stats::Latencies,
};

/// Windows in which it is seen whether the server is itself again.
const WINDOW: Duration = Duration::from_secs(1);
/// Above the p99 before, a window's that counts as being itself again.
const AGAIN: f64 = 1.2;

/// All figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    setting: String,
    /// Calls a second that can be done.
    done_a_second: f64,
    before: Part,
    during: Part,
    after: Part,
    /// Refusals by code.
    codes: BTreeMap<String, usize>,
    without_retry_info: usize,
    calm_peak_mib: f64,
    peak_mib: f64,
    checks: u64,
    failed_checks: usize,
    checks_p99_ms: f64,
    /// Seconds from the end of the many calls until a window's p99 was as before and nothing was refused; none within the
    /// calm after them.
    recovered_after_s: Option<f64>,
    /// p99 of each second after the end.
    p99_after_ms: Vec<f64>,
}

/// Calls of one part of the run.
#[derive(Debug, Serialize)]
struct Part {
    asked_a_second: f64,
    served_a_second: f64,
    served_p50_ms: f64,
    served_p99_ms: f64,
    refused_share: f64,
    refused_p50_ms: f64,
    refused_p99_ms: f64,
}

impl Part {
    fn of(calls: &[Call], duration: Duration) -> anyhow::Result<Self> {
        let of = |is_it: fn(&Outcome) -> bool| {
            Latencies::of(calls.iter().filter(|call| is_it(&call.outcome)).map(|call| call.latency))
        };
        let (served, refused) = (of(Outcome::is_served)?, of(Outcome::is_refused)?);
        Ok(Self {
            asked_a_second: calls.len() as f64 / duration.as_secs_f64(),
            served_a_second: served.count() as f64 / duration.as_secs_f64(),
            served_p50_ms: served.ms(0.5),
            served_p99_ms: served.ms(0.99),
            refused_share: refused.count() as f64 / calls.len().max(1) as f64,
            refused_p50_ms: refused.ms(0.5),
            refused_p99_ms: refused.ms(0.99),
        })
    }

    fn row(&self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            figure(Some(self.asked_a_second), 0),
            figure(Some(self.served_a_second), 0),
            figure(Some(self.served_p50_ms), 1),
            figure(Some(self.served_p99_ms), 1),
            format!("{:.1} %", self.refused_share * 100.0),
            figure(Some(self.refused_p50_ms), 2),
            figure(Some(self.refused_p99_ms), 2),
        ]
    }
}

impl Figures {
    /// Of the calls before, during and after; `peaks` are those of memory before and since.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the run")]
    pub fn of(
        options: &Options,
        done_a_second: f64,
        before: &[Call],
        during: &[Call],
        after: &[Call],
        end: Instant,
        peaks: (f64, f64),
        probes: &Probes,
    ) -> anyhow::Result<Self> {
        let mut codes = BTreeMap::new();
        let mut without_retry_info = 0;
        for call in during {
            if let Outcome::Refused { code, has_retry_info } = &call.outcome {
                *codes.entry(format!("{code:?}")).or_default() += 1;
                without_retry_info += usize::from(!has_retry_info);
            }
        }
        let before = Part::of(before, options.calm())?;
        let windows = windows(after, end)?;
        let again =
            windows.iter().position(|window| window.refused == 0 && window.p99_ms <= before.served_p99_ms * AGAIN);
        Ok(Self {
            setting: format!(
                "{} pictures; a model with {} places of {} ms; {} times of what can be done for {} s{}",
                options.size.name(),
                options.capacity,
                options.latency_ms,
                options.times,
                options.seconds,
                if options.binaries.server_args.is_empty() {
                    String::new()
                } else {
                    format!("; further arguments of the server: `{}`", options.binaries.server_args.join(" "))
                }
            ),
            done_a_second,
            during: Part::of(during, options.duration())?,
            after: Part::of(after, options.calm())?,
            codes,
            without_retry_info,
            calm_peak_mib: peaks.0,
            peak_mib: peaks.1,
            checks: probes.latencies.count(),
            failed_checks: probes.failed,
            checks_p99_ms: probes.latencies.ms(0.99),
            recovered_after_s: again.map(|window| window as f64 * WINDOW.as_secs_f64()),
            p99_after_ms: windows.iter().map(|window| window.p99_ms).collect(),
            before,
        })
    }

    /// In Markdown.
    pub fn table(&self) -> String {
        let header = [
            "",
            "asked/s",
            "served/s",
            "served p50 ms",
            "served p99 ms",
            "refused",
            "refused p50 ms",
            "refused p99 ms",
        ];
        let rows = [self.before.row("before"), self.during.row("too many"), self.after.row("after")];
        let recovered = self.recovered_after_s.map_or_else(
            || "not within the time that was measured".to_owned(),
            |after| format!("in the window that begins {after:.0} s after the end"),
        );
        format!(
            "{}. It can do {:.0} calls a second.\n\n{}\n\n\
             p99 of the calls that were served, too many to before: {:.2}. Refused with {:?}, {} of them without RetryInfo. \
             Peak memory: {:.0} MiB before, {:.0} MiB since. Health checks: {} SERVING with a p99 of {:.2} ms, {} failed. \
             As before (p99 at most {AGAIN} times, nothing refused): {recovered}; p99 of each second: {}.\n",
            self.setting,
            self.done_a_second,
            table(1, &header, rows),
            self.during.served_p99_ms / self.before.served_p99_ms,
            self.codes,
            self.without_retry_info,
            self.calm_peak_mib,
            self.peak_mib,
            self.checks,
            self.checks_p99_ms,
            self.failed_checks,
            self.p99_after_ms.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(", "),
        )
    }
}

struct Window {
    p99_ms: f64,
    refused: usize,
}

/// The seconds after `end`, each of the calls that began in it.
fn windows(after: &[Call], end: Instant) -> anyhow::Result<Vec<Window>> {
    let mut windows = Vec::new();
    for number in 0.. {
        let from = end + WINDOW * number;
        let calls: Vec<_> = after.iter().filter(|call| call.began >= from && call.began < from + WINDOW).collect();
        if calls.is_empty() {
            break;
        }
        let served = calls.iter().filter(|call| call.outcome.is_served());
        let p99_ms = Latencies::of(served.map(|call| call.latency))?.ms(0.99);
        windows.push(Window { p99_ms, refused: calls.iter().filter(|call| call.outcome.is_refused()).count() });
    }
    Ok(windows)
}
