//! What S3 and Bedrock have in common: an HTTP/1 server on a loopback port, and what was asked of both.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{bedrock, catalogue::Catalogue, s3};

/// An answer's body.
pub type Body = Full<Bytes>;

/// Both upstreams, for the life of the process.
#[derive(Debug)]
pub struct Upstreams {
    /// Where S3 listens.
    pub s3: SocketAddr,
    /// Where Bedrock listens.
    pub bedrock: SocketAddr,
    /// What was asked of them, and how they answer.
    pub state: Arc<State>,
}

/// What was asked since the last reset, and how to answer.
#[derive(Debug)]
pub struct State {
    /// What the bucket holds.
    pub catalogue: Catalogue,
    /// Keys that a listing shows.
    pub listed: AtomicUsize,
    latency_ms: AtomicU64,
    /// GetObject requests.
    pub reads: AtomicUsize,
    /// ListObjectsV2 requests.
    pub pages: AtomicUsize,
    /// InvokeModel requests whose body arrived whole.
    pub calls: AtomicUsize,
    calls_now: AtomicUsize,
    most_calls: AtomicUsize,
}

impl Upstreams {
    /// Starts both.
    pub async fn start(catalogue: Catalogue) -> anyhow::Result<Self> {
        let state = Arc::new(State {
            catalogue,
            listed: AtomicUsize::new(0),
            latency_ms: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            calls_now: AtomicUsize::new(0),
            most_calls: AtomicUsize::new(0),
        });
        let (objects, models) = (Arc::clone(&state), Arc::clone(&state));
        let s3 = serve(move |request| std::future::ready(s3::answer(&objects, &request))).await?;
        let bedrock = serve(move |request| bedrock::answer(Arc::clone(&models), request)).await?;
        Ok(Self { s3, bedrock, state })
    }
}

impl State {
    /// Forgets what was asked. From now on the model takes `latency` and a listing shows `listed` keys.
    pub fn reset(&self, latency: Duration, listed: usize) {
        self.latency_ms.store(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.listed.store(listed, Relaxed);
        for counter in [&self.reads, &self.pages, &self.calls, &self.most_calls] {
            counter.store(0, Relaxed);
        }
    }

    /// How long the model takes.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.load(Relaxed))
    }

    /// Most model calls at once.
    pub fn most_calls(&self) -> usize {
        self.most_calls.load(Relaxed)
    }

    /// Counts a model call for as long as the guard lives.
    pub fn begin_call(self: Arc<Self>) -> Call {
        self.calls.fetch_add(1, Relaxed);
        let now = self.calls_now.fetch_add(1, Relaxed) + 1;
        self.most_calls.fetch_max(now, Relaxed);
        Call(self)
    }
}

/// A model call under way; also ends when the caller hangs up.
pub struct Call(Arc<State>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls_now.fetch_sub(1, Relaxed);
    }
}

/// Serves `handler` on a free loopback port until the process ends.
async fn serve<H, F>(handler: H) -> anyhow::Result<SocketAddr>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            tokio::spawn(async move {
                // Without it small answers may wait for the peer's delayed acknowledgement.
                let _best_effort = stream.set_nodelay(true);
                // An error is a caller that went away.
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

/// An answer with `headers`.
pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    // Only a header that is none can fail, and the callers' are fixed.
    builder.body(Full::new(body.into())).unwrap_or_default()
}
