//! Settings of who may call and of connections.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use ipnet::IpNet;

use super::time;
use crate::identity::{JwtSource, KeyLocation, Sources};

/// Settings of who may call and of connections.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Serve callers without identity, wherever the server listens: anyone who reaches it may use it and read what its role may
    /// read.
    #[arg(long, env = "SIGHTLINE_ALLOW_ANONYMOUS", value_parser = BoolishValueParser::new())]
    pub allow_anonymous: bool,

    /// Certificate to show, in PEM, with those between it and its authority: the server speaks TLS. With --tls-key. Both are read
    /// again when they change.
    #[arg(long, env = "SIGHTLINE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, in PEM.
    #[arg(long, env = "SIGHTLINE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Authorities of client certificates, in PEM: every client must show one, whose SPIFFE id or else first DNS name is the
    /// caller. Read again when it changes.
    #[arg(long, env = "SIGHTLINE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Peers whose `x-forwarded-client-cert` header is believed: a mesh's sidecar is 127.0.0.1/32,::1/128. Nobody else may be
    /// able to connect from there.
    #[arg(long, env = "SIGHTLINE_TRUSTED_PROXIES", value_name = "CIDR,CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Option<Vec<IpNet>>,

    /// Bearer tokens: a TOML file of [[token]] tables with `caller` and `sha256`. Read again when it changes.
    #[arg(long, env = "SIGHTLINE_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,

    /// Keys of JWTs that are taken as bearer tokens: a JWKS as a file or an https URL. With --jwt-issuer and --jwt-audience.
    #[arg(long, env = "SIGHTLINE_JWKS", value_name = "FILE-or-URL", value_parser = keys)]
    pub jwks: Option<KeyLocation>,

    /// What the claim `iss` of a JWT must be.
    #[arg(long, env = "SIGHTLINE_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// What the claim `aud` of a JWT must be or hold.
    #[arg(long, env = "SIGHTLINE_JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// Most connections at once. One more is closed at once.
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Age at which a connection is told to end, so that load spreads over instances.
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTION_AGE", default_value = "30m", value_name = "TIME", value_parser = time)]
    pub max_connection_age: Duration,

    /// How long its calls in flight may take after that.
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTION_AGE_GRACE", default_value = "5m", value_name = "TIME", value_parser = time)]
    pub max_connection_age_grace: Duration,

    /// Most calls of one connection at once. A mesh's sidecar is one connection for many callers.
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTION_STREAMS", default_value_t = 1024, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub max_connection_streams: u32,
}

/// Who may call and how connections are made, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What identities are taken.
    pub sources: Sources,
    /// The files of TLS, when the server speaks it.
    pub tls: Option<TlsPaths>,
    /// Most connections at once.
    pub max_connections: usize,
    /// Age at which a connection is told to end.
    pub max_connection_age: Duration,
    /// How long its calls in flight may take after that.
    pub max_connection_age_grace: Duration,
    /// Most calls of one connection at once.
    pub max_connection_streams: u32,
    /// What works, but is hardly as it was meant.
    pub warnings: Vec<&'static str>,
}

/// The files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of client certificates, when clients must show one.
    pub client_ca: Option<PathBuf>,
}

/// Why it is not clear who may call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Others can connect, and nothing tells them apart.
    #[error(
        "--listen {listen} lets other machines connect, and nothing tells who they are. Name what does: --trusted-proxies (a \
         mesh's sidecar), --tls-client-ca (mutual TLS), --tokens or --jwks. Or say --allow-anonymous (SIGHTLINE_ALLOW_ANONYMOUS=true): then \
         anyone who reaches the port may use the server and read what its role may read"
    )]
    Unprotected {
        /// The address.
        listen: SocketAddr,
    },
    /// Settings that need others.
    #[error("{given} needs {missing} too")]
    Incomplete {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
}

impl AccessArgs {
    /// The same for a server that everybody may call who reaches it: one of a process's own, on loopback.
    pub fn without_identities(self) -> Self {
        Self {
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            trusted_proxies: None,
            tokens: None,
            jwks: None,
            jwt_issuer: None,
            jwt_audience: None,
            ..self
        }
    }

    /// Checks that the settings go together, for a server that listens there.
    pub(super) fn checked(&self, listen: SocketAddr) -> Result<Access, AccessError> {
        let sources = Sources {
            client_certificates: self.tls_client_ca.is_some(),
            trusted_proxies: self.trusted_proxies.clone().unwrap_or_default(),
            tokens: self.tokens.clone(),
            jwt: self.jwt()?,
            allow_anonymous: self.allow_anonymous,
        };
        let tls = self.tls()?;
        let is_loopback = listen.ip().to_canonical().is_loopback();
        if !is_loopback && sources.is_empty() && !sources.allow_anonymous {
            return Err(AccessError::Unprotected { listen });
        }
        let mut warnings = Vec::new();
        if !is_loopback && tls.is_none() && sources.takes_tokens() {
            warnings.push(
                "bearer tokens come in plain text: see that a mesh encrypts all ways to this port, or use --tls-cert",
            );
        }
        if !is_loopback && sources.allow_anonymous {
            warnings.push(
                "--allow-anonymous: anyone who reaches the port may use the server and read what its role may read",
            );
        }
        Ok(Access {
            sources,
            tls,
            max_connections: self.max_connections as usize,
            max_connection_age: self.max_connection_age,
            max_connection_age_grace: self.max_connection_age_grace,
            max_connection_streams: self.max_connection_streams,
            warnings,
        })
    }

    fn tls(&self) -> Result<Option<TlsPaths>, AccessError> {
        let incomplete = |given, missing| Err(AccessError::Incomplete { given, missing });
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsPaths {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
            })),
            (Some(_), None) => incomplete("--tls-cert", "--tls-key"),
            (None, Some(_)) => incomplete("--tls-key", "--tls-cert"),
            (None, None) if self.tls_client_ca.is_some() => incomplete("--tls-client-ca", "--tls-cert"),
            (None, None) => Ok(None),
        }
    }

    fn jwt(&self) -> Result<Option<JwtSource>, AccessError> {
        let incomplete = |given, missing| Err(AccessError::Incomplete { given, missing });
        match (&self.jwks, &self.jwt_issuer, &self.jwt_audience) {
            (Some(keys), Some(issuer), Some(audience)) => {
                Ok(Some(JwtSource { keys: keys.clone(), issuer: issuer.clone(), audience: audience.clone() }))
            }
            (None, None, None) => Ok(None),
            (Some(_), None, _) => incomplete("--jwks", "--jwt-issuer"),
            (Some(_), _, None) => incomplete("--jwks", "--jwt-audience"),
            (None, Some(_), _) => incomplete("--jwt-issuer", "--jwks"),
            (None, _, Some(_)) => incomplete("--jwt-audience", "--jwks"),
        }
    }
}

impl Access {
    /// The settings in force, as `sightline config` shows them.
    pub(super) fn report(&self) -> Vec<(&'static str, String)> {
        let file = |path: Option<&PathBuf>| path.map_or("none".to_owned(), |path| path.display().to_string());
        let text = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let time = |time| humantime::format_duration(time).to_string();
        let (tls, sources) = (self.tls.as_ref(), &self.sources);
        let jwt = sources.jwt.as_ref();
        let proxies: Vec<String> = sources.trusted_proxies.iter().map(IpNet::to_string).collect();
        vec![
            ("allow_anonymous", sources.allow_anonymous.to_string()),
            ("tls_cert", file(tls.map(|tls| &tls.certificate))),
            ("tls_key", file(tls.map(|tls| &tls.key))),
            ("tls_client_ca", file(tls.and_then(|tls| tls.client_ca.as_ref()))),
            ("trusted_proxies", text(Some(proxies.join(",")).filter(|proxies| !proxies.is_empty()))),
            ("tokens", file(sources.tokens.as_ref())),
            ("jwks", text(jwt.map(|jwt| jwt.keys.to_string()))),
            ("jwt_issuer", text(jwt.map(|jwt| jwt.issuer.clone()))),
            ("jwt_audience", text(jwt.map(|jwt| jwt.audience.clone()))),
            ("max_connections", self.max_connections.to_string()),
            ("max_connection_age", time(self.max_connection_age)),
            ("max_connection_age_grace", time(self.max_connection_age_grace)),
            ("max_connection_streams", self.max_connection_streams.to_string()),
        ]
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network: IpNet = match text.parse::<std::net::IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().map_err(|_| "must be a network as 10.0.0.0/8 or an address".to_owned())?,
    };
    if network.prefix_len() == 0 {
        return Err("would believe everybody: name the proxies' own network".to_owned());
    }
    Ok(network)
}

fn keys(text: &str) -> Result<KeyLocation, String> {
    KeyLocation::parse(text)
}
