//! Pages of a bucket's keys.

use aws_sdk_s3::{Client, operation::list_objects_v2::ListObjectsV2Output, types::EncodingType};
use percent_encoding::percent_decode_str;

use super::{by_host, is_access_point, meaning_of};
use crate::pipeline::{ListQuery, Page, PageStart, StoreError};

/// One ListObjectsV2.
pub(super) async fn page(client: &Client, query: &ListQuery) -> Result<Page, StoreError> {
    let ListQuery { bucket, prefix, from } = query;
    // A key may hold characters that XML cannot, so keys are asked for in an encoding that XML can hold.
    let request = client.list_objects_v2().bucket(bucket).encoding_type(EncodingType::Url);
    let request = if prefix.is_empty() { request } else { request.prefix(prefix) };
    let request = match from {
        PageStart::After(key) if key.is_empty() => request,
        PageStart::After(key) => request.start_after(key),
        PageStart::Token(token) => request.continuation_token(token),
    };
    let sent = if is_access_point(bucket) {
        request.customize().config_override(by_host()).send().await
    } else {
        request.send().await
    };
    let output = sent.map_err(|error| match meaning_of(&error) {
        // There is no object in question: a 404 without a code is the bucket's.
        StoreError::ObjectNotFound => StoreError::BucketNotFound,
        meaning => meaning,
    })?;
    let next = next(&output)?;
    let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
    let keys = output.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
    let keys = keys.map(|key| if is_encoded { decoded(&key) } else { Ok(key) });
    Ok(Page { keys: keys.collect::<Result<_, _>>()?, next })
}

fn next(output: &ListObjectsV2Output) -> Result<Option<String>, StoreError> {
    if output.is_truncated() != Some(true) {
        return Ok(None);
    }
    // Without the token the rest would be lost in silence.
    let missing = || StoreError::Unavailable { detail: "a truncated page without a token".to_owned() };
    output.next_continuation_token().map(|token| Some(token.to_owned())).ok_or_else(missing)
}

/// S3 writes a space as `+` and everything else as `%` and two digits.
fn decoded(key: &str) -> Result<String, StoreError> {
    let key = key.replace('+', " ");
    let decoded = percent_decode_str(&key).decode_utf8();
    decoded.map(Into::into).map_err(|_| StoreError::Unavailable { detail: "a key that is not UTF-8".to_owned() })
}
