//! Scales by work per second, as Vast.ai documents it.
//!
//! Requests are work, workers have a performance in units of work per second, and there should be
//! enough workers for the load that is expected, with headroom and a reserve. The documents say
//! what the parameters mean, and [`rule`] keeps to that. The engine itself is a closed service:
//! [`forecast`], [`perf`] and the hysteresis are our own, kept simple.
//!
//! How the original's words map to the host's:
//!
//! | original | here |
//! | --- | --- |
//! | workers, active and inactive | starting and ready replicas |
//! | inactive (cold) workers, the reserve | further ready replicas, idle while not needed |
//! | `new_load` per second | work offered less work cancelled, or requests times a fixed work |
//! | `max_perf` of a worker | what the replica reports, else measured, else configured |
//! | work waiting for a worker | queued requests |
//! | time since the last activity | `last-used-ms`, or `created-ms` if never used |
//!
//! [`worker`] has pure models of the worker protocol, for the vectors.

mod config;
mod conformance;
pub mod forecast;
pub mod perf;
pub mod rule;
pub mod worker;

use std::fmt::Write;

use samovar_sdk::{Decision, Observation, Policy, Replica, ReplicaState, export_policy};

pub use config::Config;
use forecast::Forecast;
use perf::Measured;
use rule::{Count, Demand, Fleet, Rule};

/// Below this part of one worker an expected load is none. Averages never quite reach 0.
const NO_LOAD: f64 = 0.01;

/// The state for one deployment.
pub struct Vast {
    config: Config,
    /// The documented part of the configuration, with the bounds of the last observation.
    rule: Rule,
    forecast: Forecast,
    measured: Measured,
    /// Performance of the replicas in the last observation, best first.
    perfs: Vec<f64>,
}

export_policy!(Vast, conformance);

impl Policy for Vast {
    const NAME: &'static str = "vast";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");
    const NEEDS_REPLICAS: bool = true;
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.validate()?;
        Ok(Self {
            rule: config.rule(),
            forecast: Forecast::new(config.forecast_half_life, config.forecast_horizon),
            measured: Measured::default(),
            perfs: Vec::new(),
            config,
        })
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.rule.cold_workers = self.config.cold_workers.unwrap_or(seen.limits.min);
        self.rule.max_workers = self.config.max_workers.unwrap_or(seen.limits.max);
        self.record(seen);
        let next = self.perf_of_next(seen);
        let serving = self.note_perfs(seen, next);
        let fleet = Fleet { perfs: &self.perfs, serving, next };
        let forecast = self.forecast.load();
        let demand = self.demand(seen, forecast.unwrap_or(0.0), next);
        let count = self.rule.count(demand, fleet);
        // Workers go when they would not be needed for a somewhat larger load either, and never
        // before there is a load to judge by.
        let larger = demand.forecast * (1.0 + self.config.hysteresis);
        let stay = match forecast {
            Some(_) if count.total < seen.target => {
                self.rule.count(Demand { forecast: larger, ..demand }, fleet).total
            }
            Some(_) | None => seen.target,
        };
        let total = count.total.max(stay.min(seen.target));
        let decision = match total == seen.target {
            true => Decision::hold(),
            false => Decision::replicas(total),
        };
        let decision = decision.because(why(&count, next, seen.target, total));
        match seen.replicas().saturating_sub(total) {
            0 => decision,
            spare => decision.removing_first(worst_idle(&seen.replicas, next, spare)),
        }
    }
}

impl Vast {
    /// Takes up what came and what was done since the last observation.
    fn record(&mut self, seen: &Observation) {
        let seconds = seen.since_ms as f64 / 1000.0;
        if seconds <= 0.0 {
            return;
        }
        let arrived = seen.arrived as f64 / seconds;
        let counted = |requests: u64| requests as f64 * self.config.workload_per_request / seconds;
        let (offered, served) = match seen.work {
            Some(work) => (sane(work.offered) - sane(work.cancelled), sane(work.served)),
            None => (counted(seen.arrived), counted(seen.completed)),
        };
        self.forecast.record(offered.max(0.0), arrived, seconds);
        let ongoing = seen.ongoing_average.unwrap_or(f64::from(seen.ongoing));
        let busy = sane(ongoing) / f64::from(seen.limits.concurrency.max(1));
        self.measured.record(served * seconds, busy, seconds, seen.completed);
    }

    /// Performance of a replica that does not say: the mean of those that do, else an equal share
    /// of the known capacity, else what was measured, else what is configured.
    fn perf_of_next(&self, seen: &Observation) -> f64 {
        let (sum, known) = seen
            .replicas
            .iter()
            .filter_map(known_perf)
            .fold((0.0, 0_u32), |(sum, known), perf| (sum + perf, known + 1));
        if known > 0 {
            return sum / f64::from(known);
        }
        let capacity = seen.work.and_then(|work| work.capacity).map_or(0.0, sane);
        if capacity > 0.0 && seen.ready > 0 {
            return capacity / f64::from(seen.ready);
        }
        self.measured.best().unwrap_or(self.config.max_perf)
    }

    /// Notes the performance of all replicas that serve or will; answers with that of those that
    /// serve now, all together.
    fn note_perfs(&mut self, seen: &Observation, next: f64) -> f64 {
        self.perfs.clear();
        if seen.replicas.is_empty() {
            self.perfs.resize(seen.replicas() as usize, next);
            return f64::from(seen.ready) * next;
        }
        let mut serving = 0.0;
        for replica in &seen.replicas {
            let perf = known_perf(replica).unwrap_or(next);
            match replica.state {
                ReplicaState::Draining => continue,
                ReplicaState::Ready => serving += perf,
                ReplicaState::Starting => {}
            }
            self.perfs.push(perf);
        }
        self.perfs.sort_unstable_by(|one, other| other.total_cmp(one));
        serving
    }

    fn demand(&self, seen: &Observation, forecast: f64, next: f64) -> Demand {
        let queued = sane(seen.queued_average.unwrap_or(f64::from(seen.queued)));
        let work = self.forecast.work_per_request().unwrap_or(self.config.workload_per_request);
        let since_ms = seen.last_used_ms.unwrap_or(seen.created_ms);
        let idle_s = (seen.requests() == 0 && seen.arrived == 0)
            .then(|| seen.now_ms.saturating_sub(since_ms) as f64 / 1000.0);
        // After a time-out without requests nothing is expected any more.
        let has_timed_out = idle_s.is_some_and(|idle_s| {
            self.rule.inactivity_timeout.is_some_and(|timeout_s| timeout_s > 0.0)
                && self.rule.may_be_inactive(idle_s)
        });
        let is_quiet = idle_s.is_some() && forecast < next * NO_LOAD;
        Demand {
            forecast: if has_timed_out || is_quiet { 0.0 } else { forecast },
            waiting: queued * work,
            idle_s,
        }
    }
}

/// The value if it is a number that makes sense, else 0.
fn sane(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

fn known_perf(replica: &Replica) -> Option<f64> {
    replica.max_perf.filter(|perf| perf.is_finite() && *perf > 0.0)
}

/// Idle replicas that do least, the longest idle one first among equals.
fn worst_idle(replicas: &[Replica], next: f64, count: u32) -> Vec<u64> {
    let idle = replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Ready && replica.ongoing == 0);
    let mut idle: Vec<_> = idle
        .map(|replica| (known_perf(replica).unwrap_or(next), replica.idle_ms, replica.id))
        .collect();
    idle.sort_unstable_by(|one, other| {
        one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)).then(one.2.cmp(&other.2))
    });
    idle.into_iter().take(count as usize).map(|(_, _, id)| id).collect()
}

/// The numbers behind a decision.
fn why(count: &Count, next: f64, from: u32, to: u32) -> String {
    let mut text = String::with_capacity(96);
    // Writing to a string cannot fail.
    _ = write!(text, "load {:.1}, ", count.load);
    if count.queue_s > 0.0 {
        _ = write!(text, "queue {:.1} s, ", count.queue_s);
    }
    _ = write!(text, "{next:.1} per worker, {} active, {} in all: ", count.active, count.total);
    _ = match from == to {
        true => write!(text, "{to} will do"),
        false => write!(text, "{from} to {to}"),
    };
    text
}
