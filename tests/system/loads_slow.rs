//! Slow clients: heads and bodies that drip, answers that are read byte by byte. Whoever is faster
//! is served meanwhile, and the slow ones are served too.
//!
//! The slow ones are as slow as a byte in a second for some seconds, then wait for the fast ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use samovar_tests::raw::Raw;
use samovar_tests::usage::{MIB, Usage};
use samovar_tests::{Load, Native, Samovar, eventually, within};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

const PERIOD: Duration = Duration::from_secs(1);
/// Bytes that come one by one.
const DRIPS: usize = 4;
/// Requests that are answered beside the slow ones.
const FAST: u64 = 100;
const BODY: &str = "one lump or two?";
/// More than the buffers between the guest and a slow reader hold.
const ANSWER_BYTES: usize = 8 << 20;

/// Slow clients, held before their last byte until they may go on.
struct Slow {
    clients: JoinSet<()>,
    waiting: Arc<AtomicUsize>,
    go_on: watch::Sender<bool>,
}

impl Slow {
    fn new() -> Self {
        let (clients, waiting) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        Slow { clients, waiting, go_on: watch::Sender::new(false) }
    }

    /// Adds `count` clients that send the end of a request slowly: `text`, a byte in a period.
    fn send(&mut self, count: usize, address: SocketAddr, text: &str, expected: &'static str) {
        for _ in 0..count {
            let (waiting, mut go_on) = (self.waiting.clone(), self.go_on.subscribe());
            let text = text.to_owned();
            self.clients.spawn(async move {
                let mut raw = Raw::connect(address).await;
                let (fast, slow) = text.split_at(text.len() - DRIPS - 1);
                raw.write(fast).await;
                for at in 0..DRIPS {
                    sleep(PERIOD).await; // Not to wait for anything: this is what slow means.
                    raw.write(&slow[at..=at]).await;
                }
                waiting.fetch_add(1, Ordering::Relaxed);
                within("let it go on", go_on.wait_for(|may| *may)).await.expect("the test lives");
                raw.write(&slow[DRIPS..]).await;
                let answer = raw.read_answer_to("POST").await;
                let body = String::from_utf8_lossy(&answer.body);
                assert_eq!((answer.status, &*body), (200, expected), "{text}");
            });
        }
    }

    /// Adds `count` clients that read the answer slowly.
    fn read(&mut self, count: usize, address: SocketAddr, path: String) {
        for _ in 0..count {
            let (waiting, mut go_on) = (self.waiting.clone(), self.go_on.subscribe());
            let path = path.clone();
            self.clients.spawn(async move {
                let mut raw = Raw::connect_narrow(address).await;
                raw.write(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
                let mut start = Vec::new();
                for _ in 0..DRIPS {
                    start.push(raw.take_byte().await.expect("the answer has begun"));
                    sleep(PERIOD).await; // Not to wait for anything: this is what slow means.
                }
                waiting.fetch_add(1, Ordering::Relaxed);
                within("let it go on", go_on.wait_for(|may| *may)).await.expect("the test lives");
                raw.unread(&start);
                let answer = raw.read_answer_to("GET").await;
                assert_eq!((answer.status, answer.body.len()), (200, ANSWER_BYTES), "{path}");
            });
        }
    }

    /// Waits until all of them have sent or read what they do slowly.
    async fn all_waiting(&mut self) {
        let count = self.clients.len();
        eventually("all are slow", async || {
            assert!(self.clients.try_join_next().is_none(), "a slow client has ended early");
            (self.waiting.load(Ordering::Relaxed) == count).then_some(())
        })
        .await;
    }

    /// Lets all of them go on. They must get their answers.
    async fn finish(mut self) {
        self.go_on.send_replace(true);
        while let Some(done) = within("answer the slow", self.clients.join_next()).await {
            done.expect("a slow client gets its answer");
        }
    }
}

/// The server gives up on a connection whose next head does not come in 30 s.
#[tokio::test]
async fn connections_without_a_whole_head_are_closed() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let began = Usage::of(samovar.pid().as_raw_nonzero().get());
    let mut left = JoinSet::new();
    for (what, text) in [
        ("nothing", ""),
        ("a letter", "G"),
        ("a letter of HTTP/2", "P"),
        ("half a preface", "PRI * HT"),
        ("a preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a preface and settings", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("half a head", "GET /hello HTTP/1.1\r\nhost"),
        ("one request", "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("one and a half", "GET /hello HTTP/1.1\r\nhost: x\r\n\r\nGET /"),
    ] {
        let mut raw = Raw::connect(samovar.http.address()).await;
        raw.write(text).await;
        left.spawn(async move { (what, raw.read_to_end().await) });
    }
    let answered = ["one request", "one and a half"];
    while let Some(closed) = left.join_next().await {
        let (what, answer) = closed.expect("the server closes it");
        println!("{what}: {} bytes, then closed", answer.len());
        let is_answered = answer.starts_with("HTTP/1.1 200 ");
        assert_eq!(is_answered, answered.contains(&what), "{what}: {answer}");
    }
    // A client sees the end of a connection before the server has given its descriptor back.
    eventually("all descriptors are back", async || {
        let now = Usage::of(samovar.pid().as_raw_nonzero().get());
        (now.descriptors <= began.descriptors).then_some(())
    })
    .await;
    samovar.stop().await;
}

/// A body that does not come is answered for, whoever wants it whole.
#[tokio::test]
async fn bodies_that_never_end_are_given_up() {
    let native = Native::start().await;
    let limits = json!({"limits": {"request_timeout": "1s"}});
    native.deploy("native", limits.clone()).await;
    let batching = with(limits.clone(), json!({"batching": {"timeout_batching": "1ms"}}));
    native.deploy_guest("batch", "fixture-batch-behave", with(fixed(1), batching)).await;
    let schema = with(limits.clone(), json!({"input_schema": true}));
    native.deploy_guest("checked", "echo", with(fixed(1), schema)).await;
    native.deploy_guest("old", BEHAVE, with(fixed(1), limits.clone())).await;
    native.deploy_guest("new", BEHAVE_ASYNC, with(fixed(1), limits)).await;
    for path in ["native/echo", "old/echo-length", "new/echo-length", "batch", "checked"] {
        let mut raw = Raw::connect(native.http.address()).await;
        let text = post(path);
        raw.write(&text[..text.len() - 3]).await;
        let answer = raw.read_answer_to("POST").await;
        assert!(matches!(answer.status, 408 | 504), "{path}: {answer:?}");
    }
    native.stop().await;
}

/// A client may be slow, but not for ever: others want the place that it holds.
#[tokio::test]
async fn who_does_not_read_loses_its_place() {
    let samovar = Samovar::start().await;
    let limits = json!({"limits": {"stall_timeout": "1s"}});
    samovar.deploy("old", BEHAVE, with(fixed(1), limits.clone())).await;
    let one = with(limits, json!({"concurrency": 1}));
    samovar.deploy("new", BEHAVE_ASYNC, with(fixed(1), one)).await;
    for name in ["old", "new"] {
        let mut raw = Raw::connect_narrow(samovar.http.address()).await;
        raw.write(&format!(
            "GET /{name}/big-body?bytes={ANSWER_BYTES} HTTP/1.1\r\nhost: x\r\n\r\n"
        ))
        .await;
        raw.take_byte().await.expect("the answer has begun");
        samovar.wait_status(name, "a free place", |status| status["ongoing"] == 0).await;
        samovar.http.get(&format!("/{name}/ok")).await.expect(200);
    }
    samovar.stop().await;
}

fn post(name: &str) -> String {
    let length = BODY.len();
    format!("POST /{name} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{BODY}")
}

#[tokio::test]
async fn dripping_heads_hold_no_replica() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let mut slow = Slow::new();
    let head = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
    slow.send(100, samovar.http.address(), head, "Hello from Samovar!\n");
    let load = Load::start(&samovar.http, "/hello", 4);
    load.serve_more(FAST).await;
    slow.all_waiting().await;
    load.serve_more(FAST).await;
    let served = load.stop_without_failure().await;
    let alone = samovar.status("hello").await;
    assert_eq!((&alone["ongoing"], &alone["queued"]), (&json!(0), &json!(0)), "{alone}");
    slow.finish().await;
    println!("{served} requests were answered beside 100 dripping heads");
}

#[tokio::test]
async fn dripping_bodies_hold_nobody_else_up() {
    const SLOW: usize = 40;
    let native = Native::start().await;
    // Who reads a body holds a place, so there are places for the slow ones and a few more.
    let places = SLOW + 4;
    native.deploy("native", json!({"concurrency": places})).await;
    let one = json!({"concurrency": places, "replicas": 1});
    native.deploy_guest("echo", "echo", with(fixed(1), one.clone())).await;
    native.deploy_guest("echo-sync", "echo-sync", fixed(places as u32)).await;
    let batching = json!({"batching": {"timeout_batching": "1ms"}});
    native.deploy_guest("batch", "fixture-batch-behave", with(fixed(1), batching)).await;
    let length = json!({"limits": {"memory": "16MiB"}});
    native.deploy_guest("behave", BEHAVE_ASYNC, with(with(fixed(1), one), length)).await;
    let cases = [
        ("native/echo", BODY),
        ("echo", BODY),
        ("echo-sync", BODY),
        ("batch", BODY),
        ("behave/echo-length", "16\n"),
    ];
    let mut slow = Slow::new();
    for (path, expected) in cases {
        slow.send(SLOW, native.http.address(), &post(path), expected);
    }
    slow.all_waiting().await;
    for (path, _) in cases {
        let load = Load::post(&native.http, &format!("/{path}"), BODY, 2);
        load.serve_more(FAST).await;
        let served = load.stop_without_failure().await;
        println!("{path}: {served} requests were answered beside {SLOW} dripping bodies");
    }
    slow.finish().await;
    for (path, _) in cases {
        let name = path.split('/').next().expect("a path has a beginning");
        native.wait_status(name, "nothing ongoing", |status| status["ongoing"] == 0).await;
    }
    native.stop().await;
}

#[tokio::test]
async fn slow_readers_hold_nobody_else_up() {
    const SLOW: usize = 10;
    let native = Native::start().await;
    let places = SLOW + 4;
    native.deploy("native", json!({"concurrency": places})).await;
    // A guest that writes holds its place, so there are places for all of them and a few more.
    native.deploy_guest("old", BEHAVE, fixed(places as u32)).await;
    let one = json!({"concurrency": places});
    native.deploy_guest("new", BEHAVE_ASYNC, with(fixed(1), one)).await;
    let cases = [
        ("native", format!("/native/pour?mib={}", ANSWER_BYTES as u64 / MIB)),
        ("old", format!("/old/big-body?bytes={ANSWER_BYTES}")),
        ("new", format!("/new/big-body?bytes={ANSWER_BYTES}")),
    ];
    let before = Usage::of(native.server_pid());
    let mut slow = Slow::new();
    for (_, path) in &cases {
        slow.read(SLOW, native.http.address(), path.clone());
    }
    slow.all_waiting().await;
    let during = Usage::of(native.server_pid());
    let readers = SLOW * cases.len();
    println!("before: {before}; with {readers} slow readers of {ANSWER_BYTES} bytes: {during}");
    let more = during.resident_bytes.saturating_sub(before.resident_bytes);
    assert!(more < readers as u64 * ANSWER_BYTES as u64 / 4, "{before}, then {during}");
    for (name, _) in &cases {
        Load::some(&native.http, &format!("/{name}/ok"), FAST).await;
    }
    slow.finish().await;
    for (name, _) in &cases {
        native.wait_status(name, "nothing ongoing", |status| status["ongoing"] == 0).await;
    }
    native.stop().await;
}
