//! What makes two requests equal.

use std::fmt::{Debug, Write as _};

use bytes::Bytes;

use crate::{
    domain::{CacheMode, Features, ModelProfile, Options},
    pipeline::{Job, Source},
    prompt::PROMPT_VERSION,
};

/// A BLAKE3 hash: nobody finds a second picture or request for one, so that no caller can plant a result for others.
pub(in crate::pipeline) type Key = [u8; 32];

/// Files from this size on are hashed off the async threads: a millisecond's work.
const LARGE: usize = 1 << 20;

/// The hash of a file.
pub(in crate::pipeline) async fn of_bytes(bytes: &Bytes) -> Key {
    if bytes.len() < LARGE {
        return *blake3::hash(bytes).as_bytes();
    }
    let shared = bytes.clone();
    let hashed = tokio::task::spawn_blocking(move || *blake3::hash(&shared).as_bytes()).await;
    hashed.unwrap_or_else(|_| *blake3::hash(bytes).as_bytes())
}

/// The key of the models that may answer, the one that was asked for first.
pub(in crate::pipeline) fn of_models(candidates: &[ModelProfile]) -> Key {
    let mut hasher = blake3::Hasher::new();
    update(&mut hasher, &candidates);
    *hasher.finalize().as_bytes()
}

/// The key of a result: the picture, what is asked of it, how, and of which models. What changes nothing in the result has
/// no part in it: the request's id, its tags, its time.
pub(in crate::pipeline) fn of_result(picture: &Key, features: &Features, options: &Options, models: &Key) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(picture);
    hasher.update(models);
    // Whether the model's own answer is returned and how the cache is used does not change it.
    let options = Options { include_raw_output: false, cache: CacheMode::default(), model: None, ..options.clone() };
    update(&mut hasher, &(PROMPT_VERSION, features, options));
    *hasher.finalize().as_bytes()
}

/// The key of all that a caller sent but the request's id: a request that is repeated has it again.
///
/// How the cache is used, whether the model's own answer is returned and whether the model is called at all may differ.
pub(in crate::pipeline) async fn of_content(job: &Job) -> Key {
    let mut hasher = blake3::Hasher::new();
    match &job.source {
        Source::Object(object) => update(&mut hasher, object),
        Source::Content(bytes) => {
            hasher.update(&of_bytes(bytes).await);
        }
    }
    let options = Options { include_raw_output: false, cache: CacheMode::default(), ..job.options.clone() };
    update(&mut hasher, &(&job.features, options, &job.tags));
    *hasher.finalize().as_bytes()
}

/// Two keys in one.
pub(in crate::pipeline) fn both(first: &Key, second: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(first);
    hasher.update(second.as_bytes());
    *hasher.finalize().as_bytes()
}

/// The debug form quotes and escapes every string, so that no two values have the same. It is stable within one process,
/// which no key leaves.
fn update(hasher: &mut blake3::Hasher, value: &impl Debug) {
    // In one piece: the hash takes a hundred small ones far more slowly.
    let mut text = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(text, "{value:?}");
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Catalog, domain::LabelsRequest};

    #[test]
    fn what_changes_the_result_changes_the_key_and_nothing_else_does() {
        let catalog = Catalog::built_in().unwrap();
        let models = of_models(&[catalog.resolve("default")]);
        let features = Features { labels: Some(LabelsRequest::default()), ..Features::default() };
        let key = |features: &Features, options: &Options| of_result(&[7; 32], features, options, &models);
        let plain = key(&features, &Options::default());
        let raw = Options { include_raw_output: true, cache: CacheMode::Refresh, ..Options::default() };
        assert_eq!(key(&features, &raw), plain);
        // A model that is named by its alias or its id, or not at all, is the same model.
        assert_eq!(key(&features, &Options { model: Some("default".into()), ..Options::default() }), plain);

        let korean = Options { language: "ko".into(), ..Options::default() };
        let fewer = Features {
            labels: Some(LabelsRequest { max_results: 3, ..LabelsRequest::default() }),
            ..Features::default()
        };
        let older = of_models(&[catalog.resolve("claude-sonnet-4-6")]);
        let other_model = of_result(&[7; 32], &features, &Options::default(), &older);
        let other_picture = of_result(&[8; 32], &features, &Options::default(), &models);
        for other in [key(&features, &korean), key(&fewer, &Options::default()), other_model, other_picture] {
            assert_ne!(other, plain);
        }
    }
}
