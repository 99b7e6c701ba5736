//! What the host tells a policy about one pool.

use crate::replica::ReplicaView;
use crate::time::Timestamp;
use std::time::Duration;

/// Quantiles of the time from arrival to the end of the response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 90 % quantile, in milliseconds.
    pub p90_ms: f64,
    /// 99 % quantile, in milliseconds.
    pub p99_ms: f64,
}

/// Abstract work since, in units per second. What a unit is, handlers and workers decide.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Work of the requests that arrived.
    pub offered: f64,
    /// Work of the requests that were served.
    pub served: f64,
    /// Work of the requests that were refused.
    pub rejected: f64,
    /// Work of the requests whose callers went away.
    pub cancelled: f64,
    /// Most work all replicas together can do, where it is known.
    pub capacity: Option<f64>,
}

/// One look at a pool. "Since" means since the previous look. "No data" is `None`, never a zero:
/// Knative's policy depends on the difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When the look was taken.
    pub now: Timestamp,
    /// Time since the previous look; zero in the first.
    pub since: Duration,
    /// Fewest replicas of the deployment.
    pub min: u32,
    /// Most replicas of the deployment.
    pub max: u32,
    /// Requests one replica serves at a time, in batches or not.
    pub concurrency: u32,
    /// Requests that may wait.
    pub queue_max: u32,
    /// Replicas that are starting.
    pub starting: u32,
    /// Replicas that serve or could serve.
    pub ready: u32,
    /// Replicas on their way out.
    pub draining: u32,
    /// Replicas the host tries to hold.
    pub target: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Requests being served.
    pub ongoing: u32,
    /// Time-weighted average of `queued` since; none when no time passed.
    pub queued_average: Option<f64>,
    /// Time-weighted average of `ongoing` since; none when no time passed.
    pub ongoing_average: Option<f64>,
    /// Requests that arrived since, refused ones included.
    pub arrived: u64,
    /// Requests that were answered since.
    pub completed: u64,
    /// Requests that failed since: traps, time-outs, clients that left.
    pub failed: u64,
    /// Requests refused since: queue full, waited too long, replica could not start.
    pub rejected: u64,
    /// How long the request that waits longest has waited.
    pub oldest_wait: Option<Duration>,
    /// Latency of the requests that ended since; none when none ended.
    pub latency: Option<Latency>,
    /// When a request last arrived or ended; none if never.
    pub last_used: Option<Timestamp>,
    /// When the pool was made.
    pub created: Timestamp,
    /// Abstract work since, where handlers or workers report it; a pool does not know.
    pub work: Option<Work>,
    /// Newest values of the series that handlers or workers reported, by name.
    pub custom: Vec<(String, f64)>,
    /// The single replicas, only if the policy reads them.
    pub replicas: Vec<ReplicaView>,
}
