use std::fs;

use super::*;
use crate::proto::ImageAnalysis;

fn result(id: &str) -> AnalyzeManyResult {
    let outcome = Some(Outcome::Analysis(ImageAnalysis::default()));
    AnalyzeManyResult { item_id: id.into(), item_index: Some(0), outcome, resume_after: String::new() }
}

fn line(source: &str) -> String {
    format(source, None, &result(source)).unwrap()
}

fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    fs::write(&path, content).unwrap();
    (folder, path)
}

async fn add(lines: &Lines, source: &str) {
    lines.write(line(source), &Progress::start(true)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_there_is_continued_only_when_told_so() {
    let (_folder, path) = file("notes");
    assert!(matches!(Lines::create(&path), Err(LinesError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
    fs::write(&path, "").unwrap();
    let lines = Lines::create(&path).unwrap();
    add(&lines, "a").await;
    assert!(matches!(Lines::resume(&path, false), Err(LinesError::Locked(_))));
    drop(lines);
    let (lines, ledger) = Lines::resume(&path, false).unwrap();
    assert!(ledger.has("a") && ledger.earlier() == 1);
    add(&lines, "b").await;
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n{}\n", line("a"), line("b")));
    let missing = path.with_file_name("new.jsonl");
    assert_eq!(Lines::resume(&missing, false).unwrap().1.earlier(), 0, "a first run may say --resume too");
}

#[tokio::test]
async fn a_line_that_was_cut_off_anywhere_is_removed() {
    let whole = format!("{}\n", line("사진 a"));
    let second = line("사진 b");
    for cut in 1..second.len() {
        let (_folder, path) = file("");
        let torn = [whole.as_bytes(), &second.as_bytes()[..cut]].concat();
        fs::write(&path, torn).unwrap();
        let (_, ledger) = Lines::resume(&path, false).unwrap();
        assert!(ledger.has("사진 a") && !ledger.has("사진 b"), "{cut}");
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
}

#[tokio::test]
async fn a_last_line_that_only_lacks_its_end_is_kept() {
    let (_folder, path) = file(&format!("{}\n{}", line("a"), line("b")));
    let (lines, ledger) = Lines::resume(&path, false).unwrap();
    assert!(ledger.has("b"));
    add(&lines, "c").await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[test]
fn a_file_of_something_else_is_left_alone_even_if_it_lacks_its_last_line_end() {
    for foreign in [&b"one line, no end"[..], b"{\"token\":\"x", b"\xff\xfe", b"\xe2\x82", b"{ \"source\":"] {
        for whole in [String::new(), format!("{}\n", line("a"))] {
            let (_folder, path) = file("");
            let content = [whole.as_bytes(), foreign].concat();
            fs::write(&path, &content).unwrap();
            assert!(matches!(Lines::resume(&path, false).err(), Some(LinesError::Broken { .. })), "{foreign:?}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }
}

#[test]
fn a_broken_line_is_named_and_the_file_is_left_alone() {
    for broken in ["nonsense", "", "{}", r#"{"source":"b"}"#] {
        let content = format!("{}\n{broken}\n{}\n", line("a"), line("c"));
        let (_folder, path) = file(&content);
        let error = Lines::resume(&path, false).err().unwrap();
        assert!(matches!(&error, LinesError::Broken { number: 2, .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let (_folder, path) = file("");
    fs::write(&path, b"\xff\n").unwrap();
    assert!(matches!(Lines::resume(&path, false).err(), Some(LinesError::Broken { number: 1, .. })));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Lines::resume(folder.path(), false).err(), Some(LinesError::NotAFile(_))));
}

#[test]
fn an_error_detail_of_an_unknown_type_does_not_lose_the_result() {
    let detail = prost_types::Any { type_url: "type.googleapis.com/no.such.Type".into(), value: vec![1] };
    let status = tonic_types::pb::Status { code: 5, message: "gone".into(), details: vec![detail] };
    let failed = AnalyzeManyResult { outcome: Some(Outcome::Error(status)), ..result("a") };
    let line = format("a", None, &failed).unwrap();
    assert!(line.contains(r#""message":"gone""#) && !line.contains("details"), "{line}");
}

#[test]
fn a_result_without_an_outcome_is_a_line_that_can_be_read_again() {
    let line = format("a", None, &AnalyzeManyResult { outcome: None, ..result("a") }).unwrap();
    assert!(Head::read(&line).unwrap().is_failure(), "{line}");
}

#[tokio::test]
async fn earlier_results_are_read_again_whole() {
    let (_folder, path) = file(&format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")));
    let mut lines = reread(path, 2);
    for (number, source) in ["a", "b"].iter().enumerate() {
        let earlier = lines.recv().await.unwrap();
        assert_eq!((earlier.number, earlier.head.source.as_str()), (number as u64, *source));
        assert_eq!(earlier.result().unwrap(), result(source));
    }
    assert!(lines.recv().await.is_none(), "what this run has written is not read");
}
