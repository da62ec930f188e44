//! The listener. It takes connections as fast as they come, each of which must soon show that a client of HTTP/2 is there:
//! until then it has no place among the connections that there may be, so that silent ones take no room from others.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::Sleep,
};
use tokio_stream::Stream;

use super::connection::{Connection, Refused};
use crate::reload::Reloaded;

/// Longest time for the TLS handshake and the first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// Most connections that have not come so far. One more, and the oldest of them is dropped: who is quick is not held up by
/// any number of those who are silent.
const MAX_SILENT: usize = 1024;
/// Longest time for those that are on their way when the listener closes: a call may already be behind their first bytes.
const LATECOMERS: Duration = Duration::from_secs(1);
/// Pause after an error of the system's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How each connection is limited.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Age at which a connection is told to end, so that load spreads over instances.
    pub max_age: Duration,
    /// How long its calls in flight may take after that.
    pub age_grace: Duration,
    /// Most calls of one connection at once.
    pub max_streams: u32,
}

/// What has become of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    most: usize,
    over_limit: AtomicU64,
    never_spoke: AtomicU64,
}

impl Connections {
    /// With places for `most`.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        Self(Arc::new(Inner { places, most, over_limit: AtomicU64::new(0), never_spoke: AtomicU64::new(0) }))
    }

    /// Connections that are open, those not counted that have not spoken yet.
    pub fn open(&self) -> usize {
        self.0.most.saturating_sub(self.0.places.available_permits())
    }

    /// Connections that were closed at once, since there were as many as there may be.
    pub fn over_limit(&self) -> u64 {
        self.0.over_limit.load(Ordering::Relaxed)
    }

    /// Connections that were dropped since no client of HTTP/2 showed itself in time.
    pub fn never_spoke(&self) -> u64 {
        self.0.never_spoke.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.0.places.available_permits() == 0
    }

    fn refuse(&self, address: SocketAddr) {
        self.0.over_limit.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(peer = %address, "a connection more than --max-connections: closed");
    }
}

/// The connections of a listener, as they are ready to be served. It ends once it is told to stop and those who had come by
/// then are served.
pub(super) struct Incoming {
    /// `None` once it is told to stop.
    listener: Option<TcpListener>,
    stop: BoxFuture<'static, ()>,
    latecomers: Option<Pin<Box<Sleep>>>,
    tls: Option<Arc<Reloaded<ServerConfig>>>,
    connections: Connections,
    opening: JoinSet<Option<Connection>>,
    /// Those that have not spoken, oldest first, and some that have.
    silent: VecDeque<AbortHandle>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<Arc<Reloaded<ServerConfig>>>,
        connections: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            listener: Some(listener),
            stop: Box::pin(stop),
            latecomers: None,
            tls,
            connections,
            opening: JoinSet::new(),
            silent: VecDeque::new(),
            pause: None,
        }
    }

    /// Waits for its first bytes, in a task of its own.
    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        if self.connections.is_full() {
            return self.connections.refuse(address);
        }
        if self.silent.len() >= MAX_SILENT {
            self.silent.retain(|task| !task.is_finished());
        }
        if self.silent.len() >= MAX_SILENT
            && let Some(oldest) = self.silent.pop_front()
        {
            oldest.abort();
        }
        let tls = self.tls.as_ref().map(|tls| tls.get());
        let task = self.opening.spawn(open(stream, address, tls, self.connections.clone()));
        self.silent.push_back(task);
    }

    /// Takes what has come by now, and closes the listener.
    fn close(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some((stream, address))) = self.poll_accept(context) {
            self.begin(stream, address);
        }
        self.listener = None;
        self.latecomers = Some(Box::pin(tokio::time::sleep(LATECOMERS)));
    }

    /// The next connection from the system, after a pause when it had none to give; none when the listener is closed.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        let Some(listener) = &self.listener else { return Poll::Ready(None) };
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(listener.poll_accept(context)) {
                Ok(accepted) => return Poll::Ready(Some(accepted)),
                // It was gone before it was taken: the next one may be fine.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot take connections: trying again");
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.opening.poll_join_next(context) {
                Poll::Ready(Some(Ok(Some(connection)))) => return Poll::Ready(Some(Ok(connection))),
                Poll::Ready(Some(Ok(None))) => continue,
                Poll::Ready(Some(Err(_))) => {
                    self.connections.0.never_spoke.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Poll::Ready(None) if self.listener.is_none() => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(latecomers) = &mut self.latecomers {
                ready!(latecomers.as_mut().poll(context));
                return Poll::Ready(None);
            }
            if self.stop.as_mut().poll(context).is_ready() {
                self.close(context);
                continue;
            }
            // A new task must be asked once, so that it wakes this one.
            if let Some((stream, address)) = ready!(self.poll_accept(context)) {
                self.begin(stream, address);
            }
        }
    }
}

/// The connection once its client has spoken and there is a place for it.
async fn open(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    connections: Connections,
) -> Option<Connection> {
    // Small frames must not wait for others. A socket that is gone tells so when it is read.
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(FIRST_BYTES, Connection::open(stream, address, tls)).await;
    let mut connection = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(refused)) => {
            tracing::debug!(peer = %address, %refused, "a connection came to nothing");
            if !matches!(refused, Refused::Left(_)) {
                connections.0.never_spoke.fetch_add(1, Ordering::Relaxed);
            }
            return None;
        }
        Err(_) => {
            tracing::debug!(peer = %address, "a connection said nothing for {} s: dropped", FIRST_BYTES.as_secs());
            connections.0.never_spoke.fetch_add(1, Ordering::Relaxed);
            return None;
        }
    };
    match Arc::clone(&connections.0.places).try_acquire_owned() {
        Ok(place) => connection.place = Some(place),
        Err(_) => {
            connections.refuse(address);
            return None;
        }
    }
    Some(connection)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}

#[cfg(test)]
mod tests;
