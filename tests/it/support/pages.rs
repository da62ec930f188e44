//! Reads a page of Markdown far enough to compare it with its translation: headings, code, paragraphs, rows of tables,
//! links and words in backticks. No parser of Markdown, only what the pages of this project use.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A page, section by section.
pub struct Page {
    /// Relative to the package, such as `docs/SCALE.md`.
    pub file: String,
    pub sections: Vec<Section>,
}

/// What stands under one heading, up to the next.
#[derive(Default)]
pub struct Section {
    /// Of the heading's line, from 1.
    pub line: usize,
    /// Number signs of the heading; 0 for what stands before the first one.
    pub level: usize,
    pub heading: String,
    pub blocks: Vec<Block>,
}

/// A piece of a section.
pub struct Block {
    pub line: usize,
    pub kind: Kind,
    /// As it is written; the lines of a paragraph joined.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fenced, with its fences.
    Code,
    Paragraph,
    /// An item of a list.
    Item,
    /// A row of a table.
    Row,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Code => "a block of code",
            Self::Paragraph => "a paragraph",
            Self::Item => "an item of a list",
            Self::Row => "a row of a table",
        }
    }
}

impl Page {
    pub fn read(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Self::new(file, &fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    pub fn new(file: &str, text: &str) -> Self {
        let mut sections = vec![Section::default()];
        let mut fence: Option<Block> = None;
        let mut is_new = true;
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            let section = sections.last_mut().unwrap();
            if let Some(block) = &mut fence {
                block.text.push('\n');
                block.text.push_str(line);
                if line.trim_start().starts_with("```") {
                    section.blocks.extend(fence.take());
                }
            } else if line.trim_start().starts_with("```") {
                fence = Some(Block { line: line_number, kind: Kind::Code, text: line.to_owned() });
            } else if let Some((level, heading)) = heading(line) {
                sections.push(Section { line: line_number, level, heading, blocks: Vec::new() });
            } else if !line.trim().is_empty() {
                section.take(line_number, line, is_new);
                is_new = false;
                continue;
            }
            is_new = true;
        }
        assert!(fence.is_none(), "{file}: a block of code has no end");
        Self { file: file.to_owned(), sections }
    }

    /// Links and pictures outside of code, with the line of the paragraph that they stand in.
    pub fn links(&self) -> impl Iterator<Item = (usize, String)> {
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.flat_map(|block| block.links().into_iter().map(|link| (block.line, link)))
    }

    /// What a link to a heading of this page says behind the `#`, for each section.
    pub fn anchors(&self) -> Vec<String> {
        self.sections.iter().map(|section| anchor(&section.heading)).collect()
    }
}

impl Section {
    fn take(&mut self, line_number: usize, line: &str, is_new: bool) {
        let trimmed = line.trim();
        let kind = if trimmed.starts_with('|') {
            Kind::Row
        } else if is_item(trimmed) {
            Kind::Item
        } else {
            Kind::Paragraph
        };
        match self.blocks.last_mut() {
            // What follows without a blank line is the same paragraph, or that of the item.
            Some(last) if !is_new && kind == Kind::Paragraph && matches!(last.kind, Kind::Paragraph | Kind::Item) => {
                last.text.push(' ');
                last.text.push_str(trimmed);
            }
            _ => self.blocks.push(Block { line: line_number, kind, text: trimmed.to_owned() }),
        }
    }
}

impl Block {
    /// Words in backticks.
    fn code(&self) -> Vec<&str> {
        self.text.split('`').skip(1).step_by(2).collect()
    }

    /// The text without what stands in backticks, and without targets of links.
    fn prose(&self) -> String {
        let spoken: String = self.text.split('`').step_by(2).collect();
        let mut prose = String::new();
        let mut rest = spoken.as_str();
        while let Some((before, after)) = rest.split_once("](") {
            prose.push_str(before);
            rest = after.split_once(')').map_or("", |(_, after)| after);
        }
        prose + rest
    }

    fn links(&self) -> Vec<String> {
        if self.kind == Kind::Code {
            return Vec::new();
        }
        let targets = self.text.split("](").skip(1);
        targets.filter_map(|after| after.split_once(')')).map(|(target, _)| target.to_owned()).collect()
    }

    fn cells(&self) -> Vec<&str> {
        self.text.trim_matches('|').split(" | ").map(str::trim).collect()
    }

    /// Whether it says something in English and nothing in Korean.
    fn is_untranslated(&self) -> bool {
        let prose = self.prose();
        let words = |text: &str| text.split(|sign: char| !sign.is_ascii_alphabetic()).filter(|it| it.len() > 1).count();
        let is_english = |text: &str| words(text) > 3 && !text.chars().any(is_hangul);
        self.kind != Kind::Code && prose.split(" | ").any(is_english)
    }
}

fn heading(line: &str) -> Option<(usize, String)> {
    let level = line.len() - line.trim_start_matches('#').len();
    let text = line[level..].strip_prefix(' ')?;
    (1..=6).contains(&level).then(|| (level, text.trim().to_owned()))
}

fn is_item(line: &str) -> bool {
    let number = line.trim_start_matches(|sign: char| sign.is_ascii_digit());
    line.starts_with("- ") || (number.len() < line.len() && number.starts_with(". "))
}

fn is_hangul(sign: char) -> bool {
    ('\u{ac00}'..='\u{d7a3}').contains(&sign)
}

/// As GitHub makes them of headings.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

/// The file of the other language beside `file`, if there is one.
fn twin(file: &Path) -> Option<PathBuf> {
    let name = file.to_str()?;
    let other = match name.strip_suffix(".ko.md") {
        Some(stem) => format!("{stem}.md"),
        None => format!("{}.ko.md", name.strip_suffix(".md")?),
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(&other).exists().then(|| PathBuf::from(other))
}

/// Where a link of `page` leads, from the package's root; `None` for one out of the package.
pub fn place(page: &str, target: &str) -> Option<(String, String)> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    if target.contains("://") {
        return None;
    }
    if file.is_empty() {
        return Some((page.to_owned(), anchor.to_owned()));
    }
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some((parts.join("/"), anchor.to_owned()))
}

/// What a link of `page` becomes in its translation: the translation of the page that it leads to, where there is one, at
/// the same heading.
fn translated(page: &Page, other: &Page, target: &str) -> String {
    let Some((file, anchor)) = place(&page.file, target) else { return target.to_owned() };
    let of_heading = |from: &Page, to: &Page| {
        let at = from.anchors().iter().position(|it| *it == anchor);
        let anchors = to.anchors();
        at.and_then(|at| anchors.get(at).cloned()).unwrap_or_else(|| anchor.clone())
    };
    if target.starts_with('#') {
        return format!("#{}", of_heading(page, other));
    }
    let Some(twin) = twin(Path::new(&file)) else { return target.to_owned() };
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let written = target.split('#').next().unwrap_or_default();
    let twin = twin.to_str().expect("UTF-8");
    let moved = written.strip_suffix(&name(&file)).map(|folder| format!("{folder}{}", name(twin)));
    let moved = moved.unwrap_or_else(|| target.to_owned());
    if anchor.is_empty() { moved } else { format!("{moved}#{}", of_heading(&Page::read(&file), &Page::read(twin))) }
}

/// Everything in which a translation differs from its original, in words that say what to do; empty when it is kept.
pub fn differences(original: &Page, translation: &Page) -> Vec<String> {
    let mut found = Vec::new();
    let headings = |page: &Page| page.sections.iter().map(|section| section.level).collect::<Vec<_>>();
    let (ours, theirs) = (headings(original), headings(translation));
    if ours != theirs {
        let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
        let name = |page: &Page| {
            page.sections.get(at).map_or_else(
                || format!("{} has no heading there", page.file),
                |it| format!("{}:{} is `{} {}`", page.file, it.line, "#".repeat(it.level), it.heading),
            )
        };
        found.push(format!(
            "headings differ in number, level or order from the {at}. on: {}, {}",
            name(original),
            name(translation)
        ));
        return found;
    }
    for (ours, theirs) in original.sections.iter().zip(&translation.sections) {
        Pair { original, translation, ours, theirs }.differences(&mut found);
    }
    found
}

/// A section and its translation.
struct Pair<'a> {
    original: &'a Page,
    translation: &'a Page,
    ours: &'a Section,
    theirs: &'a Section,
}

impl Pair<'_> {
    fn differences(&self, found: &mut Vec<String>) {
        let kinds = |section: &Section| section.blocks.iter().map(|block| block.kind).collect::<Vec<_>>();
        let (ours, theirs) = (kinds(self.ours), kinds(self.theirs));
        if ours != theirs {
            let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
            found.push(format!(
                "under `{}`: {}, {}: translate what is new, take out what is gone",
                self.ours.heading,
                self.piece(self.original, self.ours, at),
                self.piece(self.translation, self.theirs, at)
            ));
            return;
        }
        for (ours, theirs) in self.ours.blocks.iter().zip(&self.theirs.blocks) {
            self.block(ours, theirs, found);
        }
        self.same("links", |block| self.links(block), |block| block.links(), found);
        let code = |block: &Block| block.code().into_iter().map(str::to_owned).collect::<Vec<_>>();
        self.same("words in backticks", code, code, found);
    }

    fn piece(&self, page: &Page, section: &Section, at: usize) -> String {
        section.blocks.get(at).map_or_else(
            || format!("{} has nothing more", page.file),
            |block| {
                let begin: String = block.text.chars().take(60).collect();
                format!("{}:{} has {} `{begin}`", page.file, block.line, block.kind.word())
            },
        )
    }

    fn block(&self, ours: &Block, theirs: &Block, found: &mut Vec<String>) {
        let place = format!("{}:{} and {}:{}", self.original.file, ours.line, self.translation.file, theirs.line);
        if ours.kind == Kind::Code && ours.text != theirs.text {
            let line = |text: &str, at: usize| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            let length = ours.text.lines().count().max(theirs.text.lines().count());
            let at = (0..length).find(|at| line(&ours.text, *at) != line(&theirs.text, *at)).unwrap_or_default();
            let (ours, theirs) = (line(&ours.text, at), line(&theirs.text, at));
            found.push(format!("{place}: code is copied byte for byte, but line {at} is `{ours}` and `{theirs}`"));
        }
        if ours.kind == Kind::Row {
            row(ours, theirs, &place, found);
        }
        if theirs.is_untranslated() {
            let begin: String = theirs.text.chars().take(80).collect();
            found.push(format!("{}:{} is still English: {begin}", self.translation.file, theirs.line));
        }
    }

    /// The links of a paragraph as its translation has them.
    fn links(&self, block: &Block) -> Vec<String> {
        block.links().iter().map(|link| translated(self.original, self.translation, link)).collect()
    }

    /// Compares what all blocks of the section hold, in whatever order the language wants it.
    fn same(
        &self,
        what: &str,
        ours: impl Fn(&Block) -> Vec<String>,
        theirs: impl Fn(&Block) -> Vec<String>,
        found: &mut Vec<String>,
    ) {
        let prose = |section: &&Block| section.kind != Kind::Code;
        let ours: BTreeSet<_> = self.ours.blocks.iter().filter(prose).flat_map(ours).collect();
        let theirs: BTreeSet<_> = self.theirs.blocks.iter().filter(prose).flat_map(theirs).collect();
        if ours != theirs {
            found.push(format!(
                "{what} under `{}` ({}:{}): missing there {:?}, too many there {:?}",
                self.ours.heading,
                self.translation.file,
                self.theirs.line,
                ours.difference(&theirs).collect::<Vec<_>>(),
                theirs.difference(&ours).collect::<Vec<_>>()
            ));
        }
    }
}

/// A row of a table has the same number of cells, in each the same words in backticks, and the same numbers.
fn row(ours: &Block, theirs: &Block, place: &str, found: &mut Vec<String>) {
    let (left, right) = (ours.cells(), theirs.cells());
    if left.len() != right.len() {
        found.push(format!("{place}: {} cells and {}", left.len(), right.len()));
    }
    for (left, right) in left.into_iter().zip(right) {
        let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let is_number = !left.chars().any(char::is_alphabetic);
        if code(left) != code(right) || (is_number && left != right) {
            found.push(format!("{place}: the cell `{left}` became `{right}`"));
        }
    }
}
