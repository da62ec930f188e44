//! Reads Rust sources far enough to know which paths they name: no parser, only what the layer rules need.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// One source file.
pub struct Source {
    /// Relative to the package, such as `src/domain/mod.rs`.
    pub file: String,
    /// Names of its modules, outermost first; empty for `lib.rs` and the binaries.
    pub module: Vec<String>,
    /// The text without comments, literals and what `#[cfg(test)]` guards. Lines stay where they were.
    code: String,
    /// Lines that are not in a `#[cfg(test)]` item.
    pub line_count: usize,
}

/// A path that a file names, from the crate's root or from a crate's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    /// Everything below the path is imported.
    pub glob: bool,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let blanked = blank(text);
        let (code, test_lines) = without_tests(&blanked);
        let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main" | "bootstrap")) {
            module.pop();
        }
        Self { file: file.to_owned(), module, code, line_count: text.lines().count() - test_lines }
    }

    /// Every path in imports and in code, resolved through `use`, `self` and `super`.
    pub fn paths(&self) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let mut named = Vec::new();
        let mut names = HashMap::new();
        let mut rest = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| *next != "<") {
                at = self.use_tree(&tokens, at + 1, &[], &mut named, &mut names);
            } else {
                rest.push(tokens[at]);
                at += 1;
            }
        }
        for path in plain_paths(&rest) {
            let path = match names.get(&path[0]) {
                Some(imported) => [imported, &path[1..]].concat(),
                None => self.resolve(&path),
            };
            named.push(Named { path, glob: false });
        }
        named
    }

    /// Reads one tree of a `use` from `at`; returns where it ends.
    fn use_tree(
        &self,
        tokens: &[&str],
        mut at: usize,
        prefix: &[String],
        named: &mut Vec<Named>,
        names: &mut HashMap<String, Vec<String>>,
    ) -> usize {
        let mut path = prefix.to_vec();
        let mut glob = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match *token {
                "::" => {}
                "{" => {
                    while tokens.get(at).is_some_and(|token| *token != "}") {
                        at = self.use_tree(tokens, at, &path, named, names);
                        at += usize::from(tokens.get(at) == Some(&","));
                    }
                    return at + 1;
                }
                "*" => glob = true,
                "as" => {
                    let resolved = self.resolve(&path);
                    names.insert(tokens.get(at).copied().unwrap_or("_").to_owned(), resolved.clone());
                    named.push(Named { path: resolved, glob });
                    return at + 1;
                }
                "self" if !path.is_empty() => {}
                word if word.starts_with(is_word) => path.push(word.to_owned()),
                _ => {
                    at -= 1;
                    break;
                }
            }
        }
        let resolved = self.resolve(&path);
        if let (Some(name), false) = (path.last(), glob) {
            names.insert(name.clone(), resolved.clone());
        }
        named.push(Named { path: resolved, glob });
        at
    }

    /// The path from the crate's root, as `crate::..`, or from another crate's name.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let mut base = [&["crate".to_owned()][..], &self.module].concat();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate" | "sightline") => return [&["crate".to_owned()][..], &path[1..]].concat(),
            Some("self") => rest = &path[1..],
            Some("super") => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            _ => return path.to_vec(),
        }
        [&base, rest].concat()
    }
}

/// All sources under `src/` of the package, without files that are only tests.
pub fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path: PathBuf = entry.expect("an entry").path();
            let only_tests = path.file_stem().is_some_and(|stem| is_for_tests(&stem.to_string_lossy()));
            if path.is_dir() && !only_tests {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !only_tests {
                let file = path.strip_prefix(root).expect("inside the package").to_string_lossy().replace('\\', "/");
                sources.push(Source::new(&file, &fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    sources
}

/// Whether a file or folder of this name holds only tests or what they share.
fn is_for_tests(stem: &str) -> bool {
    stem == "tests" || stem.ends_with("_tests") || stem.starts_with("test_")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Paths of two words or more.
fn plain_paths(tokens: &[&str]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut path = Vec::new();
        while tokens.get(at).is_some_and(|token| token.starts_with(is_word)) {
            path.push(tokens[at].to_owned());
            if tokens.get(at + 1) != Some(&"::") || !tokens.get(at + 2).is_some_and(|next| next.starts_with(is_word)) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            paths.push(path);
        }
        at += 1;
    }
    paths
}

/// Words, `::` and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if is_word(first) => rest.find(|character| !is_word(character)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The text with comments and literals blanked; line breaks stay.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (block_comment(rest), false),
            '"' => (quoted(rest, '"'), false),
            '\'' => char_literal(rest),
            'r' | 'b' if !out.ends_with(is_word) => prefixed_literal(rest),
            _ => (first.len_utf8(), true),
        };
        let (part, after) = rest.split_at(length);
        if keep {
            out.push_str(part);
        } else {
            out.extend(part.chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character, or only the tick of a lifetime.
fn char_literal(text: &str) -> (usize, bool) {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => (quoted(text, '\''), false),
        _ => (1, true),
    }
}

/// `r"..."`, `br#"..."#` and the like, or only the letter of a word.
fn prefixed_literal(text: &str) -> (usize, bool) {
    let after = text.trim_start_matches(['b', 'r']);
    let hashes = after.len() - after.trim_start_matches('#').len();
    let prefix = text.len() - after.len();
    let raw = text[..prefix].contains('r');
    if prefix > 2 || !raw || !after[hashes..].starts_with('"') {
        return (1, true);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = prefix + hashes + 1;
    (text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()), false)
}

/// Cuts the items after `#[cfg(test)]`; returns the rest and the number of lines cut.
fn without_tests(code: &str) -> (String, usize) {
    const GUARD: &str = "#[cfg(test)]";
    let (mut out, mut cut, mut rest) = (String::new(), 0, code);
    while let Some(at) = rest.find(GUARD) {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0_usize;
        let end = item.char_indices().skip(GUARD.len()).find(|(_, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(character, '}' | ';')
        });
        let end = end.map_or(item.len(), |(at, _)| at + 1);
        cut += item[..end].lines().count();
        rest = &item[end..];
    }
    out.push_str(rest);
    (out, cut)
}
