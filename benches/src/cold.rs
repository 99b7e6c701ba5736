//! What the first request costs when no replica runs. The code is compiled and on disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    loadgen::{Load, Report},
    numbers::{median, milliseconds},
    process,
};

/// Starts of a pool that was scaled to zero.
const CYCLES: usize = 200;
/// Starts of the whole process.
const RESTARTS: usize = 10;
const CROWD: usize = 1000;

/// Of a request to a deployment at zero.
const MEDIAN_MS_MAX: f64 = 5.0;

pub async fn run() -> Result<Bars> {
    process::raise_file_limit();
    let mut bars = Bars::default();
    for guest in ["hello", "hello-async"] {
        let median_ms = scaled_to_zero(guest).await?;
        bars.at_most(format!("{guest} at zero, median"), median_ms, MEDIAN_MS_MAX, " ms");
        after_restart(guest).await?;
        crowd(guest).await?;
    }
    Ok(bars)
}

/// A deployment that lets go of its replicas as soon as it can.
async fn start(guest: &str) -> Samovar {
    let samovar = Samovar::start().await;
    let spec = json!({
        "replicas": {"min": 0, "max": 8}, "idle_ttl": "20ms", "scaledown_ttl": "20ms",
        "scaling": {"interval": "100ms"}, "queue": {"max": CROWD, "timeout": "60s"},
    });
    samovar.deploy(guest, guest, spec).await;
    samovar
}

fn load(samovar: &Samovar, guest: &str, connections: usize) -> Load {
    Load::get(samovar.http.address(), format!("/{guest}"), connections)
}

async fn until_zero(samovar: &Samovar, guest: &str) -> Value {
    samovar.wait_status(guest, "no replicas", |seen| status::all_replicas(seen) == 0).await
}

/// The answer is the median, in milliseconds.
async fn scaled_to_zero(guest: &str) -> Result<f64> {
    let samovar = start(guest).await;
    let mut micros = Vec::new();
    for _ in 0..CYCLES {
        until_zero(&samovar, guest).await;
        micros.push(one(&samovar, guest).await?);
    }
    let median_us = median(micros.iter().copied().map(f64::from));
    println!("{guest}, scaled to zero, {CYCLES} times: {}", milliseconds(micros));
    samovar.stop().await;
    Ok(median_us / 1000.0)
}

async fn after_restart(guest: &str) -> Result<()> {
    let mut samovar = start(guest).await;
    let mut micros = Vec::new();
    for _ in 0..RESTARTS {
        samovar.restart().await;
        micros.push(one(&samovar, guest).await?);
    }
    println!(
        "{guest}, first request after kill and restart, {RESTARTS} times: {}",
        milliseconds(micros)
    );
    samovar.stop().await;
    Ok(())
}

/// A thousand first requests at the same moment.
async fn crowd(guest: &str) -> Result<()> {
    let samovar = start(guest).await;
    let before = until_zero(&samovar, guest).await;
    let report = load(&samovar, guest, CROWD).once().await;
    let after = samovar.status(guest).await;
    let started = |seen: &Value| status::number(seen, "/totals/replicas_started");
    println!(
        "{guest}, {CROWD} first requests at once: {} failed, {} replicas started, all answered in \
         {:.0} ms, {}",
        report.failed,
        started(&after) - started(&before),
        report.elapsed.as_secs_f64() * 1000.0,
        milliseconds(report.latencies_us.clone())
    );
    samovar.stop().await;
    good(&report)
}

/// One request on a connection that is open already; the answer is how long it took.
async fn one(samovar: &Samovar, guest: &str) -> Result<u32> {
    let report = load(samovar, guest, 1).once().await;
    good(&report)?;
    // A pool only counts as idle once its last request is over everywhere.
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(report.latencies_us[0])
}

fn good(report: &Report) -> Result<()> {
    let first = report.first_failure.as_deref().unwrap_or_default();
    ensure!(report.failed == 0, "{} requests failed, the first one: {first}", report.failed);
    Ok(())
}
