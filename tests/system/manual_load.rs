//! Replicas come and go by hand while requests are served, and no request is lost.

use http::Method;
use samovar_tests::native::Native;
use samovar_tests::status::{all_replicas, number, ready};
use samovar_tests::{Load, Samovar, eventually};
use serde_json::{Value, json};

use crate::batching::{BATCH, batches_of};
use crate::manual::{act, deploy, quiet, ready_ids};
use crate::support::{BEHAVE, BEHAVE_ASYNC, with};

/// How often something is done.
const STEPS: u32 = 40;
/// Requests that have to be served between two steps.
const BETWEEN: u64 = 20;

/// Does something to a replica of `m`, as `random` says. There are always some that serve.
async fn step(native: &Native, random: &mut fastrand::Rng) -> &'static str {
    let ids = ready_ids(native).await;
    let some = random.choice(&ids).copied();
    let path = |id: u64, below: &str| format!("/replicas/{id}{below}");
    // What was ready may leave meanwhile, and there may be no room: both are answers.
    let (did, reply) = match (random.u8(..5), some) {
        (0, _) => ("add", act(native, Method::POST, "/replicas", Value::Null).await),
        (1, Some(id)) if ids.len() > 1 => {
            ("remove", act(native, Method::DELETE, &path(id, ""), Value::Null).await)
        }
        (2 | 3, Some(id)) => {
            let path = path(id, "/restart");
            ("restart", act(native, Method::POST, &path, Value::Null).await)
        }
        _ => {
            let count = json!({"count": random.u32(1..=4)});
            ("hold", act(native, Method::PUT, "/replicas", count).await)
        }
    };
    assert!(matches!(reply.status, 200 | 404 | 409), "{did}: {} {}", reply.status, reply.text());
    did
}

/// Random steps under load.
async fn storm(kind: &str, spec: Value, path: &str, body: &str) {
    let seed = std::env::var("SAMOVAR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SAMOVAR_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let native = Native::start().await;
    deploy(&native, kind, with(quiet("1..4", 2), spec)).await;
    let load = Load::post(&native.http, path, body, 8);
    let mut done = Vec::new();
    for _ in 0..STEPS {
        load.serve_more(BETWEEN).await;
        done.push(step(&native, &mut random).await);
    }
    act(&native, Method::PUT, "/replicas", json!({"count": 2})).await.expect(200);
    let settled = |status: &Value| (ready(status), all_replicas(status)) == (2, 2);
    let status = native.wait_status("m", "two replicas", settled).await;
    load.serve_more(BETWEEN).await;
    load.stop_without_failure().await;
    assert_eq!(number(&status, "/totals/failed"), 0, "{done:?}: {status}");
    assert_eq!(number(&status, "/totals/replicas_failed"), 0, "{done:?}: {status}");
    if kind == "process" {
        eventually("two processes", async || (native.workers().len() == 2).then_some(())).await;
    }
}

#[tokio::test]
async fn handlers_of_wasi_02_lose_nothing() {
    storm(BEHAVE, json!({}), "/m/sleep?ms=5", "").await;
}

#[tokio::test]
async fn handlers_of_wasi_03_lose_nothing() {
    storm(BEHAVE_ASYNC, json!({"concurrency": 4}), "/m/sleep?ms=5", "").await;
}

#[tokio::test]
async fn batches_lose_nothing() {
    let batching = batches_of(4, "5ms", json!({}))["batching"].clone();
    storm(BATCH, json!({"batching": batching}), "/m", "sleep 5").await;
}

#[tokio::test]
async fn processes_lose_nothing() {
    storm("process", json!({"concurrency": 4}), "/m/sleep?ms=5", "").await;
}

#[tokio::test]
async fn batches_of_processes_lose_nothing() {
    let batching = json!({"max_batch_size": 4, "timeout_batching": "5ms", "path": "/batch"});
    storm("process", json!({"batching": batching}), "/m", "{\"do\": \"sleep\"}").await;
}

#[tokio::test]
async fn holds_and_redeployments_at_once_lose_nothing() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    let spec = |number: u32| with(quiet("1..4", 2), json!({"env": {"NUMBER": number.to_string()}}));
    samovar.deploy("m", BEHAVE, spec(0)).await;
    let load = Load::start(&native.http, "/m/sleep?ms=5", 8);
    for number in 1..8 {
        load.serve_more(BETWEEN).await;
        let count = json!({"count": 1 + number % 4});
        let set = act(samovar, Method::PUT, "/replicas", count);
        let (set, _) = tokio::join!(set, samovar.deploy("m", BEHAVE, spec(number)));
        set.expect(200);
    }
    load.serve_more(BETWEEN).await;
    load.stop_without_failure().await;
    let status = native.status("m").await;
    assert_eq!(number(&status, "/held"), 4, "{status}");
    native.wait_status("m", "four replicas", |status| ready(status) == 4).await;
}
