//! How the command line proves who it is and checks who the server is.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::metadata::{Ascii, MetadataValue};

/// The flags of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConnectArgs {
    /// Authorities of the server's certificate, in PEM, for https:// addresses. [default: the system's]
    #[arg(long, env = "SIGHTLINE_TLS_CA", value_name = "FILE", help_heading = "Server")]
    pub tls_ca: Option<PathBuf>,

    /// Certificate to show to the server, in PEM, where it asks for one. With --tls-key.
    #[arg(long, env = "SIGHTLINE_CLIENT_CERT", value_name = "FILE", requires = "tls_key", help_heading = "Server")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, in PEM.
    #[arg(long, env = "SIGHTLINE_CLIENT_KEY", value_name = "FILE", requires = "tls_cert", help_heading = "Server")]
    pub tls_key: Option<PathBuf>,

    /// Bearer token to send. On a command line others on this machine can read it: prefer the variable.
    #[arg(long, env = "SIGHTLINE_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = token,
          help_heading = "Server")]
    pub token: Option<Token>,
}

/// A bearer token, which nothing prints.
#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(a token)")
    }
}

impl Token {
    /// The value of the header `authorization`.
    pub(super) fn authorization(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

fn token(text: &str) -> Result<Token, &'static str> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_token.then(|| MetadataValue::try_from(format!("Bearer {text}")).ok()).flatten();
    let mut value = value.ok_or("is no token: it must have visible ASCII characters only")?;
    value.set_sensitive(true);
    Ok(Token(value))
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or holds something else.
    #[error("{flag} {} {problem}", path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Everything else.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl ConnectArgs {
    /// What makes TLS connections.
    pub(super) fn connector(&self) -> Result<TlsConnector, TlsError> {
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(setup)?;
        let builder = builder.with_root_certificates(self.roots()?);
        let mut config = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("--tls-cert", certificate)?;
                let private = PrivateKeyDer::from_pem_slice(&read("--tls-key", key)?)
                    .map_err(|_| wrong("--tls-key", key, "holds no private key in PEM"))?;
                builder.with_client_auth_cert(chain, private).map_err(setup)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.tls_ca else {
            // Certificates that cannot be used stand among a system's.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        for certificate in certificates("--tls-ca", path)? {
            roots.add(certificate).map_err(|error| wrong("--tls-ca", path, &error.to_string()))?;
        }
        Ok(roots)
    }
}

/// Connects to the host and port of the address, and checks the server's certificate against the host.
pub(super) async fn connect(connector: TlsConnector, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(connector.connect(name, stream).await?))
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| wrong(flag, path, "holds no certificate in PEM"))
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| wrong(flag, path, &format!("cannot be read: {error}")))
}

fn wrong(flag: &'static str, path: &Path, problem: &str) -> TlsError {
    TlsError::File { flag, path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let token = token("hunter2").unwrap();
        assert_eq!(token.authorization().to_str().unwrap(), "Bearer hunter2");
        assert!(!format!("{token:?}{:?}", token.authorization()).contains("hunter2"));
        for text in ["", "two words", "line\n", "é"] {
            assert!(super::token(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_flag() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        for path in [empty.path().to_owned(), "/nonexistent".into()] {
            let args = ConnectArgs { tls_ca: Some(path.clone()), ..ConnectArgs::default() };
            let error = args.connector().err().unwrap().to_string();
            assert!(error.contains("--tls-ca") && error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
