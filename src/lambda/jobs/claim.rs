//! The right to work on one object: an object beside its result, which only one invocation can make. It ends by itself
//! when its invocation must have ended, so that what a killed one left behind holds up nobody for ever.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    keys::Keys,
    store::{Condition, Document, Facts, ResultStore, ResultsError, Stored},
};

/// How much the clocks of two machines may differ, and what a claim is good for after its invocation's end. Lambda's
/// clocks are set by Amazon Time Sync and differ by milliseconds.
const CLOCK_SKEW: Duration = Duration::from_secs(2);
/// Longest life of an invocation, which Lambda allows: no claim is good for longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Most bytes of a claim. A larger object is none.
const MAX_BYTES: u64 = 4096;
/// Most rounds of one attempt, when others claim and let go at the same time.
const ROUNDS: usize = 5;
/// Wait between two rounds.
const PAUSE: Duration = Duration::from_millis(50);

/// What a claim says.
#[derive(Debug, Serialize, Deserialize)]
struct Words {
    /// Request id of the invocation, for whoever looks.
    invocation: String,
    /// Tells this claim from every other: Lambda repeats a failed invocation under its id.
    claim: String,
    /// RFC 3339: when it is free for others, whatever has become of it.
    until: String,
}

/// What came of claiming.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Nobody else works on it until this invocation's end.
    Mine(Claim),
    /// There is a result already.
    Done(Facts),
    /// Another invocation works on it.
    Others,
}

/// The right to work on an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    etag: String,
}

/// Claims what is to be written under `keys`, for an invocation that is over at `ends`.
pub(super) async fn claim(
    store: &dyn ResultStore,
    keys: &Keys,
    invocation: &str,
    ends: SystemTime,
) -> Result<Claimed, ResultsError> {
    let nonce = uuid::Uuid::new_v4().to_string();
    let words = document(invocation, &nonce, ends);
    for _ in 0..ROUNDS {
        match store.put(&keys.claim, &words, &Condition::Absent).await {
            Ok(etag) => return mine(store, keys, Claim { etag }).await,
            Err(ResultsError::Precondition) => {}
            Err(ResultsError::Conflict | ResultsError::NotFound) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        }
        let Some(there) = store.get(&keys.claim, MAX_BYTES).await? else { continue };
        // The answer to a write of one's own was lost.
        if is_mine(&there, &nonce) {
            return mine(store, keys, Claim { etag: there.etag }).await;
        }
        if free_at(&there).is_some_and(|free| free > SystemTime::now()) {
            // Done, and not yet let go; or whoever did it was killed then.
            return Ok(store.look(&keys.result).await?.map_or(Claimed::Others, Claimed::Done));
        }
        match store.put(&keys.claim, &words, &Condition::Is(there.etag)).await {
            Ok(etag) => {
                tracing::info!(key = keys.claim, "took over the claim of an invocation that is over");
                return mine(store, keys, Claim { etag }).await;
            }
            Err(ResultsError::Precondition | ResultsError::Conflict | ResultsError::NotFound) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Claimed::Others)
}

/// Lets go. A claim that cannot be deleted ends by itself.
pub(super) async fn release(store: &dyn ResultStore, keys: &Keys, claim: &Claim) {
    if let Err(error) = store.delete(&keys.claim, &claim.etag).await {
        tracing::warn!(key = keys.claim, %error, "a claim stays until it expires");
    }
}

/// What is claimed is worth working on only without a result.
async fn mine(store: &dyn ResultStore, keys: &Keys, claim: Claim) -> Result<Claimed, ResultsError> {
    match store.look(&keys.result).await {
        Ok(None) => Ok(Claimed::Mine(claim)),
        Ok(Some(facts)) => {
            release(store, keys, &claim).await;
            Ok(Claimed::Done(facts))
        }
        Err(error) => {
            release(store, keys, &claim).await;
            Err(error)
        }
    }
}

fn document(invocation: &str, nonce: &str, ends: SystemTime) -> Document {
    let until = humantime::format_rfc3339_millis(ends + CLOCK_SKEW).to_string();
    let words = Words { invocation: invocation.to_owned(), claim: nonce.to_owned(), until };
    // A struct of strings always has a JSON form.
    let body = serde_json::to_vec(&words).unwrap_or_default();
    Document { body: Bytes::from(body), reason: None }
}

fn words(there: &Stored) -> Option<Words> {
    serde_json::from_slice(&there.body).ok()
}

fn is_mine(there: &Stored, nonce: &str) -> bool {
    words(there).is_some_and(|words| words.claim == nonce)
}

/// When a claim may be taken over; `None` at once. One that cannot be read is good for as long as the longest invocation,
/// and so is one that says it is good for longer.
fn free_at(there: &Stored) -> Option<SystemTime> {
    let latest = there.modified.map(|modified| modified + LONGEST + CLOCK_SKEW);
    let until = words(there).and_then(|words| humantime::parse_rfc3339(&words.until).ok());
    match (until, latest) {
        (Some(until), Some(latest)) => Some(until.min(latest)),
        (Some(time), None) | (None, Some(time)) => Some(time),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(body: &str, age: Option<Duration>) -> Stored {
        let modified = age.map(|age| SystemTime::now() - age);
        Stored { body: Bytes::from(body.to_owned()), etag: "e".to_owned(), modified }
    }

    fn claim_until(from_now: Duration, age: Duration) -> Stored {
        let Document { body, .. } = document("i", "n", SystemTime::now() + from_now);
        Stored { body, ..stored("", Some(age)) }
    }

    fn is_free(there: &Stored) -> bool {
        free_at(there).is_none_or(|free| free <= SystemTime::now())
    }

    #[test]
    fn a_claim_is_good_until_its_invocation_and_the_clocks_difference_are_over() {
        assert!(!is_free(&claim_until(Duration::from_secs(60), Duration::ZERO)));
        assert!(!is_free(&claim_until(Duration::ZERO, Duration::from_secs(30))));
        let Document { body, .. } = document("i", "n", SystemTime::now() - CLOCK_SKEW - Duration::from_millis(2));
        assert!(is_free(&Stored { body, ..stored("", Some(Duration::ZERO)) }));
    }

    #[test]
    fn no_claim_is_good_for_longer_than_an_invocation_can_last() {
        let year = Duration::from_secs(365 * 24 * 3600);
        assert!(!is_free(&claim_until(year, Duration::from_secs(60))));
        assert!(is_free(&claim_until(year, LONGEST + CLOCK_SKEW)));
        for unreadable in ["", "{}", "not json", r#"{"invocation":"i","claim":"c","until":"tomorrow"}"#, "\u{0}"] {
            assert!(!is_free(&stored(unreadable, Some(Duration::from_secs(60)))), "{unreadable}");
            assert!(is_free(&stored(unreadable, Some(LONGEST + CLOCK_SKEW))), "{unreadable}");
            assert!(is_free(&stored(unreadable, None)), "{unreadable}");
        }
    }

    #[test]
    fn a_claim_knows_its_own() {
        let Document { body, .. } = document("i", "n", SystemTime::now());
        let there = Stored { body, ..stored("", None) };
        assert!(is_mine(&there, "n") && !is_mine(&there, "m"));
    }

    /// Lifecycle rules know sizes but no endings of keys: the template's takes away what is smaller than any result.
    #[test]
    fn the_templates_lifecycle_rule_takes_away_claims_and_no_results() {
        use crate::{cli::json, lambda::Failure, proto::analyze_many_result::Outcome};
        let template = include_str!("../../../deploy/lambda/template.yaml");
        let limit = template.split_once("ObjectSizeLessThan: \"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
        let limit: usize = limit.parse().unwrap();
        let id = uuid::Uuid::nil().to_string();
        let claim = document(&id, &id, SystemTime::now());
        assert!(claim.body.len() < limit, "a claim has {} bytes", claim.body.len());
        let smallest = [
            Outcome::Error(
                Failure::new(tonic::Code::NotFound, "GONE", "It is gone.", crate::lambda::Remedy::Nothing)
                    .status()
                    .clone(),
            ),
            Outcome::Analysis(crate::proto::ImageAnalysis {
                request_id: id,
                image: Some(crate::proto::ImageInfo { width: 1, height: 1, ..Default::default() }),
                usage: Some(crate::proto::Usage { input_token_count: 1, ..Default::default() }),
                ..Default::default()
            }),
        ];
        for outcome in smallest {
            let result = crate::proto::AnalyzeManyResult {
                item_id: "k".to_owned(),
                outcome: Some(outcome),
                ..Default::default()
            };
            let line = json::line("s3://bkt/k", None, &result).unwrap();
            assert!(line.len() > limit, "{line}");
        }
    }
}
