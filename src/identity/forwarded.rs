//! Envoy's `x-forwarded-client-cert`: what a proxy says of the certificate that its own client showed.
//!
//! Elements stand between commas, one for each hop, and each is `Key=value` pairs between semicolons; a value with one of
//! these characters in it is quoted. A proxy appends its element at the end, so that the last one is of the trusted peer's
//! own making: it alone counts. Those before it are what the proxy's client sent, which may be anything. For the same reason
//! the header is read strictly: an element before the last must not be able to swallow a part of it.

use std::borrow::Cow;

use http::HeaderMap;

use super::certificate::{NamesFault, choose};
use crate::domain::Caller;

/// The header's name.
pub(super) const HEADER: &str = "x-forwarded-client-cert";
/// Most bytes of it. Certificates may stand in it, percent-encoded.
const MAX_BYTES: usize = 64 * 1024;
/// Most elements.
const MAX_ELEMENTS: usize = 64;
/// Most pairs of one element.
const MAX_PAIRS: usize = 256;

/// Why the header names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedFault {
    /// Not as Envoy writes it.
    #[error("is malformed")]
    Malformed,
    /// More of it than any proxy writes.
    #[error("is too long")]
    TooLong,
    /// The certificate it tells of.
    #[error("tells of a certificate that {0}")]
    Names(NamesFault),
}

/// The caller that the last element names.
pub(super) fn caller_of(headers: &HeaderMap) -> Result<Caller, ForwardedFault> {
    // Several lines mean the same as one with commas between.
    let mut text = String::new();
    for value in headers.get_all(HEADER) {
        let value = value.to_str().map_err(|_| ForwardedFault::Malformed)?;
        if text.len() + value.len() >= MAX_BYTES {
            return Err(ForwardedFault::TooLong);
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(value);
    }
    let pairs = last_element(&text)?;
    let of = |key: &'static str| {
        pairs.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_ref())
    };
    choose(of("URI"), of("DNS")).map_err(ForwardedFault::Names)
}

type Pair<'a> = (&'a str, Cow<'a, str>);

/// The pairs of the last element.
fn last_element(text: &str) -> Result<Vec<Pair<'_>>, ForwardedFault> {
    let mut rest = text;
    let mut pairs = Vec::new();
    let mut elements = 1;
    loop {
        let (key, after) = key(rest)?;
        let (value, after) = value(after)?;
        pairs.push((key, value));
        let mut characters = after.chars();
        match characters.next() {
            None => return Ok(pairs),
            Some(';') if pairs.len() < MAX_PAIRS => {}
            Some(',') if elements < MAX_ELEMENTS => {
                elements += 1;
                pairs.clear();
            }
            Some(';' | ',') => return Err(ForwardedFault::TooLong),
            Some(_) => return Err(ForwardedFault::Malformed),
        }
        rest = characters.as_str();
    }
}

/// A key, and what follows its `=`.
fn key(text: &str) -> Result<(&str, &str), ForwardedFault> {
    let (key, rest) = text.split_once('=').ok_or(ForwardedFault::Malformed)?;
    let key = key.trim_start_matches(' ');
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(ForwardedFault::Malformed);
    }
    Ok((key, rest))
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), ForwardedFault> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_value(quoted);
    }
    let (value, rest) = text.split_at(text.find([',', ';']).unwrap_or(text.len()));
    // A quote inside would have to open or close a value that someone else began.
    if value.contains('"') { Err(ForwardedFault::Malformed) } else { Ok((Cow::Borrowed(value), rest)) }
}

/// What stands before the closing quote, `\"` and `\\` taken for what they mean, and what follows it.
fn quoted_value(text: &str) -> Result<(Cow<'_, str>, &str), ForwardedFault> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next() {
            None => return Err(ForwardedFault::Malformed),
            Some('"') => return Ok((Cow::Owned(value), characters.as_str())),
            Some('\\') => value.push(characters.next().ok_or(ForwardedFault::Malformed)?),
            Some(character) => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::identity::name::NameFault;

    fn read(lines: &[&str]) -> Result<String, ForwardedFault> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_str(line).unwrap());
        }
        caller_of(&headers).map(|caller| caller.name().to_owned())
    }

    #[test]
    fn the_last_element_names_the_caller() {
        let first = r#"By=spiffe://a/gateway;Hash=aa;Subject="CN=x, O=\"y\"";URI=spiffe://a/admin"#;
        let last = "By=spiffe://a/server;Hash=bb;Subject=\"\";URI=spiffe://a/web;DNS=web.a";
        assert_eq!(read(&[last]).as_deref(), Ok("spiffe://a/web"));
        assert_eq!(read(&[&format!("{first},{last}")]).as_deref(), Ok("spiffe://a/web"));
        assert_eq!(read(&[first, last]).as_deref(), Ok("spiffe://a/web"));
        assert_eq!(read(&[last, first]).as_deref(), Ok("spiffe://a/admin"));
        assert_eq!(read(&["Hash=cc;DNS=web.example.org;DNS=b.org"]).as_deref(), Ok("web.example.org"));
        assert_eq!(read(&["By=spiffe://a/server;Hash=cc;uri=\"spiffe://a/web\""]).as_deref(), Ok("spiffe://a/web"));
    }

    #[test]
    fn what_names_nobody_or_several_is_refused() {
        let names = |fault| Err(ForwardedFault::Names(fault));
        assert_eq!(read(&["By=spiffe://a/server;Hash=cc"]), names(NamesFault::Unnamed));
        assert_eq!(read(&["URI=spiffe://a/b;URI=spiffe://a/c"]), names(NamesFault::Ambiguous));
        assert_eq!(read(&["URI=spiffe://a/.."]), names(NamesFault::Unfit(NameFault::SpiffeInvalid)));
        assert_eq!(read(&["URI=spiffe://a/b,Hash=cc"]), names(NamesFault::Unnamed), "only the last element counts");
    }

    #[test]
    fn what_envoy_does_not_write_is_malformed() {
        for text in [
            "",
            " ",
            ",",
            ";",
            "URI",
            "=spiffe://a/b",
            "URI=spiffe://a/b,",
            "URI=spiffe://a/b;",
            "URI=\"spiffe://a/b",
            "URI=\"spiffe://a/b\\",
            "URI=\"spiffe://a/b\"x",
            "URI=spiffe://a/\"b\"",
            "U RI=spiffe://a/b",
        ] {
            assert_eq!(read(&[text]), Err(ForwardedFault::Malformed), "{text:?}");
        }
    }

    #[test]
    fn very_much_of_it_is_refused() {
        let pair = "URI=spiffe://a/b";
        for (separator, most) in [(",", MAX_ELEMENTS), (";", MAX_PAIRS)] {
            assert!(read(&[&vec![pair; most].join(separator)]).is_ok());
            assert_eq!(read(&[&vec![pair; most + 1].join(separator)]), Err(ForwardedFault::TooLong));
        }
        assert_eq!(read(&[&format!("Cert=\"{}\"", "x".repeat(MAX_BYTES))]), Err(ForwardedFault::TooLong));
    }

    /// A value as Envoy writes it.
    fn written(value: &str) -> String {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_changes_what_the_proxy_appends(
            sent in prop_oneof!["[ -~]{0,40}", r#"((By|URI|DNS|x)=("|)[a-z:/,;\\"]{0,9}("|)[,;]?){0,4}"#],
            subject in "[ -~]{0,12}",
            quotes_all in any::<bool>(),
        ) {
            let uri = "spiffe://a/real";
            let uri_value = if quotes_all { written(uri) } else { uri.to_owned() };
            let own = format!("By=spiffe://a/s;Hash=ab;Subject={};URI={uri_value}", written(&subject));
            let read = read(&[&format!("{sent},{own}")]);
            prop_assert!(read.is_err() || read.as_deref() == Ok(uri), "{sent:?} {subject:?}: {read:?}");
        }

        #[test]
        fn what_envoy_writes_is_read(subjects in proptest::collection::vec("[ -~]{0,12}", 1..5)) {
            let elements: Vec<String> = subjects.iter().enumerate()
                .map(|(n, subject)| format!("Hash=ab;Subject={};URI=spiffe://a/{n}", written(subject))).collect();
            let last = format!("spiffe://a/{}", subjects.len() - 1);
            prop_assert_eq!(read(&[&elements.join(",")]), Ok(last));
        }
    }
}
