//! Batches as they are written.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::serving::{BatchShape, BatchSince, BatchingSpec};
use super::super::units::{Count, DurationText};
use super::optional_word;

/// Sends requests that wait to a replica together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawBatching {
    /// Requests of one batch at most. Default: 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<Count>,
    /// A batch that is not full leaves after this long. Default: `10ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_batching: Option<DurationText>,
    /// `oldest`: the time counts from the arrival of its oldest request. `previous-send`: from the
    /// departure of the batch before. Default: `oldest`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word")]
    pub since: Option<BatchSince>,
    /// Processes and workers only. `array`: JSON arrays both ways. `lightning`: `{"inputs": […]}`
    /// and `{"outputs": […]}`. Default: `array`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word")]
    pub shape: Option<BatchShape>,
    /// Processes and workers only: where a batch is posted. Default: `endpoint`, or `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the requests of a batch that failed as a whole are served again one by one, so
    /// that the bad one fails alone. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_alone: Option<bool>,
}

impl From<&BatchingSpec> for RawBatching {
    fn from(spec: &BatchingSpec) -> Self {
        RawBatching {
            max_batch_size: Some(Count(u64::from(spec.max_batch_size))),
            timeout_batching: Some(DurationText(spec.timeout)),
            since: Some(spec.since),
            // Both are for other replicas than components only, which have no path.
            shape: spec.path.is_some().then_some(spec.shape),
            path: spec.path.clone(),
            retry_alone: Some(spec.retry_alone),
        }
    }
}
