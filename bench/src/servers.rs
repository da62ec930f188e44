//! Servers in processes of their own: the one that is measured, and those that it is compared with.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    process,
    upstream::{Addresses, BUCKET},
};

/// The caller's token; the others do not look at it.
pub const TOKEN: &str = "the-caller-of-the-benchmark";
/// Longest wait for a server to serve.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The one that is measured.
    Sightline,
    /// The least that a request can cost.
    Floor,
    /// gRPC alone.
    Bare,
    /// The original guide's Python behind grpcio.
    Python,
}

impl Kind {
    /// How it is written in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sightline => "Sightline",
            Self::Floor => "floor",
            Self::Bare => "bare",
            Self::Python => "Python",
        }
    }
}

/// Where the servers come from.
#[derive(Debug, Clone, Args)]
pub struct Binaries {
    /// The server to measure; build it with
    /// `cargo build --profile dist --no-default-features --features server`
    #[arg(long, default_value = "target/dist/sightline")]
    pub server: PathBuf,
    /// A further argument of `sightline serve`; may be given several times
    #[arg(long = "server-arg", allow_hyphen_values = true)]
    pub server_args: Vec<String>,
}

/// What servers are started with.
pub struct Setup {
    binaries: Binaries,
    addresses: Addresses,
    folder: TempDir,
    /// Bytes of the server's body to Bedrock around the picture.
    pub around: usize,
    started: std::cell::Cell<u32>,
}

impl Setup {
    /// Servers of `binaries` before the upstreams at `addresses`.
    pub fn new(binaries: &Binaries, addresses: Addresses) -> anyhow::Result<Self> {
        let mut binaries = binaries.clone();
        let server = &binaries.server;
        binaries.server = fs::canonicalize(server).with_context(|| {
            format!(
                "there is no {}: `cargo build --profile dist --no-default-features --features server` makes it, \
                 --server names another",
                server.display()
            )
        })?;
        let folder = tempfile::tempdir()?;
        let digest = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        fs::write(
            folder.path().join("tokens.toml"),
            format!("[[token]]\ncaller = \"bench\"\nsha256 = \"{digest}\"\n"),
        )?;
        fs::write(folder.path().join("policy.toml"), policy())?;
        Ok(Self { binaries, addresses, folder, around: 2000, started: std::cell::Cell::new(0) })
    }

    /// Keeps what GetCapabilities of the server answers, for `bare` to answer the same.
    pub fn keep_capabilities(&self, message: &[u8]) -> anyhow::Result<()> {
        Ok(fs::write(self.file("capabilities.bin"), message)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, kind: Kind) -> anyhow::Result<Command> {
        let own = std::env::current_exe()?;
        Ok(match kind {
            Kind::Sightline => self.sightline(),
            Kind::Floor => {
                let mut command = Command::new(own);
                command.arg("floor").args(["--around", &self.around.to_string()]);
                command
            }
            Kind::Bare => {
                let mut command = Command::new(own);
                command.arg("bare");
                let capabilities = self.file("capabilities.bin");
                if capabilities.exists() {
                    command.arg("--capabilities").arg(capabilities);
                }
                command
            }
            Kind::Python => {
                let peer = peer();
                let mut command = Command::new(peer.join(".venv/bin/python"));
                command.arg("-B").arg(peer.join("server.py"));
                command
            }
        })
    }

    /// As in production: a policy, callers by token, the log in JSON, metrics, traces.
    fn sightline(&self) -> Command {
        let mut command = Command::new(&self.binaries.server);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--policy")
            .arg(self.file("policy.toml"))
            .arg("--tokens")
            .arg(self.file("tokens.toml"))
            .args(["--otlp-endpoint", &format!("http://{}", self.addresses.collector), "--trace-ratio", "0.1"])
            .args(&self.binaries.server_args);
        command
    }

    /// Starts a server and waits until it serves.
    pub async fn start(&self, kind: Kind) -> anyhow::Result<Server> {
        self.started.set(self.started.get() + 1);
        let log = self.file(&format!("{}-{}.log", kind.name(), self.started.get()));
        let mut command = self.command(kind)?;
        without_surroundings(&mut command);
        command
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", self.addresses.s3))
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("http://{}", self.addresses.bedrock))
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", kind.name()))?;
        // The own ones end with it, also when this process is killed.
        let input = child.stdin.take();
        let mut server = Server {
            kind,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child,
            _input: input,
            log,
            serving_after: Duration::ZERO,
        };
        server
            .wait(began)
            .await
            .with_context(|| format!("{} does not serve:\n{}", kind.name(), server.last_words()))?;
        Ok(server)
    }
}

/// No variable of whoever runs this decides how a server behaves.
fn without_surroundings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let is_setting = ["AWS_", "SIGHTLINE_", "OTEL_"].iter().any(|start| text.starts_with(start));
        if is_setting || text.ends_with("_PROXY") {
            command.env_remove(&name);
        }
    }
}

/// The folder of the peer in Python.
pub fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peer")
}

/// Limits that are looked at and never reached, behind a rule for somebody else.
fn policy() -> String {
    format!(
        "[[rule]]\ncallers = [\"spiffe://example.org/ns/shop/sa/*\", \"reports\"]\nobjects = [\"s3://*\"]\n\
         requests_per_second = 20\n\n\
         [[rule]]\ncallers = [\"bench\"]\nobjects = [\"s3://public/\", \"s3://{BUCKET}/\"]\nmodels = [\"default\", \"fast\"]\n\
         requests_per_second = 1_000_000\nburst = 1_000_000\nmax_in_flight = 100_000\ntokens_per_day = 1_000_000_000_000\n"
    )
}

/// A running server; dropping it ends it.
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to the first time that health said SERVING.
    pub serving_after: Duration,
    child: Child,
    _input: Option<ChildStdin>,
    log: PathBuf,
}

impl Server {
    async fn wait(&mut self, began: Instant) -> anyhow::Result<()> {
        self.address = loop {
            if let Some(address) = self.listening()? {
                break address;
            }
            self.is_patient(began)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let channel = loop {
            match endpoint(self.address)?.connect().await {
                Ok(channel) => break channel,
                Err(_) => self.is_patient(began)?,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let mut health = HealthClient::new(channel);
        loop {
            let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
            if answer.status == ServingStatus::Serving as i32 {
                self.serving_after = began.elapsed();
                return Ok(());
            }
            self.is_patient(began)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn is_patient(&mut self, began: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended: {status}");
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "too late");
        Ok(())
    }

    /// The address in the line of the log that says where it listens.
    fn listening(&self) -> anyhow::Result<Option<SocketAddr>> {
        let log = fs::read_to_string(&self.log)?;
        let entries = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let is_it = |entry: &serde_json::Value| entry.get("message").is_some_and(|message| message == "listening");
        let found = entries.filter(is_it).find_map(|entry| entry.get("address")?.as_str()?.parse().ok());
        Ok(found)
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time in seconds since its start, the user's and the kernel's.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        // Thousands of lines that nobody reads.
        let _removed = fs::remove_file(&self.log);
    }
}

/// How every client connects.
pub fn endpoint(address: SocketAddr) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true))
}

/// One connection.
pub async fn connect(address: SocketAddr) -> anyhow::Result<Channel> {
    endpoint(address)?.connect().await.with_context(|| format!("cannot connect to {address}"))
}
