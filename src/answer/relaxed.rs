//! JSON as models write it: JavaScript's quotes and bare keys, trailing commas, comments, and lists cut off in the middle.
//!
//! Strict JSON inside it reads exactly as `serde_json` reads it. On a value that ends too early the complete entries are
//! kept and an incomplete last entry is left out.

use serde_json::{Map, Number, Value};

/// Nesting beyond this is no answer to anything that was asked.
const MOST_DEPTH: usize = 64;

/// A value at the start of a text.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) value: Value,
    /// Bytes of the text that the value takes.
    pub(super) length: usize,
    /// It was no valid JSON.
    pub(super) repaired: bool,
    /// The text ended before the value did.
    pub(super) cut: bool,
}

/// Reads the object or list at the start of `text`; `None` when it is none. Beside it, how many bytes were looked at.
pub(super) fn parse(text: &str) -> (Option<Parsed>, usize) {
    let mut parser = Parser { text, at: 0, repaired: false, in_list: false };
    let read = parser.value(0);
    let length = parser.at;
    let parsed = match read {
        Read::Done(value) => Some(Parsed { value, length, repaired: parser.repaired, cut: false }),
        Read::Cut(Some(value)) => Some(Parsed { value, length, repaired: true, cut: true }),
        Read::Cut(None) | Read::Bad => None,
    };
    (parsed, length)
}

enum Read<T> {
    Done(T),
    /// The text ended; what was complete before it did.
    Cut(Option<T>),
    Bad,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    repaired: bool,
    /// The value that is read stands in a list, not behind a key.
    in_list: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            let end = if trimmed.starts_with("//") {
                trimmed.find('\n')
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map(|end| end + 2)
            } else {
                return;
            };
            self.repaired = true;
            self.at += end.unwrap_or(trimmed.len());
        }
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        if depth > MOST_DEPTH {
            return Read::Bad;
        }
        self.skip_blanks();
        match self.peek() {
            None => Read::Cut(None),
            Some('{') => self.object(depth),
            Some('[') => self.list(depth),
            Some(quote @ ('"' | '\'')) => match self.string(quote) {
                Read::Done(text) => Read::Done(Value::String(text)),
                Read::Cut(_) => Read::Cut(None),
                Read::Bad => Read::Bad,
            },
            Some(_) => self.word(depth),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        self.take();
        let mut map = Map::new();
        let mut separated = true;
        let done = |map| Read::Done(Value::Object(map));
        let cut = |map| Read::Cut(Some(Value::Object(map)));
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return cut(map),
                Some('}') => {
                    self.take();
                    return done(map);
                }
                Some(',') => {
                    self.repaired |= map.is_empty();
                    self.take();
                    separated = true;
                    self.trailing_comma('}');
                    continue;
                }
                Some(_) => {}
            }
            self.repaired |= !separated;
            separated = false;
            let key = match self.key() {
                Read::Done(key) => key,
                Read::Cut(_) => return cut(map),
                Read::Bad => return Read::Bad,
            };
            self.in_list = false;
            match self.value(depth + 1) {
                Read::Done(value) => drop(map.insert(key, value)),
                Read::Cut(value) => {
                    if let Some(value) = value {
                        map.insert(key, value);
                    }
                    return cut(map);
                }
                Read::Bad => return Read::Bad,
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Read<String> {
        let key = match self.peek() {
            Some(quote @ ('"' | '\'')) => match self.string(quote) {
                Read::Done(key) => key,
                other => return other,
            },
            _ => {
                let word = self.bare_word();
                if word.is_empty() {
                    return Read::Bad;
                }
                self.repaired = true;
                word.to_owned()
            }
        };
        self.skip_blanks();
        match self.take() {
            Some(':') => Read::Done(key),
            None => Read::Cut(None),
            Some(_) => Read::Bad,
        }
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        self.take();
        let mut items = Vec::new();
        let mut separated = true;
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Read::Cut(Some(Value::Array(items))),
                Some(']') => {
                    self.take();
                    return Read::Done(Value::Array(items));
                }
                Some(',') => {
                    self.repaired |= items.is_empty();
                    self.take();
                    separated = true;
                    self.trailing_comma(']');
                    continue;
                }
                Some(_) => {}
            }
            // Prose in brackets is no list without its commas.
            if !separated && depth == 0 && !matches!(self.peek(), Some('{' | '[')) {
                return Read::Bad;
            }
            self.repaired |= !separated;
            separated = false;
            self.in_list = true;
            match self.value(depth + 1) {
                Read::Done(value) => items.push(value),
                Read::Cut(value) => {
                    // An entry of a list that is itself cut is incomplete, but a list in a list is kept as far as it goes.
                    items.extend(value.filter(Value::is_array));
                    return Read::Cut(Some(Value::Array(items)));
                }
                Read::Bad => return Read::Bad,
            }
        }
    }

    fn trailing_comma(&mut self, close: char) {
        self.skip_blanks();
        self.repaired |= self.peek().is_some_and(|next| next == close || next == ',');
    }

    fn string(&mut self, quote: char) -> Read<String> {
        self.take();
        self.repaired |= quote == '\'';
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Read::Cut(None),
                Some(end) if end == quote => return Read::Done(text),
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

    fn bare_word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"' | '\'');
        let word = rest.find(is_end).map_or(rest, |end| rest.get(..end).unwrap_or_default());
        self.at += word.len();
        word
    }

    /// A number or a literal; anywhere but in the outermost list also text without quotes, as in `label: stage` and in a
    /// box of `.5` and `10px`.
    fn word(&mut self, depth: usize) -> Read<Value> {
        let word = self.bare_word();
        if word.is_empty() {
            return Read::Bad;
        }
        // A word that ends with the text may have lost its end.
        if self.peek().is_none() {
            return Read::Cut(None);
        }
        if let Ok(number) = serde_json::from_str::<Number>(word) {
            return Read::Done(Value::Number(number));
        }
        let (value, is_json) = match word {
            "true" => (Value::Bool(true), true),
            "false" => (Value::Bool(false), true),
            "null" => (Value::Null, true),
            "True" => (Value::Bool(true), false),
            "False" => (Value::Bool(false), false),
            "None" | "undefined" | "NaN" => (Value::Null, false),
            // In the outermost list this would make entries of prose in brackets.
            _ if self.in_list && depth <= 1 => return Read::Bad,
            other => (Value::String(other.to_owned()), false),
        };
        self.repaired |= !is_json;
        Read::Done(value)
    }
}

/// The character of a code point; U+FFFD for none.
fn scalar(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests;
