//! Replicas that keep to the rules: heads and bodies in both directions, over TCP and Unix sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use samovar_proxy::{Address, Options, Upstream};
use std::convert::Infallible;
use std::sync::Arc;
use support::{Body, Peer, Replica, channel, empty, full, get, post, soon, text};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Answers with the body of the request as it comes, its trailers included.
async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    let trailer = request.headers().get("trailer").cloned();
    let mut response = Response::new(request.into_body());
    if let Some(trailer) = trailer {
        response.headers_mut().insert("trailer", trailer);
    }
    Ok(response)
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(echo));
    tokio::spawn(async move { _ = connection.await });
}

async fn echo_server() -> Arc<Upstream<Body>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            serve(listener.accept().await.unwrap().0);
        }
    });
    Upstream::new(address, Options::default())
}

#[tokio::test]
async fn the_replica_sees_a_clean_request() {
    let replica = Replica::new().await;
    let mut request = post(full("body"));
    *request.uri_mut() = "http://example.org/a?b=c".parse().unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    for (name, value) in [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers, gzip"),
        ("expect", "100-continue"),
        ("x-end", "2"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let sent = replica.send(request);
    let mut peer = replica.accept().await;
    let head = peer.head().await;
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "POST /a?b=c HTTP/1.1",
        "connection: te",
        "content-length: 4",
        "host: example.org",
        "te: trailers",
        "x-end: 2",
    ];
    assert_eq!(lines, expected);
    assert_eq!(peer.body(4).await, "body");
    peer.write("HTTP/1.1 201 Made\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n").await;
    peer.write("content-length: 0\r\nx-end: 2\r\n\r\n").await;
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-end"]);
}

#[tokio::test]
async fn answers_without_content_keep_their_connection() {
    let replica = Replica::new().await;
    let head = Request::head("/").body(empty()).unwrap();
    let sent = replica.send(head);
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    assert_eq!(text(response).await, "");
    for (status, length) in [("204 No Content", None), ("304 Not Modified", Some("7"))] {
        let sent = replica.send(get("/"));
        peer.head().await;
        let length_line =
            length.map_or(String::new(), |length| format!("content-length: {length}\r\n"));
        peer.write(format!("HTTP/1.1 {status}\r\n{length_line}\r\n")).await;
        let response = soon(sent).await.unwrap().unwrap();
        let seen = response.headers().get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!(seen, length);
        assert_eq!(text(response).await, "");
    }
    assert_eq!(replica.counts(), (1, 1));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_in_chunks() {
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let upstream = echo_server().await;
        let (mut body, request) = channel();
        let mut request = post(request);
        *request.method_mut() = method;
        let sent = tokio::spawn({
            let upstream = Arc::clone(&upstream);
            async move { text(upstream.send(request).await.unwrap()).await }
        });
        for piece in ["one ", "two ", "three"] {
            body.send_data(Bytes::from(piece)).await.unwrap();
        }
        drop(body);
        assert_eq!(soon(sent).await.unwrap(), "one two three");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let upstream = echo_server().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let (mut body, request) = channel();
    let mut request = post(request);
    request.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let sent = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.send(request).await }
    });
    body.send_data(Bytes::from("data")).await.unwrap();
    body.send_trailers(trailers.clone()).await.unwrap();
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.headers()["trailer"], "x-sum");
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "data");
}

#[tokio::test]
async fn large_bodies_stream_through_an_echo() {
    let upstream = echo_server().await;
    let sent: Vec<u8> = (0..16 << 20).map(|index: u32| (index % 251) as u8).collect();
    let response = soon(upstream.send(post(full(sent.clone())))).await.unwrap();
    let received = soon(response.into_body().collect()).await.unwrap().to_bytes();
    assert!(received == sent);
}

#[tokio::test]
async fn the_request_goes_on_while_nobody_reads_the_answer() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.answer("").await;
    soon(sent).await.unwrap().unwrap();
    let (mut body, request) = channel();
    let sent = replica.send(post(request)); // Over the same connection.
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let response = soon(sent).await.unwrap().unwrap();
    for _ in 0..3 {
        body.send_data(Bytes::from_static(b"ping")).await.unwrap();
        assert_eq!(peer.body(9).await, "4\r\nping\r\n");
    }
    drop(body);
    assert_eq!(peer.body(5).await, "0\r\n\r\n");
    peer.write("4\r\npong\r\n0\r\n\r\n").await;
    assert_eq!(text(response).await, "pong");
    replica.open(0).await; // It had a task of its own, and ends with it.
}

#[tokio::test]
async fn both_sides_talk_in_turns() {
    let upstream = echo_server().await;
    let (mut body, request) = channel();
    let response = {
        let sent = tokio::spawn(async move { upstream.send(post(request)).await });
        soon(sent).await.unwrap().unwrap()
    };
    let mut answer = response.into_body();
    for word in ["one", "two", "three"] {
        body.send_data(Bytes::from(word)).await.unwrap();
        assert_eq!(soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), word);
    }
    drop(body);
    assert!(soon(answer.frame()).await.is_none());
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let mut body = soon(sent).await.unwrap().unwrap().into_body();
    for word in ["tick", "tock"] {
        peer.write(format!("4\r\n{word}\r\n")).await;
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), word);
        assert_eq!(replica.counts(), (1, 0));
    }
    peer.write("0\r\n\r\n").await;
    assert!(soon(body.frame()).await.is_none());
    assert_eq!(replica.counts(), (1, 1));
}

#[tokio::test]
async fn the_connection_comes_back_with_the_last_byte() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
    let mut body = soon(sent).await.unwrap().unwrap().into_body();
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "half");
    peer.write("rest").await;
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "rest");
    assert!(body.is_end_stream()); // Nobody asks for more then.
    assert_eq!(replica.counts(), (1, 1));
}

#[tokio::test]
async fn an_answer_can_be_read_by_another_task() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
    let response = soon(sent).await.unwrap().unwrap();
    let read = tokio::spawn(text(response));
    tokio::task::yield_now().await;
    peer.write("half").await;
    assert_eq!(soon(read).await.unwrap(), "halfhalf");
    assert_eq!(replica.counts(), (1, 1));
}

#[tokio::test]
async fn a_unix_socket_works_like_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let upstream = Upstream::<Body>::new(Address::Unix(path), Options::default());
    let sent = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.send(get("/")).await }
    });
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    assert_eq!(peer.head().await, "GET / HTTP/1.1\nhost: localhost");
    peer.answer("first").await;
    assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "first");
    assert_eq!(upstream.counts().idle, 1);
    drop(peer);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await; // The system tells about it.
    let sent =
        tokio::spawn(async move { text(upstream.send(post(full("x"))).await.unwrap()).await });
    serve(soon(listener.accept()).await.unwrap().0);
    assert_eq!(soon(sent).await.unwrap(), "x");
}

#[tokio::test]
async fn an_early_answer_over_a_unix_socket_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let upstream = Upstream::<Body>::new(Address::Unix(path), Options::default());
    let sent = tokio::spawn(async move { upstream.send(post(full(vec![b'x'; 8 << 20]))).await });
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    peer.head().await;
    peer.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").await;
    drop(peer);
    assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "big");
}

#[tokio::test]
async fn an_answer_arrives_although_the_replica_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let upstream = Upstream::<Body>::new(Address::Unix(path), Options::default());
    let (mut body, request) = channel();
    let shared = Arc::clone(&upstream);
    let sent = tokio::spawn(async move { shared.send(post(request)).await });
    let mut peer = Peer(soon(listener.accept()).await.unwrap().0);
    peer.head().await;
    let stream = peer.0.into_std().unwrap();
    stream.shutdown(std::net::Shutdown::Read).unwrap();
    let mut peer = Peer(UnixStream::from_std(stream).unwrap());
    for _ in 0..3 {
        body.send_data(Bytes::from_static(b"unheard")).await.unwrap();
    }
    drop(body);
    tokio::task::yield_now().await;
    peer.answer("enough").await;
    assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "enough");
    assert_eq!(upstream.counts().open, 0); // It would take no other request.
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::Host { host: "localhost".into(), port };
    let upstream = Upstream::<Body>::new(address, Options::default());
    let sent =
        tokio::spawn(async move { text(upstream.send(post(full("x"))).await.unwrap()).await });
    serve(soon(listener.accept()).await.unwrap().0);
    assert_eq!(soon(sent).await.unwrap(), "x");
}
