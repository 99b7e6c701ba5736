//! The spec of a deployment: read as [`RawSpec`], checked into [`DeploymentSpec`].
//!
//! Nothing here knows which components, policies or deployments exist; the caller looks those up.

mod error;
mod names;
mod native;
mod raw;
#[cfg(test)]
mod tests;
mod units;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use samovar_core::limits::PoolLimits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

pub use error::{SpecError, SpecErrorKind};
pub use names::{DeploymentName, Digest, PolicyName};
pub use native::{
    DistributeSpec, FleetHook, FleetSpec, HealthSpec, Listen, ProcessSpec, Runs, WorkerSpec,
    WorkloadSpec,
};
use raw::Object;
pub use raw::{
    RawDistribute, RawFleet, RawLimits, RawProcess, RawQueue, RawReplicas, RawScaling, RawSpec,
    RawWorker,
};
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
    /// Requests one replica serves at a time; at least 1.
    pub concurrency: u32,
    /// The whole pool goes, minimum included, when it was not used for this long.
    pub idle_ttl: Ttl,
    /// A replica may be removed when it has been idle for this long.
    pub scaledown_ttl: Duration,
    /// A replica is replaced after this many requests; 0 means never.
    pub max_requests: u64,
    /// A replica is replaced at this age.
    pub max_age: Ttl,
    pub queue: QueueSpec,
    /// How long requests may go on in a replica that is being removed.
    pub drain_timeout: Duration,
    pub scaling: ScalingSpec,
    pub limits: LimitsSpec,
    /// Environment variables of the handler or process.
    pub env: BTreeMap<String, String>,
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
    pub config: serde_json::Map<String, serde_json::Value>,
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

impl DeploymentSpec {
    /// What is allowed but probably not meant, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        /// Below this, a pool goes between two requests of one person.
        const SHORT_TTL: Duration = Duration::from_secs(1);
        let mut warnings = Vec::new();
        let is_guest = self.runs.is_guest();
        if is_guest && u64::from(self.replicas.max) * u64::from(self.concurrency) == 1 {
            warnings.push(
                "this deployment serves one request at a time (replicas.max 1, concurrency 1): \
                 a handler that calls itself, even through others, waits for itself until the \
                 request times out"
                    .to_owned(),
            );
        }
        if self.idle_ttl.limit().is_some_and(|limit| limit < SHORT_TTL) {
            let ttl = self.idle_ttl;
            warnings.push(format!(
                "idle_ttl is {ttl}: the pool is shut down between requests, so most of them wait \
                 for a start"
            ));
        }
        if self.scaledown_ttl < SHORT_TTL {
            let ttl = DurationText(self.scaledown_ttl);
            warnings.push(format!(
                "scaledown_ttl is {ttl}: replicas are removed as soon as they are idle and \
                 started again for the next burst"
            ));
        }
        if is_guest && self.limits.request_timeout < self.limits.cpu_time {
            let timeout = DurationText(self.limits.request_timeout);
            let cpu_time = DurationText(self.limits.cpu_time);
            warnings.push(format!(
                "limits.cpu_time is {cpu_time}, but a request whose response does not begin \
                 within {timeout} is ended by limits.request_timeout first"
            ));
        }
        warnings
    }
}

/// The full form: every setting written out.
impl From<&DeploymentSpec> for RawSpec {
    fn from(spec: &DeploymentSpec) -> RawSpec {
        let count = |n: u32| Some(Count(u64::from(n)));
        let duration = |d: Duration| Some(DurationText(d));
        let replicas = &spec.replicas;
        let limits = &spec.limits;
        let is_guest = spec.runs.is_guest();
        RawSpec {
            component: spec.runs.component().map(|digest| digest.to_string()),
            process: spec.runs.process().map(RawProcess::from),
            distribute: spec
                .runs
                .process()
                .and_then(|process| process.distribute.as_ref().map(RawDistribute::from)),
            worker: spec.worker.as_ref().map(RawWorker::from),
            fleet: spec.fleet.as_ref().map(RawFleet::from),
            priority: Some(spec.priority),
            route: Some(spec.route.clone()),
            replicas: Some(RawReplicas { min: replicas.min.into(), max: replicas.max.into() }),
            initial_replicas: count(spec.initial_replicas),
            concurrency: count(spec.concurrency),
            idle_ttl: Some(spec.idle_ttl),
            scaledown_ttl: duration(spec.scaledown_ttl),
            max_requests: Some(Count(spec.max_requests)),
            max_age: Some(spec.max_age),
            queue: RawQueue { max: count(spec.queue.max), timeout: duration(spec.queue.timeout) },
            drain_timeout: duration(spec.drain_timeout),
            scaling: RawScaling {
                policy: Some(spec.scaling.policy.to_string()),
                config: spec.scaling.config.clone(),
                interval: duration(spec.scaling.interval),
            },
            limits: RawLimits {
                memory: is_guest.then_some(SizeText(limits.memory)),
                request_timeout: duration(limits.request_timeout),
                stall_timeout: duration(limits.stall_timeout),
                cpu_time: is_guest.then_some(DurationText(limits.cpu_time)),
                start_timeout: duration(limits.start_timeout),
                request_headers: Some(SizeText(limits.request_headers)),
                request_body: Some(SizeText(limits.request_body)),
                response_headers: Some(SizeText(limits.response_headers)),
                response_body: Some(SizeText(limits.response_body)),
            },
            env: spec.env.clone(),
        }
    }
}

impl From<&DeploymentSpec> for PoolLimits {
    fn from(spec: &DeploymentSpec) -> Self {
        PoolLimits {
            min: spec.replicas.min,
            max: spec.replicas.max,
            initial: spec.initial_replicas,
            concurrency: spec.concurrency,
            idle_ttl: spec.idle_ttl.limit(),
            scaledown_ttl: spec.scaledown_ttl,
            max_requests: Some(spec.max_requests).filter(|most| *most > 0),
            max_age: spec.max_age.limit(),
            drain_timeout: spec.drain_timeout,
            queue_max: spec.queue.max,
        }
    }
}

impl Serialize for DeploymentSpec {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        RawSpec::from(self).serialize(output)
    }
}

/// Reads the full form, as it was serialized. A spec from a user goes through
/// [`RawSpec::from_json`] and [`RawSpec::validate`] instead, which know the name and the handler.
impl<'de> Deserialize<'de> for DeploymentSpec {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<DeploymentSpec, D::Error> {
        RawSpec::deserialize(input)?.validate_full().map_err(serde::de::Error::custom)
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
