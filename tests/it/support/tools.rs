//! The tools that `scripts/test-tools` puts into `.venv`: grpcurl and a Python with the gRPC packages.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// Set where a missing tool is a failure, as in CI.
const REQUIRED: &str = "SIGHTLINE_REQUIRE_TOOLS";

/// What a tool did.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The path of a tool in `.venv/bin`. `None`, with a note, when it is not there: the test then skips itself. Fails the
/// test instead when `SIGHTLINE_REQUIRE_TOOLS` is set.
pub fn require_tool(name: &str) -> Option<PathBuf> {
    locate(&root().join(".venv/bin"), name, is_required())
}

/// The path of a program inside a Python package of `.venv`, such as `rotel/rotel-agent`. Without it as [`require_tool`].
pub fn require_packaged(name: &str) -> Option<PathBuf> {
    let library = root().join(".venv/lib");
    let pythons = std::fs::read_dir(&library).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = pythons.map(|python| python.join("site-packages")).find(|folder| folder.join(name).exists());
    locate(&packages.unwrap_or(library), name, is_required())
}

/// The path of a tool of this machine's own, such as a browser, in `PATH`. Without it as [`require_tool`].
pub fn require_installed(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        missing(&format!("{name} is not installed: `.ci/run` shows how"), is_required());
    }
    found
}

fn is_required() -> bool {
    env::var_os(REQUIRED).is_some_and(|value| !value.is_empty())
}

fn missing(what: &str, required: bool) {
    assert!(!required, "{what}");
    eprintln!("skipped: {what}");
}

fn locate(folder: &Path, name: &str, required: bool) -> Option<PathBuf> {
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    missing(&format!("{name} is not in {}: run scripts/test-tools", folder.display()), required);
    None
}

/// Runs a tool in the package's folder. Off the async threads, so that a server in the same test goes on answering.
pub async fn run(tool: &Path, arguments: &[&str]) -> Outcome {
    run_with_input(tool, arguments, "").await
}

/// The same with text on its standard input.
pub async fn run_with_input(tool: &Path, arguments: &[&str], input: &str) -> Outcome {
    let mut command = Command::new(tool);
    command.args(arguments).current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (shown, input) = (tool.display().to_string(), input.to_owned());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown} does not start: {error}"));
        // A tool that ends without reading says why itself. What is written fits into a pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("its output")
    });
    let output = output.await.expect("no panic");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Lets the Python client call the server at `address` (`host:port`); returns what it prints. `None` when Python is not
/// there. Fails the test when the client is surprised.
pub async fn python_client(address: &str, bucket: &str, key: &str) -> Option<Value> {
    python("tests/it/python/client.py", &[address, bucket, key]).await
}

/// The same with the client that streams the keys 0 to `count` - 1.
pub async fn python_stream(address: &str, bucket: &str, count: usize) -> Option<Value> {
    python("tests/it/python/stream.py", &[address, bucket, &count.to_string()]).await
}

async fn python(script: &str, arguments: &[&str]) -> Option<Value> {
    let python = require_tool("python")?;
    let outcome = run(&python, &[&[script], arguments].concat()).await;
    assert_eq!(outcome.code, 0, "{script}: {}\n{}", outcome.stdout, outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("the client prints JSON"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_missing_tool_is_skipped() {
    assert_eq!(locate(Path::new("/nowhere"), "grpcurl", false), None);
}

#[test]
#[should_panic(expected = "run scripts/test-tools")]
fn a_missing_tool_that_is_required_fails_the_test() {
    locate(Path::new("/nowhere"), "grpcurl", true);
}

#[tokio::test]
async fn the_tools_run() {
    for (name, argument) in [("grpcurl", "-version"), ("python", "--version")] {
        let Some(tool) = require_tool(name) else { continue };
        let outcome = run(&tool, &[argument]).await;
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
}
