//! The pool in time: which rule is asked in which tick, and what the host's words mean to it.

use samovar_sdk::{Decision, Limits, Observation, Replica, ReplicaState};

use crate::config::Config;
use crate::pool::{BackEnd, Count, Spec, Sweep, Worker, WorkerState};
use crate::reuse::ReusePolicy;

/// Time between two scale-down checks.
const CHECK_MS: u64 = 5000;

/// The pool of one deployment.
pub struct Pool {
    config: Config,
    back_end: BackEnd,
    environment: Environment,
}

/// What the original keeps a pool's workers in. It is made by the first task and deleted when idle.
#[derive(Clone, Copy)]
enum Environment {
    /// Before the first observation.
    Unseen,
    Gone,
    There {
        since_ms: u64,
    },
}

impl Pool {
    /// Makes the state. `config` was checked.
    pub fn new(config: Config) -> Self {
        Self { config, back_end: BackEnd::default(), environment: Environment::Unseen }
    }

    /// One tick.
    pub fn scale(&mut self, seen: &Observation) -> Decision {
        let spec = self.spec(&seen.limits);
        // The queue is in order, so those that newly wait are the last ones that arrived.
        let mut asks = seen.arrived.min(u64::from(seen.queued));
        if let Environment::Unseen = self.environment {
            asks = u64::from(seen.queued);
            self.environment = match seen.replicas() {
                0 => Environment::Gone,
                _ => Environment::There { since_ms: seen.created_ms },
            };
        }
        let Environment::There { since_ms } = self.environment else {
            return self.create(&spec, seen, asks);
        };
        if !check_is_due(seen) {
            return self.grow(&spec, seen, asks);
        }
        let (workers, ids) = workers(seen);
        let age = whole_seconds(seen.now_ms.saturating_sub(since_ms));
        match spec.scale_down(&self.back_end, &workers, age, demand(seen)) {
            Sweep::Delete { idle } => {
                self.environment = Environment::Gone;
                let ttl = spec.env_ttl(&self.back_end);
                Decision::replicas(0.0)
                    .because(format!("idle for {idle} s, more than {ttl} s: all go"))
            }
            Sweep::Keep { removed, scale_up } => {
                asks += u64::from(scale_up);
                if removed.is_empty() {
                    return self.grow(&spec, seen, asks);
                }
                let left = whole(i64::from(seen.replicas()) - removed.len() as i64);
                let total = left.plus(answer(&spec, left, demand(seen), asks)).total;
                let (gone, ttl) = (removed.len(), spec.worker_ttl(&self.back_end));
                Decision::replicas(total as f64)
                    .removing_first(removed.into_iter().map(|at| ids[at]))
                    .because(format!("{gone} idle for more than {ttl} s: to {total}"))
            }
        }
    }

    /// Answers those that ask for a scale-up, if any do.
    fn grow(&self, spec: &Spec, seen: &Observation, asks: u64) -> Decision {
        // Replicas that the host is to start again soon are workers too: the original enters a
        // worker before its pod is made, and keeps it if that fails.
        let count = whole(i64::from(seen.replicas().max(seen.target)));
        let (demand, capacity) = (demand(seen), spec.capacity(count));
        let made = answer(spec, count, demand, asks);
        let why = format!("{demand} requests, places for {capacity}");
        if made == 0 {
            return Decision::hold().because(format!("{why} in {}", count.total));
        }
        let (low, total) = (spec.low(), count.total + made);
        Decision::replicas(total as f64)
            .because(format!("{why}, minimum {low}: {} to {total}", count.total))
    }

    /// Without an environment: the first request makes one, with the minimum at once.
    fn create(&mut self, spec: &Spec, seen: &Observation, asks: u64) -> Decision {
        if seen.requests() == 0 && seen.arrived == 0 {
            return Decision::hold().because("no request yet, or none since all went");
        }
        self.environment = Environment::There { since_ms: seen.now_ms };
        let low = spec.low();
        let count = whole(low.max(i64::from(seen.replicas())));
        let total = count.plus(answer(spec, count, demand(seen), asks)).total;
        let why = format!("first of {} requests, minimum {low}: {total}", seen.requests());
        Decision::replicas(total as f64).because(why)
    }

    /// What the configuration does not say is the deployment's.
    fn spec(&self, limits: &Limits) -> Spec {
        let config = &self.config;
        let default = ReusePolicy::default();
        let replicas = config.replicas.map(|replicas| replicas.bounds());
        let (min, max) = replicas.unwrap_or((limits.min.into(), limits.max.into()));
        Spec {
            replica_count: max,
            min_replica_count: Some(min),
            parallelism: config.concurrency.unwrap_or(limits.concurrency.into()),
            ttl_seconds: Some(config.idle_ttl.map_or(default.idle_ttl, |ttl| ttl as f64)),
            scaledown_ttl_seconds: Some(
                config.scaledown_ttl.map_or(default.scaledown_ttl, |ttl| ttl as f64),
            ),
            zero_minimum: config.zero_minimum.unwrap_or_default(),
        }
    }
}

/// Tasks offered and not finished.
fn demand(seen: &Observation) -> i64 {
    i64::from(seen.requests())
}

/// Answers requests for a scale-up one after another, as the original's loop does.
fn answer(spec: &Spec, count: Count, demand: i64, asks: u64) -> i64 {
    let mut made = 0;
    for _ in 0..asks {
        match spec.scale_up(count.plus(made), demand) {
            0 => break,
            more => made += more,
        }
    }
    made
}

/// Whether a check fell between the previous observation and this one. Checks are counted from the
/// making of the pool, so that a replay finds the same ones.
fn check_is_due(seen: &Observation) -> bool {
    let age_ms = seen.now_ms.saturating_sub(seen.created_ms);
    age_ms / CHECK_MS > age_ms.saturating_sub(seen.since_ms) / CHECK_MS
}

/// A count of workers without orphaned ones: a replica that is lost is not in the observation.
fn whole(total: i64) -> Count {
    Count { total, usable: total }
}

/// The workers and their ids, longest idle first.
fn workers(seen: &Observation) -> (Vec<Worker>, Vec<u64>) {
    let there = seen.replicas.iter().filter(|replica| replica.state != ReplicaState::Draining);
    let mut all: Vec<(u64, &Replica)> = there.map(|replica| (idle_ms(replica), replica)).collect();
    all.sort_unstable_by_key(|(idle, replica)| (std::cmp::Reverse(*idle), replica.id));
    let worker = |(idle, replica): &(u64, &Replica)| Worker {
        state: match replica.state {
            ReplicaState::Starting => WorkerState::Initializing,
            ReplicaState::Ready | ReplicaState::Draining => WorkerState::Healthy,
        },
        idle: whole_seconds(*idle),
    };
    (all.iter().map(worker).collect(), all.iter().map(|(_, replica)| replica.id).collect())
}

/// Time since a worker was used. Not while it is; one that never was counts from its making.
fn idle_ms(replica: &Replica) -> u64 {
    match (replica.ongoing, replica.idle_ms) {
        (0, Some(idle_ms)) => idle_ms,
        (0, None) => replica.age_ms,
        _ => 0,
    }
}

/// The original compares whole seconds.
fn whole_seconds(ms: u64) -> f64 {
    (ms / 1000) as f64
}
