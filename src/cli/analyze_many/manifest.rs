//! Sources one a line, on standard input.

use std::io::{BufRead, Read as _};

use super::{
    failure,
    sources::{Entry, Sources, Spec, told_apart},
};

/// Most bytes of a line: a key has 1024, a path some thousands.
pub(super) const MAX_LINE: u64 = 64 * 1024;

impl Sources {
    /// Hands over what the lines name until it is told false. Answers whether it was not.
    pub(super) fn manifest(&self, mut lines: impl BufRead, take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return true,
                Ok(_) if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") => {
                    let shown: String = String::from_utf8_lossy(&line).chars().take(100).collect();
                    let why = "the line is longer than 64 KiB: give one source a line";
                    if !skip_line(&mut lines) || !take(Entry::Failed(format!("{shown}..."), failure::invalid(why))) {
                        return false;
                    }
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    let why = format!("cannot read standard input: {error}");
                    return take(Entry::Failed("-".to_owned(), failure::invalid(&why)));
                }
            }
            if !self.named(&line, take) {
                return false;
            }
        }
    }

    /// One line of a manifest: a program wrote it, so that what looks like a glob is a name.
    fn named(&self, line: &[u8], take: &mut dyn FnMut(Entry) -> bool) -> bool {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        let line = line.split_at(end).0;
        let Ok(text) = std::str::from_utf8(line) else {
            let why = "the line is not UTF-8, so no result can name its source: rename the file";
            return take(Entry::Failed(told_apart(line), failure::invalid(why)));
        };
        if text.trim().is_empty() {
            return true;
        }
        match text.parse() {
            Ok(Spec::Manifest) => {
                let why = "a manifest cannot name standard input: for a file of that name write ./-";
                take(Entry::Failed(text.to_owned(), failure::invalid(why)))
            }
            Ok(spec) => self.expand(&spec, take),
            Err(error) => take(Entry::Failed(text.to_owned(), failure::of(&error))),
        }
    }
}

/// Reads to the end of a line without keeping it. Answers whether that could be done.
fn skip_line(lines: &mut impl BufRead) -> bool {
    let mut piece = Vec::new();
    loop {
        piece.clear();
        match lines.take(MAX_LINE).read_until(b'\n', &mut piece) {
            Ok(0) => return true,
            Ok(_) if piece.ends_with(b"\n") => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
