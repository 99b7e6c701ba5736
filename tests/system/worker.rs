//! Processes that speak the worker protocol: ready by their own word, seen by policies, replaced.

use http::Method;
use samovar_tests::native::{direct, processes};
use samovar_tests::status::{number, text};
use samovar_tests::workers::{Join, reporting_process};
use samovar_tests::{Http, Native, Reply, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::with;

/// A policy that follows the load within seconds, and keeps no reserve.
fn vast(interval: &str) -> Value {
    let config = json!({"min_load": 0, "target_util": 1, "cold_mult": 1, "hysteresis": 0,
        "forecast_half_life": 1, "forecast_horizon": 0});
    json!({"policy": "vast", "config": config, "interval": interval})
}

/// One replica that reports, whatever happens.
fn one() -> Value {
    json!({"replicas": 1})
}

/// Sends one request after another until it is dropped.
struct Steady(JoinHandle<()>);

impl Steady {
    fn start(http: &Http, header: Option<&'static str>, body: &'static str) -> Self {
        let http = http.clone();
        Self(tokio::spawn(async move {
            loop {
                let mut request = http.request(Method::POST, "/w/work");
                if let Some(units) = header {
                    request = request.header("x-units", units);
                }
                http.send(request, body).await.expect(200);
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }))
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has the only replica of `w` report `fields`; the answer holds the status of the report.
async fn say(samovar: &Native, fields: Value) -> Reply {
    samovar.http.post("/w/say", fields.to_string()).await.expect(200)
}

/// Waits until the only replica of `w` is another process than `before`, and ready.
async fn replaced(samovar: &Native, before: &Value) -> Value {
    samovar
        .wait_view("w", "another replica", |replicas, _| {
            let [one] = replicas else { return false };
            one["state"] == "ready" && one["id"] != before["id"]
        })
        .await;
    let after = samovar.wait_ready("w", 1).await.remove(0);
    assert_ne!(after["pids"], before["pids"]);
    after
}

#[tokio::test]
async fn process_is_ready_when_it_says_so() {
    let samovar = Native::start().await;
    let file = samovar.folder().join("loaded");
    let env = json!({"WAIT_FOR": file});
    samovar.deploy_spec("w", &reporting_process(env, json!({"replicas": "0..1"}))).await;
    let http = samovar.http.clone();
    let waiting = tokio::spawn(async move { http.get("/w/pid").await });
    let loading = samovar
        .wait_view("w", "a loading replica", |replicas, _| {
            let [one] = replicas else { return false };
            one["state"] == "starting"
        })
        .await;
    assert!(text(&loading[0], "/message").contains("has not reported that it is loaded"));
    // It answers HTTP long since, as one that is loading may.
    samovar.wait_log("w", "stderr", "listening").await;
    let status = samovar.status("w").await;
    assert_eq!((number(&status, "/replicas/starting"), number(&status, "/queued")), (1, 1));
    assert!(!waiting.is_finished(), "it was served before it was loaded");

    std::fs::write(&file, "").expect("write the file");
    let served = waiting.await.expect("it is answered").expect(200).json();
    let ready = samovar.wait_ready("w", 1).await;
    assert_eq!(ready[0]["pids"], json!([served["pid"]]));
    assert_eq!((&ready[0]["kind"], &ready[0]["id"]), (&json!("process"), &loading[0]["id"]));
}

#[tokio::test]
async fn process_that_never_says_so_is_given_up_with_the_reason() {
    let samovar = Native::start().await;
    let env = json!({"WAIT_FOR": "/nowhere/at/all"});
    let spec = with(one(), json!({"limits": {"start_timeout": "1s"}}));
    let reply = samovar.put("w", &reporting_process(env, spec)).await;
    let error = reply.refused(422, "start-failed");
    assert!(text(&error, "/message").contains("report"), "{error}");
    samovar.wait_no_workers().await;
}

#[tokio::test]
async fn figures_of_a_worker_are_shown() {
    let samovar = Native::start().await;
    samovar.deploy_spec("w", &reporting_process(json!({"MAX_PERF": "37.5"}), one())).await;
    let ready = samovar.wait_ready("w", 1).await;
    assert_eq!(ready[0]["max_perf"], 37.5);
    let load = Steady::start(&samovar.http, None, "");
    samovar.wait_view("w", "a load", |replicas, _| replicas[0]["load"].as_f64() > Some(0.0)).await;
    drop(load);
    samovar.wait_view("w", "no load", |replicas, _| replicas[0]["load"] == 0.0).await;
    let shown = samovar.cli().ok(&["status", "w"]).await;
    assert!(shown.contains("0.0 of 37.5"), "{shown}");
}

#[tokio::test]
async fn policy_scales_by_units_in_a_header() {
    let samovar = Native::start().await;
    let worker = json!({"workload": {"header": "x-units"}});
    let spec = json!({"worker": worker, "replicas": "1..3", "scaledown_ttl": "100ms",
        "scaling": vast("250ms")});
    samovar.deploy_spec("w", &reporting_process(json!({"MAX_PERF": "70"}), spec)).await;

    // One unit each, as nonsense counts, is no load for a worker that does 70 per second.
    let light = Steady::start(&samovar.http, Some("1e400"), "");
    let last = samovar
        .wait_decision("w", "by the reported performance", |last| {
            let reason = text(last, "/reason");
            reason.contains("70.0 per worker")
                && number(last, "/ongoing") + 1 > 0
                && !reason.starts_with("load 0.0")
        })
        .await;
    assert_eq!(last["target"], 1, "{last}");
    drop(light);

    let heavy = Steady::start(&samovar.http, Some("100"), "");
    samovar.wait_ready("w", 3).await;
    drop(heavy);
    samovar.wait_ready("w", 1).await;
}

#[tokio::test]
async fn policy_scales_by_units_in_the_body() {
    let samovar = Native::start().await;
    let worker = json!({"workload": {"pointer": "/limits/tokens", "default": 0}});
    let spec = json!({"worker": worker, "replicas": "1..3", "scaledown_ttl": "100ms",
        "scaling": vast("250ms")});
    samovar.deploy_spec("w", &reporting_process(json!({"MAX_PERF": "70"}), spec)).await;

    let worthless = Steady::start(&samovar.http, None, r#"{"limits": {"tokens": "many"}}"#);
    eventually("some requests are served", async || {
        (number(&samovar.status("w").await, "/totals/completed") >= 10).then_some(())
    })
    .await;
    let decisions = samovar.decisions("w").await;
    assert!(decisions.iter().all(|decision| decision["target"] == 1), "{decisions:?}");
    drop(worthless);

    let heavy = Steady::start(&samovar.http, None, r#"{"limits": {"tokens": 100}}"#);
    samovar.wait_ready("w", 3).await;
    drop(heavy);
    samovar.wait_ready("w", 1).await;
}

#[tokio::test]
async fn body_that_was_looked_into_arrives_as_it_was() {
    let samovar = Native::start().await;
    let worker = json!({"workload": {"pointer": "/tokens"}});
    samovar
        .deploy_spec("w", &reporting_process(json!({}), with(one(), json!({"worker": worker}))))
        .await;
    for body in [r#" {"tokens": 5 , "x":"é"}"#, "no JSON", "", "{\"tokens\": 1e999}"] {
        let echo = samovar.http.post("/w/work", body).await.expect(200).json();
        assert_eq!(echo["echo"], body);
    }
    let large = format!("{{\"tokens\": 5, \"x\": \"{}\"}}", "y".repeat(3 << 20));
    let echo = samovar.http.post("/w/work", large.clone()).await.expect(200).json();
    assert!(echo["echo"] == large.as_str(), "a large body was changed");
}

#[tokio::test]
async fn error_report_replaces_the_process() {
    let samovar = Native::start().await;
    samovar.deploy_spec("w", &reporting_process(json!({}), one())).await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    let process = processes(&before)[0];
    // The report is answered, and the request that brought it may still be when its process ends.
    let said = json!({"error_msg": "CUDA error: device-side assert triggered"}).to_string();
    let reporter = direct(&before);
    let request = reporter.request(Method::POST, "/say");
    let request = request.body(samovar_tests::http::full(said)).expect("a valid request");
    let _ = reporter.try_send(request).await;
    samovar.wait_failure("w", &["device-side assert triggered"]).await;
    replaced(&samovar, &before).await;
    process.ended().await;
    let shown = samovar.cli().ok(&["status", "w"]).await;
    assert!(shown.contains("device-side assert triggered"), "{shown}");
    samovar.http.get("/w/pid").await.expect(200);
}

#[tokio::test]
async fn silent_worker_is_replaced() {
    let samovar = Native::start().await;
    let spec = with(one(), json!({"worker": {"timeout": "2s"}}));
    samovar.deploy_spec("w", &reporting_process(json!({}), spec)).await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    samovar.http.get("/w/silence").await.expect(200);
    samovar.wait_failure("w", &["silent"]).await;
    replaced(&samovar, &before).await;
    samovar.http.get("/w/pid").await.expect(200);
}

#[tokio::test]
async fn worker_that_reports_is_not_silent() {
    let samovar = Native::start().await;
    let spec = with(one(), json!({"worker": {"timeout": "5s"}}));
    samovar.deploy_spec("w", &reporting_process(json!({}), spec)).await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    samovar
        .wait_view("w", "an age above the time-out", |replicas, _| {
            number(&replicas[0], "/age_ms") > 7500
        })
        .await;
    let after = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(after["pids"], before["pids"]);
    assert_eq!(samovar.view("w").await["failures"], json!([]));
}

#[tokio::test]
async fn killed_worker_is_replaced_and_its_name_not_used_again() {
    let samovar = Native::start().await;
    samovar.deploy_spec("w", &reporting_process(json!({}), one())).await;
    let before = samovar.wait_ready("w", 1).await.remove(0);
    let first = samovar.http.get("/w/pid").await.expect(200).json();
    processes(&before)[0].kill9();
    replaced(&samovar, &before).await;
    let second = samovar.http.get("/w/pid").await.expect(200).json();
    assert_ne!(first["worker"], second["worker"]);
}

#[tokio::test]
async fn token_of_a_process_is_its_own() {
    let samovar = Native::start().await;
    samovar.deploy_spec("w", &reporting_process(json!({}), one())).await;
    let env = samovar.http.get("/w/env").await.expect(200).json();
    let (id, token) = (text(&env, "/CONTAINER_ID"), text(&env, "/MASTER_TOKEN"));
    assert!(id.parse::<u64>().is_ok(), "a number: {id}");
    let join = Join::of(&samovar, "w").await;
    assert_eq!(text(&env, "/REPORT_ADDR"), join.report_addr);
    assert_ne!(token, join.token);
    // Who may join may not speak for a process, and a process may not bring others in.
    let error = json!({"id": id, "mtoken": join.token, "error_msg": "forged"});
    join.report(&error).await.refused(401, "unauthorized");
    let stranger = json!({"id": "99", "mtoken": token, "loadtime": 1, "max_perf": 5, "port": 9});
    join.report(&stranger).await.refused(401, "unauthorized");
    assert_eq!(samovar.view("w").await["failures"], json!([]));
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
    say(&samovar, json!({"cur_load": 0.5, "num_requests_recieved": 100})).await;
}

#[tokio::test]
async fn process_on_its_own_word_or_on_its_health_as_the_spec_says() {
    let samovar = Native::start().await;
    let env = json!({"WAIT_FOR": "/nowhere/at/all"});
    let spec = with(one(), json!({"worker": {"reports_ready": false}}));
    samovar.deploy_spec("w", &reporting_process(env, spec)).await;
    let ready = samovar.wait_ready("w", 1).await;
    assert_eq!(ready[0]["max_perf"], Value::Null);
    samovar.http.get("/w/pid").await.expect(200);
}

#[tokio::test]
async fn workers_are_told_the_address_that_the_operator_names() {
    let url = "http://control.example:7000/samovar";
    let samovar = Native::start_with(&["--workers-url", url]).await;
    samovar.deploy_spec("w", &reporting_process(json!({}), json!({"replicas": "0..1"}))).await;
    let join = samovar.admin.get("/v1/deployments/w/join").await.expect(200).json();
    assert_eq!(text(&join, "/report_addr"), format!("{url}/workers/w"));
    let shown = samovar.cli().ok(&["join", "w"]).await;
    assert!(shown.contains(&format!("export REPORT_ADDR='{url}/workers/w'")), "{shown}");
}
