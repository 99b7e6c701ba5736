//! A client that leaves: the replica notices, because its connection is closed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http_body_util::BodyExt;
use support::{Replica, channel, get, post, soon};

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_closes_the_connection() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    assert_eq!(replica.counts(), (1, 0));
    sent.abort();
    peer.sees_the_end().await;
    replica.open(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_closes_the_connection() {
    let replica = Replica::new().await;
    let (mut body, request) = channel();
    let sent = replica.send(post(request));
    let mut peer = replica.accept().await;
    peer.head().await;
    body.send_data(Bytes::from_static(b"some")).await.unwrap();
    sent.abort();
    peer.sees_the_end().await;
    replica.open(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_closes_the_connection() {
    let replica = Replica::new().await;
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
        "HTTP/1.1 200 OK\r\n\r\nsome",
    ] {
        let sent = replica.send(get("/"));
        let mut peer = replica.accept().await;
        peer.head().await;
        peer.write(head).await;
        let mut body = soon(sent).await.unwrap().unwrap().into_body();
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "some");
        drop(body);
        peer.sees_the_end().await;
        replica.open(0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_both_send_closes_the_connection() {
    let replica = Replica::new().await;
    let (mut body, request) = channel();
    let sent = replica.send(post(request));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\n\r\nsome").await;
    let answer = soon(sent).await.unwrap().unwrap();
    body.send_data(Bytes::from_static(b"some")).await.unwrap();
    drop(answer);
    peer.sees_the_end().await;
    replica.open(0).await;
    soon(async { while body.send_data(Bytes::from_static(b"more")).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_replica_that_floods_a_client_that_left_is_stopped() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\n\r\n").await;
    let flood = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut peer.0, &[b'x'; 65536]).await.is_ok() {}
    });
    let mut body = soon(sent).await.unwrap().unwrap().into_body();
    soon(body.frame()).await.unwrap().unwrap();
    drop(body);
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_received_whole_need_not_be_read() {
    let replica = Replica::new().await;
    let sent = replica.send(get("/"));
    let mut peer = replica.accept().await;
    peer.head().await;
    peer.answer("short").await;
    drop(soon(sent).await.unwrap().unwrap());
    assert_eq!(replica.counts(), (1, 1));
}
