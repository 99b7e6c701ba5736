//! HTTP/2 with as many streams as one connection may have, and clients that misuse it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use http_body_util::channel::Sender as BodySender;
use http_body_util::{BodyExt, Channel};
use samovar_tests::frames::{self, Frame, Receiver, Sender, stream_number};
use samovar_tests::usage::{MIB, Usage, cpu_seconds};
use samovar_tests::{Http, Load, Native, Reply, Samovar, eventually, within};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, timeout};

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

/// Streams that one connection may have open.
const STREAMS: usize = 1000;
/// The server's answer to those who ask for too much.
const ENHANCE_YOUR_CALM: u32 = 11;
const HELLO: &[u8] = b"Hello from Samovar!\n";

/// Opens a stream of `/new/echo-length` and sends one byte.
async fn open_stream(http: Http) -> (BodySender<Bytes>, JoinHandle<Result<Reply, String>>) {
    let (mut sender, body) = Channel::new(1);
    let request = http.request(Method::POST, "/new/echo-length").body(body.boxed_unsync());
    let request = request.expect("a valid request");
    let answer = tokio::spawn(async move { http.try_send(request).await });
    sender.send_data(Bytes::from_static(b"1")).await.expect("the server reads");
    (sender, answer)
}

/// Sends so many more bytes on a stream, and checks that they were counted.
async fn end_stream(
    mut sender: BodySender<Bytes>,
    answer: JoinHandle<Result<Reply, String>>,
    more: usize,
) {
    sender.send_data(Bytes::from(vec![0; more])).await.expect("the server reads");
    drop(sender);
    let answer = within("answer", answer).await.expect("no panic").expect("an answer");
    assert_eq!(answer.expect(200).text(), format!("{}\n", 1 + more));
}

/// A deployment that serves so many requests at once with one replica.
fn wide(concurrency: usize) -> serde_json::Value {
    with(fixed(1), json!({"concurrency": concurrency}))
}

fn pid(samovar: &Samovar) -> i32 {
    samovar.pid().as_raw_nonzero().get()
}

async fn wait_free(samovar: &Samovar, name: &str) {
    let is_free = |status: &serde_json::Value| status["ongoing"] == 0 && status["queued"] == 0;
    samovar.wait_status(name, "nothing ongoing", is_free).await;
}

#[tokio::test]
async fn a_thousand_streams_at_once_are_answered_and_one_more_waits() {
    let samovar = Samovar::start().await;
    samovar.deploy("new", BEHAVE_ASYNC, wide(STREAMS)).await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let http = Http::http2(samovar.http.address());
    http.get("/hello").await.expect(200);
    let before = Usage::of(pid(&samovar));
    let opening: JoinSet<_> = (0..STREAMS).map(|_| open_stream(http.clone())).collect();
    let mut streams = within("open all streams", opening.join_all()).await;
    samovar.wait_status("new", "all streams", |status| status["ongoing"] == STREAMS).await;
    let during = Usage::of(pid(&samovar));
    assert!(during.descriptors <= before.descriptors + 1, "all are on one connection: {during}");
    println!("before: {before}; with {STREAMS} open streams: {during}");

    let one_more = http.clone();
    let mut one_more = tokio::spawn(async move { one_more.get("/hello").await });
    timeout(Duration::from_secs(1), &mut one_more).await.expect_err("there is no room for it");
    // Another connection has room.
    samovar.http.get("/hello").await.expect(200);
    let (sender, answer) = streams.pop().expect("there are some");
    end_stream(sender, answer, 5).await;
    within("answer one more", one_more).await.expect("no panic").expect(200);
    let streams = streams.into_iter().enumerate();
    let ending: JoinSet<_> =
        streams.map(|(index, (sender, answer))| end_stream(sender, answer, 1 + index)).collect();
    within("end all streams", ending.join_all()).await;
    wait_free(&samovar, "new").await;
    samovar.stop().await;
}

/// Clients end a connection for some hundred empty pieces.
#[tokio::test]
async fn streamed_answers_do_not_wear_a_connection_out() {
    let samovar = Samovar::start().await;
    samovar.deploy("echo", "echo", fixed(1)).await;
    samovar.deploy("echo-sync", "echo-sync", fixed(1)).await;
    let http = Http::http2(samovar.http.address());
    for name in ["echo", "echo-sync"] {
        for number in 0..300 {
            let (mut sender, body) = Channel::new(1);
            let request = http.request(Method::POST, &format!("/{name}"));
            let request = request.body(body.boxed_unsync()).expect("a valid request");
            let client = http.clone();
            let answer = tokio::spawn(async move { client.try_send(request).await });
            sender.send_data(Bytes::from_static(b"tea")).await.expect("the server reads");
            drop(sender);
            let answer = within("answer", answer).await.expect("no panic");
            let answer = answer.unwrap_or_else(|error| panic!("{name} {number}: {error}"));
            assert_eq!(answer.expect(200).text(), "tea");
        }
    }
    samovar.stop().await;
}

#[tokio::test]
async fn who_opens_more_streams_than_allowed_is_refused_those() {
    let samovar = Samovar::start().await;
    samovar.deploy("echo", "echo", wide(STREAMS)).await;
    let (mut sender, mut receiver) = frames::connect(samovar.http.address(), &[]).await;
    let open = |index| Frame::request(stream_number(index), "POST", "/echo", 0);
    assert!(sender.send((0..STREAMS).map(open)).await);
    samovar.wait_status("echo", "all streams", |status| status["ongoing"] == STREAMS).await;
    assert!(sender.send((STREAMS..STREAMS + 3).map(open)).await);
    let mut refused = Vec::new();
    while refused.len() < 3 {
        let frame = receiver.next().await.expect("the connection goes on");
        if frame.kind == frames::RST_STREAM {
            assert_eq!(frame.code(), Some(frames::REFUSED_STREAM), "{frame:?}");
            refused.push(frame.stream);
        }
    }
    let expected: Vec<u32> = (STREAMS..STREAMS + 3).map(stream_number).collect();
    assert_eq!(refused, expected);
    let data = |index| {
        let flags = frames::END_STREAM;
        Frame::new(frames::DATA, flags, stream_number(index), format!("{index}"))
    };
    assert!(sender.send((0..STREAMS).map(data)).await);
    let answers = read_answers(&mut receiver, STREAMS).await;
    for (index, answer) in answers.values().enumerate() {
        assert_eq!(String::from_utf8_lossy(answer), index.to_string());
    }
    drop((sender, receiver));
    samovar.stop().await;
}

/// Reads frames until `count` streams have ended; what each of them was answered.
async fn read_answers(receiver: &mut Receiver, count: usize) -> BTreeMap<u32, Vec<u8>> {
    let (mut bodies, mut ended) = (BTreeMap::<u32, Vec<u8>>::new(), 0);
    while ended < count {
        let frame = receiver.next().await.expect("the connection goes on");
        match frame.kind {
            frames::DATA => bodies.entry(frame.stream).or_default().extend(&frame.payload),
            frames::HEADERS if !bodies.contains_key(&frame.stream) => {
                assert!(frame.is_ok(), "{frame:?}");
                bodies.insert(frame.stream, Vec::new());
            }
            frames::RST_STREAM | frames::GOAWAY => panic!("cut: {frame:?}"),
            _ => {}
        }
        ended += usize::from(frame.ends_stream());
    }
    bodies
}

/// How a client resets its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resets {
    /// In the same write as it opens them.
    AtOnce,
    /// When the server has read that it opened them.
    Started,
}

/// Opens streams and resets them, on as many connections as it takes. Counts connections, and those
/// that the server ended.
async fn reset(address: SocketAddr, path: &str, how: Resets, count: usize) -> (usize, usize) {
    const TOGETHER: usize = 10;
    let open = |index| Frame::request(stream_number(index), "GET", path, frames::END_STREAM);
    let (mut done, mut connections, mut cut) = (0, 0, 0);
    while done < count {
        connections += 1;
        let (mut sender, mut receiver) = frames::connect(address, &[]).await;
        let (pongs, mut pong) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            let mut code = None;
            while let Some(frame) = receiver.next().await {
                code = code.or(frame.code().filter(|_| frame.kind == frames::GOAWAY));
                if frame.kind == frames::PING {
                    _ = pongs.send(()); // Nobody may wait for it.
                }
            }
            code
        });
        for first in (0..).step_by(TOGETHER).take_while(|first| *first < count) {
            let lot = first..first + TOGETHER;
            if how == Resets::Started {
                sender.send(lot.clone().map(open).chain([Frame::ping()])).await;
                if pong.recv().await.is_none() {
                    break;
                }
                sender.send(lot.map(|index| Frame::reset(stream_number(index)))).await;
            } else {
                let pair = |index| [open(index), Frame::reset(stream_number(index))];
                sender.send(lot.flat_map(pair)).await;
            }
            done += TOGETHER;
            if done >= count || reading.is_finished() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(sender);
        if let Some(code) = within("end", reading).await.expect("no panic") {
            assert_eq!(code, ENHANCE_YOUR_CALM);
            cut += 1;
        }
    }
    (connections, cut)
}

/// Resets streams of some paths beside other requests. What of it costs CPU time is printed.
async fn rapid_resets(how: Resets, count: usize) {
    const REQUESTS: usize = 2000;
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    samovar.deploy("old", BEHAVE, fixed(2)).await;
    samovar.deploy("new", BEHAVE_ASYNC, fixed(1)).await;
    let (address, pid) = (samovar.http.address(), pid(&samovar));
    let cpu = cpu_seconds(pid);
    for _ in 0..REQUESTS {
        samovar.http.get("/hello").await.expect(200);
    }
    let request_us = (cpu_seconds(pid) - cpu) * 1e6 / REQUESTS as f64;
    let mut before = None;
    for path in ["/hello", "/old/sleep?ms=50", "/new/sleep?ms=50"].repeat(2) {
        let cpu = cpu_seconds(pid);
        let (connections, cut) = reset(address, path, how, count).await;
        let reset_us = (cpu_seconds(pid) - cpu) * 1e6 / count as f64;
        println!(
            "{how:?}: {count} resets of {path} on {connections} connections, {cut} of them ended \
             by the server: {reset_us:.0} us of CPU each; a request takes {request_us:.0} us"
        );
        assert!(reset_us < 50.0 * request_us, "{how:?} {path}: a reset is too expensive");
        // Beside them and after them the others are served.
        let resetting = tokio::spawn(async move { reset(address, path, how, count / 4).await });
        Load::some(&samovar.http, "/hello", 100).await;
        within("reset", resetting).await.expect("no panic");
        wait_free(&samovar, path.split(['/', '?']).nth(1).expect("a name")).await;
        before.get_or_insert_with(|| Usage::of(pid));
    }
    let before = before.expect("there were rounds");
    let after = eventually("as before", async || {
        let now = Usage::of(pid);
        now.is_like(&before, 32 * MIB).then_some(now)
    })
    .await;
    println!("before: {before}; after: {after}");
    for path in ["/old/ok", "/new/ok", "/hello"] {
        samovar.http.get(path).await.expect(200);
    }
    let stderr = samovar.stop().await;
    let is_loud = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let mut loud = stderr.lines().filter(is_loud);
    assert_eq!(loud.next(), None, "{stderr}");
}

#[tokio::test]
async fn streams_that_are_reset_at_once_hold_nobody_up() {
    rapid_resets(Resets::AtOnce, 20_000).await;
}

#[tokio::test]
async fn streams_that_are_reset_when_they_run_hold_nobody_up() {
    rapid_resets(Resets::Started, 2000).await;
}

/// Opens `count` streams that may not be answered with a byte.
async fn open_shut(sender: &mut Sender, first: usize, count: usize, path: &str) {
    let open = |index| Frame::request(stream_number(index), "GET", path, frames::END_STREAM);
    assert!(sender.send((first..first + count).map(open)).await);
}

#[tokio::test]
async fn shut_windows_hold_nobody_else_up() {
    const SHUT: usize = 100;
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let shut = [(frames::INITIAL_WINDOW_SIZE, 0)];
    let (mut sender, mut receiver) = frames::connect(samovar.http.address(), &shut).await;
    open_shut(&mut sender, 0, SHUT, "/hello").await;
    let mut heads = 0;
    while heads < SHUT {
        let frame = receiver.next().await.expect("the connection goes on");
        assert!(frame.kind != frames::DATA || frame.payload.is_empty(), "{frame:?}");
        heads += usize::from(frame.is_ok());
    }
    // What was answered with a few bytes holds no replica.
    wait_free(&samovar, "hello").await;
    Load::some(&samovar.http, "/hello", 100).await;
    let mut bodies = BTreeMap::<u32, Vec<u8>>::new();
    for _ in 0..HELLO.len() {
        let open = |index| Frame::window(stream_number(index), 1);
        assert!(sender.send((0..SHUT).map(open)).await);
        let mut received = 0;
        while received < SHUT {
            let frame = receiver.next().await.expect("the connection goes on");
            if frame.kind == frames::DATA && !frame.payload.is_empty() {
                assert_eq!(frame.payload.len(), 1, "{frame:?}");
                bodies.entry(frame.stream).or_default().extend(&frame.payload);
                received += 1;
            }
        }
    }
    assert!(bodies.len() == SHUT && bodies.values().all(|body| body == HELLO), "{bodies:?}");
    drop((sender, receiver));
    samovar.stop().await;
}

#[tokio::test]
async fn large_answers_behind_shut_windows_hold_only_their_places() {
    const SHUT: usize = 10;
    let samovar = Samovar::start().await;
    samovar.deploy("old", BEHAVE, fixed(SHUT as u32 + 2)).await;
    samovar.deploy("new", BEHAVE_ASYNC, wide(SHUT + 2)).await;
    let before = Usage::of(pid(&samovar));
    let shut = [(frames::INITIAL_WINDOW_SIZE, 10)];
    let (mut sender, mut receiver) = frames::connect(samovar.http.address(), &shut).await;
    let reading = tokio::spawn(async move { while receiver.next().await.is_some() {} });
    for (turn, name) in ["old", "new"].into_iter().enumerate() {
        open_shut(&mut sender, turn * SHUT, SHUT, &format!("/{name}/big-body?bytes=20000000"))
            .await;
        samovar.wait_status(name, "all of them", |status| status["ongoing"] == SHUT).await;
        Load::some(&samovar.http, &format!("/{name}/ok"), 100).await;
    }
    let during = Usage::of(pid(&samovar));
    println!("before: {before}; with {} answers behind shut windows: {during}", 2 * SHUT);
    assert!(during.resident_bytes < before.resident_bytes + 100 * MIB, "{before}; {during}");
    drop(sender);
    within("the server hangs up", reading).await.expect("no panic");
    for name in ["old", "new"] {
        wait_free(&samovar, name).await;
        samovar.http.get(&format!("/{name}/ok")).await.expect(200);
    }
    samovar.stop().await;
}

#[tokio::test]
async fn connections_that_vanish_take_their_streams_along() {
    const TOGETHER: usize = 30;
    const TIMES: usize = 10;
    let native = Native::start().await;
    let places = TOGETHER + 2;
    native.deploy_guest("old", BEHAVE, fixed(places as u32)).await;
    native.deploy_guest("new", BEHAVE_ASYNC, wide(places)).await;
    native.deploy("native", json!({"concurrency": places})).await;
    let paths = [
        "/old/sleep?ms=600000",
        "/old/big-body?bytes=20000000",
        "/new/sleep?ms=600000",
        "/new/big-body?bytes=20000000",
        "/native/hold",
        "/native/pour?mib=20",
    ];
    let mut before = None;
    for round in 0..TIMES {
        for path in paths {
            let name = path.split('/').nth(1).expect("a name");
            let (mut sender, receiver) = frames::connect(native.http.address(), &[]).await;
            open_shut(&mut sender, 0, TOGETHER, path).await;
            native.wait_status(name, "all streams", |now| now["ongoing"] == TOGETHER).await;
            if round % 2 == 0 {
                frames::vanish(sender, receiver);
            } else {
                drop((sender, receiver));
            }
            wait_free(&native, name).await;
        }
        before.get_or_insert_with(|| Usage::of(native.server_pid()));
    }
    let before = before.expect("there were rounds");
    let after = eventually("as before", async || {
        let now = Usage::of(native.server_pid());
        now.is_like(&before, 32 * MIB).then_some(now)
    })
    .await;
    let count = TOGETHER * TIMES * paths.len();
    println!("before: {before}; after {count} streams have vanished: {after}");
    for name in ["old", "new", "native"] {
        native.http.get(&format!("/{name}/ok")).await.expect(200);
    }
    native.stop().await;
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    const PIECE_BYTES: usize = 100;
    const PIECES: usize = 50_000;
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", fixed(1)).await;
    let before = Usage::of(pid(&samovar));
    let (mut sender, mut receiver) = frames::connect(samovar.http.address(), &[]).await;
    let reading = tokio::spawn(async move { while receiver.next().await.is_some() {} });
    let mut head = Frame::request(1, "GET", "/hello", frames::END_STREAM);
    head.flags &= !frames::END_HEADERS;
    assert!(sender.send([head]).await);
    let mut block = Vec::new();
    frames::literal(&mut block, "x-more", &"x".repeat(PIECE_BYTES));
    let piece = frames::bytes_of([Frame::new(frames::CONTINUATION, 0, 1, block)]);
    let mut sent = 0;
    while sent < PIECES && sender.send_bytes(&piece).await {
        sent += 1;
    }
    assert!(sent < PIECES, "the server reads headers for ever");
    drop(sender);
    within("the server hangs up", reading).await.expect("no panic");
    let after = Usage::of(pid(&samovar));
    println!("cut after {sent} pieces of {PIECE_BYTES} bytes; before: {before}; after: {after}");
    assert!(after.resident_bytes < before.resident_bytes + 32 * MIB, "{before}; {after}");
    samovar.http.get("/hello").await.expect(200);
    samovar.stop().await;
}
