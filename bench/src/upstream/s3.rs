//! GetObject of a picture of the size and number that the key names, in pieces that are in memory already.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, SizeHint};

use super::{BUCKET, Body, State, response};
use crate::pictures::Size;

/// Answers one request.
pub(super) fn answer<B>(state: &State, request: &Request<B>) -> Response<Body> {
    let (bucket, key) = request.uri().path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let found = Size::of_key(key).filter(|_| bucket == BUCKET);
    let Some((picture, number)) = found.and_then(|(size, number)| Some((state.picture(size)?, number))) else {
        let xml = "<Error><Code>NoSuchKey</Code><Message>There is no such key.</Message></Error>";
        return response(404, &[("content-type", "application/xml")], Full::from(xml).boxed_unsync());
    };
    state.reads.fetch_add(1, Relaxed);
    let etag = format!("\"{number:032x}\"");
    let headers = [
        ("content-type", "image/jpeg"),
        ("etag", etag.as_str()),
        ("last-modified", "Wed, 01 Jul 2026 12:00:00 GMT"),
        ("accept-ranges", "bytes"),
        ("x-amz-request-id", "4442587FB7D0A2F9"),
        ("server", "AmazonS3"),
    ];
    let body = Pieces { left: picture.len() as u64, pieces: VecDeque::from(picture.pieces(number)) };
    response(200, &headers, body.boxed_unsync())
}

/// A body of known length in several pieces, none of them copied.
struct Pieces {
    left: u64,
    pieces: VecDeque<Bytes>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
