//! An HTTP/1 server on an ephemeral loopback port, and response bodies that end well, break or hang.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// A response body whose reading can fail.
pub type Body = BoxBody<Bytes, io::Error>;

/// How long a test waits for what must happen before it fails: for ever, but for a machine that is slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is this test's own until it is dropped: a socket that is bound to it and does not listen. Who connects is
/// refused, and no other test is given the port, before a server listens on it or when that has ended.
pub struct Port {
    address: SocketAddr,
    /// Not on systems that let no server listen on a port that is held.
    _held: Option<TcpSocket>,
}

impl Port {
    pub fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        // With this, which servers set too, they listen on it all the same.
        held.set_reuseaddr(true).unwrap();
        held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { address: held.local_addr().unwrap(), _held: cfg!(target_os = "linux").then_some(held) }
    }

    /// Where a server of this test may listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of whoever listens, or of nobody.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A running server; dropping it ends it and its connections.
pub struct Loopback {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Loopback {
    /// Serves `handler` until dropped.
    pub async fn serve<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a TCP socket");
                let handler = handler.clone();
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                connections.spawn(async move {
                    // A client that goes away and a body that breaks on purpose both end a connection with an error.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }

    /// The URL to point an SDK at.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A number that only grows and that a test can wait for.
#[derive(Clone)]
pub struct Counter(Arc<watch::Sender<usize>>);

impl Default for Counter {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Counter {
    pub fn increment(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// Returns once the number is at least `count`; fails the test when that does not happen.
    pub async fn reaches(&self, count: usize) {
        let mut receiver = self.0.subscribe();
        let reached = tokio::time::timeout(PATIENCE, receiver.wait_for(|now| *now >= count)).await;
        assert!(reached.is_ok(), "waited {PATIENCE:?} for {count}, saw {}", self.get());
    }

    /// A guard that increments when it is dropped.
    pub fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone(), false)
    }
}

/// See [`Counter::on_drop`].
pub struct OnDrop(Counter, bool);

impl OnDrop {
    /// Drops it without counting.
    pub fn answered(mut self) {
        self.1 = true;
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if !self.1 {
            self.0.increment();
        }
    }
}

/// How many are inside at once: the number now and the largest so far.
#[derive(Clone)]
pub struct Gauge(Arc<watch::Sender<(usize, usize)>>);

impl Default for Gauge {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new((0, 0))))
    }
}

impl Gauge {
    /// One more, until the guard is dropped.
    pub fn enter(&self) -> Inside {
        self.0.send_modify(|(now, peak)| {
            *now += 1;
            *peak = (*peak).max(*now);
        });
        Inside(self.clone())
    }

    pub fn now(&self) -> usize {
        self.0.borrow().0
    }

    pub fn peak(&self) -> usize {
        self.0.borrow().1
    }

    /// Returns once the number is exactly `count`; fails the test when that does not happen.
    pub async fn is(&self, count: usize) {
        let mut receiver = self.0.subscribe();
        let reached = tokio::time::timeout(PATIENCE, receiver.wait_for(|(now, _)| *now == count)).await;
        assert!(reached.is_ok(), "waited {PATIENCE:?} for {count} at once, saw {}", self.now());
    }
}

/// See [`Gauge::enter`].
pub struct Inside(Gauge);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.send_modify(|(now, _)| *now -= 1);
    }
}

/// Holds back whoever comes until it lets through a number of them, or everybody.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// Lets `count` more through, those first who came first.
    pub fn let_through(&self, count: usize) {
        self.0.add_permits(count);
    }

    /// Lets everybody through, those too who come later.
    pub fn open(&self) {
        self.0.close();
    }

    /// Returns when let through.
    pub async fn pass(&self) {
        // An error is an open gate.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// How a body goes on after its bytes.
pub enum Ending {
    /// It is complete.
    Complete,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Hang(OnDrop),
    /// The same bytes again and again.
    Endless,
}

/// A body of `bytes` with the ending `ending`.
pub fn body(bytes: Bytes, ending: Ending) -> Body {
    let first = stream::iter([Ok(Frame::data(bytes.clone()))]);
    match ending {
        Ending::Complete => BodyExt::boxed(StreamBody::new(first)),
        Ending::Cut => BodyExt::boxed(StreamBody::new(first.chain(stream::once(async {
            // A turn for the server to send what it has, so that the client sees a beginning.
            tokio::task::yield_now().await;
            Err(io::Error::other("broken on purpose"))
        })))),
        Ending::Hang(guard) => BodyExt::boxed(StreamBody::new(first.chain(stream::once(async move {
            let _guard = guard;
            std::future::pending().await
        })))),
        Ending::Endless => {
            let again = stream::repeat_with(move || Ok(Frame::data(bytes.clone())));
            BodyExt::boxed(StreamBody::new(again))
        }
    }
}

/// Checks that there is a SigV4 signature in the scope of `service`; says what is wrong otherwise.
pub fn check_signature(headers: &HeaderMap, service: &str) -> Result<(), String> {
    let value = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(value) = value else {
        return Err("Missing Authentication Token".to_owned());
    };
    let scope = format!("/{service}/aws4_request");
    let complete = ["Credential=", "SignedHeaders=", "Signature="].iter().all(|part| value.contains(part));
    if !value.starts_with("AWS4-HMAC-SHA256 ") || !complete || !headers.contains_key("x-amz-date") {
        return Err("Authorization header is not a complete AWS Signature Version 4".to_owned());
    }
    if !value.contains(&scope) {
        return Err(format!("Credential should be scoped to correct service: '{service}'. "));
    }
    Ok(())
}
