//! A body as it is sent: the picture is held once, as its file, and becomes base64 a piece at a time.
//!
//! AWS's signature wants the SHA-256 of the whole body before its first byte goes out. So the picture is encoded twice, which
//! costs less than to touch a third more memory than the file has once, and to hold that for as long as the model thinks.

use std::{
    convert::Infallible,
    fmt::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_bedrockruntime::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};
use aws_smithy_types::body::SdkBody;
use base64_simd::{Out, STANDARD};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// Bytes of the picture in one piece: whole groups of base64, so that the pieces join without padding, and few enough for a
/// core's own cache.
const PIECE_BYTES: usize = 3 * 32 * 1024;

/// A body. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Body {
    /// What stands before the picture.
    pub(super) head: Bytes,
    /// The picture's file.
    pub(super) image: Bytes,
    /// What stands behind it.
    pub(super) tail: Bytes,
}

impl Body {
    /// Bytes of the whole.
    fn len(&self) -> u64 {
        (self.head.len() + self.image.len().div_ceil(3) * 4 + self.tail.len()) as u64
    }

    /// SHA-256 of the whole, in lower-case hexadecimal digits.
    fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.head);
        let mut piece = vec![0; PIECE_BYTES / 3 * 4];
        for part in self.image.chunks(PIECE_BYTES) {
            hash.update(STANDARD.encode(part, Out::from_slice(&mut piece)));
        }
        hash.update(&self.tail);
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The body with its hash, ready to go out. Takes as long as the hash: milliseconds for megabytes.
    pub fn hashed(self) -> HashedBody {
        HashedBody { sha256: self.sha256(), body: self }
    }

    /// All of it, in one piece.
    #[cfg(test)]
    pub(super) fn whole(self) -> Vec<u8> {
        let mut pieces = Pieces::of(self);
        std::iter::from_fn(|| pieces.next()).flatten().collect()
    }

    /// Whether its hash takes so long that it has no place on a thread that others wait for.
    pub(in crate::adapters) fn is_large(&self) -> bool {
        self.image.len() > 1 << 20
    }
}

/// A body in place of the one that the SDK would hold as a whole.
#[derive(Debug)]
pub struct HashedBody {
    body: Body,
    sha256: String,
}

impl Intercept for HashedBody {
    fn name(&self) -> &'static str {
        "HashedBody"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().try_insert("content-length", self.body.len().to_string())?;
        let body = self.body.clone();
        *request.body_mut() = SdkBody::retryable(move || SdkBody::from_body_1_x(Pieces::of(body.clone())));
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.sha256.clone()));
        Ok(())
    }
}

/// A body on its way out.
#[derive(Debug)]
struct Pieces {
    left: Body,
}

impl Pieces {
    fn of(body: Body) -> Self {
        Self { left: body }
    }

    fn next(&mut self) -> Option<Bytes> {
        let Body { head, image, tail } = &mut self.left;
        if !head.is_empty() {
            return Some(std::mem::take(head));
        }
        if !image.is_empty() {
            let part = image.split_to(image.len().min(PIECE_BYTES));
            return Some(Bytes::from(STANDARD.encode_type::<Vec<u8>>(&part)));
        }
        Some(std::mem::take(tail)).filter(|tail| !tail.is_empty())
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(image_bytes: usize) -> Body {
        let image = (0..image_bytes).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<_>>();
        Body { head: Bytes::from_static(b"{\"data\":\""), image: image.into(), tail: Bytes::from_static(b"\"}") }
    }

    #[test]
    fn pieces_join_to_the_base64_of_the_whole() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        for bytes in [0, 1, 2, 3, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2] {
            let body = body(bytes);
            let whole = format!("{{\"data\":\"{}\"}}", STANDARD.encode(&body.image));
            let mut pieces = Pieces::of(body.clone());
            let mut sent = Vec::new();
            while let Some(piece) = pieces.next() {
                sent.extend_from_slice(&piece);
                assert_eq!(pieces.size_hint().exact(), Some((whole.len() - sent.len()) as u64));
            }
            assert!(pieces.is_end_stream());
            assert_eq!(sent, whole.as_bytes(), "{bytes}");
            assert_eq!(body.len(), whole.len() as u64);
            let hash: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(body.sha256(), hash, "{bytes}");
        }
    }
}
