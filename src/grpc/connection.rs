//! One connection of a client, from its first bytes on.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::identity::{self, Peer};

/// What every HTTP/2 client sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose client has begun to speak HTTP/2, over TLS or not.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    /// How much of the preface, which has been taken off the wire, the reader has had.
    replayed: usize,
    peer: Peer,
    /// Its place among those that there may be.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the client left before it sent anything: {0}")]
    Left(io::Error),
    #[error("the client does not speak HTTP/2, or speaks TLS to a port without it")]
    OtherProtocol,
}

impl Connection {
    /// Waits for the handshake and the first bytes, however long they take.
    pub(super) async fn open(
        stream: TcpStream,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, Refused> {
        let (mut wire, certificate) = match tls {
            None => (Wire::Plain(stream), None),
            Some(config) => {
                let stream = TlsAcceptor::from(config).accept(stream).await.map_err(Refused::Handshake)?;
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = shown.map(identity::caller_of);
                (Wire::Tls(Box::new(stream)), certificate)
            }
        };
        let mut first = [0; PREFACE.len()];
        wire.read_exact(&mut first).await.map_err(Refused::Left)?;
        if first != *PREFACE {
            return Err(Refused::OtherProtocol);
        }
        Ok(Self { wire, replayed: 0, peer: Peer { address, certificate }, place: None })
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(rest) = PREFACE.get(self.replayed..).filter(|rest| !rest.is_empty()) {
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..count).unwrap_or_default());
            self.replayed += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.wire).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}
