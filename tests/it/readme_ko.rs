//! The Korean pages are kept beside the English ones: the same headings, commands, rows of tables, links and words in
//! backticks, and no paragraph more or less. What is said in prose is the translator's.

use std::path::Path;

use crate::support::pages::{Page, differences, place};

/// Original and translation.
const PAGES: [(&str, &str); 2] =
    [("README.md", "README.ko.md"), ("docs/FROM-THE-LAMBDA.md", "docs/FROM-THE-LAMBDA.ko.md")];

#[test]
fn the_translations_are_kept() {
    for (original, translation) in PAGES {
        let found = differences(&Page::read(original), &Page::read(translation));
        assert!(
            found.is_empty(),
            "{translation} has fallen behind {original} in {} places; change it alike:\n- {}",
            found.len(),
            found.join("\n- ")
        );
    }
}

#[test]
fn both_languages_lead_to_each_other_from_the_top() {
    for (original, translation) in PAGES {
        for (page, other) in [(original, translation), (translation, original)] {
            let first = Page::read(page).links().next().expect("a link");
            let led_to = place(page, &first.1).expect("inside the package").0;
            assert!(first.0 < 6 && led_to == other, "the first link of {page} leads to {led_to}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for file in PAGES.iter().flat_map(|(original, translation)| [*original, *translation]).chain(["docs/SCALE.md"]) {
        for (line, target) in Page::read(file).links() {
            let Some((to, anchor)) = place(file, &target) else { continue };
            assert!(root.join(&to).exists(), "{file}:{line} leads to {to}, which is not there");
            let is_there = anchor.is_empty() || Page::read(&to).anchors().contains(&anchor);
            assert!(is_there, "{file}:{line} leads to {target}, but {to} has no such heading");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

const ORIGINAL: &str = "# Name\n\n[ko](README.ko.md)\n\n## Use\n\nTake the `--flag` of [the page](docs/AWS.md).\n\n\
                        ```sh\nrun --flag\n```\n\n| flag | default | what |\n|---|---|---|\n\
                        | `--flag` | 8 | what it does to the pictures |\n\n- first of the two\n- second\n";
const KOREAN: &str = "# 이름\n\n[en](README.md)\n\n## 사용\n\n[문서](docs/AWS.md)의 `--flag`를 씁니다.\n\n\
                      ```sh\nrun --flag\n```\n\n| 플래그 | 기본값 | 설명 |\n|---|---|---|\n\
                      | `--flag` | 8 | 사진에 하는 일 |\n\n- 둘 중 첫째\n- 둘째\n";

fn found(original: &str, korean: &str) -> Vec<String> {
    differences(&Page::new("README.md", original), &Page::new("README.ko.md", korean))
}

#[test]
fn a_translation_may_order_its_words_as_it_likes() {
    assert_eq!(found(ORIGINAL, KOREAN), [""; 0]);
}

/// Each change of one side alone is found, and said in words.
#[test]
fn whatever_falls_behind_is_found() {
    for (from, to, said) in [
        ("## 사용", "### 사용", "README.ko.md:5 is `### 사용`"),
        ("## 사용\n", "", "README.ko.md has no heading there"),
        ("run --flag", "run --flags", "line 1 is `run --flag` and `run --flags`"),
        ("| `--flag` | 8 |", "| `--flog` | 8 |", "the cell ``--flag`` became ``--flog``"),
        ("| `--flag` | 8 |", "| `--flag` | 9 |", "the cell `8` became `9`"),
        ("| `--flag` | 8 | 사진에 하는 일 |\n", "", "a row of a table `| `--flag` | 8"),
        ("docs/AWS.md", "docs/COSTS.md", "missing there [\"docs/AWS.md\"]"),
        ("[en](README.md)", "[en](README.ko.md)", "missing there [\"README.md\"]"),
        ("의 `--flag`를", "의 `--fleg`를", "too many there [\"--fleg\"]"),
        ("- 둘째\n", "", "README.ko.md has nothing more"),
        ("- 둘 중 첫째", "- first of the two", "README.ko.md:17 is still English"),
        ("사진에 하는 일", "what it does to the pictures", "README.ko.md:15 is still English"),
    ] {
        let changed = KOREAN.replacen(from, to, 1);
        assert_ne!(changed, KOREAN, "{from}");
        let found = found(ORIGINAL, &changed).join("\n");
        assert!(found.contains(said), "{from} -> {to}: {found}");
    }
}

/// A heading is found again by its place, whatever it is called.
#[test]
fn links_to_headings_follow_the_heading() {
    let (original, korean) = (format!("{ORIGINAL}\n[up](#use)\n"), format!("{KOREAN}\n[위로](#사용)\n"));
    assert_eq!(found(&original, &korean), [""; 0]);
    assert!(found(&original, &korean.replace("#사용", "#use")).join("\n").contains("missing there [\"#사용\"]"));
}
