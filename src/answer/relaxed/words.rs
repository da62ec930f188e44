//! Numbers, literals and text without quotes.

use serde_json::{Number, Value};

use super::{Parser, Read, strings::opens_string};

impl<'a> Parser<'a> {
    pub(super) fn bare_word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '(' | ')' | '"' | '\'');
        let word = rest.find(is_end).map_or(rest, |end| rest.get(..end).unwrap_or_default());
        self.at += word.len();
        word
    }

    /// A number or a literal; anywhere but in the outermost list and behind an object also text without quotes, as in
    /// `label: stage` and in a box of `.5` and `10px`.
    pub(super) fn word(&mut self, depth: usize) -> Read<Value> {
        let word = self.bare_word();
        if word.is_empty() {
            return Read::Bad;
        }
        // A word that ends with the text may have lost its end.
        let Some(next) = self.peek() else { return Read::Cut(None) };
        // A quote that touches a word belongs to a string that begins or ends elsewhere.
        let touches_quote = opens_string(next);
        if let Ok(number) = serde_json::from_str::<Number>(word) {
            return if touches_quote && self.inner_quotes { Read::Bad } else { Read::Done(Value::Number(number)) };
        }
        let (value, is_json) = match word {
            "true" => (Value::Bool(true), true),
            "false" => (Value::Bool(false), true),
            "null" => (Value::Null, true),
            "True" | "TRUE" => (Value::Bool(true), false),
            "False" | "FALSE" => (Value::Bool(false), false),
            "None" | "Null" | "NULL" | "nil" | "undefined" | "NaN" | "Infinity" | "-Infinity" => (Value::Null, false),
            _ if touches_quote => return Read::Bad,
            // In the outermost list this would make entries of prose in brackets.
            _ if self.in_list && (depth <= 1 || self.after_object) => return Read::Bad,
            other => match self.phrase(other) {
                Read::Done(phrase) => (Value::String(phrase), false),
                Read::Cut(_) => return Read::Cut(None),
                Read::Bad => return Read::Bad,
            },
        };
        self.repaired |= !is_json;
        Read::Done(value)
    }

    /// The text without quotes that begins with `word`: behind a key, all words up to a comma, a bracket or a comment.
    fn phrase(&mut self, word: &str) -> Read<String> {
        let rest = self.rest();
        let is_end = |c: char| matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"' | '\'' | '\n');
        if self.in_list {
            return Read::Done(word.to_owned());
        }
        let Some((more, after)) = rest.find(is_end).and_then(|end| rest.split_at_checked(end)) else {
            return Read::Cut(None);
        };
        let comment = [" //", " /*", " # "].into_iter().filter_map(|mark| more.find(mark)).min();
        let more = comment.and_then(|start| more.get(..start)).unwrap_or(more);
        if comment.is_none() && after.starts_with(['"', '\'']) && !more.trim().is_empty() {
            return Read::Bad;
        }
        if comment.is_none() && !after.starts_with([',', '}', ']', '\n']) {
            return Read::Done(word.to_owned());
        }
        self.at += more.len();
        Read::Done(format!("{word}{}", more.trim_end()))
    }
}
