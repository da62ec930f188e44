//! The server in a process of its own, and what the kernel counts for it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use crate::upstream::Upstreams;

/// `listening` must come through; a line for every call must not.
const LOG: &str = "warn,sightline=info,sightline::grpc=warn,sightline::pipeline=warn";
/// Ticks of a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// A running server; dropping it kills it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts `binary` on a free port, with `upstreams` for AWS.
    pub fn start(binary: &Path, upstreams: &Upstreams) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            if text.starts_with("AWS_") || text.starts_with("SIGHTLINE_") || text.ends_with("_PROXY") {
                command.env_remove(&name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--cache-bytes", "0B"])
            .args(["--log-format", "json", "--log", LOG])
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", upstreams.s3))
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("http://{}", upstreams.bedrock))
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child };
        server.address = server.listening()?;
        Ok(server)
    }

    /// Reads the log as far as the address, and passes on what comes after it.
    fn listening(&mut self) -> anyhow::Result<SocketAddr> {
        let log = self.child.stderr.take().context("the server's log was taken")?;
        let mut lines = BufReader::new(log).lines();
        for line in lines.by_ref() {
            let line = line?;
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let address = entry.get("address").and_then(|address| address.as_str());
            if let (Some("listening"), Some(address)) =
                (entry.get("message").and_then(|message| message.as_str()), address)
            {
                let address = address.parse()?;
                // Read on, so that the server never waits for a full pipe.
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        eprintln!("  server: {line}");
                    }
                });
                return Ok(address);
            }
            eprintln!("  server: {line}");
        }
        anyhow::bail!("the server ended before it listened")
    }

    /// CPU time in seconds, of the user and of the kernel, since it started.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// Most resident memory in MiB since the last [`Self::reset_peak`].
    pub fn peak_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmHWM:")
    }

    /// Starts the peak anew. A kernel that does not allow it counts from the process's start, which was not long ago.
    pub fn reset_peak(&self) {
        if fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").is_err() {
            eprintln!("  the kernel does not reset the peak of memory: it counts from the server's start");
        }
    }

    fn status_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = read(&self.child.id().to_string(), "status")?;
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.and_then(|value| value.trim().strip_suffix("kB")).context("/proc/PID/status lacks a field")?;
        Ok(kib.trim().parse::<f64>()? / 1024.0)
    }
}

/// CPU time in seconds of a process, or of this one, `self`.
pub fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let stat = read(process, "stat")?;
    // The name before the last bracket may hold anything. utime and stime are fields 14 and 15, the state is 3.
    let fields = stat.rsplit_once(')').context("/proc/PID/stat has no name")?.1.split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS)
}

fn read(process: &str, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}: this benchmark needs Linux"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
