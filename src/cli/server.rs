//! The server that a command asks: one that runs already, or one of the command's own over the embedded S3 and detector.

#[cfg(feature = "embedded")]
use std::path::PathBuf;
use std::time::Duration;

use super::{
    client::{self, Client},
    tls::ConnectArgs,
};
use crate::app;

/// The flags that say which server is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerChoice {
    /// Server to ask, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long = "server", env = "SIGHTLINE_SERVER", default_value = client::DEFAULT_SERVER, value_name = "URL",
          help_heading = "Server")]
    pub url: String,

    /// How to connect to it.
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Start a server with the embedded S3 and detector for this call, instead of connecting to --server. DIR's
    /// sub-folders are its buckets; without DIR, bucket `photos` holds the demo's pictures.
    #[cfg(feature = "embedded")]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, help_heading = "Server")]
    pub embedded: Option<Option<PathBuf>>,
}

/// The server that is asked, and where the pictures are that it reads.
pub struct Server {
    /// The service at that server.
    pub client: Client,
    #[cfg(feature = "embedded")]
    pub(super) local: Option<super::local::Local>,
}

impl Server {
    /// Connects, or starts what is to be asked. An analysis of one picture is given `timeout`.
    ///
    /// # Errors
    /// No server there, or none that could be started, as people read it.
    pub async fn open(choice: &ServerChoice, timeout: Duration) -> Result<Self, OpenError> {
        #[cfg(feature = "embedded")]
        if let Some(folder) = &choice.embedded {
            return Self::open_embedded(folder.clone(), timeout).await;
        }
        Ok(Self {
            client: Client::new(client::connect(&choice.url, &choice.connect).await?, timeout)
                .with_token(choice.connect.token.clone()),
            #[cfg(feature = "embedded")]
            local: None,
        })
    }

    #[cfg(feature = "embedded")]
    async fn open_embedded(folder: Option<PathBuf>, timeout: Duration) -> Result<Self, OpenError> {
        use super::local::{Local, ephemeral};
        let local = Local::start(folder, ephemeral()).await.map_err(OpenError::Start)?;
        match client::connect(&local.address().to_string(), &ConnectArgs::default()).await {
            Ok(channel) => Ok(Self { client: Client::new(channel, timeout), local: Some(local) }),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = local.stop().await;
                Err(error.into())
            }
        }
    }

    /// Whether the server and its S3 are of this process.
    pub fn is_own(&self) -> bool {
        #[cfg(feature = "embedded")]
        return self.local.is_some();
        #[cfg(not(feature = "embedded"))]
        false
    }

    /// The S3 that the server reads: its own, or for a server elsewhere the one that this environment names.
    pub async fn s3(&self) -> aws_sdk_s3::Client {
        #[cfg(feature = "embedded")]
        if let Some(local) = &self.local {
            return app::s3_of(local.stack()).await;
        }
        app::s3_from_environment().await
    }

    /// Stops what was started.
    pub async fn close(self) {
        #[cfg(feature = "embedded")]
        if let Some(local) = self.local
            && let Err(error) = local.stop().await
        {
            use std::io::Write as _;
            // A warning that cannot be written is none.
            let _ = writeln!(std::io::stderr(), "warning: {}", super::plain::line(&format!("{error:#}")));
        }
    }
}

/// Why there is no server to ask.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// None that answers.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// The embedded one does not start.
    #[error("{0:#}")]
    Start(anyhow::Error),
}

impl OpenError {
    /// Whether the command line itself is wrong.
    pub fn is_usage(&self) -> bool {
        use client::ConnectError::{InvalidAddress, Tls};
        matches!(self, Self::Connect(InvalidAddress { .. } | Tls(_)))
    }
}
