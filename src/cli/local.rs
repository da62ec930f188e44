//! A server of this process's own, on the embedded S3 and Bedrock: for `--embedded` and the demo.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;

use crate::{embedded::EmbeddedStack, serve};

/// The embedded stack with a server in front of it.
pub struct Local {
    stack: EmbeddedStack,
    server: serve::Running,
}

impl Local {
    /// Starts both. Without a folder, one with the demo's photos is made and removed at the end.
    ///
    /// # Errors
    /// A folder that cannot be used, or an address that is taken.
    pub async fn start(folder: Option<PathBuf>, listen: SocketAddr) -> anyhow::Result<Self> {
        let stack = EmbeddedStack::start(folder).await.context("cannot start the embedded S3 and Bedrock")?;
        match serve::start_embedded(listen, &stack).await {
            Ok(server) => Ok(Self { stack, server }),
            Err(error) => {
                stack.stop().await;
                Err(error.context(format!("cannot start the server on {listen}")))
            }
        }
    }

    /// The embedded stack.
    pub fn stack(&self) -> &EmbeddedStack {
        &self.stack
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Stops the server first, then what it stands on.
    ///
    /// # Errors
    /// When the server failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let stopped = self.server.stop().await;
        self.stack.stop().await;
        stopped.context("the server did not end well")
    }
}

/// Any free port of this machine alone.
pub fn ephemeral() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
