//! What the server does meanwhile: its replicas and decisions, sampled over the admin API.

use std::time::Duration;

use samovar_sim::outcome::{DeploymentRun, Row, Summary};

use super::tally::Counts;
use crate::api;
use crate::client::{Client, ClientError};
use crate::spec::DeploymentName;

/// Decisions that are asked for first. Between two samples there are rarely more.
const DECISIONS: u32 = 16;
/// All that a server keeps.
const DECISIONS_MAX: u32 = 1000;

/// A deployment, or another server of which only the answers are known.
pub struct Watched {
    /// What it is called.
    pub name: String,
    /// None for another server.
    pub known: Option<Known>,
    rows: Vec<Row>,
    /// Seconds times replicas, and seconds times requests being served.
    replica_seconds: f64,
    busy_seconds: f64,
    replicas_max: u32,
    /// Without the samples before the first request.
    replicas_min: Option<u32>,
}

/// What the admin API says.
pub struct Known {
    pub name: DeploymentName,
    pub policy: String,
    first: api::Totals,
    /// As of the sample before the last one, for what happened in between.
    before: api::Totals,
    last: api::Deployment,
    decisions: Decisions,
}

/// The decisions of a run, counted.
#[derive(Default)]
struct Decisions {
    /// When the last one was made that was counted.
    seen_ms: u64,
    target: Option<u32>,
    changes: u64,
    errors: u64,
}

/// Counts of one interval.
#[derive(Clone, Copy, Default)]
pub struct Interval {
    pub arrived: u64,
    pub completed: u64,
    pub failed: u64,
    pub rejected: u64,
}

impl Watched {
    /// A server that is no deployment.
    pub fn other(name: String) -> Watched {
        Watched {
            name,
            known: None,
            rows: Vec::new(),
            replica_seconds: 0.0,
            busy_seconds: 0.0,
            replicas_max: 0,
            replicas_min: None,
        }
    }

    /// A deployment as it is now.
    ///
    /// # Errors
    ///
    /// When the admin API does not know it.
    pub async fn deployment(
        client: &Client,
        name: &DeploymentName,
    ) -> Result<Watched, ClientError> {
        let last = client.deployment(name).await?.value;
        let past = client.decisions(name, 1).await?.value.decisions;
        let mut decisions = Decisions::default();
        if let Some(decision) = past.last() {
            decisions = Decisions {
                seen_ms: decision.at_ms,
                target: Some(decision.target),
                ..Decisions::default()
            };
        }
        let known = Known {
            name: name.clone(),
            policy: last.policy.name.to_string(),
            first: last.totals,
            before: last.totals,
            last,
            decisions,
        };
        Ok(Watched { known: Some(known), ..Watched::other(name.to_string()) })
    }

    /// Asks how it is now.
    ///
    /// # Errors
    ///
    /// When the admin API does not answer. What was known before is kept.
    pub async fn sample(&mut self, client: &Client) -> Result<(), ClientError> {
        let Some(known) = &mut self.known else { return Ok(()) };
        known.last = client.deployment(&known.name).await?.value;
        let seen_ms = known.decisions.seen_ms;
        let mut list = client.decisions(&known.name, DECISIONS).await?.value.decisions;
        let is_complete = list.first().is_none_or(|first| first.at_ms <= seen_ms);
        if !is_complete && list.len() >= DECISIONS as usize {
            list = client.decisions(&known.name, DECISIONS_MAX).await?.value.decisions;
        }
        known.decisions.note(&list);
        Ok(())
    }

    /// Whether it has no rows.
    pub fn is_new(&self) -> bool {
        self.rows.is_empty()
    }

    /// Time since the end of the last row.
    pub fn since_last(&self, at: Duration) -> Duration {
        at.saturating_sub(self.rows.last().map_or(Duration::ZERO, |row| row.at))
    }

    /// Adds the row of the interval that ends `at`. `sent` is what the load counted itself; without
    /// it the server's counts are taken.
    pub fn push(&mut self, at: Duration, sent: Option<(&Counts, u64)>) {
        let seconds = self.since_last(at).as_secs_f64();
        let mut row = Row { at, ..Row::default() };
        if let Some(known) = &mut self.known {
            let api::Deployment { replicas, target, queued, ongoing, .. } = &known.last;
            row.target = *target;
            (row.starting, row.ready) = (replicas.starting, replicas.ready);
            row.draining = replicas.draining;
            (row.queued, row.ongoing) = (narrow(*queued), narrow(*ongoing));
            let own = difference(&known.last.totals, &known.before);
            known.before = known.last.totals;
            (row.arrived, row.completed) = (own.arrived, own.completed);
            (row.failed, row.rejected) = (own.failed, own.rejected);
            let replicas = row.starting + row.ready + row.draining;
            self.replica_seconds += f64::from(replicas) * seconds;
            self.busy_seconds += f64::from(row.ongoing) * seconds;
            self.replicas_max = self.replicas_max.max(replicas);
            self.replicas_min = Some(self.replicas_min.unwrap_or(u32::MAX).min(replicas));
        }
        if let Some((counts, open)) = sent {
            (row.arrived, row.completed) = (counts.arrived, counts.answered);
            (row.failed, row.rejected) = (counts.failed, counts.rejected);
            row.latency = counts.latency.quantiles();
            if self.known.is_none() {
                row.ongoing = narrow(open);
            }
        }
        self.rows.push(row);
    }

    /// The number of replicas of the last sample.
    pub fn replicas(&self) -> Option<u32> {
        let replicas = self.known.as_ref()?.last.replicas;
        Some(replicas.starting + replicas.ready + replicas.draining)
    }

    /// The fewest and the most replicas there were.
    pub fn range(&self) -> Option<(u32, u32)> {
        Some((self.replicas_min?, self.replicas_max))
    }

    /// What the server counted since the first sample.
    pub fn served(&self) -> Option<Interval> {
        self.known.as_ref().map(|known| difference(&known.last.totals, &known.first))
    }

    /// The course and the sums. `sent` as for [`Watched::push`], of the whole run.
    pub fn finish(self, sent: Option<&Counts>) -> DeploymentRun {
        let own = self.served().unwrap_or_default();
        let mut summary = Summary {
            arrived: own.arrived,
            completed: own.completed,
            failed: own.failed,
            rejected: own.rejected,
            replica_seconds: self.replica_seconds,
            busy_seconds: self.busy_seconds,
            replicas_max: self.replicas_max,
            ..Summary::default()
        };
        let mut policy = "-".to_owned();
        if let Some(known) = self.known {
            let (first, last) = (known.first, known.last.totals);
            summary.timed_out = last.timed_out.saturating_sub(first.timed_out);
            summary.replicas_started = last.replicas_started.saturating_sub(first.replicas_started);
            summary.replicas_failed = last.replicas_failed.saturating_sub(first.replicas_failed);
            summary.target_changes = known.decisions.changes;
            summary.policy_errors = known.decisions.errors;
            policy = known.policy;
        }
        if let Some(counts) = sent {
            (summary.arrived, summary.completed) = (counts.arrived, counts.answered);
            (summary.failed, summary.rejected) = (counts.failed, counts.rejected);
            summary.timed_out = counts.timed_out;
            summary.latency = counts.latency.quantiles();
        }
        DeploymentRun { name: self.name, policy, rows: self.rows, summary }
    }
}

impl Decisions {
    fn note(&mut self, list: &[api::Decision]) {
        let seen_ms = self.seen_ms;
        for decision in list.iter().filter(|decision| decision.at_ms > seen_ms) {
            self.seen_ms = decision.at_ms;
            self.errors += u64::from(decision.error.is_some());
            let before = self.target.replace(decision.target);
            self.changes += u64::from(before.is_some_and(|before| before != decision.target));
        }
    }
}

/// What happened between two readings. A server that was restarted in between began anew.
fn difference(now: &api::Totals, before: &api::Totals) -> Interval {
    Interval {
        arrived: now.arrived.saturating_sub(before.arrived),
        completed: now.completed.saturating_sub(before.completed),
        failed: now.failed.saturating_sub(before.failed),
        rejected: now.rejected.saturating_sub(before.rejected),
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decision(at_ms: u64, target: u32, error: Option<&str>) -> api::Decision {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        serde_json::from_value(json!({
            "at_ms": at_ms, "policy": "mine", "digest": digest, "wish": "hold", "proposed": null,
            "target": target, "limited_by": null, "reason": "", "error": error, "took_us": 1,
            "ready": 0, "starting": 0, "queued": 0, "ongoing": 0,
        }))
        .unwrap()
    }

    #[test]
    fn a_decision_is_counted_once_however_often_it_is_seen() {
        let mut decisions = Decisions { seen_ms: 10, target: Some(1), ..Decisions::default() };
        let list = [
            decision(10, 1, None),
            decision(11, 2, None),
            decision(12, 2, Some("out of fuel")),
            decision(13, 1, None),
        ];
        decisions.note(&list[..3]);
        decisions.note(&list);
        decisions.note(&list);
        assert_eq!((decisions.changes, decisions.errors, decisions.seen_ms), (2, 1, 13));
    }

    #[test]
    fn a_server_that_was_restarted_counts_from_zero() {
        let totals = |arrived| api::Totals { arrived, ..api::Totals::default() };
        assert_eq!(difference(&totals(5), &totals(3)).arrived, 2);
        assert_eq!(difference(&totals(1), &totals(3)).arrived, 0);
    }
}
