//! The worker package of Vast.ai, unmodified: `tests/fixtures/vast/worker.py` runs it.

use std::process::{Child, Command, Stdio};

use http::Method;
use samovar_tests::native::processes;
use samovar_tests::paths::{fixture, vast_python};
use samovar_tests::status::{number, text};
use samovar_tests::workers::{Join, external};
use samovar_tests::{Http, Native, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{names, with};

/// How such workers are spoken to.
fn worker() -> Value {
    json!({"protocol": "vast", "envelope": true, "workload": {"pointer": "/max_tokens"}})
}

/// The spec of a deployment whose replicas are that worker, with `spec` on top.
fn spec(samovar: &Native, spec: Value) -> Value {
    let process = json!({"command": vast_python(), "args": [fixture("vast/worker.py")],
        "cwd": samovar.folder()});
    let base = json!({"process": process, "worker": worker(), "replicas": 1, "idle_ttl": "off"});
    with(base, spec)
}

/// Sends one request of `tokens` units after another until it is dropped.
struct Steady(JoinHandle<()>);

impl Steady {
    fn start(http: &Http, tokens: u32) -> Self {
        let http = http.clone();
        let body = json!({"max_tokens": tokens}).to_string();
        Self(tokio::spawn(async move {
            loop {
                http.post("/v/generate", body.clone()).await.expect(200);
            }
        }))
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A worker that the test starts, as an operator does on another machine.
struct ByHand(Child);

impl ByHand {
    fn start(samovar: &Native, join: &Join, port: u16) -> Self {
        let mut command = Command::new(vast_python());
        command.arg(fixture("vast/worker.py")).current_dir(samovar.folder());
        command.env("CONTAINER_ID", "4711").env("MASTER_TOKEN", &join.token);
        command.env("REPORT_ADDR", &join.report_addr).env("PUBLIC_IPADDR", "127.0.0.1");
        command.env("WORKER_PORT", port.to_string()).env("WORKER_HTTP_PORT", "0");
        command.env(format!("VAST_TCP_PORT_{port}"), port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("start the worker"))
    }

    fn kill(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    listener.local_addr().expect("it is bound").port()
}

#[tokio::test]
async fn package_registers_serves_signed_requests_and_reports() {
    let samovar = Native::start().await;
    // Acknowledged when the worker has reported that it is loaded.
    let status = samovar.deploy_spec("v", &spec(&samovar, json!({}))).await;
    assert_eq!(number(&status, "/replicas/ready"), 1);
    let replica = samovar.wait_ready("v", 1).await.remove(0);
    let perf = replica["max_perf"].as_f64();
    assert!(perf.is_some_and(|perf| perf > 1.0), "from its benchmark: {replica}");

    let payload = json!({"prompt": "Tea, \u{e9}\"", "max_tokens": 5});
    let reply = samovar.http.post("/v/generate", payload.to_string()).await.expect(200);
    assert_eq!(reply.json()["echo"], payload, "the client sends the bare payload");
    assert_eq!(reply.header("content-type"), Some("application/json"));

    // It checks signatures: what does not come through the server is refused.
    let direct = samovar_tests::native::direct(&replica);
    let auth = json!({"cost": "1", "endpoint": "v", "reqnum": 1, "request_idx": 1,
        "signature": "bm90IHNpZ25lZA==", "url": "http://127.0.0.1:1"});
    let forged = json!({"auth_data": auth, "payload": payload}).to_string();
    assert_eq!(direct.post("/generate", forged.clone()).await.status, 401);
    // An envelope that the client made goes as it is.
    assert_eq!(samovar.http.post("/v/generate", forged).await.status, 401);
    let reply = samovar.http.post("/v/generate", "[1]").await;
    names(&reply.json()["error"]["message"], &["JSON object"]);
    assert!((400..500).contains(&reply.status), "{}", reply.status);

    let load = Steady::start(&samovar.http, 7);
    samovar
        .wait_view("v", "the work that came", |all, _| {
            all.len() == 1 && all[0]["load"].as_f64() > Some(1.0)
        })
        .await;
    drop(load);
    let after = samovar.wait_ready("v", 1).await.remove(0);
    assert_eq!(after["pids"], replica["pids"]);
    assert_eq!(samovar.view("v").await["failures"], json!([]));
}

#[tokio::test]
async fn package_is_replaced_when_it_is_killed() {
    let samovar = Native::start().await;
    samovar.deploy_spec("v", &spec(&samovar, json!({}))).await;
    let before = samovar.wait_ready("v", 1).await.remove(0);
    processes(&before)[0].kill9();
    samovar
        .wait_view("v", "another replica", |all, _| {
            all.len() == 1 && all[0]["state"] == "ready" && all[0]["id"] != before["id"]
        })
        .await;
    let first = processes(&before);
    assert!(first.is_empty(), "{first:?} still runs");
    let reply = samovar.http.post("/v/generate", r#"{"max_tokens": 1}"#).await.expect(200);
    assert_eq!(reply.json()["echo"], json!({"max_tokens": 1}));
    samovar.wait_failure("v", &["was killed by SIGKILL"]).await;
}

#[tokio::test]
async fn vast_policy_scales_the_package_under_load() {
    let samovar = Native::start().await;
    // Slow enough to be a load for it: about 1600 units per second at most.
    let config = json!({"min_load": 0, "target_util": 1, "cold_mult": 1, "hysteresis": 0,
        "forecast_half_life": 1, "forecast_horizon": 0});
    let scaling = json!({"policy": "vast", "config": config, "interval": "250ms"});
    let more = json!({"replicas": "1..2", "scaledown_ttl": "100ms", "scaling": scaling});
    samovar.deploy_spec("v", &spec(&samovar, more)).await;
    let perf = samovar.wait_ready("v", 1).await[0]["max_perf"].as_f64().expect("a number");
    // Far more than one worker says that it can do.
    let load = Steady::start(&samovar.http, perf as u32);
    let ready = samovar.wait_ready("v", 2).await;
    assert!(ready.iter().all(|replica| replica["max_perf"].as_f64() > Some(1.0)), "{ready:?}");
    drop(load);
    let decision = samovar.wait_decision("v", "one replica", |last| last["target"] == 1).await;
    assert!(text(&decision, "/reason").contains("per worker"), "{decision}");
    samovar.wait_ready("v", 1).await;
}

#[tokio::test]
async fn package_that_is_started_by_hand_joins() {
    let samovar = Native::start().await;
    let spec = json!({"worker": worker(), "queue": {"timeout": "500ms"}});
    samovar.deploy_spec("v", &external(spec)).await;
    let join = Join::of(&samovar, "v").await;
    let port = free_port();
    let mut by_hand = ByHand::start(&samovar, &join, port);
    let replica = samovar.wait_ready("v", 1).await.remove(0);
    assert_eq!(replica["kind"], "external");
    assert!(text(&replica, "/address").ends_with(&format!("127.0.0.1:{port}")), "{replica}");
    let body = r#"{"max_tokens": 3}"#;
    let reply = samovar.http.post("/v/generate", body).await.expect(200).json();
    assert_eq!(reply["pid"], by_hand.0.id());
    assert_eq!(reply["echo"], json!({"max_tokens": 3}));

    by_hand.kill();
    let request = samovar.http.request(Method::POST, "/v/generate");
    let reply = samovar.http.send(request, body).await;
    assert!(matches!(reply.status, 502..=504), "{} {}", reply.status, reply.text());
    eventually("it is left out", async || {
        let all = samovar.replicas("v").await;
        all.iter().all(|one| one["kind"] != "external" || one["state"] == "starting").then_some(())
    })
    .await;
    let _again = ByHand::start(&samovar, &join, port);
    samovar
        .wait_view("v", "the worker again", |all, _| all.iter().any(|one| one["state"] == "ready"))
        .await;
    samovar.http.post("/v/generate", body).await.expect(200);
}
