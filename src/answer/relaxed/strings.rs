//! Strings as models write them: in any quotes, with any escapes.

use super::{Parser, Read, is_blank};

/// Whether a string begins with this: JSON's quote, JavaScript's, or one that a word processor makes.
pub(in crate::answer) fn opens_string(quote: char) -> bool {
    matches!(quote, '"' | '\'' | '`' | '“' | '”' | '„' | '‘' | '’' | '«')
}

fn closes_string(open: char, quote: char) -> bool {
    match open {
        '“' | '”' | '„' => matches!(quote, '“' | '”'),
        '‘' | '’' => quote == '’',
        '«' => quote == '»',
        same => quote == same,
    }
}

impl Parser<'_> {
    /// A string that ends at its first quote: a key has none inside it.
    pub(super) fn plain_string(&mut self, quote: char) -> Read<String> {
        let inner_quotes = std::mem::replace(&mut self.inner_quotes, false);
        let read = self.string(quote);
        self.inner_quotes = inner_quotes;
        read
    }

    /// A string that begins with `quote`.
    pub(super) fn string(&mut self, quote: char) -> Read<String> {
        self.take();
        self.repaired |= quote != '"';
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Read::Cut(None),
                Some(end) if closes_string(quote, end) && self.may_end() => return Read::Done(text),
                Some('\\') => match self.escape() {
                    Read::Done(escaped) => text.push(escaped),
                    Read::Cut(_) => return Read::Cut(None),
                    Read::Bad => return Read::Bad,
                },
                Some(other) => {
                    self.repaired |= other.is_control();
                    text.push(other);
                }
            }
        }
    }

    /// Whether a string may end here, behind a quote.
    fn may_end(&self) -> bool {
        let rest = self.rest();
        let next = rest.trim_start_matches(is_blank);
        let is_separated = next.len() < rest.len();
        match next.chars().next() {
            _ if !self.inner_quotes => true,
            None | Some(',' | '}' | ']' | ')' | ':') => true,
            // A forgotten comma.
            Some(quote) => is_separated && opens_string(quote),
        }
    }

    fn escape(&mut self) -> Read<char> {
        Read::Done(match self.take() {
            None => return Read::Cut(None),
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => return self.unicode_escape(),
            Some(same @ ('"' | '\\' | '/')) => same,
            Some(other) => {
                self.repaired = true;
                other
            }
        })
    }

    /// `XXXX` after `\u`, with the second half of a surrogate pair. Half a pair becomes U+FFFD.
    fn unicode_escape(&mut self) -> Read<char> {
        let high = match self.four_hex_digits() {
            Read::Done(high) => high,
            Read::Cut(_) => return Read::Cut(None),
            Read::Bad => return Read::Bad,
        };
        let rest = self.rest();
        if !(0xD800..0xDC00).contains(&high) || !rest.starts_with("\\u") {
            let lost_pair = (0xD800..0xDC00).contains(&high) && "\\u".starts_with(rest);
            self.repaired |= (0xD800..0xE000).contains(&high);
            return if lost_pair { Read::Cut(None) } else { Read::Done(scalar(high)) };
        }
        let before = self.at;
        self.at += 2;
        match self.four_hex_digits() {
            Read::Done(low) if (0xDC00..0xE000).contains(&low) => {
                Read::Done(scalar(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
            }
            Read::Done(_) => {
                // Not its other half: it is read again as a character of its own.
                self.at = before;
                self.repaired = true;
                Read::Done(char::REPLACEMENT_CHARACTER)
            }
            Read::Cut(_) => Read::Cut(None),
            Read::Bad => Read::Bad,
        }
    }

    fn four_hex_digits(&mut self) -> Read<u32> {
        let rest = self.rest();
        let digits = rest.get(..4).unwrap_or(rest);
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Read::Bad;
        }
        if digits.len() < 4 {
            return Read::Cut(None);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_or(Read::Bad, Read::Done)
    }
}

/// The character of a code point; U+FFFD for none.
fn scalar(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}
