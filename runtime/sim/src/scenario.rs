//! What is simulated: deployments, the machine, their load and what goes wrong.
//!
//! Everything can be written as TOML or JSON. Settings that the server has too have its names and
//! its defaults.

mod random;
#[cfg(test)]
mod tests;
mod validate;

use crate::arrivals::Workload;
use crate::distribution::Distribution;
use crate::faults::{DeploymentFaults, Faults};
use samovar_core::limits::PoolLimits;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

pub use random::random;
pub use validate::Error;

/// One simulation: what runs, for how long, and the seed that decides everything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Virtual time during which requests arrive.
    #[serde(with = "crate::text")]
    pub duration: Duration,
    /// Decides every draw.
    #[serde(default)]
    pub seed: u64,
    /// How much longer requests may take to be answered before the simulation ends all the same.
    #[serde(default = "defaults::minute", with = "crate::text")]
    pub tail: Duration,
    /// Virtual time between two rows of the outcome.
    #[serde(default = "defaults::second", with = "crate::text")]
    pub interval: Duration,
    /// Machines that hold replicas. Without any there is room for all.
    #[serde(default)]
    pub nodes: Vec<NodeSpec>,
    /// What goes wrong with the machine.
    #[serde(default)]
    pub faults: Faults,
    /// What runs. At least one.
    pub deployments: Vec<DeploymentSpec>,
}

/// A machine that holds replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Its name, for faults.
    pub name: String,
    /// Replicas of any deployment that it holds at once, starting and draining ones included.
    pub slots: u32,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentSpec {
    /// Its name; also what its random streams depend on.
    pub name: String,
    /// Bounds of the number of replicas. By default 0 to 4.
    #[serde(default)]
    pub replicas: Replicas,
    /// Replicas started together when the pool wakes up. By default the minimum.
    #[serde(default)]
    pub initial_replicas: Option<u32>,
    /// Requests one replica serves at a time. By default 1.
    #[serde(default = "defaults::one")]
    pub concurrency: u32,
    /// An unused pool is emptied after this long. By default 5 minutes; none if `off`.
    #[serde(default = "defaults::idle_ttl", with = "crate::text::ttl")]
    pub idle_ttl: Option<Duration>,
    /// A replica must have been idle this long to be removed. By default 30 seconds.
    #[serde(default = "defaults::half_minute", with = "crate::text")]
    pub scaledown_ttl: Duration,
    /// A replica is replaced after this many requests; 0, the default, means never.
    #[serde(default)]
    pub max_requests: u64,
    /// A replica is replaced at this age. By default never, written `off`.
    #[serde(default, with = "crate::text::ttl")]
    pub max_age: Option<Duration>,
    /// How long a draining replica may take to finish. By default 30 seconds.
    #[serde(default = "defaults::half_minute", with = "crate::text")]
    pub drain_timeout: Duration,
    /// Where requests wait.
    #[serde(default)]
    pub queue: QueueSpec,
    /// From dispatch to answer, inner calls included. By default 30 seconds.
    #[serde(default = "defaults::half_minute", with = "crate::text")]
    pub request_timeout: Duration,
    /// How long a replica may take to start. By default 10 seconds.
    #[serde(default = "defaults::ten_seconds", with = "crate::text")]
    pub start_timeout: Duration,
    /// Who decides on the number of replicas.
    #[serde(default)]
    pub scaling: ScalingSpec,
    /// How long a replica works on a request, waiting for inner calls not included. By default
    /// 100 milliseconds.
    #[serde(default = "defaults::service")]
    pub service: Distribution,
    /// Part of each request that a replica does for one request at a time, in the order they were
    /// given to it, before the rest: a single-threaded event loop. By default none.
    #[serde(default)]
    pub serial: Option<Distribution>,
    /// How long a replica takes to start. By default 100 milliseconds.
    #[serde(default = "defaults::service")]
    pub start_up: Distribution,
    /// Where its requests come from. Without it, only from calls.
    #[serde(default)]
    pub load: Option<Load>,
    /// What each of its requests calls after its own service, and waits for.
    #[serde(default)]
    pub calls: Option<CallsSpec>,
    /// What goes wrong with it.
    #[serde(default)]
    pub faults: DeploymentFaults,
}

/// Bounds of the number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicas {
    /// Replicas kept while the pool is awake.
    pub min: u32,
    /// Replicas that may exist at once, draining ones not counted.
    pub max: u32,
}

/// Where requests wait for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// Requests that may wait. By default 1000.
    pub max: u32,
    /// How long one may wait. By default 30 seconds.
    #[serde(with = "crate::text")]
    pub timeout: Duration,
}

/// Who decides on the number of replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScalingSpec {
    /// The policy's name. Whoever runs the simulation knows what it means.
    pub policy: String,
    /// Its settings.
    pub config: Map<String, Value>,
    /// Time between two decisions. By default 1 second.
    #[serde(with = "crate::text")]
    pub interval: Duration,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// Requests that come whatever becomes of the ones before.
    Open(Workload),
    /// A number of users who each wait for an answer before they send the next request.
    Users(Users),
    /// Such users whose number changes.
    Stages(Stages),
}

/// Users of a closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// How many.
    pub count: u32,
    /// Pause between an answer and the next request.
    pub think: Distribution,
    /// The users come one after another, evenly over this time. By default all at once.
    #[serde(default, with = "crate::text")]
    pub ramp: Duration,
    /// Pause after a request that was refused or failed, if longer than the other one. By default
    /// 1 second.
    #[serde(default = "defaults::second", with = "crate::text")]
    pub after_failure: Duration,
}

/// Users of a closed loop whose number changes, as in load tests with several stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// Pause between an answer and the next request.
    pub think: Distribution,
    /// Pause after a request that was refused or failed, if longer than the other one. By default
    /// 1 second.
    #[serde(default = "defaults::second", with = "crate::text")]
    pub after_failure: Duration,
    /// One after the other. There is nobody before the first, and the last one stays.
    pub steps: Vec<Stage>,
}

/// A change of the number of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// When it begins.
    #[serde(with = "crate::text")]
    pub at: Duration,
    /// How many there are after it. Who came last leaves first, with the answer that is waited for.
    pub count: u32,
    /// They come or go one after another, evenly over this time. By default all at once.
    #[serde(default, with = "crate::text")]
    pub ramp: Duration,
}

/// What a request calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallsSpec {
    /// Names of deployments; one twice is called twice.
    pub to: Vec<String>,
    /// All at once, or each after the one before. By default all at once.
    #[serde(default)]
    pub order: Order,
    /// How often a failed call is made again before the request fails. By default never.
    #[serde(default)]
    pub retries: u16,
    /// Pause before a call is made again, twice as long each time. By default 100 milliseconds.
    #[serde(default = "defaults::tenth", with = "crate::text")]
    pub backoff: Duration,
}

/// In which order calls are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All at once.
    #[default]
    Parallel,
    /// Each when the one before was answered.
    Sequence,
}

impl Default for Replicas {
    fn default() -> Self {
        Replicas { min: 0, max: 4 }
    }
}

impl Default for QueueSpec {
    fn default() -> Self {
        QueueSpec { max: 1000, timeout: defaults::half_minute() }
    }
}

impl Default for ScalingSpec {
    fn default() -> Self {
        ScalingSpec {
            policy: "lightning".to_owned(),
            config: Map::new(),
            interval: defaults::second(),
        }
    }
}

impl DeploymentSpec {
    /// A deployment of this name with the defaults everywhere.
    pub fn named(name: &str) -> Self {
        DeploymentSpec {
            name: name.to_owned(),
            replicas: Replicas::default(),
            initial_replicas: None,
            concurrency: defaults::one(),
            idle_ttl: defaults::idle_ttl(),
            scaledown_ttl: defaults::half_minute(),
            max_requests: 0,
            max_age: None,
            drain_timeout: defaults::half_minute(),
            queue: QueueSpec::default(),
            request_timeout: defaults::half_minute(),
            start_timeout: defaults::ten_seconds(),
            scaling: ScalingSpec::default(),
            service: defaults::service(),
            serial: None,
            start_up: defaults::service(),
            load: None,
            calls: None,
            faults: DeploymentFaults::default(),
        }
    }

    /// The bounds of its pool.
    pub fn limits(&self) -> PoolLimits {
        PoolLimits {
            min: self.replicas.min,
            max: self.replicas.max,
            initial: self.initial_replicas.unwrap_or(self.replicas.min),
            concurrency: self.concurrency,
            idle_ttl: self.idle_ttl,
            scaledown_ttl: self.scaledown_ttl,
            max_requests: (self.max_requests > 0).then_some(self.max_requests),
            max_age: self.max_age,
            drain_timeout: self.drain_timeout,
            queue_max: self.queue.max,
            batch: None,
        }
    }
}

impl Scenario {
    /// A scenario of these deployments on a machine with room for all, without faults.
    pub fn of(duration: Duration, seed: u64, deployments: Vec<DeploymentSpec>) -> Self {
        Scenario {
            duration,
            seed,
            tail: defaults::minute(),
            interval: defaults::second(),
            nodes: Vec::new(),
            faults: Faults::default(),
            deployments,
        }
    }
}

/// Defaults; those of settings that the server has are its own.
mod defaults {
    use super::*;

    pub(super) fn one() -> u32 {
        1
    }

    pub(super) fn tenth() -> Duration {
        Duration::from_millis(100)
    }

    pub(super) fn second() -> Duration {
        Duration::from_secs(1)
    }

    pub(super) fn ten_seconds() -> Duration {
        Duration::from_secs(10)
    }

    pub(super) fn half_minute() -> Duration {
        Duration::from_secs(30)
    }

    pub(super) fn minute() -> Duration {
        Duration::from_secs(60)
    }

    pub(super) fn idle_ttl() -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    pub(super) fn service() -> Distribution {
        Distribution::constant(tenth())
    }
}
