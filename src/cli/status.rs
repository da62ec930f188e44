//! A gRPC error for people: what is wrong, where, and what to do about it.

use std::fmt::Write as _;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::plain;

/// Most lines of details that are shown.
pub(super) const MAX_DETAILS: usize = 40;

/// The status as lines without a trailing newline: code, reason and message first, then every detail.
pub fn render(status: &Status) -> String {
    let details = status.get_error_details();
    let code = code_name(code(status));
    let reason = details.error_info().map(|info| plain::line(&info.reason));
    let reason = reason.filter(|reason| *reason != code).map(|reason| format!(", {reason}")).unwrap_or_default();
    let mut shown = format!("{code}{reason}: {}", message(status));
    let lines = detail_lines(&details);
    for line in lines.iter().take(MAX_DETAILS) {
        // Writing to a String cannot fail.
        let _ = write!(shown, "\n  {}", plain::line(line));
    }
    if lines.len() > MAX_DETAILS {
        let _ = write!(shown, "\n  and {} more", lines.len() - MAX_DETAILS);
    }
    shown
}

/// The name of a code as the gRPC documents write it, such as `INVALID_ARGUMENT`.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// This client's own timeout comes as CANCELLED from tonic; for people it is what it is.
fn code(status: &Status) -> Code {
    if is_own_timeout(status) { Code::DeadlineExceeded } else { status.code() }
}

fn is_own_timeout(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
}

fn message(status: &Status) -> String {
    match plain::lines(status.message()) {
        _ if is_own_timeout(status) => "no answer in time: give it more with --timeout".to_owned(),
        empty if empty.is_empty() => "the server gave no message".to_owned(),
        message => message,
    }
}

/// What the details say, a line each, as it came: neither bounded nor harmless to print.
pub(super) fn detail_lines(details: &ErrorDetails) -> Vec<String> {
    let mut lines = vec![];
    if let Some(bad_request) = details.bad_request() {
        lines.extend(bad_request.field_violations.iter().map(|v| format!("{}: {}", v.field, v.description)));
    }
    if let Some(failure) = details.precondition_failure() {
        lines.extend(failure.violations.iter().map(|v| format!("{} {}: {}", v.r#type, v.subject, v.description)));
    }
    if let Some(failure) = details.quota_failure() {
        lines.extend(failure.violations.iter().map(|v| format!("quota {}: {}", v.subject, v.description)));
    }
    if let Some(resource) = details.resource_info() {
        let named = format!("{} {}: {}", resource.resource_type, resource.resource_name, resource.description);
        lines.push(named.trim_end_matches([':', ' ']).to_owned());
    }
    if let Some(info) = details.error_info() {
        let mut metadata: Vec<_> = info.metadata.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        metadata.sort();
        lines.extend(metadata);
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        lines.push(format!("try again after {}", plain::duration(delay)));
    }
    if let Some(help) = details.help() {
        lines.extend(help.links.iter().map(|link| format!("see: {} {}", link.description, link.url)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    #[test]
    fn every_detail_is_shown() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("limit".into(), "500".into()), ("actual".into(), "900".into())]);
        details.set_error_info("FIELD_INVALID", "sightline", metadata);
        details.add_bad_request_violation("features.labels.max_results", "must be at most 500");
        details.add_bad_request_violation("request_id", "must be at most 128 characters");
        details.add_precondition_failure_violation("ETAG", "s3://photos/a.png", "the object changed");
        details.add_quota_failure_violation("bedrock", "tokens per minute");
        details.set_resource_info("S3 object", "s3://photos/a.png", "", "");
        details.set_retry_info(Some(Duration::from_secs(2)));
        details.add_help_link("Limits", "https://example.com/limits");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are not valid", details);
        insta::assert_snapshot!(render(&status), @r"
        INVALID_ARGUMENT, FIELD_INVALID: 2 fields are not valid
          features.labels.max_results: must be at most 500
          request_id: must be at most 128 characters
          ETAG s3://photos/a.png: the object changed
          quota bedrock: tokens per minute
          S3 object s3://photos/a.png
          actual: 900
          limit: 500
          try again after 2.00 s
          see: Limits https://example.com/limits
        ");
    }

    #[test]
    fn escape_sequences_from_a_server_are_neutralised() {
        let details = ErrorDetails::with_bad_request_violation("\u{1b}]0;title\u{7}", "\u{1b}[2J");
        let shown = render(&Status::with_error_details(Code::Internal, "\u{1b}[31mred", details));
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }

    #[test]
    fn details_that_are_garbage_do_not_hide_the_message() {
        let status = Status::with_details(Code::NotFound, "no such key", vec![0xff; 40].into());
        assert_eq!(render(&status), "NOT_FOUND: no such key");
    }

    #[test]
    fn the_details_are_bounded() {
        let mut details = ErrorDetails::new();
        (0..MAX_DETAILS + 3).for_each(|n| {
            details.add_bad_request_violation(format!("f{n}"), "x");
        });
        let shown = render(&Status::with_error_details(Code::InvalidArgument, "m", details));
        assert!(shown.ends_with("\n  and 3 more"), "{shown}");
    }

    #[test]
    fn our_own_timeout_says_how_to_wait_longer() {
        let status = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(render(&status), "DEADLINE_EXCEEDED: no answer in time: give it more with --timeout");
    }
}
