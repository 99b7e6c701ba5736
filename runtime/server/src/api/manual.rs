//! What operators do by hand.

use super::Replicas;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /v1/deployments/{name}/replicas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddReplicas {
    /// How many more.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

impl Default for AddReplicas {
    fn default() -> Self {
        AddReplicas { count: one() }
    }
}

/// Body of `PUT /v1/deployments/{name}/replicas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetReplicas {
    /// How many to hold, up to `replicas.max`, whatever the policy says.
    pub count: u32,
}

/// Body of `POST /v1/deployments/{name}/pause`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pause {
    /// How many to hold; as many as are wanted now if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// How the replicas of a deployment are after a change by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicasChanged {
    /// How many there should be.
    pub target: u32,
    /// How many are held whatever the policy says; none if it decides.
    pub held: Option<u32>,
    /// How many there are.
    pub replicas: Replicas,
}

/// Whether a deployment is ready. The names of the counts are Lightning's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it is, by its rule.
    pub ready: bool,
    /// The rule: the `ready` of its spec.
    pub rule: String,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Requests that wait or are being served.
    pub num_pending_requests: u64,
    /// Replicas that start.
    pub num_pending_works: u32,
    /// Replicas that are ready or start.
    pub num_replicas: u32,
}

/// Body of Ray Serve's external scaling endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalScale {
    /// How many replicas to hold; what is above `replicas.max` stays there.
    pub target_num_replicas: u32,
}

/// Answer of Ray Serve's external scaling endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExternallyScaled {
    /// What was done.
    pub message: String,
    /// How many there should be now.
    pub target_num_replicas: u32,
}
