//! The course of all runs, as CSV.

use std::io;

use crate::outcome::{DeploymentRun, Quantiles, Row, Run};

const COLUMNS: [&str; 17] = [
    "run",
    "deployment",
    "policy",
    "at_s",
    "target",
    "starting",
    "ready",
    "draining",
    "queued",
    "ongoing",
    "arrived",
    "completed",
    "failed",
    "rejected",
    "p50_ms",
    "p95_ms",
    "p99_ms",
];

/// Writes one row per run, deployment and interval, under a header. Quantiles of intervals in
/// which nothing was answered are empty.
///
/// # Errors
///
/// Those of `output`.
pub fn csv(runs: &[Run], output: impl io::Write) -> io::Result<()> {
    let mut output = csv::Writer::from_writer(output);
    output.write_record(COLUMNS)?;
    for run in runs {
        for deployment in &run.deployments {
            for row in &deployment.rows {
                output.write_record(cells(run, deployment, row))?;
            }
        }
    }
    output.flush()
}

fn cells(run: &Run, deployment: &DeploymentRun, row: &Row) -> [String; 17] {
    let latency = |quantile: fn(Quantiles) -> f64| {
        row.latency.map_or(String::new(), |latency| quantile(latency).to_string())
    };
    [
        run.label.clone(),
        deployment.name.clone(),
        deployment.policy.clone(),
        row.at.as_secs_f64().to_string(),
        row.target.to_string(),
        row.starting.to_string(),
        row.ready.to_string(),
        row.draining.to_string(),
        row.queued.to_string(),
        row.ongoing.to_string(),
        row.arrived.to_string(),
        row.completed.to_string(),
        row.failed.to_string(),
        row.rejected.to_string(),
        latency(|q| q.p50_ms),
        latency(|q| q.p95_ms),
        latency(|q| q.p99_ms),
    ]
}
