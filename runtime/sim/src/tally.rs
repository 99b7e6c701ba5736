//! What is counted for the outcome, from outside of the pool.

use crate::outcome::{Row, Summary};
use crate::quantiles::Durations;
use samovar_core::pool::Counts;
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// It was answered.
    Completed,
    /// It failed on a replica.
    Failed,
    /// It got no replica.
    Rejected,
    /// It waited too long for one.
    TimedOut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ends {
    pub arrived: u64,
    pub completed: u64,
    pub failed: u64,
    /// Those that timed out included.
    pub rejected: u64,
}

/// The counts of one deployment.
#[derive(Default)]
pub(crate) struct Tally {
    pub ends: Ends,
    pub timed_out: u64,
    pub replicas_started: u64,
    pub replicas_failed: u64,
    pub target_changes: u64,
    pub policy_errors: u64,
    /// Nanoseconds times requests on replicas.
    pub busy: u128,
    /// Nanoseconds times replicas.
    existed: u128,
    replicas: u32,
    replicas_max: u32,
    wait: Durations,
    latency: Durations,
    /// Latencies since the last row.
    recent: Durations,
    /// Counts at the last row.
    seen: Ends,
    rows: Vec<Row>,
}

impl Tally {
    pub fn new(rows: usize) -> Self {
        Tally { rows: Vec::with_capacity(rows), ..Tally::default() }
    }

    /// A replica was ordered.
    pub fn ordered(&mut self) {
        self.replicas += 1;
        self.replicas_max = self.replicas_max.max(self.replicas);
    }

    /// A replica is gone, `existed` nanoseconds after it was ordered.
    pub fn gone(&mut self, existed: u64) {
        self.replicas -= 1;
        self.existed += u128::from(existed);
    }

    /// A request got a replica `waited` nanoseconds after it arrived.
    pub fn assigned(&mut self, waited: u64) {
        self.wait.record(waited);
    }

    /// A request ended `took` nanoseconds after it arrived.
    pub fn ended(&mut self, ended: Ended, took: u64) {
        match ended {
            Ended::Completed => {
                self.ends.completed += 1;
                self.latency.record(took);
                self.recent.record(took);
            }
            Ended::Failed => self.ends.failed += 1,
            Ended::Rejected => self.ends.rejected += 1,
            Ended::TimedOut => {
                self.ends.rejected += 1;
                self.timed_out += 1;
            }
        }
    }

    /// An interval is over.
    pub fn row(&mut self, at: Duration, counts: Counts) {
        self.rows.push(Row {
            at,
            target: counts.target,
            starting: counts.starting,
            ready: counts.ready,
            draining: counts.draining,
            queued: counts.queued,
            ongoing: counts.ongoing,
            arrived: self.ends.arrived - self.seen.arrived,
            completed: self.ends.completed - self.seen.completed,
            failed: self.ends.failed - self.seen.failed,
            rejected: self.ends.rejected - self.seen.rejected,
            latency: self.recent.quantiles(),
        });
        self.seen = self.ends;
        self.recent.clear();
    }

    /// When the last row was taken.
    pub fn last_row(&self) -> Duration {
        self.rows.last().map_or(Duration::ZERO, |row| row.at)
    }

    /// The rows and the sums.
    pub fn finish(self) -> (Vec<Row>, Summary) {
        let summary = Summary {
            arrived: self.ends.arrived,
            completed: self.ends.completed,
            failed: self.ends.failed,
            rejected: self.ends.rejected,
            timed_out: self.timed_out,
            latency: self.latency.quantiles(),
            wait: self.wait.quantiles(),
            replica_seconds: self.existed as f64 / 1e9,
            busy_seconds: self.busy as f64 / 1e9,
            replicas_max: self.replicas_max,
            replicas_started: self.replicas_started,
            replicas_failed: self.replicas_failed,
            target_changes: self.target_changes,
            policy_errors: self.policy_errors,
        };
        (self.rows, summary)
    }
}
