//! Limits of time and size.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use samovar_outbound::{Bound, CallOptions, Client, Error, Settings};
use std::io;
use std::time::Duration;
use support::peer::Blank;
use support::site::{Authority, Site};
use support::{
    HANG, SHORT, channel, client, empty, explain, full, get, post, read, refused, send, settings,
    soon, start, text, until,
};
use tokio::time::Instant;

/// The same test over HTTP/1.1 and HTTP/2.
async fn sites() -> [(Site, Authority); 2] {
    let authority = Authority::new();
    let secure = Site::https(&authority, "site.example", &["h2"]).await;
    [(Site::http().await, Authority::new()), (secure, authority)]
}

fn trusting(authority: &Authority, settings: Settings) -> Client {
    client(Settings { ca_files: vec![authority.pem()], ..settings })
}

#[tokio::test]
async fn a_response_may_have_so_many_bytes() {
    for (site, authority) in sites().await {
        let client = trusting(&authority, Settings { response_body_max: 100, ..settings() });
        assert_eq!(text(&client, site.url("/bytes/100")).await.len(), 100);
        assert_eq!(text(&client, site.url("/pieces/10")).await.len(), 100);
        let error = refused(&client, get(site.url("/bytes/101"))).await;
        let Error::ResponseBodyTooLarge { limit_bytes: 100, .. } = error else {
            panic!("{error:?}")
        };
        let response = send(&client, get(site.url("/pieces/11"))).await.unwrap();
        let error = read(response).await.unwrap_err();
        let Error::ResponseBodyTooLarge { limit_bytes: 100, .. } = &error else {
            panic!("{error:?}")
        };
        let said = ": the body of the response has more than 100 bytes";
        assert!(error.to_string().ends_with(said), "{error}");
    }
}

#[tokio::test]
async fn the_length_of_a_body_that_is_not_sent_does_not_count() {
    let site = Site::http().await;
    let client = client(Settings { response_body_max: 100, ..settings() });
    let head = Request::head(site.url("/bytes/1000")).body(empty()).unwrap();
    let response = send(&client, head).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    assert_eq!(read(response).await.unwrap(), "");
}

#[tokio::test]
async fn an_endless_response_is_cut_off() {
    let site = Blank::new().await;
    let client = client(Settings { response_body_max: 1 << 20, ..settings() });
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\n\r\n").await;
    let flood = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut peer.0, &[b'x'; 65536]).await.is_ok() {}
    });
    let error = read(soon(sent).await.unwrap().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ResponseBodyTooLarge { .. }), "{error:?}");
    soon(flood).await.unwrap();
    assert_eq!(client.counts().busy, 0);
}

#[tokio::test]
async fn a_request_may_have_so_many_bytes() {
    for (site, authority) in sites().await {
        let client = trusting(&authority, Settings { request_body_max: 100, ..settings() });
        let response = send(&client, post(site.url("/echo"), full(vec![b'x'; 100]))).await;
        assert!(read(response.unwrap()).await.unwrap().ends_with(&"x".repeat(100)));
        let made = site.accepted();
        let error = refused(&client, post(site.url("/echo"), full(vec![b'x'; 101]))).await;
        assert!(matches!(error, Error::RequestBodyTooLarge { .. }), "{error:?}");
        let announced = Request::post(site.url("/")).header("content-length", "101");
        let error = refused(&client, announced.body(channel().1).unwrap()).await;
        assert!(matches!(error, Error::RequestBodyTooLarge { .. }), "{error:?}");
        assert_eq!(site.accepted(), made);
        let (mut body, request) = channel();
        let sent = start(&client, post(site.url("/echo"), request));
        body.send_data(Bytes::from(vec![b'x'; 100])).await.unwrap();
        body.send_data(Bytes::from_static(b"x")).await.unwrap();
        let error = soon(sent).await.unwrap().unwrap_err();
        let Error::RequestBodyTooLarge { limit_bytes: 100, .. } = &error else {
            panic!("{error:?}")
        };
        let said = ": the body of the request has more than 100 bytes";
        assert!(error.to_string().ends_with(said), "{error}");
    }
}

#[tokio::test]
async fn a_request_that_grows_too_large_ends_the_response() {
    let site = Blank::new().await;
    let client = client(Settings { request_body_max: 3, ..settings() });
    let (mut body, request) = channel();
    let sent = start(&client, post(site.url("/"), request));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\n\r\nsome").await;
    let response = soon(sent).await.unwrap().unwrap();
    body.send_data(Bytes::from_static(b"more")).await.unwrap();
    let error = read(response).await.unwrap_err();
    assert!(matches!(error, Error::RequestBodyTooLarge { .. }), "{error:?}");
    peer.sees_the_end().await;
}

#[tokio::test]
async fn a_request_whose_body_fails() {
    for (site, authority) in sites().await {
        let client = trusting(&authority, settings());
        let (mut body, request) = channel();
        let sent = start(&client, post(site.url("/echo"), request));
        body.send_data(Bytes::from_static(b"some")).await.unwrap();
        body.abort(io::Error::other("the handler trapped"));
        let error = soon(sent).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::RequestBody { .. }), "{error:?}");
        let said = ": the body of the request broke off: the handler trapped";
        assert!(explain(&error).ends_with(said), "{}", explain(&error));
        until(|| client.counts().busy == 0).await;
    }
}

#[tokio::test]
async fn the_head_of_a_response_may_have_so_many_bytes() {
    for (site, authority) in sites().await {
        for limit in [1000, 50_000] {
            let client = trusting(&authority, Settings { response_head_max: limit, ..settings() });
            let fits = send(&client, get(site.url(&format!("/head/{}", limit - 300)))).await;
            assert_eq!(fits.unwrap().headers()["x-large"].len(), limit - 300);
            let error = refused(&client, get(site.url(&format!("/head/{limit}")))).await;
            let Error::HeadTooLarge { limit_bytes, .. } = error else { panic!("{error:?}") };
            assert_eq!(limit_bytes, limit);
            // Far too large.
            let error = refused(&client, get(site.url(&format!("/head/{}", limit * 3)))).await;
            let is_http2 = site.url("").starts_with("https");
            assert!(
                matches!(error, Error::HeadTooLarge { .. } if !is_http2)
                    || matches!(error, Error::Protocol { .. } if is_http2),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_response_may_have_so_many_headers() {
    let site = Blank::new().await;
    let client = client(settings());
    let head =
        |count: usize| format!("HTTP/1.1 204 No Content\r\n{}\r\n", "a: b\r\n".repeat(count));
    let fits = site.answer_and_close(&client, get(site.url("/")), head(100).as_bytes()).await;
    assert_eq!(fits.unwrap().headers().len(), 100);
    let more = site.answer_and_close(&client, get(site.url("/")), head(101).as_bytes()).await;
    assert!(matches!(more, Err(Error::HeadTooLarge { .. })), "{more:?}");
}

#[tokio::test]
async fn a_site_that_does_not_answer() {
    for (site, authority) in sites().await {
        let client = trusting(&authority, Settings { first_byte_timeout: SHORT, ..settings() });
        let error = refused(&client, get(site.url("/silent"))).await;
        let Error::FirstByteTimeout { bound, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*bound, Bound::Limit(SHORT));
        assert!(error.to_string().ends_with(" did not answer within 30ms"), "{error}");
        until(|| client.counts().busy == 0).await;
    }
}

#[tokio::test]
async fn a_call_may_have_limits_of_its_own() {
    let site = Site::http().await;
    let patient = client(settings());
    let options = CallOptions { first_byte: Some(SHORT), ..CallOptions::default() };
    let error = soon(patient.send(get(site.url("/silent")), options)).await.unwrap_err();
    assert!(matches!(error, Error::FirstByteTimeout { .. }), "{error:?}");
    let options = CallOptions { between_bytes: Some(SHORT), ..CallOptions::default() };
    let response = soon(patient.send(get(site.url("/stall")), options)).await.unwrap();
    let error = read(response).await.unwrap_err();
    assert!(matches!(error, Error::BetweenBytesTimeout { .. }), "{error:?}");
    let hasty = client(Settings { first_byte_timeout: Duration::ZERO, ..settings() });
    let options = CallOptions { first_byte: Some(HANG), ..CallOptions::default() };
    soon(hasty.send(get(site.url("/")), options)).await.unwrap();
}

#[tokio::test]
async fn the_deadline_ends_a_call_wherever_it_is() {
    let site = Site::http().await;
    let client = client(Settings { connections_max: 2, ..settings() });
    let soon_over =
        || CallOptions { deadline: Some(Instant::now() + SHORT), ..CallOptions::default() };
    text(&client, site.url("/")).await;
    until(|| client.counts().idle == 1).await;
    let error = soon(client.send(get(site.url("/silent")), soon_over())).await.unwrap_err();
    let Error::FirstByteTimeout { bound: Bound::Deadline, .. } = error else { panic!("{error:?}") };
    let over = CallOptions { deadline: Some(Instant::now()), ..CallOptions::default() };
    let error = soon(client.send(get("http://slow.example"), over)).await.unwrap_err();
    let Error::DnsTimeout { bound: Bound::Deadline, .. } = error else { panic!("{error:?}") };
    let long = CallOptions { deadline: Some(Instant::now() + HANG), ..CallOptions::default() };
    soon(client.send(get(site.url("/")), long)).await.unwrap();
}

#[tokio::test]
async fn the_deadline_ends_a_body() {
    let site = Blank::new().await;
    let client = client(settings());
    let deadline = Instant::now() + Duration::from_secs(1);
    let options = CallOptions { deadline: Some(deadline), ..CallOptions::default() };
    let (to_send, request) = (client.clone(), get(site.url("/")));
    let sent = tokio::spawn(async move { to_send.send(request, options).await });
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let response = soon(sent).await.unwrap().unwrap();
    // It never pauses for long, and never ends.
    let drip = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut peer.0, b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let error = read(response).await.unwrap_err();
    let Error::BetweenBytesTimeout { bound: Bound::Deadline, .. } = error else {
        panic!("{error:?}")
    };
    soon(drip).await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls() {
    for (site, authority) in sites().await {
        let client = trusting(&authority, Settings { between_bytes_timeout: SHORT, ..settings() });
        let mut response = send(&client, get(site.url("/stall"))).await.unwrap();
        let error = loop {
            if let Err(error) = soon(response.frame()).await.unwrap() {
                break error;
            }
        };
        let said = " did not send the next bytes of its response within 30ms";
        assert!(error.to_string().ends_with(said), "{error}");
        assert!(soon(response.frame()).await.is_none());
        until(|| client.counts().busy == 0).await;
    }
}

#[tokio::test]
async fn time_in_which_nobody_reads_does_not_count() {
    let site = Blank::new().await;
    let client = client(Settings { between_bytes_timeout: SHORT * 10, ..settings() });
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsome").await;
    let mut response = soon(sent).await.unwrap().unwrap();
    soon(response.frame()).await.unwrap().unwrap();
    tokio::time::sleep(SHORT * 20).await;
    peer.write("more").await;
    assert_eq!(read(response).await.unwrap(), "more");
}

#[tokio::test]
async fn a_slow_upload_is_no_slow_answer() {
    let site = Site::http().await;
    let client = client(Settings { first_byte_timeout: SHORT * 40, ..settings() });
    let (mut body, request) = channel();
    let sent = start(&client, post(site.url("/echo"), request));
    for _ in 0..15 {
        body.send_data(Bytes::from_static(b"x")).await.unwrap();
        tokio::time::sleep(SHORT * 3).await;
    }
    drop(body);
    let said = read(soon(sent).await.unwrap().unwrap()).await.unwrap();
    assert!(said.ends_with(&"x".repeat(15)), "{said}");
}

#[tokio::test]
async fn an_upload_that_stalls_is_given_up() {
    let site = Site::http().await;
    let client = client(Settings { first_byte_timeout: SHORT, ..settings() });
    let (body, request) = channel();
    let error = refused(&client, post(site.url("/echo"), request)).await;
    assert!(matches!(error, Error::FirstByteTimeout { .. }), "{error:?}");
    drop(body);
}
