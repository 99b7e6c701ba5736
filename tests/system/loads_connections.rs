//! Connections that come and go leave nothing behind, whatever they were used for.
//!
//! `SAMOVAR_CONNECTIONS` says how many, 3,000 by default.

use std::net::SocketAddr;

use samovar_tests::crowd::{each, number, source};
use samovar_tests::raw::Raw;
use samovar_tests::usage::{MIB, Usage};
use samovar_tests::{Http, Samovar, eventually};
use serde_json::json;

use crate::support::fixed;

/// Connections open at the same time.
const WIDTH: usize = 64;
/// Memory that an allocator may keep for later.
const SPARE_BYTES: u64 = 8 * MIB;
const BODY: &str = "two lumps of sugar";
/// Of every world, and what it answers.
const DEPLOYMENTS: [(&str, &str); 5] = [
    ("hello", "hello"),
    ("hello-async", "hello-async"),
    ("echo", "echo"),
    ("echo-sync", "echo-sync"),
    ("batch", "fixture-batch-behave"),
];

/// Who answers this request, and with what.
fn asked(index: usize) -> (&'static str, String, &'static str) {
    let (name, _) = DEPLOYMENTS[index % DEPLOYMENTS.len()];
    let length = BODY.len();
    let head = format!("POST /{name} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    let hello = matches!(name, "hello" | "hello-async");
    (name, head, if hello { "Hello from Samovar!\n" } else { BODY })
}

/// Sends a whole request, which must be answered.
async fn ask(raw: &mut Raw, index: usize) {
    let (name, head, expected) = asked(index);
    raw.write(&format!("{head}{BODY}")).await;
    let answer = raw.read_answer_to("POST").await;
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    assert_eq!(String::from_utf8_lossy(&answer.body), expected, "{name}");
}

/// One connection. What it does is one of eight things, with each of the deployments in turn.
async fn visit(address: SocketAddr, index: usize) {
    let mut raw = Raw::connect_from(source(index), address).await;
    let turn = index / 8;
    let (name, head, _) = asked(turn);
    match index % 8 {
        0 => ask(&mut raw, turn).await,
        1 => {
            raw.write(&format!("GET /{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
                .await;
            let answer = raw.read_to_end().await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
        }
        2 => {}
        3 => raw.write(&head[..20]).await,
        4 => {
            raw.write(&head[..20]).await;
            raw.reset();
        }
        5 => raw.write(&format!("{head}{}", &BODY[..5])).await,
        6 => {
            ask(&mut raw, turn).await;
            raw.reset();
        }
        _ => {
            for more in 0..3 {
                ask(&mut raw, turn + more).await;
            }
        }
    }
}

/// What the server holds when only the question for it is connected.
fn at_rest(samovar: &mut Samovar) -> Usage {
    // Connections of earlier requests are closed with their client.
    samovar.http = Http::new(samovar.http.address());
    samovar.admin = Http::new(samovar.admin.address());
    Usage::of(samovar.pid().as_raw_nonzero().get())
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let count = number("SAMOVAR_CONNECTIONS", 3000);
    let mut samovar = Samovar::start().await;
    for (name, guest) in DEPLOYMENTS {
        let mut spec = fixed(2);
        if name == "batch" {
            spec["batching"] = json!({"timeout_batching": "1ms"});
        }
        samovar.deploy(name, guest, spec).await;
    }
    let address = samovar.http.address();
    let began = at_rest(&mut samovar);
    each(count.min(20_000), WIDTH, move |index| visit(address, index)).await;
    // The server learns a moment later that the last of them have left.
    let before = eventually("warmed up", async || {
        let now = at_rest(&mut samovar);
        (now.descriptors <= began.descriptors).then_some(now)
    })
    .await;
    each(count, WIDTH, move |index| visit(address, index)).await;
    let after = eventually(&format!("as before: {before}"), async || {
        let now = at_rest(&mut samovar);
        now.is_like(&before, SPARE_BYTES).then_some(now)
    })
    .await;
    println!("at first: {began}; warmed up: {before}; after {count} more connections: {after}");
    for (name, _) in DEPLOYMENTS {
        let what = "nothing ongoing";
        samovar.wait_status(name, what, |status| status["ongoing"] == 0).await;
        samovar.http.post(&format!("/{name}"), BODY).await.expect(200);
    }
    let stderr = samovar.stop().await;
    assert!(!stderr.contains("WARN") && !stderr.contains("ERROR"), "{stderr}");
}

#[tokio::test]
async fn who_finds_no_descriptor_left_waits() {
    const OPEN: usize = 300;
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let request = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
    samovar.limit_descriptors(Some(100));
    let mut all = Vec::new();
    for _ in 0..OPEN {
        all.push(Raw::connect(samovar.http.address()).await);
    }
    for raw in &mut all {
        raw.write(request).await;
    }
    // As connections end, those that wait come in; each of them is answered.
    for (index, mut raw) in all.into_iter().enumerate() {
        let answer = raw.read_answer_to("GET").await;
        assert_eq!(answer.status, 200, "connection {index}: {answer:?}");
    }
    samovar.limit_descriptors(None);
    samovar.http.get("/hello").await.expect(200);
    let stderr = samovar.stop().await;
    assert!(stderr.contains("cannot accept a connection"), "the limit was not met: {stderr}");
}
