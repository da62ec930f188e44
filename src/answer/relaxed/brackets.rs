//! Brackets that were forgotten and brackets that are too many.

use serde_json::{Map, Value};

use super::{Parser, Read};

impl Parser<'_> {
    /// Reads a value behind its opening bracket, which ends with `close`.
    pub(super) fn within(&mut self, close: char, read: impl FnOnce(&mut Self) -> Read<Value>) -> Read<Value> {
        self.take();
        self.open.push(close);
        let value = read(self);
        self.open.pop();
        value
    }

    /// Whether an object ends before `next` without its own bracket: another one's closing bracket, or the next object of
    /// the list in which it stands.
    pub(super) fn ends_without_bracket(&mut self, next: char, fields: &Map<String, Value>, separated: bool) -> bool {
        match next {
            ']' | ')' => self.closes_outer(next),
            '{' if separated && !fields.is_empty() && self.stands_in(']') => self.mend_brackets(),
            _ => false,
        }
    }

    /// Whether a bracket that does not close the innermost value closes one around it: then the inner one's was forgotten.
    pub(super) fn closes_outer(&mut self, close: char) -> bool {
        self.open.contains(&close) && self.mend_brackets()
    }

    /// Skips a bracket that closes nothing.
    pub(super) fn skip_stray(&mut self) {
        self.mend_brackets();
        self.take();
    }

    /// Whether the entry of a list that was just read is the key of the next field: then the list's bracket was forgotten.
    pub(super) fn was_key(&mut self) -> bool {
        self.skip_blanks();
        self.peek() == Some(':') && self.stands_in('}') && self.mend_brackets()
    }

    /// Whether the value that is read stands in one that ends with `close`.
    fn stands_in(&self, close: char) -> bool {
        self.open.iter().rev().nth(1) == Some(&close)
    }

    /// Always true.
    fn mend_brackets(&mut self) -> bool {
        self.repaired = true;
        self.brackets_mended = true;
        true
    }
}
