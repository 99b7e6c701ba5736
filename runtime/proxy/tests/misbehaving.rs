//! Replicas that break the rules: each has a clear error, and none makes the server hang.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use samovar_proxy::{Address, BodyError, Options, SendFailure, Upstream};
use std::time::Duration;
use support::{Body, Replica, Sent, channel, empty, full, get, post, refused, soon, text};
use tokio::net::{TcpSocket, TcpStream};

/// The error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What breaks off the body of an answer that is these bytes.
async fn broken_body(bytes: &str) -> BodyError {
    let replica = Replica::new().await;
    let response = replica.get_and_close(bytes.as_bytes()).await.unwrap();
    let error = soon(response.into_body().collect()).await.expect_err("the body is complete");
    assert_eq!(replica.counts(), (0, 0));
    error
}

async fn refused_answer(bytes: &[u8]) -> SendFailure {
    let replica = Replica::new().await;
    let (is_unsent, failure) = refused(replica.get_and_close(bytes).await);
    assert!(!is_unsent);
    assert_eq!(replica.counts(), (0, 0));
    failure
}

#[tokio::test]
async fn nobody_listens() {
    let address = Address::Tcp(free_port());
    let upstream = Upstream::<Body>::new(address.clone(), Options::default());
    let (is_unsent, failure) = refused(soon(upstream.send(post(full("x")))).await);
    assert!(is_unsent && matches!(failure, SendFailure::Connect { .. }), "{failure:?}");
    assert!(explain(&failure).starts_with(&format!("connect to the replica at {address}: ")));
    let upstream = Upstream::<Body>::new(Address::Unix("/nowhere".into()), Options::default());
    let (is_unsent, failure) = refused(soon(upstream.send(get("/"))).await);
    assert!(is_unsent && matches!(failure, SendFailure::Connect { .. }), "{failure:?}");
}

#[tokio::test]
async fn a_name_that_nobody_has() {
    let address = Address::Host { host: "nobody.invalid".into(), port: 80 };
    let upstream = Upstream::<Body>::new(address, Options::default());
    let (is_unsent, failure) = refused(soon(upstream.send(get("/"))).await);
    let is_right = matches!(
        failure,
        SendFailure::Connect { .. } | SendFailure::ConnectTimeout { .. } // Without any DNS.
    );
    assert!(is_unsent && is_right, "{failure:?}");
}

#[tokio::test]
async fn a_replica_that_accepts_nothing() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let short = Duration::from_millis(100);
    while let Ok(stream) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        waiting.push(stream.unwrap()); // Until there is no room to wait in.
    }
    let options = Options { connect_timeout: short, ..Options::default() };
    let upstream = Upstream::<Body>::new(Address::Tcp(address), options);
    let (is_unsent, failure) = refused(soon(upstream.send(get("/"))).await);
    assert!(is_unsent && matches!(failure, SendFailure::ConnectTimeout { .. }), "{failure:?}");
}

#[tokio::test]
async fn a_replica_that_accepts_and_closes() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    drop(replica.accept().await);
    // Whether the request was sent by then is a matter of luck.
    let (_, failure) = refused(soon(sent).await.unwrap());
    assert!(matches!(failure, SendFailure::ClosedBeforeAnswer { .. }), "{failure:?}");
    assert_eq!(replica.counts(), (0, 0));
}

#[tokio::test]
async fn a_replica_that_closes_without_an_answer() {
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let failure = refused_answer(bytes.as_bytes()).await;
        assert!(matches!(failure, SendFailure::ClosedBeforeAnswer { .. }), "{failure:?}");
    }
}

#[tokio::test]
async fn a_replica_that_speaks_no_http() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 two OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let failure = refused_answer(bytes.as_bytes()).await;
        assert!(matches!(failure, SendFailure::NotHttp { .. }), "{bytes:?}: {failure:?}");
    }
    let failure = refused_answer(b"\x16\x03\x01\x02\x00\x01\x00\xff\xfe\r\n\r\n").await;
    assert!(matches!(failure, SendFailure::NotHttp { .. }), "{failure:?}");
    let noise = "it uses a transfer coding other than chunked, which was not asked for";
    let failure = refused_answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: x\r\n\r\n").await;
    assert_eq!(explain(&failure), format!("the replica's answer is not valid HTTP: {noise}"));
}

#[tokio::test]
async fn a_head_that_is_too_large() {
    let long = "x".repeat(70_000);
    let failure = refused_answer(format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n").as_bytes()).await;
    assert!(matches!(failure, SendFailure::HeadTooLarge { .. }), "{failure:?}");
    let many = "x: y\r\n".repeat(101);
    let failure = refused_answer(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()).await;
    assert!(matches!(failure, SendFailure::HeadTooLarge { .. }), "{failure:?}");
}

#[tokio::test]
async fn a_head_that_never_ends() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\nx: ").await;
    let endless = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut peer.0, &[b'x'; 4096]).await.is_ok() {}
    });
    let (_, failure) = refused(soon(sent).await.unwrap());
    assert!(matches!(failure, SendFailure::HeadTooLarge { .. }), "{failure:?}");
    soon(endless).await.unwrap();
}

#[tokio::test]
async fn larger_heads_can_be_allowed() {
    let options = Options { head_bytes_max: 1 << 20, headers_max: 1000, ..Options::default() };
    let replica = Replica::with(options).await;
    let (long, many) = ("x".repeat(700_000), "x: y\r\n".repeat(500));
    let head = format!("HTTP/1.1 204 No Content\r\nx: {long}\r\n{many}\r\n");
    let response = replica.get_and_close(head.as_bytes()).await.unwrap();
    assert_eq!(response.headers().len(), 501);
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let replica = Replica::new().await;
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let answer = format!("{interim}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let response = replica.get_and_close(answer.as_bytes()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("link"));
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n",
    ] {
        let error = broken_body(answer).await;
        assert!(matches!(error, BodyError::Closed { .. }), "{answer:?}: {error:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    for chunks in ["x\r\n", "2;", "ffffffffffffffffff\r\n", "2\r\nokk\r\n", "2\nok\r\n"] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let error = broken_body(&format!("{head}{chunks}")).await;
        let is_right = matches!(error, BodyError::NotHttp { .. }) || chunks == "2;";
        assert!(is_right, "{chunks:?}: {error:?}");
    }
}

#[tokio::test]
async fn trailers_that_are_too_large() {
    let trailer = format!("x: {}", "y".repeat(70_000));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let error = broken_body(&format!("{head}0\r\n{trailer}\r\n\r\n")).await;
    assert!(matches!(error, BodyError::NotHttp { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_complete() {
    let replica = Replica::new().await;
    let sent = replica.get_and_close(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    assert_eq!(text(sent.unwrap()).await, "until the end");
    assert_eq!(replica.counts(), (0, 0));
}

/// Sends a large request to a replica that answers it unread and closes.
async fn early(answer: &[u8]) -> Sent {
    Replica::new().await.answer_and_close(post(full(vec![b'x'; 8 << 20])), answer).await
}

#[tokio::test]
async fn an_early_answer_arrives_although_the_request_was_not_read() {
    let head = "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\n";
    let response = early(format!("{head}content-length: 3\r\n\r\nbig").as_bytes()).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(response).await, "big");
    let (_, failure) = refused(early(b"").await);
    assert!(matches!(failure, SendFailure::ClosedBeforeAnswer { .. }), "{failure:?}");
}

#[tokio::test]
async fn a_request_whose_body_fails_is_the_clients_fault() {
    let replica = Replica::new().await;
    let (mut body, request) = channel();
    let sent = replica.send(post(request));
    let mut peer = replica.accept().await;
    assert!(peer.head().await.contains("transfer-encoding: chunked"));
    body.send_data(Bytes::from_static(b"some")).await.unwrap();
    assert_eq!(peer.body(9).await, "4\r\nsome\r\n");
    body.abort(std::io::Error::other("the client left"));
    let (is_unsent, failure) = refused(soon(sent).await.unwrap());
    assert!(!is_unsent && matches!(failure, SendFailure::RequestBody { .. }), "{failure:?}");
    assert!(explain(&failure).ends_with("the client left"), "{}", explain(&failure));
    peer.sees_the_end().await;
    assert_eq!(replica.counts(), (0, 0));
}

#[tokio::test]
async fn a_request_whose_body_is_too_short_is_the_clients_fault() {
    let replica = Replica::new().await;
    let (body, request) = channel();
    let mut request = post(request);
    request.headers_mut().insert("content-length", 5.into());
    let sent = replica.send(request);
    let mut peer = replica.accept().await;
    peer.head().await;
    drop(body);
    let (_, failure) = refused(soon(sent).await.unwrap());
    assert!(matches!(failure, SendFailure::RequestBody { .. }), "{failure:?}");
    peer.sees_the_end().await;
}

#[tokio::test]
async fn a_request_whose_body_fails_during_the_answer_breaks_the_answer_off() {
    let replica = Replica::new().await;
    let (body, request) = channel();
    let sent = replica.send(post(request));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").await;
    let response = soon(sent).await.unwrap().unwrap();
    body.abort(std::io::Error::other("the client left"));
    let error = soon(response.into_body().collect()).await.expect_err("it is complete");
    assert!(matches!(error, BodyError::RequestBody { .. }), "{error:?}");
    peer.sees_the_end().await;
}

#[tokio::test]
async fn tunnels_are_refused() {
    let replica = Replica::new().await;
    let request = http::Request::connect("example.org:443").body(empty()).unwrap();
    let (is_unsent, failure) = refused(soon(replica.upstream.send(request)).await);
    assert!(is_unsent && matches!(failure, SendFailure::Tunnel), "{failure:?}");
}

/// A port that nobody listens on.
fn free_port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
