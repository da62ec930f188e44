//! `sightline serve` in a process of its own, with its log in the test's hands and its admin port open.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{bedrock::Bedrock, loopback::PATIENCE, s3::S3};
use crate::command::{aws_at, command};

/// A running server. Dropping it kills it.
pub struct Process {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: Log,
    reading: JoinHandle<()>,
}

/// The lines of the log.
#[derive(Clone)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

impl Log {
    /// The first line whose field `message` is this, once there is one.
    async fn said(&self, message: &str) -> Value {
        let mut count = self.count.subscribe();
        loop {
            let found = self.lines.lock().unwrap().iter().find_map(|line| {
                let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
                (entry["message"] == message).then_some(entry)
            });
            if let Some(entry) = found {
                return entry;
            }
            if timeout(PATIENCE, count.changed()).await.is_err() {
                panic!("the server does not say {message:?}: {}", self.lines.lock().unwrap().join("\n"));
            }
        }
    }
}

impl Process {
    pub async fn start(s3: &S3, bedrock: &Bedrock, flags: &[&str]) -> Self {
        Self::within(s3, bedrock, flags, &[]).await
    }

    /// The same with variables of the environment.
    pub async fn within(s3: &S3, bedrock: &Bedrock, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command()
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(flags)
            .envs(aws_at(s3.endpoint(), bedrock.endpoint()))
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log { lines: Arc::default(), count: watch::Sender::new(0) };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = log.clone();
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lines.lock().unwrap().push(line);
                kept.count.send_modify(|count| *count += 1);
            }
        });
        let address = |entry: Value| entry["address"].as_str().unwrap().parse().unwrap();
        let (listens, admin) = (address(log.said("listening").await), address(log.said("admin port open").await));
        log.said("serving").await;
        Self { address: listens, admin, child, log, reading }
    }

    /// A line of the log, once it is there.
    pub async fn said(&self, message: &str) -> Value {
        self.log.said(message).await
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.http("GET", path, "", "").await
    }

    /// One request to the admin port; `headers` are whole lines.
    pub async fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    }

    /// Sends SIGTERM, waits for a clean end and returns the whole log.
    pub async fn stop(mut self) -> String {
        self.terminate().await;
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0), "SIGTERM ends it cleanly");
        self.reading.await.unwrap();
        self.log.lines.lock().unwrap().join("\n")
    }

    /// The exit code, once the process has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }
}
