//! What came out of a simulation.

use std::time::Duration;

/// One simulation of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What tells this run from others beside it, usually the policy's name.
    pub label: String,
    /// The seed it was run with.
    pub seed: u64,
    /// Virtual time that passed.
    pub duration: Duration,
    /// Virtual time between two rows.
    pub interval: Duration,
    /// One per deployment, in the scenario's order.
    pub deployments: Vec<DeploymentRun>,
}

/// What happened to one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRun {
    /// Its name.
    pub name: String,
    /// The policy it was run with.
    pub policy: String,
    /// Its course, one row per interval.
    pub rows: Vec<Row>,
    /// The sums.
    pub summary: Summary,
}

/// The state at the end of one interval, and what happened within it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// End of the interval, since the start.
    pub at: Duration,
    /// Replicas the host tried to hold.
    pub target: u32,
    /// Replicas that were starting.
    pub starting: u32,
    /// Replicas that served or could serve.
    pub ready: u32,
    /// Replicas on their way out.
    pub draining: u32,
    /// Requests that waited.
    pub queued: u32,
    /// Requests that were served.
    pub ongoing: u32,
    /// Requests that arrived within.
    pub arrived: u64,
    /// Requests that were answered within.
    pub completed: u64,
    /// Requests that failed on a replica within.
    pub failed: u64,
    /// Requests that got no replica within.
    pub rejected: u64,
    /// Quantiles of the latency of the requests that were answered within; none if none was.
    pub latency: Option<Quantiles>,
}

/// Quantiles of a latency, in milliseconds, to within 0.1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Median.
    pub p50_ms: f64,
    /// 95 % quantile.
    pub p95_ms: f64,
    /// 99 % quantile.
    pub p99_ms: f64,
}

/// Sums over a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests that arrived.
    pub arrived: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that failed on a replica.
    pub failed: u64,
    /// Requests that got no replica: the queue was full or replicas did not start.
    pub rejected: u64,
    /// Requests that waited too long for a replica; counted in `rejected` too.
    pub timed_out: u64,
    /// From arrival to answer; none if none was answered.
    pub latency: Option<Quantiles>,
    /// From arrival to a replica, of the requests that got one.
    pub wait: Option<Quantiles>,
    /// What the replicas cost: seconds times replicas that existed, starting and draining ones
    /// included.
    pub replica_seconds: f64,
    /// Seconds times requests being served.
    pub busy_seconds: f64,
    /// Most replicas at once, starting and draining ones included.
    pub replicas_max: u32,
    /// Replicas that became ready.
    pub replicas_started: u64,
    /// Replicas that did not.
    pub replicas_failed: u64,
    /// Decisions that changed the target.
    pub target_changes: u64,
    /// Ticks the policy did not answer.
    pub policy_errors: u64,
}
