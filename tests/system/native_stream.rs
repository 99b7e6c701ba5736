//! Bodies of native replicas: streamed both ways, never kept whole, and given up when one side is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::channel::Sender;
use http_body_util::{BodyExt, Channel};
use samovar_tests::http::{Body, next_chunk};
use samovar_tests::load::at_once;
use samovar_tests::raw::Raw;
use samovar_tests::status::number;
use samovar_tests::{Http, Native, Reply, eventually, within};
use serde_json::json;

const MIB: usize = 1 << 20;
/// Far more than all buffers on the way hold.
const LARGE: usize = 192 * MIB;
/// More than what the buffers of two connections hold, and much less than the whole.
const BUFFERED_MAX: usize = 96 * MIB;

/// Sends a body in pieces; the answer comes when it comes.
fn post(http: &Http, path: &str, length: Option<usize>) -> (Sender<Bytes>, Request<Body>) {
    let (sender, body) = Channel::new(1);
    let mut request = http.request(Method::POST, path);
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    (sender, request.body(body.boxed_unsync()).expect("a valid request"))
}

#[tokio::test]
async fn answer_arrives_piece_by_piece() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let mut body = native.http.open_get("/m/gate?gate=a").await.into_body();
    assert_eq!(next_chunk(&mut body).await, Ok(Some("first\n".into())));
    native.http.get("/m/open?gate=a").await.expect(200);
    assert_eq!(next_chunk(&mut body).await, Ok(Some("last\n".into())));
    assert_eq!(next_chunk(&mut body).await, Ok(None));
}

#[tokio::test]
async fn request_and_answer_stream_at_once() {
    for listen in ["port", "socket"] {
        let native = Native::start().await;
        native.deploy("m", json!({"process": {"listen": listen}})).await;
        let (mut sender, request) = post(&native.http, "/m/mirror", None);
        sender.send_data("one".into()).await.expect("the request is sent");
        let response = native.http.open(request).await.expect("an answer before the end");
        let mut body = response.into_body();
        for piece in ["one", "two", "three"] {
            if piece != "one" {
                sender.send_data(piece.into()).await.expect("the request is sent");
            }
            assert_eq!(next_chunk(&mut body).await, Ok(Some(piece.into())), "{listen}");
        }
        drop(sender);
        assert_eq!(next_chunk(&mut body).await, Ok(None));
    }
}

/// Sends pieces until they are `LARGE` in all; tells how much was taken so far.
async fn upload(mut sender: Sender<Bytes>, taken: Arc<AtomicUsize>) {
    let piece = Bytes::from(vec![b'u'; MIB]);
    for _ in 0..LARGE / MIB {
        sender.send_data(piece.clone()).await.expect("somebody reads");
        taken.fetch_add(MIB, Ordering::Relaxed);
    }
}

/// The value of `read` once it does not change any more.
async fn settled(mut read: impl AsyncFnMut() -> usize) -> usize {
    let mut last = usize::MAX;
    let mut same = 0;
    eventually("it settles", async || {
        let now = read().await;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same == 50).then_some(now)
    })
    .await
}

#[tokio::test]
async fn large_upload_waits_for_its_reader() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"request_body": "1GiB", "stall_timeout": "10m"}})).await;
    for (name, length) in [("chunked", None), ("counted", Some(LARGE))] {
        let path = format!("/m/swallow?gate={name}");
        let (sender, request) = post(&native.http, &path, length);
        let http = native.http.clone();
        let answer = tokio::spawn(async move { http.try_send(request).await });
        let taken = Arc::new(AtomicUsize::new(0));
        let uploading = tokio::spawn(upload(sender, taken.clone()));
        let read = async || taken.load(Ordering::Relaxed);
        let held = settled(read).await;
        assert!((1..BUFFERED_MAX).contains(&held), "{name}: {held} bytes are on the way");
        native.http.get(&format!("/m/open?gate={name}")).await.expect(200);
        within("upload", uploading).await.expect("everything is read");
        let answer: Reply = answer.await.expect("no panic").expect("an answer").expect(200);
        assert_eq!(number(&answer.json(), "/bytes"), LARGE as u64, "{name}");
    }
}

#[tokio::test]
async fn large_answer_waits_for_its_reader() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"stall_timeout": "10m"}})).await;
    let path = format!("/m/pour?mib={}", LARGE / MIB);
    let mut body = native.http.open_get(&path).await.into_body();
    let mut received = next_chunk(&mut body).await.expect("no error").expect("a piece").len();
    let poured = settled(async || {
        let reply = native.http.get("/m/poured").await.expect(200).json();
        number(&reply, "/bytes") as usize
    });
    let poured = poured.await;
    assert!((1..BUFFERED_MAX).contains(&poured), "{poured} bytes are on the way");
    while let Some(piece) = next_chunk(&mut body).await.expect("no error") {
        received += piece.len();
    }
    assert_eq!(received, LARGE);
}

#[tokio::test]
async fn client_that_leaves_is_noticed_by_the_replica() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let left = async |wanted: u64| {
        eventually("the replica notices", async || {
            let seen = native.http.get("/m/left").await.expect(200).json();
            (number(&seen, "/left") == wanted).then_some(())
        })
        .await;
    };
    let three = at_once(&native.http, "/m/hold", 3);
    native.wait_status("m", "three ongoing", |status| number(status, "/ongoing") == 3).await;
    drop(three);
    left(3).await;
    // And in the middle of an answer.
    let mut body = native.http.open_get("/m/stream?pieces=1000000&ms=1").await.into_body();
    next_chunk(&mut body).await.expect("no error").expect("a piece");
    drop(body);
    native.wait_status("m", "nothing ongoing", |status| number(status, "/ongoing") == 0).await;
    let replicas = native.replicas("m").await;
    assert_eq!((replicas.len(), number(&replicas[0], "/id")), (1, 0), "the replica is fine");
}

#[tokio::test]
async fn client_that_breaks_its_upload_off_breaks_it_for_the_replica() {
    let native = Native::start().await;
    native.deploy("m", json!({"concurrency": 1})).await;
    let mut raw = Raw::connect(native.http.address()).await;
    raw.write("POST /m/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this").await;
    native.wait_status("m", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    drop(raw);
    native.wait_status("m", "nothing ongoing", |status| number(status, "/ongoing") == 0).await;
    assert_eq!(native.http.post("/m/echo", "next").await.expect(200).text(), "next");
}

#[tokio::test]
async fn body_above_its_limit_is_refused() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"request_body": "1KiB"}})).await;
    let counted = native.http.post("/m/echo", vec![b'x'; 2000]).await;
    counted.host_error(413, "request-body-too-large");
    let (mut sender, request) = post(&native.http, "/m/echo", None);
    let http = Http::new(native.http.address());
    let answer = tokio::spawn(async move { http.try_send(request).await });
    for _ in 0..4 {
        // Nobody may be reading any more.
        let _ = sender.send_data(Bytes::from(vec![b'x'; 500])).await;
    }
    drop(sender);
    // The server may hang up before we have read its answer.
    if let Ok(chunked) = answer.await.expect("no panic") {
        chunked.host_error(413, "request-body-too-large");
    }
    // Over another connection: the server closes one whose request it did not read to the end.
    let http = Http::new(native.http.address());
    assert_eq!(http.post("/m/echo", vec![b'x'; 1000]).await.expect(200).body.len(), 1000);
}

#[tokio::test]
async fn client_that_waits_to_be_told_to_go_on_is_told() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let mut raw = Raw::connect(native.http.address()).await;
    raw.write(
        "POST /m/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
    )
    .await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    raw.write("body").await;
    let (head, body) = raw.read_answer().await;
    assert!(head.starts_with("HTTP/1.1 200") && body == "body", "{head}{body}");
}

#[tokio::test]
async fn answers_out_of_the_ordinary_do_not_harm_the_next() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    for _ in 0..5 {
        assert_eq!(native.http.get("/m/old").await.expect(200).text(), "old but whole");
        assert_eq!(native.http.get("/m/extra").await.expect(200).text(), "wanted");
        // The replica sends a body with these, which they cannot have.
        assert!(native.http.get("/m/status?code=204").await.expect(204).body.is_empty());
        assert!(native.http.get("/m/status?code=304").await.expect(304).body.is_empty());
        native.http.get("/m/status?code=101").await.host_error(502, "bad-answer");
        let next = native.http.post("/m/echo", "mine").await.expect(200);
        assert_eq!(next.text(), "mine");
    }
    assert_eq!(number(&native.status("m").await, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn replica_that_does_not_answer_in_time_is_hung_up_on() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"request_timeout": "300ms"}})).await;
    native.http.get("/m/hold").await.host_error(504, "request-timeout");
    eventually("the replica notices", async || {
        let seen = native.http.get("/m/left").await.expect(200).json();
        (number(&seen, "/left") == 1).then_some(())
    })
    .await;
    let status = native.status("m").await;
    assert_eq!(number(&status, "/ongoing"), 0);
    assert_eq!(number(&status, "/totals/replicas_started"), 1, "slow is not broken");
}

#[tokio::test]
async fn answer_that_stalls_is_cut() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"stall_timeout": "300ms"}})).await;
    let mut body = native.http.open_get("/m/gate?gate=never").await.into_body();
    assert_eq!(next_chunk(&mut body).await, Ok(Some("first\n".into())));
    next_chunk(&mut body).await.expect_err("the rest never came, which is no proper end");
    native.wait_status("m", "nothing ongoing", |status| number(status, "/ongoing") == 0).await;
}

#[tokio::test]
async fn answer_above_its_limit_is_cut() {
    let native = Native::start().await;
    native.deploy("m", json!({"limits": {"response_body": "1MiB"}})).await;
    let reply = native.http.try_get("/m/pour?mib=4").await;
    let is_whole = reply.as_ref().is_ok_and(|reply| reply.status == 200);
    assert!(!is_whole, "4 MiB came through");
    native.http.get("/m/pour?mib=1").await.expect(200);
}
