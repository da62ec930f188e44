//! Bearer tokens of a file, which knows them only by their SHA-256.

use std::{collections::HashMap, fmt};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use toml::Spanned;

use super::name;
use crate::{domain::Caller, toml_text};

/// Most tokens of a file.
const MAX_TOKENS: usize = 10_000;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    token: Vec<WrittenToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    caller: Spanned<String>,
    sha256: Spanned<String>,
}

/// Who may call with which token.
pub(super) struct Tokens(Vec<(Sha256Bytes, Caller)>);

type Sha256Bytes = [u8; 32];

impl Tokens {
    /// Reads a file of `[[token]]` tables with `caller` and `sha256`. A caller may have several tokens, so that a new one can
    /// be given out before the old one is taken back. The error says line and fault, never what stands there: it may be a
    /// token by mistake.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
        let line = |at: usize| toml_text::line(text, at);
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = line(error.span().unwrap_or_default().start);
            format!("line {line}: it is no TOML of [[token]] tables, each with `caller` and `sha256`")
        })?;
        if written.token.len() > MAX_TOKENS {
            return Err(format!("it has more than {MAX_TOKENS} tokens"));
        }
        let mut lines = HashMap::new();
        let mut tokens = Vec::new();
        for token in written.token {
            let (caller_line, line) = (line(token.caller.span().start), line(token.sha256.span().start));
            let caller = name::caller(token.caller.get_ref());
            let caller = caller.map_err(|fault| format!("line {caller_line}: the name of the caller {fault}"))?;
            let digest = digest(token.sha256.get_ref()).ok_or_else(|| {
                format!("line {line}: `sha256` must be the 64 hexadecimal digits of a token's SHA-256, as of `printf %s \"$TOKEN\" | sha256sum`")
            })?;
            if let Some(earlier) = lines.insert(digest, line) {
                return Err(format!("line {line}: the token of line {earlier} again: each names one caller, once"));
            }
            tokens.push((digest, caller));
        }
        Ok(Self(tokens))
    }

    /// The caller who has this token. Every entry is compared, each in constant time: how long it takes tells nothing of the
    /// tokens there are.
    pub(super) fn find(&self, token: &str) -> Option<Caller> {
        let presented: Sha256Bytes = Sha256::digest(token).into();
        let mut found = u64::MAX;
        for (index, (digest, _)) in (0u64..).zip(&self.0) {
            found.conditional_assign(&index, digest.ct_eq(&presented));
        }
        let index = usize::try_from(found).ok()?;
        self.0.get(index).map(|(_, caller)| caller.clone())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} tokens", self.0.len())
    }
}

fn digest(hex: &str) -> Option<Sha256Bytes> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(token: &str) -> String {
        Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn file(tokens: &[(&str, &str)]) -> String {
        let tables = tokens
            .iter()
            .map(|(caller, token)| format!("[[token]]\ncaller = \"{caller}\"\nsha256 = \"{}\"\n", hex(token)));
        tables.collect()
    }

    fn fault(text: &str) -> String {
        Tokens::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn each_token_names_its_caller_and_no_other_does() {
        let text = file(&[("team-a", "first"), ("team-b", "second"), ("team-a", "third")]);
        let tokens = Tokens::parse(
            text.to_uppercase()
                .replace("TOKEN", "token")
                .replace("CALLER", "caller")
                .replace("SHA256", "sha256")
                .replace("TEAM", "team")
                .as_bytes(),
        )
        .unwrap();
        let name = |token: &str| tokens.find(token).map(|caller| caller.name().to_lowercase());
        assert_eq!(name("first").as_deref(), Some("team-a"));
        assert_eq!(name("second").as_deref(), Some("team-b"));
        assert_eq!(name("third").as_deref(), Some("team-a"));
        for token in ["", "First", "first ", "fourth", &hex("first")] {
            assert_eq!(name(token), None, "{token:?}");
        }
        assert_eq!(Tokens::parse(b"").unwrap().find("first"), None, "a file without tokens takes all of them back");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_its_text() {
        let digest = hex("x");
        for (text, line, word) in [
            (file(&[("a", "x"), ("b", "x")]), "line 6", "line 3 again"),
            (file(&[("a", "x"), ("anonymous", "y")]), "line 5", "anonymous"),
            (file(&[("a\\u0007", "x")]), "line 2", "cannot be seen"),
            ("[[token]]\ncaller = \"a\"\nsha256 = \"hunter2\"".to_owned(), "line 3", "sha256sum"),
            (format!("[[token]]\ncaller = \"a\"\nsha256 = \"{digest}00\""), "line 3", "sha256sum"),
            (
                format!("[[token]]\ncaller = \"a\"\nsha256 = \"{}\"", digest.replace(char::is_numeric, "g")),
                "line 3",
                "sha",
            ),
            ("\n[[token]]\ncaller = \"a\"\nhunter2 = 1".to_owned(), "line 4", "TOML"),
            ("\n\nhunter2".to_owned(), "line 3", "TOML"),
            ("[[token]]\ncaller = \"a\"".to_owned(), "line 1", "TOML"),
        ] {
            let fault = fault(&text);
            assert!(fault.starts_with(line) && fault.contains(word) && !fault.contains("hunter2"), "{text}: {fault}");
        }
        assert!(Tokens::parse(b"\xff").unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn only_what_was_hashed_is_found(known in "[!-~]{1,20}", other in "[!-~]{0,20}") {
            let tokens = Tokens::parse(file(&[("x", "decoy"), ("team", &known)]).as_bytes()).unwrap();
            prop_assert_eq!(tokens.find(&known).map(|caller| caller.name().to_owned()), Some("team".to_owned()));
            prop_assert_eq!(tokens.find(&other).is_some(), other == known || other == "decoy");
        }
    }
}
