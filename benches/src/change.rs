//! Changes while requests run, and what asking a policy costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use samovar_tests::{Samovar, component, status, unique};
use serde_json::{Value, json};

use crate::{
    loadgen::{Load, Running},
    numbers::milliseconds,
};

const SWAPS: u64 = 50;
const REDEPLOYS: u64 = 10;
const CONNECTIONS: usize = 32;
/// Between two changes at least this many requests are answered.
const REQUESTS_BETWEEN: u64 = 200;
/// A server that answers nothing for so long is broken.
const STALL_MAX: Duration = Duration::from_secs(30);

const DECISIONS: usize = 200;
const REPLICAS: u64 = 10;

/// Full load with policy swaps and redeploys: no request may fail.
pub async fn swaps() -> Result<()> {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": {"min": 2, "max": 8}, "scaling": {"interval": "100ms"}});
    samovar.deploy("hello", "hello", spec.clone()).await;
    samovar.push_policy("queue-depth", "queue-depth").await;
    let address = samovar.http.address();
    let load = Load { address, path: "/hello".into(), connections: CONNECTIONS }.start();
    let (mut swapped, mut redeployed) = (Vec::new(), Vec::new());
    for round in 0..SWAPS {
        serve_some(&load).await?;
        swapped.push(swap(&samovar, round).await?);
        if round % (SWAPS / REDEPLOYS) == 0 {
            serve_some(&load).await?;
            let started = now();
            samovar.deploy_wasm("hello", unique(&component("hello"), round), spec.clone()).await;
            redeployed.push(micros(started));
        }
    }
    serve_some(&load).await?;
    let report = load.finish().await;
    println!(
        "{SWAPS} policy swaps and {} redeploys under load of {CONNECTIONS} connections: {} \
         answered ({:.0}/s), {} failed",
        redeployed.len(),
        report.answered,
        report.per_second(),
        report.failed
    );
    println!("    a swap: {}", milliseconds(swapped));
    println!("    a redeploy, with upload and compilation: {}", milliseconds(redeployed));
    println!("    a request: {}", milliseconds(report.latencies_us));
    samovar.stop().await;
    let first = report.first_failure.unwrap_or_default();
    ensure!(report.failed == 0, "requests failed, the first one: {first}");
    Ok(())
}

/// Swaps back and forth; the answer is how long it took.
async fn swap(samovar: &Samovar, round: u64) -> Result<u32> {
    let (policy, config) = match round % 2 {
        0 => ("queue-depth", json!({"waiting_per_replica": 4})),
        _ => ("lightning", json!({})),
    };
    let started = now();
    let reply = samovar.swap("hello", policy, config).await;
    let took = micros(started);
    ensure!(reply.status == 200, "swap to {policy}: {} {}", reply.status, reply.text());
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

/// What a tick of a deployment with ten replicas costs: call after call, which is the path through
/// the host and the policy's work, and once in a while in a server, where caches have gone cold.
pub async fn decisions() -> Result<()> {
    let mut command = std::process::Command::new(samovar_tests::paths::samovar());
    command.args(["policy-bench", "--replicas", &REPLICAS.to_string()]);
    let output = command.env("RUST_BACKTRACE", "0").output().context("run samovar policy-bench")?;
    ensure!(output.status.success(), "samovar policy-bench: {}", output.status);
    print!("decisions of lightning, call after call: {}", String::from_utf8_lossy(&output.stdout));
    let samovar = Samovar::start().await;
    samovar.push_policy("queue-depth", "queue-depth").await;
    let policies = [("lightning", json!({})), ("queue-depth", json!({"waiting_per_replica": 4}))];
    for (policy, config) in policies {
        let spec = json!({
            "replicas": {"min": REPLICAS, "max": REPLICAS},
            "scaling": {"policy": policy, "config": config, "interval": "10ms"},
        });
        samovar.deploy("hello", "hello", spec).await;
        let is_warm = |seen: &Value| status::ready(seen) == REPLICAS;
        samovar.wait_status("hello", "all its replicas", is_warm).await;
        let is_ours = |decision: &Value| decision["policy"] == policy;
        let took = samovar_tests::eventually("enough decisions", async || {
            let all = samovar.decisions("hello").await;
            let ours = all.iter().filter(|decision| is_ours(decision));
            let took: Vec<_> = ours.map(|one| status::number(one, "/took_us") as u32).collect();
            (took.len() >= DECISIONS).then_some(took)
        })
        .await;
        println!("decision of {policy} for {REPLICAS} replicas: {}", milliseconds(took));
    }
    samovar.stop().await;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn micros(started: Instant) -> u32 {
    u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX)
}
