//! Who calls: found from what a connection proves and a call's headers say. What the caller may do is not decided here.
//!
//! A bearer token comes first: a caller that sends one means it, and a bad one is an error, never a reason to look further.
//! Then comes what a trusted proxy says of its client, then the certificate of the connection itself, which may be the
//! proxy's own. Who has none of these is `anonymous`, where such callers are served at all.

mod certificate;
mod error;
mod fetch;
mod forwarded;
mod jwt;
mod key_source;
mod keys;
mod name;
mod tokens;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use ipnet::IpNet;

use self::{jwt::Expected, key_source::KeySource, tokens::Tokens};
use crate::{
    domain::Caller,
    reload::{ReloadError, Reloaded},
};
pub use certificate::NamesFault;
pub(crate) use certificate::caller_of;
pub use error::Unidentified;
pub use forwarded::ForwardedFault;
pub use key_source::KeyLocation;
pub use name::NameFault;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, which may be a proxy's.
    pub address: SocketAddr,
    /// What its client certificate says, when it had to show one.
    pub certificate: Option<Result<Caller, NamesFault>>,
}

/// What identities are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Connections need a client certificate, which names the caller.
    pub client_certificates: bool,
    /// Peers whose `x-forwarded-client-cert` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// A file of hashed bearer tokens.
    pub tokens: Option<PathBuf>,
    /// JWTs as bearer tokens.
    pub jwt: Option<JwtSource>,
    /// Callers without identity are served beside the others.
    pub allow_anonymous: bool,
}

/// JWTs that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSource {
    /// Where the keys are.
    pub keys: KeyLocation,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or hold.
    pub audience: String,
}

impl Sources {
    /// Whether no identity is taken at all: then everybody is anonymous.
    pub fn is_empty(&self) -> bool {
        !self.client_certificates && self.trusted_proxies.is_empty() && !self.takes_tokens()
    }

    /// Whether bearer tokens are taken.
    pub fn takes_tokens(&self) -> bool {
        self.tokens.is_some() || self.jwt.is_some()
    }

    /// What a caller may send, as it ends "Send".
    fn accepted(&self) -> String {
        let mut ways = Vec::new();
        if self.takes_tokens() {
            ways.push("a bearer token in the header `authorization`");
        }
        if !self.trusted_proxies.is_empty() {
            ways.push("the call through the mesh's proxy with mutual TLS");
        }
        if self.client_certificates {
            ways.push("a client certificate");
        }
        ways.join(", or ")
    }
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Identities {
    trusted_proxies: Vec<IpNet>,
    tokens: Option<Arc<Reloaded<Tokens>>>,
    jwt: Option<(KeySource, Expected)>,
    takes_anonymous: bool,
    accepted: Arc<str>,
}

impl Identities {
    /// Reads the files, and follows them and the URL from now on. Needs the async runtime.
    ///
    /// # Errors
    /// A file that cannot be used. A URL that does not answer is none: [`ready`](Self::ready) tells when it has.
    pub fn open(sources: &Sources) -> Result<Self, ReloadError> {
        let tokens = match &sources.tokens {
            Some(path) => {
                let parse = |contents: &[Vec<u8>]| Tokens::parse(&contents.concat());
                let tokens = Reloaded::open(vec![("--tokens", path.clone())], parse)?;
                tokens.watch();
                Some(tokens)
            }
            None => None,
        };
        let jwt = match &sources.jwt {
            Some(JwtSource { keys, issuer, audience }) => {
                let expected = Expected { issuer: issuer.clone(), audience: audience.clone() };
                Some((KeySource::open(keys)?, expected))
            }
            None => None,
        };
        Ok(Self {
            trusted_proxies: sources.trusted_proxies.clone(),
            tokens,
            jwt,
            takes_anonymous: sources.allow_anonymous || sources.is_empty(),
            accepted: sources.accepted().into(),
        })
    }

    /// Resolves once callers of every source can be known.
    pub async fn ready(&self) {
        if let Some((keys, _)) = &self.jwt {
            keys.ready().await;
        }
    }

    /// Who calls.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn caller(&self, peer: &Peer, headers: &HeaderMap) -> Result<Caller, Unidentified> {
        // Where no tokens are taken, the header is for somebody else behind or before this server.
        if headers.contains_key(AUTHORIZATION) && (self.tokens.is_some() || self.jwt.is_some()) {
            return self.bearer(headers);
        }
        if headers.contains_key(forwarded::HEADER) {
            if self.trusts(peer) {
                return forwarded::caller_of(headers).map_err(Unidentified::Forwarded);
            }
            tracing::debug!(peer = %peer.address, "x-forwarded-client-cert of a peer that --trusted-proxies does not name: ignored");
        }
        match &peer.certificate {
            Some(caller) => caller.clone().map_err(Unidentified::Certificate),
            None if self.takes_anonymous => Ok(Caller::anonymous()),
            None => Err(Unidentified::NoIdentity { accepted: Arc::clone(&self.accepted) }),
        }
    }

    /// Who calls, after another look for keys when the token names one that is not known.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn caller_with_new_keys(&self, peer: &Peer, headers: &HeaderMap) -> Result<Caller, Unidentified> {
        match (self.caller(peer, headers), &self.jwt) {
            (Err(Unidentified::KeyUnknown), Some((keys, _))) => {
                keys.refresh().await;
                self.caller(peer, headers)
            }
            (found, _) => found,
        }
    }

    fn trusts(&self, peer: &Peer) -> bool {
        // A listener of both families sees the addresses of version 4 inside those of version 6.
        let address = peer.address.ip().to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<Caller, Unidentified> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Unidentified::TokenMalformed) };
        let text = value.to_str().map_err(|_| Unidentified::TokenMalformed)?;
        let (scheme, token) = text.split_once(' ').ok_or(Unidentified::TokenMalformed)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
            return Err(Unidentified::TokenMalformed);
        }
        if let Some(caller) = self.tokens.as_ref().and_then(|tokens| tokens.get().find(token)) {
            return Ok(caller);
        }
        match &self.jwt {
            Some((keys, expected)) if self.tokens.is_none() || jwt::is_jwt(token) => {
                jwt::verify(token, &*keys.keys().ok_or(Unidentified::KeysUnavailable)?, expected)
            }
            _ => Err(Unidentified::TokenUnknown),
        }
    }
}

#[cfg(test)]
mod tests;
