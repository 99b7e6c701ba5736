//! Batches of a handler that takes many requests at once: who leaves together, when, in which order,
//! and who gets which answer.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use samovar_tests::load::{InFlight, at_once};
use samovar_tests::status::{number, ready};
use samovar_tests::{Http, Load, Reply, Samovar, within};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{BEHAVE, fixed, with};

/// The behaviours of `fixtures/batch-behave`.
pub const BATCH: &str = "fixture-batch-behave";
/// The longest that a request may wait for company. Longer than any test with full batches lasts.
pub const FOR_EVER: &str = "1m";

/// One replica and batches of up to `size` that wait for `timeout`, with `batching` on top.
pub fn batches_of(size: u32, timeout: &str, batching: Value) -> Value {
    let batching = with(json!({"max_batch_size": size, "timeout_batching": timeout}), batching);
    with(fixed(1), json!({"batching": batching, "queue": {"timeout": "10m"}}))
}

/// Posts every one of `bodies` to `path` at once; the answers in the same order.
pub async fn post_all(http: &Http, path: &str, bodies: &[impl ToString]) -> Vec<Reply> {
    let mut posts = JoinSet::new();
    for (index, body) in bodies.iter().enumerate() {
        let (http, path, body) = (http.clone(), path.to_owned(), body.to_string());
        posts.spawn(async move { (index, http.post(&path, body).await) });
    }
    let replies: BTreeMap<usize, Reply> =
        within("answer all", posts.join_all()).await.into_iter().collect();
    replies.into_values().collect()
}

/// Statuses of replies.
pub fn statuses(replies: &[Reply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.status).collect()
}

/// Posts in the background. Dropping it hangs up.
pub fn post(http: &Http, path: &str, body: &str) -> InFlight {
    let request = http.request(Method::POST, path);
    InFlight::one(http, request, body.to_owned())
}

/// Waits until so many requests of a deployment wait.
pub async fn wait_queued(samovar: &Samovar, name: &str, count: u64) -> Value {
    let what = format!("{count} queued");
    samovar.wait_status(name, &what, |status| number(status, "/queued") == count).await
}

/// Waits until so many requests of a deployment are being served.
pub async fn wait_ongoing(samovar: &Samovar, name: &str, count: u64) -> Value {
    let what = format!("{count} ongoing");
    samovar.wait_status(name, &what, |status| number(status, "/ongoing") == count).await
}

/// A figure of the batches of a deployment.
pub async fn figure(samovar: &Samovar, name: &str, deployment: &str) -> f64 {
    let label = format!("deployment=\"{deployment}\"");
    let value = samovar.metric(name, &[&label]).await;
    value.unwrap_or_else(|| panic!("no {name} of {deployment}"))
}

#[tokio::test]
async fn full_batch_leaves_at_once() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(4, FOR_EVER, json!({}))).await;
    let started = Instant::now();
    let three: Vec<InFlight> = (0..3).map(|_| post(&samovar.http, "/b", "size")).collect();
    let status = wait_queued(&samovar, "b", 3).await;
    assert_eq!(number(&status, "/ongoing"), 0, "they wait for one more beside a free replica");
    samovar.http.post("/b", "size").await.expect(200);
    for waiting in three {
        assert_eq!(waiting.answer().await.expect(200).text(), "4");
    }
    assert!(started.elapsed() < Duration::from_secs(60), "not because the time was over");
}

#[tokio::test]
async fn partial_batch_leaves_after_its_time() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(8, "2s", json!({}))).await;
    let started = Instant::now();
    let replies = post_all(&samovar.http, "/b", &["size"; 3]).await;
    assert!(started.elapsed() >= Duration::from_secs(2), "it waited for company");
    for reply in replies {
        assert_eq!(reply.expect(200).text(), "3");
    }
}

#[tokio::test]
async fn batches_keep_the_order_of_arrival() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(6, FOR_EVER, json!({}))).await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        waiting.push(post(&samovar.http, "/b", "place"));
        wait_queued(&samovar, "b", number + 1).await;
    }
    waiting.push(post(&samovar.http, "/b", "place"));
    for (place, request) in waiting.into_iter().enumerate() {
        assert_eq!(request.answer().await.expect(200).text(), place.to_string());
    }
}

#[tokio::test]
async fn every_client_gets_its_own_answer_and_metrics_count_the_batches() {
    const CLIENTS: usize = 400;
    let samovar = Samovar::start().await;
    let spec = with(batches_of(16, "20ms", json!({})), json!({"replicas": 2}));
    samovar.deploy("b", BATCH, spec).await;
    let bodies: Vec<String> =
        (0..CLIENTS).map(|client| format!("body of client {client}")).collect();
    let replies = post_all(&samovar.http, "/b", &bodies).await;
    let mut batches = 0;
    for (reply, body) in replies.iter().zip(&bodies) {
        let reply = reply.clone().expect(200);
        assert_eq!(reply.text(), *body);
        let batch = reply.header("x-batch").expect("place and size");
        let (place, size) = batch.split_once('/').expect("place and size");
        let (place, size): (u64, u64) = (place.parse().unwrap(), size.parse().unwrap());
        assert!(place < size && size <= 16, "{batch}");
        batches += u64::from(place == 0);
    }
    assert!(batches < CLIENTS as u64, "nobody had company");
    let seen = async |name| figure(&samovar, name, "b").await;
    assert_eq!(seen("samovar_batch_size_count").await, batches as f64);
    assert_eq!(seen("samovar_batch_size_sum").await, CLIENTS as f64);
    assert_eq!(seen("samovar_batch_wait_seconds_count").await, CLIENTS as f64);
    assert!(seen("samovar_batch_wait_seconds_sum").await > 0.0);
    let label = ["deployment=\"b\"", "le=\"16\""];
    let small = samovar.metric("samovar_batch_size_bucket", &label).await;
    assert_eq!(small, Some(batches as f64), "none is larger than allowed");
    let status = samovar.status("b").await;
    assert_eq!(number(&status, "/totals/arrived"), CLIENTS as u64);
    assert_eq!(number(&status, "/totals/completed"), CLIENTS as u64);
}

#[tokio::test]
async fn requests_are_told_as_they_were_sent() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(1, "0s", json!({}))).await;
    let request = samovar.http.request(Method::PUT, "/b/some/where?a=1&b=%20");
    let told = samovar.http.send(request.header("x-own", "mine"), "head").await.expect(200).text();
    assert!(told.starts_with("PUT /some/where?a=1&b=%20\n"), "{told}");
    assert!(told.contains("x-own: mine\n"), "{told}");
}

#[tokio::test]
async fn previous_send_is_what_the_time_counts_from_if_asked_for() {
    let samovar = Samovar::start().await;
    let time = Duration::from_secs(3);
    samovar.deploy("oldest", BATCH, batches_of(8, "3s", json!({}))).await;
    let since = json!({"since": "previous-send"});
    samovar.deploy("lightning", BATCH, batches_of(8, "3s", since)).await;
    for name in ["oldest", "lightning"] {
        let path = format!("/{name}");
        let first = Instant::now();
        samovar.http.post(&path, "size").await.expect(200);
        assert!(first.elapsed() >= time, "nothing was sent before it");
        tokio::time::sleep(time).await; // This is the quiet spell.
        let waited = figure(&samovar, "samovar_batch_wait_seconds_sum", name).await;
        samovar.http.post(&path, "size").await.expect(200);
        let more = figure(&samovar, "samovar_batch_wait_seconds_sum", name).await - waited;
        let waits = more >= time.as_secs_f64();
        assert_eq!(waits, name == "oldest", "a request of {name} after a quiet spell: {more} s");
    }
}

#[tokio::test]
async fn without_the_table_batch_handlers_get_batches_of_one() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, with(fixed(2), json!({}))).await;
    for reply in post_all(&samovar.http, "/b", &["size"; 30]).await {
        assert_eq!(reply.expect(200).text(), "1");
    }
    samovar.http.post("/b", "err").await.host_error(500, "batch-item");
    samovar.http.post("/b", "trap").await.host_error(502, "guest-trap");
    samovar.http.post("/b", "few").await.host_error(502, "batch-answer");
    samovar.http.post("/b", "size").await.expect(200);
}

#[tokio::test]
async fn handlers_without_the_export_cannot_batch() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(BEHAVE)).await;
    let spec = batches_of(8, "10ms", json!({}));
    let error = samovar.put_spec("b", &digest, spec).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.batching", "{error}");
    crate::support::names(&error["message"], &["samovar:handler/batch"]);
    samovar.admin.get("/v1/deployments/b").await.refused(404, "not-found");
}

#[tokio::test]
async fn bounds_of_batches_are_checked() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(BATCH)).await;
    let cases = [
        (json!({"batching": {"max_batch_size": 0}}), "spec.batching.max_batch_size"),
        (json!({"batching": {"max_batch_size": 1025}}), "spec.batching.max_batch_size"),
        (
            json!({"batching": {"max_batch_size": 9}, "queue": {"max": 8}}),
            "spec.batching.max_batch_size",
        ),
        (json!({"batching": {"timeout_batching": "61s"}}), "spec.batching.timeout_batching"),
        (json!({"batching": {"shape": "lightning"}}), "spec.batching.shape"),
        (json!({"batching": {"path": "/batch"}}), "spec.batching.path"),
        (json!({"batching": {}, "reuse": "off"}), "spec.reuse"),
    ];
    for (spec, field) in cases {
        let error = samovar.put_spec("b", &digest, spec.clone()).await;
        let error = error.refused(422, "invalid-field");
        assert_eq!(error["field"], field, "{spec}: {error}");
    }
    let error = samovar.put_spec("b", &digest, json!({"batching": {}, "concurrency": 2})).await;
    assert_eq!(error.refused(422, "concurrency-unsupported")["field"], "spec.concurrency");
    let spec = json!({"batching": {"since": "yesterday"}});
    assert_eq!(samovar.put_spec("b", &digest, spec).await.status, 422);
}

#[tokio::test]
async fn policies_see_requests_and_not_batches() {
    let samovar = Samovar::start().await;
    let spec = json!({"scaling": {"interval": "50ms"}, "limits": {"request_timeout": "10m"}});
    samovar.deploy("b", BATCH, with(batches_of(3, FOR_EVER, json!({})), spec)).await;
    let _serving = at_once_bodies(&samovar.http, &["hang", "x", "x"]);
    wait_ongoing(&samovar, "b", 3).await;
    let _waiting = at_once_bodies(&samovar.http, &["x"; 5]);
    wait_queued(&samovar, "b", 5).await;
    let counts = |decision: &Value| (number(decision, "/ongoing"), number(decision, "/queued"));
    samovar.wait_decision("b", "with eight requests", |seen| counts(seen) == (3, 5)).await;
    let gauge = async |name| figure(&samovar, name, "b").await;
    assert_eq!(gauge("samovar_http_active_requests").await, 3.0);
    assert_eq!(gauge("samovar_pool_queue_depth").await, 5.0);
}

fn at_once_bodies(http: &Http, bodies: &[&str]) -> Vec<InFlight> {
    bodies.iter().map(|body| post(http, "/b", body)).collect()
}

#[tokio::test]
async fn redeploys_drains_and_holds_under_load_lose_nothing() {
    let samovar = Samovar::start().await;
    let spec = |number: u32| {
        let env = json!({"NUMBER": number.to_string()});
        with(batches_of(4 + number, "5ms", json!({})), json!({"replicas": 2, "env": env}))
    };
    samovar.deploy("b", BATCH, spec(0)).await;
    let load = Load::start(&samovar.http, "/b", 24);
    for number in 1..6 {
        load.serve_more(200).await;
        samovar.deploy("b", BATCH, spec(number)).await;
    }
    // To batches of one and back.
    samovar.deploy("b", BATCH, fixed(2)).await;
    load.serve_more(200).await;
    samovar.deploy("b", BATCH, spec(0)).await;
    load.serve_more(200).await;
    load.stop_without_failure().await;
    let status = samovar.wait_status("b", "two replicas", |status| ready(status) == 2).await;
    assert_eq!(number(&status, "/totals/failed"), 0, "{status}");
}

#[tokio::test]
async fn batches_and_single_requests_take_over_from_each_other_under_load() {
    let samovar = Samovar::start().await;
    let path = "/b/ok";
    let single = json!({"replicas": 2, "idle_ttl": "off"});
    samovar.deploy("b", BEHAVE, single.clone()).await;
    let load = Load::start(&samovar.http, path, 24);
    for _ in 0..3 {
        load.serve_more(100).await;
        samovar.deploy("b", BATCH, batches_of(8, "5ms", json!({}))).await;
        load.serve_more(100).await;
        samovar.deploy("b", BEHAVE, single.clone()).await;
    }
    load.stop_without_failure().await;
}

#[tokio::test]
async fn deleted_deployment_answers_those_that_wait() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(8, FOR_EVER, json!({}))).await;
    let waiting = at_once(&samovar.http, "/b", 3);
    wait_queued(&samovar, "b", 3).await;
    samovar.admin.delete("/v1/deployments/b").await.expect(204);
    for reply in waiting.answers().await {
        // They leave at once, and not when their time is over.
        assert_eq!(reply.expect(200).header("x-batch").map(|batch| &batch[1..]), Some("/3"));
    }
}

#[tokio::test]
async fn server_that_stops_answers_those_that_wait() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", BATCH, batches_of(8, FOR_EVER, json!({}))).await;
    let waiting = at_once(&samovar.http, "/b", 3);
    wait_queued(&samovar, "b", 3).await;
    samovar.stop().await;
    for reply in waiting.answers().await {
        assert_eq!(reply.expect(200).header("x-batch").map(|batch| &batch[1..]), Some("/3"));
    }
}
