//! `sightline analyze-many`: the real binary against a real server, over an S3 with listings and a scripted Bedrock.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Parser as _;
use serde_json::{Value, json};
use sightline::{
    adapters::Endpoints,
    app::{self, App},
    config::ServerArgs,
    embedded::EmbeddedStack,
    serve::{self, Running},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::Notify,
};

use crate::{
    command::command,
    support::{
        bedrock::{Bedrock, Gate, Reply},
        loopback::{PATIENCE, Port},
        service::photo,
    },
};

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    server: ServerArgs,
}

/// A server over an S3 that lists and a Bedrock that does as it is told, and a folder for the client.
struct Bench {
    stack: EmbeddedStack,
    bedrock: Bedrock,
    running: Running,
    /// Nobody else has it while the server is away.
    port: Port,
    folder: tempfile::TempDir,
}

impl Bench {
    /// With a bucket `photos` of these keys, each of one small picture.
    async fn start(keys: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for key in keys {
            put(&folder.path().join("s3/photos").join(key));
        }
        fs::create_dir_all(folder.path().join("s3/photos")).unwrap();
        let stack = EmbeddedStack::start(Some(folder.path().join("s3"))).await.unwrap();
        let bedrock = Bedrock::answering(|_| described()).await;
        let port = Port::hold();
        let running = serve_on(port.address(), &stack, &bedrock).await;
        Self { stack, bedrock, running, port, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("results.jsonl")
    }

    /// The command in the client's folder, asking this server for descriptions alone.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = command();
        command.args(["analyze-many", "--description", "--server", &self.running.address.to_string()]);
        command.args(words).current_dir(self.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let stack = &self.stack;
        command.env("AWS_ENDPOINT_URL_S3", stack.s3_endpoint()).env("AWS_REGION", stack.region());
        command.env("AWS_ACCESS_KEY_ID", stack.access_key_id());
        command.env("AWS_SECRET_ACCESS_KEY", stack.secret_access_key());
        command
    }

    /// Runs it to its end: exit code, lines of results and standard error.
    async fn run(&self, words: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let output = self.command(words).output().await.unwrap();
        let lines = parsed(&String::from_utf8(output.stdout).unwrap());
        (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
    }

    /// Ends the server at once, with DRAINING for what is in progress, and starts one anew where it was.
    async fn restart(self) -> Self {
        let Self { stack, bedrock, running, port, folder } = self;
        let address = running.address;
        running.stop().await.unwrap();
        let running = serve_on(address, &stack, &bedrock).await;
        Self { stack, bedrock, running, port, folder }
    }
}

/// An id that is not the catalogue's own, which therefore has no fallbacks: what is made to fail fails.
const NO_FALLBACK: &str = "us.anthropic.claude-sonnet-5";

async fn serve_on(listen: SocketAddr, stack: &EmbeddedStack, bedrock: &Bedrock) -> Running {
    let endpoints = Endpoints { bedrock: bedrock.endpoint(), ..app::endpoints(stack) };
    let flags = ["sightline", "--drain-timeout", "100ms", "--cache-bytes", "0B", "--model", NO_FALLBACK];
    let config = Flags::parse_from(flags).server.config().unwrap();
    serve::start(listen, App::new(&config, Some(&endpoints)).await.unwrap()).await.unwrap()
}

fn described() -> Reply {
    Reply::tool(json!({"description": "A picture."}))
}

/// A small picture at a path, whose folders are made.
fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(64, 48, image::Rgb([90, 120, 60])).save(path).unwrap();
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("p{n:02}.png")).collect()
}

fn parsed(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "every line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn results(path: &Path) -> Vec<Value> {
    parsed(&fs::read_to_string(path).unwrap())
}

fn sources(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["source"].as_str().unwrap()).collect()
}

/// Every one of these sources has exactly one line, and no other has one.
fn assert_each_once<'a>(lines: &[Value], wanted: impl IntoIterator<Item = &'a String>) {
    let mut named = sources(lines);
    named.sort_unstable();
    let wanted: BTreeSet<&str> = wanted.into_iter().map(String::as_str).collect();
    assert_eq!(named, wanted.into_iter().collect::<Vec<_>>());
}

fn reason(line: &Value) -> &str {
    let details = line["error"]["details"].as_array().unwrap();
    let info = details.iter().find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo").unwrap();
    assert_eq!(info["domain"], "sightline");
    info["reason"].as_str().unwrap()
}

/// Reads standard error until a line holds this; the rest is read on in the background.
async fn until(child: &mut Child, text: &str) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("no `{text}` before the end"));
        if line.contains(text) {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}

/// Returns once another process has written a line to the file. It tells no event, so it is looked for again and again.
async fn has_a_line(path: &Path) {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let written = async {
        while !fs::read_to_string(path).is_ok_and(|text| text.contains('\n')) {
            again.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("a line");
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn sources_of_every_kind_have_a_line_each_in_order_and_a_picture() {
    let bench = Bench::start(&["k 1.png".into(), "sub/k2.png".into(), "sub/k3.gif".into(), "no.txt.png".into()]).await;
    for file in ["files/b.png", "files/a/1.jpg", "files/.hidden.png", "more/x1.png", "more/x2.png", "m [1].png"] {
        put(&bench.path(file));
    }
    let words = ["files", "more/*.png", "s3://photos/sub/", "files/b.png", "-", "--in-order", "--annotate", "drawn"];
    let mut child = bench.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    let manifest = "m [1].png\n\ns3://photos/k 1.png\n";
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let lines = parsed(&String::from_utf8(output.stdout).unwrap());
    let wanted = ["files/a/1.jpg", "files/b.png", "more/x1.png", "more/x2.png"];
    let listed = ["s3://photos/sub/k2.png", "s3://photos/sub/k3.gif"];
    let manifest = ["m [1].png", "s3://photos/k 1.png"];
    assert_eq!(sources(&lines), [&wanted[..], &listed, &manifest].concat());
    let ids: Vec<_> = lines.iter().map(|line| line["itemId"].as_str().unwrap()).collect();
    assert_eq!(ids[4..6], ["sub/k2.png", "sub/k3.gif"]);
    let places: Vec<_> = lines.iter().map(|line| line["itemIndex"].as_str().unwrap()).collect();
    assert_eq!(places, ["0", "1", "2", "3", "4", "5", "7", "8"], "b.png was named twice");
    assert!(lines.iter().all(|line| line["analysis"]["description"]["text"] == "A picture."));
    assert_eq!(lines[5]["resumeAfter"], "sub/k3.gif");
    assert_eq!(lines[5]["listing"], "s3://photos/sub/");
    assert!(errors.contains("files/b.png is named more than once"), "{errors}");
    assert!(errors.contains("8 results") && errors.contains("8 succeeded, 0 failed"), "{errors}");
    assert_eq!(bench.bedrock.requests().len(), 8);
    let drawn: Vec<_> = fs::read_dir(bench.path("drawn")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(drawn.len(), 8, "{drawn:?}");
    assert!(drawn.iter().all(|path| image::image_dimensions(path).unwrap() == (64, 48)));
}

#[tokio::test]
async fn what_fails_has_a_line_its_reason_and_the_exit_code() {
    let bench = Bench::start(&keys(1)).await;
    put(&bench.path("good.png"));
    fs::write(bench.path("empty.png"), "").unwrap();
    fs::write(bench.path("no-picture.png"), "text").unwrap();
    let words =
        ["missing.png", "empty.png", "good.png", "no-picture.png", "s3://photos/none.png", "s3://nowhere/", "*.gif"];
    let (code, lines, errors) = bench.run(&[&words[..], &["--in-order"]].concat()).await;
    assert_eq!(code, Some(1), "{errors}");
    let mut order = words.to_vec();
    order.swap(5, 6);
    assert_each_once(&lines, order.iter().map(ToString::to_string).collect::<Vec<_>>().iter());
    for (line, wanted) in lines.iter().zip([
        Some("FILE_NOT_FOUND"),
        Some("FILE_UNREADABLE"),
        None,
        Some("IMAGE_UNSUPPORTED"),
        Some("OBJECT_NOT_FOUND"),
        Some("BUCKET_NOT_FOUND"),
        Some("SOURCE_EMPTY"),
    ]) {
        assert_eq!(line.get("error").map(|_| reason(line)), wanted, "{line}");
        assert_eq!(line.get("analysis").is_some(), wanted.is_none());
    }
    assert!(errors.contains("1 succeeded, 6 failed") && errors.contains("1 FILE_NOT_FOUND"), "{errors}");
    assert!(!String::from_utf8_lossy(errors.as_bytes()).contains('\u{1b}'), "no bar without a terminal");
    let (code, lines, errors) = bench.run(&["good.png", "--quiet"]).await;
    assert_eq!((code, lines.len(), errors.as_str()), (Some(0), 1, ""));
}

#[tokio::test]
async fn a_wrong_command_line_is_refused_before_anything_is_asked() {
    let bench = Bench::start(&[]).await;
    put(&bench.path("in/a.png"));
    fs::write(bench.out(), "notes\n").unwrap();
    fs::create_dir(bench.path("folder.html")).unwrap();
    fs::write(bench.path("mine.html"), "<p>mine</p>").unwrap();
    fs::write(bench.path("empty.html"), "").unwrap();
    std::os::unix::fs::symlink("empty.html", bench.path("link.jsonl")).unwrap();
    let out = bench.out();
    let out = out.to_str().unwrap();
    for (words, wanted) in [
        (vec!["in/a.png", "--out", out], "--resume"),
        (vec!["in/a.png", "--out", out, "--resume"], "line 1"),
        (vec!["in/a.png", "--resume"], "--out"),
        (vec!["in/a.png", "--out", "-"], "standard output"),
        (vec!["in", "--annotate", "in"], "is a source too"),
        (vec!["in", "--annotate", "/proc"], "--annotate /proc"),
        (vec!["in", "--report", "/proc/a.html"], "a.html"),
        (vec!["in", "--report", "none/a.html"], "make it first"),
        (vec!["in", "--report", "in.txt"], "name it .html"),
        (vec!["in", "--report", "folder.html"], "cannot write folder.html"),
        (vec!["in", "--report", "mine.html"], "is no report"),
        (vec!["in", "--out", "new.html", "--report", "in/../new.html"], "--out too"),
        (vec!["in", "--out", "link.jsonl", "--report", "empty.html"], "--out too"),
        (vec!["-", "-"], "standard input"),
        (vec!["https://host/a.png"], "web address"),
        (vec!["in", "--timeout", "0s"], "longer than 0"),
        (vec![], "SOURCE"),
    ] {
        let (code, lines, errors) = bench.run(&words).await;
        assert_eq!(code, Some(2), "{words:?}: {errors}");
        assert!(errors.contains(wanted) && lines.is_empty(), "{words:?}: {errors}");
    }
    assert_eq!(fs::read_to_string(out).unwrap(), "notes\n", "the file is left alone");
    assert_eq!(fs::read_to_string(bench.path("mine.html")).unwrap(), "<p>mine</p>");
    assert_eq!(bench.bedrock.requests().len(), 0);
}

/// Answers all calls but the one of this number, from 1, and those from `then` on: they hang.
fn hanging(bedrock: &Bedrock, one: usize, then: usize) {
    let calls = AtomicUsize::new(0);
    bedrock.answer_with(move |_| match calls.fetch_add(1, Ordering::SeqCst) + 1 {
        call if call == one || call >= then => Reply::hang(),
        _ => described(),
    });
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_with_no_line_lost_or_repeated() {
    let all = keys(40);
    let bench = Bench::start(&all).await;
    let (files, listed) =
        (all.iter().map(|key| format!("files/{key}")), all.iter().map(|key| format!("s3://photos/{key}")));
    files.clone().for_each(|file| put(&bench.path(&file)));
    let out = bench.out();
    for (source, wanted) in [("files", files.collect::<Vec<_>>()), ("s3://photos/", listed.collect())] {
        // One of the first never ends, so that what comes after it is answered out of order.
        let calls = bench.bedrock.requests().len();
        hanging(&bench.bedrock, 2, 20);
        let words = [source, "--out", out.to_str().unwrap(), "--resume", "--max-in-flight", "4"];
        let mut child = bench.command(&words).stderr(Stdio::null()).spawn().unwrap();
        // The 18 that are answered make room for 22 in all.
        bench.bedrock.received(calls + 22).await;
        has_a_line(&out).await;
        child.kill().await.unwrap();
        let before = fs::read_to_string(&out).unwrap();
        let before = before.lines().count();
        assert!((1..=18).contains(&before), "{before}");
        // As if it had been killed within a line.
        let torn = [fs::read(&out).unwrap(), br#"{"source":"files/p"#.to_vec()].concat();
        fs::write(&out, torn).unwrap();
        bench.bedrock.answer_with(|_| described());
        let (code, _, errors) = bench.run(&words).await;
        assert_eq!(code, Some(0), "{errors}");
        assert_each_once(&results(&out), &wanted);
        assert!(errors.contains("answered already") || source != "files", "{errors}");
        let calls = bench.bedrock.requests().len();
        let (code, _, errors) = bench.run(&words).await;
        assert_eq!((code, bench.bedrock.requests().len()), (Some(0), calls), "nothing is left to do: {errors}");
        fs::remove_file(&out).unwrap();
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_asked_for_the_rest() {
    let all = keys(30);
    let mut bench = Bench::start(&all).await;
    for (source, wanted) in [
        ("s3/photos", all.iter().map(|key| format!("s3/photos/{key}")).collect::<Vec<_>>()),
        ("s3://photos", all.iter().map(|key| format!("s3://photos/{key}")).collect()),
    ] {
        let calls = bench.bedrock.requests().len();
        hanging(&bench.bedrock, 3, 15);
        let mut child = bench.command(&[source, "--max-in-flight", "4"]).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        bench.bedrock.received(calls + 17).await;
        bench.bedrock.answer_with(|_| described());
        bench = bench.restart().await;
        until(&mut child, "the stream broke off").await;
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        assert_each_once(&parsed(&text), &wanted);
    }
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_run() {
    let bench = Bench::start(&keys(9)).await;
    bench.bedrock.answer_with(|_| Reply::hang());
    let mut child = bench.command(&["s3://photos/", "--retries", "1"]).spawn().unwrap();
    bench.bedrock.received(9).await;
    let Bench { running, .. } = bench;
    running.stop().await.unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1), "{errors}");
    assert!(errors.contains("(1 of 1)") && errors.contains("error: UNAVAILABLE"), "{errors}");
}

#[tokio::test]
async fn a_first_signal_finishes_what_is_in_progress() {
    let all = keys(30);
    let bench = Bench::start(&all).await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    bench.bedrock.answer_with(move |_| described().delayed(&held));
    let out = bench.out();
    let words = ["s3/photos", "--out", out.to_str().unwrap(), "--resume", "--max-in-flight", "4"];
    let mut child = bench.command(&words).spawn().unwrap();
    bench.bedrock.received(4).await;
    signal(&child, "-INT").await;
    until(&mut child, "stopping").await;
    let opened = tokio::spawn(async move {
        loop {
            gate.notify_one();
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    opened.abort();
    let done = results(&out).len();
    assert!((4..=7).contains(&done), "what was in progress, and no more: {done}");
    bench.bedrock.answer_with(|_| described());
    assert_eq!(bench.run(&words).await.0, Some(0));
    let wanted: Vec<_> = all.iter().map(|key| format!("s3/photos/{key}")).collect();
    assert_each_once(&results(&out), &wanted);
}

#[tokio::test]
async fn a_signal_cancels_a_listing_and_a_second_one_ends_at_once() {
    let bench = Bench::start(&keys(30)).await;
    bench.bedrock.answer_with(|_| Reply::hang());
    let child = bench.command(&["s3://photos/", "--max-in-flight", "4"]).spawn().unwrap();
    bench.bedrock.received(4).await;
    signal(&child, "-TERM").await;
    let output = child.wait_with_output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("0 results") && errors.contains("stopped before the end"), "{errors}");
    bench.bedrock.abandoned(4).await;

    let mut child = bench.command(&["s3/photos", "--max-in-flight", "4"]).spawn().unwrap();
    bench.bedrock.received(8).await;
    signal(&child, "-INT").await;
    until(&mut child, "stopping").await;
    signal(&child, "-INT").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_signal_is_heard_while_a_server_says_nothing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = command();
    command.args(["analyze-many", "s3://photos/", "--server", &silent.local_addr().unwrap().to_string()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (_connection, _) = silent.accept().await.unwrap();
    signal(&child, "-INT").await;
    // It waits ten seconds for what the server can do.
    let output = tokio::time::timeout(Duration::from_secs(9), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "stopped before anything was asked for\n");
}

#[tokio::test]
async fn a_server_of_something_else_is_said_to_be_one() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(other);
    tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    let mut command = command();
    let output = command.args(["analyze-many", "s3://photos/", "--retries", "0", "--server", &address]).output().await;
    let (code, errors) = output.map(|output| (output.status.code(), output.stderr)).unwrap();
    let errors = String::from_utf8(errors).unwrap();
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("Is it a Sightline server"), "{errors}");
}

/// Fails the picture of every call that has one of these numbers, from 1.
fn failing(bedrock: &Bedrock, numbers: &[usize]) {
    let (calls, numbers) = (AtomicUsize::new(0), numbers.iter().copied().collect::<HashSet<_>>());
    bedrock.answer_with(move |_| match numbers.contains(&(calls.fetch_add(1, Ordering::SeqCst) + 1)) {
        true => Reply::error(403, "AccessDeniedException", "no"),
        false => described(),
    });
}

#[tokio::test]
async fn failures_are_asked_for_again_when_told_so() {
    let all = keys(8);
    let bench = Bench::start(&all).await;
    let out = bench.out();
    for source in ["s3/photos", "s3://photos/"] {
        let words = [source, "--out", out.to_str().unwrap(), "--resume", "--in-order", "--max-in-flight", "1"];
        failing(&bench.bedrock, &[2, 8]);
        assert_eq!(bench.run(&words).await.0, Some(1));
        bench.bedrock.answer_with(|_| described());
        let (code, _, errors) = bench.run(&words).await;
        assert_eq!(code, Some(1), "they still have failed");
        assert!(errors.contains("2 failed in an earlier run") && errors.contains("0 results"), "{errors}");
        let (code, _, errors) = bench.run(&[&words[..], &["--retry-failed"]].concat()).await;
        assert_eq!(code, Some(0), "{errors}");
        let lines = results(&out);
        assert_eq!(lines.len(), 10);
        let mended: Vec<_> = sources(&lines[8..]).iter().map(|source| source.rsplit('/').next().unwrap()).collect();
        assert_eq!(mended, ["p01.png", "p07.png"]);
        assert_eq!(bench.run(&[&words[..], &["--retry-failed"]].concat()).await.0, Some(0));
        assert_eq!(results(&out).len(), 10);
        fs::remove_file(&out).unwrap();
    }
}

#[tokio::test]
async fn a_listing_that_failed_is_asked_for_again_when_told_so() {
    let bench = Bench::start(&keys(1)).await;
    let out = bench.out();
    let words = ["s3://photos/later/", "--out", out.to_str().unwrap(), "--resume"];
    assert_eq!(bench.run(&words).await.0, Some(1));
    put(&bench.path("s3/photos/later/a.png"));
    let (code, _, errors) = bench.run(&words).await;
    assert_eq!((code, results(&out).len()), (Some(1), 1), "{errors}");
    assert!(errors.contains("1 answered already") && errors.contains("1 failed in an earlier run"), "{errors}");
    for _ in 0..2 {
        let (code, _, errors) = bench.run(&[&words[..], &["--retry-failed"]].concat()).await;
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(bench.run(&words).await.0, Some(0));
        assert_eq!(sources(&results(&out)), ["s3://photos/later/", "s3://photos/later/a.png"]);
    }
}

#[tokio::test]
async fn stop_on_failure_starts_nothing_more_and_leaves_the_rest_to_a_later_run() {
    let all = keys(12);
    let bench = Bench::start(&all).await;
    let out = bench.out();
    for (source, prefix) in [("s3/photos", "s3/photos/"), ("s3://photos/", "s3://photos/")] {
        let words = [source, "--out", out.to_str().unwrap(), "--resume", "--max-in-flight", "1"];
        failing(&bench.bedrock, &[3]);
        let (code, _, errors) = bench.run(&[&words[..], &["--stop-on-failure"]].concat()).await;
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("2 succeeded, 1 failed") && errors.contains("stopped after the first"), "{errors}");
        assert_eq!(results(&out).len(), 3, "what was not started has no line");
        assert_eq!(bench.run(&words).await.0, Some(1));
        assert_each_once(&results(&out), &all.iter().map(|key| format!("{prefix}{key}")).collect::<Vec<_>>());
        fs::remove_file(&out).unwrap();
    }
}

#[tokio::test]
async fn a_listing_is_bounded_over_all_runs() {
    let bench = Bench::start(&keys(9)).await;
    let out = bench.out();
    let words = ["s3://photos/", "--out", out.to_str().unwrap(), "--resume", "--suffix", ".PNG"];
    for (most, wanted) in [("4", 4), ("4", 4), ("6", 6), ("20", 9)] {
        let (code, _, errors) = bench.run(&[&words[..], &["--max-objects", most]].concat()).await;
        assert_eq!((code, results(&out).len()), (Some(0), wanted), "{errors}");
    }
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_the_run_quietly() {
    let bench = Bench::start(&keys(30)).await;
    let gate = Gate::default();
    let held = gate.clone();
    bench.bedrock.answer_with(move |_| described().behind(&held));
    let mut child = bench.command(&["s3/photos", "--max-in-flight", "2"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // There is no second line before the reader is gone.
    gate.let_through(1);
    stdout.read_line(&mut line).await.unwrap();
    drop(stdout);
    gate.open();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    assert!(bench.bedrock.requests().len() < 30);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn standard_error_that_cannot_be_written_ends_nothing() {
    let bench = Bench::start(&[]).await;
    put(&bench.path("a.png"));
    for (words, wanted) in [(vec!["a.png", "gone.png", "a.png"], 2), (vec!["a.png", "--report", "/proc/a.html"], 0)] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = bench.command(&words).stderr(full).output().await.unwrap();
        assert_eq!(output.status.code(), Some(if wanted == 0 { 2 } else { 1 }));
        assert_eq!(parsed(&String::from_utf8(output.stdout).unwrap()).len(), wanted);
    }
}

#[tokio::test]
async fn a_manifest_is_read_as_slots_become_free() {
    let bench = Bench::start(&keys(1)).await;
    let mut child = bench.command(&["-", "--max-in-flight", "2"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 0..3 {
        fs::write(bench.path(&format!("{n}.png")), photo("coffee.png")).unwrap();
        stdin.write_all(format!("{n}.png\n").as_bytes()).await.unwrap();
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(line.starts_with(&format!(r#"{{"source":"{n}.png""#)), "answered while the manifest is open: {line}");
    }
    drop(stdin);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_report_shows_everything_the_file_holds_and_a_later_run_draws_what_is_missing() {
    let all = keys(6);
    let bench = Bench::start(&all).await;
    let (out, page) = (bench.out(), bench.path("report.html"));
    let words = ["s3://photos/", "s3/photos", "gone.png", "--out", out.to_str().unwrap(), "--resume", "--in-order"];
    let words = [&words[..], &["--max-in-flight", "1", "--report", "report.html", "--annotate", "drawn"]].concat();
    failing(&bench.bedrock, &[3]);
    let (code, _, errors) = bench.run(&[&words[..], &["--stop-on-failure"]].concat()).await;
    assert_eq!(code, Some(1), "{errors}");
    let first = fs::read_to_string(&page).unwrap();
    assert_eq!(first.matches("<article").count(), 3, "{errors}");
    fs::remove_dir_all(bench.path("drawn")).unwrap();
    bench.bedrock.answer_with(|_| described());
    let (code, _, errors) = bench.run(&[&words[..], &["--retry-failed"]].concat()).await;
    assert_eq!(code, Some(1), "{errors}");
    let second = fs::read_to_string(&page).unwrap();
    assert_eq!(second.matches("<article").count(), 13, "what failed and was mended is there once");
    assert_eq!(second.matches("src=\"data:image/").count(), 12, "objects and files alike");
    assert_eq!(fs::read_dir(bench.path("drawn")).unwrap().count(), 12);
}

#[tokio::test]
async fn objects_that_cannot_be_read_here_are_results_all_the_same() {
    let bench = Bench::start(&keys(9)).await;
    let mut command = bench.command(&["s3://photos/", "--annotate", "drawn"]);
    command.env("AWS_SECRET_ACCESS_KEY", "another");
    let output = command.output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 9);
    assert_eq!(errors.matches("no further objects are tried").count(), 1, "{errors}");
    assert!(errors.contains("AWS_ENDPOINT_URL_S3") && errors.contains("9 not drawn"), "{errors}");
}

#[tokio::test]
async fn a_file_that_has_changed_since_is_not_drawn_on() {
    let bench = Bench::start(&[]).await;
    put(&bench.path("a.png"));
    let words = ["a.png", "--out", "results.jsonl", "--resume"];
    assert_eq!(bench.run(&words).await.0, Some(0));
    let other = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    other.save(bench.path("a.png")).unwrap();
    let (code, _, errors) = bench.run(&[&words[..], &["--annotate", "drawn"]].concat()).await;
    assert_eq!(code, Some(0));
    assert!(errors.contains("a.png was not drawn: it has changed since it was analyzed"), "{errors}");
    assert_eq!(fs::read_dir(bench.path("drawn")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_pipe_has_a_failed_line_and_holds_nothing_up() {
    let bench = Bench::start(&[]).await;
    put(&bench.path("in/a.png"));
    for pipe in ["pipe.png", "in/pipe.png"] {
        assert!(Command::new("mkfifo").arg(bench.path(pipe)).status().await.unwrap().success());
    }
    let (code, lines, errors) = bench.run(&["pipe.png", "in", "--in-order"]).await;
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(sources(&lines), ["pipe.png", "in/a.png"]);
    assert_eq!(reason(&lines[0]), "FILE_UNREADABLE");
}

#[tokio::test]
async fn a_listing_within_another_one_is_paid_for_once() {
    let bench = Bench::start(&["a.png".into(), "in/b.png".into()]).await;
    let (code, lines, errors) = bench.run(&["s3://photos/", "s3://photos/in/"]).await;
    assert_eq!((code, lines.len(), bench.bedrock.requests().len()), (Some(0), 2, 2), "{errors}");
    assert!(errors.contains("note: s3://photos/in/ lies within another listing"), "{errors}");
}

#[tokio::test]
async fn help_says_what_there_is() {
    let output = command().args(["analyze-many", "--help"]).output().await.unwrap();
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
