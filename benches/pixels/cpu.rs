//! CPU time, from Linux's /proc.

use std::{fs, io, thread, time::Duration};

/// Nanoseconds on a processor, in waiting for one, and how often.
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// CPU time of this thread, of the user and of the kernel, since it started.
///
/// Pixels are prepared on the caller's thread alone, so the thread's time is the work's. `/proc/PID/stat` counts in
/// steps of 10 ms; `schedstat` counts nanoseconds, but the kernel brings the figure of a running thread up to date only
/// when it looks at the thread: at its ticks, 1 to 10 ms apart, and when the thread gives way. So it gives way first;
/// what is left is an error of some 10 us.
///
/// # Errors
///
/// The kernel keeps no such figure.
pub fn time() -> io::Result<Duration> {
    thread::yield_now();
    let text = fs::read_to_string(SCHEDSTAT)
        .map_err(|error| io::Error::new(error.kind(), format!("{SCHEDSTAT}: {error}; this needs Linux")))?;
    let on_cpu = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    on_cpu.map(Duration::from_nanos).ok_or_else(|| io::Error::other(format!("{SCHEDSTAT} is not what Linux writes")))
}
