//! Every reason and every warning that a caller can see has its row in docs/ERRORS.md.

use std::{fs, path::Path};

/// The words in UPPER_SNAKE_CASE that stand in quotes in a source, without its tests.
fn codes(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_code = |word: &&str| {
        word.len() > 4 && word.contains('_') && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    code.split('"').skip(1).step_by(2).filter(is_code).collect()
}

#[test]
fn codes_are_found_in_sources() {
    assert_eq!(codes("f(\"A_B_C\", \"some A_B_C\", x, \"AB\") #[cfg(test)] \"D_E_F_G\""), ["A_B_C"]);
}

#[test]
fn every_reason_and_warning_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ERRORS.md")).unwrap();
    let mut sources = vec![root.join("src/grpc/status.rs"), root.join("src/domain/warning.rs")];
    for entry in fs::read_dir(root.join("src/grpc/status")).unwrap() {
        sources.push(entry.unwrap().path());
    }
    let mut seen = 0;
    for path in
        sources.iter().filter(|path| path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs"))
    {
        let source = fs::read_to_string(path).unwrap();
        for code in codes(&source) {
            assert!(page.contains(&format!("`{code}`")), "docs/ERRORS.md has no row for {code} of {}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_reason_of_the_lambda_function_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["docs/ERRORS.md", "docs/LAMBDA.md"].map(|page| fs::read_to_string(root.join(page)).unwrap());
    let mut seen = 0;
    for file in ["event.rs", "failure.rs", "runtime.rs", "original.rs", "jobs/mod.rs", "jobs/fault.rs"] {
        let source = fs::read_to_string(root.join("src/lambda").join(file)).unwrap();
        let is_variable = |code: &&str| code.starts_with("AWS_") || code.starts_with("SIGHTLINE_");
        for code in codes(&source).into_iter().filter(|code| !is_variable(code)) {
            assert!(pages.iter().any(|page| page.contains(&format!("`{code}`"))), "no row for {code} of {file}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}
