//! Clients that vanish: in the middle of a request, while they wait, in the middle of an answer,
//! with a reset or without a word. Afterwards everything is free, and the next one is served.

use std::net::SocketAddr;
use std::time::Duration;

use samovar_tests::crowd::each;
use samovar_tests::raw::Raw;
use samovar_tests::status::number;
use samovar_tests::usage::{MIB, Usage};
use samovar_tests::{Http, Native, eventually, within};
use serde_json::{Value, json};

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

/// Clients of every kind.
const CLIENTS: usize = 30;
/// As many of them at once.
const WIDTH: usize = 10;
/// What an allocator keeps for later. Less than what the clients of one kind are sent.
const SPARE_BYTES: u64 = 32 * MIB;

/// What a client does before it vanishes.
#[derive(Clone, Copy)]
enum Before {
    HalfHead,
    /// Posts half a body to this path.
    HalfBody(&'static str),
    /// Asks for this path, and does not wait for the answer.
    Asks(&'static str),
    /// Posts this, and does not wait for the answer.
    Posts(&'static str),
    /// Asks for this path, whose answer is large or has no end, and reads the beginning.
    Reads(&'static str),
    /// Posts this, for which the answer is large, and reads the beginning.
    ReadsPosted(&'static str),
}

impl Before {
    fn text(self) -> String {
        let get = |path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let post = |path, length, body| {
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        match self {
            Before::HalfHead => "GET /m HTTP/1.1\r\nho".to_owned(),
            Before::HalfBody(path) => post(path, 100, "half of it"),
            Before::Asks(path) | Before::Reads(path) => get(path),
            Before::Posts(body) | Before::ReadsPosted(body) => post("/m", body.len(), body),
        }
    }

    /// Does it on a connection of its own and vanishes.
    async fn vanish(self, address: SocketAddr, is_reset: bool) {
        let mut raw = Raw::connect_narrow(address).await;
        raw.write(&self.text()).await;
        if matches!(self, Before::Reads(_) | Before::ReadsPosted(_)) {
            let head = raw.read_until("\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            raw.read_bytes(1000).await;
        }
        // Not to wait for anything: this is the random moment.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30))).await;
        if is_reset {
            raw.reset();
        }
    }
}

/// Waits until nothing runs or waits and all replicas are there, then asks for one more answer.
async fn is_free(native: &mut Native, good: &str) {
    let free = |status: &Value| {
        (number(status, "/ongoing"), number(status, "/queued")) == (0, 0)
            && status["replicas"]["ready"] == status["target"]
    };
    native.wait_status("m", "everything free", free).await;
    let served = native.http.post(good, "0123456789").await.expect(200);
    assert!(!served.body.is_empty());
    // Connections of earlier requests are closed with their client.
    native.http = Http::new(native.http.address());
    native.admin = Http::new(native.admin.address());
}

/// Lets clients of a deployment called `m` vanish after each of `kinds`, in both ways. All is free
/// after that, and `good` answers.
async fn clients_vanish(native: &mut Native, kinds: &[Before], good: &str) {
    let (address, server) = (native.http.address(), native.server_pid());
    let mut before = None;
    // The first round warms it up.
    for round in 0..3 {
        for kind in kinds.iter().copied() {
            for is_reset in [true, false] {
                let job = move |_| kind.vanish(address, is_reset);
                within(&kind.text(), each(CLIENTS, WIDTH, job)).await;
                is_free(native, good).await;
            }
        }
        let Some(before) = before else {
            before = Some(Usage::of(server));
            continue;
        };
        let after = eventually("as before", async || {
            let now = Usage::of(server);
            now.is_like(&before, SPARE_BYTES).then_some(now)
        });
        let count = kinds.len() * 2 * CLIENTS;
        println!("before: {before}; round {round}, after {count} vanished: {}", after.await);
    }
}

/// The server says nothing of clients that leave: there may be millions.
async fn nothing_is_said(native: Native) {
    let stderr = native.stop().await;
    let mut loud = stderr.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(loud.next(), None, "{stderr}");
}

#[tokio::test]
async fn clients_of_guests_vanish() {
    let kinds = [
        Before::HalfHead,
        Before::HalfBody("/m/echo-length"),
        Before::Asks("/m/sleep?ms=200"),
        Before::Reads("/m/big-body?bytes=50000000"),
    ];
    for (guest, replicas) in [(BEHAVE, 3), (BEHAVE_ASYNC, 1)] {
        let mut native = Native::start().await;
        native.deploy_guest("m", guest, fixed(replicas)).await;
        clients_vanish(&mut native, &kinds, "/m/echo-length").await;
        let log = native.log("m").await;
        assert!(log.len() < 20, "{guest}: {} lines, such as {:?}", log.len(), log.last());
        nothing_is_said(native).await;
    }
}

#[tokio::test]
async fn clients_of_processes_vanish() {
    let kinds = [
        Before::HalfHead,
        Before::HalfBody("/m/echo"),
        Before::Asks("/m/hold"),
        Before::Reads("/m/pour?mib=50"),
    ];
    for listen in ["port", "socket"] {
        let mut native = Native::start().await;
        let spec = json!({"process": {"listen": listen}, "concurrency": 4, "replicas": 2});
        native.deploy("m", spec).await;
        clients_vanish(&mut native, &kinds, "/m/echo").await;
        nothing_is_said(native).await;
    }
}

#[tokio::test]
async fn clients_of_batches_vanish() {
    let mut native = Native::start().await;
    let batching = json!({"batching": {"max_batch_size": 4, "timeout_batching": "5ms"}});
    native.deploy_guest("m", "fixture-batch-behave", with(fixed(1), batching)).await;
    let kinds = [
        Before::HalfHead,
        Before::HalfBody("/m"),
        Before::Posts("sleep 50"),
        Before::ReadsPosted("big 3000000"),
    ];
    clients_vanish(&mut native, &kinds, "/m").await;
    nothing_is_said(native).await;
}
