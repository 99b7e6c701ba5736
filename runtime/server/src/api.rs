//! The wire types of the admin API. What they mean is said here; nothing is done here.
//!
//! All times called `at_ms` are milliseconds since 1970, UTC.

mod decision;
mod error;
mod manual;
mod policies;
mod replicas;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::spec::{DeploymentName, Digest, PolicyName, RawSpec, World};

pub use decision::{Decision, DecisionList, LimitedBy, Wish};
pub use error::{ApiError, ErrorBody, ErrorCode};
pub use manual::{
    AddReplicas, ExternalScale, ExternallyScaled, Pause, Readiness, ReplicasChanged, SetReplicas,
};
pub use policies::{
    PolicyTest, PolicyVersion, PolicyVersions, Rollback, Shadow, ShadowDecision, TestPolicy,
    TestedAnswer, TestedTick, Via,
};
pub use replicas::{
    Device, DeviceLease, HeldDevice, Join, Machine, Replica, ReplicaFailure, ReplicaKind,
    ReplicaList, ReplicaState,
};

/// What an uploaded component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// It answers HTTP requests.
    Handler,
    /// It decides on numbers of replicas.
    Policy,
}

/// An uploaded component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// sha256 of the uploaded bytes; the name of the component everywhere.
    pub digest: Digest,
    pub kind: ComponentKind,
    /// The world it implements.
    pub world: World,
    /// Size of the upload in bytes.
    pub size_bytes: u64,
    /// Names of the interfaces it imports, with versions.
    pub imports: Vec<String>,
    /// Names of the interfaces it exports, with versions.
    pub exports: Vec<String>,
}

/// Answer of `GET /v1/components`, ordered by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentList {
    pub components: Vec<Component>,
}

/// A deployment as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    pub name: DeploymentName,
    /// Counts the specs this deployment has had, from 1.
    pub revision: u64,
    /// What its replicas are.
    #[serde(default)]
    pub kind: ReplicaKind,
    /// Null if its replicas are no components.
    pub component: Option<Digest>,
    /// Null if its replicas are no components.
    pub world: Option<World>,
    /// Path prefix on the data plane.
    pub route: String,
    /// The full spec, defaults filled in. The server fills it from a checked spec. It is not
    /// parsed here, so that a client can show the spec of a newer server.
    #[schema(value_type = RawSpec)]
    pub spec: serde_json::Value,
    pub replicas: Replicas,
    /// How many replicas the server is trying to hold.
    pub target: u32,
    /// How many an operator holds, whatever the policy says; null if the policy decides.
    #[serde(default)]
    pub held: Option<u32>,
    /// Requests waiting for a replica.
    pub queued: u64,
    /// Requests being served.
    pub ongoing: u64,
    pub policy: PolicyRef,
    /// The policy that runs beside the live one; null if there is none.
    #[serde(default)]
    pub shadow: Option<Shadow>,
    /// Why the newest failed start of a replica failed; null once a later one succeeded.
    pub last_start_error: Option<String>,
    /// Why replicas that are wanted are not started: what the machine has is taken. Null if
    /// nothing waits for room.
    #[serde(default)]
    pub no_room: Option<String>,
    /// What the policy wanted and the machine does not have for it; null if it has.
    #[serde(default)]
    pub limited: Option<Limited>,
    pub totals: Totals,
    /// What is allowed in the spec but probably not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A target that the machine keeps below what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limited {
    /// Replicas that were wanted, within the deployment's own bounds.
    pub wanted: u32,
    /// What there is too little of.
    pub by: LimitedBy,
}

/// Answer of `GET /v1/deployments`, ordered by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentList {
    pub deployments: Vec<Deployment>,
}

/// Replicas of a deployment by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replicas {
    pub starting: u32,
    pub ready: u32,
    pub draining: u32,
}

/// What a deployment has seen since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Requests that came in.
    pub arrived: u64,
    /// Requests that were answered by the handler, whatever the status.
    pub completed: u64,
    /// Requests that the handler failed to answer.
    pub failed: u64,
    /// Requests that got no replica: the queue was full, they waited too long, or replicas did
    /// not start.
    pub rejected: u64,
    /// Those of the rejected ones that waited too long.
    pub timed_out: u64,
    /// Replicas that became ready.
    pub replicas_started: u64,
    /// Replicas that did not become ready, or failed later.
    pub replicas_failed: u64,
}

/// The policy a deployment uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRef {
    pub name: PolicyName,
    /// The very component: a later push to the name changes nothing here.
    pub digest: Digest,
    /// Settings of the policy.
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
    pub state: PolicyState,
    /// Why its last call failed; null if it did not.
    #[serde(default)]
    pub last_error: Option<String>,
}

/// Whether a policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyState {
    /// Its last call worked.
    Live,
    /// Its last call failed; the last target stays.
    Failing,
}

/// A policy that deployments can use by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    pub name: PolicyName,
    pub digest: Digest,
    pub description: PolicyDescription,
    /// Whether it is part of the server. Such names cannot be pushed to.
    pub builtin: bool,
    /// Deployments whose policy has this name.
    pub used_by: Vec<DeploymentName>,
}

/// What a policy says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDescription {
    pub name: String,
    pub version: String,
    /// JSON Schema of its settings; an empty object allows any.
    #[schema(value_type = Object)]
    pub config_schema: serde_json::Value,
    /// Whether it looks at single replicas.
    pub needs_replicas: bool,
}

/// Answer of `GET /v1/policies`, ordered by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    pub policies: Vec<Policy>,
}

/// Body of `PUT /v1/deployments/{name}/policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// Name of the policy to change to.
    pub policy: PolicyName,
    /// Its settings. Default: its own defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// Answer of a change of the live policy, a promotion or a rollback: the new policy is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicySwapped {
    pub policy: PolicyRef,
    /// Its number among the policies the deployment has had.
    pub version: u64,
    /// Observations it was fed before its first decision.
    pub replayed: u64,
    /// Time from the request to the change, in milliseconds.
    pub took_ms: f64,
    pub previous: PreviousPolicy,
}

/// The policy that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviousPolicy {
    pub name: PolicyName,
    pub digest: Digest,
}

/// One line of `GET /v1/deployments/{name}/logs`, which answers with one JSON object per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    pub at_ms: u64,
    pub deployment: DeploymentName,
    /// The replica that wrote it; null for lines about the deployment as a whole.
    pub replica: Option<u64>,
    pub stream: LogStream,
    /// The text, without the end of the line.
    pub line: String,
}

/// One line of `GET /v1/deployments/{name}/requests`, which answers with one JSON object per line
/// while requests come. Times are microseconds on the server's own clock, the same for all
/// deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum RequestEvent {
    /// The first line: requests are told from now on.
    Start { at_us: u64 },
    /// A request arrived.
    Arrived { id: u64, at_us: u64 },
    /// A request has ended. `service_us` is how long a replica worked on it; null if it got none.
    Ended { id: u64, service_us: Option<u64> },
    /// The reader was too slow: this many events are missing here.
    Lost { events: u64 },
}

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    Stdout,
    Stderr,
    /// The server, about the replica.
    System,
}

/// Answer of `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Info {
    /// Version of the server.
    pub version: String,
    /// URL of the data plane, without a `/` at the end.
    pub data_plane: String,
    /// Time since the server started, in milliseconds.
    pub uptime_ms: u64,
}
