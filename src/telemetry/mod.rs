//! The log: one line a call at the boundary, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::LogFormat;

/// Starts logging for the life of the process. A second call changes nothing.
///
/// # Errors
/// When `filter` cannot be read.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a subscriber that is already there can make this fail.
    let _ = match format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    Ok(())
}
