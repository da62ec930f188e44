//! Files that are read again when their content changes. The content decides, not the time of a change: Kubernetes swaps
//! symbolic links under a mounted secret.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;

/// Most bytes of one file.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Time between two looks at the files.
const PERIOD: Duration = Duration::from_secs(3);

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The system does not give it.
    #[error("cannot read {}, which {setting} names: {error}", path.display())]
    Unreadable {
        /// The flag.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: String,
    },
    /// It is none of this kind.
    #[error("{}, which {setting} names, has more than {} MiB", path.display(), MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// The flag.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It says what it must not.
    #[error("{} cannot be used: {problem}", files.join(" and "))]
    Wrong {
        /// Each file with its flag.
        files: Vec<String>,
        /// What is wrong and where.
        problem: String,
    },
}

/// What a look at the files found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The same as at the last look.
    Unchanged,
    /// A new version, which is in force now.
    Changed,
    /// Nothing that can be used: what was in force stays.
    Refused(ReloadError),
}

/// Makes the value of the files' contents, which come in the files' order. What it says of a fault is logged and must hold no
/// secret.
type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// Gets each new version that is in force.
type Sink<T> = Box<dyn Fn(&Arc<T>) + Send + Sync>;

/// A value that files make, of their last version that could be used.
pub struct Reloaded<T> {
    /// Each with the flag that names it.
    files: Vec<(&'static str, PathBuf)>,
    parse: Parse<T>,
    sink: Sink<T>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

/// What the last look found.
struct Seen {
    /// `None` when the files could not be read.
    digest: Option<blake3::Hash>,
    fault: Option<ReloadError>,
}

impl<T> Reloaded<T> {
    /// Reads the files, each given with the flag that names it, and makes the value.
    ///
    /// # Errors
    /// A file that cannot be read, or that says what it must not.
    pub fn open(
        files: Vec<(&'static str, PathBuf)>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, ReloadError> {
        let contents = read_all(&files)?;
        let value = parse(&contents).map_err(|problem| wrong(&files, problem))?;
        Ok(Self::following(files, &contents, value, parse, |_| {}))
    }

    /// Begins with the `value` that somebody has made of the files' `contents`, and gives each later version to `sink`, which
    /// puts it in force elsewhere.
    pub fn following(
        files: Vec<(&'static str, PathBuf)>,
        contents: &[impl AsRef<[u8]>],
        value: T,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
        sink: impl Fn(&Arc<T>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            files,
            parse: Box::new(parse),
            sink: Box::new(sink),
            current: ArcSwap::from_pointee(value),
            seen: Mutex::new(Seen { digest: Some(digest(contents)), fault: None }),
        })
    }

    /// The value in force.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files now. A new version takes the place of the old one when it can be used; else the old one stays, and
    /// the log says so once.
    pub fn check_now(&self) -> Checked {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read_all(&self.files).and_then(|contents| {
            let digest = digest(&contents);
            if seen.digest == Some(digest) {
                return Ok(None);
            }
            seen.digest = Some(digest);
            (self.parse)(&contents).map(Some).map_err(|problem| wrong(&self.files, problem))
        });
        match found {
            Ok(None) => Checked::Unchanged,
            Ok(Some(value)) => {
                let value = Arc::new(value);
                self.current.store(Arc::clone(&value));
                (self.sink)(&value);
                seen.fault = None;
                tracing::info!(files = names(&self.files).join(", "), "read again: a new version is in force");
                Checked::Changed
            }
            Err(error) => {
                if matches!(error, ReloadError::Unreadable { .. } | ReloadError::TooLarge { .. }) {
                    // Whatever comes back is looked at, the version in force too.
                    seen.digest = None;
                }
                if seen.fault.as_ref() != Some(&error) {
                    tracing::error!(%error, "a new version cannot be used: the old one stays in force");
                    seen.fault = Some(error.clone());
                }
                Checked::Refused(error)
            }
        }
    }

    /// Looks at the files every few seconds for as long as the value is in use. Needs the async runtime.
    pub fn watch(self: &Arc<Self>)
    where
        T: Send + Sync + 'static,
    {
        let watched = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PERIOD).await;
                let Some(value) = watched.upgrade() else { return };
                // A runtime that ends takes no more work, and needs none.
                let _ = tokio::task::spawn_blocking(move || value.check_now()).await;
            }
        });
    }
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reloaded").field("files", &self.files).finish_non_exhaustive()
    }
}

fn wrong(files: &[(&'static str, PathBuf)], problem: String) -> ReloadError {
    ReloadError::Wrong { files: names(files), problem }
}

fn names(files: &[(&'static str, PathBuf)]) -> Vec<String> {
    files.iter().map(|(setting, path)| format!("{} ({setting})", path.display())).collect()
}

fn read_all(files: &[(&'static str, PathBuf)]) -> Result<Vec<Vec<u8>>, ReloadError> {
    files.iter().map(|(setting, path)| read(setting, path)).collect()
}

/// Reads at most one byte more than a file may have, so that a device or a wrong file does no harm.
fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, ReloadError> {
    let bytes = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let unreadable =
        |error: io::Error| ReloadError::Unreadable { setting, path: path.to_owned(), error: error.to_string() };
    let bytes = bytes().map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ReloadError::TooLarge { setting, path: path.to_owned() });
    }
    Ok(bytes)
}

fn digest(contents: &[impl AsRef<[u8]>]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for content in contents {
        let content = content.as_ref();
        hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u32, String> {
        let text = String::from_utf8_lossy(&contents.concat()).into_owned();
        text.trim().parse().map_err(|_| "no number in line 1".to_owned())
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_new_version_takes_the_place_of_the_old_one_and_a_broken_one_does_not() {
        let (_folder, path) = written("1");
        let value = Reloaded::open(vec![("--value", path.clone())], number).unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Unchanged, 1));
        fs::write(&path, "2").unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Changed, 2));
        fs::write(&path, "two").unwrap();
        let Checked::Refused(error) = value.check_now() else { panic!("a broken version") };
        let message = error.to_string();
        assert!(message.contains("no number in line 1") && message.contains("--value"), "{message}");
        assert_eq!((value.check_now(), *value.get()), (Checked::Unchanged, 2));
        fs::write(&path, "3").unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Changed, 3));
    }

    #[test]
    fn a_file_that_is_gone_leaves_the_value_and_is_found_when_it_comes_back() {
        let (_folder, path) = written("1");
        let value = Reloaded::open(vec![("--value", path.clone())], number).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(value.check_now(), Checked::Refused(ReloadError::Unreadable { .. })));
        assert_eq!(*value.get(), 1);
        fs::write(&path, "4").unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Changed, 4));
    }

    #[test]
    fn only_later_versions_that_can_be_used_are_handed_on() {
        let (_folder, path) = written("1");
        let handed = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let handed = Arc::clone(&handed);
            move |value: &Arc<u32>| handed.lock().unwrap().push(**value)
        };
        let value = Reloaded::following(vec![("--value", path.clone())], &["1"], 1, number, sink);
        assert_eq!(value.check_now(), Checked::Unchanged);
        for text in ["2", "two"] {
            fs::write(&path, text).unwrap();
            value.check_now();
        }
        fs::remove_file(&path).unwrap();
        value.check_now();
        fs::write(&path, "3").unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Changed, 3));
        assert_eq!(*handed.lock().unwrap(), [2, 3]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_are_swapped_as_kubernetes_does_are_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "1"), ("v2", "2")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("value"), text).unwrap();
        }
        symlink(at("v1"), at("..data")).unwrap();
        symlink(at("..data").join("value"), at("value")).unwrap();
        let value = Reloaded::open(vec![("--value", at("value"))], number).unwrap();
        symlink(at("v2"), at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        assert_eq!((value.check_now(), *value.get()), (Checked::Changed, 2));
    }

    #[test]
    fn what_moves_between_two_files_is_a_change() {
        let (_first, first) = written("12");
        let (_second, second) = written("3");
        let files = vec![("--first", first.clone()), ("--second", second.clone())];
        let join = |contents: &[Vec<u8>]| {
            Ok(contents.iter().map(|content| String::from_utf8_lossy(content).into_owned()).collect::<Vec<_>>())
        };
        let value = Reloaded::open(files, join).unwrap();
        fs::write(&first, "1").unwrap();
        fs::write(&second, "23").unwrap();
        assert_eq!(value.check_now(), Checked::Changed);
        assert_eq!(*value.get(), ["1", "23"]);
    }

    #[test]
    fn what_cannot_be_used_at_the_start_is_an_error_that_names_flag_and_file() {
        let (folder, path) = written("x");
        for path in [path, folder.path().to_owned(), folder.path().join("none"), PathBuf::from("/dev/zero")] {
            let error = Reloaded::open(vec![("--value", path.clone())], number).unwrap_err().to_string();
            assert!(error.contains("--value") && error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_value_follows_its_file_and_the_watch_ends_with_it() {
        let (_folder, path) = written("1");
        let value = Reloaded::open(vec![("--value", path.clone())], number).unwrap();
        value.watch();
        fs::write(&path, "2").unwrap();
        while *value.get() != 2 {
            tokio::time::sleep(PERIOD).await;
        }
        let gone = Arc::downgrade(&value);
        drop(value);
        while gone.upgrade().is_some() {
            tokio::time::sleep(PERIOD).await;
        }
    }
}
