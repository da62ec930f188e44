//! GetObject of a real photo under every key, and ListObjectsV2 with real pages.

use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed};

use http::{Request, Response};
use percent_encoding::percent_decode_str;

use crate::{
    catalogue::{BUCKET, Catalogue, PREFIX},
    upstream::{Body, State, response},
};

/// Most keys of one page, as S3 has it.
const PAGE: usize = 1000;

/// Answers one request.
pub fn answer<B>(state: &State, request: &Request<B>) -> Response<Body> {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    if bucket != BUCKET {
        return error(404, "NoSuchBucket");
    }
    if key.is_empty() {
        return list(state, request.uri().query().unwrap_or_default());
    }
    state.reads.fetch_add(1, Relaxed);
    let Some(index) = Catalogue::index(key) else { return error(404, "NoSuchKey") };
    let headers = [
        ("content-type", "image/jpeg"),
        ("etag", "\"9b2cf535f27731c974343645a3985328\""),
        ("last-modified", "Wed, 01 Jul 2026 12:00:00 GMT"),
        ("accept-ranges", "bytes"),
        ("x-amz-request-id", "4442587FB7D0A2F9"),
        ("server", "AmazonS3"),
    ];
    response(200, &headers, state.catalogue.photo(index))
}

fn list(state: &State, query: &str) -> Response<Body> {
    state.pages.fetch_add(1, Relaxed);
    let parameter = |name: &str| {
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name)?.1;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let prefix = parameter("prefix").unwrap_or_default();
    let listed = if PREFIX.starts_with(&prefix) { state.listed.load(Relaxed) } else { 0 };
    let size = parameter("max-keys").and_then(|text| text.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let after = |key: String| Catalogue::index(&key).map_or(0, |index| index + 1);
    let token = parameter("continuation-token").and_then(|text| text.parse::<usize>().ok());
    let first = token.or_else(|| parameter("start-after").map(after)).unwrap_or(0).min(listed);
    let end = (first + size).min(listed);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{BUCKET}</Name><Prefix>{PREFIX}</Prefix><MaxKeys>{size}</MaxKeys><KeyCount>{}</KeyCount>\
         <IsTruncated>{}</IsTruncated>",
        end - first,
        end < listed
    );
    if parameter("encoding-type").is_some() {
        xml.push_str("<EncodingType>url</EncodingType>");
    }
    if end < listed {
        let _infallible = write!(xml, "<NextContinuationToken>{end}</NextContinuationToken>");
    }
    for index in first..end {
        let _infallible = write!(
            xml,
            "<Contents><Key>{}</Key><LastModified>2026-07-01T12:00:00.000Z</LastModified>\
             <ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            Catalogue::key(index),
            state.catalogue.photo(index).len()
        );
    }
    xml.push_str("</ListBucketResult>");
    response(200, &[("content-type", "application/xml"), ("x-amz-request-id", "4442587FB7D0A2F9")], xml)
}

fn error(status: u16, code: &str) -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    response(status, &[("content-type", "application/xml")], xml)
}
