//! Who answers while no replica is ready, or too few are.

use std::time::Duration;

use http::Method;
use samovar_tests::load::at_once;
use samovar_tests::native::direct;
use samovar_tests::status::{all_replicas, number, ready};
use samovar_tests::{Load, Native, Reply, Samovar, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::batching::{post, wait_ongoing, wait_queued};
use crate::support::{BEHAVE, fixed, names, with};

/// Answers with the request's body.
const ECHO: &str = "echo-sync";

/// A pool of up to one process that starts as it is told, with this stand-in.
fn cold(behave: &str, proxy: Value) -> Value {
    json!({"replicas": "0..1", "env": {"BEHAVE": behave}, "cold_start_proxy": proxy})
}

/// How many requests the stand-in of `m` answered.
async fn proxied(samovar: &Samovar) -> Option<f64> {
    samovar.metric("samovar_cold_start_proxied_total", &["deployment=\"m\""]).await
}

/// A component deployed beside processes.
async fn deploy_wasm(native: &Native, name: &str, guest: &str, spec: Value) {
    let samovar: &Samovar = native;
    samovar.deploy(name, guest, spec).await;
}

#[tokio::test]
async fn fixed_response_is_given_while_a_replica_starts_and_not_after() {
    let native = Native::start().await;
    let response = json!({"status": 503, "headers": {"retry-after": "5", "x-own": "yes"},
        "body": "warming up"});
    let mut spec = cold("load-slowly", json!({"response": response}));
    spec["env"]["LOAD_S"] = json!("1");
    native.deploy("m", spec).await;
    assert_eq!(all_replicas(&native.status("m").await), 0);
    let first = native.http.get("/m").await.expect(503);
    assert_eq!(first.text(), "warming up");
    assert_eq!((first.header("retry-after"), first.header("x-own")), (Some("5"), Some("yes")));
    assert_eq!(first.header("samovar-error"), None, "it is the deployment's own answer");
    let mut asked = 1;
    let warm = eventually("a replica answers", async || {
        let reply = native.http.get("/m").await;
        asked += u32::from(reply.status == 503);
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(warm.await.json(), json!({"hello": "native"}));
    for _ in 0..20 {
        native.http.get("/m").await.expect(200);
    }
    assert_eq!(proxied(&native).await, Some(f64::from(asked)));
    let status = native.status("m").await;
    assert_eq!(number(&status, "/totals/replicas_started"), 1, "the first request started it");
    assert_eq!(number(&status, "/totals/arrived"), 21, "{status}");
}

#[tokio::test]
async fn defaults_of_a_fixed_response() {
    let native = Native::start().await;
    native.deploy("m", cold("never-ready", json!({"response": {}}))).await;
    let reply = native.http.get("/m").await.expect(503);
    assert!(reply.body.is_empty(), "{}", reply.text());
    let head = native.http.request(Method::HEAD, "/m");
    native.http.send(head, "").await.expect(503);
}

#[tokio::test]
async fn another_deployment_stands_in() {
    let native = Native::start().await;
    deploy_wasm(&native, "light", BEHAVE, fixed(1)).await;
    deploy_wasm(&native, "echo", ECHO, fixed(1)).await;
    native.deploy("m", cold("never-ready", json!({"deployment": "light"}))).await;
    assert_eq!(native.http.get("/m/ok").await.expect(200).text(), "ok\n");
    native.wait_status("m", "one starts", |status| number(status, "/replicas/starting") == 1).await;
    let own = native.http.request(Method::GET, "/m/headers").header("x-own", "mine");
    let seen = native.http.send(own, "").await.expect(200).text();
    assert!(seen.contains("x-own: mine"), "{seen}");
    // Its errors are passed on as they are.
    native.http.get("/m/trap").await.host_error(502, "guest-trap");
    native.http.get("/m/no-such-thing").await.expect(404);
    assert_eq!(proxied(&native).await, Some(4.0));
    // Bodies go there and back.
    native.deploy("m", cold("never-ready", json!({"deployment": "echo"}))).await;
    let body = "x".repeat(5_000_000);
    assert!(native.http.post("/m", body.clone()).await.expect(200).text() == body);
    let answers = at_once(&native.http, "/m", 200).answers().await;
    assert!(answers.iter().all(|reply| reply.status == 200));
}

#[tokio::test]
async fn url_stands_in() {
    let native = Native::start().await;
    native.deploy("light", json!({})).await;
    let url = native.http.url("/light");
    native.deploy("m", cold("never-ready", json!({"url": url}))).await;
    assert_eq!(native.http.get("/m").await.expect(200).json(), json!({"hello": "native"}));
    let seen = native.http.get("/m/head?a=1&b=%2F").await.expect(200).json();
    assert_eq!(seen["path"], "/head?a=1&b=%2F", "path and query follow");
    let body = "x".repeat(5_000_000);
    assert!(native.http.post("/m/echo", body.clone()).await.expect(200).text() == body);
    let request = native.http.request(Method::DELETE, "/m/echo").header("x-own", "mine");
    assert_eq!(native.http.send(request, "gone").await.expect(200).text(), "gone");
    native.http.get("/m/status?code=404").await.expect(404);
    let hop = native.http.get("/m/hop").await.expect(200);
    assert_eq!((hop.header("x-kept"), hop.header("x-next-hop")), (Some("yes"), None));
    let stream = native.http.get("/m/stream?pieces=20&ms=5").await.expect(200);
    assert_eq!(stream.text().lines().count(), 20);
    assert_eq!(proxied(&native).await, Some(7.0));
}

#[tokio::test]
async fn stand_in_that_cannot_be_reached_is_told() {
    let native = Native::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}/", nobody.local_addr().expect("it is bound"));
    drop(nobody);
    for url in [closed.as_str(), "http://no-such-host.invalid/"] {
        native.deploy("m", cold("never-ready", json!({"url": url}))).await;
        native.http.get("/m").await.host_error(502, "proxy-failed");
        native.http.post("/m", "x".repeat(100_000)).await.host_error(502, "proxy-failed");
    }
    native.deploy("m", cold("never-ready", json!({"deployment": "nobody"}))).await;
    let reply = native.http.get("/m").await;
    names(&reply.json()["error"]["message"], &["nobody"]);
    assert!(reply.status >= 400 && reply.header("samovar-error").is_some(), "{}", reply.text());
    native.wait_status("m", "one starts", |status| number(status, "/replicas/starting") == 1).await;
}

#[tokio::test]
async fn stand_in_that_speaks_no_http_or_breaks_off_is_told() {
    let native = Native::start().await;
    native.deploy("light", json!({})).await;
    let address = direct(&native.wait_ready("light", 1).await[0]).url("/");
    native.deploy("m", cold("never-ready", json!({"url": address}))).await;
    native.http.get("/m/ok").await.expect(200);
    for path in ["/m/garbage", "/m/hang-up"] {
        native.http.get(path).await.host_error(502, "proxy-failed");
    }
    let broken = native.http.try_get("/m/close").await;
    assert!(broken.is_err(), "half an answer is none: {broken:?}");
    native.http.get("/m/ok").await.expect(200);
}

#[tokio::test]
async fn stand_in_has_a_time_out() {
    let native = Native::start().await;
    let limits = json!({"limits": {"request_timeout": "10m"}});
    deploy_wasm(&native, "light", BEHAVE, with(fixed(4), limits)).await;
    let url = native.http.url("/light");
    for mut proxy in [json!({"deployment": "light"}), json!({"url": url})] {
        proxy["timeout"] = json!("300ms");
        native.deploy("m", cold("never-ready", proxy)).await;
        let error = native.http.get("/m/hang").await.host_error(502, "proxy-failed");
        names(&error["message"], &["300ms"]);
        // It is for the head only.
        let stream = native.http.get("/m/stream?n=10&ms=60").await.expect(200);
        assert!(stream.body.len() > 10, "{}", stream.text());
    }
    native.wait_status("light", "nobody served", |status| number(status, "/ongoing") == 0).await;
}

#[tokio::test]
async fn load_above_a_bound_goes_to_the_stand_in() {
    let native = Native::start().await;
    let proxy = json!({"response": {"status": 429, "body": "busy"}, "above": 3});
    let limits = json!({"request_timeout": "10m"});
    let spec = json!({"cold_start_proxy": proxy, "concurrency": 2, "limits": limits,
        "queue": {"timeout": "10m"}});
    native.deploy("m", spec).await;
    let two = at_once(&native.http, "/m/wait?gate=a", 2);
    wait_ongoing(&native, "m", 2).await;
    let one = at_once(&native.http, "/m/wait?gate=a", 1);
    wait_queued(&native, "m", 1).await;
    assert_eq!(native.http.get("/m").await.expect(429).text(), "busy");
    assert_eq!(proxied(&native).await, Some(1.0));
    direct(&native.wait_ready("m", 1).await[0]).get("/open?gate=a").await.expect(200);
    for reply in [two.answers().await, one.answers().await].concat() {
        reply.expect(200);
    }
    native.http.get("/m").await.expect(200);
    assert_eq!(proxied(&native).await, Some(1.0));
}

#[tokio::test]
async fn without_a_stand_in_requests_wait() {
    let native = Native::start().await;
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "0.5"});
    native.deploy("m", json!({"replicas": "0..1", "env": env})).await;
    let replies = at_once(&native.http, "/m", 10).answers().await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    assert_eq!(proxied(&native).await, Some(0.0));
}

#[tokio::test]
async fn components_have_stand_ins_too() {
    let samovar = Samovar::start().await;
    let proxy = json!({"response": {"status": 200, "body": "for now"}});
    let spec = json!({"replicas": "0..1", "idle_ttl": "off", "cold_start_proxy": proxy});
    for number in 0..3 {
        samovar
            .deploy("m", BEHAVE, with(spec.clone(), json!({"env": {"NUMBER": number.to_string()}})))
            .await;
        assert_eq!(samovar.http.get("/m/ok").await.expect(200).text(), "for now");
        samovar.wait_status("m", "a replica", |status| ready(status) == 1).await;
        assert_eq!(samovar.http.get("/m/ok").await.expect(200).text(), "ok\n");
    }
    // It is woken again after its sleep.
    samovar.deploy("m", BEHAVE, with(spec, json!({"idle_ttl": "200ms"}))).await;
    for _ in 0..2 {
        let before = number(&samovar.status("m").await, "/totals/replicas_started");
        assert_eq!(samovar.http.get("/m/ok").await.expect(200).text(), "for now");
        let one_more = |status: &Value| number(status, "/totals/replicas_started") == before + 1;
        samovar.wait_status("m", "one more replica", one_more).await;
        samovar.wait_status("m", "no replica", |status| all_replicas(status) == 0).await;
    }
}

#[tokio::test]
async fn failing_starts_do_not_show_behind_a_stand_in() {
    let native = Native::start().await;
    native.deploy("m", cold("exit-at-once", json!({"response": {"status": 218}}))).await;
    native.http.get("/m").await.expect(218);
    native.wait_failure("m", &["weights.bin is missing"]).await;
    native.http.get("/m").await.expect(218);
}

#[tokio::test]
async fn held_at_none_the_stand_in_answers_and_nobody_starts() {
    let native = Native::start().await;
    native.deploy("m", cold("", json!({"response": {"status": 218}}))).await;
    let hold = native.admin.put_json("/v1/deployments/m/replicas", &json!({"count": 0})).await;
    hold.expect(200);
    for _ in 0..5 {
        native.http.get("/m").await.expect(218);
    }
    assert_eq!(all_replicas(&native.status("m").await), 0);
    native.admin.post("/v1/deployments/m/resume", "").await.expect(200);
    native.http.get("/m").await.expect(218);
    native.wait_ready("m", 1).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn schema_and_endpoint_are_in_front_of_the_stand_in() {
    let native = Native::start().await;
    let spec = json!({"endpoint": "/echo", "input_schema": {"type": "integer"}});
    let spec = with(cold("never-ready", json!({"response": {"status": 218}})), spec);
    native.deploy("m", spec).await;
    native.http.post("/m/echo", "7").await.expect(218);
    native.http.post("/m/echo", "\"x\"").await.host_error(422, "input-schema");
    native.http.post("/m/other", "7").await.host_error(404, "not-endpoint");
    native.http.get("/m/echo").await.host_error(405, "method");
}

#[tokio::test]
async fn stand_in_serves_what_batches_would() {
    let native = Native::start().await;
    deploy_wasm(&native, "echo", ECHO, fixed(1)).await;
    let batching = json!({"path": "/batch", "timeout_batching": "10ms"});
    let spec =
        with(cold("never-ready", json!({"deployment": "echo"})), json!({"batching": batching}));
    native.deploy("m", spec).await;
    assert_eq!(native.http.post("/m", "{\"a\": 1}").await.expect(200).text(), "{\"a\": 1}");
}

/// The answer to a request that goes round in circles, which must come soon.
async fn ends(native: &Native, path: &str) -> Reply {
    let started = Instant::now();
    let reply = native.http.get(path).await;
    assert!(started.elapsed() < Duration::from_secs(30), "not at the stand-in's own time-out");
    assert!(reply.status >= 500, "{} {}", reply.status, reply.text());
    assert!(reply.header("samovar-error").is_some(), "{}", reply.text());
    reply
}

#[tokio::test]
async fn stand_ins_that_stand_in_for_each_other_end() {
    let native = Native::start().await;
    let spec = |other: &str| {
        let spec = cold("never-ready", json!({"deployment": other, "timeout": "10m"}));
        with(spec, json!({"queue": {"timeout": "500ms"}}))
    };
    native.deploy("m", spec("n")).await;
    native.deploy("n", spec("m")).await;
    for path in ["/m", "/n"] {
        ends(&native, path).await;
    }
    let both = at_once(&native.http, "/m", 50).answers().await;
    assert!(both.iter().all(|reply| reply.status >= 500), "{both:?}");
    for name in ["m", "n"] {
        let nobody = |status: &Value| number(status, "/queued") + number(status, "/ongoing") == 0;
        native.wait_status(name, "nobody waits", nobody).await;
    }
    // As soon as one of them is ready, it serves for both.
    native.deploy("n", json!({})).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn longer_circles_and_chains_of_stand_ins() {
    let native = Native::start().await;
    let spec = |other: &str| {
        let spec = cold("never-ready", json!({"deployment": other}));
        with(spec, json!({"queue": {"timeout": "500ms"}}))
    };
    for (name, other) in [("m", "n"), ("n", "o"), ("o", "m")] {
        native.deploy(name, spec(other)).await;
    }
    ends(&native, "/m").await;
    // The third of a chain is warm.
    native.deploy("o", json!({})).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn stand_in_that_is_oneself_is_refused() {
    let native = Native::start().await;
    let spec = native.spec(cold("", json!({"deployment": "m"})));
    let error = native.put("m", &spec).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.cold_start_proxy.deployment", "{error}");
}

#[tokio::test]
async fn url_of_oneself_ends_too() {
    let native = Native::start().await;
    let url = native.http.url("/m");
    let spec = cold("never-ready", json!({"url": url, "timeout": "2s"}));
    native.deploy("m", with(spec, json!({"queue": {"timeout": "500ms"}}))).await;
    native.http.get("/m").await.host_error(502, "proxy-failed");
    native.deploy("other", json!({})).await;
    native.http.get("/other").await.expect(200);
    let proxied = proxied(&native).await.expect("it is counted");
    assert!(proxied < 5000.0, "{proxied} times round");
}

#[tokio::test]
async fn stand_ins_have_bounds() {
    let native = Native::start().await;
    let field = |below: &str| format!("spec.cold_start_proxy{below}");
    let cases = [
        (json!({}), ""),
        (json!({"deployment": "a", "response": {}}), ""),
        (json!({"url": "ftp://x/"}), ".url"),
        (json!({"url": "http://user@x/"}), ".url"),
        (json!({"url": "http://x/?a=1"}), ".url"),
        (json!({"response": {"status": 199}}), ".response.status"),
        (json!({"response": {"status": 600}}), ".response.status"),
        (json!({"response": {"headers": {"content-length": "7"}}}), ".response.headers"),
        (json!({"response": {"body": "x".repeat(65_537)}}), ".response.body"),
        (json!({"response": {}, "above": 0}), ".above"),
        (json!({"response": {}, "above": -1}), ".above"),
        (json!({"response": {}, "timeout": "0s"}), ".timeout"),
    ];
    for (proxy, below) in cases {
        let spec = native.spec(json!({"cold_start_proxy": proxy}));
        let error = native.put("m", &spec).await.refused(422, "invalid-field");
        let named = error["field"].as_str().unwrap_or_default();
        assert!(named.starts_with(&field(below)), "{proxy}: {error}");
    }
}

#[tokio::test]
async fn load_over_a_cold_start_loses_nothing() {
    let native = Native::start().await;
    deploy_wasm(&native, "light", BEHAVE, fixed(2)).await;
    let mut spec = cold("load-slowly", json!({"deployment": "light"}));
    spec["env"]["LOAD_S"] = json!("0.5");
    spec["idle_ttl"] = json!("off");
    native.deploy("m", spec).await;
    let load = Load::start(&native.http, "/m/ok", 8);
    native.wait_ready("m", 1).await;
    load.serve_more(200).await;
    load.stop_without_failure().await;
    let count = proxied(&native).await.expect("it is counted");
    assert!(count > 0.0, "the first ones could not be served otherwise");
    let waiting = post(&native.http, "/m/ok", "");
    waiting.answer().await.expect(200);
    assert_eq!(proxied(&native).await, Some(count), "a warm deployment serves itself");
}
