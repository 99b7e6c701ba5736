//! The warm pool: how many replicas there are, who serves, who waits, who is turned away.

use samovar_tests::Samovar;
use samovar_tests::load::at_once;
use samovar_tests::status::{all_replicas, number, ready};
use serde_json::json;

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

/// A request that outlasts every test; the server is killed with it.
const FOR_EVER: &str = "/pool/sleep?ms=600000";

#[tokio::test]
async fn first_request_wakes_the_pool() {
    let samovar = Samovar::start().await;
    let status = samovar.deploy("pool", BEHAVE, json!({"replicas": "0..1"})).await;
    assert_eq!(all_replicas(&status), 0);
    samovar.http.get("/pool/ok").await.expect(200);
    let status = samovar.status("pool").await;
    assert_eq!((ready(&status), number(&status, "/totals/replicas_started")), (1, 1));
}

#[tokio::test]
async fn fixed_pool_is_ready_when_the_deployment_is_acknowledged() {
    let samovar = Samovar::start().await;
    for (name, replicas) in [("number", json!(3)), ("range", json!("3..3"))] {
        let status = samovar.deploy(name, BEHAVE, json!({"replicas": replicas})).await;
        assert_eq!(ready(&status), 3, "{name}");
        assert_eq!(number(&status, "/target"), 3, "{name}");
    }
}

#[tokio::test]
async fn minimum_is_ready_when_the_deployment_is_acknowledged() {
    let samovar = Samovar::start().await;
    let status = samovar.deploy("pool", BEHAVE, json!({"replicas": {"min": 2, "max": 5}})).await;
    assert_eq!(ready(&status), 2);
}

#[tokio::test]
async fn initial_replicas_come_with_the_deployment_and_with_every_activation() {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": "0..4", "initial_replicas": 2, "idle_ttl": "300ms",
        "scaledown_ttl": "1h"});
    samovar.deploy("pool", BEHAVE, spec).await;
    let started = |wanted| move |status: &_| number(status, "/totals/replicas_started") == wanted;
    samovar.wait_status("pool", "two replicas", started(2)).await;
    samovar.wait_status("pool", "nobody left", |status| all_replicas(status) == 0).await;
    samovar.http.get("/pool/ok").await.expect(200);
    samovar.wait_status("pool", "two more replicas", started(4)).await;
}

#[tokio::test]
async fn thousand_first_requests_start_no_more_than_the_maximum() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({"replicas": "0..4"})).await;
    let requests = tokio::spawn(at_once(&samovar.http, "/pool/ok", 1000).answers());
    let mut most = 0;
    while !requests.is_finished() {
        most = most.max(all_replicas(&samovar.status("pool").await));
    }
    let replies = requests.await.expect("every request is answered");
    let bad: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(bad.is_empty(), "{} failed: {:?}", bad.len(), bad.first());
    let status = samovar.status("pool").await;
    assert!(most <= 4, "saw {most} replicas");
    assert!((1..=4).contains(&number(&status, "/totals/replicas_started")), "{status}");
    assert_eq!(number(&status, "/totals/arrived"), 1000);
    assert_eq!(number(&status, "/totals/completed"), 1000);
    assert_eq!(number(&status, "/totals/rejected"), 0);
}

#[tokio::test]
async fn full_queue_rejects() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(1), json!({"queue": {"max": 1, "timeout": "10m"}}));
    samovar.deploy("pool", BEHAVE, spec).await;
    let _serving = at_once(&samovar.http, FOR_EVER, 1);
    samovar.wait_status("pool", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    let _waiting = at_once(&samovar.http, FOR_EVER, 1);
    samovar.wait_status("pool", "one queued", |status| number(status, "/queued") == 1).await;
    let rejected = samovar.http.get("/pool/ok").await;
    rejected.host_error(503, "queue-full");
    let after = rejected.header("retry-after").expect("a Retry-After");
    assert!(after.parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{after}");
    assert_eq!(number(&samovar.status("pool").await, "/totals/rejected"), 1);
}

#[tokio::test]
async fn waiting_too_long_is_answered() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(1), json!({"queue": {"max": 10, "timeout": "200ms"}}));
    samovar.deploy("pool", BEHAVE, spec).await;
    let _serving = at_once(&samovar.http, FOR_EVER, 1);
    samovar.wait_status("pool", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.http.get("/pool/ok").await.host_error(504, "queue-timeout");
    let status = samovar.status("pool").await;
    assert_eq!((number(&status, "/queued"), number(&status, "/ongoing")), (0, 1));
    assert_eq!(number(&status, "/totals/timed_out"), 1);
}

#[tokio::test]
async fn waiting_requests_are_served_when_a_replica_is_free() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, fixed(1)).await;
    let replies = at_once(&samovar.http, "/pool/sleep?ms=20", 20).answers().await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let status = samovar.status("pool").await;
    assert_eq!(number(&status, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn client_that_gives_up_leaves_the_queue_and_the_replica() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE_ASYNC, with(fixed(1), json!({"concurrency": 1}))).await;
    let serving = at_once(&samovar.http, FOR_EVER, 1);
    samovar.wait_status("pool", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    let waiting = at_once(&samovar.http, FOR_EVER, 1);
    samovar.wait_status("pool", "one queued", |status| number(status, "/queued") == 1).await;
    drop(waiting);
    samovar.wait_status("pool", "nobody queued", |status| number(status, "/queued") == 0).await;
    drop(serving);
    samovar.wait_status("pool", "nobody served", |status| number(status, "/ongoing") == 0).await;
    samovar.http.get("/pool/ok").await.expect(200);
}

#[tokio::test]
async fn handler_of_wasi_03_serves_many_at_once_in_one_instance() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE_ASYNC, with(fixed(1), json!({"concurrency": 8}))).await;
    let _overlapping = at_once(&samovar.http, FOR_EVER, 8);
    samovar.wait_status("pool", "eight ongoing", |status| number(status, "/ongoing") == 8).await;
    let _one_more = at_once(&samovar.http, FOR_EVER, 1);
    let status =
        samovar.wait_status("pool", "one queued", |status| number(status, "/queued") == 1).await;
    assert_eq!(number(&status, "/ongoing"), 8);
    assert_eq!(number(&status, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn overlapping_requests_of_one_instance_all_get_their_own_answer() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE_ASYNC, with(fixed(1), json!({"concurrency": 16}))).await;
    let mut requests = Vec::new();
    for bytes in 1..=64 {
        let http = samovar.http.clone();
        requests.push(tokio::spawn(async move {
            let reply = http.get(&format!("/pool/big-body?bytes={bytes}")).await.expect(200);
            assert_eq!(reply.body.len(), bytes);
        }));
    }
    for request in requests {
        request.await.expect("every request got its own answer");
    }
}

#[tokio::test]
async fn handler_of_wasi_02_serves_one_at_a_time() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, fixed(1)).await;
    let _two = at_once(&samovar.http, FOR_EVER, 2);
    let status =
        samovar.wait_status("pool", "one queued", |status| number(status, "/queued") == 1).await;
    assert_eq!(number(&status, "/ongoing"), 1);
}

#[tokio::test]
async fn requests_are_spread_over_the_least_busy() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE_ASYNC, with(fixed(2), json!({"concurrency": 2}))).await;
    let _four = at_once(&samovar.http, FOR_EVER, 4);
    let status =
        samovar.wait_status("pool", "four ongoing", |status| number(status, "/ongoing") == 4).await;
    assert_eq!(number(&status, "/queued"), 0);
}
