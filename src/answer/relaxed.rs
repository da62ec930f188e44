//! JSON as models write it: JavaScript's and Python's quotes, bare keys and literals, trailing commas, comments, quotes
//! inside strings, and lists that were cut off in the middle or end in an ellipsis.
//!
//! Strict JSON inside it reads exactly as `serde_json` reads it. On a value that ends too early the complete entries are
//! kept and an incomplete last entry is left out.

mod strings;

use serde_json::{Map, Number, Value};

use strings::opens_string;

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
    /// The text ended before the value did, or the value was abbreviated.
    pub(super) cut: bool,
}

/// Reads the object or list at the start of `text`; `None` when it is none. Beside it, how many bytes were looked at.
pub(super) fn parse(text: &str) -> (Option<Parsed>, usize) {
    let (parsed, reached) = parse_with(text, false);
    if parsed.is_some() {
        return (parsed, reached);
    }
    // Quotes that were not escaped make any text unreadable that is not read with them in mind.
    let (parsed, again) = parse_with(text, true);
    (parsed, reached + again)
}

fn parse_with(text: &str, inner_quotes: bool) -> (Option<Parsed>, usize) {
    let mut parser = Parser { text, at: 0, repaired: inner_quotes, abbreviated: false, in_list: false, inner_quotes };
    let read = parser.value(0);
    let (length, repaired, abbreviated) = (parser.at, parser.repaired, parser.abbreviated);
    let parsed = match read {
        Read::Done(value) => Some(Parsed { value, length, repaired, cut: abbreviated }),
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
    /// An ellipsis stood for entries.
    abbreviated: bool,
    /// The value that is read stands in a list, not behind a key.
    in_list: bool,
    /// A quote ends a string only where something follows that may follow a string.
    inner_quotes: bool,
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
            let trimmed = self.rest().trim_start_matches(is_blank);
            self.at = self.text.len() - trimmed.len();
            let end = if trimmed.starts_with("//") || trimmed.starts_with("# ") {
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

    /// Skips an ellipsis, which stands for entries that the model did not write.
    fn skip_ellipsis(&mut self) -> bool {
        let after = self.rest().trim_start_matches("...").trim_start_matches('…');
        let skipped = after.len() < self.rest().len();
        self.at = self.text.len() - after.len();
        self.abbreviated |= skipped;
        self.repaired |= skipped;
        skipped
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        if depth > MOST_DEPTH {
            return Read::Bad;
        }
        self.skip_blanks();
        match self.peek() {
            None => Read::Cut(None),
            Some('{') => self.object(depth),
            Some('[') => self.list(depth, ']'),
            // A tuple of Python's.
            Some('(') if depth > 0 => {
                self.repaired = true;
                self.list(depth, ')')
            }
            Some(quote) if opens_string(quote) => match self.string(quote) {
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
            if self.skip_ellipsis() {
                continue;
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
            Some(quote) if opens_string(quote) => match self.string(quote) {
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

    fn list(&mut self, depth: usize, close: char) -> Read<Value> {
        self.take();
        let mut items = Vec::new();
        let mut separated = true;
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Read::Cut(Some(Value::Array(items))),
                Some(end) if end == close => {
                    self.take();
                    return Read::Done(Value::Array(items));
                }
                Some(',') => {
                    self.repaired |= items.is_empty();
                    self.take();
                    separated = true;
                    self.trailing_comma(close);
                    continue;
                }
                Some(_) => {}
            }
            if self.skip_ellipsis() {
                continue;
            }
            if !separated && self.is_prose(depth, &items) {
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

    /// Whether what comes next, without a comma before it, cannot be an entry: prose in brackets is no list, and a word
    /// behind a string is the rest of a string with a quote in it.
    fn is_prose(&self, depth: usize, items: &[Value]) -> bool {
        let next = self.peek();
        let after_string = !self.inner_quotes && items.last().is_some_and(Value::is_string);
        let opens = matches!(next, Some('{' | '['));
        depth == 0 && !opens || after_string && !opens && !next.is_some_and(opens_string)
    }

    fn trailing_comma(&mut self, close: char) {
        self.skip_blanks();
        self.repaired |= self.peek().is_some_and(|next| next == close || next == ',');
    }

    fn bare_word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '(' | ')' | '"' | '\'');
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
            "True" | "TRUE" => (Value::Bool(true), false),
            "False" | "FALSE" => (Value::Bool(false), false),
            "None" | "Null" | "NULL" | "nil" | "undefined" | "NaN" | "Infinity" | "-Infinity" => (Value::Null, false),
            // In the outermost list this would make entries of prose in brackets.
            _ if self.in_list && depth <= 1 => return Read::Bad,
            other => match self.phrase(other) {
                Some(phrase) => (Value::String(phrase), false),
                None => return Read::Cut(None),
            },
        };
        self.repaired |= !is_json;
        Read::Done(value)
    }

    /// The text without quotes that begins with `word`: behind a key, all words up to a comma or a bracket. `None` when the
    /// text ends before it does.
    fn phrase(&mut self, word: &str) -> Option<String> {
        let rest = self.rest();
        let is_end = |c: char| matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"' | '\'' | '\n');
        if self.in_list {
            return Some(word.to_owned());
        }
        let (more, after) = rest.split_at_checked(rest.find(is_end)?)?;
        if !after.starts_with([',', '}', ']', '\n']) {
            return Some(word.to_owned());
        }
        self.at += more.len();
        Some(format!("{word}{}", more.trim_end()))
    }
}

/// What may stand between values: blanks, and marks that show nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

#[cfg(test)]
mod tests;
