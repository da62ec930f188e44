//! The time a caller allows, from the `grpc-timeout` header.

use std::time::Duration;

use tokio::time::Instant;

use crate::pipeline::Deadline;

/// The moment by which a request that arrived at `received` must be answered: the caller's own limit, at most
/// `longest`.
///
/// The answer is due a little before the caller's own timer runs out. Otherwise the caller would see its own bare
/// DEADLINE_EXCEEDED, or the CANCELLED of the transport's timer, instead of the stage and the reason.
pub(super) fn of(headers: &http::HeaderMap, received: Instant, longest: Duration) -> Deadline {
    Deadline::at(received + allowed(header(headers), longest))
}

/// The time that the caller of a stream allows for all of it, as far as the caller names one.
pub(super) fn of_stream(headers: &http::HeaderMap) -> Option<Duration> {
    let asked = header(headers).and_then(parse)?;
    Some(asked.saturating_sub(margin(asked)))
}

fn header(headers: &http::HeaderMap) -> Option<&str> {
    headers.get("grpc-timeout").and_then(|value| value.to_str().ok())
}

fn allowed(header: Option<&str>, longest: Duration) -> Duration {
    let asked = header.and_then(parse);
    asked.map_or(longest, |asked| asked.saturating_sub(margin(asked)).min(longest))
}

fn margin(timeout: Duration) -> Duration {
    (timeout / 20).clamp(Duration::from_millis(2), Duration::from_millis(50))
}

/// `TimeoutValue TimeoutUnit` of the gRPC protocol: one to eight digits and one of `H M S m u n`.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_of_the_protocol() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("1500m", Some(Duration::from_millis(1500))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_shorter_limit_counts_and_the_answer_is_due_a_little_early() {
        let longest = Duration::from_secs(10);
        for (header, expected) in [
            (None, longest),
            (Some("1H"), longest),
            (Some("nonsense"), longest),
            (Some("2S"), Duration::from_millis(1950)),
            (Some("100m"), Duration::from_millis(95)),
            (Some("1m"), Duration::ZERO),
        ] {
            assert_eq!(allowed(header, longest), expected, "{header:?}");
        }
    }
}
