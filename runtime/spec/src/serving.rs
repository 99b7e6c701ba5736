//! How a deployment serves its requests: in batches, on instances that stay, and when it is ready.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::units::{ParseError, Written};

/// Requests that wait together go to a replica together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchingSpec {
    /// Requests of one batch, 1 to 1024. Not more than may wait in the queue.
    pub max_batch_size: u32,
    /// A batch that is not full leaves after this long.
    pub timeout: Duration,
    /// From when on `timeout` counts.
    pub since: BatchSince,
    /// What a process or worker gets and answers; no meaning for components.
    pub shape: BatchShape,
    /// Where a process or worker gets batches; none for components, always some for others.
    pub path: Option<String>,
    /// Whether the requests of a batch that failed as a whole are served again one by one, so
    /// that the bad one fails alone.
    pub retry_alone: bool,
}

/// From when on the time of a batch counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BatchSince {
    /// From the arrival of its oldest request.
    #[default]
    Oldest,
    /// From the departure of the batch before, as in Lightning.
    PreviousSend,
}

/// The JSON of a batch, for processes and workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BatchShape {
    /// An array of bodies, answered by an array as long.
    #[default]
    Array,
    /// `{"inputs": […]}`, answered by `{"outputs": […]}`, as in Lightning.
    Lightning,
}

/// Whether an instance serves more than one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// Instances stay and serve request after request.
    #[default]
    On,
    /// Every request gets an instance that has served none before and serves none after.
    Off,
}

/// When a deployment counts as ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadyRule {
    /// When a request would be served, be it after a start.
    #[default]
    Serving,
    /// When a replica is ready.
    Any,
    /// When as many replicas are ready as `replicas.min`.
    Min,
    /// When as many are ready as there should be now.
    Target,
    /// When at least this many are ready; 1 to `replicas.max`.
    Count(u32),
}

impl fmt::Display for ReadyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyRule::Serving => f.write_str("serving"),
            ReadyRule::Any => f.write_str("any"),
            ReadyRule::Min => f.write_str("min"),
            ReadyRule::Target => f.write_str("target"),
            ReadyRule::Count(count) => count.fmt(f),
        }
    }
}

impl FromStr for ReadyRule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ReadyRule, ParseError> {
        match text {
            "serving" => Ok(ReadyRule::Serving),
            "any" => Ok(ReadyRule::Any),
            "min" => Ok(ReadyRule::Min),
            "target" => Ok(ReadyRule::Target),
            _ => {
                let shown: String = text.chars().take(50).collect();
                Err(ParseError(format!(
                    "`{shown}` is no rule; use `serving`, `any`, `min`, `target`, or a number of \
                     replicas"
                )))
            }
        }
    }
}

impl<'de> Deserialize<'de> for ReadyRule {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<ReadyRule, D::Error> {
        input.deserialize_any(Written {
            expected: "`serving`, `any`, `min`, `target`, or a number of replicas",
            from_number: |count| u32::try_from(count).ok().map(ReadyRule::Count),
        })
    }
}

impl Serialize for ReadyRule {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self {
            ReadyRule::Count(count) => output.serialize_u32(*count),
            word => output.collect_str(word),
        }
    }
}
