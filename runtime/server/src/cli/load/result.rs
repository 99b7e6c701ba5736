//! What is printed about a run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use samovar_sim::outcome::DeploymentRun;
use samovar_sim::quantiles::Durations;
use serde::Serialize;

use super::super::human;
use super::super::table::{Table, write_fields};
use super::tally::Totals;

/// The sums of a run. The names are read by other programs and stay.
#[derive(Debug, Serialize)]
pub struct Report {
    pub url: String,
    /// From the start to the last answer.
    pub seconds: f64,
    pub requests: u64,
    /// Requests per second while they were sent.
    pub per_second: f64,
    pub answered: u64,
    pub failed: u64,
    pub rejected: u64,
    /// Still under way when the run was ended early.
    pub open: u64,
    /// From when a request was due to the end of its answer, of those that were answered.
    pub latency: Option<Latency>,
    /// How often each status came.
    pub statuses: BTreeMap<String, u64>,
    /// Why requests had no answer.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were due while all connections were in use.
    pub waited_for_connection: u64,
    /// How late requests were noticed to be due, at the 99 % quantile.
    pub late_p99_ms: Option<f64>,
    pub deployments: Vec<Served>,
}

/// Quantiles of the latency, exact to 0.1 %.
#[derive(Debug, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// What a deployment did meanwhile.
#[derive(Debug, Serialize)]
pub struct Served {
    pub name: String,
    pub policy: String,
    pub arrived: u64,
    pub completed: u64,
    pub failed: u64,
    pub rejected: u64,
    pub replicas_min: u32,
    pub replicas_max: u32,
    pub replicas_started: u64,
    pub replica_seconds: f64,
    pub target_changes: u64,
    pub policy_errors: u64,
}

impl Report {
    /// The sums of a run that took `whole`, in which requests were sent for `sending`.
    pub fn new(url: String, totals: &Totals, (sending, whole): (Duration, Duration)) -> Report {
        let counts = &totals.counts;
        Report {
            url,
            seconds: whole.as_secs_f64(),
            requests: counts.arrived,
            per_second: counts.arrived as f64 / sending.as_secs_f64().max(1e-9),
            answered: counts.answered,
            failed: counts.failed,
            rejected: counts.rejected,
            open: counts.open(),
            latency: latency(&counts.latency, totals.longest),
            statuses: totals.statuses.clone(),
            errors: totals.errors.clone(),
            waited_for_connection: totals.waited,
            late_p99_ms: totals.lateness.quantile_ms(0.99),
            deployments: Vec::new(),
        }
    }

    /// Adds what a deployment did, with the fewest replicas it had.
    pub fn add(&mut self, run: &DeploymentRun, replicas_min: u32) {
        let summary = &run.summary;
        self.deployments.push(Served {
            name: run.name.clone(),
            policy: run.policy.clone(),
            arrived: summary.arrived,
            completed: summary.completed,
            failed: summary.failed,
            rejected: summary.rejected,
            replicas_min,
            replicas_max: summary.replicas_max,
            replicas_started: summary.replicas_started,
            replica_seconds: summary.replica_seconds,
            target_changes: summary.target_changes,
            policy_errors: summary.policy_errors,
        });
    }

    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let took = human::micros((self.seconds * 1e6) as u64);
        writeln!(out, "{} requests in {took} to {}", self.requests, self.url)?;
        let mut answered = format!("{}; {} failed", self.answered, self.failed);
        answered += &format!(", {} rejected", self.rejected);
        if self.open > 0 {
            answered += &format!(", {} not awaited", self.open);
        }
        let mut fields =
            vec![("rate", format!("{:.1} per second", self.per_second)), ("answered", answered)];
        if let Some(latency) = &self.latency {
            fields.push(("latency", latency.text()));
        }
        let kinds = [("statuses", &self.statuses), ("errors", &self.errors)];
        for (label, kinds) in kinds.into_iter().filter(|(_, kinds)| !kinds.is_empty()) {
            let list: Vec<String> =
                kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
            fields.push((label, list.join(", ")));
        }
        if self.waited_for_connection > 0 {
            let text = format!("{} requests waited for a connection", self.waited_for_connection);
            fields.push(("connections", text));
        }
        write_fields(out, &fields)?;
        self.write_deployments(out)
    }

    fn write_deployments(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.deployments.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut table = Table::new([
            "DEPLOYMENT",
            "POLICY",
            "REQUESTS",
            "FAILED",
            "REJECTED",
            "REPLICAS",
            "STARTED",
            "REPLICA-S",
            "CHANGES",
        ]);
        for served in &self.deployments {
            table.row([
                served.name.clone(),
                match served.policy_errors {
                    0 => served.policy.clone(),
                    errors => format!("{} ({errors} failed)", served.policy),
                },
                served.arrived.to_string(),
                served.failed.to_string(),
                served.rejected.to_string(),
                format!("{}..{}", served.replicas_min, served.replicas_max),
                served.replicas_started.to_string(),
                format!("{:.1}", served.replica_seconds),
                served.target_changes.to_string(),
            ]);
        }
        table.write(out)
    }
}

fn latency(durations: &Durations, longest: Duration) -> Option<Latency> {
    // The histogram says the middle of a bucket, which may be above the longest.
    let max_ms = longest.as_secs_f64() * 1e3;
    let quantile = |part| durations.quantile_ms(part).map(|ms: f64| ms.min(max_ms));
    Some(Latency {
        p50_ms: quantile(0.5)?,
        p90_ms: quantile(0.9)?,
        p95_ms: quantile(0.95)?,
        p99_ms: quantile(0.99)?,
        p999_ms: quantile(0.999)?,
        max_ms,
    })
}

impl Latency {
    fn text(&self) -> String {
        let shown = [
            ("p50", self.p50_ms),
            ("p90", self.p90_ms),
            ("p99", self.p99_ms),
            ("p99.9", self.p999_ms),
            ("longest", self.max_ms),
        ];
        let parts = shown.map(|(name, ms)| format!("{name} {}", human::micros((ms * 1e3) as u64)));
        parts.join(", ")
    }
}
