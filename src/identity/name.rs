//! Which names a caller may have. They stand in policies, logs and metrics, so that nothing in them may mislead.

use crate::domain::Caller;

/// Most characters of a name beside a token or in a JWT.
pub(super) const MAX_NAME_CHARS: usize = 256;
/// Most bytes of a SPIFFE id, as its specification has it.
const MAX_SPIFFE_BYTES: usize = 2048;

/// What is wrong with a name, as it ends a sentence that begins with "the name".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Too much in it.
    #[error("is longer than {MAX_NAME_CHARS} characters")]
    TooLong,
    /// Something in it that cannot be seen.
    #[error("has characters that cannot be seen, or begins or ends with a space")]
    Unprintable,
    /// It means something else.
    #[error("is `anonymous`, which stands for callers without identity")]
    Reserved,
    /// It has the scheme of a SPIFFE id and no more.
    #[error("is no valid SPIFFE id")]
    SpiffeInvalid,
}

/// The caller of a name that stands beside a token or in a JWT.
pub(super) fn caller(name: &str) -> Result<Caller, NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.chars().take(MAX_NAME_CHARS + 1).count() > MAX_NAME_CHARS {
        return Err(NameFault::TooLong);
    }
    if name.trim() != name || name.chars().any(is_unseen) {
        return Err(NameFault::Unprintable);
    }
    if name.eq_ignore_ascii_case(Caller::ANONYMOUS) {
        return Err(NameFault::Reserved);
    }
    Ok(Caller::named(name))
}

/// Control characters, separators of lines, and what changes the direction of text or has no width.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{fffd}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// Whether it means to be a SPIFFE id.
pub(super) fn is_spiffe(uri: &str) -> bool {
    uri.get(..9).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe://"))
}

/// The caller of a SPIFFE id: `spiffe://`, a trust domain, and a path without empty or relative segments.
pub(super) fn spiffe_caller(uri: &str) -> Result<Caller, NameFault> {
    let invalid = NameFault::SpiffeInvalid;
    if uri.len() > MAX_SPIFFE_BYTES {
        return Err(invalid);
    }
    let mut parts = uri.strip_prefix("spiffe://").ok_or(invalid)?.split('/');
    let domain = parts.next().unwrap_or_default();
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let in_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let good_segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(in_path);
    if domain.is_empty() || !domain.bytes().all(in_domain) || !parts.all(good_segment) {
        return Err(invalid);
    }
    Ok(Caller::named(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mislead_are_refused() {
        for (name, fault) in [
            ("", NameFault::Empty),
            ("anonymous", NameFault::Reserved),
            ("Anonymous", NameFault::Reserved),
            (" team", NameFault::Unprintable),
            ("team\n", NameFault::Unprintable),
            ("te\u{7}am", NameFault::Unprintable),
            ("te\u{202e}am", NameFault::Unprintable),
            ("te\u{200b}am", NameFault::Unprintable),
            (&"x".repeat(257), NameFault::TooLong),
        ] {
            assert_eq!(caller(name), Err(fault), "{name:?}");
        }
        for name in ["team-a", "system:serviceaccount:shop:web", "auth0|5f7c", "Ärzte 7", &"ü".repeat(256)] {
            assert_eq!(caller(name).unwrap().name(), name);
        }
    }

    #[test]
    fn spiffe_ids_are_as_their_specification_says() {
        for id in ["spiffe://example.org", "spiffe://example.org/ns/shop/sa/web", "spiffe://a_b-c.d/X.y/_"] {
            assert_eq!(spiffe_caller(id).unwrap().name(), id);
        }
        let long = format!("spiffe://example.org/{}", "x".repeat(2048));
        for id in [
            "spiffe://",
            "spiffe:///ns/shop",
            "SPIFFE://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org/",
            "spiffe://example.org//a",
            "spiffe://example.org/../a",
            "spiffe://example.org/a?b",
            "spiffe://user@example.org/a",
            "spiffe://example.org:1/a",
            "spiffe://example.org/a%2fb",
            "https://example.org/a",
            &long,
        ] {
            assert_eq!(spiffe_caller(id), Err(NameFault::SpiffeInvalid), "{id}");
        }
    }
}
