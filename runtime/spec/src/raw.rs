//! The spec of a deployment as it is written: every key optional, nothing checked but types.
//!
//! The same type is what a full spec is printed as. Unknown keys are errors.

mod native;
mod reach;
mod serving;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::SpecError;
use super::serving::{ReadyRule, Reuse};
use super::units::{Count, DurationText, ParseError, SizeText, Ttl};
use super::units::{duration_or_seconds, ttl_or_seconds};
pub use native::{RawDistribute, RawFleet, RawListen, RawProcess, RawWorker, RawWorkload};
pub use reach::{RawCalls, RawColdStartProxy, RawOutbound, RawProxyResponse};
pub use serving::RawBatching;
pub use state::{RawKeyValue, RawSecret};

/// The spec of a deployment. Keys that are left out get their defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeploymentSpec)]
pub struct RawSpec {
    /// Digest of an uploaded handler. Required, unless there is a `process` or `worker`. (In a
    /// manifest: a digest, or the path of a file.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// A native process as the replica, in place of a component.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub process: Option<RawProcess>,
    /// Makes a replica a gang of processes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub distribute: Option<RawDistribute>,
    /// Replicas report about themselves, and workers from elsewhere may join. Without `component`
    /// and `process` all replicas are such workers.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub worker: Option<RawWorker>,
    /// Creates and destroys machines for external workers.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub fleet: Option<RawFleet>,
    /// Deployments with a higher one get what the machine has first. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Path prefix on the data plane. Default: `/` and the name of the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Bounds of the number of replicas: `"0..8"`, `3`, `[0, 8]`, or an object. Default: `0..4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<RawReplicas>,
    /// Replicas to start with, inside the bounds. Default: the minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_replicas: Option<Count>,
    /// Requests that one replica serves at a time; batches, if there is `batching`. Default: 16, or
    /// 1 with `batching`, without `reuse`, and for a `wasi:http@0.2` handler, for which more is
    /// refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Count>,
    /// The whole pool goes, minimum included, when it was not used for this long. A plain number is
    /// seconds. Default: `5m`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "ttl_or_seconds")]
    #[schema(value_type = Option<String>, example = "5m")]
    pub idle_ttl: Option<Ttl>,
    /// A replica may be removed when it has been idle for this long. A plain number is seconds.
    /// Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "duration_or_seconds")]
    pub scaledown_ttl: Option<DurationText>,
    /// A replica is replaced after this many requests; 0 means never. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<Count>,
    /// A replica is replaced at this age. Default: `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "5m")]
    pub max_age: Option<Ttl>,
    /// Components only. `off`: every request runs on a fresh instance. Default: `on`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word")]
    pub reuse: Option<Reuse>,
    /// Where requests wait for a replica.
    #[serde(deserialize_with = "object")]
    pub queue: RawQueue,
    /// Sends requests that wait to a replica together. Default: each goes alone.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub batching: Option<RawBatching>,
    /// Who answers while no replica can. Default: nobody, requests wait.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub cold_start_proxy: Option<RawColdStartProxy>,
    /// How long requests may go on in a replica that is being removed. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<DurationText>,
    /// Who decides on the number of replicas.
    #[serde(deserialize_with = "object")]
    pub scaling: RawScaling,
    /// Whether Ray's external scaling endpoint may set the number of replicas. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_scaler: Option<bool>,
    /// When the deployment counts as ready: `serving`, `any`, `min`, `target`, or a number of ready
    /// replicas. Default: `serving`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "serving")]
    pub ready: Option<ReadyRule>,
    /// The only path below the route that reaches the replicas, and only by POST. Default: all
    /// paths and methods do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// JSON Schema of request bodies, an object or a boolean. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub input_schema: Option<serde_json::Value>,
    /// JSON Schema of response bodies, an object or a boolean. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<serde_json::Value>,
    /// Path below the route of a page to try the deployment, or `off`. Default: `/docs` if there is
    /// an `endpoint` or a schema, else `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// What one request, and one replica, may use.
    #[serde(deserialize_with = "object")]
    pub limits: RawLimits,
    /// Components only: calls to other deployments, inside the server.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub calls: Option<RawCalls>,
    /// Components only: HTTP requests to elsewhere. Default: none is allowed.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub outbound: Option<RawOutbound>,
    /// Components only: the key-value store.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub keyvalue: Option<RawKeyValue>,
    /// Components only: the values of `wasi:config`. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Environment variables of the handler or process. Default: none.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values the server looks up when it starts a replica. They are
    /// never shown. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "objects")]
    pub secrets: BTreeMap<String, RawSecret>,
}

/// Where requests wait for a replica.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawQueue {
    /// Requests that may wait; further ones are answered with 503. Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Count>,
    /// How long one may wait; then it is answered with 504. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// Who decides on the number of replicas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawScaling {
    /// Name of a policy. Default: `lightning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Settings of the policy. Default: its own defaults.
    #[schema(value_type = Object)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Time between two decisions. Default: `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
}

/// What one request, and one replica, may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawLimits {
    /// Linear memory of one replica; components only. Default: `128MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<SizeText>,
    /// From the dispatch of a request to the head of its response. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<DurationText>,
    /// The longest silence of a response body. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<DurationText>,
    /// Time the handler may compute for one request; components only. Default: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time: Option<DurationText>,
    /// Time a replica may take to become ready. Default: `10s`, for other replicas than components
    /// `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<DurationText>,
    /// All headers of a request. Default: `64KiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<SizeText>,
    /// Body of a request. Default: `100MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<SizeText>,
    /// All headers of a response. Default: `64KiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<SizeText>,
    /// Body of a response. Default: `1GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<SizeText>,
}

/// Bounds of the number of replicas as written: `"0..8"`, `3`, `[0, 8]` or
/// `{"min": 0, "max": 8}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"min": 0, "max": 8}))]
pub struct RawReplicas {
    pub min: u64,
    pub max: u64,
}

/// Reads `T` from keys and values only. Serde would also read a struct from a list, by position.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    struct ObjectVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        /// Does not repeat it: it may be a secret that was written in the wrong place.
        fn visit_str<E: de::Error>(self, _text: &str) -> Result<T, E> {
            Err(E::invalid_type(Unexpected::Other("string"), &self))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    input.deserialize_any(ObjectVisitor(PhantomData))
}

/// Like [`object`], for what may be left out or null.
pub(super) fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(input)?.map(|Object(read)| read))
}

/// Like [`object`], for each value of a map.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let read = BTreeMap::<String, Object<T>>::deserialize(input)?;
    Ok(read.into_iter().map(|(key, Object(value))| (key, value)).collect())
}

/// Reads one of some words, or nothing. A JSON reader would call another type a syntax error.
pub(super) fn optional_word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    let word = Option::<String>::deserialize(input)?;
    word.map(|word| T::deserialize(word.into_deserializer())).transpose()
}

/// `T`, read by [`object`].
#[derive(Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de>")]
pub(super) struct Object<T>(#[serde(deserialize_with = "object")] pub T);

impl FromStr for RawReplicas {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RawReplicas, ParseError> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        match (min.trim().parse(), max.trim().parse()) {
            (Ok(min), Ok(max)) => Ok(RawReplicas { min, max }),
            (Err(_), _) | (_, Err(_)) => Err(ParseError(format!(
                "`{text}` is not a number of replicas; write a range like `0..8` or a number like `3`"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for RawReplicas {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<RawReplicas, D::Error> {
        input.deserialize_any(ReplicasVisitor)
    }
}

struct ReplicasVisitor;

impl<'de> Visitor<'de> for ReplicasVisitor {
    type Value = RawReplicas;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a range such as \"0..8\" or [0, 8], a number, or an object with `min` and `max`",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawReplicas, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawReplicas, E> {
        Ok(RawReplicas { min: number, max: number })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawReplicas, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawReplicas, A::Error> {
        let mut numbers = Vec::new();
        while let Some(Count(number)) = list.next_element()? {
            numbers.push(number);
            if numbers.len() > 2 {
                break;
            }
        }
        match numbers[..] {
            [min, max] => Ok(RawReplicas { min, max }),
            _ => Err(de::Error::custom("a list must be the minimum and the maximum, like [0, 8]")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawReplicas, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bounds {
            min: Count,
            max: Count,
        }
        let Bounds { min, max } = Bounds::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawReplicas { min: min.0, max: max.0 })
    }
}

impl RawSpec {
    /// Reads a spec from JSON. Errors name the setting below `spec`.
    ///
    /// # Errors
    ///
    /// When `json` is not JSON, has an unknown key, or a value of the wrong type.
    pub fn from_json(json: &[u8]) -> Result<RawSpec, SpecError> {
        super::read_json(json, "spec")
    }
}
