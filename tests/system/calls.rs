//! Calls from one deployment to another, in process: who is reached, and what comes back.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use samovar_tests::http::{Http, full, next_chunk};
use samovar_tests::status::number;
use samovar_tests::{Load, Native, Samovar, within};
use serde_json::{Value, json};

use crate::serving::comes_back_piece_by_piece;
use crate::support::{BEHAVE, fixed, with};

/// Calls others, as a WASI 0.2 handler.
pub const CALLER: &str = "fixture-caller";
/// Calls others, as a WASI 0.3 handler.
pub const CALLER_ASYNC: &str = "fixture-caller-async";

/// `count` replicas that say `name` and serve one request at a time each, with `spec` on top.
pub fn caller(name: &str, count: u32, spec: Value) -> Value {
    let base = json!({"env": {"NAME": name}, "concurrency": 1});
    with(with(fixed(count), base), spec)
}

/// Time limits that no test reaches: whatever ends early was not ended by them.
pub fn patient() -> Value {
    json!({"queue": {"timeout": "1h"}, "limits": {"request_timeout": "1h"}})
}

/// Deploys one caller of each generation, `old` and `new`, with `count` places each.
pub async fn both(samovar: &Samovar, count: u32) {
    samovar.deploy("old", CALLER, caller("old", count, json!({}))).await;
    samovar.deploy("new", CALLER_ASYNC, caller("new", count, json!({}))).await;
}

/// Waits until nobody waits for a deployment, or is served by it.
pub async fn idle(samovar: &Samovar, name: &str) {
    let is_idle = |status: &Value| number(status, "/ongoing") + number(status, "/queued") == 0;
    samovar.wait_status(name, "nothing to do", is_idle).await;
}

/// Waits until a deployment serves so many requests at once.
pub async fn ongoing(samovar: &Samovar, name: &str, count: u64) {
    let what = format!("{count} requests");
    samovar.wait_status(name, &what, |status| number(status, "/ongoing") == count).await;
}

/// `text` as a value in a query.
pub fn quoted(text: &str) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(quote).collect()
}

/// Answers of GET, which must be 200.
async fn said(samovar: &Samovar, path: &str) -> String {
    samovar.http.get(path).await.expect(200).text().trim_end().to_owned()
}

#[tokio::test]
async fn every_generation_calls_every_other_and_itself() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    for from in ["old", "new"] {
        for to in ["old", "new"] {
            let path = format!("/{from}/call?to={to}");
            assert_eq!(said(&samovar, &path).await, format!("{from}>{to}"));
        }
    }
    let long = said(&samovar, "/old/call?to=new,old,new").await;
    assert_eq!(long, "old>new>old>new");
}

#[tokio::test]
async fn hosts_are_names_below_internal_in_any_case() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    for (name, suffix) in [
        ("old", ".internal"),
        ("old", ".internal."),
        ("old", ".spin.internal"),
        ("old", ".spin.internal."),
        ("OLD", ".INTERNAL"),
        ("Old", ".Spin.Internal."),
    ] {
        for from in ["old", "new"] {
            let path = format!("/{from}/call?to={name}&suffix={suffix}");
            assert_eq!(said(&samovar, &path).await, format!("{from}>old"), "{name}{suffix}");
        }
    }
}

#[tokio::test]
async fn who_is_not_there_is_not_found() {
    let samovar = Samovar::start().await;
    both(&samovar, 1).await;
    for from in ["old", "new"] {
        let reply = samovar.http.get(&format!("/{from}/call?to=nobody")).await.expect(404);
        assert_eq!(reply.header("samovar-error"), Some("no-deployment"));
        assert!(reply.text().contains("there is no deployment `nobody`"), "{}", reply.text());
        for host in ["a.b.internal", "-.internal", ".internal", "a_b.spin.internal"] {
            let path = format!("/{from}/url?u={}", quoted(&format!("http://{host}/")));
            assert_eq!(said(&samovar, &path).await, "error HttpRequestUriInvalid", "{host}");
        }
        // It is not below itself.
        let path = format!("/{from}/url?u={}", quoted("http://internal/"));
        assert_eq!(said(&samovar, &path).await, "error HttpRequestDenied");
    }
    // A failure comes back through everybody who called.
    for path in ["/old/call?to=new,nobody", "/new/call?to=old,nobody"] {
        let reply = samovar.http.get(path).await.expect(404);
        assert_eq!(reply.header("samovar-error"), Some("no-deployment"));
    }
}

#[tokio::test]
async fn deployment_is_found_by_its_name_and_not_by_its_route() {
    let samovar = Samovar::start().await;
    both(&samovar, 1).await;
    samovar.deploy("b", CALLER, caller("b", 1, json!({"route": "/else/where"}))).await;
    assert_eq!(said(&samovar, "/old/call?to=b").await, "old>b");
    assert_eq!(said(&samovar, "/new/call?to=b,old").await, "new>b>old");
    samovar.http.get("/b/call").await.host_error(404, "no-deployment");
    // Its own route is not taken off the path: the whole path is the callee's.
    let url = quoted("http://b.internal/else/where/call?to=old");
    assert_eq!(said(&samovar, &format!("/old/proxy?u={url}")).await, "b");
}

#[tokio::test]
async fn method_path_query_headers_and_body_arrive() {
    let native = Native::start().await;
    both(&native, 1).await;
    native.deploy("n", json!({})).await;
    for from in ["old", "new"] {
        let url = "http://n.internal/head?x=%2Fa%20b&y=1&y=2";
        let path = format!("/{from}/proxy?u={}&headers=x-tea,content-type", quoted(url));
        let request = native.http.request(Method::PUT, &path);
        let request = request.header("x-tea", "assam").header("content-type", "tea/green");
        let seen = native.http.send(request, "").await.expect(200).json();
        assert_eq!(seen["path"], "/head?x=%2Fa%20b&y=1&y=2");
        assert_eq!(seen["headers"]["x-tea"], "assam");
        assert_eq!(seen["headers"]["content-type"], "tea/green");
        let echo = format!("/{from}/proxy?u={}", quoted("http://n.internal/echo"));
        let reply = native.http.post(&echo, "strong").await.expect(200);
        assert_eq!(reply.text(), "strong");
    }
}

#[tokio::test]
async fn status_and_failures_of_the_callee_come_back() {
    let samovar = Samovar::start().await;
    both(&samovar, 1).await;
    let brief = json!({"limits": {"request_timeout": "100ms", "request_body": "1KiB"}});
    samovar.deploy("behave", BEHAVE, with(fixed(1), brief)).await;
    for from in ["old", "new"] {
        for (path, status, error) in [
            ("/ok", 200, None),
            ("/no-such-path", 404, None),
            ("/trap", 502, Some("guest-trap")),
            ("/never", 502, Some("no-response")),
            ("/hang", 504, Some("request-timeout")),
        ] {
            let url = quoted(&format!("http://behave.internal{path}"));
            let reply = samovar.http.get(&format!("/{from}/proxy?u={url}")).await;
            assert_eq!(reply.status, status, "{path}: {}", reply.text());
            assert_eq!(reply.header("samovar-error"), error, "{path}");
        }
        let url = quoted("http://behave.internal/echo-length");
        let path = format!("/{from}/proxy?u={url}");
        assert_eq!(
            samovar.http.post(&path, vec![b'x'; 1000]).await.expect(200).text().trim(),
            "1000"
        );
        let reply = samovar.http.post(&path, vec![b'x'; 2000]).await;
        assert_eq!(
            (reply.status, reply.header("samovar-error")),
            (413, Some("request-body-too-large"))
        );
    }
}

#[tokio::test]
async fn body_that_breaks_off_is_broken_for_the_client_too() {
    let native = Native::start().await;
    both(&native, 1).await;
    native.deploy("n", json!({})).await;
    let url = quoted("http://n.internal/close");
    for from in ["old", "new"] {
        let cut = native.http.try_get(&format!("/{from}/proxy?u={url}")).await;
        // Where all of it comes in one go, not even the head is sent.
        assert!(cut.is_err(), "{from}: {cut:?}");
        let said = said(&native, &format!("/{from}/url?u={url}")).await;
        assert!(said.starts_with("status 200, 9 bytes, broken "), "{from}: {said}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_through_every_pair() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    for path in [
        "/old/echo?to=old",
        "/old/echo?to=new",
        "/new/echo?to=old",
        "/new/echo?to=new",
        "/new/echo?to=old,new",
    ] {
        comes_back_piece_by_piece(&samovar.http, path).await;
    }
    comes_back_piece_by_piece(&Http::http2(samovar.http.address()), "/old/echo?to=new,old").await;
}

#[tokio::test]
async fn bodies_stream_to_processes_and_back() {
    let native = Native::start().await;
    both(&native, 1).await;
    native.deploy("n", json!({})).await;
    let mirror = quoted("http://n.internal/mirror");
    for from in ["old", "new"] {
        comes_back_piece_by_piece(&native.http, &format!("/{from}/proxy?u={mirror}")).await;
    }
}

#[tokio::test]
async fn large_bodies_come_back_whole() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    let mut random = fastrand::Rng::with_seed(9);
    let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8_000_000).collect();
    for path in ["/old/echo?to=new,old", "/new/echo?to=old,new", "/new/echo?to=new"] {
        let reply = samovar.http.post(path, body.clone()).await.expect(200);
        assert!(reply.body == body, "{path}: {} bytes came back", reply.body.len());
    }
}

#[tokio::test]
async fn endless_answer_is_passed_on_until_the_client_leaves() {
    let samovar = Samovar::start().await;
    both(&samovar, 1).await;
    samovar.deploy("behave", BEHAVE, fixed(1)).await;
    let url = quoted("http://behave.internal/stream?n=1000000&ms=20");
    for from in ["old", "new"] {
        let answer = samovar.http.open_get(&format!("/{from}/proxy?u={url}")).await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        for _ in 0..5 {
            let piece = next_chunk(&mut body).await.expect("the stream goes on");
            assert!(piece.is_some_and(|piece| !piece.is_empty()), "it is not over");
        }
        ongoing(&samovar, "behave", 1).await;
        drop(body);
        idle(&samovar, from).await;
        idle(&samovar, "behave").await;
    }
}

#[tokio::test]
async fn trailers_go_there_and_back() {
    let samovar = Samovar::start().await;
    both(&samovar, 3).await;
    let http = Http::http2(samovar.http.address());
    for path in ["/new/echo", "/new/echo?to=new", "/new/echo?to=new,new"] {
        let sum = (HeaderName::from_static("x-sum"), HeaderValue::from(7));
        let trailers = async { Some(Ok(HeaderMap::from_iter([sum]))) };
        let body = full("leaves").with_trailers(trailers).boxed_unsync();
        let request = http.request(Method::POST, path).header("te", "trailers").body(body);
        let answer = http.open(request.expect("a valid request")).await.expect("it is answered");
        let body = within("read a body", answer.into_body().collect()).await.expect("it is whole");
        assert_eq!(
            body.trailers().and_then(|trailers| trailers.get("x-sum")),
            Some(&7.into()),
            "{path}"
        );
        assert_eq!(body.to_bytes(), "leaves");
    }
}

#[tokio::test]
async fn calls_go_on_while_the_callee_is_replaced() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    samovar.deploy("b", CALLER, caller("b", 2, json!({}))).await;
    let loads =
        ["/old/call?to=b", "/new/call?to=b"].map(|path| Load::start(&samovar.http, path, 2));
    for guest in [CALLER_ASYNC, CALLER, CALLER_ASYNC] {
        samovar.deploy("b", guest, caller("b", 2, json!({}))).await;
        for load in &loads {
            load.serve_more(20).await;
        }
    }
    for load in loads {
        load.stop_without_failure().await;
    }
}

#[tokio::test]
async fn fan_outs_call_at_once() {
    const TIMES: usize = 12;
    let samovar = Samovar::start().await;
    // All of them hold their place for a moment: one after the other there would be no answer.
    samovar.deploy("leaf", CALLER_ASYNC, caller("leaf", 1, json!({"concurrency": TIMES}))).await;
    both(&samovar, 1).await;
    for from in ["old", "new"] {
        let path = format!("/{from}/call?to=leaf&fan={TIMES}&last=1000");
        let asked = tokio::spawn({
            let (http, path) = (samovar.http.clone(), path.clone());
            async move { http.get(&path).await }
        });
        ongoing(&samovar, "leaf", TIMES as u64).await;
        let text = asked.await.expect("no panic").expect(200).text();
        assert_eq!(text.matches("leaf").count(), TIMES, "{text}");
    }
}

#[tokio::test]
async fn many_calls_by_one_instance_leave_nothing_behind() {
    /// More than an instance may hold resources.
    const CALLS: u32 = 25_000;
    const AT_ONCE: u32 = 1_000;
    let samovar = Samovar::start().await;
    for (name, component) in [("old", CALLER), ("new", CALLER_ASYNC)] {
        samovar.deploy(name, component, caller(name, 1, patient())).await;
        samovar.deploy("tiny", "hello", fixed(1)).await;
        let url = quoted("http://tiny.internal/");
        let path = format!("/{name}/url?u={url}&times={AT_ONCE}&connect=60000&first=60000");
        for _ in 0..CALLS / AT_ONCE {
            let told = said(&samovar, &path).await;
            let fine = told.lines().filter(|line| line.starts_with("status 200")).count();
            assert_eq!(fine, AT_ONCE as usize, "{}", told.lines().last().unwrap_or_default());
        }
        let replicas = samovar.admin.get(&format!("/v1/deployments/{name}/replicas")).await;
        assert_eq!(
            replicas.expect(200).json()["replicas"][0]["id"],
            0,
            "the first one still serves"
        );
    }
}
