//! The time a caller allows, from the `grpc-timeout` header.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::pipeline::Deadline;

/// The moment by which a request that arrived at `received` must be answered: the caller's own limit, at most
/// `longest`.
///
/// The answer is due a little before the caller's own timer runs out. Otherwise the caller would see its own bare
/// DEADLINE_EXCEEDED, or the CANCELLED of the transport's timer, instead of the stage and the reason.
pub(super) fn of(metadata: &MetadataMap, received: Instant, longest: Duration) -> Deadline {
    let asked = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse);
    let allowed = asked.map_or(longest, |asked| asked.saturating_sub(margin(asked)).min(longest));
    Deadline::at(received + allowed)
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

    #[tokio::test(start_paused = true)]
    async fn the_shorter_limit_counts() {
        let longest = Duration::from_secs(10);
        let left = |header: Option<&'static str>| {
            let mut metadata = MetadataMap::new();
            if let Some(header) = header {
                metadata.insert("grpc-timeout", header.parse().unwrap());
            }
            of(&metadata, Instant::now(), longest).remaining()
        };
        assert_eq!(left(None), longest);
        assert_eq!(left(Some("1H")), longest);
        assert_eq!(left(Some("nonsense")), longest);
        assert_eq!(left(Some("1S")), Duration::from_millis(950));
        assert_eq!(left(Some("1m")), Duration::ZERO);
    }
}
