//! Pipelining over HTTP/1.1: many requests before the first answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use samovar_tests::raw::{Answer, Raw};
use samovar_tests::usage::{MIB, Usage};
use samovar_tests::{Http, Load, Native, Samovar, eventually};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, timeout};

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

const REQUESTS: usize = 100;
/// Longer than what passes between two pieces of progress.
const NO_PROGRESS: Duration = Duration::from_secs(3);

/// One of many requests, and the answer it must get.
struct Exchange {
    method: &'static str,
    text: String,
    status: u16,
    body: String,
}

fn request(method: &'static str, path: &str, body: &str) -> String {
    if method == "POST" {
        let length = body.len();
        return format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
        );
    }
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// The same body as two chunks.
fn chunked(path: &str, body: &str) -> String {
    let (left, right) = body.split_at(body.len() / 2);
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    format!("{head}{:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n", left.len(), right.len())
}

/// All kinds of requests in turn, each for an answer of its own.
fn mixed(number: usize) -> Exchange {
    let body = format!("request {number} {}", "with some text ".repeat(number % 50));
    let echo = ["/echo", "/echo-sync", "/batch", "/native/echo"][number / 8 % 4];
    let (method, text, status, body) = match number % 8 {
        0 => ("GET", request("GET", "/hello", ""), 200, "Hello from Samovar!\n".to_owned()),
        1 => ("POST", request("POST", echo, &body), 200, body),
        2 => ("HEAD", request("HEAD", "/hello-async", ""), 200, String::new()),
        3 => ("POST", chunked(echo, &body), 200, body),
        4 => ("GET", request("GET", "/old/no-such", ""), 404, "no such behaviour\n".to_owned()),
        5 => ("HEAD", request("HEAD", "/old/ok", ""), 200, String::new()),
        6 => ("GET", request("GET", "/new/sleep?ms=5", ""), 200, "ok\n".to_owned()),
        _ => {
            let length = format!("{}\n", body.len());
            ("POST", request("POST", "/old/echo-length", &body), 200, length)
        }
    };
    Exchange { method, text, status, body }
}

async fn deploy_all(native: &Native) {
    for (name, guest) in [
        ("hello", "hello"),
        ("hello-async", "hello-async"),
        ("echo", "echo"),
        ("echo-sync", "echo-sync"),
        ("old", BEHAVE),
        ("new", BEHAVE_ASYNC),
    ] {
        native.deploy_guest(name, guest, fixed(1)).await;
    }
    let batching = json!({"batching": {"timeout_batching": "1ms"}});
    native.deploy_guest("batch", "fixture-batch-behave", with(fixed(1), batching)).await;
    native.deploy("native", json!({})).await;
}

fn check(number: usize, exchange: &Exchange, answer: &Answer) {
    let Exchange { method, text, status, body } = exchange;
    let seen = String::from_utf8_lossy(&answer.body);
    assert_eq!((answer.status, &*seen), (*status, &**body), "{number}: {method} {text:?}");
}

#[tokio::test]
async fn many_requests_in_one_write_are_answered_in_order() {
    let native = Native::start().await;
    deploy_all(&native).await;
    let exchanges: Vec<Exchange> = (0..REQUESTS).map(mixed).collect();
    let all: String = exchanges.iter().map(|exchange| &*exchange.text).collect();
    let mut raw = Raw::connect(native.http.address()).await;
    raw.write(&all).await;
    for (number, exchange) in exchanges.iter().enumerate() {
        let answer = raw.read_answer_to(exchange.method).await;
        check(number, exchange, &answer);
    }
    // The connection is as good as before.
    raw.write(&request("GET", "/hello", "")).await;
    assert_eq!(raw.read_answer_to("GET").await.status, 200);
    native.stop().await;
}

#[tokio::test]
async fn requests_before_a_bad_one_are_answered() {
    let samovar = Samovar::start().await;
    samovar.deploy("echo", "echo", fixed(1)).await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let good: String = (0..REQUESTS / 2)
        .map(|number| request("POST", "/echo", &format!("request {number}")))
        .collect();
    for bad in [
        "NONSENSE\r\n\r\n",
        "GET /hello HTTP/1.1\r\nhost x\r\n\r\n",
        "POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        "POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        "POST /hello HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let mut raw = Raw::connect(samovar.http.address()).await;
        raw.write(&format!("{good}{bad}{good}")).await;
        raw.finish_writing().await;
        for number in 0..REQUESTS / 2 {
            let answer = raw.read_answer_to("POST").await;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!((answer.status, body), (200, format!("request {number}")), "{bad:?}");
        }
        let rest = raw.read_to_end().await;
        assert!(rest.starts_with("HTTP/1.1 400 "), "{bad:?}: {rest}");
        assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{bad:?}: {rest}");
    }
    samovar.http.get("/hello").await.expect(200);
}

/// Writes requests until the server takes no more; how many bytes it took.
async fn write_only(address: std::net::SocketAddr, text: String) -> (tokio::net::TcpStream, usize) {
    let mut stream = Raw::connect_narrow(address).await.into_stream();
    let written = Arc::new(AtomicUsize::new(0));
    loop {
        let before = written.load(Ordering::Relaxed);
        let block = text.as_bytes();
        match timeout(NO_PROGRESS, stream.write(block)).await {
            Ok(wrote) => written.store(before + wrote.expect("it is open"), Ordering::Relaxed),
            Err(_) => return (stream, before),
        };
    }
}

#[tokio::test]
async fn who_never_reads_is_not_read_either() {
    const CLIENTS: usize = 10;
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let one = json!({"concurrency": CLIENTS + 4});
    samovar.deploy("new", BEHAVE_ASYNC, with(fixed(1), one)).await;
    let pid = samovar.pid().as_raw_nonzero().get();
    Load::some(&samovar.http, "/hello", 100).await;
    let before = Usage::of(pid);
    for path in ["/hello", "/new/big-body?bytes=200000"] {
        let text = request("GET", path, "").repeat(1000);
        let mut writing = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            writing.spawn(write_only(samovar.http.address(), text.clone()));
        }
        let all = writing.join_all().await;
        let during = Usage::of(pid);
        let written: usize = all.iter().map(|(_, bytes)| bytes).sum();
        println!("{path}: before {before}; {written} bytes of requests unread, then {during}");
        let more = during.resident_bytes.saturating_sub(before.resident_bytes);
        assert!(more < 64 * MIB, "{path}: before {before}, then {during}");
        // They wait for nobody but themselves.
        Load::some(&Http::new(samovar.http.address()), "/hello", 100).await;
        drop(all);
        for name in ["hello", "new"] {
            samovar.wait_status(name, "nothing ongoing", |status| status["ongoing"] == 0).await;
        }
    }
    eventually("descriptors are back", async || {
        (Usage::of(pid).descriptors <= before.descriptors).then_some(())
    })
    .await;
    samovar.stop().await;
}
