//! S3, Bedrock and a collector of traces on loopback, in a process of their own, told how to behave by lines of JSON on
//! standard input and answering each with what was asked of them since the one before.

mod bedrock;
mod client;
mod collector;
mod s3;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    sync::Semaphore,
};

pub use bedrock::DESCRIPTION;
pub use client::Upstream;

use crate::pictures::{Picture, Size};

/// The bucket of all pictures.
pub const BUCKET: &str = "photos";

/// An answer's body.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where the three listen: the first line on standard output.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Addresses {
    /// S3.
    pub s3: SocketAddr,
    /// Bedrock.
    pub bedrock: SocketAddr,
    /// The collector of traces.
    pub collector: SocketAddr,
}

/// How to behave from now on: a line on standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// How long the model takes for a call.
    pub latency_ms: u64,
    /// How many calls it works on at once; the rest wait for their turn. 0 is any number.
    pub capacity: usize,
}

/// What was asked since the line before.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Pictures that were read.
    pub reads: u64,
    /// Calls of the model.
    pub calls: u64,
    /// Bytes of the last call's body.
    pub last_body_bytes: u64,
    /// Batches of spans.
    pub batches: u64,
    /// Their bytes.
    pub batch_bytes: u64,
}

/// What the three share.
struct State {
    pictures: Vec<(Size, Picture)>,
    latency_ms: AtomicU64,
    capacity: Mutex<Option<Arc<Semaphore>>>,
    reads: AtomicU64,
    calls: AtomicU64,
    last_body_bytes: AtomicU64,
    batches: AtomicU64,
    batch_bytes: AtomicU64,
}

impl State {
    fn new() -> anyhow::Result<Self> {
        let pictures =
            Size::ALL.into_iter().map(|size| Ok((size, Picture::of(size)?))).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            pictures,
            latency_ms: AtomicU64::new(0),
            capacity: Mutex::new(None),
            reads: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            last_body_bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batch_bytes: AtomicU64::new(0),
        })
    }

    fn picture(&self, size: Size) -> Option<&Picture> {
        self.pictures.iter().find(|(of, _)| *of == size).map(|(_, picture)| picture)
    }

    fn capacity(&self) -> Option<Arc<Semaphore>> {
        self.capacity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn behave(&self, behaviour: Behaviour) -> Asked {
        self.latency_ms.store(behaviour.latency_ms, Relaxed);
        let capacity = (behaviour.capacity > 0).then(|| Arc::new(Semaphore::new(behaviour.capacity)));
        *self.capacity.lock().unwrap_or_else(PoisonError::into_inner) = capacity;
        Asked {
            reads: self.reads.swap(0, Relaxed),
            calls: self.calls.swap(0, Relaxed),
            last_body_bytes: self.last_body_bytes.load(Relaxed),
            batches: self.batches.swap(0, Relaxed),
            batch_bytes: self.batch_bytes.swap(0, Relaxed),
        }
    }
}

/// Serves until standard input ends.
pub async fn run() -> anyhow::Result<()> {
    let state = Arc::new(State::new()?);
    let (objects, models, spans) = (Arc::clone(&state), Arc::clone(&state), Arc::clone(&state));
    let addresses = Addresses {
        s3: serve(move |request| std::future::ready(s3::answer(&objects, &request))).await?,
        bedrock: serve(move |request| bedrock::answer(Arc::clone(&models), request)).await?,
        collector: collector::serve(spans).await?,
    };
    println!("{}", serde_json::to_string(&addresses)?);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let behaviour = serde_json::from_str(&line).context("no behaviour")?;
        println!("{}", serde_json::to_string(&state.behave(behaviour))?);
    }
    Ok(())
}

/// Serves `handler` over HTTP/1 on a free loopback port until the process ends.
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
fn response(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
