//! Answers as models really write them, one file each in the corpus of the fuzzer, and what each must become: the snapshot
//! beside this file holds both.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    answer::{
        Reading, Unreadable,
        fuzzing::{Input, answer_reader, json_schema},
        read,
    },
    domain::{BoundingBox, MissingCause, Warning},
};

/// The inputs of a fuzz target's corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let mut inputs: Vec<_> =
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_bad_answer_becomes_what_it_must() {
    let inputs = corpus("answer_reader");
    assert!(inputs.len() >= 100, "{} bad answers", inputs.len());
    let mut table = String::new();
    for (name, bytes) in &inputs {
        let text = String::from_utf8_lossy(bytes);
        let (selector, answer) = text.split_once('\n').unwrap();
        let result = rendered(&read(&Input::parse(&text).answer()));
        writeln!(table, "=== {name} ({selector})\n{}\n---\n{}\n", bounded(answer), result.trim_end()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_corpus_keeps_every_promise() {
    for (name, bytes) in corpus("answer_reader") {
        println!("{name}");
        answer_reader(&bytes);
    }
}

#[test]
fn the_corpus_of_schemas_is_checked_to_its_end() {
    let inputs = corpus("json_schema");
    assert!(inputs.len() >= 5, "{} schemas", inputs.len());
    for (name, bytes) in inputs {
        println!("{name}");
        json_schema(&bytes);
    }
}

/// The start of a text, with what a terminal would obey or an editor hide made visible.
fn bounded(text: &str) -> String {
    let hidden = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{feff}' | '\u{200b}');
    let shown = |c: char| if hidden(c) { c.escape_unicode().collect() } else { c.to_string() };
    let start: String = text.chars().take(900).map(shown).collect();
    if text.chars().nth(900).is_some() { format!("{start} ... ({} bytes)", text.len()) } else { start }
}

fn rendered(result: &Result<Reading, Unreadable>) -> String {
    let mut out = String::new();
    match result {
        Ok(reading) => {
            render_findings(&mut out, reading).unwrap();
            for Warning { code, message } in &reading.warnings {
                writeln!(out, "! {}: {message}", code.as_str()).unwrap();
            }
            reading.mistakes.iter().for_each(|mistake| writeln!(out, "? {mistake}").unwrap());
        }
        Err(Unreadable { reason, mistakes }) => {
            writeln!(out, "unreadable: {reason}").unwrap();
            mistakes.iter().for_each(|mistake| writeln!(out, "? {mistake}").unwrap());
        }
    }
    bounded_lines(&out)
}

fn bounded_lines(out: &str) -> String {
    let count = out.lines().count();
    let lines: Vec<String> = out.lines().take(25).map(|line| line.chars().take(300).collect()).collect();
    if count > 25 { format!("{}\n... ({count} lines)", lines.join("\n")) } else { lines.join("\n") }
}

fn render_findings(out: &mut String, reading: &Reading) -> std::fmt::Result {
    let found = &reading.findings;
    if let Some(text) = &found.description {
        writeln!(out, "description: {text:?}")?;
    }
    if let Some(sensitivity) = &found.sensitivity {
        writeln!(out, "{:?}, because {:?}", sensitivity.verdict, sensitivity.reason)?;
        for finding in &sensitivity.findings {
            writeln!(out, "  {}: {:?} {}", finding.category, finding.detail, place(finding.bounding_box.as_ref()))?;
        }
    }
    if let Some(labels) = &found.labels {
        writeln!(out, "labels{}:", if labels.truncated { ", truncated" } else { "" })?;
        for label in &labels.labels {
            write!(out, "  {:?} ({:?}){}:", label.name, label.display_name, sure(label.confidence))?;
            for instance in &label.instances {
                write!(out, " {}{}", place(Some(&instance.bounding_box)), sure(instance.confidence))?;
            }
            writeln!(out)?;
        }
    }
    if let Some(text) = &found.text {
        writeln!(out, "text:")?;
        for line in &text.lines {
            writeln!(out, "  {:?} {}", line.text, place(line.bounding_box.as_ref()))?;
        }
    }
    if let Some(text) = &found.answer {
        writeln!(out, "answer: {text:?}")?;
    }
    if let Some(values) = &found.extraction {
        writeln!(out, "extraction: {}", serde_json::to_string(values).unwrap())?;
    }
    for missing in &found.missing {
        let MissingCause::Unreadable(why) = &missing.cause else { unreachable!() };
        writeln!(out, "missing {}: {why}", missing.name)?;
    }
    Ok(())
}

fn sure(confidence: Option<f32>) -> String {
    confidence.map_or(String::new(), |number| format!(" {number}"))
}

fn place(place: Option<&BoundingBox>) -> String {
    place.map_or("nowhere".to_owned(), |b| {
        let made: String = b.adjustments().iter().map(|what| format!(" {what:?}")).collect();
        format!("[{} {} {} {}{}]", b.left(), b.top(), b.right(), b.bottom(), made.to_lowercase())
    })
}
