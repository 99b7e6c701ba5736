//! Everything, as JSON. The names here are read by other programs and stay.

use std::io;

use serde::Serialize;

use crate::outcome::{DeploymentRun, Quantiles, Row, Run, Summary};

#[derive(Serialize)]
struct JsonReport<'a> {
    runs: Vec<JsonRun<'a>>,
}

#[derive(Serialize)]
struct JsonRun<'a> {
    label: &'a str,
    seed: u64,
    duration_s: f64,
    interval_s: f64,
    deployments: Vec<JsonDeployment<'a>>,
}

#[derive(Serialize)]
struct JsonDeployment<'a> {
    name: &'a str,
    policy: &'a str,
    summary: JsonSummary,
    rows: Vec<JsonRow>,
}

#[derive(Serialize)]
struct JsonSummary {
    arrived: u64,
    completed: u64,
    failed: u64,
    rejected: u64,
    timed_out: u64,
    latency: Option<JsonQuantiles>,
    wait: Option<JsonQuantiles>,
    replica_seconds: f64,
    busy_seconds: f64,
    replicas_max: u32,
    replicas_started: u64,
    replicas_failed: u64,
    target_changes: u64,
    policy_errors: u64,
}

#[derive(Serialize)]
struct JsonQuantiles {
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

#[derive(Serialize)]
struct JsonRow {
    at_s: f64,
    target: u32,
    starting: u32,
    ready: u32,
    draining: u32,
    queued: u32,
    ongoing: u32,
    arrived: u64,
    completed: u64,
    failed: u64,
    rejected: u64,
    latency: Option<JsonQuantiles>,
}

/// Writes all runs with all their rows, on one line. Times are in seconds or milliseconds, as the
/// names of the fields say; what is not known is null.
///
/// # Errors
///
/// Those of `output`.
pub fn json(runs: &[Run], output: impl io::Write) -> io::Result<()> {
    let report = JsonReport { runs: runs.iter().map(JsonRun::from).collect() };
    serde_json::to_writer(output, &report).map_err(io::Error::from)
}

impl<'a> From<&'a Run> for JsonRun<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            label: &run.label,
            seed: run.seed,
            duration_s: run.duration.as_secs_f64(),
            interval_s: run.interval.as_secs_f64(),
            deployments: run.deployments.iter().map(JsonDeployment::from).collect(),
        }
    }
}

impl<'a> From<&'a DeploymentRun> for JsonDeployment<'a> {
    fn from(run: &'a DeploymentRun) -> Self {
        Self {
            name: &run.name,
            policy: &run.policy,
            summary: JsonSummary::from(&run.summary),
            rows: run.rows.iter().map(JsonRow::from).collect(),
        }
    }
}

impl From<&Summary> for JsonSummary {
    fn from(summary: &Summary) -> Self {
        Self {
            arrived: summary.arrived,
            completed: summary.completed,
            failed: summary.failed,
            rejected: summary.rejected,
            timed_out: summary.timed_out,
            latency: summary.latency.map(JsonQuantiles::from),
            wait: summary.wait.map(JsonQuantiles::from),
            replica_seconds: summary.replica_seconds,
            busy_seconds: summary.busy_seconds,
            replicas_max: summary.replicas_max,
            replicas_started: summary.replicas_started,
            replicas_failed: summary.replicas_failed,
            target_changes: summary.target_changes,
            policy_errors: summary.policy_errors,
        }
    }
}

impl From<Quantiles> for JsonQuantiles {
    fn from(quantiles: Quantiles) -> Self {
        let Quantiles { p50_ms, p95_ms, p99_ms } = quantiles;
        Self { p50_ms, p95_ms, p99_ms }
    }
}

impl From<&Row> for JsonRow {
    fn from(row: &Row) -> Self {
        Self {
            at_s: row.at.as_secs_f64(),
            target: row.target,
            starting: row.starting,
            ready: row.ready,
            draining: row.draining,
            queued: row.queued,
            ongoing: row.ongoing,
            arrived: row.arrived,
            completed: row.completed,
            failed: row.failed,
            rejected: row.rejected,
            latency: row.latency.map(JsonQuantiles::from),
        }
    }
}
