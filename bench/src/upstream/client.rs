//! The upstreams' process, as those see it who start it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;

use super::{Addresses, Asked, Behaviour};

/// The running process; dropping it ends it.
pub struct Upstream {
    /// Where its servers listen.
    pub addresses: Addresses,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Upstream {
    /// Starts it.
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("upstream")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the upstreams")?;
        let input = child.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).context("the upstreams ended before they listened")?;
        Ok(Self { addresses, child, input, output })
    }

    /// Tells it how to behave, and learns what was asked of it since the last time.
    pub fn behave(&mut self, behaviour: Behaviour) -> anyhow::Result<Asked> {
        writeln!(self.input, "{}", serde_json::to_string(&behaviour)?)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).context("the upstreams do not answer")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
