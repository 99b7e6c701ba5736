//! Bounds on what goes in and out, and what a handler may not reach.

use http::Method;
use http_body_util::{BodyExt, Channel};
use samovar_tests::http::next_chunk;
use samovar_tests::raw::Raw;
use samovar_tests::status::number;
use samovar_tests::{Samovar, eventually, within};
use serde_json::{Value, json};

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

/// More bytes than the kernel holds for a server that does not read them.
const UPLOAD: usize = 64 << 20;
const BOTH: [&str; 2] = [BEHAVE, BEHAVE_ASYNC];

#[tokio::test]
async fn announced_request_body_over_the_limit_is_refused() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let spec = with(fixed(1), json!({"limits": {"request_body": "1KiB"}}));
        samovar.deploy("small", guest, spec).await;
        let path = "/small/echo-length";
        let reply = samovar.http.post(path, vec![0; 1025]).await;
        reply.host_error(413, "request-body-too-large");
        let fits = samovar.http.post(path, vec![0; 1024]).await.expect(200);
        assert_eq!(fits.text().trim(), "1024", "{guest}");
        let seen = samovar.status("small").await;
        assert_eq!(number(&seen, "/totals/replicas_started"), 1, "{guest}");
    }
}

/// A client that reads no answer before it has sent all it has.
#[tokio::test]
async fn refusals_reach_clients_that_still_send() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(1), json!({"limits": {"request_body": "1KiB"}}));
    samovar.deploy("small", BEHAVE, spec).await;
    for (path, status) in [("/small/echo-length", 413), ("/nobody", 404)] {
        let mut raw = Raw::connect(samovar.http.address()).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {UPLOAD}\r\n\r\n");
        raw.write(&head).await;
        let sent = within("send", raw.try_write(&vec![0; UPLOAD])).await;
        sent.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(raw.read_answer_to("POST").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn endless_request_body_is_cut_at_the_limit() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let spec = with(fixed(1), json!({"limits": {"request_body": "64KiB"}}));
        samovar.deploy("small", guest, spec).await;
        let (mut sender, body) = Channel::new(1);
        let feed = tokio::spawn(async move {
            while sender.send_data(bytes::Bytes::from(vec![0; 16 * 1024])).await.is_ok() {}
        });
        let request = samovar.http.request(Method::POST, "/small/echo-length");
        let request = request.body(body.boxed_unsync()).expect("a valid request");
        // The server may hang up before we have read its answer.
        if let Ok(reply) = samovar.http.try_send(request).await {
            reply.host_error(413, "request-body-too-large");
        }
        within("the server stops reading", feed).await.expect("no panic");
        samovar.http.get("/small/ok").await.expect(200);
    }
}

#[tokio::test]
async fn request_headers_over_the_limit_are_refused() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(1), json!({"limits": {"request_headers": "4KiB"}}));
    samovar.deploy("small", BEHAVE, spec).await;
    let get = async |bytes: usize| {
        let request = samovar.http.request(Method::GET, "/small/ok");
        samovar.http.send(request.header("x-long", "x".repeat(bytes)), "").await
    };
    get(8 * 1024).await.host_error(431, "request-headers-too-large");
    get(2 * 1024).await.expect(200);
    assert_eq!(number(&samovar.status("small").await, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn very_many_request_headers_are_refused() {
    let samovar = Samovar::start().await;
    samovar.deploy("small", BEHAVE, fixed(1)).await;
    let mut request = samovar.http.request(Method::GET, "/small/ok");
    for number in 0..5000 {
        request = request.header(format!("x-{number}"), "some value that takes space");
    }
    let request = request.body(samovar_tests::http::full("")).expect("a valid request");
    // Nothing is known of a request whose head cannot be read, so the plain status has to do.
    if let Ok(reply) = samovar.http.try_send(request).await {
        assert_eq!(reply.status, 431);
    }
    samovar.http.get("/small/ok").await.expect(200);
}

#[tokio::test]
async fn response_headers_over_the_limit_are_not_passed_on() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let spec = with(fixed(1), json!({"limits": {"response_headers": "4KiB"}}));
        samovar.deploy("small", guest, spec).await;
        let reply = samovar.http.get("/small/big-headers?bytes=20000").await;
        // The host may refuse while the handler still fills them in; it says so in its answer.
        if reply.status == 200 {
            assert!(reply.text().starts_with("error"), "{guest}: {}", reply.headers.len());
        } else {
            assert_eq!(reply.status, 502, "{guest}: {}", reply.text());
            assert!(reply.header("samovar-error").is_some(), "{guest}");
        }
        let fits = samovar.http.get("/small/big-headers?bytes=100").await.expect(200);
        assert_eq!(fits.header("x-fill-0").map(str::len), Some(100), "{guest}");
    }
}

#[tokio::test]
async fn response_body_over_the_limit_is_cut() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let spec = with(fixed(1), json!({"limits": {"response_body": "64KiB"}}));
        samovar.deploy("small", guest, spec).await;
        let answer = samovar.http.try_get("/small/big-body?bytes=1000000").await;
        let cut = answer.as_ref().map_or(true, |reply| reply.status == 502);
        assert!(cut, "{guest}: {:?}", answer.map(|reply| (reply.status, reply.body.len())));
        let fits = samovar.http.get("/small/big-body?bytes=65536").await.expect(200);
        assert_eq!(fits.body.len(), 65_536, "{guest}");
    }
}

#[tokio::test]
async fn files_are_out_of_reach() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        samovar.deploy("curious", guest, fixed(1)).await;
        let seen = samovar.http.get("/curious/open-file").await.expect(200).text();
        assert!(seen.starts_with("error"), "{guest}: {seen}");
    }
}

#[tokio::test]
async fn sockets_are_out_of_reach() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        samovar.deploy("curious", guest, fixed(1)).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind port 0");
        let address = listener.local_addr().expect("it is bound");
        let path = format!("/curious/connect?addr={address}");
        let seen = samovar.http.get(&path).await.expect(200).text();
        assert!(seen.starts_with("error"), "{guest}: {seen}");
        nobody_came(&listener, &samovar).await;
    }
}

#[tokio::test]
async fn outbound_http_is_off() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        samovar.deploy("curious", guest, fixed(1)).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind port 0");
        let address = listener.local_addr().expect("it is bound");
        let path = format!("/curious/outbound?url=http://{address}/");
        let seen = samovar.http.get(&path).await.expect(200).text();
        assert!(seen.starts_with("error"), "{guest}: {seen}");
        nobody_came(&listener, &samovar).await;
    }
}

/// Fails if a connection other than our own arrives at `listener`.
async fn nobody_came(listener: &tokio::net::TcpListener, samovar: &Samovar) {
    samovar.http.get("/curious/ok").await.expect(200);
    let ours = tokio::net::TcpStream::connect(listener.local_addr().expect("it is bound")).await;
    let ours = ours.expect("we can connect").local_addr().expect("it is connected");
    let (_, first) = listener.accept().await.expect("our own connection arrives");
    assert_eq!(first, ours, "the handler got out");
}

#[tokio::test]
async fn printed_text_reaches_the_log_with_deployment_and_replica() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        samovar.deploy("chatty", guest, fixed(1)).await;
        samovar.http.get("/chatty/print?text=steam").await.expect(200);
        for stream in ["stdout", "stderr"] {
            let line = log_line(&samovar, &format!("{stream}: steam")).await;
            assert_eq!(line["deployment"], "chatty", "{line}");
            assert_eq!(line["stream"], stream, "{line}");
            assert!(line["replica"].is_u64() || line["replica"].is_string(), "{line}");
            assert!(number(&line, "/at_ms") > 1_700_000_000_000, "{line}");
        }
    }
}

async fn log_line(samovar: &Samovar, text: &str) -> Value {
    eventually("the line is in the log", async || {
        let log = samovar.admin.get("/v1/deployments/chatty/logs?limit=1000").await.expect(200);
        let log = log.text();
        let mut lines =
            log.lines().map(|line| serde_json::from_str(line).expect("every line is JSON"));
        lines.find(|line: &Value| line["line"] == text)
    })
    .await
}

#[tokio::test]
async fn endless_output_pushes_old_lines_out_of_the_log() {
    const REQUESTS: usize = 1500;
    let samovar = Samovar::start().await;
    samovar.deploy("chatty", BEHAVE, fixed(1)).await;
    for number in 0..REQUESTS {
        samovar.http.get(&format!("/chatty/print?text={number}.")).await.expect(200);
    }
    log_line_starts(&samovar, &format!("stderr: {}.", REQUESTS - 1)).await;
    let few = samovar.admin.get("/v1/deployments/chatty/logs?limit=10").await.expect(200);
    assert_eq!(few.text().lines().count(), 10);
    let all = samovar.admin.get("/v1/deployments/chatty/logs?limit=1000000").await.expect(200);
    let kept = all.text().lines().count();
    assert!((100..2 * REQUESTS).contains(&kept), "{kept} lines are kept");
}

async fn log_line_starts(samovar: &Samovar, start: &str) {
    eventually("the newest line is in the log", async || {
        let log = samovar.admin.get("/v1/deployments/chatty/logs?limit=1").await.expect(200);
        let line: Value = serde_json::from_slice(&log.body).ok()?;
        line["line"].as_str()?.starts_with(start).then_some(())
    })
    .await;
}

#[tokio::test]
async fn log_can_be_followed() {
    let samovar = Samovar::start().await;
    samovar.deploy("chatty", BEHAVE, fixed(1)).await;
    let log = samovar.admin.open_get("/v1/deployments/chatty/logs?follow=true").await;
    assert_eq!(log.status(), 200);
    samovar.http.get("/chatty/print?text=whistle").await.expect(200);
    let (mut log, mut seen) = (log.into_body(), Vec::new());
    while !String::from_utf8_lossy(&seen).contains("stderr: whistle") {
        let piece = next_chunk(&mut log).await.expect("following goes on");
        seen.extend_from_slice(&piece.expect("following does not end"));
    }
}
