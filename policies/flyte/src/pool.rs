//! The rules of the pool, in the back end's words: environments, workers, tasks, pods.
//!
//! After `fasttask/plugin` of flyteorg/flyte at 691309b9: `needsScaleUp`, `scaleUp` and `scaleDown`
//! in `builder.go`, `getMinReplicaCount` in `utils.go`. Only the rules; when they are asked is
//! decided in the private module `live`.

use serde::Deserialize;

/// What a task's policy asks of its pool.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Most workers.
    pub replica_count: i64,
    /// Fewest workers; 0 and none both stand for the maximum, see [`Spec::low`].
    pub min_replica_count: Option<i64>,
    /// Tasks one worker runs at a time.
    pub parallelism: i64,
    /// Idle seconds of all workers together after which the pool is deleted.
    pub ttl_seconds: Option<f64>,
    /// Idle seconds of one worker after which it is removed.
    pub scaledown_ttl_seconds: Option<f64>,
    /// What a minimum of 0 means.
    #[serde(skip)]
    pub zero_minimum: ZeroMinimum,
}

/// What a minimum of 0 means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroMinimum {
    /// The maximum, as in the original.
    #[default]
    Maximum,
    /// Zero: no worker is kept without demand.
    Zero,
}

/// Settings of the back end, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct BackEnd {
    /// Idle time of a pool whose spec gives none.
    pub default_env_ttl: f64,
    /// Idle time of a worker where the spec gives none.
    pub default_worker_ttl: f64,
    /// How long a worker may start; 0 is for ever.
    pub initializing_worker_ttl: f64,
    /// How long a worker may be out of touch.
    pub orphaned_worker_ttl: f64,
}

impl Default for BackEnd {
    fn default() -> Self {
        Self {
            default_env_ttl: 90.0,
            default_worker_ttl: 90.0,
            initializing_worker_ttl: 0.0,
            orphaned_worker_ttl: 30.0,
        }
    }
}

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// Takes tasks.
    Healthy,
    /// Starts.
    Initializing,
    /// Does not report.
    Orphaned,
}

/// One worker, as far as the rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Worker {
    /// Where it is in its life.
    pub state: WorkerState,
    /// Seconds since it was last used, or made.
    pub idle: f64,
}

/// How many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub total: i64,
    /// Those that are capacity: starting ones are, orphaned ones are not.
    pub usable: i64,
}

impl Count {
    /// Counts a list.
    pub fn of<'a>(workers: impl IntoIterator<Item = &'a Worker>) -> Self {
        workers.into_iter().fold(Self { total: 0, usable: 0 }, |count, worker| Self {
            total: count.total + 1,
            usable: count.usable + i64::from(worker.state != WorkerState::Orphaned),
        })
    }

    /// The count with `more` new workers.
    pub fn plus(self, more: i64) -> Self {
        Self { total: self.total + more, usable: self.usable + more }
    }
}

/// The outcome of a scale-down check.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep {
    /// The pool was idle for too long: all of it goes.
    Delete {
        /// How long it was idle, in seconds.
        idle: f64,
    },
    /// The pool stays.
    Keep {
        /// Which workers go, as places in the list.
        removed: Vec<usize>,
        /// Whether what is left is too little, so that a scale-up is asked for.
        scale_up: bool,
    },
}

impl Spec {
    /// Below this many workers the missing ones are made without demand, and no idle one goes.
    pub fn low(&self) -> i64 {
        match (self.min_replica_count, self.zero_minimum) {
            (Some(min), _) if min > 0 => min,
            (Some(_), ZeroMinimum::Zero) => 0,
            _ => self.replica_count,
        }
    }

    /// Tasks that `count` workers run at a time.
    pub fn capacity(&self, count: Count) -> i64 {
        count.usable.saturating_mul(self.parallelism)
    }

    /// Idle seconds after which the pool goes.
    pub fn env_ttl(&self, back_end: &BackEnd) -> f64 {
        self.ttl_seconds.unwrap_or(back_end.default_env_ttl)
    }

    /// Idle seconds after which one worker goes.
    pub fn worker_ttl(&self, back_end: &BackEnd) -> f64 {
        self.scaledown_ttl_seconds.unwrap_or(back_end.default_worker_ttl)
    }

    /// Whether workers are missing. `demand` is tasks offered and not finished.
    pub fn needs_scale_up(&self, count: Count, demand: i64) -> bool {
        if count.total >= self.replica_count {
            false
        } else if count.total < self.low() {
            true
        } else {
            demand > self.capacity(count)
        }
    }

    /// How many workers one request for a scale-up makes: all that the minimum lacks, or one.
    pub fn scale_up(&self, count: Count, demand: i64) -> i64 {
        if !self.needs_scale_up(count, demand) {
            return 0;
        }
        (self.low() - count.total).max(1)
    }

    /// The scale-down check. Idle workers go in the order of the list. `env_age` is the age of the
    /// pool in seconds and counts as its idle time when it has no worker.
    pub fn scale_down(
        &self,
        back_end: &BackEnd,
        workers: &[Worker],
        env_age: f64,
        demand: i64,
    ) -> Sweep {
        let idle = workers.iter().map(|worker| worker.idle).reduce(f64::min).unwrap_or(env_age);
        if idle > self.env_ttl(back_end) {
            return Sweep::Delete { idle };
        }
        let lost = |worker: &Worker| match worker.state {
            WorkerState::Healthy => false,
            WorkerState::Initializing => {
                let limit = back_end.initializing_worker_ttl;
                limit != 0.0 && worker.idle > limit
            }
            WorkerState::Orphaned => worker.idle > back_end.orphaned_worker_ttl,
        };
        let mut removed: Vec<usize> = (0..workers.len()).filter(|at| lost(&workers[*at])).collect();
        let mut total = (workers.len() - removed.len()) as i64;
        for (at, worker) in workers.iter().enumerate() {
            if total <= self.low() {
                break;
            }
            if worker.state == WorkerState::Healthy && worker.idle > self.worker_ttl(back_end) {
                removed.push(at);
                total -= 1;
            }
        }
        let all = workers.iter().enumerate();
        let left = all.filter(|(at, _)| !removed.contains(at)).map(|(_, worker)| worker);
        let scale_up = self.needs_scale_up(Count::of(left), demand);
        Sweep::Keep { removed, scale_up }
    }
}
