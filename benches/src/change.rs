//! Changes while requests run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use samovar_tests::{Reply, Samovar, component, unique};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    loadgen::{Load, Report, Running},
    numbers::milliseconds,
};

/// Of two swaps, a promotion and a rollback each.
const ROUNDS: u64 = 50;
const REDEPLOYS: u64 = 10;
const CONNECTIONS: usize = 32;
/// Between two changes at least this many requests are answered.
const REQUESTS_BETWEEN: u64 = 200;
/// A server that answers nothing for so long is broken.
const STALL_MAX: Duration = Duration::from_secs(30);

/// How long each kind of change took, in microseconds.
#[derive(Default)]
struct Took {
    swap: Vec<u32>,
    promote: Vec<u32>,
    rollback: Vec<u32>,
    redeploy: Vec<u32>,
}

/// Full load with policy swaps, promotions, rollbacks and redeploys: no request may fail.
pub async fn swaps() -> Result<Bars> {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": {"min": 2, "max": 8}, "scaling": {"interval": "100ms"}});
    samovar.deploy("hello", "hello", spec.clone()).await;
    samovar.push_policy("queue-depth", "queue-depth").await;
    let address = samovar.http.address();
    let load = Load::get(address, "/hello", CONNECTIONS).start();
    let mut took = Took::default();
    for round in 0..ROUNDS {
        took.swap.push(changed(&load, samovar.swap("hello", "queue-depth", config())).await?);
        took.swap.push(changed(&load, samovar.swap("hello", "lightning", json!({}))).await?);
        let shadow = json!({"policy": "queue-depth", "config": config()});
        changed(&load, samovar.admin.put_json(&path("shadow"), &shadow)).await?;
        took.promote.push(changed(&load, samovar.admin.post(&path("promote"), "")).await?);
        took.rollback.push(changed(&load, samovar.admin.post(&path("rollback"), "")).await?);
        if round % (ROUNDS / REDEPLOYS) == 0 {
            serve_some(&load).await?;
            let started = now();
            samovar.deploy_wasm("hello", unique(&component("hello"), round), spec.clone()).await;
            took.redeploy.push(micros(started));
        }
    }
    serve_some(&load).await?;
    let report = load.finish().await;
    samovar.stop().await;
    print(took, &report);
    let mut bars = Bars::default();
    bars.at_most("requests that failed while things changed", report.failed as f64, 0.0, "");
    Ok(bars)
}

fn print(took: Took, report: &Report) {
    let changes = [
        ("a swap", took.swap),
        ("a promotion", took.promote),
        ("a rollback", took.rollback),
        ("a redeploy, with upload and compilation", took.redeploy),
    ];
    println!(
        "under load of {CONNECTIONS} connections: {} answered ({:.0}/s), {} failed",
        report.answered,
        report.per_second(),
        report.failed
    );
    for (what, took) in changes {
        println!("    {what}, {} times: {}", took.len(), milliseconds(took));
    }
    println!("    a request: {}", milliseconds(report.latencies_us.clone()));
    if let Some(first) = &report.first_failure {
        println!("    the first failure: {first}");
    }
}

/// Settings of the policy that is swapped in.
fn config() -> Value {
    json!({"waiting_per_replica": 4})
}

fn path(action: &str) -> String {
    format!("/v1/deployments/hello/policy/{action}")
}

/// Lets some requests pass, then waits for a change; the answer is how long that took.
async fn changed(load: &Running, change: impl Future<Output = Reply>) -> Result<u32> {
    serve_some(load).await?;
    let started = now();
    let reply = change.await;
    let took = micros(started);
    ensure!(reply.status == 200, "a change was refused: {} {}", reply.status, reply.text());
    Ok(took)
}

async fn serve_some(load: &Running) -> Result<()> {
    let enough = load.answered() + REQUESTS_BETWEEN;
    let wait = async {
        while load.answered() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(STALL_MAX, wait).await.context("the server answers no more requests")
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn micros(started: Instant) -> u32 {
    u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX)
}
