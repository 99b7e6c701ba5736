//! The life of native process replicas: when they start, when they go, and what goes with them.

use std::time::Duration;

use samovar_tests::load::at_once;
use samovar_tests::native::{Process, direct, processes};
use samovar_tests::status::{all_replicas, list, number, ready, text};
use samovar_tests::{Load, Native, eventually};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, with};

/// The only process of the only replica.
async fn only(native: &Native, name: &str) -> Process {
    eventually(&format!("one process of {name}"), async || {
        let replicas = native.wait_ready(name, 1).await;
        processes(&replicas[0]).first().copied()
    })
    .await
}

/// The spec of a pool of up to four processes that does what the bad policy, pushed as `policy`, is
/// told.
fn steered(policy: &str, scale: &str) -> Value {
    with(crate::support::steered(policy, scale), json!({"replicas": "0..4", "initial_replicas": 0}))
}

#[tokio::test]
async fn requests_that_wait_wake_a_pool_of_processes() {
    let native = Native::start().await;
    let spec = json!({"replicas": "0..2", "env": {"BEHAVE": "load-slowly", "LOAD_S": "0.5"}});
    let status = native.deploy("m", spec).await;
    assert_eq!(all_replicas(&status), 0);
    assert!(native.workers().is_empty(), "nothing was asked for yet");
    let replies = at_once(&native.http, "/m", 40).answers().await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let started = number(&native.status("m").await, "/totals/replicas_started");
    assert!((1..=2).contains(&started), "{started} were started");
}

#[tokio::test]
async fn idle_processes_go_as_a_whole() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": "0..2", "idle_ttl": "300ms"})).await;
    for _ in 0..2 {
        native.http.get("/m").await.expect(200);
        native.wait_status("m", "no replica", |status| all_replicas(status) == 0).await;
        native.wait_no_workers().await;
    }
    assert_eq!(number(&native.status("m").await, "/totals/replicas_failed"), 0);
}

#[tokio::test]
async fn loading_is_not_idleness() {
    let native = Native::start().await;
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "1.5"});
    let spec = json!({"replicas": "1..2", "idle_ttl": "200ms", "max_age": "20s", "env": env});
    // The pool is warmed by the deployment, nobody asks for anything, and loading takes longer than
    // the idle TTL.
    let status = native.deploy("m", spec.clone()).await;
    assert_eq!(number(&status, "/totals/replicas_started"), 1);
    native.wait_status("m", "no replica", |status| all_replicas(status) == 0).await;
    // The client that woke the pool leaves, and it loads on.
    let asking = at_once(&native.http, "/m", 1);
    native.wait_status("m", "one starts", |status| all_replicas(status) == 1).await;
    drop(asking);
    let started = |status: &Value| number(status, "/totals/replicas_started") == 2;
    let status = native.wait_status("m", "it got ready", started).await;
    assert_eq!(number(&status, "/totals/replicas_failed"), 0);
}

#[tokio::test]
async fn requests_that_wait_for_loading_outlive_a_redeployment() {
    let native = Native::start().await;
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "2"});
    native.deploy("m", json!({"replicas": "0..1", "env": env})).await;
    let asking = at_once(&native.http, "/m", 5);
    let waiting = |status: &Value| number(status, "/queued") == 5;
    native.wait_status("m", "all wait", waiting).await;
    native.deploy("m", json!({"replicas": "0..1", "env": {"V": "2"}})).await;
    let replies = asking.answers().await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    native.http.get("/m").await.expect(200);
    // Without a request that waits, what the old revision loads is given up.
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "1000"});
    native.deploy("n", json!({"replicas": "0..1", "env": env})).await;
    let asking = at_once(&native.http, "/n", 1);
    native.wait_status("n", "one starts", |status| all_replicas(status) == 1).await;
    drop(asking);
    native.wait_status("n", "nobody waits", |status| number(status, "/queued") == 0).await;
    native.deploy("n", json!({"replicas": "0..1", "env": {"V": "2"}})).await;
    native.wait_status("n", "no replica", |status| all_replicas(status) == 0).await;
    native.http.get("/n").await.expect(200);
}

#[tokio::test]
async fn spare_processes_go_after_scaledown_ttl() {
    let native = Native::start_with(&["--slots", "6"]).await;
    native.push_policy("steered", BAD_POLICY).await;
    native
        .deploy("m", with(steered("steered", "replicas:3"), json!({"initial_replicas": 1})))
        .await;
    native.wait_ready("m", 3).await;
    assert_eq!(native.workers().len(), 3);
    native.swap("m", "steered", json!({"scale": "replicas:1"})).await.expect(200);
    native.wait_ready("m", 1).await;
    eventually("one process is left", async || (native.workers().len() == 1).then_some(())).await;
    eventually("the places are free again", async || {
        (number(&native.machine().await, "/slots_free") == 5).then_some(())
    })
    .await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn redeploy_of_processes_under_load_loses_no_request() {
    let native = Native::start().await;
    let spec = |number: u32| json!({"replicas": "1..2", "env": {"NUMBER": number.to_string()}});
    native.deploy("m", spec(0)).await;
    let load = Load::start(&native.http, "/m", 6);
    for number in 1..=4 {
        load.serve_more(20).await;
        native.deploy("m", spec(number)).await;
        let seen = native.http.get("/m/env").await.expect(200).json();
        assert_eq!(text(&seen, "/NUMBER"), number.to_string(), "an old revision answered");
    }
    load.serve_more(20).await;
    load.stop_without_failure().await;
    native
        .wait_view("m", "only the last revision", |replicas, _| {
            replicas.iter().all(|replica| replica["revision"] == 5)
        })
        .await;
    eventually("the old processes are gone", async || (native.workers().len() <= 2).then_some(()))
        .await;
}

#[tokio::test]
async fn policy_swap_under_load_loses_no_request_and_no_process() {
    let native = Native::start().await;
    native.push_policy("steered", BAD_POLICY).await;
    native.deploy("m", json!({"replicas": 2})).await;
    let before = native.workers();
    let load = Load::start(&native.http, "/m", 4);
    for (policy, config) in
        [("steered", json!({"scale": "hold"})), ("lightning", json!({})), ("vast", json!({}))]
    {
        load.serve_more(20).await;
        native.swap("m", policy, config).await.expect(200);
    }
    load.serve_more(20).await;
    load.stop_without_failure().await;
    assert_eq!(native.workers(), before);
}

#[tokio::test]
async fn process_retires_after_max_requests() {
    let native = Native::start().await;
    native.deploy("m", json!({"max_requests": 3})).await;
    let mut pids = Vec::new();
    for _ in 0..9 {
        pids.push(number(&native.http.get("/m/pid").await.expect(200).json(), "/pid"));
    }
    pids.dedup();
    assert_eq!(pids.len(), 3, "{pids:?}");
    only(&native, "m").await;
    eventually("the spent ones are gone", async || (native.workers().len() == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn process_retires_at_max_age() {
    let native = Native::start().await;
    native.deploy("m", json!({"max_age": "2s"})).await;
    let load = Load::start(&native.http, "/m", 2);
    let generations = |status: &Value| number(status, "/totals/replicas_started") >= 3;
    native.wait_status("m", "several generations", generations).await;
    load.stop_without_failure().await;
    assert_eq!(number(&native.status("m").await, "/totals/replicas_failed"), 0);
}

#[tokio::test]
async fn running_request_is_finished_before_its_process_is_told_to_end() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let replica = native.wait_ready("m", 1).await.remove(0);
    let old = processes(&replica)[0];
    let running = at_once(&native.http, "/m/wait?gate=a", 1);
    native.wait_status("m", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    native.deploy("m", json!({"env": {"NUMBER": "2"}})).await;
    let draining = |replicas: &[Value], _: &[Value]| {
        replicas.iter().any(|replica| replica["revision"] == 1 && replica["state"] == "draining")
    };
    native.wait_view("m", "the old one drains", draining).await;
    assert_ne!(number(&native.http.get("/m/pid").await.expect(200).json(), "/pid"), old.pid as u64);
    assert!(old.is_alive(), "it has a request to finish");
    direct(&replica).get("/open?gate=a").await.expect(200);
    running.answers().await.remove(0).expect(200);
    old.ended().await;
    let line = native.wait_log("m", "stdout", "told to end").await;
    assert_eq!(line["replica"], replica["id"], "{line}");
    assert_eq!(native.workers().len(), 1);
}

#[tokio::test]
async fn drain_of_processes_is_bounded() {
    let native = Native::start().await;
    native.deploy("m", json!({"drain_timeout": "200ms"})).await;
    let process = only(&native, "m").await;
    let running = at_once(&native.http, "/m/wait?gate=never", 1);
    native.wait_status("m", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    native.delete("m").await;
    let cut = running.answers().await.remove(0);
    assert!(matches!(cut.status, 502..=504) && cut.header("samovar-error").is_some(), "{cut:?}");
    process.ended().await;
}

#[tokio::test]
async fn deletion_ends_the_processes() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": 3})).await;
    native.deploy("other", json!({})).await;
    let kept = only(&native, "other").await;
    native.delete("m").await;
    native.http.get("/m").await.host_error(404, "no-deployment");
    eventually("only the other one is left", async || (native.workers() == [kept]).then_some(()))
        .await;
    native.http.get("/other").await.expect(200);
}

#[tokio::test]
async fn deletion_gives_up_what_loads() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": "0..1", "env": {"BEHAVE": "never-ready"}})).await;
    let waiting = at_once(&native.http, "/m", 1);
    let loading = |replicas: &[Value], _: &[Value]| {
        replicas.iter().any(|replica| {
            let message = replica["message"].as_str().unwrap_or_default();
            replica["state"] == "starting" && message.contains("/health")
        })
    };
    native.wait_view("m", "a replica that says what it waits for", loading).await;
    eventually("it runs", async || (native.workers().len() == 1).then_some(())).await;
    drop(waiting);
    native.delete("m").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn server_that_stops_ends_its_processes() {
    let mut native = Native::start().await;
    let (tag, server) = (native.tag().to_owned(), native.server_pid());
    native.deploy("m", json!({"replicas": 2})).await;
    let running = at_once(&native.http, "/m/sleep?ms=500", 1);
    native.wait_status("m", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    native.terminate();
    running.answers().await.remove(0).expect(200);
    native.ended(0).await;
    // When the server is gone, they are gone: no waiting here.
    assert_eq!(samovar_tests::native::workers(&tag, server), []);
    eventually("the keeper ends", async || {
        samovar_tests::native::descendants(&tag, server).is_empty().then_some(())
    })
    .await;
    native.start_again().await;
    native.http.get("/m").await.expect(200);
    assert_eq!(native.replicas("m").await.len(), 2);
}

#[tokio::test]
async fn restart_brings_the_deployment_back_with_new_processes() {
    let mut native = Native::start_with(&["--devices", "1"]).await;
    let spec = json!({"replicas": 2, "process": {"gpus": 0.5, "listen": "socket"}});
    let before = native.deploy("m", spec).await;
    let old: Vec<Process> = native.workers();
    assert_eq!(old.len(), 2);
    native.restart().await;
    for process in old {
        process.ended().await;
    }
    let replicas = native.wait_ready("m", 2).await;
    let new: Vec<Process> = replicas.iter().flat_map(processes).collect();
    assert_eq!(new.len(), 2);
    native.http.get("/m").await.expect(200);
    let after = native.status("m").await;
    assert_eq!((&after["spec"], &after["revision"]), (&before["spec"], &before["revision"]));
    assert_eq!(native.leased().await, [1.0]);
    eventually("only the new ones run", async || (native.workers().len() == 2).then_some(())).await;
}

#[tokio::test]
async fn component_can_become_a_process_and_the_other_way_round() {
    let native = Native::start().await;
    let wasm: &samovar_tests::Samovar = &native;
    wasm.deploy("m", crate::support::BEHAVE, json!({"replicas": 1})).await;
    // A path that both answer.
    let load = Load::start(&native.http, "/m/ok", 3);
    load.serve_more(20).await;
    native.deploy("m", json!({})).await;
    load.serve_more(20).await;
    assert_eq!(native.status("m").await["kind"], "process");
    wasm.deploy("m", crate::support::BEHAVE, json!({"replicas": 1})).await;
    load.serve_more(20).await;
    load.stop_without_failure().await;
    assert_eq!(native.status("m").await["kind"], "wasm");
    native.wait_no_workers().await;
    assert!(list(&native.view("m").await, "/replicas").iter().all(|r| r["kind"] == "wasm"));
}

#[tokio::test]
async fn process_that_starts_slowly_is_waited_for() {
    let native = Native::start().await;
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "2"});
    // Much longer than any default for components, much less than the start time-out.
    let status = native.deploy("m", json!({"env": env, "replicas": 2})).await;
    assert_eq!(ready(&status), 2);
    assert_eq!(number(&status, "/totals/replicas_failed"), 0);
    let started = Duration::from_millis(number(&native.replicas("m").await[0], "/age_ms"));
    assert!(started >= Duration::from_secs(2), "{started:?}");
}
