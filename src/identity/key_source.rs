//! Where the keys of JWTs come from: a file that is read again when it changes, or a URL that is asked now and then, and at
//! once when a token names a key that is not known.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use super::{fetch::Fetcher, keys::Keys};
use crate::reload::{ReloadError, Reloaded};

/// Time between two fetches.
const PERIOD: Duration = Duration::from_secs(300);
/// The waits after fetches that failed: they double.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Least time between two fetches for keys that are not known: tokens with invented keys must not make the server a nuisance
/// to the issuer.
const LEAST_BETWEEN: Duration = Duration::from_secs(10);

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// A file.
    File(PathBuf),
    /// `https`, or `http` on loopback.
    Url(String),
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Url(url) => formatter.write_str(url),
        }
    }
}

impl KeyLocation {
    /// Takes what has a scheme for a URL, and all else for a file.
    ///
    /// # Errors
    /// A URL that is none, of another scheme, plain elsewhere than on loopback, or with a password in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Self::File(text.into())) };
        };
        let url: http::Uri = text.parse().map_err(|_| "is no URL".to_owned())?;
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if host.is_empty() {
            return Err("is no URL".to_owned());
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("must have no user name and password: keys are public".to_owned());
        }
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok(Self::Url(text.to_owned())),
            "http" if is_loopback => Ok(Self::Url(text.to_owned())),
            "http" => Err("must be https: whoever can change the keys on their way can be any caller".to_owned()),
            _ => Err("must be a file or an https URL".to_owned()),
        }
    }
}

/// The keys of a place, as they were last seen there.
#[derive(Debug)]
pub(super) enum KeySource {
    File(Arc<Reloaded<Keys>>),
    Url(Arc<Fetched>),
}

impl KeySource {
    /// Reads the file, or begins to ask the URL: a server must come up when the issuer is away.
    pub(super) fn open(location: &KeyLocation) -> Result<Self, ReloadError> {
        match location {
            KeyLocation::File(path) => {
                let file = Reloaded::open(vec![("--jwks", path.clone())], |contents| Keys::parse(&contents.concat()))?;
                file.watch();
                Ok(Self::File(file))
            }
            KeyLocation::Url(url) => {
                let fetched = Arc::new(Fetched::new(url.clone()));
                fetched.keep();
                Ok(Self::Url(fetched))
            }
        }
    }

    /// The keys; `None` before there were any.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        match self {
            Self::File(file) => Some(file.get()),
            Self::Url(fetched) => fetched.keys(),
        }
    }

    /// Asks the URL for keys that are new. Returns when that is done, or not to be done yet. A file is looked at every few
    /// seconds anyway.
    pub(super) async fn refresh(&self) {
        if let Self::Url(fetched) = self {
            fetched.fetch_on_demand().await;
        }
    }

    /// Resolves once there are keys.
    pub(super) async fn ready(&self) {
        if let Self::Url(fetched) = self {
            // The sender is this value's own.
            let _ = fetched.has_keys.subscribe().wait_for(|has_keys| *has_keys).await;
        }
    }
}

/// Keys of a URL.
pub(super) struct Fetched {
    url: String,
    fetcher: Fetcher,
    current: ArcSwap<Keys>,
    has_keys: watch::Sender<bool>,
    /// When keys were last fetched on demand.
    demanded: Mutex<Option<Instant>>,
}

impl Fetched {
    fn new(url: String) -> Self {
        let is_tls = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        Self {
            fetcher: Fetcher::new(is_tls),
            url,
            current: ArcSwap::default(),
            has_keys: watch::Sender::new(false),
            demanded: Mutex::new(None),
        }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.has_keys.borrow().then(|| self.current.load_full())
    }

    /// Fetches now and then for as long as the keys are in use.
    fn keep(self: &Arc<Self>) {
        let kept = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut wait = FIRST_RETRY;
            loop {
                let Some(fetched) = kept.upgrade() else { return };
                let pause = if fetched.fetch().await {
                    wait = FIRST_RETRY;
                    PERIOD
                } else {
                    let pause = wait;
                    wait = (wait * 2).min(LONGEST_RETRY);
                    pause
                };
                drop(fetched);
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Fetches, unless that was just done. Who comes meanwhile waits for the same fetch.
    async fn fetch_on_demand(&self) {
        let mut demanded = self.demanded.lock().await;
        if demanded.is_some_and(|at| at.elapsed() < LEAST_BETWEEN) {
            return;
        }
        *demanded = Some(Instant::now());
        self.fetch().await;
    }

    /// Whether it brought keys. When it did not, those that there were stay.
    async fn fetch(&self) -> bool {
        let found = self.fetcher.get(&self.url).await.and_then(|document| Keys::parse(&document));
        match found {
            Ok(keys) => {
                tracing::debug!(url = self.url, keys = keys.len(), "fetched the keys of JWTs");
                self.current.store(Arc::new(keys));
                self.has_keys.send_replace(true);
                true
            }
            Err(problem) => {
                let kept = *self.has_keys.borrow();
                tracing::error!(url = self.url, problem, kept, "the keys of JWTs cannot be fetched from --jwks");
                false
            }
        }
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fetched").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} keys", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_a_file_or_by_a_way_that_nobody_can_change_them_on() {
        assert_eq!(KeyLocation::parse("/etc/keys.json"), Ok(KeyLocation::File("/etc/keys.json".into())));
        for url in
            ["https://issuer/keys", "HTTPS://issuer/keys", "http://127.0.0.1:8/k", "http://[::1]/", "http://localhost/"]
        {
            assert_eq!(KeyLocation::parse(url), Ok(KeyLocation::Url(url.to_owned())));
        }
        for (text, word) in [
            ("", "empty"),
            ("http://issuer/keys", "https"),
            ("http://127.0.0.1.example.org/keys", "https"),
            ("https://", "URL"),
            ("https://a b", "URL"),
            ("https://me:secret@issuer/keys", "password"),
            ("ftp://issuer/keys", "https"),
        ] {
            let error = KeyLocation::parse(text).unwrap_err();
            assert!(error.contains(word) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
