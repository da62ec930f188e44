//! JSON as models write it: JavaScript's and Python's quotes, bare keys and literals, trailing commas, comments, quotes
//! inside strings, forgotten and stray brackets, and lists that were cut off in the middle or end in an ellipsis.
//!
//! Strict JSON inside it reads exactly as `serde_json` reads it. On a value that ends too early the complete entries are
//! kept and an incomplete last entry is left out.

mod brackets;
pub(super) mod strings;
mod words;

use serde_json::{Map, Value};

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
    /// The text ended before the value did, or the value was abbreviated or broken.
    pub(super) cut: bool,
    /// Brackets were forgotten or too many: the value may have ended elsewhere than the model meant.
    pub(super) brackets_mended: bool,
}

/// Reads the object or list at the start of `text`; `None` when it is none. Beside it, how many bytes were looked at.
pub(super) fn parse(text: &str) -> (Option<Parsed>, usize) {
    let (parsed, reached) = Parser::new(text, false, false).run();
    if parsed.is_some() {
        return (parsed, reached);
    }
    // Quotes that were not escaped make any text unreadable that is not read with them in mind.
    let (parsed, again) = Parser::new(text, true, false).run();
    (parsed, reached + again)
}

/// Reads what is complete before the place where a value breaks that [`parse`] cannot read. What stands directly before
/// that place is left out too, for it may have lost its end.
pub(super) fn salvage(text: &str) -> (Option<Parsed>, usize) {
    Parser::new(text, true, true).run()
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
    /// And it stands behind an object there.
    after_object: bool,
    /// A quote ends a string only where something follows that may follow a string.
    inner_quotes: bool,
    /// Its first quote is JSON's.
    is_strict: bool,
    /// What cannot be read ends the value like the end of the text.
    salvage: bool,
    /// The closing brackets of the values that are being read, the outermost first.
    open: Vec<char>,
    brackets_mended: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, inner_quotes: bool, salvage: bool) -> Self {
        Self {
            text,
            at: 0,
            repaired: inner_quotes,
            abbreviated: false,
            in_list: false,
            after_object: false,
            inner_quotes,
            is_strict: text.chars().take(100).find(|c| opens_string(*c)) == Some('"'),
            salvage,
            open: Vec::new(),
            brackets_mended: false,
        }
    }

    fn run(mut self) -> (Option<Parsed>, usize) {
        let (value, cut) = match self.value(0) {
            Read::Done(value) => (value, self.abbreviated),
            Read::Cut(Some(value)) => (value, true),
            Read::Cut(None) | Read::Bad => return (None, self.at),
        };
        let repaired = self.repaired || cut;
        let brackets_mended = self.brackets_mended;
        (Some(Parsed { value, length: self.at, repaired, cut, brackets_mended }), self.at)
    }

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
            Some('{') => self.within('}', |parser| parser.object(depth)),
            Some('[') => self.within(']', |parser| parser.list(depth, ']')),
            // A tuple of Python's.
            Some('(') if depth > 0 => {
                self.repaired = true;
                self.within(')', |parser| parser.list(depth, ')'))
            }
            Some(quote) if opens_string(quote) => match self.string(quote) {
                // An apostrophe of a text that lost its own quote.
                Read::Done(text) if self.is_strict && quote == '\'' && text.contains('"') => Read::Bad,
                Read::Cut(_) if self.is_strict && quote == '\'' => Read::Bad,
                Read::Done(text) => Read::Done(Value::String(text)),
                Read::Cut(_) => Read::Cut(None),
                Read::Bad => Read::Bad,
            },
            Some(_) => self.word(depth),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        let mut fields = Fields::default();
        let mut separated = true;
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return fields.cut(),
                Some('}') => {
                    self.take();
                    return fields.done();
                }
                Some(',') => {
                    self.repaired |= fields.map.is_empty();
                    self.take();
                    separated = true;
                    self.trailing_comma('}');
                    continue;
                }
                Some(next) if self.ends_without_bracket(next, &fields.map, separated) => return fields.done(),
                Some(']' | ')') => {
                    self.skip_stray();
                    continue;
                }
                Some(_) => {}
            }
            if self.skip_ellipsis() {
                continue;
            }
            self.repaired |= !separated;
            let key = match self.key(separated, fields.last.is_some()) {
                Read::Done(key) => key,
                Read::Cut(_) if separated => return fields.cut(),
                // What stands without a comma behind a value may be its rest.
                Read::Cut(_) => return fields.without_last().cut(),
                Read::Bad if self.salvage => return fields.without_last().cut(),
                Read::Bad => return Read::Bad,
            };
            separated = false;
            (self.in_list, self.after_object) = (false, false);
            match self.value(depth + 1) {
                Read::Done(value) => fields.insert(key, value),
                Read::Cut(value) => {
                    value.into_iter().for_each(|value| fields.insert(key.clone(), value));
                    return fields.cut();
                }
                Read::Bad if self.salvage => return fields.cut(),
                Read::Bad => return Read::Bad,
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self, separated: bool, has_others: bool) -> Read<String> {
        let first = self.peek();
        let is_quoted = first.is_some_and(opens_string);
        // Behind a string that ended too early its own words look like keys.
        if self.is_strict && (first == Some('\'') || self.salvage && has_others && !is_quoted) {
            return Read::Bad;
        }
        let key = match self.peek() {
            Some(quote) if is_quoted => match self.plain_string(quote) {
                Read::Done(key) => key,
                other => return other,
            },
            _ => {
                let word = self.bare_word();
                if word.is_empty() {
                    return Read::Bad;
                }
                self.repaired = true;
                // Its first quote was forgotten.
                if separated && self.rest().strip_prefix('"').is_some_and(|rest| rest.trim_start().starts_with(':')) {
                    self.take();
                }
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
                Some(other @ ('}' | ']' | ')')) => {
                    if self.closes_outer(other) {
                        return Read::Done(Value::Array(items));
                    }
                    self.skip_stray();
                    continue;
                }
                Some(_) => {}
            }
            if self.skip_ellipsis() {
                continue;
            }
            if !separated && self.is_prose(depth, &items) {
                return self.broken_list(items);
            }
            self.repaired |= !separated;
            let had_comma = std::mem::replace(&mut separated, false);
            (self.in_list, self.after_object) = (true, items.last().is_some_and(Value::is_object));
            let start = self.at;
            match self.value(depth + 1) {
                Read::Done(item) if item.is_string() && self.was_key() => {
                    self.at = start;
                    return Read::Done(Value::Array(items));
                }
                Read::Done(item) => items.push(item),
                // Nothing of it could be read: it may be the rest of the entry before it.
                Read::Cut(value) if !had_comma || self.salvage && value.as_ref().is_some_and(is_empty) => {
                    items.pop();
                    return Read::Cut(Some(Value::Array(items)));
                }
                Read::Cut(value) => {
                    // An entry of a list that is itself cut is incomplete, but a list in a list is kept as far as it goes.
                    items.extend(value.filter(Value::is_array));
                    return Read::Cut(Some(Value::Array(items)));
                }
                Read::Bad => return self.broken_list(items),
            }
        }
    }

    /// A list behind whose last entry stands what cannot follow it.
    fn broken_list(&self, mut items: Vec<Value>) -> Read<Value> {
        if !self.salvage {
            return Read::Bad;
        }
        items.pop();
        Read::Cut(Some(Value::Array(items)))
    }

    /// Whether what comes next, without a comma before it, cannot be an entry: prose in brackets is no list, and a word
    /// behind a string is the rest of a string with a quote in it.
    fn is_prose(&self, depth: usize, items: &[Value]) -> bool {
        let next = self.peek();
        let after_string = !self.inner_quotes && items.last().is_some_and(Value::is_string);
        let opens = matches!(next, Some('{' | '['));
        let is_torn = next == Some('[') && items.last().is_some_and(Value::is_object);
        depth == 0 && !opens || is_torn || after_string && !opens && !next.is_some_and(opens_string)
    }

    fn trailing_comma(&mut self, close: char) {
        self.skip_blanks();
        self.repaired |= self.peek().is_some_and(|next| next == close || next == ',');
    }
}

/// The fields of an object that is being read.
#[derive(Default)]
struct Fields {
    map: Map<String, Value>,
    last: Option<String>,
}

impl Fields {
    fn insert(&mut self, key: String, value: Value) {
        self.last = Some(key.clone());
        self.map.insert(key, value);
    }

    fn without_last(mut self) -> Self {
        if let Some(last) = self.last.take() {
            self.map.remove(&last);
        }
        self
    }

    fn done(self) -> Read<Value> {
        Read::Done(Value::Object(self.map))
    }

    fn cut(self) -> Read<Value> {
        Read::Cut(Some(Value::Object(self.map)))
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// What may stand between values: blanks, and marks that show nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

#[cfg(test)]
mod tests;
