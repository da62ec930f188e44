//! The policy file while the server runs: read again and again, and put in force when it has changed.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;

use super::{Guard, MAX_BYTES, Policy, PolicyError};

/// Time between two looks at the file. Its content is compared: what mounts configuration replaces files by links, and sets
/// their times as it likes.
const EVERY: Duration = Duration::from_secs(3);

/// Reads a policy from its text.
pub type Read = dyn Fn(&str) -> Result<Policy, PolicyError> + Send + Sync;

/// Watches a policy file. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    guard: Guard,
    path: PathBuf,
    read: Box<Read>,
    /// What was seen last, right or wrong: what is wrong with it is said once.
    seen: Mutex<Result<String, io::ErrorKind>>,
}

impl Watch {
    /// Watches `path`, whose text in force is `text`, for `guard`.
    pub fn new(guard: Guard, path: PathBuf, text: String, read: Box<Read>) -> Self {
        Self(Arc::new(Inner { guard, path, read, seen: Mutex::new(Ok(text)) }))
    }

    /// Looks now; answers whether another policy is in force since. A file that cannot be read or is wrong is logged, and
    /// changes nothing.
    pub async fn check_now(&self) -> bool {
        let Inner { guard, path, read, seen } = &*self.0;
        let mut seen = seen.lock().await;
        let now = read_beside(path.clone()).await;
        let known = match (&now, &*seen) {
            (Ok(now), Ok(seen)) => now == seen,
            (Err(now), Err(seen)) => now.kind() == *seen,
            _ => false,
        };
        if known {
            return false;
        }
        let policy =
            now.as_ref().map_err(ToString::to_string).and_then(|text| read(text).map_err(|error| error.to_string()));
        *seen = now.map_err(|error| error.kind());
        let path = path.display();
        match policy {
            Ok(policy) => {
                tracing::info!(%path, rules = policy.rule_count(), "another policy is in force");
                policy.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
                guard.replace(policy);
                true
            }
            Err(error) => {
                tracing::error!(%path, error, "the policy cannot be read: the one before stays in force");
                false
            }
        }
    }

    /// Looks again and again, for ever.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.check_now().await;
        }
    }
}

async fn read_beside(path: PathBuf) -> io::Result<String> {
    tokio::task::spawn_blocking(move || read_file(&path)).await.map_err(io::Error::other)?
}

/// Reads at most one byte more than a policy may have, so that a device or a wrong file does no harm.
///
/// # Errors
/// The system's own.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Caller,
        policy::{Picture, Wanted},
    };

    fn policy(text: &str) -> Result<Policy, PolicyError> {
        Policy::read(text, |_| None)
    }

    #[tokio::test]
    async fn only_a_file_that_is_right_comes_into_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let (allows, denies) =
            ("[[rule]]\ncallers = [\"*\"]\ninline = true", "[[rule]]\ncallers = [\"*\"]\nobjects = [\"s3://*\"]");
        std::fs::write(&path, allows).unwrap();
        let guard = Guard::new(Some(policy(allows).unwrap()));
        let watch = Watch::new(guard.clone(), path.clone(), allows.to_owned(), Box::new(policy));
        let inline = Wanted { picture: Picture::Inline, model: None };
        let allowed = || guard.decide(&Caller::anonymous(), &inline).is_ok();

        assert!(!watch.check_now().await, "nothing has changed");
        std::fs::write(&path, "[[rule]]\ncallers = 3").unwrap();
        assert!(!watch.check_now().await && allowed(), "a wrong one changes nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.check_now().await && allowed(), "nor does one that is gone");
        std::fs::write(&path, denies).unwrap();
        assert!(watch.check_now().await && !allowed());
        assert!(!watch.check_now().await);
        std::fs::write(&path, allows).unwrap();
        assert!(watch.check_now().await && allowed());
    }
}
