//! How far a run is, on standard error: a bar on a terminal, elsewhere a line now and then.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::totals::Totals;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two drawings of the bar's clock.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str = "{bar:10} {wide_msg}";
const SPINNER: &str = "{spinner} {wide_msg}";

/// The display of one run.
pub struct Progress {
    display: Display,
    begun: Instant,
    figures: Mutex<Figures>,
}

enum Display {
    None,
    Lines,
    Bar(ProgressBar),
}

#[derive(Debug, Clone, Default)]
struct Figures {
    done: u64,
    failed: u64,
    /// Entries that are not asked for.
    left_out: u64,
    tokens: i64,
    expected: Option<u64>,
}

impl Progress {
    /// Starts it; `quiet` shows nothing but what is said.
    pub fn start(quiet: bool) -> Arc<Self> {
        let display = match quiet {
            true => Display::None,
            false if std::io::stderr().is_terminal() => Display::Bar(ProgressBar::no_length()),
            false => Display::Lines,
        };
        if let Display::Bar(bar) = &display {
            bar.set_style(style(SPINNER));
            bar.enable_steady_tick(TICK);
        }
        let progress = Arc::new(Self { display, begun: Instant::now(), figures: Mutex::default() });
        if matches!(progress.display, Display::Lines) {
            tokio::spawn(lines(Arc::downgrade(&progress)));
        }
        progress
    }

    /// Whether anything is shown, so that it is worth counting ahead.
    pub fn is_shown(&self) -> bool {
        !matches!(self.display, Display::None)
    }

    /// How many entries there are in all, once that is known.
    pub fn expect(&self, entries: u64) {
        self.figures().expected = Some(entries);
        if let Display::Bar(bar) = &self.display {
            bar.set_style(style(BAR));
        }
        self.show();
    }

    /// Takes in what the run has come to.
    pub fn update(&self, totals: &Totals) {
        let usage = totals.usage();
        {
            let mut figures = self.figures();
            figures.done = totals.done();
            figures.failed = totals.failed;
            figures.left_out = totals.skipped + totals.repeated;
            figures.tokens = usage.input_token_count.saturating_add(usage.output_token_count);
        }
        self.show();
    }

    fn show(&self) {
        let Display::Bar(bar) = &self.display else { return };
        let figures = self.figures().clone();
        if let Some(expected) = figures.to_do() {
            bar.set_length(expected);
        }
        bar.set_message(figures.line(self.elapsed()));
        bar.set_position(figures.done);
    }

    /// Says a line beside the bar.
    pub fn say(&self, text: &str) {
        self.aside(|| tell(text));
    }

    /// As [`Self::say`], unless the run is quiet.
    pub fn note(&self, text: &str) {
        if self.is_shown() {
            self.say(text);
        }
    }

    /// Does something that writes to the terminal, while the bar is out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.display {
            Display::Bar(bar) => bar.suspend(write),
            _ => write(),
        }
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures {
    /// How many results there will be.
    fn to_do(&self) -> Option<u64> {
        self.expected.map(|expected| expected.saturating_sub(self.left_out).max(self.done))
    }

    fn line(&self, elapsed: Duration) -> String {
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.001);
        let of = self.to_do().map(|expected| format!(" of {expected}")).unwrap_or_default();
        let left = self.to_do().filter(|_| self.done > 0).map(|expected| {
            let left = Duration::from_secs(((expected - self.done) as f64 / rate) as u64);
            format!(", {} left", humantime::format_duration(left))
        });
        let (left, tokens) = (left.unwrap_or_default(), thousands(self.tokens));
        // The end is cut off where the terminal is narrow.
        format!("{}{of} done{left}, {rate:.1}/s, {} failed, {tokens} tokens", self.done, self.failed)
    }
}

/// Writes a line to standard error. One that nobody takes must not end a run that goes on without it.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One line now and then, as long as the run lasts.
async fn lines(progress: std::sync::Weak<Progress>) {
    let mut clock = tokio::time::interval(LINE_EVERY);
    clock.tick().await;
    loop {
        clock.tick().await;
        let Some(progress) = progress.upgrade() else { return };
        let line = progress.figures().line(progress.elapsed());
        progress.say(&line);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A count for people, such as `18.3k`.
fn thousands(count: i64) -> String {
    let value = count as f64;
    match count {
        ..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_still() {
        let mut figures = Figures { done: 20, failed: 3, left_out: 10, tokens: 18_345, expected: Some(110) };
        let line = figures.line(Duration::from_secs(10));
        assert_eq!(line, "20 of 100 done, 40s left, 2.0/s, 3 failed, 18.3k tokens");
        figures.expected = None;
        assert_eq!(figures.line(Duration::from_secs(10)), "20 done, 2.0/s, 3 failed, 18.3k tokens");
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
