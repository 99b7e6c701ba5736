//! The spec of a deployment: read as [`RawSpec`], checked into [`DeploymentSpec`].
//!
//! Nothing here knows which components, policies or deployments exist; the caller looks those up.

mod error;
mod full;
mod names;
mod native;
mod overrides;
mod raw;
mod reach;
mod serving;
mod state;
#[cfg(test)]
mod tests;
mod units;
mod validate;
mod warnings;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use samovar_core::limits::{self, BatchLimits, PoolLimits};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use error::{SpecError, SpecErrorKind};
pub use names::{DeploymentName, Digest, PolicyName};
pub use native::{
    DistributeSpec, FleetHook, FleetSpec, HealthSpec, Listen, ProcessSpec, Runs, WorkerSpec,
    WorkloadSpec,
};
pub use overrides::{LimitOverrides, Overrides};
use raw::Object;
pub use raw::{
    RawBatching, RawCalls, RawColdStartProxy, RawDistribute, RawFleet, RawKeyValue, RawLimits,
    RawOutbound, RawProcess, RawProxyResponse, RawQueue, RawReplicas, RawScaling, RawSecret,
    RawSpec, RawWorker,
};
pub use reach::{CallAllow, CallsSpec, ColdStartProxySpec, OutboundSpec, ProxyTo};
pub use serving::{BatchShape, BatchSince, BatchingSpec, ReadyRule, Reuse};
pub use state::{KeyValueSpec, SecretFrom};
pub use units::{Count, DurationText, ParseError, SizeText, Ttl};
pub use validate::{DEFAULT_POLICY, duration, size, web, within};

/// A checked spec: every setting has a value, and every value is inside its bounds.
///
/// It serializes to the full JSON form, which reads back as an equal spec.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentSpec {
    /// What a replica is.
    pub runs: Runs,
    /// Path prefix on the data plane, beginning with `/` and, except for `/` itself, not ending
    /// with it.
    pub route: String,
    /// Bounds of the number of replicas.
    pub replicas: Replicas,
    /// Replicas to start with; inside the bounds.
    pub initial_replicas: u32,
    /// Requests one replica serves at a time, or batches if there is `batching`; at least 1.
    pub concurrency: u32,
    /// The whole pool goes, minimum included, when it was not used for this long.
    pub idle_ttl: Ttl,
    /// A replica may be removed when it has been idle for this long.
    pub scaledown_ttl: Duration,
    /// A replica is replaced after this many requests; 0 means never.
    pub max_requests: u64,
    /// A replica is replaced at this age.
    pub max_age: Ttl,
    /// Whether an instance serves more than one request. If not, `concurrency` is 1, and there is
    /// neither `max_requests` nor `batching`.
    pub reuse: Reuse,
    pub queue: QueueSpec,
    /// Which requests go to a replica together; none if each goes alone.
    pub batching: Option<BatchingSpec>,
    /// Who answers while no replica can; none if requests wait.
    pub cold_start_proxy: Option<ColdStartProxySpec>,
    /// How long requests may go on in a replica that is being removed.
    pub drain_timeout: Duration,
    pub scaling: ScalingSpec,
    /// Whether Ray's external scaling endpoint may set the number of replicas.
    pub external_scaler: bool,
    /// When the deployment counts as ready.
    pub ready: ReadyRule,
    /// The only path below the route that reaches the replicas, and only by POST; none if all
    /// paths and methods do.
    pub endpoint: Option<String>,
    /// A JSON Schema of request bodies that compiles.
    pub input_schema: Option<Value>,
    /// A JSON Schema of response bodies that compiles.
    pub output_schema: Option<Value>,
    /// Path below the route of the page to try the deployment, never `/`; none if it is off.
    pub docs: Option<String>,
    pub limits: LimitsSpec,
    /// Whom a component may call.
    pub calls: CallsSpec,
    /// What a component may request elsewhere; none if nothing.
    pub outbound: Option<OutboundSpec>,
    /// The store of a component.
    pub keyvalue: KeyValueSpec,
    /// Values of `wasi:config` of a component.
    pub config: BTreeMap<String, String>,
    /// Environment variables of the handler or process.
    pub env: BTreeMap<String, String>,
    /// Further variables, whose values are looked up when a replica starts. None is in `env`.
    pub secrets: BTreeMap<String, SecretFrom>,
    /// How replicas report about themselves; none if they do not.
    pub worker: Option<WorkerSpec>,
    /// Who makes machines for external workers; none if nobody does.
    pub fleet: Option<FleetSpec>,
    /// Deployments with a higher one get what the machine has first.
    pub priority: i32,
}

/// How many replicas a deployment may have: `min <= max`, and `max` is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    pub min: u32,
    pub max: u32,
}

/// Where requests wait for a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSpec {
    /// Requests that may wait; at least 1, or nothing could ever start a replica.
    pub max: u32,
    /// How long one may wait.
    pub timeout: Duration,
}

/// Who decides on the number of replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingSpec {
    pub policy: PolicyName,
    /// Settings of the policy, which alone knows what they mean.
    pub config: serde_json::Map<String, Value>,
    /// Time between two decisions.
    pub interval: Duration,
}

/// What one request, and one replica, may use. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsSpec {
    /// Linear memory of one replica.
    pub memory: u64,
    /// From the dispatch of a request to the head of its response.
    pub request_timeout: Duration,
    /// The longest silence of a response body.
    pub stall_timeout: Duration,
    /// Time the handler may compute for one request.
    pub cpu_time: Duration,
    /// Time a replica may take to become ready.
    pub start_timeout: Duration,
    pub request_headers: u64,
    pub request_body: u64,
    pub response_headers: u64,
    pub response_body: u64,
}

/// What a component implements, with the oldest version of it that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum World {
    /// A handler that is called with one request at a time.
    #[serde(rename = "wasi:http/proxy@0.2")]
    HttpProxy02,
    /// A handler that serves several requests at a time in one instance.
    #[serde(rename = "wasi:http/service@0.3")]
    HttpService03,
    /// A handler that is called with whole requests, many at a time.
    #[serde(rename = "samovar:handler/batch@0.1")]
    Batch01,
    /// A scaling policy.
    #[serde(rename = "samovar:policy/policy@0.1")]
    Policy01,
}

impl World {
    /// The name as in the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            World::HttpProxy02 => "wasi:http/proxy@0.2",
            World::HttpService03 => "wasi:http/service@0.3",
            World::Batch01 => "samovar:handler/batch@0.1",
            World::Policy01 => "samovar:policy/policy@0.1",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min, self.max)
    }
}

/// What the pool of a deployment keeps to.
impl From<&DeploymentSpec> for PoolLimits {
    fn from(spec: &DeploymentSpec) -> Self {
        PoolLimits {
            min: spec.replicas.min,
            max: spec.replicas.max,
            initial: spec.initial_replicas,
            concurrency: spec.concurrency,
            idle_ttl: spec.idle_ttl.limit(),
            scaledown_ttl: spec.scaledown_ttl,
            max_requests: match spec.reuse {
                Reuse::On => Some(spec.max_requests).filter(|most| *most > 0),
                Reuse::Off => Some(1),
            },
            max_age: spec.max_age.limit(),
            drain_timeout: spec.drain_timeout,
            queue_max: spec.queue.max,
            batch: spec.batching.as_ref().map(BatchLimits::from),
        }
    }
}

impl From<&BatchingSpec> for BatchLimits {
    fn from(spec: &BatchingSpec) -> Self {
        BatchLimits {
            max_size: spec.max_batch_size,
            timeout: spec.timeout,
            since: match spec.since {
                BatchSince::Oldest => limits::BatchSince::Oldest,
                BatchSince::PreviousSend => limits::BatchSince::PreviousSend,
            },
        }
    }
}

/// Reads `T` from JSON; errors name the setting below `root`.
///
/// # Errors
///
/// When `json` is not JSON, has an unknown key, or a value of the wrong type.
pub fn read_json<T: DeserializeOwned>(json: &[u8], root: &str) -> Result<T, SpecError> {
    let not_json = |source: &serde_json::Error| SpecError::syntax(format!("not JSON: {source}"));
    let mut input = serde_json::Deserializer::from_slice(json);
    let read: Result<Object<T>, _> = serde_path_to_error::deserialize(&mut input);
    let Object(read) = read.map_err(|source| match source.inner().is_data() {
        true => SpecError::from_serde(root, source.path(), &source.inner().to_string()),
        false => not_json(source.inner()),
    })?;
    input.end().map_err(|source| not_json(&source))?;
    Ok(read)
}

/// Reads `T` from TOML; errors name the setting below `root`, or show the line of a syntax error.
///
/// # Errors
///
/// When `text` is not TOML, has an unknown key, or a value of the wrong type.
pub fn read_toml<T: DeserializeOwned>(text: &str, root: &str) -> Result<T, SpecError> {
    let input = toml::Deserializer::parse(text)
        .map_err(|source| SpecError::syntax(format!("not TOML: {}", source.to_string().trim())))?;
    serde_path_to_error::deserialize(input)
        .map_err(|source| SpecError::from_serde(root, source.path(), source.inner().message()))
}
