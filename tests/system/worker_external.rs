//! Workers that somebody else started: they join, serve, leave, fall silent, and come back.

use samovar_tests::load::at_once;
use samovar_tests::native::processes;
use samovar_tests::status::{list, number, ready, text};
use samovar_tests::workers::{Join, Worker, external, reporting_process};
use samovar_tests::{Load, Native, eventually};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, names};

/// How many of `count` requests each worker answered, by its name.
async fn shares(samovar: &Native, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let reply = samovar.http.get("/w/x").await.expect(200).json();
        names.push(text(&reply, "/worker").to_owned());
    }
    names
}

/// A scaling that wants `count` replicas, and asks often.
async fn always(samovar: &Native, count: u32) -> Value {
    samovar.push_policy("steered", BAD_POLICY).await;
    let config = json!({"scale": format!("replicas:{count}")});
    json!({"policy": "steered", "config": config, "interval": "50ms"})
}

#[tokio::test]
async fn worker_joins_a_deployment_that_has_only_workers() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let status = samovar.status("w").await;
    assert_eq!((&status["kind"], &status["component"]), (&json!("external"), &Value::Null));
    let shown = samovar.cli().ok(&["join", "w"]).await;
    let expected = format!(
        "export REPORT_ADDR='{}'\nexport MASTER_TOKEN='{}'\n",
        join.report_addr, join.token
    );
    assert_eq!(shown, expected);

    let worker = Worker::start(&join, "7").await;
    worker.report_loading().await.expect(200);
    assert_eq!(samovar.view("w").await["replicas"], json!([]), "it loads");
    worker.report(json!({})).await.expect(200);
    let replica = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!((&replica["kind"], &replica["max_perf"]), (&json!("external"), &json!(100.0)));
    assert!(text(&replica, "/address").contains(worker.url().trim_start_matches("http://")));
    assert_eq!(replica.get("pids"), None);

    let reply = samovar.http.post("/w/x?y", "hello").await.expect(200).json();
    assert_eq!(reply, json!({"worker": "7", "echo": "hello", "path": "/x"}));
    let shown = samovar.cli().ok(&["status", "w"]).await;
    assert!(shown.contains("external"), "{shown}");
    samovar.wait_log("w", "system", "worker 7: joined from").await;
}

#[tokio::test]
async fn worker_joins_beside_processes() {
    let samovar = Native::start().await;
    let spec = json!({"replicas": "1..2", "concurrency": 1});
    samovar.deploy_spec("w", &reporting_process(json!({}), spec)).await;
    let process = samovar.wait_ready("w", 1).await.remove(0);
    let join = Join::of(&samovar, "w").await;
    let worker = Worker::loaded(&join, "7").await;
    let both = samovar.wait_ready("w", 2).await;
    let mut kinds: Vec<&str> = both.iter().map(|replica| text(replica, "/kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["external", "process"]);
    // One at a time each: while the worker holds one, the process serves.
    let load = Load::start(&samovar.http, "/w/pid", 2);
    eventually("the worker serves, too", async || (worker.served() > 0).then_some(())).await;
    load.serve_more(20).await;
    let served = load.stop_without_failure().await;
    assert!(worker.served() < served, "the process served nothing");
    let still = samovar.wait_ready("w", 2).await;
    assert!(still.iter().any(|replica| replica["pids"] == process["pids"]), "{still:?}");
}

#[tokio::test]
async fn request_waits_for_a_worker_to_join() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let waiting = at_once(&samovar.http, "/w/x", 1);
    let status = samovar
        .wait_status("w", "one queued and a reason", |status| {
            number(status, "/queued") == 1 && status["no_room"].is_string()
        })
        .await;
    names(&status["no_room"], &["no worker has joined"]);
    let _worker = Worker::loaded(&join, "7").await;
    assert_eq!(waiting.answers().await[0].status, 200);
    let spec = json!({"queue": {"timeout": "200ms"}});
    samovar.deploy_external("none", spec).await;
    samovar.http.get("/none/x").await.host_error(504, "queue-timeout");
}

#[tokio::test]
async fn worker_that_leaves_finishes_its_requests() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({"queue": {"timeout": "200ms"}})).await;
    let mut worker = Worker::loaded(&join, "7").await;
    samovar.wait_ready("w", 1).await;
    let held = at_once(&samovar.http, "/w/hold", 3);
    samovar.wait_status("w", "three ongoing", |status| number(status, "/ongoing") == 3).await;
    worker.leave().await.expect(200);
    let draining = samovar
        .wait_view("w", "a draining replica", |all, _| {
            all.len() == 1 && all[0]["state"] == "draining"
        })
        .await;
    assert_eq!(draining[0]["ongoing"], 3);
    samovar.http.get("/w/x").await.host_error(504, "queue-timeout");
    worker.let_go();
    for reply in held.answers().await {
        assert_eq!(reply.expect(200).json()["worker"], "7");
    }
    samovar.wait_view("w", "no replica", |all, _| all.is_empty()).await;
    assert_eq!(samovar.view("w").await["failures"], json!([]), "to leave is no failure");
    worker.leave().await.expect(200);
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
}

#[tokio::test]
async fn silent_worker_is_left_out() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({"worker": {"timeout": "5s"}})).await;
    let steady = Worker::loaded(&join, "1").await;
    let mut silent = Worker::loaded(&join, "2").await;
    samovar.wait_ready("w", 2).await;
    silent.silence();
    let left = samovar.wait_ready("w", 1).await.remove(0);
    assert!(text(&left, "/address").contains(steady.url().trim_start_matches("http://")));
    samovar.wait_log("w", "system", "worker 2: is silent for too long").await;
    assert!(shares(&samovar, 6).await.iter().all(|name| name == "1"));
    silent.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 2).await;
}

#[tokio::test]
async fn silence_does_not_cut_requests() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({"worker": {"timeout": "1s"}})).await;
    let mut worker = Worker::loaded(&join, "7").await;
    samovar.wait_ready("w", 1).await;
    let held = at_once(&samovar.http, "/w/hold", 1);
    samovar.wait_status("w", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    worker.silence();
    samovar.wait_view("w", "a draining replica", |all, _| all[0]["state"] == "draining").await;
    worker.let_go();
    assert_eq!(held.answers().await[0].status, 200);
    samovar.wait_view("w", "no replica", |all, _| all.is_empty()).await;
}

#[tokio::test]
async fn restarted_worker_is_out_until_it_has_loaded() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({"num_requests_recieved": 40})).await.expect(200);
    let before = samovar.wait_ready("w", 1).await.remove(0);
    worker.report_loading().await.expect(200);
    samovar.wait_view("w", "no replica", |all, _| all.is_empty()).await;
    worker.report(json!({"loadtime": 5.5, "max_perf": 90.0})).await.expect(200);
    let after = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(after["max_perf"], 90.0);
    assert_ne!(after["id"], before["id"]);
    samovar.wait_log("w", "system", "worker 7: restarted and loads again").await;
    assert_eq!(samovar.view("w").await["failures"], json!([]));
}

#[tokio::test]
async fn name_and_address_belong_to_one_worker_each() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::loaded(&join, "7").await;
    let other = Worker::start(&join, "8").await;
    let replica = samovar.wait_ready("w", 1).await.remove(0);
    let elsewhere = worker.report(json!({"url": other.url()})).await;
    names(&elsewhere.refused(409, "name-taken")["message"], &["7", "alive"]);
    let same_place = other.report(json!({"url": worker.url()})).await;
    names(&same_place.refused(409, "name-taken")["message"], &["worker 7"]);
    for url in ["nonsense", "ftp://127.0.0.1:9", "http://", "http://127.0.0.1:0", "http://[::"] {
        let error = other.report(json!({"url": url})).await.refused(422, "invalid-field");
        names(&error["message"], &["url"]);
    }
    let after = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!((&after["id"], &after["address"]), (&replica["id"], &replica["address"]));
    assert_eq!(shares(&samovar, 3).await, ["7", "7", "7"]);
}

#[tokio::test]
async fn worker_waits_outside_until_there_is_room() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({"replicas": "0..1"})).await;
    let mut first = Worker::loaded(&join, "1").await;
    samovar.wait_ready("w", 1).await;
    let second = Worker::loaded(&join, "2").await;
    samovar.wait_log("w", "system", "worker 2: is loaded").await;
    assert_eq!(shares(&samovar, 4).await, ["1"; 4]);
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
    first.leave().await.expect(200);
    eventually("the second worker serves", async || {
        let reply = samovar.http.get("/w/x").await.expect(200).json();
        (reply["worker"] == "2").then_some(())
    })
    .await;
    assert!(second.served() > 0);
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
}

#[tokio::test]
async fn worker_goes_over_to_the_new_revision() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({"concurrency": 4})).await;
    let worker = Worker::loaded(&join, "7").await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    let load = Load::start(&samovar.http, "/w/x", 4);
    for revision in 2..=4_u64 {
        load.serve_more(20).await;
        let spec = external(json!({"concurrency": 4 + revision}));
        let status = samovar.deploy_spec("w", &spec).await;
        assert_eq!(number(&status, "/revision"), revision);
        let after = samovar
            .wait_view("w", "the worker in the new revision", |all, _| {
                all.len() == 1 && all[0]["revision"] == revision && all[0]["state"] == "ready"
            })
            .await;
        assert_eq!(after[0]["address"], before["address"]);
    }
    load.serve_more(20).await;
    load.stop_without_failure().await;
    assert!(worker.served() > 0);
    assert_eq!(Join::of(&samovar, "w").await.token, join.token);
}

#[tokio::test]
async fn deployment_that_takes_no_workers_any_more_has_none() {
    let samovar = Native::start().await;
    let spec = json!({"replicas": "1..3"});
    let with_workers = reporting_process(json!({}), spec);
    samovar.deploy_spec("w", &with_workers).await;
    let join = Join::of(&samovar, "w").await;
    let worker = Worker::loaded(&join, "7").await;
    samovar.wait_ready("w", 2).await;
    let mut without = with_workers.clone();
    without.as_object_mut().expect("a spec").remove("worker");
    without["process"]["args"] = json!(["-S", samovar_tests::native::server()]);
    samovar.deploy_spec("w", &without).await;
    let left = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(left["kind"], "process");
    worker.report(json!({})).await.refused(404, "not-found");
    samovar.admin.get("/v1/deployments/w/join").await.refused(404, "not-found");
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
}

#[tokio::test]
async fn worker_is_not_scaled_down() {
    let samovar = Native::start().await;
    let scaling = always(&samovar, 0).await;
    let spec = json!({"scaling": scaling, "scaledown_ttl": "1ms", "max_requests": 2,
        "max_age": "1s"});
    let join = samovar.deploy_external("w", spec).await;
    let _worker = Worker::loaded(&join, "7").await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(shares(&samovar, 5).await, ["7"; 5]);
    eventually("many decisions for none", async || {
        let decisions = samovar.decisions("w").await;
        (decisions.iter().filter(|one| one["target"] == 0).count() >= 20).then_some(())
    })
    .await;
    samovar.wait_view("w", "an old replica", |all, _| number(&all[0], "/age_ms") > 2000).await;
    let after = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(after["id"], before["id"]);
}

#[tokio::test]
async fn idle_pool_ends_its_processes_and_keeps_its_workers() {
    let samovar = Native::start().await;
    let spec = json!({"replicas": "0..2", "initial_replicas": 1, "idle_ttl": "1s"});
    samovar.deploy_spec("w", &reporting_process(json!({}), spec)).await;
    let process = processes(&samovar.wait_ready("w", 1).await[0])[0];
    let join = Join::of(&samovar, "w").await;
    let _worker = Worker::loaded(&join, "7").await;
    process.ended().await;
    let left = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(left["kind"], "external");
    samovar
        .wait_view("w", "idleness", |all, _| all.iter().all(|one| number(one, "/age_ms") > 3000))
        .await;
    assert_eq!(shares(&samovar, 3).await, ["7"; 3]);
    assert_eq!(number(&samovar.status("w").await, "/totals/replicas_started"), 1 + 1);
}

#[tokio::test]
async fn crashed_worker_costs_its_requests_and_is_left_out() {
    let samovar = Native::start().await;
    let spec = json!({"worker": {"timeout": "5s"}});
    let join = samovar.deploy_external("w", spec).await;
    let mut worker = Worker::loaded(&join, "1").await;
    samovar.wait_ready("w", 1).await;
    let held = at_once(&samovar.http, "/w/hold", 2);
    samovar.wait_status("w", "two ongoing", |status| number(status, "/ongoing") == 2).await;
    worker.crash();
    for reply in held.answers().await {
        reply.host_error(502, "replica-failed");
    }
    // Nothing was sent to it, so others can serve what comes now.
    let _other = Worker::loaded(&join, "2").await;
    samovar.wait_log("w", "system", "worker 2: is loaded").await;
    assert_eq!(shares(&samovar, 10).await, ["2"; 10]);
    let left = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(left["kind"], "external");
    assert_eq!(shares(&samovar, 5).await, ["2"; 5]);
    samovar.wait_log("w", "system", "worker 1: is silent for too long").await;
}

#[tokio::test]
async fn worker_that_reports_an_error_is_left_out_with_its_words() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let _good = Worker::loaded(&join, "1").await;
    let bad = Worker::start(&join, "2").await;
    bad.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 2).await;
    bad.report(json!({"error_msg": "out of memory\u{7}"})).await.expect(200);
    samovar.wait_failure("w", &["out of memory"]).await;
    samovar.wait_ready("w", 1).await;
    assert_eq!(shares(&samovar, 6).await, ["1"; 6]);
    let failures = samovar.view("w").await["failures"].clone();
    assert_eq!(list(&failures, "").len(), 1, "{failures}");
    // A new process of that name is a new chance.
    bad.report_loading().await.expect(200);
    bad.report(json!({"loadtime": 9.75})).await.expect(200);
    samovar.wait_ready("w", 2).await;
}

#[tokio::test]
async fn workers_come_back_after_a_restart_of_the_server() {
    let mut samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    samovar.restart().await;
    // Its port is another one now, its token is not.
    let again = Join::of(&samovar, "w").await;
    assert_eq!(again.token, join.token);
    again.report(&worker.message(json!({}))).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let status = samovar.status("w").await;
    assert_eq!(ready(&status), 1);
    assert_eq!(shares(&samovar, 2).await, ["7"; 2]);
}

#[tokio::test]
async fn worker_may_say_a_name_for_its_address() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    let url = worker.url().replace("127.0.0.1", "localhost");
    worker.report(json!({"url": url})).await.expect(200);
    let replica = samovar.wait_ready("w", 1).await.remove(0);
    names(&replica["address"], &["localhost"]);
    assert_eq!(shares(&samovar, 3).await, ["7"; 3]);
}

#[tokio::test]
async fn deleted_deployment_has_no_workers_and_a_new_one_takes_them_in() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let held = at_once(&samovar.http, "/w/hold", 1);
    samovar.wait_status("w", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.delete("w").await;
    worker.let_go();
    assert_eq!(held.answers().await[0].status, 200);
    eventually("its reports are refused", async || {
        let reply = worker.report(json!({})).await;
        (reply.status == 404).then_some(())
    })
    .await;
    let again = samovar.deploy_external("w", json!({})).await;
    assert_eq!(again.token, join.token, "workers need not be told anew");
    assert_eq!(samovar.view("w").await["replicas"], json!([]));
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    assert_eq!(shares(&samovar, 2).await, ["7"; 2]);
}
