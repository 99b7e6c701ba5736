//! Which connections are used again, and which are not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use samovar_proxy::{Options, SendFailure};
use std::time::Duration;
use support::{Replica, channel, empty, full, get, post, refused, soon, text};

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let replica = Replica::new().await;
    let first = replica.send(get("/first?a=b"));
    let mut peer = replica.accept().await;
    assert!(peer.head().await.starts_with("GET /first?a=b HTTP/1.1\n"));
    peer.answer("ok").await;
    assert_eq!(text(soon(first).await.unwrap().unwrap()).await, "ok");
    assert_eq!(replica.counts(), (1, 1));
    let second = replica.send(post(full("body")));
    assert!(peer.head().await.starts_with("POST / HTTP/1.1\n"));
    assert_eq!(peer.body(4).await, "body");
    peer.answer("again").await;
    assert_eq!(text(soon(second).await.unwrap().unwrap()).await, "again");
    assert_eq!(replica.counts(), (1, 1));
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_first() {
    let replica = Replica::new().await;
    let (one, two) = (replica.send(get("/")), replica.send(get("/")));
    let (mut first, mut second) = (replica.accept().await, replica.accept().await);
    first.head().await;
    second.head().await;
    second.answer("").await;
    replica.idle(1).await;
    first.answer("").await;
    soon(one).await.unwrap().unwrap();
    soon(two).await.unwrap().unwrap();
    replica.idle(2).await;
    let third = replica.send(get("/third"));
    assert!(first.head().await.starts_with("GET /third"));
    first.answer("").await;
    soon(third).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_the_replica_closed_fails_no_request() {
    let replica = Replica::new().await;
    // Whatever the method, as nothing is sent.
    for request in [get("/"), post(full("once")), post(empty())] {
        let sent = replica.send(get("/"));
        let mut peer = replica.accept().await;
        peer.head().await;
        peer.answer("").await;
        text(soon(sent).await.unwrap().unwrap()).await;
        assert_eq!(replica.counts(), (1, 1));
        drop(peer);
        tokio::time::sleep(Duration::from_millis(20)).await; // The system tells about it.
        let sent = replica.send(request);
        let mut peer = replica.accept().await;
        let head = peer.head().await;
        if head.contains("content-length: 4") {
            assert_eq!(peer.body(4).await, "once");
        }
        peer.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        text(soon(sent).await.unwrap().unwrap()).await;
        replica.open(0).await;
    }
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.answer("").await;
    text(soon(sent).await.unwrap().unwrap()).await;
    let sent = replica.send(get("/"));
    peer.head().await;
    drop(peer);
    let (is_unsent, failure) = refused(soon(sent).await.unwrap());
    assert!(!is_unsent && matches!(failure, SendFailure::ClosedBeforeAnswer { .. }), "{failure:?}");
    assert_eq!(replica.counts(), (0, 0));
}

#[tokio::test]
async fn surplus_bytes_spoil_a_connection() {
    let replica = Replica::new().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\
         okHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n",
    ] {
        let sent = replica.send(get("/"));
        let mut peer = replica.accept().await;
        peer.head().await;
        peer.write(answer).await;
        assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "ok");
        peer.sees_the_end().await;
        assert_eq!(replica.counts(), (0, 0), "{answer}");
    }
}

#[tokio::test]
async fn bytes_that_come_while_idle_spoil_a_connection() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.answer("ok").await;
    assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "ok");
    peer.answer("evil").await;
    tokio::time::sleep(Duration::from_millis(20)).await; // The system tells about it.
    let sent = replica.send(get("/"));
    let mut other = replica.accept().await;
    other.head().await;
    other.answer("good").await;
    assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "good");
    peer.sees_the_end().await;
}

#[tokio::test]
async fn bodies_that_an_answer_cannot_have_spoil_a_connection() {
    let replica = Replica::new().await;
    let answers = [
        (get("/"), "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nevil"),
        (get("/"), "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil"),
        (head("/"), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
    ];
    for (request, answer) in answers {
        let sent = replica.send(request);
        let mut peer = replica.accept().await;
        peer.head().await;
        peer.write(answer).await;
        assert_eq!(text(soon(sent).await.unwrap().unwrap()).await, "");
        peer.sees_the_end().await;
        assert_eq!(replica.counts(), (0, 0), "{answer}");
    }
}

#[tokio::test]
async fn doubtful_old_and_closing_answers_spoil_a_connection() {
    let replica = Replica::new().await;
    for head in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\n\r\n",
    ] {
        let sent = replica.send(get("/"));
        let mut peer = replica.accept().await;
        peer.head().await;
        peer.write(head).await;
        let response = soon(sent).await.unwrap().unwrap();
        assert_eq!(response.version(), http::Version::HTTP_11);
        assert!(!response.headers().contains_key("transfer-encoding"));
        assert_eq!(text(response).await, "ok");
        peer.sees_the_end().await;
        assert_eq!(replica.counts(), (0, 0), "{head}");
    }
}

#[tokio::test]
async fn a_request_that_was_not_sent_whole_spoils_a_connection() {
    let replica = Replica::new().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (mut body, request) = channel();
        let sent = replica.send(post(request));
        let mut peer = replica.accept().await;
        peer.head().await;
        body.send_data(Bytes::from_static(b"some")).await.unwrap();
        peer.write(answer).await;
        text(soon(sent).await.unwrap().unwrap()).await;
        peer.sees_the_end().await;
        replica.open(0).await;
        // And nobody reads what the client still sends.
        soon(async { while body.send_data(Bytes::from_static(b"more")).await.is_ok() {} }).await;
    }
}

#[tokio::test]
async fn no_more_than_the_most_are_kept() {
    let idle_timeout = Duration::from_secs(60);
    let replica = Replica::with(Options { idle_max: 2, idle_timeout, ..Options::default() }).await;
    let sent: Vec<_> = (0..4).map(|_| replica.send(get("/"))).collect();
    let mut peers = Vec::new();
    for _ in 0..4 {
        let mut peer = replica.accept().await;
        peer.head().await;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.answer("").await;
    }
    for sent in sent {
        text(soon(sent).await.unwrap().unwrap()).await;
    }
    assert_eq!(replica.counts(), (2, 2));
}

#[tokio::test]
async fn what_was_idle_for_too_long_is_closed() {
    let idle_timeout = Duration::from_millis(10);
    let replica = Replica::with(Options { idle_timeout, ..Options::default() }).await;
    let sent = replica.send(get("/"));
    let mut old = replica.accept().await;
    old.head().await;
    old.answer("").await;
    text(soon(sent).await.unwrap().unwrap()).await;
    tokio::time::sleep(idle_timeout).await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.answer("").await;
    text(soon(sent).await.unwrap().unwrap()).await;
    old.sees_the_end().await;
    tokio::time::sleep(idle_timeout).await;
    replica.upstream.sweep();
    peer.sees_the_end().await;
    assert_eq!(replica.counts(), (0, 0));
}

#[tokio::test]
async fn closing_keeps_no_connection_and_lets_requests_end() {
    let replica = Replica::new().await;
    let (one, two) = (replica.send(get("/")), replica.send(get("/")));
    let (mut first, mut second) = (replica.accept().await, replica.accept().await);
    first.head().await;
    second.head().await;
    first.answer("").await;
    replica.idle(1).await;
    replica.upstream.close();
    first.sees_the_end().await;
    assert_eq!(replica.counts(), (1, 0));
    second.answer("").await;
    soon(one).await.unwrap().unwrap();
    soon(two).await.unwrap().unwrap();
    second.sees_the_end().await;
    assert_eq!(replica.counts(), (0, 0));
}

fn head(uri: &str) -> http::Request<support::Body> {
    http::Request::head(uri).body(empty()).unwrap()
}
