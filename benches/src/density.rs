//! How much fits on one server: memory of warm replicas and of deployments at zero, how soon a
//! server with many of them is back, and what they do to another deployment.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::{bars::Bars, process::raise_file_limit, report};

mod idle;
mod replicas;
mod unrelated;

use idle::Crowd;
use replicas::Pool;
use unrelated::Latency;

/// Guests whose replicas are weighed, and what their versions are called.
const GUESTS: [(&str, &str); 2] = [("hello", "WASI 0.2"), ("hello-async", "WASI 0.3")];
/// How long idle deployments stay after their last request: the default, and as short as can be.
const IDLE_TTLS: [&str; 2] = ["5m", "1s"];

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Idle deployments.
    pub deployments: usize,
    /// How long nothing happens before memory is looked at again.
    pub idle: Duration,
    /// Of the latency beside idle deployments.
    pub rounds: usize,
    /// Of each server in a round.
    pub duration: Duration,
}

/// Measures, prints tables and writes `target/bench/density.json`.
///
/// # Errors
///
/// When a request fails, or the server has gone.
pub async fn run(settings: &Settings) -> Result<Bars> {
    raise_file_limit();
    let mut pools = Vec::new();
    for (guest, version) in GUESTS {
        pools.push(replicas::measure(guest, version).await?);
    }
    replicas::print_table(&pools);
    let (mut crowds, mut latencies) = (Vec::new(), Vec::new());
    for idle_ttl in IDLE_TTLS {
        let (crowd, samovar) = idle::measure(idle_ttl, settings).await?;
        crowd.print_table();
        crowds.push(crowd);
        let latency = unrelated::measure(samovar, idle_ttl, settings).await?;
        latency.print_table();
        latencies.push(latency);
    }
    let mut bars = Bars::default();
    pools.iter().for_each(|pool| pool.judge(&mut bars));
    crowds.iter().for_each(|crowd| crowd.judge(&mut bars));
    latencies.iter().for_each(|latency| latency.judge(&mut bars));
    let report = json!({
        "deployments": settings.deployments, "idle_seconds": settings.idle.as_secs_f64(),
        "rounds": settings.rounds, "seconds": settings.duration.as_secs_f64(),
        "replicas": pools.iter().map(Pool::to_json).collect::<Vec<_>>(),
        "idle": crowds.iter().map(Crowd::to_json).collect::<Vec<_>>(),
        "unrelated": latencies.iter().map(Latency::to_json).collect::<Vec<_>>(),
    });
    report::write("density", &report)?;
    Ok(bars)
}
