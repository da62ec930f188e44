//! What is made of results beside their lines: annotated pictures. None of it can fail a picture.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use super::{names, progress::Progress};
use crate::{
    cli::{
        annotate::{AnnotateError, Output, annotate},
        objects, plain,
        server::Server,
        source::Source,
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
    #[error("it has changed since it was analyzed")]
    Changed,
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    #[error("it would replace the picture itself")]
    Itself,
    #[error("cannot put it in place: {0}")]
    Rename(std::io::Error),
}

/// Draws results in the background, a bounded number at once.
pub struct Pictures<'a> {
    shared: Arc<Shared>,
    server: &'a Server,
    room: Arc<Semaphore>,
}

struct Shared {
    folder: Option<PathBuf>,
    /// Most bytes of a picture.
    limit: u64,
    progress: Arc<Progress>,
    s3: OnceCell<aws_sdk_s3::Client>,
    unreadable: AtomicU32,
}

impl<'a> Pictures<'a> {
    /// Annotated pictures go into `folder`. Pictures are read up to `limit` bytes.
    pub fn new(folder: Option<PathBuf>, server: &'a Server, limit: u64, progress: &Arc<Progress>) -> Self {
        let (s3, unreadable) = (OnceCell::new(), AtomicU32::new(0));
        let shared = Shared { folder, limit, progress: Arc::clone(progress), s3, unreadable };
        Self { shared: Arc::new(shared), server, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether anything is made at all.
    pub fn is_wanted(&self) -> bool {
        self.shared.folder.is_some()
    }

    /// Takes a result whose line is written. Waits while too many are being drawn.
    pub async fn offer(&self, name: &str, picture: Option<&Source>, result: AnalyzeManyResult) {
        let Some(Outcome::Analysis(analysis)) = result.outcome.filter(|_| self.is_wanted()) else { return };
        let Some(picture) = picture.cloned() else { return };
        if matches!(picture, Source::Object { .. }) {
            if self.shared.unreadable.load(Ordering::Relaxed) >= MAX_UNREADABLE {
                return;
            }
            self.shared.s3.get_or_init(|| self.server.s3()).await;
        }
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        tokio::spawn(async move {
            if let Err(error) = shared.draw(&name, &picture, analysis).await {
                shared.progress.say(&format!("warning: {} was not drawn: {error}", plain::line(&name)));
            }
            drop(permit);
        });
    }

    /// Waits until everything is drawn.
    pub async fn finish(&self) {
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.room.acquire_many(all).await;
    }
}

impl Shared {
    async fn draw(&self, name: &str, picture: &Source, analysis: ImageAnalysis) -> Result<(), PictureError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let target = folder.join(names::annotated(name));
        if let Source::File(file) = picture
            && is_same(file, &target)
        {
            return Err(PictureError::Itself);
        }
        let content = self.content(picture, &analysis).await?;
        let draw = move || write(&content, &analysis, &target);
        tokio::task::spawn_blocking(draw).await.unwrap_or_else(|error| Err(PictureError::Unreadable(error.to_string())))
    }

    /// The bytes that were analyzed.
    async fn content(&self, picture: &Source, analysis: &ImageAnalysis) -> Result<Bytes, PictureError> {
        let (bucket, key) = match picture {
            Source::Object { bucket, key } => (bucket, key),
            Source::File(_) => {
                return picture.read(self.limit).await.map_err(|error| PictureError::Unreadable(error.to_string()));
            }
        };
        let Some(s3) = self.s3.get() else { return Err(PictureError::Unreadable("there is no S3".to_owned())) };
        let object = match objects::read(s3, bucket, key, self.limit).await {
            Ok(object) => object,
            Err(error) => {
                if self.unreadable.fetch_add(1, Ordering::Relaxed) + 1 == MAX_UNREADABLE {
                    self.progress.say(ADVICE);
                }
                return Err(PictureError::Unreadable(error.to_string()));
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
fn write(content: &[u8], analysis: &ImageAnalysis, target: &Path) -> Result<(), PictureError> {
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
