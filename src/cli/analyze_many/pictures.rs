//! What is made of results beside their lines: annotated pictures and the report. None of it can fail a picture.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use super::{names, progress::Progress, sources};
use crate::{
    cli::{
        annotate::{AnnotateError, Output, annotate},
        objects, plain,
        report::{self, MAX_THUMBNAILS, Report},
        server::Server,
        source::{Source, SourceError},
    },
    proto::{AnalyzeManyResult, ImageAnalysis, analyze_many_result::Outcome},
};

/// Most pictures that are read and drawn at once: decoded, each takes many times its file.
const AT_ONCE: usize = 4;
/// Objects in a row that cannot be read before no more are tried: the way to S3 is missing then.
const MAX_UNREADABLE: u32 = 5;

/// Why a picture was not drawn.
#[derive(Debug, thiserror::Error)]
enum PictureError {
    #[error("no further objects are tried")]
    NoMore,
    #[error("it has changed since it was analyzed")]
    Changed,
    #[error(transparent)]
    File(#[from] SourceError),
    #[error("{0}")]
    Object(String),
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    #[error("it would replace the picture itself")]
    Itself,
    #[error("cannot put it in place: {0}")]
    Rename(std::io::Error),
}

/// Makes the folder of annotated pictures if there is none, and tries to write there.
///
/// # Errors
/// A folder that cannot be made, or in which no file can be.
pub fn prepare(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let tried = folder.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    std::fs::File::create_new(&tried).and_then(|_| std::fs::remove_file(&tried))
}

/// Makes pictures and the report of results in the background, a bounded number at once.
pub struct Pictures<'a> {
    shared: Arc<Shared>,
    server: &'a Server,
    room: Arc<Semaphore>,
}

struct Shared {
    folder: Option<PathBuf>,
    report: Option<Mutex<Report>>,
    /// Pictures that were given to the report.
    reported: AtomicUsize,
    /// Most bytes of a picture.
    limit: u64,
    progress: Arc<Progress>,
    s3: OnceCell<aws_sdk_s3::Client>,
    unreadable: AtomicU32,
    undrawn: AtomicUsize,
}

/// One result, whose line is written.
struct Made {
    name: String,
    picture: Option<Source>,
    result: AnalyzeManyResult,
    /// Whether an annotated picture that is there already is left as it is.
    keep: bool,
}

impl<'a> Pictures<'a> {
    /// Annotated pictures go into `folder`, and all results into `report`. Pictures are read up to `limit` bytes.
    pub fn new(
        folder: Option<PathBuf>,
        report: Option<Report>,
        server: &'a Server,
        limit: u64,
        progress: &Arc<Progress>,
    ) -> Self {
        let shared = Shared {
            folder,
            report: report.map(Mutex::new),
            reported: AtomicUsize::new(0),
            limit,
            progress: Arc::clone(progress),
            s3: OnceCell::new(),
            unreadable: AtomicU32::new(0),
            undrawn: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), server, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether anything is made at all.
    pub fn is_wanted(&self) -> bool {
        self.shared.folder.is_some() || self.shared.report.is_some()
    }

    /// Takes a result whose line is written. Waits while too many are being made.
    pub async fn offer(&self, name: &str, picture: Option<&Source>, result: AnalyzeManyResult) {
        self.make(Made { name: name.to_owned(), picture: picture.cloned(), result, keep: false }).await;
    }

    /// Takes a result of an earlier run, which had no time for its picture, perhaps.
    pub async fn offer_again(&self, name: &str, picture: Option<&Source>, result: AnalyzeManyResult) {
        self.make(Made { name: name.to_owned(), picture: picture.cloned(), result, keep: true }).await;
    }

    async fn make(&self, made: Made) {
        if !self.is_wanted() {
            return;
        }
        if matches!(made.picture, Some(Source::Object { .. }))
            && matches!(made.result.outcome, Some(Outcome::Analysis(_)))
        {
            self.shared.s3.get_or_init(|| self.server.s3()).await;
        }
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            shared.make(made).await;
            drop(permit);
        });
    }

    /// How many pictures could not be drawn so far.
    pub fn undrawn(&self) -> usize {
        self.shared.undrawn.load(Ordering::Relaxed)
    }

    /// Waits until everything is made.
    pub async fn finish(&self) {
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.room.acquire_many(all).await;
    }

    /// Writes the report, once everything is made.
    ///
    /// # Errors
    /// A page that cannot be written.
    pub async fn write_report(&self, path: &Path, totals: report::Totals) -> Result<(), String> {
        let (shared, path) = (Arc::clone(&self.shared), path.to_owned());
        let write = move || match &shared.report {
            Some(report) => report.lock().unwrap_or_else(PoisonError::into_inner).write(&path, &totals),
            None => Ok(()),
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())
    }
}

impl Shared {
    async fn make(self: Arc<Self>, made: Made) {
        let target = self.target(&made);
        let shown = self.report.is_some()
            && matches!(made.result.outcome, Some(Outcome::Analysis(_)))
            && self.reported.fetch_add(1, Ordering::Relaxed) < MAX_THUMBNAILS;
        let content = match (&made.picture, &made.result.outcome) {
            (Some(picture), Some(Outcome::Analysis(analysis))) if target.is_some() || shown => {
                let content = self.content(picture, analysis).await;
                content.map_err(|error| self.warn(&made.name, &error)).ok()
            }
            _ => None,
        };
        // A panic of a decoder is that picture's loss.
        let _ = tokio::task::spawn_blocking(move || self.draw(&made, content.as_deref(), target.as_deref())).await;
    }

    /// The file of the annotated picture, where there is to be one.
    fn target(&self, made: &Made) -> Option<PathBuf> {
        let target = self.folder.as_ref()?.join(names::annotated(&made.name));
        (!made.keep || !target.exists()).then_some(target)
    }

    fn draw(&self, made: &Made, content: Option<&[u8]>, target: Option<&Path>) {
        if let (Some(content), Some(target), Some(Outcome::Analysis(analysis))) =
            (content, target, &made.result.outcome)
            && let Err(error) = write(content, analysis, target, made.picture.as_ref())
        {
            self.warn(&made.name, &error);
        }
        if let Some(report) = &self.report {
            report.lock().unwrap_or_else(PoisonError::into_inner).add(&made.name, &made.result, content);
        }
    }

    fn warn(&self, name: &str, error: &PictureError) {
        self.undrawn.fetch_add(1, Ordering::Relaxed);
        if !matches!(error, PictureError::NoMore) {
            self.progress.say(&format!("warning: {} was not drawn: {error}", plain::line(name)));
        }
    }

    /// The bytes that were analyzed.
    async fn content(&self, picture: &Source, analysis: &ImageAnalysis) -> Result<Bytes, PictureError> {
        let (bucket, key) = match picture {
            Source::Object { bucket, key } => (bucket, key),
            Source::File(_) => {
                sources::check_regular(picture).await?;
                let content = picture.read(self.limit).await?;
                let analyzed = analysis.image.as_ref().map_or(0, |image| image.size_bytes);
                let same = analyzed == 0 || i64::try_from(content.len()) == Ok(analyzed);
                return if same { Ok(content) } else { Err(PictureError::Changed) };
            }
        };
        let tried = self.unreadable.load(Ordering::Relaxed) < MAX_UNREADABLE;
        let Some(s3) = self.s3.get().filter(|_| tried) else { return Err(PictureError::NoMore) };
        let object = match objects::read(s3, bucket, key, self.limit).await {
            Ok(object) => object,
            Err(error) => {
                if self.unreadable.fetch_add(1, Ordering::Relaxed) + 1 == MAX_UNREADABLE {
                    self.progress.say(ADVICE);
                }
                return Err(PictureError::Object(error.to_string()));
            }
        };
        self.unreadable.store(0, Ordering::Relaxed);
        let analyzed = analysis.image.as_ref().map_or("", |image| image.etag.trim_matches('"'));
        if analyzed.is_empty() || object.etag == analyzed { Ok(object.content) } else { Err(PictureError::Changed) }
    }
}

/// What to do when objects cannot be read here.
const ADVICE: &str = "warning: no further objects are tried. To draw on them this command reads them too: give it the \
    server's S3, with credentials and AWS_REGION as for any AWS tool, and AWS_ENDPOINT_URL_S3 for an S3 other than AWS's";

/// Draws, and puts the whole picture into place at once: never half a one, never through a link.
fn write(content: &[u8], analysis: &ImageAnalysis, target: &Path, source: Option<&Source>) -> Result<(), PictureError> {
    if matches!(source, Some(Source::File(file)) if is_same(file, target)) {
        return Err(PictureError::Itself);
    }
    let image = annotate(content, analysis)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = target.with_file_name(format!(".{name}"));
    // Left by a run that was killed, or a link.
    let _ = std::fs::remove_file(&unfinished);
    Output::new(&unfinished)?.write(&image)?;
    std::fs::rename(&unfinished, target).map_err(PictureError::Rename)
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
