//! How replicas come and go: idleness, scaling down, retirement, draining, new revisions.

use samovar_tests::load::at_once;
use samovar_tests::status::{all_replicas, number, ready};
use samovar_tests::{Load, Samovar, component, eventually};
use serde_json::json;

use crate::support::{BAD_POLICY, BEHAVE, fixed, with};

#[tokio::test]
async fn unused_pool_is_emptied_minimum_included_and_wakes_again() {
    let samovar = Samovar::start().await;
    let status =
        samovar.deploy("pool", BEHAVE, json!({"replicas": "2..3", "idle_ttl": "300ms"})).await;
    assert_eq!(number(&status, "/totals/replicas_started"), 2);
    samovar.wait_status("pool", "no replica", |status| all_replicas(status) == 0).await;
    samovar.http.get("/pool/ok").await.expect(200);
    samovar.wait_status("pool", "no replica again", |status| all_replicas(status) == 0).await;
}

#[tokio::test]
async fn busy_pool_is_not_idle() {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": "0..1", "idle_ttl": "100ms"});
    samovar.deploy("pool", BEHAVE, spec).await;
    // Several times idle_ttl, in one request.
    samovar.http.get("/pool/sleep?ms=600").await.expect(200);
    let status = samovar.status("pool").await;
    assert_eq!(number(&status, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn spare_replicas_go_after_scaledown_ttl() {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    let spec = json!({"replicas": "0..8", "idle_ttl": "off", "scaledown_ttl": "200ms",
        "scaling": {"policy": "steered", "config": {"scale": "replicas:4"}, "interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    samovar.wait_status("pool", "four replicas", |status| ready(status) == 4).await;
    samovar.swap("pool", "steered", json!({"scale": "replicas:1"})).await.expect(200);
    samovar.wait_status("pool", "one replica", |status| all_replicas(status) == 1).await;
    samovar.http.get("/pool/ok").await.expect(200);
    assert_eq!(number(&samovar.status("pool").await, "/totals/replicas_started"), 4);
}

#[tokio::test]
async fn spare_replicas_stay_until_scaledown_ttl() {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    let spec = json!({"replicas": "0..8", "idle_ttl": "off", "scaledown_ttl": "1h",
        "scaling": {"policy": "steered", "config": {"scale": "replicas:4"}, "interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    samovar.wait_status("pool", "four replicas", |status| ready(status) == 4).await;
    samovar.swap("pool", "steered", json!({"scale": "replicas:1"})).await.expect(200);
    eventually("ten decisions for one replica", async || {
        let decisions = samovar.decisions("pool").await;
        let for_one = decisions.iter().filter(|decision| decision["target"] == 1).count();
        (for_one >= 10).then_some(())
    })
    .await;
    let status = samovar.status("pool").await;
    assert_eq!((ready(&status), number(&status, "/target")), (4, 1));
}

#[tokio::test]
async fn replica_retires_after_max_requests() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, with(fixed(1), json!({"max_requests": 3}))).await;
    let mut counts = Vec::new();
    for _ in 0..9 {
        counts.push(samovar.http.get("/pool/count").await.expect(200).text().trim().to_owned());
    }
    assert_eq!(counts.iter().filter(|count| *count == "1").count(), 3, "{counts:?}");
    assert!(counts.iter().all(|count| ["1", "2", "3"].contains(&count.as_str())), "{counts:?}");
    samovar
        .wait_status("pool", "a fresh replica", |status| {
            ready(status) == 1 && number(status, "/totals/replicas_started") == 4
        })
        .await;
}

#[tokio::test]
async fn retirement_loses_no_request() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({"replicas": 2, "max_requests": 5})).await;
    let load = Load::start(&samovar.http, "/pool/ok", 8);
    load.serve_more(300).await;
    load.stop_without_failure().await;
    assert!(number(&samovar.status("pool").await, "/totals/replicas_started") >= 60);
}

#[tokio::test]
async fn replica_retires_at_max_age() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, with(fixed(1), json!({"max_age": "1s"}))).await;
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    samovar
        .wait_status("pool", "several generations", |status| {
            number(status, "/totals/replicas_started") >= 3
        })
        .await;
    load.stop_without_failure().await;
}

#[tokio::test]
async fn delete_drains() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({"replicas": 1})).await;
    let ongoing = at_once(&samovar.http, "/pool/sleep?ms=1000", 1);
    samovar.wait_status("pool", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.admin.delete("/v1/deployments/pool").await.expect(204);
    samovar.http.get("/pool/ok").await.host_error(404, "no-deployment");
    samovar.admin.get("/v1/deployments/pool").await.refused(404, "not-found");
    assert_eq!(ongoing.answers().await[0].status, 200);
}

#[tokio::test]
async fn drain_is_bounded() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({"replicas": 1, "drain_timeout": "200ms"})).await;
    let ongoing = at_once(&samovar.http, "/pool/sleep?ms=600000", 1);
    samovar.wait_status("pool", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.admin.delete("/v1/deployments/pool").await.expect(204);
    let cut = &ongoing.answers().await[0];
    assert!(matches!(cut.status, 502..=504), "{cut:?}");
}

#[tokio::test]
async fn redeploy_under_load_loses_no_request() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(component(BEHAVE)).await;
    let spec = |number: u32| json!({"replicas": "1..2", "env": {"NUMBER": number.to_string()}});
    samovar.put_spec("pool", &digest, spec(0)).await.expect(201);
    let load = Load::start(&samovar.http, "/pool/ok", 8);
    for number in 1..=10 {
        load.serve_more(20).await;
        samovar.put_spec("pool", &digest, spec(number)).await.expect(200);
        let seen = samovar.http.get("/pool/env").await.expect(200).text();
        assert!(seen.contains(&number.to_string()), "an old revision answered: {seen}");
    }
    load.serve_more(20).await;
    load.stop_without_failure().await;
    let status = samovar
        .wait_status("pool", "old ones gone", |s| number(s, "/replicas/draining") == 0)
        .await;
    assert_eq!(status["revision"], 11);
}

#[tokio::test]
async fn new_revision_that_cannot_start_leaves_the_old_one() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, fixed(1)).await;
    // Too little memory for any instance of it.
    let digest = samovar.upload(component(BEHAVE)).await;
    let spec = with(fixed(1), json!({"limits": {"memory": "1MiB"}}));
    samovar.put_spec("pool", &digest, spec).await.refused(422, "start-failed");
    samovar.http.get("/pool/ok").await.expect(200);
    assert_eq!(samovar.status("pool").await["revision"], 1);
}

#[tokio::test]
async fn slots_of_the_machine_bound_all_pools_together() {
    let samovar = Samovar::start_with(&["--slots", "2"], &[]).await;
    samovar.push_policy("greedy", BAD_POLICY).await;
    let spec = json!({"replicas": "0..8", "idle_ttl": "off",
        "scaling": {"policy": "greedy", "config": {"scale": "replicas:8"}, "interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    let limited = samovar
        .wait_decision("pool", "limited by slots", |decision| decision["limited_by"] == "slots")
        .await;
    assert_eq!(limited["target"], 2);
    samovar.wait_status("pool", "both slots used", |status| ready(status) == 2).await;
    samovar.http.get("/pool/ok").await.expect(200);
    assert_eq!(number(&samovar.status("pool").await, "/totals/replicas_started"), 2);
}
