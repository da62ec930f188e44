use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::StreamExt as _;
use tonic::transport::server::Connected as _;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn incoming(most: usize) -> (Incoming, Connections, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections::new(most);
    (Incoming::new(listener, None, connections.clone(), std::future::pending()), connections, address)
}

async fn client(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// Resolves when the server has closed it.
async fn closed(mut stream: TcpStream) {
    // A reset is an end too.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn what_the_client_sent_comes_whole_and_in_order() {
    let (mut incoming, connections, address) = incoming(2).await;
    let mut sent = PREFACE.to_vec();
    sent.extend_from_slice(b"and more");
    let client = client(address, &sent).await;
    let mut connection = incoming.next().await.unwrap().unwrap();
    assert_eq!(connection.connect_info().address, client.local_addr().unwrap());
    assert!(connection.connect_info().certificate.is_none());
    let mut read = vec![0; sent.len()];
    // In small steps, across the end of the preface.
    for part in read.chunks_mut(5) {
        connection.read_exact(part).await.unwrap();
    }
    assert_eq!((read, connections.open()), (sent, 1));
    drop(connection);
    assert_eq!(connections.open(), 0);
}

#[tokio::test]
async fn the_newest_connection_more_than_there_may_be_is_closed_at_once() {
    let (mut incoming, connections, address) = incoming(1).await;
    let _first = client(address, PREFACE).await;
    let first = incoming.next().await.unwrap().unwrap();
    let second = client(address, b"").await;
    tokio::select! {
        _ = incoming.next() => panic!("there is no place"),
        () = closed(second) => {}
    }
    assert_eq!((connections.open(), connections.over_limit()), (1, 1));
    drop(first);
    let _third = client(address, PREFACE).await;
    assert!(incoming.next().await.unwrap().is_ok());
}

#[tokio::test]
async fn what_is_not_http2_is_closed_at_once() {
    let (mut incoming, connections, address) = incoming(2).await;
    for other in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), &[0x16; 40]] {
        let stranger = client(address, other).await;
        tokio::select! {
            _ = incoming.next() => panic!("no client of HTTP/2"),
            () = closed(stranger) => {}
        }
    }
    assert_eq!((connections.open(), connections.never_spoke()), (0, 2));
}

#[tokio::test]
async fn silent_connections_take_no_place_and_hold_up_nobody() {
    let (mut incoming, connections, address) = incoming(1).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(client(address, PREFACE.get(..10).unwrap()).await);
    }
    let _quick = client(address, PREFACE).await;
    let quick = incoming.next().await.unwrap().unwrap();
    assert_eq!(connections.open(), 1);
    drop((quick, silent));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_dropped_in_time() {
    let (mut incoming, connections, address) = incoming(1).await;
    let silent = client(address, b"PRI").await;
    tokio::select! {
        _ = incoming.next() => panic!("it never spoke"),
        () = closed(silent) => {}
    }
    assert_eq!(connections.never_spoke(), 1);
}

#[tokio::test]
async fn of_too_many_silent_ones_the_oldest_goes() {
    let (mut incoming, connections, address) = incoming(1).await;
    let oldest = client(address, b"").await;
    let (stream, peer) = incoming.listener.as_ref().unwrap().accept().await.unwrap();
    incoming.begin(stream, peer);
    for _ in 0..MAX_SILENT {
        // Tasks that never end stand for connections, of which there would be too many for some machines.
        let task = incoming.opening.spawn(std::future::pending());
        incoming.silent.push_back(task);
    }
    let _newest = client(address, PREFACE).await;
    assert!(incoming.next().await.unwrap().is_ok());
    closed(oldest).await;
    assert_eq!(connections.open(), 0, "the connection that was taken is gone");
}

/// A listener that is told to stop by the sender.
async fn stoppable() -> (Incoming, tokio::sync::oneshot::Sender<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let stopped = async { stopped.await.unwrap() };
    (Incoming::new(listener, None, Connections::new(9), stopped), stop, address)
}

#[tokio::test(start_paused = true)]
async fn who_has_come_before_the_listener_closes_is_served() {
    let (mut incoming, stop, address) = stoppable().await;
    // While a blocking thread works the clock stands still, however long the system takes.
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || is_over.recv());
    // Known to the system alone, and half way in.
    let _waiting = client(address, PREFACE).await;
    let mut begun = client(address, b"PRI").await;
    stop.send(()).unwrap();
    assert!(incoming.next().await.unwrap().is_ok());
    begun.write_all(PREFACE.get(3..).unwrap()).await.unwrap();
    assert!(incoming.next().await.unwrap().is_ok());
    drop(over);
    assert!(incoming.next().await.is_none(), "nobody else is on the way");
    assert!(incoming.listener.is_none(), "it is closed");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_does_not_keep_a_listener_that_closes() {
    let (mut incoming, stop, address) = stoppable().await;
    let _silent = client(address, b"").await;
    stop.send(()).unwrap();
    assert!(incoming.next().await.is_none());
}
