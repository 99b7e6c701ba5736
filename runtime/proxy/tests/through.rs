//! Whole ways: a client, a hyper server that forwards, and a replica.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use samovar_proxy::{Address, Options, Upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use support::{Peer, soon};
use tokio::net::{TcpListener, TcpStream};

/// A server that forwards to `replica`, and where it listens.
async fn front(replica: SocketAddr) -> (SocketAddr, Arc<Upstream<Incoming>>) {
    let upstream = Upstream::new(Address::Tcp(replica), Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::clone(&upstream);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let upstream = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let upstream = Arc::clone(&upstream);
                    async move { upstream.send(request).await }
                });
                let http = auto::Builder::new(TokioExecutor::new());
                _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, upstream)
}

async fn connect(address: SocketAddr) -> Peer<TcpStream> {
    Peer(TcpStream::connect(address).await.unwrap())
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let (listener, replica) = listen().await;
    let (front, _) = front(replica).await;
    let mut client = connect(front).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    client.write(head).await;
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    assert!(!peer.head().await.contains("expect"));
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue");
    client.write("body").await;
    assert_eq!(peer.body(4).await, "body");
    peer.answer("done").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\n"));
    assert_eq!(client.body(4).await, "done");
}

#[tokio::test]
async fn a_request_over_http2_gets_a_host() {
    let (listener, replica) = listen().await;
    let (front, _) = front(replica).await;
    let stream = TokioIo::new(TcpStream::connect(front).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = soon(handshake).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://example.org/a").body(Full::new(Bytes::from("body")));
    let sent = tokio::spawn(sender.send_request(request.unwrap()));
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    let head = peer.head().await;
    assert!(head.starts_with("POST /a HTTP/1.1\n"), "{head}");
    assert!(head.contains("host: example.org"), "{head}");
    assert_eq!(peer.body(4).await, "body");
    peer.write("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    peer.write("2\r\nok\r\n0\r\n\r\n").await;
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn an_answer_without_a_length_reaches_the_client_in_chunks() {
    let (listener, replica) = listen().await;
    let (front, _) = front(replica).await;
    let mut client = connect(front).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    peer.head().await;
    peer.write("HTTP/1.0 200 OK\r\n\r\nto the end").await;
    drop(peer);
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(client.body(20).await, "A\r\nto the end\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_request() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome"] {
        let (listener, replica) = listen().await;
        let (front, upstream) = front(replica).await;
        let mut client = connect(front).await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
        peer.head().await;
        peer.write(answer).await;
        if !answer.is_empty() {
            client.head().await;
        }
        drop(client);
        peer.sees_the_end().await;
        assert_eq!(upstream.counts().idle, 0);
    }
}

/// Answers with the path and the length of the body. Some answers close the connection.
async fn tell(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Full::new(Bytes::from(format!("{path} {}", body.len()))));
    if path.ends_with("00") {
        response.headers_mut().insert("connection", "close".parse().unwrap());
    }
    Ok(response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_get_their_own_answers() {
    let (listener, replica) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                let served = http.serve_connection(TokioIo::new(stream), service_fn(tell)).await;
                served.unwrap();
            });
        }
    });
    let (front, upstream) = front(replica).await;
    let clients = (0..32).map(|client| tokio::spawn(ask(front, client)));
    for client in clients.collect::<Vec<_>>() {
        soon(client).await.unwrap();
    }
    let counts = upstream.counts();
    assert_eq!(counts.open, counts.idle);
    assert!(counts.idle <= 32, "{counts:?}");
}

/// Sends requests of all kinds over one connection, each with an answer of its own.
async fn ask(front: SocketAddr, client: usize) {
    let stream = TokioIo::new(TcpStream::connect(front).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for number in 0..200 {
        let length = [0, 10, 100_000][number % 3];
        let path = format!("/{client}/{number}");
        let body = Full::new(Bytes::from(vec![b'x'; length]));
        let request = Request::post(&path).header("host", "a").body(body).unwrap();
        sender.ready().await.unwrap();
        let response: Response<Incoming> = sender.send_request(request).await.unwrap();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, format!("{path} {length}"));
    }
}
