//! The table that a terminal shows.

use std::collections::BTreeMap;

use super::grid::{Align, Grid, short, short_ms};
use crate::outcome::{DeploymentRun, Quantiles, Run};

use Align::{Left, Right};

const COLUMNS: [(&str, Align); 13] = [
    ("run", Left),
    ("deployment", Left),
    ("requests", Right),
    ("failed", Right),
    ("rejected", Right),
    ("p50", Right),
    ("p95", Right),
    ("p99", Right),
    ("wait p95", Right),
    ("replica-s", Right),
    ("used", Right),
    ("max", Right),
    ("changes", Right),
];

/// One line per run and deployment, aligned in columns.
///
/// Latencies are those of the requests that were answered; `wait p95` is the time until a replica
/// took a request; `replica-s` is the cost in replica-seconds; `max` is the most replicas at once;
/// `changes` counts changes of the target. `used` is the part of the replicas' capacity that was
/// busy. It is shown for deployments whose `concurrency`, the requests that one replica serves at
/// a time, is given by name. Policies that left ticks unanswered are named below the table.
pub fn table(runs: &[Run], concurrency: &BTreeMap<String, u32>) -> String {
    let mut grid = Grid::new(&COLUMNS);
    let mut notes = String::new();
    for (run, deployment) in
        runs.iter().flat_map(|run| run.deployments.iter().map(move |d| (run, d)))
    {
        grid.push(row(run, deployment, concurrency.get(&deployment.name).copied()));
        let errors = deployment.summary.policy_errors;
        if errors > 0 {
            let (label, name, policy) = (&run.label, &deployment.name, &deployment.policy);
            notes += &format!("{label}, {name}: {policy} left {errors} ticks unanswered\n");
        }
    }
    grid.render() + &notes
}

fn row(run: &Run, deployment: &DeploymentRun, concurrency: Option<u32>) -> Vec<String> {
    let summary = &deployment.summary;
    let latency = |quantile: fn(Quantiles) -> f64| time(summary.latency.map(quantile));
    let capacity = concurrency.map(|concurrency| summary.replica_seconds * f64::from(concurrency));
    let used = capacity.filter(|capacity| *capacity > 0.0);
    vec![
        run.label.clone(),
        deployment.name.clone(),
        summary.arrived.to_string(),
        summary.failed.to_string(),
        summary.rejected.to_string(),
        latency(|q| q.p50_ms),
        latency(|q| q.p95_ms),
        latency(|q| q.p99_ms),
        time(summary.wait.map(|q| q.p95_ms)),
        short(summary.replica_seconds),
        used.map_or("-".into(), |used| format!("{:.0}%", 100.0 * summary.busy_seconds / used)),
        summary.replicas_max.to_string(),
        summary.target_changes.to_string(),
    ]
}

fn time(ms: Option<f64>) -> String {
    ms.map_or("-".into(), short_ms)
}
