//! Trying a policy, running it in the shadow of another one, and going back to an earlier one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PolicyRef, Wish};
use crate::spec::{Digest, PolicyName};

/// A policy a deployment has had, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersion {
    /// Counts the policies this deployment has had, from 1.
    pub version: u64,
    pub name: PolicyName,
    pub digest: Digest,
    /// Settings of the policy.
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// When it went live.
    pub since_ms: u64,
    /// How it went live.
    pub via: Via,
}

/// How a policy went live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// With a spec of the deployment.
    Deploy,
    /// Alone, by name.
    Swap,
    /// Out of the shadow.
    Promote,
    /// It had been live before.
    Rollback,
}

impl Via {
    const ALL: [Via; 4] = [Via::Deploy, Via::Swap, Via::Promote, Via::Rollback];

    /// The word as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::Deploy => "deploy",
            Via::Swap => "swap",
            Via::Promote => "promote",
            Via::Rollback => "rollback",
        }
    }

    /// The way with this word.
    pub fn from_text(text: &str) -> Option<Via> {
        Via::ALL.into_iter().find(|via| via.as_str() == text)
    }
}

/// Answer of `GET /v1/deployments/{name}/policy/versions`, newest last: that one is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersions {
    pub versions: Vec<PolicyVersion>,
}

/// Body of `POST /v1/deployments/{name}/policy/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version to go back to. Default: the one before the live one.
    #[serde(default)]
    pub version: Option<u64>,
}

/// A policy that runs beside the live one. It is told the same and decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shadow {
    pub name: PolicyName,
    pub digest: Digest,
    /// Settings of the policy.
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Since when it runs.
    pub since_ms: u64,
    /// Observations of the past it was fed before its first tick.
    pub replayed: u64,
    /// Ticks in which both answered.
    pub compared: u64,
    /// Those in which it wanted more replicas than the live one.
    pub more: u64,
    /// Those in which it wanted fewer.
    pub fewer: u64,
    /// Ticks in which it failed to answer.
    pub failed: u64,
    /// Ticks in which it was not asked, because it was still busy with an earlier one.
    pub skipped: u64,
    /// Why its last tick failed; null if it did not.
    pub last_error: Option<String>,
}

/// What the shadow answered in one tick of the live policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShadowDecision {
    pub policy: PolicyName,
    pub digest: Digest,
    /// What it answered; `"hold"` also stands for a failed call.
    #[schema(value_type = Object, example = json!(2.5))]
    pub wish: Wish,
    /// The target that would have come of it, within the deployment's bounds; null if it failed.
    pub target: Option<u32>,
    /// Whether that is another one than came of the live policy's answer, within the same bounds.
    pub differs: bool,
    /// Its own words.
    pub reason: String,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// Body of `POST /v1/deployments/{name}/policy/test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestPolicy {
    /// Name of the candidate.
    #[serde(default)]
    pub policy: Option<PolicyName>,
    /// Or an uploaded component that has no name yet.
    #[serde(default)]
    pub component: Option<Digest>,
    /// The candidate's settings. Default: its own defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// Answer of `POST /v1/deployments/{name}/policy/test`: what the live policy and the candidate say
/// to the same past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTest {
    pub live: PolicyRef,
    /// What the candidate calls itself.
    pub candidate: String,
    pub candidate_digest: Digest,
    /// Time from the first to the last observation, in milliseconds.
    pub covers_ms: u64,
    /// The most that is kept, in milliseconds.
    pub kept_ms: u64,
    /// Ticks in which the two would have led to different targets.
    pub different: u64,
    /// What to know before trusting the comparison.
    pub warnings: Vec<String>,
    /// Oldest first.
    pub ticks: Vec<TestedTick>,
}

/// One observation of the past and two answers to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestedTick {
    pub at_ms: u64,
    pub ready: u32,
    pub starting: u32,
    pub queued: u64,
    pub ongoing: u64,
    /// What the server held then.
    pub target: u32,
    pub live: TestedAnswer,
    pub candidate: TestedAnswer,
}

/// What a policy says to an observation of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestedAnswer {
    #[schema(value_type = Object, example = json!(2.5))]
    pub wish: Wish,
    /// The target that would have come of it, within the deployment's bounds. To hold means the
    /// target that was held then.
    pub target: u32,
    pub reason: String,
}
