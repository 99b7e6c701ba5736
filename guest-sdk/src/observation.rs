//! What the host tells a policy in one tick.

/// What the host measured for one deployment.
///
/// "Since" means since the previous observation. All times are milliseconds on the host's
/// monotonic clock, which starts at an arbitrary point and never goes back for one scaler.
/// `None` always means "no data", never zero.
///
/// In tests fill in what matters and leave the rest:
///
/// ```
/// use samovar_sdk::Observation;
///
/// let seen = Observation { now_ms: 1000, ready: 2, queued: 5, ..Observation::default() };
/// assert_eq!(seen.replicas(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// The time of this observation.
    pub now_ms: u64,
    /// Time since the previous observation; 0 in the first one.
    pub since_ms: u64,
    /// The bounds the host enforces after the decision.
    pub limits: Limits,
    /// Replicas that were ordered and cannot serve yet.
    pub starting: u32,
    /// Replicas that can serve, busy or not.
    pub ready: u32,
    /// Replicas that finish their requests and take no new ones.
    pub draining: u32,
    /// How many replicas the host is trying to hold right now.
    pub target: u32,
    /// Requests waiting for a replica.
    pub queued: u32,
    /// Requests being served.
    pub ongoing: u32,
    /// Time-weighted average of `queued` since; none when no time has passed.
    pub queued_average: Option<f64>,
    /// Time-weighted average of `ongoing` since; none when no time has passed.
    pub ongoing_average: Option<f64>,
    /// Requests that arrived since.
    pub arrived: u64,
    /// Requests that ended well since.
    pub completed: u64,
    /// Requests that ended badly since.
    pub failed: u64,
    /// Requests that got no replica since: the queue was full, they waited too long, or replicas did
    /// not start.
    pub rejected: u64,
    /// How long the request that waits longest has waited; none when none waits.
    pub oldest_wait_ms: Option<u64>,
    /// None when no request ended since.
    pub latency: Option<Latency>,
    /// When the pool last served or queued a request; none if never.
    pub last_used_ms: Option<u64>,
    /// When the pool was made.
    pub created_ms: u64,
    /// Abstract work since, where handlers or workers report it.
    pub work: Option<Work>,
    /// The newest values of series that handlers or workers report.
    pub custom: Vec<Sample>,
    /// All replicas; empty unless [`Policy::NEEDS_REPLICAS`](crate::Policy::NEEDS_REPLICAS).
    pub replicas: Vec<Replica>,
}

impl Observation {
    /// Replicas that serve or soon will: starting and ready ones, not draining ones.
    pub fn replicas(&self) -> u32 {
        self.starting.saturating_add(self.ready)
    }

    /// Requests inside: waiting and being served.
    pub fn requests(&self) -> u32 {
        self.queued.saturating_add(self.ongoing)
    }

    /// The newest value of the series `name`, if anything reported it.
    pub fn custom(&self, name: &str) -> Option<f64> {
        self.custom.iter().find(|sample| sample.name == name).map(|sample| sample.value)
    }
}

/// The bounds the host enforces after the decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// Requests one replica serves at a time.
    pub concurrency: u32,
    /// Requests that may wait for a replica; further ones are refused.
    pub queue_max: u32,
}

/// Time from arrival to the end of the response, of the requests that ended since.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    /// Half of the requests took no longer.
    pub p50_ms: f64,
    /// Nine in ten took no longer.
    pub p90_ms: f64,
    /// 99 in 100 took no longer.
    pub p99_ms: f64,
}

/// Abstract work since, in units per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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

/// The newest value of a series that a handler or worker reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Name of the series.
    pub name: String,
    /// Its newest value.
    pub value: f64,
}

/// One replica, for policies that choose which ones to remove.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// Unique within the deployment, never used again.
    pub id: u64,
    /// What it is made of.
    pub kind: ReplicaKind,
    /// Where it is in its life.
    pub state: ReplicaState,
    /// Requests it is serving now.
    pub ongoing: u32,
    /// Time since its last request ended; none while it serves one or before it is ready.
    pub idle_ms: Option<u64>,
    /// Time since its start was ordered.
    pub age_ms: u64,
    /// Work it reports itself, in units per second.
    pub load: Option<f64>,
    /// Most work it can do, in units per second.
    pub max_perf: Option<f64>,
}

/// What a replica is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaKind {
    /// A WebAssembly instance.
    Wasm,
    /// A native process started by the host.
    Process,
    /// A worker that registered itself.
    External,
}

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// Ordered, cannot serve yet.
    Starting,
    /// Can serve, busy or not.
    Ready,
    /// Finishes its requests and takes no new ones.
    Draining,
}
