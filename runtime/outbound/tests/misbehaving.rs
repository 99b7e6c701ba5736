//! Sites that break the rules: each has a clear error, and none makes a handler hang.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use samovar_outbound::{Client, Error};
use support::peer::Blank;
use support::{channel, client, explain, full, get, post, read, settings, soon, start, until};

async fn answered(bytes: &str) -> (Client, support::Answer) {
    let site = Blank::new().await;
    let client = client(settings());
    let answer = site.answer_and_close(&client, get(site.url("/")), bytes.as_bytes()).await;
    (client, answer)
}

async fn refused(bytes: &str) -> Error {
    let (client, answer) = answered(bytes).await;
    assert_eq!((client.counts().busy, client.counts().idle), (0, 0));
    answer.map(|response| response.into_parts().0).expect_err("there is a response")
}

async fn broken(bytes: &str) -> Error {
    let (client, answer) = answered(bytes).await;
    let error = read(answer.unwrap()).await.expect_err("the body is complete");
    assert_eq!((client.counts().busy, client.counts().idle), (0, 0));
    error
}

#[tokio::test]
async fn a_site_that_closes_before_it_answers() {
    for bytes in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let error = refused(bytes).await;
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_seen_is_not_sent_again() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/1")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.answer("first").await;
    read(soon(sent).await.unwrap().unwrap()).await.unwrap();
    until(|| client.counts().idle == 1).await;
    let sent = start(&client, post(site.url("/2"), full("x")));
    assert!(peer.head().await.starts_with("POST /2 "));
    drop(peer);
    let error = soon(sent).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn one_that_only_reads_is_sent_again_when_a_kept_connection_is_closed() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/1")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.answer("first").await;
    read(soon(sent).await.unwrap().unwrap()).await.unwrap();
    until(|| client.counts().idle == 1).await;
    let sent = start(&client, get(site.url("/2")));
    assert!(peer.head().await.starts_with("GET /2 "));
    drop(peer);
    let mut peer = site.accept().await;
    assert!(peer.head().await.starts_with("GET /2 "));
    peer.answer("second").await;
    assert_eq!(read(soon(sent).await.unwrap().unwrap()).await.unwrap(), "second");
}

#[tokio::test]
async fn what_is_no_http_is_no_response() {
    for bytes in [
        "220 mail.example ESMTP\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\0\0\0",
    ] {
        let error = refused(bytes).await;
        assert!(matches!(error, Error::Protocol { .. }), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn protocols_are_not_switched() {
    let error = refused("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n").await;
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let (_, answer) = answered("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n").await;
    assert_eq!(answer.unwrap().status(), 204);
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
    ] {
        let error = broken(bytes).await;
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
        let said = " closed the connection before the response was complete";
        assert!(explain(&error).contains(said), "{}", explain(&error));
    }
}

#[tokio::test]
async fn a_body_that_is_not_framed_as_http_says() {
    let error =
        broken("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\nx\r\n").await;
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn headers_of_one_connection_do_not_reach_the_handler() {
    let (_, answer) = answered(
        "HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\nconnection: close, x-a\r\nx-a: 1\r\n\
         proxy-authenticate: a\r\nx-b: 2\r\n\r\nsome",
    )
    .await;
    let response = answer.unwrap();
    let names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-b"]);
    assert_eq!(read(response).await.unwrap(), "some");
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_the_connection() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(read(soon(sent).await.unwrap().unwrap()).await.unwrap(), "ok");
    peer.sees_the_end().await;
    until(|| client.counts().busy == 0).await;
    let sent = start(&client, get(site.url("/")));
    let mut next = site.accept().await;
    next.head().await;
    next.answer("fine").await;
    assert_eq!(read(soon(sent).await.unwrap().unwrap()).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_site_that_closes_while_the_request_is_sent() {
    let site = Blank::new().await;
    let client = client(settings());
    let (mut body, request) = channel();
    let sent = start(&client, post(site.url("/"), request));
    let mut peer = site.accept().await;
    peer.head().await;
    drop(peer);
    while body.send_data(Bytes::from_static(b"more")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = soon(sent).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_before_a_large_request_is_read_is_an_answer() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, post(site.url("/"), full(vec![b'x'; 8 << 20])));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await;
    let response = soon(sent).await.unwrap().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(read(response).await.unwrap(), "no");
}
